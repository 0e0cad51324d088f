"""The outcomes of all rows of a pool, where the ledger knows them: the table of a replay is among a version's files.

What `replay` does with its table is repeated here: the report needs no drivers, and a driver may have gone since.
Wherever a table's roles are not plain, no outcomes are given and the reason is said; nothing is guessed.
"""

from __future__ import annotations

import posixpath
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sdl.campaign import Reference
from sdl.errors import InputError, LedgerError
from sdl.tables import Table, read_table
from sdl.units import DIMENSIONLESS, convert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.campaign import Draft, Step
    from sdl.ledger import Ledger

    Array = NDArray[np.float64]

_RELATIVE = 1e-12
_ABSOLUTE = 1e-15
"""Numbers that differ by less, of themselves or of the column's largest, are one number (as `replay` has it)."""


class NotKnown(Exception):  # noqa: N818  not an error: a fact that the report states
    """The outcomes of the pool's rows are not all known; its text says why."""


def pool_outcomes(ledger: Ledger, draft: Draft, files: Mapping[str, str], outcome: str, unit: str) -> Array:
    """Return an outcome for every row of the pool, duplicates of the replayed table averaged; shape (rows,).

    Args:
        ledger: holds the recorded files.
        draft: the recorded campaign.
        files: key → SHA-256 of the version's files.
        outcome: which outcome.
        unit: its declared unit, in which the values are returned.

    Raises:
        NotKnown: the outcomes of the rows are not all on record.
    """
    if draft.space is None or draft.space.pool is None:
        raise NotKnown("the space has no pool of candidates")
    steps = [s for protocol in draft.sources.values() for s in protocol if outcome in s.gives]
    if len(steps) != 1 or draft.lab is None:
        raise NotKnown(f"'{outcome}' comes from more than one step")
    step = steps[0]
    instrument = draft.lab.instruments.get(step.instrument)
    if instrument is None or instrument.driver != "replay" or step.analysis is not None:
        raise NotKnown("the outcomes of candidates that were not tried are not on record")
    settings = dict(instrument.settings)
    name = str(settings.get("table", ""))
    key = posixpath.normpath(posixpath.join(posixpath.dirname(draft.lab.key), name))
    table = _recorded_table(ledger, key, files)
    try:
        return _look_up(draft, step, table, settings, outcome, unit)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise NotKnown(f"the replayed table {key} cannot be used: {error}") from error


def _recorded_table(ledger: Ledger, key: str, files: Mapping[str, str]) -> Table:
    if key not in files:
        raise NotKnown(f"the replayed table {key} is not among the recorded files")
    with tempfile.TemporaryDirectory(prefix="sdl-") as folder:
        path = Path(folder) / Path(key).name  # the suffix says how it is to be read
        try:
            path.write_bytes(ledger.artefacts.get(files[key]))
            return read_table(path)
        except (LedgerError, InputError, OSError) as error:
            raise NotKnown(f"the replayed table {key} cannot be read: {error}") from error


def _look_up(draft: Draft, step: Step, table: Table, settings: Mapping[str, Any], outcome: str, unit: str) -> Array:
    assert draft.space is not None
    assert draft.space.pool is not None
    measured = list(settings["outcomes"])
    field = step.gives[outcome]
    if field not in measured:
        raise NotKnown(f"'{field}' is no measured column of the replayed table")
    spread = [u for u in (settings.get("standard_uncertainty") or {}).values() if isinstance(u, str)]
    other = {*measured, *spread, settings.get("cost")}
    columns = list(settings.get("parameters") or [c for c in table.columns if c not in other])
    units = settings.get("units") or {}
    candidates = draft.space.decode(draft.space.pool.codes)
    asked: list[list[float] | list[str]] = []
    for column in columns:
        argument = step.arguments[column]
        if not isinstance(argument, Reference):
            if isinstance(argument, str | bool):
                raise NotKnown(f"the replayed column '{column}' is asked for the text {argument!r}")
            asked.append([float(argument)] * len(candidates))
            continue
        parameter = draft.space.parameters[argument.parameter]
        values = [c[argument.parameter] for c in candidates]
        if parameter.type == "categorical":
            asked.append([str(v) for v in values])
        else:
            target = units.get(column, DIMENSIONLESS)
            asked.append([convert(float(v), parameter.unit, target) for v in values])
    keys_table, keys_pool = _keys([table.data[c] for c in columns], asked)
    order = np.argsort(keys_table, kind="stable")
    left = np.searchsorted(keys_table[order], keys_pool, side="left")
    right = np.searchsorted(keys_table[order], keys_pool, side="right")
    if (left == right).any():
        raise NotKnown(f"{int((left == right).sum())} of the pool's {len(candidates)} rows were never measured")
    if settings.get("replicates", "mean") != "mean" and bool((right - left > 1).any()):
        raise NotKnown("replicates are drawn, so that a row has no one outcome")
    found = table.numbers(field)[order]
    means = np.array([found[a:b].mean() for a, b in zip(left, right, strict=True)])
    given = units.get(field, DIMENSIONLESS)
    return means if given == unit else np.array([convert(float(v), given, unit) for v in means])


def _keys(
    table: Sequence[Array | tuple[str, ...]], pool: Sequence[list[float] | list[str]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one whole number per row of the table and of the pool, equal where all columns are."""
    rows = len(table[0]) if table else 0
    key = np.zeros(rows + (len(pool[0]) if pool else 0), dtype=np.int64)
    for have, want in zip(table, pool, strict=True):
        words = isinstance(have, tuple) or (bool(want) and isinstance(want[0], str))
        if words:
            shown = have if isinstance(have, tuple) else tuple(f"{v:g}" for v in have)
            _, code = np.unique(np.array([*shown, *(str(w) for w in want)]), return_inverse=True)
        else:
            code = _levels(np.array([*have, *want], dtype=np.float64))
        # Made dense after each column, so that the product stays within 64 bits.
        _, key = np.unique(key * (int(code.max()) + 1) + code, return_inverse=True)
    return key[:rows], key[rows:]


def _levels(values: Array) -> NDArray[np.int64]:
    """Return the index of each value's level; values that differ by rounding alone share one."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    slack = _RELATIVE * np.abs(ordered[1:]) + _ABSOLUTE * float(np.abs(values).max())
    level = np.concatenate([[0], np.cumsum(np.diff(ordered) > slack)])
    result = np.empty(len(values), dtype=np.int64)
    result[order] = level
    return result
