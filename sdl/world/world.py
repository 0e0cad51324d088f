"""The simulated world: an append-only record of physical effects, from which the state of every sample is rebuilt.

The record is the world's own, independent of the ledger: what stands in it physically happened. An operation is written
down when it begins, with its whole course decided (its duration, and every random draw, which depends only on the world's
seed, the sample, the action and the occurrence). A process that dies therefore changes nothing in the world: a firing goes
on by itself and is over at its time, as it would be in a furnace with its own controller.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sdl.clock import on_grid
from sdl.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.driver.command import Command


@dataclass(frozen=True)
class Operation:
    """One physical effect.

    Attributes:
        command: id of the command that caused it.
        sample: id of the first sample, empty for none.
        instrument: name of the instrument.
        action: name of the action.
        arguments: in the units that the action declares.
        occurrence: how many earlier steps of the experiment asked the same.
        begins: moment of the start.
        ends: moment at which it is over.
        aborted: moment at which it was stopped, or None.
        samples: ids of all samples, in the order of the command.
    """

    command: str
    sample: str
    instrument: str
    action: str
    arguments: Mapping[str, Any]
    occurrence: int
    begins: float
    ends: float
    aborted: float | None = None
    samples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Records written before several samples could share an effect name one alone; JSON gives lists.
        object.__setattr__(self, "samples", tuple(self.samples) or ((self.sample,) if self.sample else ()))

    @property
    def over(self) -> float:
        """The moment at which it came to its end, by itself or by an abort."""
        return self.ends if self.aborted is None else min(self.ends, self.aborted)


class World:
    """The record on disk and what follows from it.

    Args:
        seed: of all hidden draws.
        path: the record (JSON lines); None keeps it in memory, for benchmarks.
        settings: what the lab file says about the world.

    Raises:
        LedgerError: the record is damaged anywhere but in an unfinished last line.
    """

    def __init__(self, seed: int, path: Path | None = None, settings: Mapping[str, Any] | None = None) -> None:
        self.seed = seed
        self.settings: dict[str, Any] = dict(settings or {})
        self.path = path
        self._operations: dict[str, Operation] = {}
        self._by_sample: dict[str, list[str]] = {}
        self._file: IO[bytes] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._replay(path)
            self._file = path.open("ab", buffering=0)

    def begin(self, command: Command, begins: float, duration: float) -> Operation:
        """Record that an effect begins; returns it. The same command twice is two effects in the real world.

        Raises:
            LedgerError: the world already carried this command out (a second execution: the error that must not happen),
                or the record cannot be written.
        """
        if command.id in self._operations:
            raise LedgerError(f"command {command.id} was already carried out in the simulated world")
        operation = Operation(
            command=command.id,
            sample=command.samples[0] if command.samples else "",
            instrument=command.instrument,
            action=command.action,
            arguments=dict(command.arguments),
            occurrence=command.occurrence,
            begins=begins,
            ends=on_grid(begins + duration),
            samples=tuple(command.samples),
        )
        self._write({"effect": "begin", **asdict(operation)})
        self._apply(operation)
        return operation

    def abort(self, command_id: str, moment: float) -> None:
        """Record that an effect was stopped at a moment; does nothing where it was over before."""
        operation = self._operations[command_id]
        if operation.aborted is None and moment < operation.ends:
            self._write({"effect": "abort", "command": command_id, "moment": moment})
            self._operations[command_id] = replace(operation, aborted=moment)

    def operation(self, command_id: str) -> Operation | None:
        """Return the effect of a command, or None where it never began."""
        return self._operations.get(command_id)

    def operations(self, sample: str) -> list[Operation]:
        """Return all effects on a sample, in the order in which they began."""
        return [self._operations[c] for c in self._by_sample.get(sample, [])]

    def all_operations(self) -> list[Operation]:
        """Return all effects in the order in which they began."""
        return list(self._operations.values())

    def rng(self, sample: str, action: str, occurrence: int, purpose: str = "") -> np.random.Generator:
        """Return the source of all draws for (world seed, sample, action, occurrence); never depends on the order of calls."""
        text = json.dumps([self.seed, sample, action, occurrence, purpose])
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))

    def close(self) -> None:
        """Close the record."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _apply(self, operation: Operation) -> None:
        self._operations[operation.command] = operation
        for sample in operation.samples or ("",):
            self._by_sample.setdefault(sample, []).append(operation.command)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._file is None:
            if self.path is not None:
                raise LedgerError(f"the world's record {self.path} is closed")
            return
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        size = self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(size)  # half a line would damage the record
            raise LedgerError(
                f"the world's record {self.path} cannot be written: {error.strerror}; nothing moved, free the disk"
            ) from error

    def _replay(self, path: Path) -> None:
        if not path.exists():
            return
        data = path.read_bytes()
        *lines, tail = data.split(b"\n")
        if tail:  # the process died while it wrote: the effect had not begun, since effects begin after the write
            with path.open("r+b") as file:
                file.truncate(len(data) - len(tail))
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                kind = row.pop("effect")
                if kind == "begin":
                    if row["command"] in self._operations:
                        raise ValueError(f"command {row['command']} begins twice")
                    self._apply(Operation(**row))
                elif kind == "abort":
                    old = self._operations[row["command"]]
                    self._operations[old.command] = replace(old, aborted=row["moment"])
                else:
                    raise ValueError(f"unknown effect {kind!r}")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise LedgerError(
                    f"the world's record {path} is damaged in line {number}: {error!r}; restore it from a backup"
                ) from error
