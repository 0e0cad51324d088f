"""`physics:` from the file to pure functions: grammar, units, calculations, and what is refused before anything moves."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import numpy as np
import pytest

from sdl.audit import recompute
from sdl.campaign import Files, parse_document
from sdl.campaign import draft_of as read
from sdl.engine import InlineWorker, open_session
from sdl.engine.worker import propose
from sdl.errors import FileProblems
from sdl.ledger import Ledger
from sdl.planners import round_seed
from sdl.planners.base import History
from sdl.preflight import check
from sdl.preflight.physics import told_of_physics
from sdl.preflight.recorded import recorded_problem

CAMPAIGN = """\
name: helped
space:
  parameters:
    temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
    hold:        {type: continuous, bounds: [0.5, 16], unit: h, scale: log}
    li_excess:   {type: continuous, bounds: [0, 0.3]}
    atmosphere:  {type: categorical, values: [air, argon, oxygen]}
objectives:
  conductivity: {goal: maximize, unit: mS/cm}
outcome_constraints:
  relative_density: {at_least: 0.90}
physics: {PHYSICS}
protocol:
  - {instrument: dispenser,  action: weigh,   with: {li_excess: $li_excess, mass: 2 g}}
  - {instrument: furnace,    action: sinter,  with: {temperature: $temperature, hold: $hold, atmosphere: $atmosphere, firings: 1}}
  - {instrument: impedance,  action: measure, analysis: bulk_conductivity, gives: {conductivity: bulk_conductivity}}
  - {instrument: pycnometer, action: measure, gives: {relative_density: relative_density}}
lab:
  clock: {type: virtual}
  world: {seed: 1}
  instruments:
    dispenser:  {driver: simulated_dispenser}
    furnace:    {driver: simulated_box_furnace}
    impedance:  {driver: simulated_impedance_analyser}
    pycnometer: {driver: simulated_pycnometer}
    guess:
      driver: calculation
      settings:
        target: guess
        file: guess.py
        fixed: {scale: 2.0}
        parameters:
          temperature: {unit: K, limits: [1000, 2000]}
          gas: {choices: [air, argon, oxygen]}
        results: {sigma: {unit: S/m}, grain: {unit: um}}
planner: {type: bayes, initial: {type: sobol, count: 4}}
stop: {experiments: 6}
"""
CODE = """\
def guess(temperature, gas, scale):
    return {"sigma": scale * (temperature - 1200) / 1000 + (0.1 if gas == "oxygen" else 0.0), "grain": 3.0 + temperature / 1000}
