"""What may vary: continuous, integer, discrete and categorical parameters.

Every parameter maps its values to the unit interval along its own scale (`to_unit`, `from_unit`); categories map to
their index. Bounds may be written as quantities (`1273 K`); they are kept in the declared unit.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from sdl.errors import UnitError, listed
from sdl.space.candidate import Value
from sdl.units import DIMENSIONLESS, canonical_unit, is_offset, read_quantity

_MOST_LEVELS = 1_000_000
_EXACT = 1e-9
"""Relative tolerance within which two numbers written in a file are the same number."""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")  # noqa: TRY004  pydantic turns ValueError into a located error
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"a number with {len(str(value))} digits is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


Number = Annotated[float, BeforeValidator(_number)]
"""A finite number; neither text nor true/false passes for one."""

Whole = Annotated[int, Strict(), Field(ge=-(2**53), le=2**53)]
"""A whole number that floats represent exactly."""

Quantified = Annotated[
    float,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "description": "a quantity such as '1273 K'"}]}),
]
"""A finite number in the declared unit, which may be written as a quantity."""


def in_unit(text: str, unit: str | None) -> float:
    """Return a number that may be written as a quantity; where the unit is itself at fault (None), as it is written.

    Raises:
        UnitError: no quantity, or one that does not fit the unit.
    """
    quantity = read_quantity(text)
    return quantity.value if unit is None or quantity.unit == DIMENSIONLESS else quantity.to(unit)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _in_unit(value: object, info: ValidationInfo) -> object:
    """Turn `1323 K` into a number in the parameter's declared unit; leave everything else to the type's own check."""
    if not isinstance(value, str):
        return value
    try:
        return in_unit(value, info.data.get("unit"))
    except UnitError as error:
        raise ValueError(str(error)) from error


def _all_in_unit(values: object, info: ValidationInfo) -> object:
    return tuple(_in_unit(v, info) for v in values) if isinstance(values, list | tuple) else values


def _known_unit(unit: str) -> str:
    try:
        canonical_unit(unit)
    except UnitError as error:
        raise ValueError(str(error)) from error
    return unit


class Continuous(_Frozen):
    """A real number between two bounds.

    Attributes:
        unit: the declared unit; canonical for this parameter everywhere in the platform.
        bounds: lower and upper bound, inclusive, in the declared unit.
        scale: `linear` or `log`; along which the parameter is sampled and modelled.
    """

    type: Literal["continuous"]
    unit: str = DIMENSIONLESS
    bounds: tuple[Quantified, Quantified]
    scale: Literal["linear", "log"] = "linear"

    _unit = field_validator("unit")(_known_unit)
    _bounds = field_validator("bounds", mode="before")(_all_in_unit)

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        lower, upper = bounds
        if not lower < upper:
            raise ValueError(f"bounds must be [lower, upper] with lower below upper, got [{lower:g}, {upper:g}]")
        if not math.isfinite(upper - lower):
            raise ValueError(f"the bounds [{lower:g}, {upper:g}] lie too far apart to be computed with")
        return bounds

    @field_validator("scale")
    @classmethod
    def _has_logarithm(cls, scale: str, info: ValidationInfo) -> str:
        if scale == "log" and "unit" in info.data and "bounds" in info.data:
            unit, (lower, upper) = info.data["unit"], info.data["bounds"]
            if is_offset(unit):
                raise ValueError(
                    f"scale: log has no meaning in {unit}, whose zero is arbitrary; use another unit, such as K"
                )
            if lower <= 0:
                raise ValueError(f"scale: log needs bounds above 0, got [{lower:g}, {upper:g}]; use scale: linear")
            if not math.isfinite(upper / lower):
                raise ValueError(f"the bounds [{lower:g}, {upper:g}] lie too far apart to be computed with")
        return scale

    @property
    def lower(self) -> float:
        """Lower bound in the declared unit."""
        return float(self.bounds[0])

    @property
    def upper(self) -> float:
        """Upper bound in the declared unit."""
        return float(self.bounds[1])

    def to_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map values, shape (n,), in the declared unit to [0, 1] along the scale."""
        if self.scale == "log":
            return np.log(values / self.lower) / math.log(self.upper / self.lower)
        return (values - self.lower) / (self.upper - self.lower)

    def from_unit(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map [0, 1], shape (n,), to values in the declared unit; rounding never leaves the bounds."""
        if self.scale == "log":
            values = self.lower * np.exp(u * math.log(self.upper / self.lower))
        else:
            values = self.lower + u * (self.upper - self.lower)
        return np.clip(values, self.lower, self.upper)  # rounding of the last bit only: u lies in [0, 1]

    def allows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell for which of many finite values, shape (n,), `problem` is None; returns shape (n,)."""
        slack = _EXACT * (self.upper - self.lower)
        return np.asarray((values >= self.lower - slack) & (values <= self.upper + slack))

    def problem(self, value: Value) -> str | None:
        """Say why the value is not allowed, or None."""
        if isinstance(value, str | bool) or not math.isfinite(value):
            return f"{value!r} is not a finite number"
        slack = _EXACT * (self.upper - self.lower)
        if not self.lower - slack <= value <= self.upper + slack:
            return f"{value:g} {self.unit} is outside [{self.lower:g}, {self.upper:g}] {self.unit}"
        return None


class Integer(_Frozen):
    """A whole number between two bounds, both inclusive."""

    type: Literal["integer"]
    unit: str = DIMENSIONLESS
    bounds: tuple[Whole, Whole]

    _unit = field_validator("unit")(_known_unit)

    @field_validator("bounds")
    @classmethod
    def _ordered(cls, bounds: tuple[int, int]) -> tuple[int, int]:
        lower, upper = bounds
        if not lower < upper:
            raise ValueError(f"bounds must be [lower, upper] with lower below upper, got [{lower}, {upper}]")
        if upper - lower >= _MOST_LEVELS:
            raise ValueError(f"[{lower}, {upper}] has more than {_MOST_LEVELS} levels; use type: continuous")
        return bounds

    @property
    def lower(self) -> float:
        """Lower bound in the declared unit."""
        return float(self.bounds[0])

    @property
    def upper(self) -> float:
        """Upper bound in the declared unit."""
        return float(self.bounds[1])

    @property
    def levels(self) -> NDArray[np.float64]:
        """All allowed numbers, ascending; shape (k,)."""
        return np.arange(self.bounds[0], self.bounds[1] + 1, dtype=np.float64)

    def to_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map values, shape (n,), to [0, 1]."""
        return (values - self.lower) / (self.upper - self.lower)

    def from_unit(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map [0, 1], shape (n,), to whole numbers, each with an equal share of the interval."""
        count = int(self.upper - self.lower) + 1
        return self.lower + np.minimum(np.floor(u * count), count - 1)

    def allows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell for which of many finite values, shape (n,), `problem` is None; returns shape (n,)."""
        return np.asarray((values == np.round(values)) & (values >= self.lower) & (values <= self.upper))

    def problem(self, value: Value) -> str | None:
        """Say why the value is not allowed, or None."""
        if isinstance(value, str | bool) or not float(value).is_integer():
            return f"{value!r} is not a whole number"
        if not self.lower <= value <= self.upper:
            return f"{value:g} {self.unit} is outside [{self.lower:g}, {self.upper:g}] {self.unit}"
        return None


class Discrete(_Frozen):
    """One of a list of ordered numbers.

    Attributes:
        values: the allowed numbers in the declared unit; kept ascending.
    """

    type: Literal["discrete"]
    unit: str = DIMENSIONLESS
    values: tuple[Quantified, ...]

    _unit = field_validator("unit")(_known_unit)
    _values = field_validator("values", mode="before")(_all_in_unit)

    @field_validator("values")
    @classmethod
    def _ordered(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if len(values) < 2:
            raise ValueError(f"needs at least two numbers, got {len(values)}")
        if len(set(values)) != len(values):
            raise ValueError(f"a number stands twice in {list(values)}")
        if not math.isfinite(max(values) - min(values)):
            raise ValueError(f"the numbers {list(values)} lie too far apart to be computed with")
        return tuple(sorted(values))

    @property
    def lower(self) -> float:
        """Smallest allowed number."""
        return float(self.values[0])

    @property
    def upper(self) -> float:
        """Largest allowed number."""
        return float(self.values[-1])

    @property
    def levels(self) -> NDArray[np.float64]:
        """All allowed numbers, ascending; shape (k,)."""
        return np.asarray(self.values, dtype=np.float64)

    def to_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map values, shape (n,), to [0, 1]."""
        return (values - self.lower) / (self.upper - self.lower)

    def from_unit(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map [0, 1], shape (n,), to allowed numbers, each with an equal share of the interval."""
        count = len(self.values)
        chosen: NDArray[np.float64] = self.levels[np.minimum((u * count).astype(int), count - 1)]
        return chosen

    def allows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell for which of many finite values, shape (n,), `problem` is None; returns shape (n,)."""
        slack = _EXACT * max(abs(self.lower), abs(self.upper))
        levels = self.levels
        right = np.clip(np.searchsorted(levels, values), 1, len(levels) - 1)
        nearest = np.minimum(np.abs(values - levels[right - 1]), np.abs(values - levels[right]))
        return np.asarray(nearest <= slack)

    def problem(self, value: Value) -> str | None:
        """Say why the value is not allowed, or None."""
        slack = _EXACT * max(abs(self.lower), abs(self.upper))
        if isinstance(value, str | bool) or not any(abs(value - v) <= slack for v in self.values):
            return f"{value!r} is none of {', '.join(f'{v:g}' for v in self.values)} {self.unit}"
        return None


class Categorical(_Frozen):
    """One of a list of names.

    Attributes:
        values: the names.
        descriptors: per name, numbers that describe it (ionic radius, dielectric constant), for the planner's model.
    """

    type: Literal["categorical"]
    values: tuple[Annotated[str, Strict()], ...]
    descriptors: dict[str, dict[str, Number]] | None = None

    @property
    def unit(self) -> str:
        """Categories have no unit."""
        return DIMENSIONLESS

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) < 2:
            raise ValueError(f"needs at least two names, got {len(values)}")
        if len(set(values)) != len(values):
            raise ValueError(f"a name stands twice in {list(values)}")
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.descriptors is not None:
            if set(self.descriptors) != set(self.values):
                raise ValueError(
                    f"descriptors must be given for exactly {list(self.values)}, got {list(self.descriptors)}"
                )
            if len({frozenset(d) for d in self.descriptors.values()}) != 1 or not next(iter(self.descriptors.values())):
                raise ValueError("every value needs the same descriptors, at least one")
        return self

    def to_unit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Leave indices as they are."""
        return values

    def from_unit(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map [0, 1], shape (n,), to indices, each with an equal share of the interval."""
        count = len(self.values)
        return np.minimum(np.floor(u * count), count - 1)

    def problem(self, value: Value) -> str | None:
        """Say why the value is not allowed, or None."""
        return None if value in self.values else f"{value!r} is none of {listed(self.values)}"


Parameter = Annotated[Continuous | Integer | Discrete | Categorical, Field(discriminator="type")]
