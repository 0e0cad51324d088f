"""A YAML file as plain data with the place of every value.

The YAML read here is a subset of YAML 1.2's core schema: mappings, lists and scalars. Tags, anchors, aliases and duplicate
keys are refused; `no`, `on` and `12:30` stay text; `1e-3` is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from sdl.errors import FileProblems, InputError, Problem, brief

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Where = tuple[str | int, ...]
"""A path inside a document: keys and indices."""

LARGEST = 256 * 1024
"""Largest YAML file in bytes; tables belong into files of their own."""

_DEEPEST = 40
_ENOUGH = 50
"""So many anchors, aliases and tags are named, then no more: an alias bomb holds thousands."""

_EMPTY = "is empty; see campaigns/opv_photostability.yaml for a campaign"
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_INT = re.compile(r"^[+-]?\d{1,400}$")
_FLOAT = re.compile(r"^[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?$")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


@dataclass(frozen=True)
class Document:
    """One file as read.

    Attributes:
        name: how the user called it; used in messages.
        text: the exact text.
        data: plain data: dict, list, str, int, float, bool, None.
        places: path → (line, column), both from 1.
    """

    name: str
    text: str
    data: Any
    places: dict[Where, tuple[int, int]] = field(default_factory=dict)

    def problem(self, where: Where, message: str) -> Problem:
        """Return a problem at a path, or at its nearest parent that has a place."""
        known = where
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        file = self.name
        if line == 0:  # set on the command line
            return Problem("--set", None, None, dotted(where), message)
        return Problem(file, line, column, dotted(where), message)

    @property
    def overridden(self) -> tuple[str, ...]:
        """Dotted paths of the values that were set on the command line."""
        return tuple(dotted(where) for where, place in self.places.items() if place == (0, 0))

    def replaced(self, assignments: Sequence[tuple[Where, Any]]) -> Document:
        """Return the document with values set from the command line; text and other places stay.

        Raises:
            InputError: a path leads through something that is not a mapping or list.
        """
        import copy

        data = copy.deepcopy(self.data)
        places = dict(self.places)
        for where, value in assignments:
            target = data
            for depth, key in enumerate(where):
                is_last = depth == len(where) - 1
                if isinstance(target, dict) and isinstance(key, str):
                    if is_last:
                        target[key] = value
                    target = target.setdefault(key, {})
                elif isinstance(target, list) and isinstance(key, int) and key < len(target):
                    if is_last:
                        target[key] = value
                    target = target[key]
                else:
                    parent = dotted(where[:depth]) or "the file"
                    holds = "a mapping" if isinstance(target, dict) else brief(target)
                    raise InputError(f"--set {dotted(where)}: {self.name} has no such place, {parent} is {holds}")
            places = {w: p for w, p in places.items() if w[: len(where)] != where}
            places[where] = (0, 0)
        return Document(self.name, self.text, data, places)


def dotted(where: Where) -> str:
    """Return a path as text: `protocol[1].with.hold`."""
    text = ""
    for key in where:
        text += f"[{key}]" if isinstance(key, int) else f"{'.' if text else ''}{key}"
    return text


def read_document(path: Path, name: str | None = None) -> Document:
    """Read a YAML file.

    Raises:
        FileProblems: it cannot be read, is empty, binary, too large, or is not the YAML described above.
    """
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        said = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise FileProblems([Problem(shown, None, None, "", said)]) from error
    if len(raw) > LARGEST:
        said = f"is too large: a YAML file holds at most {LARGEST} bytes; put tables into CSV files"
        raise FileProblems([Problem(shown, None, None, "", said)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = len(raw[raw.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8-sig")) + 1
        message = f"is not UTF-8 text (byte {error.start}); a campaign is a YAML text file"
        raise FileProblems([Problem(shown, line, column, "", message)]) from error
    return parse_document(text, shown)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; see `read_document`."""
    problems: list[Problem] = []
    try:
        root = _Loader(text, name, problems).get_single_node()
    except yaml.YAMLError as error:
        raise FileProblems([*problems, _yaml_problem(error, text, name)]) from error
    if problems:
        raise FileProblems(problems)
    if root is None:
        raise FileProblems([Problem(name, 1, 1, "", _EMPTY)])
    places: dict[Where, tuple[int, int]] = {}
    data = _plain(root, (), places, name, problems)
    if data is None:
        problems.append(Problem(name, 1, 1, "", _EMPTY))
    elif not isinstance(data, dict):
        problems.append(Problem(name, 1, 1, "", "must be a mapping of keys to values"))
    if problems:
        raise FileProblems(problems)
    return Document(name, text, data, places)


