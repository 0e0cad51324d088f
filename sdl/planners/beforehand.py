"""What is known of an outcome before it is measured here: physics, and earlier campaigns.

Both are told to a planner as data: a model is a pure function of points, an earlier campaign is a list of trials. How far
either is to be believed is the planner's to judge.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sdl.errors import PlannerError
from sdl.space.expressions import Term, names_in, slopes, value
from sdl.space.grammar import read_term
from sdl.units import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.driver.functions import PureFunction
    from sdl.planners.base import Trial
    from sdl.space import Space

Array = NDArray[np.float64]
Role = Literal["mean", "feature"]
"""What a model's prediction is used as: what is expected before anything is measured, or a further input of the model."""


@runtime_checkable
class PointModel(Protocol):
    """A named pure function of points; it can be pickled, and depends on nothing but the points.

    Attributes:
        name: in the campaign.
        digest: SHA-256 of all that its values depend on: text, code, settings.
    """

    @property
    def name(self) -> str:
        """In the campaign."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of all that its values depend on."""
        ...

    def __call__(self, codes: Array) -> Array:
        """Return its values at codes of shape (n, d), in the outcome's declared unit, shape (n,); may be not finite."""
        ...

    def slopes(self, codes: Array) -> Array | None:
        """Return its derivatives by the codes, shape (n, d), or None where it states none."""
        ...


@dataclass(frozen=True)
class Physics:
    """That a model says something of an outcome.

    Attributes:
        name: of the model, one of `Problem.models`.
        outcome: of which.
        role: what its prediction is used as.
    """

    name: str
    outcome: str
    role: Role


@dataclass(frozen=True)
class SourceTask:
    """An earlier campaign over the same or an overlapping space.

    Attributes:
        name: of the campaign or table.
        trials: what was measured there, as points of this space (which may lie outside its bounds and constraints), outcomes in
            this campaign's units.
        digest: SHA-256 of the data.
        overlap: what of it could be used, in words.
    """

    name: str
    trials: tuple[Trial, ...]
    digest: str
    overlap: str = ""


@functools.lru_cache(maxsize=256)
def _tree(text: str) -> Term:
    return read_term(text)


@dataclass(frozen=True)
class Converted:
    """value × factor + offset: from one unit into another."""

    factor: float = 1.0
    offset: float = 0.0

    @classmethod
    def between(cls, unit: str, to: str) -> Converted:
        """Return the conversion of values.

        Raises:
            UnitError: they measure different things.
        """
        zero = convert(0.0, unit, to)
        return cls(convert(1.0, unit, to) - zero, zero)

    def __call__(self, values: Array) -> Array:
        """Convert values of any shape."""
        return values if self == Converted() else np.asarray(values * self.factor + self.offset)


@dataclass(frozen=True)
class ExpressionModel:
    """A closed form over the plain numbers of the parameters' declared units (`sdl.space.grammar`).

    Attributes:
        name: in the campaign.
        text: the expression.
        parameters: names of the space's parameters, in the order of the codes' columns.
        unit: from its unit into the outcome's.
    """

    name: str
    text: str
    parameters: tuple[str, ...]
    unit: Converted = Converted()

    @property
    def digest(self) -> str:
        """SHA-256 of the text and the conversion of its unit."""
        return hashlib.sha256(f"{self.text} {self.unit}".encode()).hexdigest()

    @property
    def mentions(self) -> tuple[str, ...]:
        """The parameters that it names, in the order of the text."""
        return tuple(dict.fromkeys(n.name for n in names_in(_tree(self.text))))

    def _columns(self, codes: Array) -> dict[str, Array]:
        return {name: codes[:, self.parameters.index(name)] for name in self.mentions}

    def __call__(self, codes: Array) -> Array:
        """See `PointModel`."""
        return np.broadcast_to(self.unit(value(_tree(self.text), self._columns(codes))), len(codes)).astype(np.float64)

    def slopes(self, codes: Array) -> Array:
        """See `PointModel`."""
        found = np.zeros(codes.shape)
        for name, slope in slopes(_tree(self.text), self._columns(codes))[1].items():
            found[:, self.parameters.index(name)] = slope * self.unit.factor
        return found


@dataclass(frozen=True)
class Argument:
    """An argument of a function: a parameter of the space with the conversion of its unit, or a fixed value."""

    name: str
    parameter: str | None = None
    unit: Converted = Converted()
    fixed: Any = None


