"""Turn parts of a document into validated objects, and collect every problem on the way instead of stopping at the first."""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from sdl.errors import Problem, brief, listed, near_miss

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic_core import ErrorDetails

    from sdl.campaign.document import Document, Where

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Reader:
    """Reads one document; problems gather in a list that several readers may share.

    Attributes:
        document: what is read.
        problems: everything that was found wrong.
    """

    document: Document
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, where: Where, message: str) -> None:
        """Note a problem at a path."""
        self.problems.append(self.document.problem(where, message))

    def at(self, where: Where) -> Any:  # noqa: ANN401  plain data
        """Return the value at a path, or None."""
        value = self.document.data
        for key in where:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def mapping(self, where: Where, *, required: bool = True, what: str = "of names to settings") -> dict[str, Any]:
        """Return the mapping at a path; notes a problem and returns an empty one where there is none."""
        value = self.at(where)
        if isinstance(value, dict) and (value or not required):
            return value
        if value is not None and not isinstance(value, dict):
            self.wrong(where, f"must be a mapping ({what}), got {brief(value)}")
        elif required:
            self.wrong(where, f"is {'missing' if value is None else 'empty'}: {what} is needed here")
        return {}

    def only(self, where: Where, allowed: Collection[str]) -> None:
        """Note every key of the mapping at a path that is not allowed there."""
        value = self.at(where)
        if isinstance(value, dict):
            for key in value:
                if key not in allowed:
                    self.unknown((*where, key), key, allowed)

    def unknown(self, where: Where, key: str, allowed: Collection[str], what: str = "key", of: str = "") -> None:
        """Note an unknown word with a near miss; `of` says whose it should be."""
        said = f"unknown {what} {brief(key)}{' of ' + of if of else ''}{near_miss(key, allowed)}"
        self.wrong(where, f"{said}; allowed are {listed(allowed)}")

    def kind(self, where: Where, kinds: Mapping[str, type[Model]], what: str) -> type[Model] | None:
        """Return the class that the `type` of the mapping at a path names, or note a problem."""
        value = self.at(where)
        if not isinstance(value, dict):
            self.wrong(where, f"must be a mapping with a 'type' ({listed(kinds)}), got {brief(value)}")
            return None
        name = value.get("type")
        if name is None:
            self.wrong(where, f"'type' is missing; one of {listed(kinds)}")
        elif not isinstance(name, str) or name not in kinds:
            self.wrong(
                (*where, "type"),
                f"unknown {what} type {brief(name)}{near_miss(str(name), kinds)}; one of {listed(kinds)}",
            )
        else:
            return kinds[name]
        return None

    def model(
        self,
        model: type[Model],
        where: Where,
        value: Any = None,  # noqa: ANN401  plain data
        context: Mapping[str, Any] | None = None,
    ) -> Model | None:
        """Return the value at a path as a validated object; notes every problem and returns None where it is not one.

        Args:
            model: what it should be.
            where: its path.
            value: the data, where they are not those of the document itself.
            context: handed to the model's validators.
        """
        data = self.at(where) if value is None else value
        if data is None:
            data = {}
        if not isinstance(data, dict):
            self.wrong(where, f"must be a mapping, got {brief(data)}")
            return None
        try:
            return model.model_validate(data, context=dict(context or {}))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._note(model, where, detail)
            return None

    def _note(self, model: type[BaseModel], where: Where, detail: ErrorDetails) -> None:
        loc = tuple(detail["loc"])
        place = (*where, *loc)
        kind = detail["type"]
        given = detail.get("input")
        if kind == "extra_forbidden":
            self.unknown(place, str(loc[-1]), _fields_at(model, loc[:-1]))
        elif kind == "missing":
            self.wrong(place, "is missing")
        elif kind == "literal_error":
            expected = [str(x) for x in _literal_at(model, loc)]
            self.wrong(place, f"{brief(given)} is none of {listed(expected)}{near_miss(str(given), expected)}")
        elif kind == "string_type":
            self.wrong(place, f"must be text, got {brief(given)}; put it in quotes if it is meant as text")
        elif kind in {"value_error", "assertion_error"}:
            self.wrong(place, str(detail.get("ctx", {}).get("error", detail["msg"])))
        elif kind in {"too_long", "too_short"} and isinstance(given, list | tuple):
            wanted = detail.get("ctx", {}).get("max_length") or detail.get("ctx", {}).get("min_length")
            self.wrong(place, f"must be {wanted} values, got {len(given)}: {list(given)} (a decimal comma? write 0.5)")
        elif kind in {"int_type", "int_from_float", "int_parsing"}:
            self.wrong(place, f"must be a whole number, got {given!r}")
        else:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            self.wrong(place, f"{message}, got {brief(given)}")


def _annotation_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> Any:  # noqa: ANN401
    hint: Any = model
    for key in loc:
        parts = [hint, *typing.get_args(hint)]
        owner = next((p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)), None)
        written = {} if owner is None else {f.alias or name: f for name, f in owner.model_fields.items()}
        if key in written:
            hint = written[str(key)].annotation
        else:
            arguments = [a for a in typing.get_args(hint) if a is not Ellipsis]
            hint = arguments[-1] if arguments else None
    return hint


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    hint = _annotation_at(model, loc)
    owner = next((p for p in (hint, *typing.get_args(hint)) if isinstance(p, type) and issubclass(p, BaseModel)), None)
    return [f.alias or name for name, f in owner.model_fields.items()] if owner is not None else []


def _literal_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[Any]:
    hint = _annotation_at(model, loc)
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    return [
        x for part in typing.get_args(hint) if typing.get_origin(part) is typing.Literal for x in typing.get_args(part)
    ]
