"""Groups on the ceramics line: whole groups begin together, share their loads, and fewer firings are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from enginekit import CAMPAIGN, Gauge, Press, proposals, run

from sdl.ledger import CommandIntended, RoundOpened
from sdl.loop import in_groups
from sdl.preflight import check

CERAMICS = Path(__file__).parents[2] / "campaigns" / "ceramics_line.yaml"
GROUP = "group={shared: [temperature, hold], capacity: 4}"
FEW = ("planner={type: sobol}", "stop.experiments=12")


def test_whole_groups_are_asked_for_as_far_as_the_budget_goes():
    plan = check(CERAMICS, overrides=(GROUP, *FEW)).plan
    assert [in_groups(plan, wanted, left=12) for wanted in (8, 7, 4, 3, 0, -1)] == [8, 4, 4, 0, 0, -4]
    assert [in_groups(plan, min(8, left), left) for left in (8, 6, 3)] == [8, 6, 3]
    alone = check(CERAMICS, overrides=FEW).plan
    assert [in_groups(alone, wanted, left=12) for wanted in (8, 7, 1)] == [8, 7, 1]


def test_rounds_ask_for_whole_groups(write, drivers):
    drivers(press=Press, gauge=Gauge)
    text = CAMPAIGN.replace("unit: kN}\n", "unit: kN}\n    note: {type: continuous, bounds: [10, 90], unit: kN}\n")
    text = text.replace("action: measure, with: {force: $force}", "action: measure, with: {force: $note}")
    file = write("pellets.yaml", text)
    end, state, rows = run(
        file,
        None,
        "group={shared: [force], capacity: 3}",
        "concurrency=4",
        "stop.experiments=8",
        "planner={type: random}",
    )
    assert end[0] == "done"
    assert [r.event.count for r in rows if isinstance(r.event, RoundOpened)] == [3, 3, 2]
    made = proposals(rows)
    assert [len({c["force"] for c in made[a:b]}) for a, b in ((0, 3), (3, 6), (6, 8))] == [1, 1, 1]
    assert len({c["force"] for c in made}) == 3
    assert len(state.in_state("done")) == 8


@pytest.mark.slow
def test_members_of_a_group_share_a_load_and_fewer_loads_are_needed():
    loads = {}
    for what, group in (("alone", ()), ("in groups", (GROUP,))):
        end, _, rows = run(CERAMICS, None, *FEW, *group)
        assert end[0] == "done"
        fired = [r.event for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "sinter"]
        loads[what] = [len(f.samples) for f in fired]
        assert sum(loads[what]) == 12
    assert loads["in groups"] == [4, 4, 4]
    assert len(loads["alone"]) >= 2 * len(loads["in groups"])
