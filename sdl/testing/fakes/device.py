"""A small press as a device: it answers questions, works by itself, and goes on when nobody listens.

What it does stands in the simulated world's record, and its answers follow from that record alone. So it does not notice when
the process that drives it dies.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.driver import Command
    from sdl.testing.fakes.line import Message
    from sdl.world import Operation, World

THICKNESS, COMPACTION, NOISE = 5.0, 1.5, 0.01
"""Loose powder, mm; what 100 kN takes off it, mm; standard deviation of the gauge, mm. A toy, of no material."""


def draw(seed: int, command: Command, purpose: str) -> np.random.Generator:
    """Return the source of draws for (seed, sample, action, occurrence), never for the order of calls."""
    text = json.dumps([seed, list(command.samples), command.action, command.occurrence, purpose])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


class Device:
    """A press with a thickness gauge. Subclasses misbehave."""

    def __init__(self, name: str, world: World, clock: Clock, seed: int, share: float) -> None:
        self.name = name
        self.world = world
        self.clock = clock
        self.seed = seed
        self.share = share
        self.jammed = False

    def answer(self, message: Message) -> Message | None:
        """Answer a question; None where there is no answer."""
        verb = str(message["verb"])
        handler: Any = getattr(self, f"on_{verb}")
        answer: Message | None = handler(message)
        return answer

    def afflicted(self, command: Command) -> bool:
        """Tell whether this command is one of the share that goes wrong."""
        return bool(draw(self.seed, command, "afflicted").random() < self.share)

    def on_start(self, message: Message) -> Message | None:
        """Begin a job."""
        command: Command = message["command"]
        if self.jammed:
            return {"error": "the ram is jammed; free it by hand"}
        other = self.under_way()
        if other is not None:
            return {"error": f"busy with {other.action} of '{other.sample}'"}
        self.world.begin(command, self.clock.now(), self.seconds(command, float(message["seconds"])))
        return {"accepted": True}

    def seconds(self, command: Command, wanted: float) -> float:
        """Return how long a job takes."""
        del command
        return wanted

    def on_job(self, message: Message) -> Message | None:
        """Say how a job stands."""
        job = self.job(str(message["id"]))
        if job is None:
            return {"job": "never heard of"}
        state = "running" if self.clock.now() < job.over else "over" if job.aborted is None else "stopped"
        return {"job": state, "begins": job.begins, "ends": job.ends, "over": job.over}

    def job(self, command_id: str) -> Operation | None:
        """Return a job that the device remembers."""
        return self.world.operation(command_id)

    def on_result(self, message: Message) -> Message | None:
        """Give what a job read."""
        job = self.world.operation(str(message["id"]))
        if job is None:
            return {"error": "never heard of"}
        return {"values": self.values(job)}

    def values(self, job: Operation) -> Mapping[str, float]:
        """Return what a job read: a function of the record."""
        noise = float(self.world.rng(job.sample, job.action, job.occurrence, job.instrument).normal())
        if job.action == "press":
            return {"peak": float(job.arguments["force"]) * (1 + 0.001 * noise)}
        strongest = max((float(o.arguments["force"]) for o in self._pressings(job)), default=0.0)
        return {
            "thickness": THICKNESS - COMPACTION * math.sqrt(strongest / 100) + NOISE * noise,
            "thickness_uncertainty": NOISE,
        }

    def _pressings(self, job: Operation) -> list[Operation]:
        return [o for o in self.world.operations(job.sample) if o.action == "press" and o.over <= job.begins]

    def on_stop(self, message: Message) -> Message | None:
        """Stop a job, where it is a pressing under way."""
        job = self.under_way()
        if job is None or job.command != message["id"] or job.action != "press":
            return {"stopped": False}
        self.world.abort(job.command, self.clock.now())
        return {"stopped": True}

    def on_off(self, message: Message) -> Message | None:
        """Open the valve: whatever presses stops; works jammed too."""
        del message
        job = self.under_way()
        if job is not None and job.action == "press":
            self.world.abort(job.command, self.clock.now())
        return {"accepted": True}

    def on_state(self, message: Message) -> Message | None:
        """Say what goes on."""
        del message
        job = self.under_way()
        word = "jammed" if self.jammed else "idle" if job is None else job.action
        return {"state": word, "moment": self.clock.now()}

    def on_force(self, message: Message) -> Message | None:
        """Read the ram's force, kN."""
        del message
        job = self.under_way()
        force = float(job.arguments["force"]) if job is not None and job.action == "press" else 0.0
        return {"force": force, "moment": self.clock.now()}

    def under_way(self) -> Operation | None:
        """Return the job that goes on, or None."""
        now = self.clock.now()
        mine = [o for o in self.world.all_operations() if o.instrument == self.name and o.begins <= now < o.over]
        return mine[-1] if mine else None
