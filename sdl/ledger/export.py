"""Write a campaign into a file for others: one row an experiment (CSV, Parquet), or everything (JSON)."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sdl.campaign.transfer import OF_TARGET
from sdl.errors import InputError, LedgerError, listed
from sdl.ledger.events import (
    CandidatesAdded,
    EpochRaised,
    ExperimentStarted,
    ObservationRecorded,
    RoundOpened,
    VersionRecorded,
)
from sdl.ledger.front import recorded_desirabilities, recorded_front
from sdl.ledger.ledger import rows_of
from sdl.ledger.queries import counting_observations, tables_of
from sdl.objective import DESIRABILITY

if TYPE_CHECKING:
    from sdl.ledger.ledger import Ledger, Row

Format = Literal["csv", "parquet", "json"]

_DIMENSIONLESS = "dimensionless"

_Kind = Literal["integer", "number", "text", "flag", "moment"]


@dataclass(frozen=True)
class Column:
    """One column of the table of experiments.

    Attributes:
        header: what stands above it, with its unit: `temperature [degC]`.
        kind: what its cells are.
    """

    header: str
    kind: _Kind


@dataclass(frozen=True)
class ExperimentTable:
    """One row an experiment, in order of number; an empty cell is None."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class _Campaign:
    """A campaign at one moment: the journal and its projections."""

    rows: list[Row]
    tables: Mapping[str, list[dict[str, Any]]]

    @property
    def head(self) -> tuple[int, str]:
        return self.rows[-1].seq, self.rows[-1].hash


def export(ledger: Ledger, name: str, format: Format, path: Path) -> None:  # noqa: A002  what it is called at the terminal
    """Write a campaign into a file, whole or not at all, and note the head; a file that is there is replaced.

    JSON carries the head itself. In a ledger that may only be read it is not noted.

    Raises:
        InputError: there is no such campaign or format, or Parquet's libraries are not installed.
        LedgerError: the ledger cannot be read, or the file cannot be written.
    """
    if format not in get_args(Format):
        raise InputError(f"'{format}' is no format of an export; there are {listed(get_args(Format))}")
    campaign = _read(ledger, name)
    if format == "json":
        data = json.dumps(_everything(campaign), indent=1, ensure_ascii=False, allow_nan=False).encode()
    elif format == "csv":
        data = _csv(_table(campaign))
    else:
        data = _parquet(_table(campaign))
    if not ledger.is_read_only:
        # Before the file, not after: a note of a head that nobody holds does no harm, a head without its note is lost.
        ledger.note_head(name, f"export {path}", campaign.head)
    _write(path, data)


def experiment_table(ledger: Ledger, name: str) -> ExperimentTable:
    """Return one row an experiment: number, state, round, source, sample, parameters, outcomes, cost, Pareto set, times.

    An outcome has five columns: its value, its standard uncertainty, the ends of its 95 % interval, and its flags (`; `
    between them). An empty cell means: not stated, or no flags. A retracted observation leaves all five empty. The column `in
    Pareto set` is there with several objectives; it is empty for an experiment that is not done. Where objectives are joined by
    their desirabilities there are `desirability`, of all together, and one of each outcome. With several sources there is `of the
    target`, false for experiments whose results only help; it is empty for those that were not started.

    Raises:
        InputError: there is no such campaign.
        LedgerError: the ledger, or the objectives in it, cannot be read.
    """
    return _table(_read(ledger, name))


def _read(ledger: Ledger, name: str) -> _Campaign:
    with ledger.reading() as connection:
        rows = rows_of(connection, name)
        tables = tables_of(connection, name)
    if not rows:
        raise ledger.unknown(name)
    return _Campaign(rows, tables)


# --- one row an experiment -------------------------------------------------------------------------------------------


