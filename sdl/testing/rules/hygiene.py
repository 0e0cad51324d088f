"""What a driver must not do to the process it lives in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.testing.bench import Bench, Life
from sdl.testing.rule import Finding, rule
from sdl.testing.watch import Belongings, blocking_calls

if TYPE_CHECKING:
    from sdl.testing.subject import Subject


async def _everything(life: Life, turn: int = 0) -> None:
    """Ask everything once that an instrument can be asked."""
    for action in life.bench.description.actions:
        await life.prepare(action, f"s{turn}-{action}")
        command = life.command(action, sample=f"s{turn}-{action}")
        await life.do(command)
        await life.instrument.reconcile(command)
        await life.instrument.abort(command)
    await life.instrument.health()
    await life.instrument.read_state()
    await life.instrument.safe_state()


@rule(
    "loop-not-blocked",
    says="nothing waits in the event loop's thread: no time.sleep, no socket that waits, no child process waited for",
    why="while one driver sleeps, no abort of any instrument gets through",
)
async def loop_not_blocked(subject: Subject) -> Finding | None:
    """See the rule."""
    packages = {c.__module__.split(".")[0] for c in subject.driver.__mro__} - {"builtins", "sdl"}
    with blocking_calls(tuple({*packages, subject.driver.__module__})) as found:
        async with Bench(subject) as bench, bench.life() as life:
            await _everything(life)
    return Finding("; ".join(dict.fromkeys(found))) if found else None


@rule(
    "clean-close",
    says="close() lets go of everything, can be called twice, and leaves no task, thread or file descriptor behind",
    why="an instrument that is still held by a dead campaign cannot be used by the next one",
)
async def clean_close(subject: Subject) -> Finding | None:
    """See the rule."""
    held = []  # a driver that is forgotten would have its files closed by the garbage collector
    async with Bench(subject) as bench:
        for turn in range(3):
            before = await Belongings.now()
            life = Life(bench, bench.moment)
            with life.clock.actor():
                await life.open()
                held.append(life)
                await _everything(life, turn)
                for which in ("close", "close a second time"):
                    try:
                        await life.instrument.close()
                    except Exception as error:  # noqa: BLE001  whatever it raises, it did not close
                        await life.close()
                        return Finding(f"{which}: {type(error).__name__}: {error}")
                await life.close()
            bench.moment = life.clock.now()
            left = (await Belongings.now()).beyond(before)
            # What is made once for the process (a shared pool, a library's own file) may stay; what grows may not.
            if turn > 0 and left:
                return Finding("left behind: " + ", ".join(sorted(left)))
    return None
