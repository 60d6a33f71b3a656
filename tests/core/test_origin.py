import pytest

from serinus.core.origin import Origin, bare_address

HEART = Origin("http://mlflow:5000", "heart", "3", "run-7", "m-9")


def test_what_tags_say_is_read_back() -> None:
    assert Origin.of(HEART.tags) == HEART


def test_a_version_without_the_tag_of_a_server_was_not_imported() -> None:
    assert Origin.of({"mlflow.model": "heart", "mlflow.version": "3"}) is None


def test_what_is_not_known_is_no_tag() -> None:
    assert Origin("http://mlflow:5000", run_id="run-7").tags == {
        "mlflow.run_id": "run-7",
        "mlflow.tracking_uri": "http://mlflow:5000",
    }


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Origin("http://mlflow:5000", "heart", "3", "run-8"), True),
        (Origin("http://mlflow:5000", "heart", "4", "run-7", "m-9"), False),
        (Origin("http://other:5000", "heart", "3", "run-7", "m-9"), False),
        (Origin("http://mlflow:5000", run_id="run-7", model_id="m-9"), False),
    ],
)
def test_a_registered_version_is_known_by_its_server_name_and_number(other: Origin, *, same: bool) -> None:
    assert HEART.is_same_model(other) is same


def test_what_is_not_registered_is_known_by_its_own_id_before_its_run() -> None:
    logged = Origin("http://mlflow:5000", run_id="run-7", model_id="m-9")

    assert logged.is_same_model(Origin("http://mlflow:5000", run_id="run-8", model_id="m-9"))
    assert not logged.is_same_model(Origin("http://mlflow:5000", run_id="run-7", model_id="m-8"))


@pytest.mark.parametrize(
    "written",
    [
        "http://mlflow.example:80",
        "http://mlflow.example/",
        "HTTP://MLflow.Example",
        "http://ada:se@cret@mlflow.example",
        " http://mlflow.example/?workspace=a#top",
    ],
)
def test_an_address_is_compared_without_what_makes_no_other_server(written: str) -> None:
    assert bare_address(written) == "http://mlflow.example"


def test_port_and_path_are_part_of_an_address() -> None:
    assert bare_address("https://host:8443/mlflow/") == "https://host:8443/mlflow"


def test_what_is_no_address_stays_as_it_is() -> None:
    assert bare_address("databricks") == "databricks"
