"""MLflow's scoring protocol, as MLflow's own client and pandas speak it."""

import json
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.http.clinic import CLINIC, PATIENTS, PREDICTED, register_clinic
from tests.http.problems import problem
from tests.models import STABLE
from tests.server import Server, eventually

from serinus.client import DocumentClient
from serinus.core.names import VersionRef

FRAME = pd.DataFrame(PATIENTS)
NAMES = list(PATIENTS[0])
CSV = {"content-type": "text/csv"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def clinic(client: DocumentClient) -> str:
    """A deployment of the classifier."""
    register_clinic(client)
    client.deploy("clinic", CLINIC)
    return "clinic"


@pytest.fixture(scope="module")
def narrow(client: DocumentClient) -> str:
    """A deployment of a model that has one feature."""
    client.deploy("narrow", VersionRef("narrow", 1))
    return "narrow"


def rows() -> list[list[Any]]:
    return [list(patient.values()) for patient in PATIENTS]


FORMS: dict[str, dict[str, Any]] = {
    "split": {"dataframe_split": FRAME.to_dict(orient="split")},
    "split in another order": {"dataframe_split": FRAME[NAMES[::-1]].to_dict(orient="split")},
    "tight": {"dataframe_split": FRAME.to_dict(orient="tight")},
    "records": {"dataframe_records": FRAME.to_dict(orient="records")},
    "instances of objects": {"instances": PATIENTS},
    "instances of lists": {"instances": rows()},
    "inputs by column": {"inputs": FRAME.to_dict(orient="list")},
    "inputs of objects": {"inputs": PATIENTS},
    "inputs of lists": {"inputs": rows()},
    "with params": {"dataframe_records": PATIENTS, "params": {"entity_id": "ann"}},
    "with no params": {"dataframe_records": PATIENTS, "params": None},
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_are_answered_in_every_form_of_the_protocol(http: httpx2.Client, clinic: str, form: str) -> None:
    body = json.dumps(FORMS[form])  # with NaN, as pandas' users send it

    answer = http.post(f"/invocations/{clinic}", content=body, headers=JSON)

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"predictions": PREDICTED}


@pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=utf-8", 'Text/CSV;charset="UTF-8"'])
def test_csv_is_answered_as_pandas_writes_it(http: httpx2.Client, clinic: str, content_type: str) -> None:
    content = FRAME[NAMES[::-1]].to_csv(index=False)

    answer = http.post(f"/invocations/{clinic}", content=content.encode(), headers={"content-type": content_type})

    assert answer.json() == {"predictions": PREDICTED}


@pytest.mark.parametrize("body", [{"instances": [50, 60]}, {"inputs": [50, 60]}, {"inputs": {"age": [50, 60]}}])
def test_a_model_of_one_feature_takes_bare_values(http: httpx2.Client, narrow: str, body: dict[str, Any]) -> None:
    assert http.post(f"/invocations/{narrow}", json=body).json() == {"predictions": [0.5, 0.6]}


def test_one_object_of_single_values_is_one_row(http: httpx2.Client, clinic: str) -> None:
    assert http.post(f"/invocations/{clinic}", json={"inputs": PATIENTS[0]}).json() == {"predictions": [1]}


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
def test_mlflows_client_speaks_to_it(server: Server, client: DocumentClient, name: str, clinic: str) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client.deploy(name, STABLE)

    def asking(deployment: str) -> ScoringServerClient:
        scoring = ScoringServerClient("127.0.0.1", server.port)  # type: ignore[no-untyped-call]  # MLflow's
        # The client appends /invocations to the address; what comes after a question mark says nothing here.
        scoring.url_prefix = f"{server.url}/invocations/{deployment}?asked="
        return scoring

    of_frame = asking(clinic).invoke(FRAME)
    of_array = asking(name).invoke(np.array([[50.0, 1.0], [60.0, 2.0]]))

    assert of_frame.get_predictions()[0].tolist() == PREDICTED
    assert of_array.get_predictions("ndarray").tolist() == [0.5, 0.6]
    with pytest.raises(Exception, match="RESOURCE_DOES_NOT_EXIST"):
        asking("nowhere").invoke(FRAME)


def test_headers_say_who_answered(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE, {"auto_rollback": False})
    client.start(name, 3, 100)

    answer = http.post(f"/invocations/{name}", json={"instances": [[50, 1.0], [60, 1.0]]})

    assert answer.json() == {"predictions": [0.5, 0.6]}
    assert answer.headers["x-serinus-prediction-id"]
    assert answer.headers["x-serinus-role"] == "baseline"
    assert answer.headers["x-serinus-version"] == "risk@1"
    assert answer.headers["x-serinus-failover"] == "true"
    assert eventually(lambda: client.metrics(name)["canary"]["model_errors"] == 1)


def test_a_forced_role_is_obeyed_where_it_is_allowed(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE, {"allow_forced": True})
    client.start(name, 2, 0)

    answer = http.post(f"/invocations/{name}", json={"instances": [[50, 1.0]]}, headers={"X-Canary": "always"})

    assert answer.headers["x-serinus-role"] == "canary"


def test_an_entity_keeps_its_role(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE, {"sticky": True, "auto_promote": False})
    client.start(name, 2, 50)

    def role(entity: str | int, *, in_header: bool) -> str:
        body: dict[str, Any] = {"instances": [[50, 1.0]]}
        if in_header:
            answer = http.post(f"/invocations/{name}", json=body, headers={b"X-Entity-Id": str(entity).encode()})
        else:
            answer = http.post(f"/invocations/{name}", json=body | {"params": {"entity_id": entity}})
        said: str = answer.headers["x-serinus-role"]
        return said

    entities = [*range(14), *(f"Zoë-{number}" for number in range(14))]
    roles = [{role(entity, in_header=way) for way in (True, False)} for entity in entities]

    assert all(len(each) == 1 for each in roles)
    assert set.union(*roles) == {"baseline", "canary"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ([], "body"),
        (None, "body"),
        ({"columns": ["age"], "data": [[1]]}, "body"),
        ({"instances": [], "inputs": []}, "body"),
        ({"instances": [[1, 2]], "signature_name": "x"}, "body"),
        ({"instances": []}, "body"),
        ({"inputs": {}}, "features.age"),
        ({"inputs": {"age": [], "chol": [], "city": [], "smokes": []}}, "body"),
        ({"instances": rows(), "params": {"temperature": 1}}, "params"),
        ({"instances": rows(), "params": [1]}, "params"),
        ({"instances": rows(), "params": {"entity_id": 1.5}}, "params.entity_id"),
        ({"instances": {}}, "instances"),
        ({"instances": [1]}, "features"),
        ({"instances": [[63, 1.0]]}, "features"),
        ({"instances": [PATIENTS[0], [1]]}, "features"),
        ({"instances": [{"age": 63}]}, "features.chol"),
        ({"instances": [["63", 1.0, "Bern", True]]}, "features.age"),
        ({"inputs": "all"}, "inputs"),
        ({"inputs": {"age": [1], "chol": 2, "city": ["Bern"], "smokes": [True]}}, "inputs.chol"),
        ({"inputs": {"age": [1, 2], "chol": [2], "city": ["Bern"], "smokes": [True]}}, "features.chol"),
        ({"inputs": {"age": [[1]], "chol": [2], "city": ["Bern"], "smokes": [True]}}, "features.age"),
        ({"inputs": {"age": [1]}}, "features.chol"),
        ({"dataframe_records": {"age": [1]}}, "dataframe_records"),
        ({"dataframe_records": [1]}, "features"),
        ({"dataframe_records": [{**PATIENTS[0], "chol": float("inf")}]}, "features.chol"),
        ({"dataframe_split": rows()}, "dataframe_split"),
        ({"dataframe_split": {"data": rows()}}, "dataframe_split"),
        ({"dataframe_split": {"columns": NAMES[:3], "data": rows()}}, "features.smokes"),
        ({"dataframe_split": {"columns": [*NAMES, "age"], "data": rows()}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": [1, 2], "data": rows()}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": [[], {}], "data": rows()}}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1]]}}, "features"),
        ({"dataframe_split": {"columns": NAMES, "data": [1]}}, "features"),
    ],
)
def test_what_does_not_fit_is_the_callers_error_and_named(
    http: httpx2.Client, clinic: str, body: Any, field: str
) -> None:
    refusal = problem(http.post(f"/invocations/{clinic}", content=json.dumps(body), headers=JSON), 422)

    assert refusal["field"] == field
    assert refusal["error_code"] == "BAD_REQUEST"
    assert refusal["message"] == f"{refusal['detail']} {refusal['remedy']}"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("", "features.age"),
        ("age,chol\n1,2\n", "features.city"),
        (",age,chol,city,smokes\n0,63,1.0,Bern,True\n", "features."),
        ("age,chol,city,smokes\n", "body"),
        ("age,age,chol,city,smokes\n1,1,2,Bern,True\n", "body"),
        ("age,chol,city,smokes\n63,1.0,Bern\n", "features"),
        ("age,chol,city,smokes\nold,1.0,Bern,True\n", "features.age"),
        ("age,chol,city,smokes\n63.5,1.0,Bern,True\n", "features.age"),
        ("age,chol,city,smokes\n,1.0,Bern,True\n", "features.age"),
        ("age,chol,city,smokes\n63,1e999,Bern,True\n", "features.chol"),
        ("age,chol,city,smokes\n63,1.0,Bern,1\n", "features.smokes"),
        (f"age,chol,city,smokes\n{'9' * 5000},1.0,Bern,True\n", "features.age"),
        ('age,chol,city,smokes\n63,1.0,"Bern,True\n', "body"),
        (f"age,chol,city,smokes\n63,1.0,{'B' * 200_000},True\n", "body"),
        ("age,chol,city,smokes\n63,1.0,\x00,True\n\xff", "body"),
    ],
)
def test_csv_that_does_not_fit_is_the_callers_error_and_named(
    http: httpx2.Client, clinic: str, content: str, field: str
) -> None:
    refusal = problem(http.post(f"/invocations/{clinic}", content=content.encode("latin-1"), headers=CSV), 422)

    assert refusal["field"] == field


