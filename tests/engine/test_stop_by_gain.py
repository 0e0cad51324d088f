"""Stopping when too little is still to be gained: grammar, the rule over the journal, and a campaign that ends by it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from enginekit import run
from typer.testing import CliRunner

from sdl.benchmark.preparing import prepare
from sdl.campaign import StopGain
from sdl.cli.main import app
from sdl.errors import FileProblems
from sdl.ledger import (
    CandidatesAdded,
    ConstraintLifted,
    Ledger,
    ObservationRecorded,
    RoundOpened,
    RoundProposed,
    VersionRecorded,
)
from sdl.loop import CampaignState, describe_gain, gain_unlikely, gains_stated
from sdl.preflight import check, recorded_problem

NAME = "ridge"
TABLE = "a,b,y\n" + "\n".join(
    f"{a / 10},{b / 10},{5 - 3 * (a / 10 - 0.7) ** 2 - 2 * (b / 10 - 0.3) ** 2}" for a in range(11) for b in range(11)
)
POOL = """\
name: ridge
space:
  parameters:
    a: {type: continuous, bounds: [0, 1]}
    b: {type: continuous, bounds: [0, 1]}
  candidates: {table: points.csv}
objectives: {y: {goal: maximize, unit: degC}}
protocol: [{instrument: table, action: measure, with: {a: $a, b: $b}, gives: {y: y}}]
lab:
  clock: {type: virtual}
  instruments:
    table: {driver: replay, settings: {table: points.csv, outcomes: [y], units: {y: degC}}}
planner: {type: PLANNER}
stop: {experiments: 40, gain: GAIN}
"""


def ridge(write, gain, planner="bayes"):
    write("points.csv", TABLE)
    return write("ridge.yaml", POOL.replace("GAIN", gain).replace("PLANNER", planner))


@pytest.mark.parametrize(
    ("gain", "more_than", "probability", "rounds"),
    [
        ("{more_than: 0.05 K}", 0.05, 0.05, 3),
        ("{more_than: 5 degC, probability: 0.1, rounds: 1}", 5.0, 0.1, 1),  # a difference: not 278 K
        ("{more_than: 9 delta_degF}", 5.0, 0.05, 3),
        ("{more_than: 0.5}", 0.5, 0.05, 3),
    ],
)
def test_the_threshold_is_a_difference_in_the_objectives_unit(write, gain, more_than, probability, rounds):
    checked = check(ridge(write, gain))
    rule = checked.plan.gain
    assert (rule.objective, rule.unit) == ("y", "degC")
    assert (rule.more_than, rule.probability, rule.rounds) == (pytest.approx(more_than), probability, rounds)
    assert checked.problem.gain == rule.more_than


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        ("{more_than: 5 h}", "5 h cannot be given in degC"),
        ("{more_than: -0.1 K}", "must be above 0"),
        ("{more_than: .inf}", "not finite"),
        ("{more_than: lots}", "'lots' is not a quantity"),
        ("{probability: 0.1}", "stop.gain.more_than is missing"),
        ("{more_than: 1 K, probability: 1.5}", "less than 1"),
        ("{more_than: 1 K, rounds: 0}", "greater than or equal to 1"),
        ("{more_then: 1 K}", "did you mean 'more_than'"),
        ("0.05", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_said_at_load(write, gain, said):
    with pytest.raises(FileProblems) as refused:
        check(ridge(write, gain))
    assert said in " ".join(str(refused.value).split()).replace("stop.gain.more_than: is", "stop.gain.more_than is")


def test_a_planner_that_states_none_is_refused(write):
    with pytest.raises(FileProblems, match="'random' states no probability that more is still to be gained"):
        check(ridge(write, "{more_than: 1 K}", planner="random"))


def test_several_objectives_are_refused(write):
    path = ridge(write, "{more_than: 1 K}")
    text = path.read_text().replace(
        "objectives: {y: {goal: maximize, unit: degC}}",
        "objectives: {y: {goal: maximize, unit: degC}, b2: {goal: minimize}}",
    )
    with pytest.raises(FileProblems, match="what is gained is hypervolume"):
        check(write("two.yaml", text))


def test_the_plan_says_it_and_a_benchmark_goes_on_to_its_budget(write):
    file = ridge(write, "{more_than: 0.05 K}")
    told = CliRunner().invoke(app, ["plan", str(file)])
    assert told.exit_code == 0, told.output
    said = "after 40 experiments, or once 3 rounds in a row say that the probability is at most 0.05 that more than 0.05 degC"
    assert said in told.output
    checked = prepare(file, "random", 1, 5).checked  # which states nothing
    assert checked.plan.gain is None
    assert checked.plan.budget == 5


def rounds(*probabilities, more_than=0.05, state=None, first=1):
    """Return a campaign's state in which rounds stated these probabilities; None for a round that could not tell."""
    state = CampaignState() if state is None else state
    for number, p in enumerate(probabilities, start=first):
        said = {} if p == "silent" else {"gain": {"more_than": more_than, "probability": p, "standard_error": 0.01}}
        state.apply(_row(RoundOpened(number, 1, 1), 2 * number))
        state.apply(_row(RoundProposed(number, "bayes", [], number, said, {}, 0.1), 2 * number + 1))
    return state


