"""Campaigns for reports, written into a ledger row by row: no lab, no driver, no planner takes part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdl.campaign import parse_document
from sdl.clock import utc_text
from sdl.ledger import (
    CampaignCreated,
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    Event,
    ExperimentFinished,
    ExperimentStarted,
    Ledger,
    ObservationRecorded,
    QuestionOpened,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
)

START = 946684800.0

CERAMICS = """\
name: {name}
description: {description}
space:
  parameters:
    temperature: {{type: continuous, bounds: [1000, 1250], unit: degC}}
    hold: {{type: continuous, bounds: [0.5, 16], unit: h, scale: log}}
    atmosphere: {{type: categorical, values: [air, argon, oxygen]}}
    firings: {{type: integer, bounds: [1, 3]}}
objectives:
  conductivity: {{goal: maximize, unit: mS/cm}}
outcome_constraints:
  relative_density: {{at_least: 0.9}}
protocol:
  - {{instrument: furnace, action: sinter,
     with: {{temperature: $temperature, hold: $hold, atmosphere: $atmosphere, firings: $firings}}}}
  - {{instrument: probe, action: measure, gives: {{conductivity: sigma, relative_density: density}}}}
lab:
  clock: {{type: virtual}}
  instruments:
    furnace: {{driver: oven_of_a_lab_that_is_gone}}
    probe: {{driver: probe_of_a_lab_that_is_gone}}
planner: {{type: random}}
stop: {{experiments: 12, target: {{conductivity: {{at_least: 0.8}}}}}}
"""


@dataclass
class Story:
    """A campaign in the making."""

    ledger: Ledger
    name: str
    now: float = START
    experiments: dict[int, dict[str, Any]] = field(default_factory=dict)
    rounds: int = 0

    def say(self, *events: Event) -> None:
        self.ledger.append(self.name, self.now, list(events))

    def create(self, text: str, files: Mapping[str, bytes] | None = None, clock: str = "virtual") -> None:
        kept = {k: self.ledger.artefacts.put(k, v, "text/csv").sha256 for k, v in (files or {}).items()}
        data = parse_document(text, "campaign.yaml").data
        settings = {"simulate": False, "clock": {"type": clock, "factor": 1.0}}
        self.say(CampaignCreated(7, settings), VersionRecorded(1, "d" * 64, text, data, [], kept))

    def epoch(self, **natures: str) -> None:
        instruments = {n: {"driver": f"driver_of_{n}", "nature": nature} for n, nature in natures.items()}
        found = {
            "python": "3.11.7",
            "machine": "abacus",
            "numpy": "2.0",
            "instruments": instruments,
            "clock": "virtual",
        }
        self.say(EpochRaised(1, 4711, "bench", found))

    def propose(self, candidates: Sequence[dict[str, Any]], origin: str | None = None) -> None:
        self.rounds += 1
        first = len(self.experiments) + 1
        for index, candidate in enumerate(candidates):
            self.experiments[first + index] = candidate
        diagnostics = {} if origin is None else {"candidates": [{"origin": origin} for _ in candidates]}
        self.say(
            RoundOpened(self.rounds, len(candidates), 1000 + self.rounds),
            RoundProposed(self.rounds, "random", list(candidates), first, diagnostics, {}, 0.25),
        )

    def command(
        self, number: int, step: int, instrument: str, seconds: float, status: str = "succeeded", simulated: bool = True
    ) -> str:
        command = f"{self.name[:8]}-{number:08d}-{step:04d}"
        body = (instrument, "act", {}, [f"s{number}"], 0, "c" * 64, 1)
        self.say(CommandIntended(command, number, step, *body))
        begin, self.now = self.now, self.now + seconds
        if status != "open":
            error = None if status == "succeeded" else "the door <b>jammed</b>"
            at = (utc_text(begin), utc_text(self.now))
            self.say(CommandSettled(command, status, {}, [], error, *at, seconds, simulated))  # type: ignore[arg-type]
        return command

    def run(
        self,
        number: int,
        outcomes: Mapping[str, tuple[float, float | None]],
        state: str = "done",
        instruments: Sequence[str] = ("furnace", "probe"),
        units: Mapping[str, str] | None = None,
        simulated: bool = True,
    ) -> None:
        self.say(ExperimentStarted(number, "default", f"s{number}"))
        command = ""
        for step, instrument in enumerate(instruments):
            bad = state == "failed" and step == len(instruments) - 1
            command = self.command(number, step, instrument, 3600.0, "failed" if bad else "succeeded", simulated)
        for name, (value, uncertainty) in outcomes.items():
            unit = (units or {}).get(name, "dimensionless")
            self.say(
                ObservationRecorded(
                    f"{number}.{name}.1", number, name, value, uncertainty, unit, "default", "valid", command
                )
            )
        reason = "probe.act: the door <b>jammed</b>" if state == "failed" else None
        self.say(ExperimentFinished(number, state, reason))  # type: ignore[arg-type]

    def ask(self, number: int, text: str) -> None:
        self.say(QuestionOpened(f"q{number}", "command", number, f"{self.name[:8]}-{number:08d}-0000", text))

    def end(self, state: str, reason: str) -> None:
        self.say(CampaignEnded(state, reason))  # type: ignore[arg-type]


def point(number: int) -> dict[str, Any]:
    """A candidate of the ceramics campaign."""
    return {
        "temperature": 1000.0 + 19.37 * number,
        "hold": 0.5 * 1.3**number,
        "atmosphere": ["air", "argon", "oxygen"][number % 3],
        "firings": 1 + number % 3,
    }
