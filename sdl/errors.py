"""Every error that the platform raises on purpose, in one shallow tree.

A message says what is wrong, on which object, with which value and unit, what is allowed, and what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class SdlError(Exception):
    """Base of all errors raised on purpose; its text is fit to be shown to a user as it is."""


class InputError(SdlError):
    """What the user gave cannot be used; nothing was started (exit code 2)."""


class UnitError(InputError):
    """A unit is unknown, or a dimension does not fit."""


class SpaceError(InputError):
    """A search space is contradictory, empty or cannot be sampled."""


class PlannerError(InputError):
    """A planner is asked for what it cannot do, or its settings are wrong."""


class DriverError(InputError):
    """A driver is unknown, badly described or wrongly configured."""


class LimitError(InputError):
    """An argument lies outside the limits of an action; it was refused, never clipped."""


class NameInUseError(InputError):
    """A campaign of that name exists and cannot be continued as asked."""


class ProtocolError(SdlError):
    """A command broke the rules of the lab server: repeated id, other digest, or an old epoch."""


class InstrumentFault(SdlError):  # noqa: N818  a fault is what it is called at the bench
    """An instrument reported that the action failed; the experiment fails, the campaign goes on."""


class InstrumentRefused(InstrumentFault):
    """An instrument refused before anything happened (busy, occupied): that says nothing of the specimen."""


class OutcomeUnknown(SdlError):  # noqa: N818  not an error of ours: a fact about the world
    """Nobody can tell whether the action happened (a time-out after sending, a lost reply)."""


class AnalysisError(SdlError):
    """Raw data could not be turned into an outcome; the experiment fails, the data are kept."""


class GateError(SdlError):
    """A surrogate did not show on held-out data what it must; it is recorded, but may not be used."""


class LedgerError(SdlError):
    """The ledger cannot be read or written, or does not verify."""


class ClockError(SdlError):
    """Virtual time cannot advance, because nobody is waiting for a moment in it."""


class LabError(SdlError):
    """A lab server cannot be reached, refuses, or is another one than before; what was sent stays open."""


class ConversionError(SdlError):
    """A value cannot be represented as asked."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a user's file.

    Attributes:
        file: the file, or the name of the command-line option it came from.
        line: 1-based line, or None where the problem has no place.
        column: 1-based column, or None.
        where: dotted path inside the file, such as `space.parameters.temperature.bounds`.
        message: what is wrong, the value, what is allowed, what to do next.
    """

    file: str
    line: int | None
    column: int | None
    where: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.where + ': ' if self.where else ''}{self.message}"


class FileProblems(InputError):  # noqa: N818  plural on purpose: it carries all of them
    """All problems of a user's files at once, in the order of their places."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            sorted(set(problems), key=lambda p: (p.file, p.line or 0, p.column or 0, p.where, p.message))
        )
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__(head + ", nothing was started:\n" + "\n".join(f"  {p}" for p in self.problems))

    def __reduce__(self) -> tuple[type[FileProblems], tuple[tuple[Problem, ...]]]:
        return (FileProblems, (self.problems,))


def near_miss(word: str, allowed: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest allowed word, or an empty string.

    >>> near_miss("temprature", ["temperature", "hold"])
    " (did you mean 'temperature'?)"
    """
    from difflib import get_close_matches

    found: Sequence[str] = get_close_matches(word, list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{found[0]}'?)" if found else ""


def brief(value: object, longest: int = 80) -> str:
    """Return a value as it is written, cut where it is long, so that a message stays readable.

    >>> brief("x" * 100, 8)
    "'xxxxx…"
    """
    text = repr(value[: longest + 1] if isinstance(value, str | list | tuple) else value)
    return text if len(text) <= longest else text[: longest - 2] + "…"


def listed(words: Iterable[str]) -> str:
    """Return the words quoted and separated by commas, `none` where there are none.

    >>> listed(["b", "a"])
    "'b', 'a'"
    """
    return ", ".join(f"'{word}'" for word in words) or "none"