def _row(event, seq):
    from types import SimpleNamespace

    return SimpleNamespace(event=event, seq=seq, at="2000-01-01T00:00:00+00:00")


RULE = StopGain("y", 0.05, "mS/cm", 0.05, 3)


@pytest.mark.parametrize(
    ("stated", "stops"),
    [
        ((), False),
        ((0.01, 0.02), False),  # two rounds are no three
        ((0.01, 0.02, 0.05), True),
        ((0.9, 0.01, 0.02, 0.05), True),
        ((0.01, 0.02, 0.03, 0.06), False),  # the last one counts
        ((0.01, None, 0.02, 0.03), False),  # a round that cannot tell breaks the row
        ((0.01, "silent", 0.02, 0.03), False),
        ((None, 0.01, 0.02, 0.03), True),
    ],
)
def test_the_last_rounds_in_a_row_must_say_so(stated, stops):
    said = gain_unlikely(RULE, rounds(*stated))
    assert (said is not None) == stops
    if said:
        assert "more than 0.05 mS/cm is still to be gained in y" in said
    assert gain_unlikely(None, rounds(*stated)) is None


def test_a_round_that_was_asked_for_a_larger_gain_does_not_count():
    state = rounds(0.01, 0.01, 0.01, more_than=0.1)
    assert gain_unlikely(RULE, state) is None
    assert gain_unlikely(replace(RULE, more_than=0.1), state) is not None


def observed(**values):
    given = {"value": 1.0, "uncertainty": None, "unit": "mS/cm", "source": "people", "command": ""}
    given |= {"status": "valid", "supersedes": None}
    return ObservationRecorded(observation="1.y.2", experiment=1, outcome="y", **{**given, **values})


@pytest.mark.parametrize(
    ("event", "goes_on"),
    [
        (VersionRecorded(1, "d", "", {}, [], {}), False),
        (VersionRecorded(2, "d", "", {}, [], {}, "Mia"), True),
        (ConstraintLifted("a <= 1", "Mia", ""), True),
        (observed(status="retracted", supersedes="1.y.1"), True),
        (observed(supersedes="1.y.1"), True),
        (observed(), False),
    ],
)
def test_rounds_that_were_asked_something_else_or_knew_something_else_do_not_count(event, goes_on):
    state = CampaignState()
    state.apply(_row(CandidatesAdded([{}], 1, "Mia", ""), 1))
    state = rounds(0.01, 0.01, 0.01, state=state)
    state.apply(_row(event, 50))
    assert (gain_unlikely(RULE, state) is None) == goes_on
    state = rounds(0.01, 0.01, state=state, first=26)
    assert (gain_unlikely(RULE, state) is None) == goes_on  # two new ones are no three
    assert gain_unlikely(RULE, rounds(0.01, state=state, first=28)) is not None


def test_rounds_of_ledgers_that_know_nothing_of_it_are_passed_over():
    state = rounds("silent", "silent")
    assert gains_stated(state) == []
    (one,) = gains_stated(rounds(None))
    assert "cannot be told yet" in describe_gain(one, RULE)


@pytest.mark.slow
def test_a_campaign_ends_by_it_and_everybody_is_told(write, tmp_path):
    pytest.importorskip("torch")
    home = tmp_path / "home"
    file = ridge(write, "{more_than: 0.05 K}")
    (how, why), state, _ = run(file, home)
    assert how == "done"
    assert "has become unlikely" in why
    assert 8 <= state.started < 40
    best = max(e.outcomes["y"].value for e in state.in_state("done"))
    assert best > 5 - 0.05  # and it was right
    stated = gains_stated(state)
    assert [s.probability is not None and s.probability <= 0.05 for s in stated[-3:]] == [True] * 3
    # from the journal alone
    ledger = Ledger(home)
    try:
        again = CampaignState(ledger.rows(NAME))
        rule = check(file).plan.gain
        assert gain_unlikely(rule, again) == why
        assert recorded_problem(ledger, NAME)[1].gain == 0.05
    finally:
        ledger.close()
    status = CliRunner().invoke(app, ["status", NAME, "--home", str(home), "--json"])
    assert json.loads(status.stdout)["gain"]["probability"] <= 0.05
    assert "is still to be gained with probability" in status.stderr
    verified = CliRunner().invoke(app, ["verify", NAME, "--recompute", "--home", str(home)])
    assert verified.exit_code == 0, verified.output