"""
DENSITY = (
    "{outcome: relative_density, expression: "
    "'0.55 + 0.4 / (1 + exp(-(log(hold) + (temperature - 1100) / 40 + 10 * li_excess)))'}"
)
GUESS = "{outcome: conductivity, model: 'calculation:guess', gives: sigma, with: {temperature: $temperature, gas: $atmosphere}}"


@pytest.fixture
def write(tmp_path):
    def made(physics: str, *, campaign: str = CAMPAIGN) -> Path:
        (tmp_path / "guess.py").write_text(CODE)
        (tmp_path / "c.yaml").write_text(campaign.replace("{PHYSICS}", physics))
        return tmp_path / "c.yaml"

    return made


def problems(path: Path) -> str:
    with pytest.raises(FileProblems) as caught:
        check(path)
    return "\n".join(f"{p.where}: {p.message}" for p in caught.value.problems)


def test_an_expression_is_a_model_in_the_unit_of_its_outcome(write):
    checked = check(
        write("{law: {outcome: conductivity, expression: temperature / 10, unit: S/m}, dense: " + DENSITY + "}")
    )
    law = checked.problem.models["law"]
    assert law(np.array([[1000.0, 1.0, 0.0, 0.0]])) == pytest.approx([1000.0])  # 1 S/m is 10 mS/cm
    assert law.slopes(np.array([[1000.0, 1.0, 0.0, 0.0]]))[0] == pytest.approx([1.0, 0, 0, 0])
    assert [(p.name, p.outcome, p.role) for p in checked.problem.physics] == [
        ("law", "conductivity", "mean"),
        ("dense", "relative_density", "mean"),
    ]
    first, second = told_of_physics(checked.problem)
    assert first.startswith("physics 'law' (mean of conductivity): from 1000 mS/cm at temperature 1000 degC, hold ")
    assert " to 0.9" in second


def test_one_model_without_a_name(write):
    checked = check(
        write("{model: 'calculation:guess', role: feature, gives: grain, with: {temperature: $temperature, gas: air}}")
    )
    (physics,) = checked.problem.physics
    assert (physics.name, physics.outcome, physics.role) == ("guess", "conductivity", "feature")
    model = checked.problem.models["guess"]
    assert model(np.array([[1000.0, 1.0, 0.0, 2.0]])) == pytest.approx([3.0 + 1.27315])


def test_a_calculation_is_given_units_categories_and_what_is_fixed(write):
    checked = check(write("{x: " + GUESS + "}"))
    model = pickle.loads(pickle.dumps(checked.problem.models["x"]))
    codes = np.array([[1000.0, 1.0, 0.0, 0.0], [1000.0, 1.0, 0.0, 2.0]])
    assert model(codes) == pytest.approx([10 * 2 * 0.07315, 10 * (2 * 0.07315 + 0.1)])  # S/m in mS/cm
    assert "guess.py" in checked.campaign.files.used, "its hash is part of the campaign's version"


def test_what_the_function_draws_leaves_nothing_behind(write):
    path = write("{x: " + GUESS + "}")
    (path.parent / "guess.py").write_text("import numpy as np\n" + CODE.replace("0.1 if", "np.random.rand() if"))
    model = check(path).problem.models["x"]
    code = np.array([[1000.0, 1.0, 0.0, 2.0]])
    np.random.seed(3)  # noqa: NPY002
    before = model(code)
    drawn = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert np.random.rand() == drawn  # noqa: NPY002
    assert model(code) == before


def test_another_text_is_another_version(write):
    path = write("{x: " + GUESS + "}")
    one = check(path)
    (path.parent / "guess.py").write_text(CODE.replace("3.0", "4.0"))
    two = check(path)
    assert one.campaign.digest != two.campaign.digest
    assert one.problem.models["x"].digest != two.problem.models["x"].digest


@pytest.mark.parametrize(
    ("physics", "said"),
    [
        ("{x: {outcome: conductivity}}", "physics.x: give either 'expression' or 'model'"),
        ("{x: {outcome: density, expression: hold}}", "physics.x.outcome: unknown outcome 'density'"),
        (
            "{x: {outcome: conductivity, expression: hold}}",
            "the expression is in dimensionless, 'conductivity' in mS/cm",
        ),
        ("{x: {outcome: relative_density, expression: holt / 2}}", "unknown parameter 'holt' (did you mean 'hold'?)"),
        ("{x: {outcome: relative_density, expression: 2 * atmosphere}}", "'atmosphere' is categorical and no number"),
        ("{x: {outcome: relative_density, expression: sin(hold)}}", "there is no function 'sin'"),
        ("{x: {outcome: relative_density, expression: 0.5 + 0.1}}", "names no parameter, so it says nothing"),
        ("{x: {outcome: relative_density, expression: 0 * hold}}", "physics.x: is 0 everywhere in the space"),
        (
            "{x: {outcome: relative_density, expression: log(temperature - 1000)}}",
            "physics.x: physics 'x' gives -inf at temperature 1000 degC, hold 0.5 h, li_excess 0, atmosphere air: it must be",
        ),
        (
            "{x: {outcome: relative_density, expression: hold, role: source}}",
            "write its steps, its outcomes and its cost under",
        ),
        ("{x: {outcome: relative_density, expression: hold, role: prior}}", "'prior' is none of"),
        ("{x: {outcome: relative_density, expression: hold, gives: y}}", "'gives': goes with 'model'"),
        ("{x: {outcome: conductivity, model: guess}}", "names no model; write calculation:NAME"),
        (
            "{x: {outcome: conductivity, model: 'calculation:gues'}}",
            "unknown instrument 'gues' (did you mean 'guess'?)",
        ),
        ("{x: {outcome: conductivity, model: 'calculation:furnace'}}", "'furnace' is no pure function"),
        (
            "{x: {outcome: conductivity, model: 'calculation:guess', gives: sigma}}",
            "'guess' needs 'gas', and there is no parameter",
        ),
        (
            "{x: {outcome: conductivity, model: 'calculation:guess', with: {gas: air}}}",
            "'gives' is missing: which of its results",
        ),
        (
            "{x: {model: 'calculation:guess', gives: grain, with: {temperature: $temperature, gas: air}}}",
            "'grain' is in um, 'conductivity' in mS/cm; as a role: feature any unit will do",
        ),
        (
            "{x: {model: 'calculation:guess', gives: sigma, with: {temperature: $hold, gas: air}}}",
            "physics.x.with.temperature: ",
        ),
        (
            "{x: {model: 'calculation:guess', gives: sigma, with: {temperature: 100 K, gas: air}}}",
            "100 K is outside the limits [1000, 2000] K",
        ),
        (
            "{x: {model: 'calculation:guess', gives: sigma, with: {temperature: $temperature, gas: neon}}}",
            "physics.x.with.gas: ",
        ),
        ("[1]", "physics: must be a mapping"),
    ],
)
def test_what_is_wrong_is_named(write, physics, said):
    assert said in problems(write(physics))


def test_a_planner_that_takes_no_physics_refuses_it(write):
    path = write(
        "{dense: " + DENSITY + "}",
        campaign=CAMPAIGN.replace("type: bayes, initial: {type: sobol, count: 4}", "type: sobol"),
    )
    assert "planner 'sobol' takes no physics as help; leave 'physics' out, or choose bayes" in problems(path)


def test_with_several_objectives_the_outcome_must_be_named():
    text = CAMPAIGN.replace("{PHYSICS}", "{expression: hold}").replace(
        "{goal: maximize, unit: mS/cm}", "{goal: maximize, unit: mS/cm}\n  strength: {goal: maximize}"
    )
    found = read(parse_document(text, "c.yaml"), Files(Path()))
    assert any("'outcome' is missing: say which one" in p.message for p in found.problems)


@pytest.mark.slow
def test_rounds_with_physics_are_recomputed_from_the_ledger_alone(write, tmp_path):
    pytest.importorskip("botorch")
    path = write("{dense: " + DENSITY + ", guess: " + GUESS + "}")
    checked = check(path)

    async def main():
        session = open_session(checked, tmp_path / "home")
        try:
            return await (await session.engine(InlineWorker(), None)).run()
        finally:
            await session.close()

    assert asyncio.run(main())[0] == "done"
    (tmp_path / "guess.py").unlink()
    path.unlink()
    ledger = Ledger(tmp_path / "home")

    def ask(planner, problem, history, n, seed):
        return propose(planner, pickle.loads(pickle.dumps(problem)), history, n, seed).proposal

    found = recompute(ledger, "helped", ask)
    assert [r.verdict for r in found.rounds] == ["equal"] * 6, found.text()
    _, problem = recorded_problem(ledger, "helped")
    assert {n: m.digest for n, m in problem.models.items()} == {n: m.digest for n, m in checked.problem.models.items()}
    last = [r.event for r in ledger.rows("helped") if r.event.kind == "round.proposed"][-1].diagnostics
    assert set(last["models"]["relative_density"]["choice"]["hints"]) == {"dense"}
    assert set(last["models"]["conductivity"]["choice"]["hints"]) == {"guess"}
    ledger.close()


def test_the_first_proposal_needs_no_results(write):
    checked = check(write("{dense: " + DENSITY + "}"))
    proposal = checked.planner.propose(checked.problem, History(), 1, round_seed(0, 1))
    assert len(proposal.candidates) == 1