@dataclass(frozen=True)
class FunctionModel:
    """A function that is called point by point, or once for all with arrays.

    Attributes:
        name: in the campaign.
        function: what is called.
        arguments: what it is given.
        result: which of its results is the prediction.
        parameters: names of the space's parameters, in the order of the codes' columns.
        categories: categorical parameter → its values, whose indices stand in the codes.
        unit: from the result's unit into the outcome's.
        arrays: whether it takes arrays of shape (n,) and gives one.
    """

    name: str
    function: PureFunction
    arguments: tuple[Argument, ...]
    result: str
    parameters: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    unit: Converted = Converted()
    arrays: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the function and of what it is given."""
        text = f"{self.function.digest} {self.arguments} {self.result} {self.unit} {self.arrays}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, codes: Array) -> Array:
        """See `PointModel`.

        Raises:
            PlannerError: the function raised, or gave what is no number.
        """
        if not len(codes):
            return np.empty(0)
        rows, back = np.unique(codes, axis=0, return_inverse=True)
        if self.arrays:
            values = self._number(self._called(self._given(rows)), rows)
            if values.shape not in {(), (len(rows),)}:
                raise PlannerError(
                    f"physics '{self.name}': with arrays of {len(rows)} points it gave an array of shape {values.shape}"
                )
            found = np.broadcast_to(values, len(rows))
        else:
            found = np.array([self._one(row) for row in rows])
        return self.unit(np.asarray(found, dtype=np.float64))[back.ravel()]

    def slopes(self, codes: Array) -> None:
        """Nothing is stated: who needs derivatives takes differences."""
        del codes

    def _one(self, row: Array) -> float:
        given = {name: v if isinstance(v, str) else v[0] for name, v in self._given(row[None, :]).items()}
        given = {n: float(v) if isinstance(v, np.floating) else v for n, v in given.items()}
        return float(self._number(self._called(given), row[None, :]))

    def _given(self, rows: Array) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for argument in self.arguments:
            if argument.parameter is None:
                fixed = argument.fixed
                given[argument.name] = fixed if self.arrays or isinstance(fixed, str) else [fixed]
                continue
            column = rows[:, self.parameters.index(argument.parameter)]
            words = self.categories.get(argument.parameter)
            if words is None:
                given[argument.name] = argument.unit(column)
            else:
                names = np.array(words, dtype=object)[column.astype(int)]
                given[argument.name] = names if self.arrays else str(names[0])
        return given

    def _called(self, given: Mapping[str, Any]) -> Any:  # noqa: ANN401  whatever it gives
        try:
            return self.function(given)[self.result]
        except Exception as error:  # whatever a user's function raises
            raise PlannerError(
                f"physics '{self.name}' fails at {_said(given)}: {type(error).__name__}: {error}"
            ) from error

    def _number(self, found: object, rows: Array) -> Array:
        try:
            return np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise PlannerError(
                f"physics '{self.name}' gave {found!r} instead of a number at {_said(self._given(rows[:1]))}"
            ) from error


def _said(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} = {str(np.ravel(v)[0]) if not isinstance(v, str) else v}" for n, v in given.items())


def values_of(model: PointModel, space: Space, codes: Array) -> Array:
    """Return a model's values at codes of shape (n, d), all of them finite, shape (n,).

    Raises:
        PlannerError: one is not finite; the first such point is named.
    """
    found = model(codes)
    wrong = np.flatnonzero(~np.isfinite(found))
    if wrong.size:
        row = int(wrong[0])
        raise PlannerError(
            f"physics '{model.name}' gives {found[row]:g} at {point_of(space, codes[row])}: it must be a finite number "
            "everywhere in the space; narrow the bounds, or write it otherwise (max(x, 1e-9) in the place of x, say)"
        )
    return found


def point_of(space: Space, code: Sequence[float] | Array) -> str:
    """Return a point in words: `temperature 1050 degC, gas air`."""
    candidate = space.decode(np.asarray(code, dtype=np.float64)[None, :])[0]
    said = []
    for name, v in candidate.items():
        unit = space.parameters[name].unit
        said.append(f"{name} {v if isinstance(v, str) else f'{v:g}'}{'' if unit == 'dimensionless' else f' {unit}'}")
    return ", ".join(said)
