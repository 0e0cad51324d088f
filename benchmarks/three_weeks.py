"""Three weeks on the simulated ceramics line, twice: what it costs beside the planner, and whether both come out the same."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sdl.engine import open_session
from sdl.engine.worker import propose
from sdl.ledger import CommandIntended, CommandSettled, ExperimentFinished, ObservationRecorded, RoundProposed
from sdl.preflight import check

CAMPAIGN = Path(__file__).parent.parent / "campaigns" / "ceramics_line.yaml"
EXPERIMENTS = 54  # three weeks of slow firings
OVERRIDES = (f"stop.experiments={EXPERIMENTS}", "space.parameters.hold.values=[6, 12]", "planner={type: sobol}")


@dataclass
class TimingWorker:
    """Runs calls in this process and adds their CPU seconds up by function."""

    seconds: dict[str, float] = field(default_factory=dict)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments)
        finally:
            name = function.__name__
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - began

    async def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Weeks:
    """One run: digest of all that counts, days of lab time, CPU seconds in all and by kind of call, and what was fired."""

    digest: str
    days: float
    cpu: float
    wall: float
    calls: dict[str, float]
    done: int
    loads: int


def run(home: Path) -> Weeks:
    """Run the campaign once, with its ledger on disk."""
    checked = check(CAMPAIGN, overrides=OVERRIDES)
    worker = TimingWorker()
    cpu, wall = time.process_time(), time.monotonic()

    async def go() -> list[Any]:
        session = open_session(checked, home)
        try:
            engine = await session.engine(worker)
            await engine.run()
            return session.ledger.rows(session.name)
        finally:
            await session.close()

    rows = asyncio.run(go())
    kinds = (RoundProposed, ObservationRecorded, ExperimentFinished, CommandSettled)
    told = []
    for row in rows:
        if isinstance(row.event, kinds):
            body = row.event.body()
            for changing in ("command", "seconds", "environment"):  # random ids, and what the machine took
                body.pop(changing, None)
            told.append([row.at, row.event.kind, body])
    at = [datetime.fromisoformat(r.at) for r in rows]
    return Weeks(
        digest=hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest(),
        days=(at[-1] - at[0]).total_seconds() / 86400,
        cpu=time.process_time() - cpu,
        wall=time.monotonic() - wall,
        calls=worker.seconds,
        done=sum(isinstance(r.event, ExperimentFinished) and r.event.state == "done" for r in rows),
        loads=sum(isinstance(r.event, CommandIntended) and r.event.action == "sinter" for r in rows),
    )


def three_weeks_rows() -> list[tuple[str, str, str, str]]:
    """Return the rows of the table."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = run(Path(folder) / "a"), run(Path(folder) / "b")
    planner = first.calls[propose.__name__]
    analyses = sum(s for name, s in first.calls.items() if name != propose.__name__)
    beside = first.cpu - planner
    return [
        (
            f"{first.days:.1f} days on the ceramics line, {first.done} of {EXPERIMENTS} done, {first.loads} loads",
            f"{beside:.1f} CPU s beside the planner",
            f"analyses alone {analyses:.1f}",
            f"{beside / analyses:.2f}",
        ),
        (
            "the same, less its analyses of raw data",
            f"{beside - analyses:.1f} CPU s",
            f"planner (sobol) {planner:.1f}",
            "",
        ),
        (
            "the same again, bit for bit",
            "equal" if first.digest == second.digest else "DIFFERENT",
            f"{first.digest[:12]} / {second.digest[:12]}",
            "",
        ),
    ]


if __name__ == "__main__":
    for line in three_weeks_rows():
        print(" | ".join(line))