def test_the_row_that_does_not_fit_is_named(http: httpx2.Client, clinic: str) -> None:
    refusal = problem(http.post(f"/invocations/{clinic}", json={"instances": [PATIENTS[0], {}]}), 422)

    assert refusal["detail"].startswith("Row 1: ")
    assert refusal["row"] == 1


@pytest.mark.parametrize(
    "content_type",
    ["application/json; format=pandas-split", "application/vnd.apache.parquet", "text/csv; charset=latin-1", "image/*"],
)
def test_another_content_type_is_refused(http: httpx2.Client, clinic: str, content_type: str) -> None:
    problem(http.post(f"/invocations/{clinic}", content="{}", headers={"content-type": content_type}), 415)


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000 + "]" * 100_000, '{"inputs": ' + "[" * 100_000, "\xff"])
def test_a_body_that_is_no_json_is_refused(http: httpx2.Client, clinic: str, content: str) -> None:
    refusal = http.post(f"/invocations/{clinic}", content=content.encode("latin-1"), headers=JSON)

    assert problem(refusal, refusal.status_code)["error_code"] == "BAD_REQUEST"
    assert refusal.status_code in {400, 422}


def test_no_other_method_is_answered(http: httpx2.Client, clinic: str) -> None:
    refusal = http.get(f"/invocations/{clinic}")

    assert problem(refusal, 405)["error_code"] == "BAD_REQUEST"
    assert refusal.headers["allow"] == "POST"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


@given(
    form=st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]),
    data=ANYTHING | st.fixed_dictionaries({"columns": ANYTHING | st.just(NAMES), "data": ANYTHING}),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_or_the_callers_error(
    http: httpx2.Client, clinic: str, form: str, data: object
) -> None:
    answer = http.post(f"/invocations/{clinic}", content=json.dumps({form: data}), headers=JSON)

    assert answer.status_code in {200, 400, 422}, answer.text
