import json
from typing import Any

import pytest

from serinus.core.endpoint import (
    Endpoint,
    Layout,
    Tensor,
    check_allowed,
    checked_place,
    parsed,
    parsed_tokens,
    token_for,
)
from serinus.core.endpoint_metadata import described
from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

URL = "http://engine:8080/v2/models/heart"
AGE, CHOL = Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT)
CLASS = Output(OutputKind.CLASS, (0, 1))
SIGNATURE = Signature((AGE, CHOL), CLASS)
ENDPOINT = Endpoint(
    "http://engine:8080", "heart", "2", Layout.COLUMNS, (Tensor("age", "INT64"), Tensor("chol", "FP32"))
)


def tensor(name: str, datatype: str = "FP64", *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape) or [-1, 1]}


COLUMNS = [tensor("age", "INT64"), tensor("chol", "FP32", -1)]
LABEL, PROBABILITIES = tensor("predict", "INT64"), tensor("predict_proba", "FP64", -1, 2)


# ------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (URL, ("http://engine:8080", "heart", "")),
        (f"{URL}/", ("http://engine:8080", "heart", "")),
        (f"{URL}/versions/2", ("http://engine:8080", "heart", "2")),
        ("https://ml.example.org/serving/v2/models/heart.v1", ("https://ml.example.org/serving", "heart.v1", "")),
        ("http://[::1]:8000/v2/models/heart", ("http://[::1]:8000", "heart", "")),
    ],
)
def test_the_address_of_a_model_is_taken_apart(url: str, parts: tuple[str, str, str]) -> None:
    assert parsed(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "",
        "engine:8080/v2/models/heart",
        "ftp://engine/v2/models/heart",
        "http://engine:8080/models/heart",
        "http://engine:8080/v2/models/",
        "http://user:secret@engine/v2/models/heart",
        "http://engine:99999/v2/models/heart",
        "http://engine/v2/models/../admin",
        "http://engine/%2e%2e/v2/models/heart",
        "http://engine/../v2/models/heart",
        "http://engine/v2/models/heart?x=1",
        "http://engine/v2/models/heart#x",
        "http://engine/v2/models/heart/versions/2/infer",
        "http://engine\\@evil/v2/models/heart",
        "http://engine/v2/models/heart\n",
    ],
)
def test_what_is_no_plain_address_of_a_model_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(url)
    assert refused.value.field == "url"


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("engine", True),
        ("ENGINE", True),
        ("engine:8080", True),
        ("http://engine:8080", True),
        ("http://engine:8080/", True),
        ("http://engine:8080/v2/models", True),
        ("http://engine:8080/v2/models/heart", True),
        ("engine:80", False),
        ("http://engine", False),
        ("https://engine:8080", False),
        ("http://engine:8080/v2/models/hea", False),
        ("engin", False),
        ("engine.example.org", False),
    ],
)
def test_an_engine_is_allowed_by_its_host_its_port_or_the_beginning_of_its_url(place: str, *, allowed: bool) -> None:
    if allowed:
        check_allowed(ENDPOINT, ["elsewhere", checked_place(place)])
    else:
        with pytest.raises(FormatRefused):
            check_allowed(ENDPOINT, [checked_place(place)])


def test_a_port_that_is_not_written_is_that_of_the_scheme() -> None:
    plain = Endpoint("http://engine", "heart", "", Layout.COLUMNS, ENDPOINT.inputs)

    check_allowed(plain, ["http://engine:80"])
    check_allowed(plain, ["engine:80"])


def test_where_no_place_is_allowed_the_remedy_says_how_to_allow_one() -> None:
    with pytest.raises(FormatRefused, match="SERINUS_REMOTE_MODELS=http://engine:8080"):
        check_allowed(ENDPOINT, [])


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://engine:8000/v2/models/heart", "plain"),
        ("https://ml.example.org/serving/v2/models/heart", "of+a/path=="),
        ("https://ml.example.org/v2/models/heart", "of_the.host"),
        ("http://ml.example.org/v2/models/heart", ""),
        ("https://ml.example.org.evil.example/v2/models/heart", ""),
        ("http://engine:8001/v2/models/heart", ""),
    ],
)
def test_an_engine_is_shown_the_token_of_the_first_place_that_it_is_at(url: str, token: str) -> None:
    text = "engine:8000=plain, https://ml.example.org/serving=of+a/path==,,https://ml.example.org=of_the.host,"

    assert token_for(url, parsed_tokens(text)) == token


@pytest.mark.parametrize("text", ["token", "engine=", "=token", "engine=a b", "engine:0=a", "engine/path=a", "a=b=c"])
def test_what_is_no_place_with_its_token_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^number 2 is no PLACE=TOKEN$"):
        parsed_tokens(f"engine=right,{text}")


@pytest.mark.parametrize(
    "text", ["", "http://", "engine/path", "a b", "http://u:p@engine", "engine:0", "engine:70000", "*"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no host"):
        checked_place(text)


# ------------------------------------------------------------------------------------------- artifacts


def test_an_endpoint_is_the_same_bytes_each_time_and_is_read_back_from_them() -> None:
    again = Endpoint("http://engine:8080", "heart", "2", Layout.COLUMNS, ENDPOINT.inputs)

    assert again.encoded() == ENDPOINT.encoded()
    assert Endpoint.decoded(ENDPOINT.encoded()) == ENDPOINT


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://user:secret@engine"},
        {"url": None},
        {"model": "../admin"},
        {"version": "2/../.."},
        {"version": 2},
        {"layout": "heap"},
        {"inputs": "age"},
        {"inputs": [{"name": "age"}]},
        {"inputs": [{"name": "age", "datatype": "INT65", "rank": 2}]},
        {"inputs": [{"name": "age", "datatype": "INT64", "rank": 3}]},
        {"prediction": 1},
    ],
    ids=str,
)
def test_an_artifact_that_describes_no_endpoint_is_refused(change: dict[str, object]) -> None:
    document = json.loads(ENDPOINT.encoded()) | change

    with pytest.raises(FormatRefused):
        Endpoint.decoded(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b" " * 2_000_000])
