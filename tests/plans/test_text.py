"""Which text is read, and how."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.errors import InvalidInput
from serinus.plans.text import LARGEST, parsed


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as wrong:
        parsed(text)
    assert wrong.value.remedy
    return wrong.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: 0.5", {"a": 0.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: '16:00'", {"a": "16:00"}),
        ('a: "on"', {"a": "on"}),
        ("a: 08:00", {"a": "08:00"}),
        ("a: Fri 16:00", {"a": "Fri 16:00"}),
        ("a: 2026-12-20T00:00", {"a": "2026-12-20T00:00"}),
        ("a: 2026-12-20T00:00:00", {"a": "2026-12-20T00:00:00"}),
        ("a: true", {"a": True}),
        ("a:", {"a": None}),
        ("a: 5m", {"a": "5m"}),
        ("- {a: 1}\n- b", [{"a": 1}, "b"]),
        ("\ufeffa: 1", {"a": 1}),
        ('{\n\t"a": 1\n}', {"a": 1}),
    ],
)
def test_values_are_what_they_look_like(text: str, value: object) -> None:
    assert parsed(text).document == value


@pytest.mark.parametrize(
    "scalar",
    ["on", "off", "yes", "No", "16:00", "1:30:00", "010", "0x1F", "1_000", "0b1", ".inf", ".nan", "<<", "="],
)
@pytest.mark.parametrize("place", ["a: {}", "{}: 1", "- {}"])
def test_what_older_and_newer_yaml_read_differently_is_refused_with_its_line(place: str, scalar: str) -> None:
    wrong = refused("# a plan\n" + place.format(scalar))
    assert wrong.details["line"] == 2
    assert scalar in wrong.message or "key" in wrong.message


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is given twice", 3),
        ("a: {b: 1, b: 2}", "'b' is given twice", 1),
        ('{"a": 1,\n "a": 2}', "'a' is given twice", 2),
        ("a: &x 1\nb: *x", "alias", 1),
        ("a: &x [*x]", "alias", 1),
        ("a: !!python/object/apply:os.system [ls]", "tag", 1),
        ("a: !mine 5", "tag", 1),
        ("a: !!set {b}", "tag", 1),
        ('a: !!int "5"', "tag", 1),
        ("1: a", "key", 1),
        ("? [a]\n: 1", "key", 1),
        ("a: [1", "no YAML", 1),
        ("a: 1\n\tb: 2", "no YAML", 2),
        ("a: 1\n---\nb: 2", "no YAML", 2),
    ],
)
def test_what_a_plan_does_not_need_is_refused_with_its_line(text: str, told: str, line: int) -> None:
    wrong = refused(text)
    assert told in wrong.message
    assert wrong.details["line"] == line


@pytest.mark.parametrize("text", ["", "# nothing\n", "a\x00", "[" * 5000, '{"a":' * 5000, "a: " + "[" * 20 + "]" * 20])
def test_what_is_no_plan_at_all_is_refused(text: str) -> None:
    refused(text)


def test_text_of_any_length_is_not_even_looked_at() -> None:
    assert str(LARGEST + 1) in refused("#" * (LARGEST + 1)).message


def test_each_value_has_its_line() -> None:
    text = parsed("a: 1\nb:\n  - c\n  - d: 2\n    e: 3\n")
    assert text.line_of(("b",)) == 2
    assert text.line_of(("b", 1, "e")) == 5
    assert text.line_of(("b", 1, "missing", 4)) == 4
    assert text.line_of(()) == 1


VALUES: Any = st.recursive(
    st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), VALUES, min_size=1), st.sampled_from([None, 2, "\t"]))
def test_json_is_read_as_json(document: dict[str, Any], indent: Any) -> None:
    assert parsed(json.dumps(document, indent=indent)).document == document


@given(st.text(max_size=60) | st.text("ab:-[]{}\"'&*!|>#\n \t0", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed(text)
    except InvalidInput as wrong:
        assert wrong.message  # noqa: PT017 - it may be refused or not