@dataclass
class _Columns:
    """Collects columns in order; a cell is put where its key has a column."""

    order: list[tuple[str, ...]] = field(default_factory=list)
    columns: dict[tuple[str, ...], Column] = field(default_factory=dict)
    cells: dict[int, dict[tuple[str, ...], Any]] = field(default_factory=dict)

    def add(self, key: tuple[str, ...], header: str, kind: _Kind) -> None:
        """Add a column, unless it is there; a header that is taken is told apart by what it is."""
        if key in self.columns:
            return
        if any(c.header == header for c in self.columns.values()):
            header = f"{header} ({key[0]})"
        self.order.append(key)
        self.columns[key] = Column(header, kind)

    def put(self, number: int, key: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
        """Set a cell."""
        self.cells.setdefault(number, {})[key] = value

    def table(self) -> ExperimentTable:
        """Return what was collected."""
        rows = tuple(tuple(cells.get(k) for k in self.order) for _, cells in sorted(self.cells.items()))
        return ExperimentTable(tuple(self.columns[k] for k in self.order), rows)


_BEFORE: tuple[tuple[str, _Kind], ...] = (
    ("number", "integer"),
    ("state", "text"),
    ("round", "integer"),
    ("source", "text"),
    ("sample", "text"),
)
_AFTER: tuple[tuple[str, _Kind], ...] = (
    ("simulated", "flag"),
    ("started", "moment"),
    ("finished", "moment"),
    ("reason", "text"),
)
_IN_FRONT = ("column", "in Pareto set")
_OF_TARGET = ("column", OF_TARGET)
_KINDS: dict[str, _Kind] = {"integer": "integer", "categorical": "text"}


def _table(campaign: _Campaign) -> ExperimentTable:
    table = _Columns()
    versions = [v["data"] for v in campaign.tables["versions"]]
    helping = _helping(versions)
    for name, kind in _BEFORE:
        table.add(("column", name), name, kind)
    if helping:
        table.add(_OF_TARGET, OF_TARGET, "flag")
    for data in versions:
        for name, spec in _mapping(data, "space", "parameters").items():
            table.add(*_parameter(name, spec))
    for data in versions:
        declared = {**_mapping(data, "objectives"), **_mapping(data, "outcome_constraints")}
        for name, spec in declared.items():
            _add_outcome(table, name, _unit(spec))
    observed = counting_observations(campaign.rows)
    for event in observed.values():
        _add_outcome(table, event.outcome, event.unit)
    costs = {r.event.experiment: r.event for r in campaign.rows if isinstance(r.event, ExperimentStarted)}
    for started in costs.values():
        if started.cost is not None:
            table.add(("cost", started.cost_unit), _header("cost", started.cost_unit), "number")
    front = _front(campaign, observed)
    if front is not None:
        table.add(_IN_FRONT, "in Pareto set", "flag")
    _add_desirabilities(table, versions[-1] if versions else {}, observed)
    for name, kind in _AFTER:
        table.add(("column", name), name, kind)

    of_round, of_person = _version_of_round(campaign.rows)
    simulated = {c["experiment"]: False for c in campaign.tables["commands"]}
    for command in campaign.tables["commands"]:
        simulated[command["experiment"]] |= bool(command["simulated"])
    for experiment in campaign.tables["experiments"]:
        number = experiment["number"]
        for name, _ in (*_BEFORE, *_AFTER):
            table.put(number, ("column", name), experiment.get(name))
        table.put(number, ("column", "simulated"), simulated.get(number))
        if helping and experiment["source"]:
            table.put(number, _OF_TARGET, experiment["source"] not in helping)
        if number in costs and costs[number].cost is not None:
            table.put(number, ("cost", costs[number].cost_unit), costs[number].cost)
        if front is not None and experiment["state"] == "done":
            table.put(number, _IN_FRONT, number in front)
        version = of_round.get(experiment["round"]) or of_person.get(number, {})
        specs = _mapping(version, "space", "parameters")
        for name, value in experiment["candidate"].items():
            key, header, kind = _parameter(name, specs.get(name))
            table.add(key, header, kind)
            table.put(number, key, value)
    for event in observed.values():
        of = (event.outcome, event.unit)
        table.put(event.experiment, ("outcome", *of), event.value)
        table.put(event.experiment, ("uncertainty", *of), event.uncertainty)
        table.put(event.experiment, ("lower", *of), event.lower)
        table.put(event.experiment, ("upper", *of), event.upper)
        table.put(event.experiment, ("flags", *of), _flags(event))
    return table.table()


def _add_desirabilities(
    table: _Columns, version: Mapping[str, Any], observed: Mapping[tuple[int, str], ObservationRecorded]
) -> None:
    """Add the columns of desirabilities, that of all together first; none where objectives are not joined."""
    found = recorded_desirabilities(version, observed)
    for name in (DESIRABILITY, *_mapping(version, "objectives")) if found is not None else ():
        table.add((DESIRABILITY, name), name if name == DESIRABILITY else f"{DESIRABILITY} of {name}", "number")
    for number, parts in (found or {}).items():
        for name, value in parts.items():
            table.put(number, (DESIRABILITY, name), value)


def _front(campaign: _Campaign, observed: Mapping[tuple[int, str], ObservationRecorded]) -> frozenset[int] | None:
    """Return the experiments of the Pareto set by the version in force, or None with one objective."""
    versions = campaign.tables["versions"]
    others = _others(versions[-1]["data"]) if versions else set()
    experiments = campaign.tables["experiments"]
    done = [e["number"] for e in experiments if e["state"] == "done" and e["source"] not in others]
    return recorded_front(versions[-1]["data"], observed, done) if versions else None


def _others(data: object) -> set[str]:
    """Return the sources of a version whose results do not count: of several, all but the target."""
    sources = _mapping(data, "sources")
    return {name for name in sources if len(sources) > 1 and _mapping(sources, name).get("target") is not True}


def _helping(versions: Sequence[object]) -> set[str]:
    """Return the sources whose results only help, each by the last version that had it."""
    found: set[str] = set()
    for data in versions:
        found = (found - set(_mapping(data, "sources"))) | _others(data)
    return found


def _parameter(name: str, spec: object) -> tuple[tuple[str, ...], str, _Kind]:
    """Return key, header and kind of a parameter's column; another unit is another column."""
    unit = _unit(spec)
    kind = _KINDS.get(str(spec.get("type")), "number") if isinstance(spec, Mapping) else "text"
    return ("parameter", name, unit, kind), _header(name, unit), kind


def _add_outcome(table: _Columns, name: str, unit: str) -> None:
    table.add(("outcome", name, unit), _header(name, unit), "number")
    table.add(("uncertainty", name, unit), _header(f"{name} standard uncertainty", unit), "number")
    table.add(("lower", name, unit), _header(f"{name} 95 % lower", unit), "number")
    table.add(("upper", name, unit), _header(f"{name} 95 % upper", unit), "number")
    table.add(("flags", name, unit), f"{name} flags", "text")


def _flags(event: ObservationRecorded) -> str | None:
    """Return an observation's flags in one cell; None where it has none."""
    if event.status != "flagged":
        return None
    return "; ".join(event.flags) or "flagged"


def _header(name: str, unit: str) -> str:
    return name if unit == _DIMENSIONLESS else f"{name} [{unit}]"


def _unit(spec: object) -> str:
    """Return the unit that a parameter, objective or constraint declares."""
    return str(spec.get("unit", _DIMENSIONLESS)) if isinstance(spec, Mapping) else _DIMENSIONLESS


def _mapping(data: object, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _version_of_round(rows: list[Row]) -> tuple[dict[int, Mapping[str, Any]], dict[int, Mapping[str, Any]]]:
    """Return what was in force when each round was opened, and when a person added each experiment of their own."""
    found: dict[int, Mapping[str, Any]] = {}
    added: dict[int, Mapping[str, Any]] = {}
    data: Mapping[str, Any] = {}
    for row in rows:
        if isinstance(row.event, VersionRecorded):
            data = row.event.data
        elif isinstance(row.event, RoundOpened):
            found[row.event.round] = data
        elif isinstance(row.event, CandidatesAdded):
            added.update(dict.fromkeys(range(row.event.first, row.event.first + len(row.event.candidates)), data))
    return found, added


# --- everything ------------------------------------------------------------------------------------------------------


def _everything(campaign: _Campaign) -> dict[str, Any]:
    """Return all that is known of a campaign as plain data, with the rows that can be verified once more."""
    tables = {name: [_without(r, "campaign") for r in rows] for name, rows in campaign.tables.items()}
    artefacts: dict[str, list[dict[str, Any]]] = {}
    for artefact in tables["artefacts"]:
        artefacts.setdefault(artefact["command"], []).append(_without(artefact, "command", "position"))
    seq, digest = campaign.head
    front = _front(campaign, counting_observations(campaign.rows))
    return {
        "format": "sdl-export-1",
        "campaign": tables["campaigns"][0] if tables["campaigns"] else {},
        "head": {"seq": seq, "hash": digest},
        "versions": tables["versions"],
        "environment": [{"at": r.at, **r.event.body()} for r in campaign.rows if isinstance(r.event, EpochRaised)],
        "rounds": tables["rounds"],
        "experiments": tables["experiments"],
        **({} if front is None else {"pareto_set": sorted(front)}),
        "steps": tables["steps"],
        "commands": [{**c, "artefacts": artefacts.get(c["id"], [])} for c in tables["commands"]],
        "observations": tables["observations"],
        "analyses": tables["analyses"],
        "questions": tables["questions"],
        "model_versions": tables["model_versions"],
        "journal": [
            {
                "seq": r.seq,
                "at": r.at,
                "kind": r.event.kind,
                "body": r.event.body(),
                "previous": r.previous,
                "hash": r.hash,
            }
            for r in campaign.rows
        ],
    }


def _without(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in keys}


# --- the files -------------------------------------------------------------------------------------------------------


def _csv(table: ExperimentTable) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([c.header for c in table.columns])
    writer.writerows([[_cell(v) for v in row] for row in table.rows])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:  # noqa: ANN401
    """Return a cell's text; numbers in the shortest spelling that reads back to the same bits."""
    return ("true" if value else "false") if isinstance(value, bool) else value


_DTYPES: dict[_Kind, str] = {"integer": "Int64", "number": "float64", "text": "string", "flag": "boolean"}


def _parquet(table: ExperimentTable) -> bytes:
    try:
        import pandas as pd  # an optional extra, and slow to import
        import pyarrow as pa  # noqa: F401  what pandas writes Parquet with
    except ImportError as error:
        raise InputError("an export to Parquet needs the extra 'tables': pip install 'sdl[tables]'") from error
    cells: Iterator[tuple[Any, ...]] = zip(*table.rows, strict=True) if table.rows else iter(() for _ in table.columns)
    columns = {
        column.header: pd.to_datetime(pd.Series(values, dtype="string"), utc=True, format="ISO8601")
        if column.kind == "moment"
        else pd.Series(values, dtype=_DTYPES[column.kind])
        for column, values in zip(table.columns, cells, strict=True)
    }
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _write(path: Path, data: bytes) -> None:
    """Write under another name, flush to the disk, then rename: a crash leaves the whole file or none."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LedgerError(f"{path} cannot be written: {error.strerror or error}") from error
