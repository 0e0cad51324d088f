"""Rows about what people add to a campaign: results that they measured, and constraints that they found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from sdl.ledger.event import Event, Json


@dataclass(frozen=True)
class ResultsTold(Event):
    """A person told results; the rows of the experiments stand in the same transaction.

    Attributes:
        by: who.
        reason: a remark, may be empty.
        file: name, sha256, size and media_type of the file they came in.
        experiments: numbers of the experiments that it told something new of.
        corrected: ids of the observations whose place newer ones took.
    """

    kind: ClassVar[str] = "results.told"
    by: str
    reason: str
    file: Json
    experiments: list[int]
    corrected: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ConstraintAdded(Event):
    """A person found out that a part of the space is of no use: from here on nothing is proposed there.

    Attributes:
        constraint: a condition over plain numbers, in the grammar of `expression` constraints.
        experiment: the one at which it was found out, or 0.
        by: who.
        reason: why.
    """

    kind: ClassVar[str] = "constraint.added"
    constraint: str
    experiment: int
    by: str
    reason: str


@dataclass(frozen=True)
class ConstraintLifted(Event):
    """A constraint that a person added holds no more, by an amendment of the campaign.

    Attributes:
        constraint: as it was added.
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "constraint.lifted"
    constraint: str
    by: str
    reason: str
