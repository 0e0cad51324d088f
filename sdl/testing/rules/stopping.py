"""How an instrument is stopped, and how it is made safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.driver import SafeReport
from sdl.testing.bench import Bench, Life, TooLong
from sdl.testing.rule import Finding, NotApplicable, rule
from sdl.testing.rules.saying import fault_hook

if TYPE_CHECKING:
    from sdl.driver import ActionSpec
    from sdl.testing.subject import Subject


def _lasting(subject: Subject, *, abortable: bool) -> dict[str, ActionSpec]:
    """Return the actions that last, of those that are or are not abortable."""
    actions = subject.description.actions
    return {n: s for n, s in actions.items() if s.abortable is abortable and subject.expected(s) > 0}


@rule(
    "abort-bounded",
    says="an abort, and the action it stops, come to their end in bounded lab time",
    why="a person who presses stop must not wait for the furnace to finish",
)
async def abort_bounded(subject: Subject) -> Finding | None:
    """See the rule."""
    actions = _lasting(subject, abortable=True)
    if not actions:
        raise NotApplicable("no action that lasts is abortable")
    for action, spec in actions.items():
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            running = life.begin(life.command(action))
            await life.sleep(0.5 * subject.expected(spec))
            try:
                await life.within(life.lab.abort(), subject.abort_within, f"aborting {action}")
                if not await life.wait(running, subject.abort_within):
                    return Finding(f"{action} went on for more than {subject.abort_within:g} s after it was aborted")
            except TooLong as error:
                return Finding(str(error))
            finally:
                running.task.cancel()
    return None


@rule(
    "abort-stops",
    says="abort returns True for a running abortable action and really stops it; for anything else it returns False",
    why="an abort that only says so leaves a heater on that everybody believes to be off",
)
async def abort_stops(subject: Subject) -> Finding | None:
    """See the rule."""
    for action, spec in subject.description.actions.items():
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            command = life.command(action)
            if await _abort(life, command) is not False:
                return Finding(f"abort of {action} says that it stopped a command that was never sent")
            if subject.expected(spec) <= 0:
                continue
            running = life.begin(command)
            await life.sleep(0.5 * subject.expected(spec))
            if running.ended:
                continue
            stopped = await _abort(life, command)
            if stopped is not spec.abortable:
                await life.wait(running, 1.0)
                running.task.cancel()
                said = "abortable" if spec.abortable else "not abortable"
                return Finding(f"{action} is described as {said}, and its abort returned {stopped!r} while it ran")
            if not spec.abortable:
                await life.wait(running, 3.0 * subject.expected(spec) + 60.0)
                running.task.cancel()
                continue
            running.task.cancel()  # as the lab does: nobody waits for it any more
            await life.wait(running, subject.abort_within)
            found = await life.within(life.instrument.reconcile(command), subject.abort_within, "reconcile")
            if found.state == "running":
                return Finding(f"abort of {action} returned True, and reconcile says that it is still running")
            if (began := life.world.operation(command.id)) is not None and began.over > life.clock.now():
                return Finding(f"abort of {action} returned True, and in the world it goes on")
    return None


async def _abort(life: Life, command: Any) -> bool:  # noqa: ANN401
    return await life.within(life.instrument.abort(command), 2.0 * life.subject.abort_within, "abort")


@rule(
    "safe-state-confirmed",
    says="safe_state confirms, in bounded time and in words, that the instrument was read back as safe; "
    "what is abortable has then stopped",
    why="whoever opens the door relies on it",
)
async def safe_state_confirmed(subject: Subject) -> Finding | None:
    """See the rule."""
    _readable(subject)
    async with Bench(subject) as bench, bench.life() as life:
        if (finding := await _safe(life, "idle")) is not None:
            return finding
    moving = _lasting(subject, abortable=True) if subject.nature in {"real", "simulated"} else {}
    for action, spec in moving.items():
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            running = life.begin(life.command(action))
            await life.sleep(0.5 * subject.expected(spec))
            if running.ended:
                continue
            if (finding := await _safe(life, f"in the middle of {action}")) is not None:
                running.task.cancel()
                return finding
            if not await life.wait(running, subject.abort_within):
                running.task.cancel()
                return Finding(f"safe_state confirmed in the middle of {action}, which goes on all the same")
            if running.task.result().status == "succeeded":
                return Finding(
                    f"safe_state confirmed in the middle of {action}, which was answered as a success all the same"
                )
    return None


def _readable(subject: Subject) -> None:
    if subject.nature == "manual":
        raise NotApplicable("what a person works on can be confirmed as safe by a person only")


async def _safe(life: Life, when: str) -> Finding | None:
    try:
        report = await life.within(life.instrument.safe_state(), life.subject.abort_within, "safe_state")
    except TooLong as error:
        return Finding(f"{when}: {error}")
    except Exception as error:  # noqa: BLE001  whatever it raises, the instrument is not safe
        return Finding(f"{when}: safe_state raised {type(error).__name__}: {error}")
    if not isinstance(report, SafeReport):
        return Finding(f"{when}: safe_state gave {report!r}, not a SafeReport")
    if not report.confirmed:
        return Finding(f"{when}: the safe state was not confirmed: {report.message}")
    if not report.message:
        return Finding(f"{when}: safe_state does not say what was done and read")
    return None


@rule(
    "safe-state-read-back",
    says="a safe state is confirmed from what the device answers: where every answer is lost, it is not confirmed",
    why="a confirmation from memory is no confirmation",
)
async def safe_state_read_back(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        lose = lose_hook(subject, life)
        if lose is None:
            raise NotApplicable(NO_LOSING)
        lose()
        try:
            report = await life.within(life.instrument.safe_state(), subject.abort_within, "safe_state")
        except Exception:  # noqa: BLE001  to raise is one way of not confirming
            return None
        return Finding(f"no answer came back, and yet: {report.message or 'confirmed'}") if report.confirmed else None


NO_LOSING = "nobody says how answers of the device get lost: give `lose_replies`, or the driver a method `simulate_lost_replies`"


def lose_hook(subject: Subject, life: Life) -> Any:  # noqa: ANN401  a function without arguments, or None
    """Return what makes every answer of the device get lost, or None where nobody says how."""
    if subject.lose_replies is not None:
        hook = subject.lose_replies
        return lambda: hook(life.instrument)
    return getattr(life.instrument, "simulate_lost_replies", None)


@rule(
    "safe-state-idempotent",
    says="safe_state a second time confirms again and changes nothing that can be read",
    why="it is called by everything that sees trouble, often several times",
)
async def safe_state_idempotent(subject: Subject) -> Finding | None:
    """See the rule."""
    async with Bench(subject) as bench, bench.life() as life:
        if await _safe(life, "once") is not None:
            return None  # the rule `safe-state-confirmed` says so
        one = {n: r.value for n, r in (await life.instrument.read_state()).items() if isinstance(r.value, str)}
        if (finding := await _safe(life, "a second time")) is not None:
            return finding
        two = {n: r.value for n, r in (await life.instrument.read_state()).items() if isinstance(r.value, str)}
    return Finding(f"after a second safe_state it reads {two}, after the first {one}") if one != two else None


@rule(
    "safe-state-from-fault",
    says="safe_state works in a fault: after an action that was cut off, after the process that began it was killed, and in "
    "the device's own fault where it can be brought about",
    why="it is when something went wrong that it is needed",
)
async def safe_state_from_fault(subject: Subject) -> Finding | None:
    """See the rule."""
    _readable(subject)
    for action, spec in subject.description.actions.items():
        async with Bench(subject) as bench, bench.life() as life:
            await life.prepare(action, "s1")
            running = life.begin(life.command(action))
            await life.sleep(0.5 * subject.expected(spec))
            running.task.cancel()
            await life.wait(running, 1.0)
            if (finding := await _safe(life, f"after {action} was cut off")) is not None:
                return finding
        async with Bench(subject) as bench:
            await bench.kill(action, 0.5)
            async with bench.life() as life:
                if (finding := await _safe(life, f"after the process that began {action} was killed")) is not None:
                    return finding
    async with Bench(subject) as bench, bench.life() as life:
        cause = fault_hook(subject, life)
        if cause is not None:
            cause()
            return await _safe(life, "in a fault of the device")
    return None
