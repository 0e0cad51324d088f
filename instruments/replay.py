"""Replay of a table of measured points: an experiment of the past is looked up instead of carried out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    Description,
    DriverSettings,
    FieldSpec,
    Health,
    InputFile,
    Instrument,
    Reconciled,
    SafeReport,
)
from sdl.errors import DriverError, InputError, InstrumentFault, UnitError, listed, near_miss
from sdl.tables import Table, read_table
from sdl.units import DIMENSIONLESS, canonical_unit, convert_difference, read_duration, read_quantity

from .points import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdl.clock import Clock
    from sdl.world import World

COST = "cost"
"""Name of the result field that holds what a point cost."""

UNCERTAINTY = "_uncertainty"
"""Ending of the result field that holds an outcome's standard uncertainty."""


class ReplaySettings(DriverSettings):
    """Settings of `replay`.

    Attributes:
        table: CSV or Parquet file, one measured point a row.
        outcomes: columns that were measured.
        parameters: columns that say where; default: all that have no other role here.
        match: `exact` (to 12 digits: a number survives being written as text), or `nearest` within `tolerance`.
        tolerance: for `nearest`: the largest distance per parameter, a number in the column's unit or a quantity, one
            for all or one per column; words must be equal. Nearest is the row whose largest distance, in units of the
            tolerance, is smallest.
        replicates: rows of one point are averaged (`mean`), or one of them is drawn (`draw`) from seed, point, sample
            and occurrence.
        seed: of the draws where the lab has no world.
        cost: column of what each measurement cost; given as the field `cost`.
        duration: lab time that a measurement takes.
        units: column → unit; default: dimensionless.
        standard_uncertainty: outcome → standard uncertainty of one measurement, in the outcome's unit: a number, or the
            column that holds it; given as the field `<outcome>_uncertainty`. A mean of n has it over the root of n.
    """

    table: InputFile
    outcomes: list[str] = Field(min_length=1)
    parameters: list[str] | None = None
    match: Literal["exact", "nearest"] = "exact"
    tolerance: float | str | dict[str, float | str] | None = None
    replicates: Literal["mean", "draw"] = "mean"
    seed: int = 0
    cost: str | None = None
    duration: str = "0 s"
    units: dict[str, str] = Field(default_factory=dict)
    standard_uncertainty: dict[str, float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.match == "nearest") != (self.tolerance is not None):
            raise ValueError("'tolerance' goes with match: nearest, and only with it")
        for word, names in (("outcomes", self.outcomes), ("parameters", self.parameters or [])):
            if len(set(names)) < len(names):
                raise ValueError(f"'{word}' names a column twice: {listed(names)}")
        both = [name for name in self.outcomes if name in (self.parameters or [])]
        if both:
            raise ValueError(f"{listed(both)}: a column is a parameter or an outcome, not both")
        if self.parameters is not None and not self.parameters:
            raise ValueError("'parameters' must name at least one column")
        for name, value in self.standard_uncertainty.items():
            if name not in self.outcomes:
                raise ValueError(f"standard_uncertainty: '{name}' is no outcome{near_miss(name, self.outcomes)}")
            if not isinstance(value, str) and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"standard_uncertainty of '{name}' must be finite and not negative, got {value:g}")
        try:
            read_duration(self.duration)
            for unit in self.units.values():
                canonical_unit(unit)
        except UnitError as error:
            raise ValueError(str(error)) from error
        return self

    def unit(self, column: str) -> str:
        """Return the unit of a column."""
        return self.units.get(column, DIMENSIONLESS)


