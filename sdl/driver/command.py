"""A command (one physical act asked of one instrument) and the reply to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sdl.artefacts.ref import ArtefactRef


def digest_of(instrument: str, action: str, arguments: Mapping[str, Any]) -> str:
    """Return SHA-256 over instrument, action and arguments: the same id must never come with another digest."""
    text = json.dumps([instrument, action, dict(arguments)], sort_keys=True, allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Command:
    """One physical act asked of one instrument.

    Attributes:
        id: random UUID; accepted once. A retry is a new command.
        campaign: name of the campaign that asks.
        epoch: of the campaign's process; the lab server refuses older ones.
        experiment: number of the experiment.
        step: index of the step in its protocol, from 0.
        instrument: name of the instrument in the lab.
        action: name of the action.
        arguments: values in the units that the action declares.
        samples: ids of the samples it is carried out on.
        occurrence: how many earlier steps of the experiment asked the same action of the same instrument;
            with the sample it keys every random draw of a simulated lab, so that an attempt more changes nothing.
        destination: the place of the lab where its samples are afterwards, or None where they stay.
    """

    id: str
    campaign: str
    epoch: int
    experiment: int
    step: int
    instrument: str
    action: str
    arguments: Mapping[str, Any]
    samples: tuple[str, ...]
    occurrence: int
    destination: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over instrument, action and arguments."""
        return digest_of(self.instrument, self.action, self.arguments)


@dataclass(frozen=True)
class Reply:
    """What became of a command.

    Attributes:
        command: its id.
        status: `succeeded`; `failed` (the instrument says so); `aborted`; `unknown` (nobody can tell);
            `not_started` (withdrawn from the queue, and it can no longer start).
        values: result fields in the units that the action declares; empty unless succeeded.
        artefacts: raw data.
        error: what went wrong, in words, or None.
        started: moment of the start, or None where it never started.
        finished: moment of the end, or None where it is unknown.
        duration: seconds by the monotonic clock, or None.
        simulated: whether a simulation produced it.
        failed_samples: sample → what went wrong with it alone; the others of the command are as the status says.
        interlock: whether an interlock of the lab denied or stopped it: that says nothing of the specimen.
        refused: whether lab or instrument refused it before anything happened: that says nothing of the specimen either.
    """

    command: str
    status: Literal["succeeded", "failed", "aborted", "unknown", "not_started"]
    values: Mapping[str, Any] = field(default_factory=dict)
    artefacts: tuple[ArtefactRef, ...] = ()
    error: str | None = None
    started: float | None = None
    finished: float | None = None
    duration: float | None = None
    simulated: bool = False
    failed_samples: Mapping[str, str] = field(default_factory=dict)
    interlock: bool = False
    refused: bool = False
