"""What differs between two versions of a campaign, as a person reads it: one line a parameter, outcome or setting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WHOLE = ("space.parameters", "objectives", "outcome_constraints", "stop.target")
"""Sections whose entries are told as a whole where they are new or gone."""

_UNTOLD = frozenset({"name", "description", "seed"})


@dataclass(frozen=True)
class Change:
    """One thing that differs.

    Attributes:
        where: dotted path in the file.
        was, becomes: in words; empty for what was not, or is no more, there.
    """

    where: str
    was: str
    becomes: str


def changes(
    old: Mapping[str, Any], new: Mapping[str, Any], files: Mapping[str, str], now: Mapping[str, str]
) -> tuple[Change, ...]:
    """Return what differs between two versions.

    Args:
        old: what was read from the campaign file so far, overrides applied.
        new: the same of the amended one.
        files: key → SHA-256 of the files that the former refers to.
        now: the same of the amended one.
    """
    found = _differing(dict(old), dict(new), "")
    for key in sorted({*files, *now}):
        if files.get(key) != now.get(key):
            was, becomes = ("" if d is None else f"SHA-256 {d[:12]}…" for d in (files.get(key), now.get(key)))
            found.append(Change(f"file {key}", was, becomes))
    return tuple(found)


def _differing(old: Any, new: Any, where: str) -> list[Change]:  # noqa: ANN401  plain data
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in dict.fromkeys([*old, *new]):
            if not where and key in _UNTOLD:
                continue
            place = f"{where}.{key}" if where else str(key)
            if key not in old or key not in new:
                # A section that only one of them has is told entry by entry where its entries matter.
                inner = old.get(key, new.get(key))
                if place in _WHOLE and isinstance(inner, dict):
                    found += _differing(old.get(key, {}), new.get(key, {}), place)
                else:
                    found.append(Change(place, _said(old, key), _said(new, key)))
            else:
                found += _differing(old[key], new[key], place)
        return found
    if isinstance(old, list) and isinstance(new, list) and _is_listing(old) and _is_listing(new):
        gone = [o for o in old if o not in new]
        come = [n for n in new if n not in old]
        if gone or come:
            return [Change(where, _text(o), "") for o in gone] + [Change(where, "", _text(n)) for n in come]
    return [] if old == new else [Change(where, _text(old), _text(new))]


def _is_listing(value: list[Any]) -> bool:
    """Tell a list of things, such as constraints, from a value that is a list, such as bounds."""
    return any(isinstance(item, dict) for item in value)


def _said(data: Mapping[str, Any], key: str) -> str:
    return _text(data[key]) if key in data else ""


def _text(value: Any) -> str:  # noqa: ANN401  plain data
    """Return plain data as it would stand in a file, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
