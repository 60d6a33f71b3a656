import hashlib
import hmac

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from serinus.core.signature import Scalar
from serinus.hashing import HashKey, InputHasher

KEY = HashKey(b"0123456789abcdef")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": 2**53 - 1}, {"a": float(2**53 - 1)}),
    ],
    ids=["order", "whole", "zero", "large"],
)
def test_the_same_inputs_have_the_same_hash(one: dict[str, Scalar], other: dict[str, Scalar]) -> None:
    assert KEY.of_inputs(one) == KEY.of_inputs(other)


def test_other_inputs_have_other_hashes() -> None:
    inputs: list[dict[str, Scalar | None]] = [
        {"a": 1},
        {"a": 2},
        {"b": 1},
        {"a": True},
        {"a": None},
        {"a": "1"},
        {"a": 1, "b": 1},
        {"a": 2**53 + 1},
        {"a": 2**53 + 2},
        {"a": -(2**53) - 1},
        {"a": 1e300},
        {"a": 10**400},
        {"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"},
        {"a": "e\N{COMBINING ACUTE ACCENT}"},
        {"a": "\ud800"},
        {"\ud800": 1},
        {"a": "\0"},
        {"a": "\N{SMILING FACE WITH SUNGLASSES}"},
        {"": ""},
        {},
    ]

    assert len({KEY.of_inputs(each) for each in inputs}) == len(inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"": ""},
        {"b": 1.0, "a": None, "B": True, "aa": False, "c": 2**53 - 1},
        {"x": -0.0, "y": 1e21, "z": 1e-7, "w": -1.5e300, "v": 123456789.125},
        {"text": "".join(map(chr, range(0x300))), "quoted": '\\"/</script>'},
        {"\ufb33": "\u2028\ufeff\uffff", "\U0001f60e": "\U0001f60e", "\r": "\r", "\x80": "\x7f", '"': 1},
    ],
    ids=["none", "empty", "kinds", "numbers", "texts", "names"],
)
def test_a_hash_is_that_of_the_canonical_json_by_the_standard(inputs: dict[str, Scalar | None]) -> None:
    assert KEY.of_inputs(inputs) == KEY.of_bytes(rfc8785.dumps(inputs))


def test_a_hash_is_that_of_the_canonical_json() -> None:
    assert KEY.of_inputs({"b": 1.0, "a": "ü"}) == KEY.of_bytes('{"a":"ü","b":1}'.encode())


def test_a_hash_stays_as_it_is() -> None:
    """Hashes on record must be found again: this one was computed with OpenSSL."""
    assert HashKey(b"key").of_bytes(b"The quick brown fox jumps over the lazy dog") == (
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


def test_another_key_gives_other_hashes_under_another_id() -> None:
    other = HashKey(b"fedcba9876543210")

    assert KEY.of_inputs({"a": 1}) != other.of_inputs({"a": 1})
    assert KEY.id != other.id
    assert KEY.id == HashKey(KEY.secret).id


def test_the_id_of_a_key_gives_nothing_of_it_away() -> None:
    assert len(KEY.id) == 8
    assert KEY.id not in KEY.of_bytes(KEY.secret)
    assert KEY.id.encode() not in KEY.secret


def test_an_entity_is_hashed_whatever_its_name() -> None:
    hashes = {KEY.of_entity(entity) for entity in ("ada", "\ud800", "Ärztin", "a\0b")}

    assert len(hashes) == 4
    assert "" not in hashes
    assert KEY.of_entity(None) == KEY.of_entity("") == ""


@pytest.mark.parametrize("secret", [b"", b"k", b"k" * 64, b"k" * 65, bytes(range(256))], ids=len)
def test_a_hash_is_an_hmac_whatever_the_length_of_the_key(secret: bytes) -> None:
    assert HashKey(secret).of_bytes(b"data") == hmac.new(secret, b"data", hashlib.sha256).hexdigest()


# ------------------------------------------------------------------------------- many with the same names

NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**54), 2**54).map(float)
    | st.floats(-1, 1).map(lambda value: value * 1e-5)
    | st.booleans()
)
TEXTS = st.text(st.characters()) | st.sampled_from(
    ["", ".0,", "x.0}", "e-", ":-0,", "-0.0", "ﬁ\U0001f60e", '"', "\\", "\n"]
)
VALUES = NUMBERS | st.none() | TEXTS
NAMES = st.lists(TEXTS, unique=True, max_size=6)


def by_the_standard(names: list[str], values: list[Scalar | None]) -> str:
    """Hash what the library makes of values that JSON has a form for, and of what stands for the others."""
    return KEY.of_bytes(rfc8785.dumps({escaped(n): writable(v) for n, v in zip(names, values, strict=True)}))


def escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def writable(value: Scalar | None) -> Scalar | None:
    if isinstance(value, str):
        return escaped(value)
    return str(value) if isinstance(value, int) and abs(value) >= 2**53 else value


@given(st.data())
def test_a_hasher_gives_the_hashes_of_the_standard(data: st.DataObject) -> None:
    names = data.draw(NAMES)
    values = data.draw(
        st.lists(data.draw(st.sampled_from([VALUES, NUMBERS])), min_size=len(names), max_size=len(names))
    )

    hashed = InputHasher(KEY, names).of(values)

    assert hashed == by_the_standard(names, values)
    assert hashed == KEY.of_inputs(dict(zip(names, values, strict=True)))


@given(st.lists(NUMBERS, min_size=3, max_size=3))
@example([1.0, 1e21, 1e-7])
@example([5e-324, -0.0, 2**53])
@example([-0.0, 0.5, -0.0])
@example([0.5, 1.0, -0.0])
@example([1e16, 1.0, 1e22])
@example([-1e-5, 1e-5, 1e-6])
@example([2.0**52, 2.0**53, 2.0**53 + 2])
@example([10**400, 1.0, 1.0])
@example([True, False, 1])
@example([1.7976931348623157e308, -1.7976931348623157e308, 1.0])
def test_a_hasher_writes_numbers_as_the_standard_does(values: list[Scalar]) -> None:
    assert InputHasher(KEY, ["b", "a", "Ω"]).of(values) == by_the_standard(["b", "a", "Ω"], [*values])


def test_names_that_are_one_when_written_count_as_one() -> None:
    assert InputHasher(KEY, ["\ud800", "\\ud800"]).of([1.0, 2.0]) == KEY.of_inputs({"\\ud800": 2.0})
