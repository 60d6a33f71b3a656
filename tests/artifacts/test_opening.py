"""Which addresses are artifact stores, and what is said of those that are not."""

from pathlib import Path

import pytest
from tests.artifacts.samples import DATA, DIGEST, file_of

from serinus.artifacts import S3Access, open_artifacts
from serinus.core.errors import InvalidInput, Unavailable

SECRET = "Zm9v/YmFy"  # as Amazon's are: with a slash
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINT_VARIABLES + KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("prefix", ["", "file://"])
async def test_a_folder_that_is_missing_is_made(tmp_path: Path, prefix: str) -> None:
    folder = tmp_path / "a" / "b"

    await open_artifacts(f"{prefix}{folder}").put(DATA)

    assert file_of(folder, DIGEST).read_bytes() == DATA


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_artifacts(tmp_path / "file" / "folder")


@pytest.mark.parametrize("url", ["ftp://host/models", "https://host/models", "S3://bucket", "file://models", "://"])
def test_a_store_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="no artifact store") as refused:
        open_artifacts(url)

    assert refused.value.field == "SERINUS_ARTIFACTS_URL"
    assert repr(url) in refused.value.message
    assert "s3://" in refused.value.remedy


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///models",
        "s3://b",
        "s3://two words",
        "s3://bucket:9000/models",
        "s3://bucket//models",
        "s3://bucket/../models",
        "s3://bucket/a/./b",
        "s3://bucket/a%20b",
        "s3://bucket/models\n",
        "s3://[::1]/models",
        "s3://bücket",
    ],
)
def test_what_is_no_place_in_s3_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_artifacts(url)

    assert refused.value.field == "SERINUS_ARTIFACTS_URL"
    assert repr(url) in refused.value.message
    assert "s3://bucket/prefix" in refused.value.remedy


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/models", "s3://bucket/a/b=c/d/"])
def test_a_place_in_s3_is_opened_without_asking_the_store(url: str) -> None:
    open_artifacts(url, S3Access("http://127.0.0.1:1", "", "key", SECRET))


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@bucket/models",
        f"s3://bucket/models?secret={SECRET}",
        f"ftp://key:{SECRET}@host/models",
    ],
)
def test_a_secret_in_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_artifacts(url)

    assert "YmFy" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    ["minio:9000", "ftp://minio", "http://", "http://two words", "http://minio:port", "http://minio\n", "nonsense"],
)
@pytest.mark.parametrize("variable", ["SERINUS_S3_ENDPOINT", *ENDPOINT_VARIABLES])
def test_what_is_no_endpoint_is_refused_wherever_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, variable: str, endpoint: str
) -> None:
    monkeypatch.setenv(variable, endpoint)
    access = S3Access(endpoint=endpoint if variable == "SERINUS_S3_ENDPOINT" else "")

    with pytest.raises(InvalidInput) as refused:
        open_artifacts("s3://bucket", access)

    assert refused.value.field == variable
    assert repr(endpoint) in refused.value.message


@pytest.mark.parametrize(
    "endpoint", ["http://minio:9000", "https://s3.example.com", "http://[::1]:9000/", "https://example.com/s3/"]
)
def test_an_endpoint_may_be_any_web_address(endpoint: str) -> None:
    open_artifacts("s3://bucket", S3Access(endpoint))


@pytest.mark.parametrize(
    ("access", "field"),
    [
        (S3Access(access_key_id="key"), "SERINUS_S3_SECRET_ACCESS_KEY"),
        (S3Access(secret_access_key=SECRET), "SERINUS_S3_ACCESS_KEY_ID"),
        (S3Access(access_key_id="key\n", secret_access_key=SECRET), "SERINUS_S3_ACCESS_KEY_ID"),
        (S3Access(access_key_id="key", secret_access_key=f"{SECRET}\n"), "SERINUS_S3_SECRET_ACCESS_KEY"),
        (S3Access(region="Frankfurt am Main"), "SERINUS_S3_REGION"),
    ],
)
def test_an_access_that_cannot_be_is_refused_without_telling_the_secret(access: S3Access, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_artifacts("s3://bucket", access)

    assert refused.value.field == field
    assert field in refused.value.message
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("variable", KEY_VARIABLES)
def test_a_key_with_a_line_break_is_refused_where_it_would_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, f"{SECRET}\n")

    open_artifacts("s3://bucket", S3Access(access_key_id="key", secret_access_key=SECRET))
    with pytest.raises(InvalidInput) as refused:
        open_artifacts("s3://bucket")

    assert refused.value.field == variable
    assert SECRET not in str(refused.value)


def test_an_access_shows_no_secret() -> None:
    assert SECRET not in repr(S3Access("http://minio:9000", "", "key", SECRET))