@dataclass(frozen=True, eq=False)
class Archive:
    """The measured points of a table, by the roles that the settings give its columns.

    Attributes:
        table: as read.
        settings: the roles.
        parameters: names of the columns that say where.
        points: the distinct points.
        values: result field → what was measured, shape (rows,).
    """

    table: Table
    settings: ReplaySettings
    parameters: tuple[str, ...]
    points: Points
    values: Mapping[str, NDArray[np.float64]]

    @classmethod
    def open(cls, settings: ReplaySettings) -> Archive:
        """Read the table and check it against the settings.

        Raises:
            DriverError: the table is missing, empty or malformed; a column is unknown; a measurement is not a finite
                number; a tolerance is missing.
        """
        try:
            return cls._open(settings)
        except DriverError:
            raise
        except InputError as error:
            raise DriverError(f"replay: {error}") from error

    @classmethod
    def _open(cls, settings: ReplaySettings) -> Archive:
        table = read_table(settings.table)
        spread = {o: u for o, u in settings.standard_uncertainty.items() if isinstance(u, str)}
        other = [*settings.outcomes, *([settings.cost] if settings.cost else []), *spread.values()]
        for name in [*other, *(settings.parameters or []), *settings.units]:
            table.require(name)
        parameters = tuple(settings.parameters or [c for c in table.columns if c not in other])
        if not parameters:
            raise DriverError(f"replay: {table.path}: no column is left to say where the outcomes were measured")
        doubled = [name for name in parameters if name in other]
        if doubled:
            raise DriverError(
                f"replay: {listed(doubled)}: a column has one role only: parameter, outcome, uncertainty or cost"
            )
        columns = {name: _cells(table, name) for name in parameters}
        values = {name: table.numbers(name) for name in settings.outcomes}
        for outcome, uncertainty in settings.standard_uncertainty.items():
            values[outcome + UNCERTAINTY] = (
                table.numbers(uncertainty) if isinstance(uncertainty, str) else np.full(table.rows, float(uncertainty))
            )
            wrong = np.flatnonzero(values[outcome + UNCERTAINTY] < 0)
            if wrong.size:
                raise DriverError(
                    f"replay: {table.place(int(wrong[0]))}, column '{uncertainty}': a negative uncertainty"
                )
        if settings.cost is not None:
            if COST in settings.outcomes:
                raise DriverError(
                    "replay: an outcome is called 'cost', so that 'cost' cannot be a column of costs as well"
                )
            values[COST] = table.numbers(settings.cost)
        if len(values) < len(settings.outcomes) + len(settings.standard_uncertainty) + (settings.cost is not None):
            raise DriverError(f"replay: two result fields have one name; outcomes are {listed(settings.outcomes)}")
        return cls(table, settings, parameters, Points.of(columns), values)

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """Per number parameter, the largest allowed distance in the column's unit; empty for exact matches.

        Raises:
            DriverError: one is missing, surplus, not positive or of another dimension.
        """
        given = self.settings.tolerance
        if given is None:
            return {}
        numeric = [name for name in self.parameters if name in self.points.levels]
        per_column = given if isinstance(given, dict) else dict.fromkeys(numeric, given)
        for name in per_column:
            if name not in numeric:
                raise DriverError(
                    f"replay: tolerance: '{name}' is no parameter of numbers{near_miss(name, numeric)}; "
                    f"there are {listed(numeric)}"
                )
        missing = [name for name in numeric if name not in per_column]
        if missing:
            raise DriverError(f"replay: match: nearest needs a tolerance for {listed(missing)}")
        return {name: _distance(name, per_column[name], self.settings.unit(name)) for name in numeric}

    def fields(self) -> tuple[tuple[FieldSpec, ...], tuple[FieldSpec, ...]]:
        """Return the parameters and the results of `measure`."""
        specs: list[FieldSpec] = []
        for name in self.parameters:
            unit = self.settings.unit(name)
            if name in self.points.levels:
                levels = self.points.levels[name]
                specs.append(FieldSpec(name, "number", unit, float(levels[0]), float(levels[-1])))
            else:
                specs.append(FieldSpec(name, "text", choices=self.points.words[name]))
        results = [FieldSpec(name, "number", self._unit_of_result(name)) for name in self.values]
        return tuple(specs), tuple(results)

    def _unit_of_result(self, name: str) -> str:
        if name in self.settings.outcomes:
            return self.settings.unit(name)
        if name == COST and self.settings.cost is not None:
            return self.settings.unit(self.settings.cost)
        unit = self.settings.unit(name.removesuffix(UNCERTAINTY))
        # An uncertainty is a difference: in an offset unit (degC) it would be converted as a point on the scale.
        return {"degC": "delta_degC", "degF": "delta_degF"}.get(unit, unit)

    def lookup(self, arguments: Mapping[str, Any]) -> int | None:
        """Return the number of the point that the arguments mean, or None."""
        if self.settings.match == "exact":
            return self.points.find(arguments)
        return self.points.nearest_within(arguments, self.tolerances)

    def find(self, arguments: Mapping[str, Any]) -> int:
        """Return the number of the point that the arguments mean.

        Raises:
            InstrumentFault: there is none; the nearest row is named.
        """
        point = self.lookup(arguments)
        if point is not None:
            return point
        row = int(self.points.rows_of(self.points.closest(arguments))[0])
        here = ", ".join(f"{name} = {arguments[name]}" for name in self.parameters)
        there = ", ".join(f"{name} = {self._cell(name, row)}" for name in self.parameters)
        within = "" if self.settings.match == "exact" else f" within the tolerance ({self._tolerance_text()})"
        raise InstrumentFault(
            f"replay: no measured point at {here}{within}; the nearest is {there} ({self.table.place(row)}). "
            "Let the campaign propose only measured points (space.candidates), or state match: nearest with a tolerance"
        )

    def _cell(self, name: str, row: int) -> str:
        cell = self.table.data[name][row]
        return cell if isinstance(cell, str) else repr(float(cell))

    def _tolerance_text(self) -> str:
        return ", ".join(f"{name} ± {value:g} {self.settings.unit(name)}" for name, value in self.tolerances.items())

    def mean(self, point: int) -> dict[str, float]:
        """Return the mean over all rows of a point, with the standard uncertainty of the mean."""
        rows = self.points.rows_of(point)
        result = {name: float(values[rows].mean()) for name, values in self.values.items()}
        for outcome in self.settings.standard_uncertainty:
            name = outcome + UNCERTAINTY
            result[name] = float(np.sqrt((self.values[name][rows] ** 2).sum()) / len(rows))
        return result

    def draw(self, point: int, seed: int, samples: tuple[str, ...], occurrence: int) -> dict[str, float]:
        """Return one row of a point, drawn from seed, point, samples and occurrence: never from the order of calls."""
        rows = self.points.rows_of(point)
        where = [self._cell(name, int(rows[0])) for name in self.parameters]
        text = json.dumps([seed, where, list(samples), occurrence])
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))
        row = int(rng.choice(rows))
        return {name: float(values[row]) for name, values in self.values.items()}


