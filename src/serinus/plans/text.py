"""Text to plain values, each with its line: YAML where its versions 1.1 and 1.2 agree, and so JSON."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from serinus.core.errors import InvalidInput

LARGEST = 16_384
"""Characters that a plan's text may have."""
MOST_BRACKETS = 400
"""Opening ones, more than any plan needs; the time that a parser takes grows with their square."""
_DEEPEST = 16

Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{0,400})?(?:[eE][-+]?[0-9]{1,3})?|[-+]?\.[0-9]{1,400}")
_EXPONENT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?[eE][-+]?[0-9]{1,3}")
"""In YAML 1.1 these want a dot and a sign; JSON has them, and so they are numbers."""
_CONSTANTS: Mapping[str, Any] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LIKE_TEXT = {f"{_TAG}str", f"{_TAG}timestamp"}
_TAGS = _LIKE_TEXT | {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "merge", "value")}


@dataclass(frozen=True, slots=True)
class Text:
    """A document, and the line at which each of its values stands, by path; lines count from 1."""

    document: Any
    lines: Mapping[Path, int]

    def line_of(self, path: Path) -> int | None:
        """Find the line of a value; of one that is missing, that of what it is missing from."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def parsed(text: str) -> Text:
    """Read a document.

    Raises:
        InvalidInput: it is no YAML, or more than this needs of it: aliases, tags, keys given twice, and values that
            YAML 1.1 and 1.2 read differently; ``details["line"]`` says where.
    """
    if len(text) > LARGEST:
        raise InvalidInput(f"A plan of {len(text)} characters is too long.", remedy=f"Give {LARGEST} at most.")
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise InvalidInput("The plan has too many brackets.", remedy="No plan needs more than a few at each step.")
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        text = text.replace("\t", " ")  # JSON may be indented by tabs, YAML not
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as wrong:
        raise _unreadable(wrong) from wrong
    if root is None:
        raise InvalidInput("There is no plan: the text is empty.", remedy="Write one, or begin with a preset.")
    reader = _Reader()
    return Text(reader.value(root, ()), reader.lines)


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        if id(node) in self._seen:
            raise _refused(node, "An alias (*) stands for another part of the plan.", "Write that part out.")
        self._seen.add(id(node))
        self.lines.setdefault(path, _line(node))
        if len(path) > _DEEPEST:
            raise _refused(node, "The plan is nested too deep.", "No plan needs that.")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        raise _refused(node, f"The tag {node.tag.replace(_TAG, '!!')} has no meaning in a plan.", "Leave it out.")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise _refused(key_node, "A key is not text.", "Write a field's name before each colon.")
            if key in mapping:
                raise _refused(key_node, f"{key!r} is given twice.", "Leave one of them out.")
            self.lines[*path, key] = _line(key_node)
            mapping[key] = self.value(value_node, (*path, key))
        return mapping


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.tag not in _TAGS or (node.style is not None and node.tag != f"{_TAG}str"):
        raise _refused(node, f"{text[:60]!r} has a tag.", "Leave it out.")
    if node.style is not None:  # JSON writes one character of many as two
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    value = _CONSTANTS[text] if text in _CONSTANTS else _number(text)
    if isinstance(value, str) != (node.tag in _LIKE_TEXT) and not _EXPONENT.fullmatch(text):
        raise _refused(
            node,
            f"{text[:60]} is not the same in all versions of YAML.",
            f'Put it in quotes, "{text[:60]}", if it is text; write numbers plainly, and true or false.',
        )
    return value


def _number(text: str) -> Any:
    if _WHOLE.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    return value if math.isfinite(value) else text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _refused(node: yaml.Node, message: str, remedy: str) -> InvalidInput:
    return InvalidInput(message, remedy=remedy, line=_line(node))


def _unreadable(wrong: Exception) -> InvalidInput:
    remedy = "Check the indentation, the quotes and the brackets there."
    if isinstance(wrong, RecursionError):
        return InvalidInput("The plan is nested too deep.", remedy="No plan needs that.")
    if not isinstance(wrong, yaml.MarkedYAMLError) or wrong.problem_mark is None:
        return InvalidInput(f"The plan is no YAML: {wrong}.", remedy="Save it as plain text in UTF-8.")
    line = wrong.problem_mark.line + 1
    return InvalidInput(f"This is no YAML: {wrong.problem}.", remedy=remedy, line=line)
