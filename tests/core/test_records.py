"""Evidence as it is kept and sent."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.samples import JSON, NOW, STABLE

from serinus.core.evidence import LAST_BUCKET, Counts, Evidence, Key
from serinus.core.records import ModelVersion, VersionDraft, decoded_evidence, encoded_evidence
from serinus.core.routing import Role
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

COUNT = st.integers(0, 2**63)
EVIDENCE = st.dictionaries(
    st.builds(Key, st.text(max_size=8), st.text(max_size=8), st.integers(0, 99), st.sampled_from(Role)),
    st.builds(
        Counts,
        COUNT,
        COUNT,
        COUNT,
        COUNT,
        COUNT,
        st.dictionaries(st.integers(0, LAST_BUCKET), COUNT, max_size=5),
        st.floats(0, 1e12),
    ),
    max_size=4,
)
ROW: list[object] = ["d:1", "m@2", 3, "canary", 100, 2, 1, 5, 4, 812.5, [[0, 90], [117, 10]]]


@given(EVIDENCE)
def test_evidence_comes_back_from_json_as_it_was(evidence: Evidence) -> None:
    assert decoded_evidence(json.loads(json.dumps(encoded_evidence(evidence)))) == evidence


@given(EVIDENCE)
def test_the_same_evidence_is_always_the_same_text(evidence: Evidence) -> None:
    backwards = dict(reversed(list(evidence.items())))
    assert json.dumps(encoded_evidence(backwards)) == json.dumps(encoded_evidence(evidence))


def test_a_row_of_evidence_is_read_by_its_places() -> None:
    assert decoded_evidence([ROW]) == {
        Key("d:1", "m@2", 3, Role.CANARY): Counts(
            requests=100,
            model_errors=2,
            timeouts=1,
            client_errors=5,
            platform_errors=4,
            latency={0: 90, 117: 10},
            latency_sum_ms=812.5,
        )
    }


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, None),
        (1, 2),
        (2, -1),
        (2, "3"),
        (3, "shadow"),
        (3, ["canary"]),
        (4, 1.5),
        (4, True),
        (5, -2),
        (6, None),
        (9, None),
        (9, "much"),
        (10, {"0": 90}),
        (10, "0"),
        (10, [0, 90]),
        (10, [[0, 90, 1]]),
        (10, [[0, -1]]),
        (10, [[-1, 5]]),
        (10, [[LAST_BUCKET + 1, 5]]),
    ],
)
def test_a_row_that_is_not_evidence_is_refused(place: int, value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        decoded_evidence([[*ROW[:place], value, *ROW[place + 1 :]]])


@given(st.lists(JSON | st.lists(JSON, min_size=11, max_size=11), min_size=1, max_size=2))
def test_whatever_is_not_evidence_is_refused_in_one_way(raw: list[list[object]]) -> None:
    with pytest.raises((TypeError, ValueError)):
        decoded_evidence(raw)


def test_a_version_has_the_signature_of_its_draft() -> None:
    signature = Signature((Feature("age", Dtype.INT),), Output(OutputKind.NUMBER))
    draft = VersionDraft(model="churn", digest="sha256:00", size=1, format="skops", signature=signature)
    assert ModelVersion(STABLE, draft, NOW).signature is signature
