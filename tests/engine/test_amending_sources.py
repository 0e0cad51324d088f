"""What an amendment must leave alone: approvals of steps, the source of every experiment, and the unit of its cost."""

from __future__ import annotations

from typing import Annotated

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run
from personkit import Person, on, stays

from sdl.driver import Context, Limits, Unit, action
from sdl.engine.amending import held
from sdl.errors import FileProblems, InputError
from sdl.ledger import CommandIntended, Ledger, QuestionOpened, VersionRecorded
from sdl.loop import CampaignState
from sdl.preflight import check


class BakingPress(Press):
    """A press that can also bake."""

    @action(effect="irreversible", duration="1 h")
    async def bake(self, ctx: Context, time: Annotated[float, Unit("h"), Limits(0, 100)]) -> None:
        """Bake the pellet."""
        await ctx.sleep(time * 3600)


@pytest.fixture
def lab(drivers):
    drivers(press=BakingPress, gauge=Gauge)
    Press.behaviour.__init__()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def amend(file, home, *overrides):
    """Amend; returns what was planned."""
    with held(check(file, overrides=tuple(overrides)), home) as amending:
        found = amending.plan("Mia", "")
        amending.carry_out(found)
        return found


def rows_of(home, name):
    ledger = Ledger(home)
    try:
        return ledger.rows(name)
    finally:
        ledger.close()


def test_what_was_approved_of_a_step_is_not_approved_of_the_one_that_takes_its_number(write, lab, home):
    asks = CAMPAIGN.replace("gives: {size: size}}", "gives: {size: size}, approve: first}")
    first = write("v1.yaml", asks)
    person = Person(home, (on(QuestionOpened), "answer", {"question": "Q1", "answer": "approve"}))
    end, state, _ = run(first, home, "stop.experiments=2", "concurrency=1", hooks=person, steer=stays)
    assert end[0] == "done" and state.approved == {1}
    bake = "  - {instrument: press, action: bake, with: {time: 2 h}, approve: first}\n  - {instrument: gauge"
    second = write("v2.yaml", asks.replace("  - {instrument: gauge", bake))
    amend(second, home, "stop.experiments=4", "concurrency=1")
    assert CampaignState(rows_of(home, "pellets")).approved == set()
    end, state, rows = run(second, home, "stop.experiments=4", "concurrency=1")
    assert end[0] == "waiting" and "a person must say" in end[1]
    assert not [r for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "bake"]
    assert state.open_questions()[0].experiment == 3


# --- sources ---------------------------------------------------------------------------------------------------------

SOURCES = """sources:
  cheap:
    protocol: [{instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}]
    cost: 6 min
  full:
    target: true
    protocol:
      - {instrument: press, action: press, with: {force: $force}}
      - {instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}
    cost: 1 h
lab:"""
TWO = (
    (CAMPAIGN[: CAMPAIGN.index("protocol:")] + SOURCES + CAMPAIGN[CAMPAIGN.index("lab:") + 4 :])
    .replace("name: pellets", "name: two")
    .replace("{type: random}", "{type: bayes, initial: {count: 3}}")
)
ONE = (
    TWO[: TWO.index("  cheap:")] + TWO[TWO.index("  full:") :]  # the target alone
)


@pytest.fixture
def two(write, lab, home):
    """A campaign with results of both sources, still in its initial design."""
    pytest.importorskip("torch")
    file = write("two.yaml", TWO)
    _, state, _ = run(file, home, "stop.experiments=6", "concurrency=6")
    assert {e.source for e in state.in_state("done")} == {"cheap", "full"}
    return file


def test_a_source_with_results_stays_what_it_was(two, home, write):
    before = rows_of(home, "two")
    swapped = TWO.replace("    target: true\n", "").replace("    cost: 6 min", "    cost: 6 min\n    target: true")
    for text, said in (
        (ONE, "the new version has no such source: its results would be taken for those of 'full', the target"),
        (TWO.replace("  cheap:", "  quick:"), "keep 'cheap' under sources"),
        (swapped, "'cheap' was not the target and would become it"),
        (swapped, "'full' would be another source: keep 'full' as the target"),
    ):
        with pytest.raises(InputError) as caught:
            amend(write("new.yaml", text), home, "stop.experiments=8")
        assert said in str(caught.value)
    assert rows_of(home, "two") == before
    # another name for the target is no other target, and a further source is welcome
    step = "{instrument: gauge, action: measure, with: {force: $force}, gives: {size: size}}"
    third = f"sources:\n  third:\n    protocol: [{step}]\n"
    renamed = write("new.yaml", TWO.replace("  full:", "  exact:").replace("sources:\n", third + "    cost: 1 min\n"))
    amend(renamed, home, "stop.experiments=8")
    plan, state = check(renamed).plan, CampaignState(rows_of(home, "two"))
    counted = {e.source for e in state.counting(tuple(plan.others))}
    assert counted == {"full"}


def test_the_target_cannot_become_a_source_that_has_no_results_yet_where_it_has_some(write, lab, home):
    pytest.importorskip("torch")
    run(write("one.yaml", ONE), home, "stop.experiments=2")
    # v2 adds a source; v3 would make it the target and drop the old one
    amend(write("two.yaml", TWO), home, "stop.experiments=6")
    cheap = TWO[: TWO.index("  full:")].rstrip() + "\n" + TWO[TWO.index("lab:") :]
    with pytest.raises(InputError, match="'cheap' was not the target and would become it: experiment 1, 2 would count"):
        amend(write("cheap.yaml", cheap), home, "stop.experiments=6")
    versions = [r.event.version for r in rows_of(home, "two") if isinstance(r.event, VersionRecorded)]
    assert versions == [1, 2]


def test_a_source_that_is_not_the_target_is_not_called_as_what_people_add(write, lab):
    pytest.importorskip("torch")
    with pytest.raises(
        FileProblems, match="'default' means the target; call a source that is not the target otherwise"
    ):
        check(write("two.yaml", TWO.replace("  cheap:", "  default:")))
    assert check(write("two.yaml", TWO.replace("  full:", "  default:"))).plan.source == "default"


# --- costs -----------------------------------------------------------------------------------------------------------


def test_costs_keep_a_unit_in_which_they_can_be_added(write, lab, home):
    run(write("pellets.yaml", CAMPAIGN + "cost: 2 h\n"), home)
    for text, said in (
        (
            CAMPAIGN + "cost: 30\n",
            "experiment 1, 2, 3, 4, 5 cost 2 h and so on, and by the new version costs would be plain",
        ),
        (CAMPAIGN + "cost: 3 kg\n", "costs would be in kg: they cannot be added up; keep 'cost' in h"),
        (CAMPAIGN, "by the new version no cost is stated"),
    ):
        with pytest.raises(InputError) as caught:
            amend(write("new.yaml", text), home, "stop.experiments=7")
        assert said in str(caught.value)
    new = write("new.yaml", CAMPAIGN + "cost: 90 min\n")
    amend(new, home, "stop={experiments: 20, cost: 800 min}")
    end, state, _ = run(new, home, "stop={experiments: 20, cost: 800 min}")
    assert end[0] == "done"
    assert state.spent("min") == pytest.approx(5 * 120 + 2 * 90)


def test_a_cost_that_comes_later_counts_from_then_on_and_says_so(write, lab, home):
    run(write("pellets.yaml", CAMPAIGN), home)
    found = amend(write("new.yaml", CAMPAIGN + "cost: 2 h\n"), home, "stop={experiments: 20, cost: 8 h}")
    assert (
        "experiment 1, 2, 3, 4, 5 had no cost when it was started and counts for nothing in 'stop.cost'" in found.notes
    )
