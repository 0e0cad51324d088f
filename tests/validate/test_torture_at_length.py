"""Long torture, `make validate`: more than a thousand faults of processes, at every boundary at least twenty times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from sdl.cli.torture import oracle, runner, served_subject
from sdl.preflight import check
from sdl.testing.torture import Subject, Torture, TortureResult
from sdl.testing.torture.database import Database, reason_against
from sdl.testing.torture.lane import Lane
from sdl.testing.torture.served import ServedLane

pytestmark = pytest.mark.validate

OPTIONS = ("stop.experiments=6", "planner={type: sobol}")
EACH = 20
"""How often each boundary is struck, at least."""

MORE = 1.2
"""Some faults are ordered that find no time to strike; so many more are asked for."""


@dataclass(frozen=True)
class Part:
    """A share of the faults.

    Attributes:
        faults: how many.
        processes: which are struck.
        served: whether the lab has a process of its own.
        concurrency: experiments at once.
        inline: whether planner and analyses run in the campaign's process: a start costs a tenth.
        database: whether a PostgreSQL holds the ledger.
        engine: `local`, or `prefect`.
    """

    faults: int
    processes: tuple[str, ...]
    served: bool = False
    concurrency: int = 2
    inline: bool = True
    database: bool = False
    engine: str = "local"


PARTS: Mapping[str, Part] = {
    "one at a time": Part(200, ("campaign",), concurrency=1),
    "two at a time": Part(200, ("campaign",)),
    "worker": Part(int(MORE * EACH * 7), ("worker",), inline=False),
    "database": Part(int(MORE * EACH * 5), ("database",), database=True),
    "campaign on a database": Part(60, ("campaign", "database"), database=True),
    "served": Part(int(1.1 * EACH * 68), ("campaign", "server", "network"), served=True),
    "prefect": Part(60, ("campaign", "prefect"), engine="prefect", inline=False),
}


@pytest.fixture(scope="module")
def results() -> dict[str, TortureResult]:
    return {}


@pytest.mark.parametrize("name", PARTS)
def test_nothing_happens_twice_or_is_lost(campaigns, tmp_path, results, name):
    part = PARTS[name]
    if part.database and (reason := reason_against()) is not None:
        pytest.skip(reason)
    file = campaigns / "electrolyte_sintering.yaml"
    options = (*OPTIONS, f"concurrency={part.concurrency}")
    checked = check(file, overrides=options)
    database = Database if part.database else None
    if part.served:
        subject = served_subject(checked, file, options, inline=part.inline)
        make = partial(ServedLane, subject, make_database=database)
    else:
        run = runner(file, options, simulate=False, inline=part.inline, engine=part.engine)
        subject = Subject.of(checked, run, answer=oracle(checked))
        make = partial(Lane, subject, make_database=database)
    with ExitStack() as held:
        if part.engine == "prefect":
            from sdl_flows.torture import prefect_lanes

            make = held.enter_context(prefect_lanes(subject, tmp_path))
        result = Torture(
            make, tmp_path, faults=part.faults, seed=11, lanes=2, processes=part.processes, say=print
        ).run()
    said = result.as_json()
    print(name, json.dumps({**said, "problems": [p[:1000] for p in said["problems"]]}, indent=1))
    results[name] = result
    assert result.problems == []
    assert said["faults"] >= part.faults
    assert said["executed_twice"] == said["lost"] == said["observations_missing"] == said["observations_doubled"] == 0
    assert result.plain >= 0.8 * len(result.trials)  # these drivers reconcile
    assert all(t.verdict.difference is None for t in result.trials if t.verdict.is_plain)
    if part.engine == "local":  # Prefect alone takes longer to import than all else to start
        assert result.median_resume is not None and result.median_resume < 5.0


def test_every_boundary_was_struck_twenty_times(results):
    if missing := [n for n, p in PARTS.items() if n not in results and not (p.database or p.engine == "prefect")]:
        pytest.skip(f"not run or broken: {', '.join(missing)}")
    whole = TortureResult.of(list(results.values()))
    print(json.dumps({p: n for p, n in whole.as_json().items() if p != "problems"}, indent=1))
    assert whole.process_faults >= 1000
    assert {place: n for place, n in whole.by_boundary.items() if n < EACH and place[0] != "prefect"} == {}
    assert sum(sum(results[n].struck.values()) for n, p in PARTS.items() if n in results and p.concurrency == 2) >= 100
