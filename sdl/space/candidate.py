"""A candidate: one point of the space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Value = float | int | str
"""A parameter's value in its declared unit, on its natural scale; text for a category."""


class Candidate(Mapping[str, Value]):
    """An immutable, hashable point of the space: parameter name → value in the parameter's declared unit."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values: dict[str, Value] = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._values == dict(other)

    def __repr__(self) -> str:
        return f"Candidate({self._values!r})"
