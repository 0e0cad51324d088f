"""Rows about a campaign: its versions, its processes, its rounds, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from sdl.ledger.event import Event, Json


@dataclass(frozen=True)
class CampaignCreated(Event):
    """The campaign exists from here on.

    Attributes:
        seed: of everything the planner draws.
        settings: what changes the course of the campaign and does not stand in the file (engine, clock, simulate).
        id: random, for lab servers: two homes may have a campaign of one name. Empty in rows from before there were any.
    """

    kind: ClassVar[str] = "campaign.created"
    seed: int
    settings: Json
    id: str = ""

    def body(self) -> Json:
        """Return the row's body as JSON data; a row without an id reads back as it was written."""
        body = super().body()
        return body if self.id else {k: v for k, v in body.items() if k != "id"}


@dataclass(frozen=True)
class VersionRecorded(Event):
    """A version of the campaign: its exact text and every file that it refers to, by hash.

    Attributes:
        version: from 1.
        digest: SHA-256 over all that makes the version.
        text: the campaign file as it was.
        data: what was read from it, with overrides applied.
        overrides: `path=value` from the command line.
        files: key → SHA-256; the bytes lie among the artefacts.
        by: who amended the campaign; empty for its first version, and in rows from before there were others.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "campaign.version"
    version: int
    digest: str
    text: str
    data: Json
    overrides: list[str]
    files: Mapping[str, str]
    by: str = ""
    reason: str = ""

    def body(self) -> Json:
        """Return the row's body as JSON data; a row of a first version reads back as it was written."""
        body = super().body()
        return body if self.by else {k: v for k, v in body.items() if k not in {"by", "reason"}}


@dataclass(frozen=True)
class EpochRaised(Event):
    """A process took the campaign over.

    Attributes:
        epoch: from 1; commands of older ones are refused.
        pid: of the process.
        host: its machine.
        environment: versions of everything that takes part, machine type, instruments and whether they are simulated.
    """

    kind: ClassVar[str] = "epoch.raised"
    epoch: int
    pid: int
    host: str
    environment: Json


@dataclass(frozen=True)
class RoundOpened(Event):
    """The planner is about to be asked; a proposal is a pure function of the rows up to this one.

    Attributes:
        round: from 1.
        count: how many candidates are asked for.
        seed: of the round.
    """

    kind: ClassVar[str] = "round.opened"
    round: int
    count: int
    seed: int


@dataclass(frozen=True)
class RoundProposed(Event):
    """The planner's answer.

    Attributes:
        round: which round.
        planner: name.
        candidates: parameter → value, in the order in which they are to be started.
        first: number of the first experiment made of them.
        diagnostics: the planner's own record.
        environment: library versions and machine type, for a later recomputation.
        seconds: CPU seconds that the planner took.
        sources: the source of each candidate; empty where the campaign has but one, and in rows from before there were several.
    """

    kind: ClassVar[str] = "round.proposed"
    round: int
    planner: str
    candidates: list[Json]
    first: int
    diagnostics: Json
    environment: Json
    seconds: float
    sources: list[str] = field(default_factory=list)

    def body(self) -> Json:
        """Return the row's body as JSON data; a row without sources reads back as it was written."""
        body = super().body()
        return body if self.sources else {k: v for k, v in body.items() if k != "sources"}


@dataclass(frozen=True)
class CandidatesAdded(Event):
    """A person proposes: experiments that no planner's round made.

    Attributes:
        candidates: parameter → value.
        first: number of the first experiment made of them.
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "candidates.added"
    candidates: list[Json]
    first: int
    by: str
    reason: str


@dataclass(frozen=True)
class RequestSettled(Event):
    """What came of a request that a person made from elsewhere; the rows that it led to stand in the same transaction.

    Attributes:
        request: id in the inbox.
        what: kind of the request.
        by: who asked.
        outcome: `done`, or `refused` because it did not fit (any more).
        said: what the person is told.
    """

    kind: ClassVar[str] = "request.settled"
    request: int
    what: str
    by: str
    outcome: Literal["done", "refused"]
    said: str


@dataclass(frozen=True)
class ModelVersionRecorded(Event):
    """A version of a surrogate.

    Attributes:
        model: name.
        version: from 1.
        digest: SHA-256 of its content.
        gates: gate → whether it passed, with the figures.
    """

    kind: ClassVar[str] = "model.version"
    model: str
    version: int
    digest: str
    gates: Json = field(default_factory=dict)


@dataclass(frozen=True)
class CampaignPaused(Event):
    """Nothing new is started until a person says so; commands under way come to their end.

    Attributes:
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "campaign.paused"
    by: str
    reason: str


@dataclass(frozen=True)
class CampaignWaiting(Event):
    """The process lives, and there is nothing left to do before a person answers or acts.

    Attributes:
        reason: what for.
    """

    kind: ClassVar[str] = "campaign.waiting"
    reason: str


@dataclass(frozen=True)
class CampaignResumed(Event):
    """A campaign that was paused, or waited, goes on.

    Attributes:
        by: who.
        reason: why, may be empty.
    """

    kind: ClassVar[str] = "campaign.resumed"
    by: str
    reason: str


@dataclass(frozen=True)
class CampaignEnded(Event):
    """The process lets the campaign go.

    Attributes:
        state: `done`, `stopped` (by a person, can go on), `waiting` (for a person), or `failed`.
        reason: in words.
    """

    kind: ClassVar[str] = "campaign.ended"
    state: Literal["done", "stopped", "waiting", "failed"]
    reason: str
