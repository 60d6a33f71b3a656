"""The short way reads a body exactly as the long way does, or leaves it to it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import SerinusError
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Row, Signature
from serinus.http.hot_plan import Misfit, Plan, planned
from serinus.http.predict import Request

NUMBER = Output(OutputKind.NUMBER)
NAMES = st.sampled_from(["age", "chol", "f0", "features", "größe", "a b", "entity_id"]) | st.text(max_size=6)
_decode = msgspec.json.Decoder(Request, float_hook=float).decode


class Raw(str):
    """JSON as it is sent."""

    __slots__ = ()


NUMERALS = st.sampled_from(
    [
        *("0", "-0", "0.0", "-0.0", "63", "63.0", "6.3e1", "63e0", "63.5", "1e2", "1E+2", "1e-2", "-7", "-7.0"),
        *(
            "9007199254740993",
            "9007199254740993.0",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775808",
        ),
        *("9223372036854774784.0", "9223372036854775808.0", "-9223372036854775808.0", "-9223372036854775809"),
        *(
            "18446744073709551615",
            "18446744073709551616",
            "1e18",
            "1e19",
            "1e308",
            "1e309",
            "-1e309",
            "5e-324",
            "1e-400",
        ),
        *(
            "1" + "0" * 30,
            "1" + "0" * 400,
            "-1" + "0" * 400,
            "0.1" + "0" * 400,
            "01",
            "+1",
            ".5",
            "1.",
            "NaN",
            "Infinity",
        ),
        *("0x10", "1_000", "63.00000000000000000001", "0.30000000000000004", "123456789012345678901234567890.5"),
    ]
)
TEXTS = st.sampled_from(
    [
        '""',
        '"ill"',
        '"63"',
        '"Zoë 🐤"',
        '"\\u0000"',
        '"\\ud800"',
        '"\\ud83d\\udc24"',
        '"\\n"',
        '"a\tb"',
        '"\\x"',
        "'ill'",
    ]
)
VALUES = (
    (NUMERALS | TEXTS).map(Raw)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from([[], [1], {}, {"a": 1}])
)
ENTITIES = (
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["[]", "{}", "1e3", "18446744073709551616", '"\\ud800"']).map(Raw)
)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    return Signature(tuple(Feature(name, draw(st.sampled_from(Dtype)), draw(st.booleans())) for name in names), NUMBER)


FITTING: dict[Dtype, st.SearchStrategy[Any]] = {
    Dtype.INT: st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**6), 10**6).map(float),
    Dtype.FLOAT: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    Dtype.BOOL: st.booleans(),
    Dtype.STR: st.text(max_size=5),
}


def written(value: object, *, ascii_only: bool) -> str:
    return str(value) if isinstance(value, Raw) else json.dumps(value, ensure_ascii=ascii_only)


@st.composite
def bodies(draw: st.DrawFn, signature: Signature) -> bytes:
    """Draw a body that may fit, or that is off by a little, or by much."""
    ascii_only = draw(st.booleans())
    members = [
        (feature.name, draw(VALUES if draw(st.integers(0, 3)) == 0 else FITTING[feature.dtype]))
        for feature in signature.features
    ]
    members = draw(st.permutations(members))
    oddity = draw(st.integers(0, 9))
    if oddity == 0:
        members = members[1:]
    elif oddity == 1:
        members = [*members, (draw(NAMES), draw(VALUES))]
    elif oddity == 2:
        members = [*members, (members[0][0], draw(VALUES))]

    def text(value: object) -> str:
        return written(value, ascii_only=ascii_only)

    features = "{" + ", ".join(f"{text(name)}: {text(value)}" for name, value in members) + "}"
    parts = [f'"features": {features}']
    if draw(st.booleans()):
        parts.append(f'"entity_id": {text(draw(ENTITIES))}')
    strange = draw(st.integers(0, 19))
    if strange == 0:
        parts.append(
            f'"{draw(st.sampled_from(["extra", "features", "entity_id", "instances"]))}": {text(draw(VALUES))}'
        )
    body = "{" + ",".join(draw(st.permutations(parts))) + "}"
    if strange == 1:
        body = body[: draw(st.integers(0, len(body)))]
    elif strange == 2:
        body += draw(st.sampled_from([" ", "\n", "x", "{}", "\0"]))
    return body.encode("utf-8", "surrogatepass")


def read_the_long_way(signature: Signature, body: bytes) -> tuple[Row, str | None]:
    """Read a body as ``http.predict`` does."""
    request = _decode(body)
    if not isinstance(request.instances, msgspec.UnsetType):
        raise TypeError("several rows")
    entity = str(request.entity_id) if isinstance(request.entity_id, int) else request.entity_id
    return signature.row(request.features), entity


@given(st.data())
def test_what_a_plan_reads_is_what_the_signature_reads(data: st.DataObject) -> None:
    signature = data.draw(signatures())
    plan = planned(signature)
    body = data.draw(bodies(signature))
    if plan is None:
        return
    try:
        read = plan.read(body)
    except Misfit:
        return

    assert repr(read) == repr(read_the_long_way(signature, body))


@given(st.data())
def test_a_plan_reads_every_body_that_fits_and_is_in_ascii(data: st.DataObject) -> None:
    features = data.draw(st.lists(st.sampled_from(Dtype), min_size=1, max_size=5))
    signature = Signature(tuple(Feature(f"f {n}", dtype) for n, dtype in enumerate(features)), NUMBER)
    values = {
        feature.name: data.draw(st.text("abc", max_size=3) if feature.dtype is Dtype.STR else FITTING[feature.dtype])
        for feature in signature.features
    }
    entity = data.draw(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text())
    body = json.dumps({"features": values, "entity_id": entity}).encode()
    try:
        expected = read_the_long_way(signature, body)
    except (SerinusError, ValueError):  # -2**63 for the one, half a character for the other
        return

    if all(value != -(2**63) for value in values.values()):
        assert repr(Plan(signature).read(body)) == repr(expected)


def test_a_value_that_may_be_missing_is_read_where_it_is_null_and_misfits_where_it_is_left_out() -> None:
    signature = Signature((Feature("x", Dtype.FLOAT, nullable=True), Feature("s", Dtype.STR, nullable=True)), NUMBER)
    plan = Plan(signature)

    assert plan.read(b'{"features": {"x": null, "s": null}}') == ([None, None], None)
    with pytest.raises(Misfit):
        plan.read(b'{"features": {"x": null}}')


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_names_that_no_plan_can_have_are_left_to_the_long_way(name: str) -> None:
    assert planned(Signature((Feature(name, Dtype.FLOAT),), NUMBER)) is None


def test_a_plan_can_have_a_thousand_features() -> None:
    signature = Signature(tuple(Feature(f"x{n}", Dtype.FLOAT) for n in range(1000)), NUMBER)
    body = json.dumps({"features": {f"x{n}": n for n in reversed(range(1000))}}).encode()

    assert Plan(signature).read(body) == ([float(n) for n in range(1000)], None)
