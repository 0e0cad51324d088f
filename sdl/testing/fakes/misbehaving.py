"""Instruments that misbehave as instruments do: careful drivers of a bad device, or of a good one on a bad line.

Which commands are struck follows from the settings (`seed`, `share`) and from sample, action and occurrence, never from the
order of calls: a campaign over them is the same twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from sdl.driver import Command, DriverSettings, Reconciled
from sdl.testing.fakes.device import Device
from sdl.testing.fakes.line import Fault, Message
from sdl.testing.fakes.press import GoodPress

if TYPE_CHECKING:
    from sdl.clock import Clock
    from sdl.world import Operation, World

_CENTURY = 100 * 365.25 * 86400.0
_RESTART = 3600.0
"""Seconds after which a device that died answers again."""


def _command_of(job: Operation) -> Command:
    """Return as much of a job's command as draws are made from."""
    return Command(job.command, "", 0, 0, 0, job.instrument, job.action, job.arguments, (job.sample,), job.occurrence)


class _FailingDevice(Device):
    def on_result(self, message: Message) -> Message | None:
        job = self.world.operation(str(message["id"]))
        if job is not None and self.afflicted(_command_of(job)):
            return {"error": "the punch broke; change it"}
        return super().on_result(message)


class Fails(GoodPress):
    """Fake press whose punch breaks: the action ends as failed."""

    device_class = _FailingDevice


class _EndlessDevice(Device):
    def seconds(self, command: Command, wanted: float) -> float:
        return _CENTURY if self.afflicted(command) else wanted


class NeverEnds(GoodPress):
    """Fake press that goes on for a century."""

    device_class = _EndlessDevice


class _SlowDevice(Device):
    def seconds(self, command: Command, wanted: float) -> float:
        return 10.0 * wanted + 600.0 if self.afflicted(command) else wanted


class Slow(GoodPress):
    """Fake press that takes more than ten times as long as it said."""

    device_class = _SlowDevice


class _LyingDevice(Device):
    def on_state(self, message: Message) -> Message | None:
        job = self.under_way()
        if job is not None and self.afflicted(_command_of(job)):
            return {"state": "idle", "moment": self.clock.now()}
        return super().on_state(message)


class LiesReady(GoodPress):
    """Fake press that says 'idle' while it presses."""

    device_class = _LyingDevice


class _BadLine(GoodPress):
    """A press on a bad line."""

    fault: ClassVar[Fault]
    verbs: ClassVar[frozenset[str]] = frozenset({"start"})

    def __init__(self, name: str, settings: DriverSettings, *, clock: Clock, world: World | None = None) -> None:
        super().__init__(name, settings, clock=clock, world=world)
        self.line.fault = self._fault

    def _fault(self, message: Message) -> Fault | None:
        if message["verb"] not in self.verbs:
            return None
        command = message.get("command")
        if command is None and "id" in message:
            job = self.device.world.operation(str(message["id"]))
            command = None if job is None else _command_of(job)
        struck = self.device.share > 0 if command is None else self.device.afflicted(command)
        return self.fault if struck else None


class DropsReplies(_BadLine):
    """Fake press on a line that loses the answer to a start: it works, and nobody hears of it."""

    fault = "drop"


class DelaysReplies(_BadLine):
    """Fake press on a line whose answer to a start comes after the time-out, among the answers to other questions."""

    fault = "delay"


class DuplicatesReplies(_BadLine):
    """Fake press on a line that delivers answers twice."""

    fault = "duplicate"
    verbs = frozenset({"start", "job", "result", "state", "force", "stop", "off"})


class ReordersReplies(_BadLine):
    """Fake press on a line on which a later answer overtakes an earlier one."""

    fault = "reorder"
    verbs = frozenset({"start", "job", "result", "state"})


class _MortalDevice(Device):
    def answer(self, message: Message) -> Message | None:
        now = self.clock.now()
        for job in self.world.all_operations():
            if job.instrument != self.name or not self.afflicted(_command_of(job)):
                continue
            died = job.begins + (job.ends - job.begins) / 2
            if now >= died:
                self.world.abort(job.command, died)  # the ram falls back when the power is gone
            if died <= now < died + _RESTART:
                return None
        return super().answer(message)


class DiesInTheMiddle(GoodPress):
    """Fake press that loses power in the middle of a job and answers again after an hour."""

    device_class = _MortalDevice


class _ForgetfulDevice(Device):
    def __init__(self, name: str, world: World, clock: Clock, seed: int, share: float) -> None:
        super().__init__(name, world, clock, seed, share)
        self._known = {o.command for o in world.all_operations() if not self.afflicted(_command_of(o))}

    def on_start(self, message: Message) -> Message | None:
        self._known.add(message["command"].id)
        return super().on_start(message)

    def job(self, command_id: str) -> Operation | None:
        return super().job(command_id) if command_id in self._known else None


class Forgets(GoodPress):
    """Fake press that forgets its jobs when the connection breaks; its driver knows that, and says unknown."""

    device_class = _ForgetfulDevice

    async def reconcile(self, command: Command) -> Reconciled:
        """Ask the device; what it has not heard of it may have forgotten."""
        found = await super().reconcile(command)
        return replace(found, state="unknown") if found.state == "not_started" else found


class _NanDevice(Device):
    def values(self, job: Operation) -> Mapping[str, float]:
        values = super().values(job)
        return dict.fromkeys(values, math.nan) if self.afflicted(_command_of(job)) else values


class GivesNan(GoodPress):
    """Fake press whose readings are not numbers."""

    device_class = _NanDevice


class _StaleDevice(Device):
    def values(self, job: Operation) -> Mapping[str, float]:
        earlier = [
            o
            for o in self.world.all_operations()
            if o.instrument == self.name and o.action == job.action and o.begins < job.begins and o.sample != job.sample
        ]
        return super().values(earlier[-1] if earlier and self.afflicted(_command_of(job)) else job)


class GivesAnotherSamplesData(GoodPress):
    """Fake press that gives what it read of the sample before."""

    device_class = _StaleDevice


MISBEHAVING: Mapping[str, type[GoodPress]] = {
    "fails": Fails,
    "never-ends": NeverEnds,
    "slow": Slow,
    "lies-ready": LiesReady,
    "drops-replies": DropsReplies,
    "delays-replies": DelaysReplies,
    "duplicates-replies": DuplicatesReplies,
    "reorders-replies": ReordersReplies,
    "dies-in-the-middle": DiesInTheMiddle,
    "forgets": Forgets,
    "gives-nan": GivesNan,
    "gives-another-samples-data": GivesAnotherSamplesData,
}
"""Every misbehaviour by name."""
