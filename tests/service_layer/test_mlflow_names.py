import pytest

from serinus.settings.addresses import Wrong
from serinus.settings.mlflow_names import checked_alias, checked_tracking_server


@pytest.mark.parametrize("url", ["http://mlflow:5000", "https://mlflow.example/base/"])
def test_a_tracking_server_is_an_http_address(url: str) -> None:
    assert checked_tracking_server(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["mlflow:5000", "sqlite:///mlflow.db", "http://", "http://ada:secret@mlflow:5000", "http://mlflow:x"]
)
def test_any_other_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(Wrong) as refused:
        checked_tracking_server(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["champion", "champion-{deployment}", "{deployment}", "Live_2"])
def test_an_alias_may_hold_the_deployments_name(name: str) -> None:
    assert checked_alias(name) == name


@pytest.mark.parametrize("name", ["", "latest", "v1", "V20", "a.b", "a b", "{model}", "{deployment}{deployment}"])
def test_what_mlflow_takes_for_no_alias_is_refused(name: str) -> None:
    with pytest.raises(Wrong):
        checked_alias(name)
