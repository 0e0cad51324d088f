"""A YAML file as plain data with the place of every value.

The YAML read here is a subset of YAML 1.2's core schema: mappings, lists and scalars. Tags, anchors, aliases and duplicate
keys are refused; `no`, `on` and `12:30` stay text; `1e-3` is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from sdl.errors import FileProblems, InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Where = tuple[str | int, ...]
"""A path inside a document: keys and indices."""

LARGEST = 4 * 1024 * 1024
"""Largest YAML file in bytes; tables belong into files of their own."""

_DEEPEST = 40
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
        import copy  # noqa: PLC0415

        data = copy.deepcopy(self.data)
        places = dict(self.places)
        for where, value in assignments:
            target = data
            for key in where[:-1]:
                if isinstance(target, dict):
                    target = target.setdefault(key, {})
                elif isinstance(target, list) and isinstance(key, int) and key < len(target):
                    target = target[key]
                else:
                    raise InputError(f"--set {dotted(where)}: '{key}' leads nowhere in {self.name}")
            last = where[-1]
            if isinstance(target, dict):
                target[str(last)] = value
            elif isinstance(target, list) and isinstance(last, int) and last < len(target):
                target[last] = value
            else:
                raise InputError(f"--set {dotted(where)}: '{last}' leads nowhere in {self.name}")
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
        size = path.stat().st_size
        if size > LARGEST:
            raise FileProblems([Problem(shown, None, None, "", f"{size} bytes is too large for a YAML file ({LARGEST})")])
        raw = path.read_bytes()
    except OSError as error:
        raise FileProblems([Problem(shown, None, None, "", f"cannot be read: {error.strerror or error}")]) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); a campaign is a YAML text file"
        raise FileProblems([Problem(shown, None, None, "", message)]) from error
    return parse_document(text, shown)


def parse_document(text: str, name: str) -> Document:
    """Parse YAML text; see `read_document`."""
    problems: list[Problem] = []
    try:
        _refuse_aliases(text, name, problems)
        if problems:
            raise FileProblems(problems)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise FileProblems([_yaml_problem(error, name)]) from error
    except RecursionError as error:
        raise FileProblems([Problem(name, None, None, "", "is nested too deeply")]) from error
    if root is None:
        raise FileProblems([Problem(name, 1, 1, "", "is empty; see campaigns/opv_photostability.yaml for a campaign")])
    places: dict[Where, tuple[int, int]] = {}
    data = _plain(root, (), places, name, problems)
    if not isinstance(data, dict):
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
    return document.data["value"]


def _refuse_aliases(text: str, name: str, problems: list[Problem]) -> None:
    """Look at the events first: composing would expand an alias bomb."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if depth > _DEEPEST:
            problems.append(Problem(name, line, column, "", f"is nested deeper than {_DEEPEST} levels"))
            return
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            problems.append(Problem(name, line, column, "", "anchors and aliases are not allowed; write the value out"))
        elif getattr(event, "tag", None):
            problems.append(Problem(name, line, column, "", f"the tag {event.tag} is not allowed; write plain values"))


def _yaml_problem(error: yaml.YAMLError, name: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    said = str(getattr(error, "problem", None) or error).strip()
    if "'\\t'" in said or "\\t" in said:
        said = "a tab stands where only spaces may; indent with spaces"
    elif "another document" in said:
        said = "holds more than one YAML document; one file is one campaign or one lab"
    elif "special characters are not allowed" in str(error) or "unacceptable character" in str(error):
        said = "holds characters that no YAML text may hold; is it a binary file?"
    else:
        said = f"is not valid YAML: {said}"
    return Problem(name, mark.line + 1 if mark else None, mark.column + 1 if mark else None, "", said)


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
            if key in result:
                problems.append(Problem(name, line, column, dotted((*where, key)), f"the key '{key}' stands twice"))
                continue
            result[key] = _plain(value_node, (*where, key), places, name, problems)
            if not isinstance(value_node, yaml.ScalarNode):
                places[(*where, key)] = (line, column)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, i), places, name, problems) for i, item in enumerate(node.value)]
    return _scalar(node)


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
