"""The report says what is best within the tolerances, as the planner's last round has it."""

from __future__ import annotations

from sdl.ledger import RoundOpened, RoundProposed
from sdl.report import render_report

TEXT = """\
name: oven
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    gas: {type: categorical, values: [air, argon]}
objectives: {strength: {goal: maximize, unit: MPa}}
tolerance: {temperature: 5 degC}
protocol:
  - {instrument: probe, action: measure, with: {t: $temperature, gas: $gas}, gives: {strength: strength}}
lab: {clock: {type: virtual}, instruments: {probe: {driver: gone}}}
planner: {type: bayes}
stop: {experiments: 20}
"""
POINTS = [{"temperature": 1100.0, "gas": "air"}, {"temperature": 1200.0, "gas": "argon"}]


def begun(tell):
    story = tell("oven")
    story.create(TEXT)
    story.epoch(probe="simulated")
    story.propose(POINTS, "initial")
    for number, value in ((1, 30.0), (2, 20.0)):
        story.run(number, {"strength": (value, 1.0)}, instruments=["probe"], units={"strength": "MPa"})
    return story


def robust(best):
    tolerance = {"temperature": {"half_width": 5.0, "unit": "degC"}}
    return {"robust": None if best is None else {"tolerance": tolerance, "points": 5, "best": best}}


def say(story, best):
    story.rounds += 1
    first = len(story.experiments) + 1
    point = {"temperature": 1000.0 + story.rounds, "gas": "air"}
    story.experiments[first] = point
    story.say(
        RoundOpened(story.rounds, 1, 5), RoundProposed(story.rounds, "bayes", [point], first, robust(best), {}, 0.1)
    )


def test_the_best_within_tolerances_is_named_with_its_expected_outcome(ledger, tell):
    story = begun(tell)
    say(story, {"candidate": POINTS[0], "expected": {"strength": {"mean": 9.0, "sd": 1.0}}})
    say(story, {"candidate": POINTS[1], "expected": {"strength": {"mean": 19.12, "sd": 0.51}}})
    part = render_report(ledger, "oven").partition('<section id="robust"')[2].partition("</section>")[0]
    plain = part.replace("\N{NO-BREAK SPACE}", " ")
    assert "temperature ± 5 °C" in plain
    assert "experiment 2, by the model of round 3" in plain
    assert "1200 °C" in plain
    assert "argon" in plain
    assert "19.1" in plain


def test_without_tolerances_or_a_model_there_is_no_such_section(ledger, tell):
    story = begun(tell)
    say(story, None)
    assert 'id="robust"' not in render_report(ledger, "oven")
