"""What an instrument says of a command after something was lost: the process, or the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdl.driver import Reconciled
from sdl.testing.bench import NAME, Bench, Death, Life, late
from sdl.testing.rule import Finding, NotApplicable, rule
from sdl.testing.rules.stopping import NO_LOSING, lose_hook

if TYPE_CHECKING:
    from sdl.driver import ActionSpec
    from sdl.testing.subject import Subject

_QUICK = 60.0

_MOMENTS: Mapping[str, float | None] = {
    "before it was sent": -1.0,
    "just after it was sent": 0.0,
    "after a tenth of its time": 0.1,
    "in the middle": 0.5,
    "shortly before its end": 0.99,
    "after the reply": None,
}
"""When the process is killed, as a share of the action's expected duration."""


@dataclass(frozen=True)
class _Asked:
    """A driver asked, in a new process, what became of a dead one's command."""

    when: str
    death: Death
    began: bool | None
    over: bool | None
    found: Reconciled
    again: Reconciled
    final: Reconciled


async def _asked(subject: Subject, action: str, spec: ActionSpec, when: str, share: float | None) -> _Asked:
    async with Bench(subject) as bench:
        death = await bench.kill(action, share)
        async with bench.life() as life:
            began, over = _truth(subject, life, death)
            found = await _reconcile(life, death)
            again = await _reconcile(life, death)
            final, limit = again, life.clock.now() + 3.0 * subject.expected(spec) + 60.0
            while final.state == "running" and life.clock.now() < limit:
                ends = (
                    final.ends if final.ends is not None and final.ends > life.clock.now() else life.clock.now() + 60.0
                )
                await life.sleep(ends - life.clock.now())
                final = await _reconcile(life, death)
            return _Asked(when, death, began, over, found, again, final)


async def _reconcile(life: Life, death: Death) -> Reconciled:
    return await life.within(life.instrument.reconcile(death.command), _QUICK, "reconcile")


def _truth(subject: Subject, life: Life, death: Death) -> tuple[bool | None, bool | None]:
    """Return whether the command physically began, and whether it is over; None where the record does not say."""
    operation = life.world.operation(death.command.id)
    if operation is not None:
        return True, operation.over <= life.clock.now()
    if subject.began is not None:
        return subject.began(life.world, death.command), None
    recorded = any(o.instrument == NAME for o in life.world.all_operations())
    return (False, None) if recorded else (None, None)


@rule(
    "reconcile-truthful",
    says="asked by a new process about a command of a killed one, the driver says what is true, or that it does not know: never "
    "that something began which did not, never that something did not begin which did",
    why="on this answer hangs whether an irreversible action is carried out a second time",
)
async def reconcile_truthful(subject: Subject) -> Finding | None:
    """See the rule."""
    lasting = subject.nature not in {"calculation", "replay"}
    for action, spec in subject.description.actions.items():
        for when, share in _MOMENTS.items():
            asked = await _asked(subject, action, spec, when, share)
            if (lie := _lie(asked, spec, share, lasting=lasting)) is not None:
                return Finding(f"{action}, process killed {when}: reconcile says {asked.found.state}, but {lie}")
    return None


def _lie(asked: _Asked, spec: ActionSpec, share: float | None, *, lasting: bool) -> str | None:
    """Say in what the answer is untrue, or None."""
    state, answered = asked.found.state, asked.death.reply is not None and asked.death.reply.status == "succeeded"
    if state == "unknown":
        return None
    if share is not None and share < 0:
        return None if state == "not_started" else "it was never sent"
    began, over = asked.began, True if answered else asked.over
    if began is None and spec.effect != "reads" and lasting:
        # Where no record tells: what was answered began; and half of its time later, a driver that had not begun by then
        # must not be sure. Of a reading or a calculation nothing needs to outlive the process: it may be done again.
        began = True if answered or (share is not None and share >= 0.5) else None
    if state == "not_started":
        return "it had begun" if began else None
    if began is False:
        return "it never began"
    if state == "done" and over is False:
        return "it goes on"
    if state == "running" and over:
        return "it is over"
    if asked.again.state != state:
        return f"asked again at once it says {asked.again.state}"
    if state == "running" and asked.final.state == "running":
        return "it still says so long after its time"
    return None


@rule(
    "reconcile-same-result",
    says="where reconcile says done, its result is the one that was answered before the kill, and a result the action may give",
    why="a result that changes when it is asked for again is no measurement",
)
async def reconcile_same_result(subject: Subject) -> Finding | None:
    """See the rule."""
    for action, spec in subject.description.actions.items():
        for when in ("after the reply", "in the middle"):
            asked = await _asked(subject, action, spec, when, _MOMENTS[when])
            final = asked.final
            if final.state != "done" or final.error is not None:
                continue
            if (problem := spec.check_result(final.values)) is not None:
                return Finding(f"{action}, process killed {when}: done, but the result cannot be used: {problem}")
            reply = asked.death.reply
            if reply is None or reply.status != "succeeded":
                continue
            if dict(final.values) != dict(reply.values):
                return Finding(f"{action} gave {dict(reply.values)}, and after the kill {dict(final.values)}")
            if [a.sha256 for a in final.artefacts] != [a.sha256 for a in reply.artefacts]:
                return Finding(f"{action}: the raw data after the kill are not those that it gave before")
    return None


@rule(
    "timeout-unknown",
    says="where the answer to an irreversible command is lost after sending, the command ends in bounded time as unknown; what "
    "only reads never ends as a success",
    why="neither 'failed' nor 'done' is known, and either would be believed",
)
async def timeout_unknown(subject: Subject) -> Finding | None:
    """See the rule."""
    for action, spec in subject.description.actions.items():
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            lose: Any = lose_hook(subject, life)
            if lose is None:
                raise NotApplicable(NO_LOSING)
            lose()
            command = life.command(action)
            reply = await life.within(
                life.lab.execute(command, begins_sample=False), late(spec, command.arguments), action
            )
            if reply.status == "succeeded":
                return Finding(f"{action}: every answer of the device was lost, and it gave {dict(reply.values)}")
            if spec.effect == "irreversible" and reply.status != "unknown":
                return Finding(
                    f"{action}: the answer was lost after sending, and it ended as {reply.status}: {reply.error}"
                )
    return None