def _cells(table: Table, name: str) -> NDArray[np.float64] | tuple[str, ...]:
    cells = table.data[name]
    return cells if isinstance(cells, tuple) else table.numbers(name)


def _distance(name: str, given: float | str, unit: str) -> float:
    if isinstance(given, str):
        try:
            quantity = read_quantity(given)
        except UnitError as error:
            raise DriverError(f"replay: tolerance of '{name}': {error}") from error
        plain = quantity.unit == DIMENSIONLESS
        try:
            distance = quantity.value if plain else convert_difference(quantity.value, quantity.unit, unit)
        except UnitError as error:
            raise DriverError(f"replay: tolerance of '{name}': {error}") from error
    else:
        distance = float(given)
    if not (math.isfinite(distance) and distance > 0):
        raise DriverError(f"replay: tolerance of '{name}' must be above 0 {unit}, got {distance:g}")
    return distance


def _settings(settings: DriverSettings) -> ReplaySettings:
    if not isinstance(settings, ReplaySettings):
        raise DriverError(f"replay: settings must be ReplaySettings, got {type(settings).__name__}")
    return settings


class Replay(Instrument):
    """Looks measured points up in a table."""

    nature = "replay"
    settings_model = ReplaySettings

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self._replay = _settings(settings)
        self._running: set[str] = set()

    @cached_property
    def _archive(self) -> Archive:
        return Archive.open(self._replay)

    @classmethod
    def describe(cls, settings: DriverSettings, driver: str = "replay") -> Description:
        """Return the action `measure`: its parameters and results are the table's columns.

        Raises:
            DriverError: the table cannot be used; says where.
        """
        replay = _settings(settings)
        archive = Archive.open(replay)
        _ = archive.tolerances  # a bad tolerance is found here, before anything starts
        parameters, results = archive.fields()
        spec = ActionSpec(
            name="measure",
            effect="reads",
            parameters=parameters,
            results=results,
            duration=read_duration(replay.duration),
            abortable=True,
            doc="Give what was measured at a point.",
        )
        doc = "Looks measured points up in a table."
        return Description(driver, cls.nature, {"measure": spec}, doc, readings={})

    async def connect(self) -> None:
        """Read the table."""
        _ = self._archive.tolerances

    async def perform(self, action_name: str, ctx: Context, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give what was measured at a point, after the stated duration.

        Raises:
            InstrumentFault: no such action, or no such point.
        """
        if action_name != "measure":
            raise InstrumentFault(f"{self.name}: no action '{action_name}'; there is 'measure'")
        self._running.add(ctx.command.id)
        try:
            await ctx.sleep(read_duration(self._replay.duration))
        finally:
            self._running.discard(ctx.command.id)
        point = self._archive.find(arguments)
        if self._replay.replicates == "mean":
            return self._archive.mean(point)
        seed = self._replay.seed if self.world is None else self.world.seed
        return self._archive.draw(point, seed, ctx.samples, ctx.command.occurrence)

    async def health(self) -> Health:
        """Read the table."""
        try:
            rows = read_table(self._replay.table).rows
        except InputError as error:
            return Health("fault", str(error))
        return Health("ok", f"{rows} measured rows")

    async def safe_state(self) -> SafeReport:
        """Confirm that nothing moves."""
        return SafeReport(confirmed=True, message="a table has nothing that moves")

    async def abort(self, command: Command) -> bool:
        """Stop waiting for the stated duration: a look-up has nothing else to stop."""
        return command.id in self._running

    async def reconcile(self, command: Command) -> Reconciled:
        """Say that it never started: nothing of a look-up outlives the process."""
        del command
        return Reconciled("not_started")

    def truth(self, action_name: str, arguments: Mapping[str, Any], sample: str) -> Mapping[str, float] | None:
        """Return the mean outcomes of a point, or None where there is no such point."""
        del sample
        point = self._archive.lookup(arguments) if action_name == "measure" else None
        if point is None:
            return None
        mean = self._archive.mean(point)
        return {name: mean[name] for name in self._replay.outcomes}
