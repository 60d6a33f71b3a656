"""The Open Inference Protocol, as Triton's client and MLServer's codecs speak it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tests.http.clinic import CLINIC, CONFIDENCE, PATIENTS, PREDICTED, register_clinic
from tests.http.problems import problem
from tests.models import STABLE
from tests.peers.mlserver import ENVIRONMENT, MLServer
from tests.server import PATIENCE_S, Server, environment, eventually, serving
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from serinus import __version__
from serinus.client import DocumentClient
from serinus.core.names import VersionRef

CODECS = Path(__file__).with_name("mlserver_codecs.py")
ROW = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [63, 233.0]}]}


@pytest.fixture(scope="module")
def triton(server: Server) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(f"127.0.0.1:{server.port}") as triton:
        yield triton


@pytest.fixture(scope="module")
def clinic(client: DocumentClient) -> str:
    """A deployment of the classifier."""
    register_clinic(client)
    client.deploy("clinic", CLINIC)
    return "clinic"


def tensor(name: str, datatype: str, values: Any, *, binary: bool) -> InferInput:
    array = np.asarray(values)
    return InferInput(name, list(array.shape), datatype).set_data_from_numpy(array, binary_data=binary)


def patients(*, binary: bool, chol: str = "FP64") -> list[InferInput]:
    """Give the patients as named columns."""
    columns = {name: [patient[name] for patient in PATIENTS] for name in PATIENTS[0]}
    kind = np.float64 if chol == "FP64" else np.float32
    return [
        tensor("smokes", "BOOL", columns["smokes"], binary=binary),
        tensor("age", "INT32", np.array(columns["age"], np.int32), binary=binary),
        tensor("city", "BYTES", np.array(columns["city"], np.object_), binary=binary),
        tensor("chol", chol, np.array(columns["chol"], kind).reshape(-1, 1), binary=binary),
    ]


def ages(*values: float, binary: bool = True) -> list[InferInput]:
    """Give rows of the model that most tests use, as one matrix."""
    return [tensor("x", "FP64", np.array([[value, 233.0] for value in values]), binary=binary)]


# -------------------------------------------------------------------------------------- Triton's client


def test_the_server_tells_what_it_is_and_how_it_does(triton: InferenceServerClient, clinic: str) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(clinic)
    assert triton.is_model_ready(clinic, "1")
    about = triton.get_server_metadata()
    assert (about["name"], about["version"]) == ("serinus", __version__)
    assert "binary_tensor_data" in about["extensions"]


def test_a_deployment_tells_what_it_takes_and_gives(triton: InferenceServerClient, clinic: str) -> None:
    assert triton.get_model_metadata(clinic) == {
        "name": clinic,
        "versions": ["1"],
        "platform": "serinus_pickle",
        "inputs": [
            {"name": "age", "datatype": "INT64", "shape": [-1]},
            {"name": "chol", "datatype": "FP64", "shape": [-1], "parameters": {"nullable": True}},
            {"name": "city", "datatype": "BYTES", "shape": [-1]},
            {"name": "smokes", "datatype": "BOOL", "shape": [-1]},
        ],
        "outputs": [
            {"name": "predict", "datatype": "INT64", "shape": [-1]},
            {"name": "confidence", "datatype": "FP64", "shape": [-1]},
            {"name": "predict_class", "datatype": "BYTES", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("outputs", [True, False, None], ids=["binary out", "json out", "default out"])
def test_rows_are_answered_in_bytes_and_in_json(
    triton: InferenceServerClient,
    clinic: str,
    outputs: bool | None,  # noqa: FBT001 - a parameter of the test
    binary: bool,  # noqa: FBT001 - likewise
) -> None:
    names = ("predict", "confidence", "predict_class")
    wanted = None if outputs is None else [InferRequestedOutput(name, binary_data=outputs) for name in names]

    answer = triton.infer(clinic, patients(binary=binary), outputs=wanted)

    assert answer.as_numpy("predict").tolist() == PREDICTED
    assert answer.as_numpy("predict").dtype == np.int64
    assert answer.as_numpy("confidence").tolist() == CONFIDENCE
    classes = answer.as_numpy("predict_class").tolist()
    assert [each.decode() if isinstance(each, bytes) else each for each in classes] == ["ill", "well", "ill"]
    in_bytes = ["binary_data_size" in output.get("parameters", {}) for output in answer.get_response()["outputs"]]
    assert in_bytes == [outputs is not False] * 3


def test_an_answer_says_who_gave_it(triton: InferenceServerClient, server: Server, clinic: str) -> None:
    answer = triton.infer(clinic, patients(binary=True), request_id="mine").get_response()

    about = answer["parameters"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (clinic, "1", "mine")
    assert about.pop("latency_ms") > 0
    assert about.pop("prediction_id")
    assert about == {"model_role": "baseline", "model_version": "clinic@1", "failover": False}


def test_only_the_outputs_that_are_asked_for_are_given(triton: InferenceServerClient, clinic: str) -> None:
    answer = triton.infer(clinic, patients(binary=True), outputs=[InferRequestedOutput("confidence")])

    assert [output["name"] for output in answer.get_response()["outputs"]] == ["confidence"]


def test_a_confidence_that_the_model_does_not_have_is_given_to_nobody_who_does_not_ask_for_it(
    triton: InferenceServerClient, client: DocumentClient, clinic: str, name: str
) -> None:
    client.deploy(name, VersionRef(CLINIC.model, 2))

    unasked = triton.infer(name, patients(binary=True)).get_response()
    in_bytes, in_json = (
        triton.infer(name, patients(binary=True), outputs=[InferRequestedOutput("confidence", binary_data=binary)])
        for binary in (True, False)
    )

    assert [output["name"] for output in unasked["outputs"]] == ["predict", "predict_class"]
    assert np.isnan(in_bytes.as_numpy("confidence")).all()
    assert in_json.get_output("confidence")["data"] == [None] * 3


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_a_canary_whose_classes_are_of_another_kind_is_given_as_text(
    triton: InferenceServerClient,
    client: DocumentClient,
    clinic: str,
    name: str,
    binary: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    client.deploy(name, CLINIC, {"auto_rollback": False})
    client.start(name, 3, 100)

    answer = triton.infer(name, patients(binary=True), outputs=[InferRequestedOutput("predict", binary_data=binary)])

    assert answer.get_output("predict")["datatype"] == "BYTES"
    told = answer.as_numpy("predict").tolist()
    assert [each.decode() if isinstance(each, bytes) else each for each in told] == ["unsure"] * len(PATIENTS)


def test_a_number_has_no_confidence(triton: InferenceServerClient, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)

    answer = triton.infer(name, ages(50, 60))

    assert [output["name"] for output in answer.get_response()["outputs"]] == ["predict"]
    assert answer.as_numpy("predict").tolist() == [0.5, 0.6]


def test_all_rows_of_a_request_have_one_role_and_count_once(
    triton: InferenceServerClient, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"auto_promote": False})
    client.start(name, 2, 50)

    roles = [triton.infer(name, ages(*range(20, 70))).get_response()["parameters"]["model_role"] for _ in range(30)]

    assert set(roles) == {"baseline", "canary"}
    assert eventually(
        lambda: (
            {role: client.metrics(name)[role]["requests"] for role in ("baseline", "canary")}
            == {role: roles.count(role) for role in ("baseline", "canary")}
        )
    )


@pytest.mark.parametrize("version", ["1", "2", "risk@2"])
def test_a_version_is_pinned_and_no_evidence(
    triton: InferenceServerClient, client: DocumentClient, name: str, version: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True, "auto_promote": False})
    client.start(name, 2, 50)
    number = version[-1]

    answers = [triton.infer(name, ages(50), model_version=version).get_response() for _ in range(10)]
    triton.infer(name, ages(50))

    assert triton.get_model_metadata(name)["versions"] == ["1", "2"]
    assert triton.get_model_metadata(name, version)["versions"] == [number]
    assert {each["model_version"] for each in answers} == {number}
    assert eventually(lambda: sum(client.metrics(name)[role]["requests"] for role in ("baseline", "canary")) > 0)
    assert sum(client.metrics(name)[role]["requests"] for role in ("baseline", "canary")) == 1


def test_a_canary_cannot_be_pinned_where_callers_may_not_choose(
    triton: InferenceServerClient, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 0)

    with pytest.raises(InferenceServerException, match="may not choose it") as refused:
        triton.infer(name, ages(50), model_version="2")

    assert refused.value.status() == "409"
    assert triton.get_model_metadata(name)["versions"] == ["1"]
    assert not triton.is_model_ready(name, "2")


def test_a_pinned_canary_that_fails_is_the_callers_answer_and_an_unpinned_one_fails_over(
    triton: InferenceServerClient, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True, "auto_rollback": False})
    client.start(name, 3, 100)

    with pytest.raises(InferenceServerException, match="the weights are gone") as refused:
        triton.infer(name, ages(50), model_version="3")
    answer = triton.infer(name, ages(50, 60)).get_response()

    assert refused.value.status() == "500"
    assert (answer["model_version"], answer["parameters"]["failover"]) == ("1", True)


@pytest.mark.parametrize("asked_for", ["always", "never"])
def test_a_forced_role_is_obeyed_where_it_is_allowed(
    triton: InferenceServerClient, client: DocumentClient, name: str, asked_for: str
) -> None:
    client.deploy(name, STABLE, {"allow_forced": True})
    client.start(name, 2, 50)

    answers = [triton.infer(name, ages(50), headers={"X-Canary": asked_for}).get_response() for _ in range(8)]

    assert {each["model_version"] for each in answers} == {"2" if asked_for == "always" else "1"}


@pytest.mark.parametrize("way", ["parameter", "header"])
def test_an_entity_keeps_its_role(triton: InferenceServerClient, client: DocumentClient, name: str, way: str) -> None:
    client.deploy(name, STABLE, {"sticky": True, "auto_promote": False})
    client.start(name, 2, 50)

    def role(entity: str) -> str:
        more = {"parameters": {"entity_id": entity}} if way == "parameter" else {"headers": {"X-Entity-Id": entity}}
        role: str = triton.infer(name, ages(50), **more).get_response()["parameters"]["model_role"]
        return role

    roles = [{role(f"patient-{number}") for _ in range(3)} for number in range(12)]

    assert all(len(each) == 1 for each in roles)
    assert set.union(*roles) == {"baseline", "canary"}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([tensor("age", "INT64", [63], binary=True)], "missing: chol"),
        ([*ages(50), tensor("y", "INT64", [63], binary=False)], "unknown: x, y"),
        ([tensor("x", "FP64", [[63.5, 1.0]], binary=True)], "age is not a whole number"),
        ([tensor("x", "FP64", [[63.0, 1.0, 2.0]], binary=True)], "in this order: age, chol"),
        ([tensor("x", "FP64", [[63.0, np.nan]], binary=False)], "chol may not be null"),
        ([tensor("x", "FP64", [[63.0, np.inf]], binary=False)], "chol is not finite"),
        ([tensor("x", "FP64", np.zeros((0, 2)), binary=True)], "no rows"),
        ([tensor("x", "FP64", np.zeros((1001, 2)), binary=True)], "SERINUS_MAX_ROWS"),
    ],
)
def test_what_is_wrong_is_told_to_tritons_client(
    triton: InferenceServerClient, client: DocumentClient, name: str, inputs: list[InferInput], message: str
) -> None:
    client.deploy(name, STABLE)

    with pytest.raises(InferenceServerException, match=message) as refused:
        triton.infer(name, inputs)

    assert refused.value.status() == "422"


def test_what_there_is_not_is_told_to_tritons_client(
    triton: InferenceServerClient, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)

    asked: list[Callable[[], object]] = [
        lambda: triton.infer("nowhere", ages(50)),
        lambda: triton.get_model_metadata("nowhere"),
        lambda: triton.infer(name, ages(50), model_version="7"),
        lambda: triton.get_model_metadata(name, "7"),
    ]
    for asking in asked:
        with pytest.raises(InferenceServerException) as refused:
            asking()
        assert refused.value.status() == "404"
    with pytest.raises(InferenceServerException, match="There is no output 'y'"):
        triton.infer(name, ages(50), outputs=[InferRequestedOutput("y")])
    assert not triton.is_model_ready("nowhere")


# ------------------------------------------------------------------------------------- MLServer's codecs


def test_mlservers_codecs_speak_to_it(server: Server, clinic: str, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists() and "CI" not in os.environ:
        pytest.skip(f"MLServer is not installed: {MLServer.remedy}")

    ran = subprocess.run(
        [str(python), "-W", "ignore", str(CODECS), server.url, clinic, name, json.dumps(PATIENTS)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(),
    )

    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said["frame"]["predict"] == PREDICTED
    assert said["frame"]["confidence"] == CONFIDENCE
    assert said["columns"] == [PREDICTED, ["ill", "well", "ill"]]
    assert said["matrix"] == [0.5, 0.6]
    assert said["base64"] == PREDICTED
    assert said["metadata"] == ["age", "chol", "city", "smokes"]
    assert said["error"].startswith("The features do not match the model's signature (missing: chol")


# ------------------------------------------------------------------------------------- the protocol itself


def test_a_server_that_is_about_to_end_is_alive_and_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path / "home", SERINUS_DRAIN_DELAY="30") as server, server.http() as http:
        server.process.send_signal(signal.SIGTERM)

        assert eventually(lambda: http.get("/v2/health/ready").status_code == 503)
        refusal = problem(http.get("/v2/health/ready"), 503)
        assert refusal["ready"] is False
        assert refusal["error"].startswith(refusal["detail"])
        assert http.get("/v2/health/live").json() == {"live": True}


def test_an_error_is_a_problem_document_and_the_protocols_own(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)

    refusals = [
        problem(http.post(f"/v2/models/{name}/infer", json={"inputs": []}), 422),
        problem(http.post(f"/v2/models/{name}/infer", content="{"), 400),
        problem(http.post("/v2/models/nowhere/infer", json=ROW), 404),
        problem(http.get("/v2/models/nowhere"), 404),
        problem(http.get(f"/v2/models/{name}/infer"), 405),
        problem(http.get("/v2/nothing"), 404),
        problem(http.post(f"/v2/models/{name}/infer", content=b" " * 2_000_000), 413),
        problem(http.post(f"/v2/models/{name}/infer", json=ROW, headers={"Content-Encoding": "gzip"}), 415),
    ]

    for refusal in refusals:
        assert refusal["error"] == f"{refusal['detail']} {refusal.get('remedy', '')}".strip()


def test_nested_data_and_fields_of_others_are_understood(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    body = {
        "id": None,
        "parameters": {"content_type": "np", "headers": {"a": "b"}},
        "outputs": None,
        "raw": 1,
        "inputs": [{**ROW["inputs"][0], "data": [[63, 233.0]], "parameters": None, "kind": "x"}],
    }

    answer = http.post(f"/v2/models/{name}/infer", json=body)

    document = answer.json()
    assert answer.status_code == 200, document
    assert answer.headers["content-type"] == "application/json"
    assert document["id"] == document["parameters"]["prediction_id"]
    assert document["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [1], "data": [0.63]}]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shape": [-1, 2]}, "inputs.x"),
        ({"shape": [1e30, 2]}, "inputs[0].shape[0]"),
        ({"shape": [10**18, 2]}, "inputs.x"),
        ({"shape": [10**40, 2]}, "inputs.x"),
        ({"shape": [1] * 500}, "inputs.x"),
        ({"shape": "1"}, "inputs[0].shape"),
        ({"data": [[[63]], [233.0]]}, "inputs.x"),
        ({"data": [63, "233"]}, "inputs.x"),
        ({"data": {}}, "inputs.x"),
        ({"datatype": "FP128"}, "inputs.x"),
        ({"datatype": 7}, "inputs[0].datatype"),
        ({"parameters": {"binary_data_size": 16}}, "inputs.x"),
        ({"parameters": {"binary_data_size": -1}}, "inputs.x"),
        ({"parameters": {"binary_data_size": "16"}}, "inputs.x"),
        ({"parameters": {"shared_memory_region": "r"}}, "inputs.x"),
        ({"parameters": {"content_type": "image/png"}}, "inputs.x.parameters.content_type"),
        ({"parameters": {"content_type": {}}}, "inputs.x.parameters.content_type"),
        ({"name": 5}, "inputs[0].name"),
        ({"name": "x" * 5000}, "inputs." + "x" * 80),
    ],
)
def test_a_tensor_that_is_none_is_the_callers_error_and_named(
    http: httpx2.Client, client: DocumentClient, name: str, change: dict[str, Any], field: str
) -> None:
    client.deploy(name, STABLE)
    wrong = {**ROW["inputs"][0], **change}
    if "name" in change:
        wrong["shape"] = [2]

    refusal = problem(http.post(f"/v2/models/{name}/infer", json={"inputs": [wrong]}), 422)

    assert refusal["field"] == field
    assert len(refusal["detail"]) < 300


def test_values_are_not_looked_at_where_their_number_or_names_are_wrong(
    http: httpx2.Client, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    matrix = {"name": "x", "shape": [1001, 2], "datatype": "FP64", "data": "no list at all"}
    strangers = [{"name": f"x{each}", "shape": [1], "datatype": "FP64", "data": "none"} for each in range(10_000)]

    too_many = problem(http.post(f"/v2/models/{name}/infer", json={"inputs": [matrix]}), 422)
    unknown = problem(http.post(f"/v2/models/{name}/infer", json={"inputs": strangers}), 422)

    assert too_many["detail"] == "The request has more than 1000 rows."
    assert (too_many["field"], unknown["field"]) == ("inputs.x", "features.age")
    assert (unknown["missing"], len(unknown["unknown"])) == (["age", "chol"], 20)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (json.dumps(ROW), {"Inference-Header-Content-Length": "9999"}, 400),
        (json.dumps(ROW), {"Inference-Header-Content-Length": "-1"}, 400),
        (json.dumps(ROW), {"Inference-Header-Content-Length": "9" * 5000}, 400),
        (json.dumps(ROW), {"Inference-Header-Content-Length": "³"}, 400),
        (json.dumps(ROW), {"Inference-Header-Content-Length": "5"}, 400),
        (json.dumps(ROW) + "abc", {"Inference-Header-Content-Length": str(len(json.dumps(ROW)))}, 422),
        ("[" * 100_000, {}, 422),
        ('{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}", {}, 422),
        (json.dumps(ROW).replace("63", "[" * 5000 + "]" * 5000), {}, 400),
        (json.dumps(ROW).replace("63", "1" + "0" * 5000), {}, 422),
        (json.dumps(ROW | {"id": "\ud800"}), {}, 400),
        (json.dumps(ROW | {"id": 7}), {}, 422),
        (json.dumps(ROW | {"parameters": {"entity_id": [1]}}), {}, 422),
        (json.dumps(ROW | {"outputs": [{"name": "\u0000"}]}), {}, 422),
        ("null", {}, 422),
        ("", {}, 400),
        ("\xff", {}, 400),
    ],
)
def test_a_body_that_makes_no_sense_is_the_callers_error(
    http: httpx2.Client, client: DocumentClient, name: str, content: str, headers: dict[str, str], status: int
) -> None:
    client.deploy(name, STABLE)
    coded = {key.encode(): value.encode("latin-1") for key, value in headers.items()}

    assert problem(http.post(f"/v2/models/{name}/infer", content=content.encode("latin-1"), headers=coded), status)