def test_an_artifact_that_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(FormatRefused):
        Endpoint.decoded(data)


@pytest.mark.parametrize(
    ("feature", "datatype", "fits"),
    [
        (Dtype.INT, "INT32", True),
        (Dtype.INT, "FP32", True),
        (Dtype.FLOAT, "FP64", True),
        (Dtype.FLOAT, "INT64", False),
        (Dtype.STR, "BYTES", True),
        (Dtype.STR, "FP32", False),
        (Dtype.BOOL, "BOOL", True),
        (Dtype.INT, "BOOL", False),
    ],
)
def test_a_feature_is_sent_in_a_tensor_that_can_hold_it(feature: Dtype, datatype: str, *, fits: bool) -> None:
    endpoint = Endpoint("http://engine", "heart", "", Layout.COLUMNS, (Tensor("x", datatype),))
    signature = Signature((Feature("x", feature),), CLASS)

    if fits:
        endpoint.check_fits(signature)
    else:
        with pytest.raises(InvalidInput, match="x is"):
            endpoint.check_fits(signature)


# -------------------------------------------------------------------------------------------- metadata


def test_tensors_of_one_column_become_features_by_their_names() -> None:
    endpoint, signature = described(f"{URL}/versions/2", {"inputs": COLUMNS, "outputs": [LABEL, PROBABILITIES]})

    assert endpoint == Endpoint(
        "http://engine:8080",
        "heart",
        "2",
        Layout.COLUMNS,
        (Tensor("age", "INT64", 2), Tensor("chol", "FP32", 1)),
        "predict",
        "predict_proba",
    )
    assert signature == Signature((AGE, CHOL), Output(OutputKind.CLASS))


def test_a_signature_puts_the_tensors_into_its_order_and_names_the_classes() -> None:
    known = Signature((CHOL, AGE), CLASS)

    endpoint, signature = described(URL, {"inputs": COLUMNS, "outputs": [LABEL]}, known)

    assert [each.name for each in endpoint.inputs] == ["chol", "age"]
    assert signature is known


def test_a_table_takes_its_columns_from_the_signature() -> None:
    endpoint, _ = described(URL, {"inputs": [tensor("rows", "FP32", -1, 2)], "outputs": [LABEL]}, SIGNATURE)

    assert endpoint.layout is Layout.MATRIX
    assert endpoint.inputs == (Tensor("rows", "FP32", 2),)


def test_a_model_that_says_nothing_is_sent_a_table_of_numbers() -> None:
    endpoint, _ = described(URL, {"name": "heart", "inputs": [], "outputs": []}, SIGNATURE)

    assert endpoint.layout is Layout.MATRIX
    assert endpoint.inputs[0].datatype == "FP64"
    assert (endpoint.prediction, endpoint.probabilities) == ("", "")


def test_a_model_that_says_nothing_is_sent_columns_where_not_all_are_numbers() -> None:
    known = Signature((AGE, Feature("sex", Dtype.STR)), CLASS)

    endpoint, _ = described(URL, {}, known)

    assert endpoint.inputs == (Tensor("age", "INT64"), Tensor("sex", "BYTES"))


def test_a_number_is_predicted_where_the_only_output_is_real() -> None:
    endpoint, signature = described(URL, {"inputs": COLUMNS, "outputs": [tensor("score", "FP32")]})

    assert signature.output == Output(OutputKind.NUMBER)
    assert (endpoint.prediction, endpoint.probabilities) == ("score", "")


def test_a_table_of_probabilities_alone_is_a_class_for_each_column() -> None:
    endpoint, signature = described(URL, {"inputs": COLUMNS, "outputs": [tensor("softmax", "FP32", -1, 3)]})

    assert signature.output == Output(OutputKind.CLASS, (0, 1, 2))
    assert (endpoint.prediction, endpoint.probabilities) == ("", "softmax")


@pytest.mark.parametrize(
    ("metadata", "known"),
    [
        ("heart", None),
        ({"inputs": "age"}, None),
        ({"inputs": [{"name": "age"}]}, None),
        ({"inputs": [tensor("age", "INT65")]}, None),
        ({"inputs": []}, None),
        ({"inputs": [tensor("rows", "FP32", -1, 2)]}, None),
        ({"inputs": [tensor("rows", "FP32", -1, 3)]}, SIGNATURE),
        ({"inputs": [tensor("image", "FP32", -1, 224, 224)]}, None),
        ({"inputs": [tensor("age", "INT64"), tensor("rows", "FP32", -1, 2)]}, None),
        ({"inputs": [tensor("age", "INT64")]}, SIGNATURE),
        ({"inputs": [tensor("age", "INT64"), tensor("chol", "INT64")]}, SIGNATURE),
        ({"inputs": [tensor("age", "INT64"), tensor("age", "INT64")]}, None),
    ],
    ids=str,
)
def test_metadata_that_rows_cannot_be_sent_by_is_refused(metadata: object, known: Signature | None) -> None:
    with pytest.raises(InvalidInput):
        described(URL, metadata, known)