def parse_value(text: str) -> Any:  # noqa: ANN401  any plain data
    """Parse the value of `--set path=value`.

    Raises:
        FileProblems: it is not YAML.
    """
    document = parse_document(f"value: {text}" if text else "value: ''", "--set")
    if len(document.data) > 1:
        raise FileProblems([Problem("--set", None, None, "", f"{brief(text)} is more than one value")])
    return document.data["value"]


class _Loader(yaml.SafeLoader):
    """Composes nodes, and refuses what the subset leaves out before it can do harm: nothing is ever expanded."""

    def __init__(self, text: str, name: str, problems: list[Problem]) -> None:
        super().__init__(text)
        self._file = name
        self._problems = problems
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._refuse(event, "anchors and aliases are not allowed; write the value out")
        mark: Any = event.start_mark
        if getattr(event, "tag", None):
            self._refuse(event, f"the tag {brief(event.tag)} is not allowed; write plain values")
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]
            return yaml.ScalarNode("", "", mark, mark)
        self.anchors.clear()
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(event, f"is nested deeper than {_DEEPEST} levels")
            raise FileProblems(self._problems)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _refuse(self, event: Any, message: str) -> None:  # noqa: ANN401  the stubs say that an event may have no mark
        mark = event.start_mark
        self._problems.append(Problem(self._file, mark.line + 1, mark.column + 1, "", message))
        if len(self._problems) >= _ENOUGH:
            raise FileProblems(self._problems)


def _yaml_problem(error: yaml.YAMLError, text: str, name: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
    said = str(getattr(error, "problem", None) or error).strip()
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        said = (
            f"holds the character U+{ord(text[error.position]):04X}, which no YAML text may hold; is it a binary file?"
        )
    elif "\\t" in said:
        said = "a tab stands where only spaces may; indent with spaces"
    elif "another document" in said:
        said = "holds more than one YAML document; one file is one campaign or one lab"
    else:
        said = f"is not valid YAML: {said}"
    return Problem(name, line, column, "", said)


def _plain(
    node: yaml.Node, where: Where, places: dict[Where, tuple[int, int]], name: str, problems: list[Problem]
) -> Any:  # noqa: ANN401
    places[where] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, yaml.ScalarNode):
                problems.append(Problem(name, line, column, dotted(where), "a key must be a plain word"))
                continue
            key = key_node.value
            if _UNPRINTABLE.search(key):
                problems.append(
                    Problem(name, line, column, dotted(where), f"the key {key[:60]!a} holds control characters")
                )
                continue
            if key in result:
                problems.append(Problem(name, line, column, dotted((*where, key)), f"the key '{key}' stands twice"))
                continue
            result[key] = _plain(value_node, (*where, key), places, name, problems)
            if not isinstance(value_node, yaml.ScalarNode):
                places[(*where, key)] = (line, column)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, i), places, name, problems) for i, item in enumerate(node.value)]
    value = _scalar(node)
    if isinstance(value, str) and _UNPRINTABLE.search(value):
        said = f"the text {value[:60]!a} holds control characters; remove them"
        problems.append(Problem(name, *places[where], dotted(where), said))
    return value


def _scalar(node: yaml.Node) -> str | int | float | bool | None:
    text = str(node.value)
    if getattr(node, "style", None) is not None:  # quoted
        return text
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    if text.lower() in _SPECIAL:
        return float(_SPECIAL[text.lower()])
    return text
