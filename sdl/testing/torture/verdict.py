"""What came of a tortured campaign: the ledger is held against the world's own record, and against the undisturbed run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.ledger import (
    CommandIntended,
    CommandSettled,
    ExperimentFinished,
    ObservationRecorded,
    QuestionOpened,
    RoundProposed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.ledger import Row
    from sdl.world import Operation


@dataclass(frozen=True)
class Verdict:
    """What was found; all lists are empty where everything is right.

    Attributes:
        twice: effects that the world carried out more than once for one step of one sample, those that only read left out.
        lost: effects in the world's record of which the ledger has neither outcome, open command nor question.
        missing: outcomes that a finished experiment lacks.
        doubled: outcomes that an experiment has more than once.
        repeated: effects that were carried out more than once, those that only read included.
        questions: how many were asked.
        difference: the first row in which the run differs from the undisturbed one, or None.
        cause: the command that was carried out again, or the question, before that row; None where there is none.
    """

    twice: tuple[str, ...]
    lost: tuple[str, ...]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    repeated: tuple[str, ...]
    questions: int
    difference: str | None
    cause: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether nothing was carried out a second time and nothing was asked: then it must equal the undisturbed run."""
        return not self.repeated and not self.questions

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that must not happen, in words."""
        found = [f"executed twice: {x}" for x in self.twice] + [f"lost: {x}" for x in self.lost]
        found += [f"observation missing: {x}" for x in self.missing] + [
            f"observation doubled: {x}" for x in self.doubled
        ]
        if self.difference is not None and self.cause is None:
            found.append(f"differs from the undisturbed run without a cause: {self.difference}")
        return tuple(found)


def judge(
    rows: Sequence[Row],
    effects: Sequence[Operation],
    outcomes: Sequence[str],
    reads: frozenset[tuple[str, str]],
    undisturbed: tuple[Sequence[Row], Sequence[Operation]] | None = None,
) -> Verdict:
    """Judge a campaign that has come to its end.

    Args:
        rows: its journal.
        effects: the world's record.
        outcomes: that every finished experiment must have.
        reads: (instrument, action) of actions that only read or do no harm when they are repeated.
        undisturbed: journal and world's record of the run without faults, or None.
    """
    intended = {r.event.command: r.event for r in rows if isinstance(r.event, CommandIntended)}
    settled = {r.event.command: r.event.status for r in rows if isinstance(r.event, CommandSettled)}
    asked = {r.event.command for r in rows if isinstance(r.event, QuestionOpened)}
    executed: Counter[tuple[str, bool]] = Counter()
    lost = []
    for effect in effects:
        step = f"{'+'.join(effect.samples)}: {effect.instrument}.{effect.action}, occurrence {effect.occurrence}"
        executed[(step, (effect.instrument, effect.action) in reads)] += 1
        status = settled.get(effect.command)
        if effect.command not in intended:
            lost.append(f"{step}: the ledger knows no command {effect.command}")
        elif status == "not_started":
            lost.append(f"{step}: the ledger says that command {effect.command} never started")
    # A command without an outcome is open or asked about, which is right while a campaign lives, and wrong once it is done.
    ended = {r.event.experiment for r in rows if isinstance(r.event, ExperimentFinished)}
    for command, event in intended.items():
        if command not in settled and command not in asked and event.experiment in ended:
            lost.append(
                f"command {command} of experiment {event.experiment} has no outcome, and the experiment is over"
            )
    difference, cause = (None, None) if undisturbed is None else _difference(rows, effects, *undisturbed)
    given = Counter((r.event.experiment, r.event.outcome) for r in rows if isinstance(r.event, ObservationRecorded))
    good = [r.event.experiment for r in rows if isinstance(r.event, ExperimentFinished) and r.event.state == "done"]
    return Verdict(
        twice=tuple(f"{step} ({n} times)" for (step, harmless), n in executed.items() if n > 1 and not harmless),
        lost=tuple(lost),
        missing=tuple(f"{o} of experiment {n}" for n in good for o in outcomes if not given[(n, o)]),
        doubled=tuple(f"{o} of experiment {n}" for (n, o), times in given.items() if times > 1),
        repeated=tuple(step for (step, _), number in executed.items() if number > 1),
        questions=len(asked),
        difference=difference,
        cause=cause,
    )


def _difference(
    rows: Sequence[Row], effects: Sequence[Operation], other: Sequence[Row], others: Sequence[Operation]
) -> tuple[str | None, str | None]:
    """Return the first row in which two runs differ, and the last cause up to it; None where there is none."""
    end = rows[-1].seq if rows else 0
    first: tuple[int, str] | None = None
    for what, mine, theirs in (
        ("proposal", _proposals(rows), _proposals(other)),
        ("observation", _observations(rows), _observations(other)),
        ("end", _ends(rows), _ends(other)),
        ("effect", _effects(rows, effects), _effects(other, others)),
    ):
        for key in sorted({*mine, *theirs}):
            seq, value = mine.get(key, (end, None))  # what is missing is missed at the end
            _, theirs_value = theirs.get(key, (0, None))
            if value != theirs_value and (first is None or seq < first[0]):
                first = seq, f"row {seq}, {what} {key}: {value!r}, undisturbed {theirs_value!r}"
    if first is None:
        return None, None
    causes = [c for c in _causes(rows, effects) if c[0] <= first[0]]
    return first[1], max(causes)[1] if causes else None


def _causes(rows: Sequence[Row], effects: Sequence[Operation]) -> list[tuple[int, str]]:
    """Return (row, in words) of every question, and of every command that was carried out though one before it was."""
    intended = {r.event.command: r.seq for r in rows if isinstance(r.event, CommandIntended)}
    found = [(r.seq, f"question {r.event.question} (row {r.seq})") for r in rows if isinstance(r.event, QuestionOpened)]
    seen = set()
    for effect in effects:
        step = (effect.samples, effect.instrument, effect.action, effect.occurrence)
        if step in seen and effect.command in intended:
            seq = intended[effect.command]
            found.append((seq, f"command {effect.command} ({effect.instrument}.{effect.action} again, row {seq})"))
        seen.add(step)
    return found


def _proposals(rows: Sequence[Row]) -> dict[Any, tuple[int, Any]]:
    return {
        r.event.first + i: (r.seq, candidate)
        for r in rows
        if isinstance(r.event, RoundProposed)
        for i, candidate in enumerate(r.event.candidates)
    }


def _observations(rows: Sequence[Row]) -> dict[Any, tuple[int, Any]]:
    return {
        (r.event.experiment, r.event.outcome): (r.seq, (r.event.value, r.event.uncertainty))
        for r in rows
        if isinstance(r.event, ObservationRecorded)
    }


def _ends(rows: Sequence[Row]) -> dict[Any, tuple[int, Any]]:
    return {r.event.experiment: (r.seq, (r.event.state, r.at)) for r in rows if isinstance(r.event, ExperimentFinished)}


def _effects(rows: Sequence[Row], effects: Sequence[Operation]) -> dict[Any, tuple[int, Any]]:
    """Return effect → row of its command, 0 where the journal knows none, and when it was."""
    intended = {r.event.command: r.seq for r in rows if isinstance(r.event, CommandIntended)}
    return {
        (e.sample, e.instrument, e.action, e.occurrence): (intended.get(e.command, 0), (e.begins, e.ends, e.aborted))
        for e in effects
    }
