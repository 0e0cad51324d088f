# ruff: noqa: E501  a mistake and its message stand on one line
"""Bad input: each mistake is named with file, line, column and what is allowed; all at once; nothing else is raised."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sdl.errors import FileProblems, InputError

BOX = "bounds: [100, 250]"
TEMPERATURE = "temperature: {type: continuous, bounds: [100, 250], unit: degC}"
GIVES = "gives: {purity: purity, yielded: yield_}"

ONE = [
    # name
    ("name: cookies", "name: 'x y'", "c.yaml:1:7: name: 'x y' cannot be a campaign's name"),
    ("name: cookies", "name: 5", "c.yaml:1:7: name: 5 cannot be a campaign's name"),
    ("name: cookies", "name: " + "x" * 101, "c.yaml:1:7: name: 'xxx"),
    ("name: cookies", "name: ../x", "c.yaml:1:7: name: '../x' cannot be"),
    ("name: cookies\n", "", "c.yaml:1:1: 'name' is missing"),
    ("name: cookies", "name:", "c.yaml:1:6: name: 'name' is missing"),
    ("description: A campaign for tests.", "description: 5", "c.yaml:2:14: description: must be text, got 5"),
    ("name: cookies", "name: cookies\nseed: -1", "c.yaml:2:7: seed: must be a whole number from 0 to 9007199254740991, got -1"),
    ("name: cookies", "name: cookies\nseed: 1.5", "c.yaml:2:7: seed: must be a whole number"),
    ("name: cookies", "name: cookies\nconcurrency: 0", "c.yaml:2:14: concurrency: must be a whole number from 1"),
    ("name: cookies", "name: cookies\nconcurrency: true", "c.yaml:2:14: concurrency: must be a whole number from 1"),
    # keys
    ("seed: 3}", "seed: 3}\n  instrments: {}", "c.yaml:23:3: lab.instrments: unknown key 'instrments' (did you mean 'instruments'?)"),
    (BOX, "bounds: [100, 250], bouns: 1", "temperature.bouns: unknown key 'bouns' (did you mean 'bounds'?); allowed are 'type'"),
    (BOX, f"{BOX}, {BOX}", "c.yaml:5:57: space.parameters.temperature.bounds: the key 'bounds' stands twice"),
    ("slow: true", "slow: true, slow: false", "the key 'slow' stands twice"),
    # parameters
    (BOX, "bounds: [250, 100]", "c.yaml:5:37: space.parameters.temperature.bounds: bounds must be [lower, upper] with lower below"),
    (BOX, "bounds: [100, .inf]", "c.yaml:5:51: space.parameters.temperature.bounds[1]: inf is not finite"),
    (BOX, "bounds: [.nan, 250]", "c.yaml:5:46: space.parameters.temperature.bounds[0]: nan is not finite"),
    (BOX, "bounds: [1e999, 250]", "bounds[0]: inf is not finite"),
    (BOX, "bounds: [" + "9" * 300 + ", 250]", "lower below upper, got [1e+300, 250]"),
    (BOX, "bounds: [100 g, 250]", "c.yaml:5:37: space.parameters.temperature.bounds: 100 g cannot be given in degC: one is [mass]"),
    (BOX, "bounds: 5", "temperature.bounds: input should be a valid tuple, got 5"),
    (BOX, "bounds: [hot, 250]", "temperature.bounds: 'hot' is not a quantity"),
    (BOX, "bounds: [true, 250]", "temperature.bounds[0]: True is not a number"),
    (BOX, "bounds: [100, 250], scale: log", "c.yaml:5:64: space.parameters.temperature.scale: scale: log has no meaning in degC"),
    ("unit: degC}", "unit: degc}", "c.yaml:5:63: space.parameters.temperature.unit: unknown unit 'degc'"),
    ("unit: degC}", "unit: 5}", "temperature.unit: must be text, got 5"),
    ("unit: degC}", "unit: m**9**9**9}", "temperature.unit: 'm**9**9**9' is not a unit"),
    ("bounds: [0.5, 4]", "bounds: [0, 4]", "hold.scale: scale: log needs bounds above 0, got [0, 4]; use scale: linear"),
    ("type: categorical", "type: categoric", "c.yaml:7:17: space.parameters.gas.type: unknown parameter type 'categoric' (did you mean 'categorical'?)"),
    ("values: [air, argon]", "values: [air]", "c.yaml:7:30: space.parameters.gas.values: needs at least two names, got 1"),
    ("values: [air, argon]", "values: [true, argon]", "gas.values[0]: must be text, got True; put it in quotes"),
    ("type: integer, bounds: [1, 3]", "type: integer, bounds: [1, 3.5]", "c.yaml:8:40: space.parameters.times.bounds[1]: must be a whole number"),
    ("type: integer, bounds: [1, 3]", "bounds: [1, 3]", "c.yaml:8:5: space.parameters.times: 'type' is missing; one of 'continuous'"),
    ("hold: {type: continuous, bounds: [0.5, 4], unit: h, scale: log}", "hold: 5", "c.yaml:6:11: space.parameters.hold: must be a mapping with a 'type'"),
    ("    times:", "    3x:", "c.yaml:8:5: space.parameters.3x: '3x' cannot be a parameter's name"),
    # constraints
    ("at_most: 270", "at_most: 50", "c.yaml:9:3: space.constraints: no candidate satisfies the constraints (temperature + 10·hold ≤ 50)"),
    ("at_most: 270", "at_most: 270, at_leest: 3", "unknown key 'at_leest' (did you mean 'at_least'?)"),
    ("at_most: 270", "at_most: 27 K", "constraints[0].at_most: '27 K' is not a number"),
    ("terms: {temperature: 1, hold: 10}", "terms: {gas: 1}", "c.yaml:10:35: space.constraints[0].terms.gas: 'gas' is categorical; a linear constraint needs numbers"),
    ("terms: {temperature: 1, hold: 10}", "terms: {hod: 1}", "c.yaml:10:35: space.constraints[0].terms.hod: unknown parameter 'hod' (did you mean 'hold'?)"),
    ("terms: {temperature: 1, hold: 10}", "terms: {hold: 1e308, temperature: 1e308}", "too large or too small"),
    ("type: linear", "type: lnear", "c.yaml:10:14: space.constraints[0].type: unknown constraint type 'lnear' (did you mean 'linear'?)"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expression: 'temperature * hodl <= 500'", "c.yaml:10:38: space.constraints[0].expression: character 15: unknown parameter 'hodl' (did you mean 'hold'?)"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expression: 'temperature * hold <= 500 degC'", "c.yaml:10:38: space.constraints[0].expression: 'temperature * hold <= 500 degC', character 27: 'degC' after a number: numbers stand without units"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expression: 'temperature * hold <= 5'", "c.yaml:9:3: space.constraints: found 0 of 1 candidates that satisfy the constraints (temperature * hold <= 5)"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expression: 5", "space.constraints[0].expression: must be text, got 5"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expresion: 'hold <= 5'", "unknown key 'expresion' (did you mean 'expression'?)"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: expression, expression: 'if gas == \"neon\" then hold <= 1'", "character 4: 'gas' never is 'neon'; it is one of 'air', 'argon'"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: count, of: [hold, temprature], at_most: 1", "c.yaml:10:32: space.constraints[0].of[1]: unknown parameter 'temprature' (did you mean 'temperature'?)"),
    ("type: linear, terms: {temperature: 1, hold: 10}, at_most: 270", "type: count, of: [hold, times], equals: 1", "space.constraints[0]: 'smallest' is missing"),
    # goals
    ("goal: maximize", "goal: maximise", "c.yaml:12:18: objectives.purity.goal: 'maximise' is none of 'maximize', 'minimize', 'match' (did you mean 'maximize'?)"),
    ("goal: maximize", "goal: match", "objectives.purity: 'value' goes with goal: match"),
    ("goal: maximize", "goal: maximize, unti: g", "unknown key 'unti' (did you mean 'unit'?)"),
    ("yielded: {at_least: 0.5}", "yielded: {}", "c.yaml:14:3: outcome_constraints.yielded: give 'at_least' and/or 'at_most'"),
    ("yielded: {at_least: 0.5}", "yielded: {at_least: 5 g}", "5 g cannot be given in dimensionless"),
    ("yielded: {at_least: 0.5}", "yielded: {at_least: 0.5}\n  purity: {at_least: 5, unit: dimensionless}", "purity.unit: 'purity' is in percent as an objective and in dimensionless here; use one unit"),
    # drivers, actions
    ("driver: oven,", "driver: ovn,", "c.yaml:24:20: lab.instruments.oven.driver: unknown driver 'ovn' (did you mean 'oven'?); installed are"),
    ("driver: oven, ", "", "c.yaml:24:5: lab.instruments.oven: 'driver' must be the name of a driver, got None; see sdl drivers"),
    ("driver: oven,", "driver: broken,", "lab.instruments.oven.settings: driver 'broken' cannot use these settings: KeyError: 'oops'"),
    ("settings: {port: 5}", "settings: {prt: 5}", "c.yaml:24:42: lab.instruments.oven.settings.prt: unknown key 'prt' (did you mean 'port'?)"),
    ("settings: {port: 5}", "settings: {port: five}", "c.yaml:24:43: lab.instruments.oven.settings.port: must be a whole number"),
    ("settings: {port: 5}", "settings: 5", "c.yaml:24:36: lab.instruments.oven.settings: must be a mapping, got 5"),
    ("settings: {port: 5}", "settings: {password: env:SDL_NOT_SET}", "settings.password: the environment variable SDL_NOT_SET is not set"),
    ("    oven: {driver", "    'a/b': {driver: oven}\n    oven: {driver", "'a/b' cannot be an instrument's name"),
    ("instrument: oven", "instrument: ovn", "c.yaml:16:17: protocol[0].instrument: unknown instrument 'ovn' (did you mean 'oven'?)"),
    ("action: bake", "action: bakee", "c.yaml:17:13: protocol[0].action: unknown action 'bakee' of 'oven' (did you mean 'bake'?)"),
    ("    action: bake\n", "", "c.yaml:16:5: protocol[0]: 'action' must be a name, got None"),
    ("action: bake", "action: 5", "c.yaml:17:13: protocol[0].action: 'action' must be a name, got 5"),
    # arguments
    ("slow: true", "slow: true, colour: red", "protocol[0].with.colour: unknown argument 'colour' of 'oven.bake'; allowed are 'temperature'"),
    ("slow: true", "slow: 1", "protocol[0].with.slow: 1 is not true or false"),
    ("slow: true", "label: 5", "protocol[0].with.label: 5 is not a text"),
    ("band: 2 K", "band: 2", "c.yaml:18:84: protocol[0].with.band: 2 needs a unit: write it as a quantity, such as '2 delta_degC'"),
    ("band: 2 K", "band: '2'", "protocol[0].with.band: '2' needs a unit that fits delta_degC"),
    ("band: 2 K", "band: 2 degC", "a temperature and a difference of temperatures (delta_degC) are not the same thing"),
    ("band: 2 K", "band: 2 g", "2 g cannot be given in delta_degC: one is [mass]"),
    ("band: 2 K", "band: 50 K", "protocol[0].with.band: 50 delta_degC is outside the limits [0, 20] delta_degC"),
    ("band: 2 K", "band: 5 apples", "unknown unit 'apples'"),
    ("band: 2 K", "band: 2 K; import os", "'K; import os' is not a unit"),
    ("band: 2 K", "band: nan K", "'nan K' is not a quantity"),
    ("band: 2 K", "band: 1e999 K", "'1e999 K' is not finite"),
    ("band: 2 K", "band: .nan", "protocol[0].with.band: nan is not finite"),
    ("band: 2 K", "band: " + "9" * 350, "protocol[0].with.band: 999"),
    ("band: 2 K", "band: [1]", "protocol[0].with.band: must be a number, a quantity, a text or $parameter, got [1]"),
    ("band: 2 K", "band:", "protocol[0].with.band: must be a number, a quantity, a text or $parameter, got None"),
    ("band: 2 K", "band: $gas", "$gas is categorical, the action takes [0, 20] delta_degC"),
    ("band: 2 K", "band: $", "'$' is no parameter; parameters are 'temperature', 'hold', 'gas', 'times'; write '$$' for a literal '$'"),
    ("band: 2 K", "band: $$2", "'$2' is not a quantity"),
    ("band: 2 K", "band: $times", "$times is in dimensionless, which does not fit the action's delta_degC"),
    # limits over the box
    (BOX, "bounds: [100, 1300]", "c.yaml:18:25: protocol[0].with.temperature: $temperature may become 1300 degC: 1300 degC is outside the limits [25, 1200] degC; narrow its range"),
    (f"{BOX}, unit: degC", "bounds: [20 degC, 500 K], unit: K", "$temperature may become 293.15 K = 20 degC: 20 degC is outside the limits"),
    (BOX, "bounds: [-10, 250]", "$temperature may become -10 degC"),
    ("type: integer, bounds: [1, 3]", "type: integer, bounds: [1, 9]", "c.yaml:18:70: protocol[0].with.times: $times may become 9"),
    ("type: integer, bounds: [1, 3]", "type: discrete, values: [1, 2, 2.5]", "$times may become 2.5 dimensionless: 2.5 is not a whole number"),
    ("type: integer, bounds: [1, 3]", "type: continuous, bounds: [1, 3]", "$times is continuous, the action takes whole numbers"),
    ("values: [air, argon]", "values: [air, neon]", "c.yaml:18:57: protocol[0].with.gas: $gas may become 'neon'; the action takes air, argon"),
    # outcomes
    (GIVES, "gives: {purity: purty, yielded: yield_}", "c.yaml:19:21: protocol[0].gives.purity: unknown field 'purty' of 'oven.bake' (did you mean 'purity'?)"),
    (GIVES, "gives: {purity: purity, yielded: colour}", "protocol[0].gives.yielded: 'colour' of 'oven.bake' is no number"),
    (GIVES, "gives: {purity: purity, yielded: 5}", "protocol[0].gives.yielded: must name a field of the result, got 5"),
    (GIVES, "gives: {purity: purity}", "c.yaml:14:3: outcome_constraints.yielded: no step gives 'yielded'; steps give 'purity'"),
    (GIVES, GIVES[:-1] + ", prity: purity}", "c.yaml:19:53: protocol[0].gives.prity: 'prity' is neither an objective nor an outcome constraint (did you mean 'purity'?)"),
    (GIVES, GIVES + "\n    analysis: bulk", "protocol[0].analysis: unknown analysis 'bulk'"),
    (GIVES, "gives: 5", "protocol[0].gives: must be a mapping 'outcome: field', got 5"),
    # planner, stop
    ("planner: {type: random}", "planner: {type: randm}", "c.yaml:25:17: planner.type: there is no planner 'randm' (did you mean 'random'?)"),
    ("planner: {type: random}", "planner: {type: random, x: 1}", "c.yaml:25:28: planner.x: unknown key 'x'"),
    ("planner: {type: random}", "planner: {type: bayes, initial: {type: factorial, levels: 3}}", "c.yaml:25:24: planner.initial: the full factorial has 48 points, the campaign ends after 10 experiments"),
    ("planner: {type: random}", "planner: {type: design, design: d_optimal, model: quadratic}", "c.yaml:25:33: planner.design: model 'quadratic' has 14 coefficients here and takes as many experiments, got 10"),
    ("planner: {type: random}", "planner: {type: bayes, initial: {type: sobo}}", "planner.initial.type: 'sobo' is none of 'sobol', 'random', 'latin_hypercube'"),
    ("planner: {type: random}", "planner: {type: bayes, initial: {typ: sobol}}", "planner.initial.typ: unknown key 'typ' (did you mean 'type'?); allowed are 'type', 'count', 'levels', 'model'"),
    ("planner: {type: random}", "planner: {type: design, design: latin_hypercube}", "c.yaml:25:33: planner.design: a Latin hypercube cannot be kept with constraints; use maximin or sobol"),
    ("planner: {type: random}", "planner: {type: design, design: factorail}", "planner.design: 'factorail' is none of 'factorial'"),
    ("planner: {type: random}", "planner: random", "c.yaml:25:10: planner: must be a mapping with a 'type' such as {type: bayes}, got 'random'"),
    ("planner: {type: random}\n", "", "c.yaml:1:1: 'planner' is missing, such as {type: bayes}"),
    ("experiments: 10", "experiments: 0", "c.yaml:26:21: stop.experiments: input should be greater than or equal to 1, got 0"),
    ("experiments: 10", "experiments: ten", "c.yaml:26:21: stop.experiments: must be a whole number"),
    ("experiments: 10, ", "", "c.yaml:26:1: stop.experiments: is missing"),
    ("target: {purity", "target: {prity", "c.yaml:26:34: stop.target.prity: unknown objective 'prity' (did you mean 'purity'?)"),
    ("unit: dimensionless", "unit: g", "c.yaml:26:34: stop.target.purity: a target in g does not fit an objective in percent"),
    ("at_least: 0.9", "at_least: .inf", "stop.target.purity.at_least: inf is not finite"),
    # lab
    ("type: virtual}", "type: virtul}", "c.yaml:21:17: lab.clock.type: 'virtul' is none of 'real', 'scaled', 'virtual' (did you mean 'virtual'?)"),
    ("type: virtual}", "type: virtual, factor: 3}", "lab.clock.factor: a virtual clock has no factor"),
    ("type: virtual}", "type: scaled}", "c.yaml:21:3: lab.clock: a scaled clock needs 'factor'"),
    ("type: virtual}", "type: scaled, factor: 0}", "lab.clock.factor: input should be greater than 0, got 0"),
    ("seed: 3}", "seed: -1}", "c.yaml:22:17: lab.world.seed: must be a whole number from 0, got -1"),
    ("seed: 3}", "seed: 3, x: [{y: .inf}]}", "lab.world.x[0].y: inf is not finite"),
    ("world: {seed: 3}", "world: 5", "c.yaml:22:10: lab.world: must be a mapping, got 5"),
    ("world: {seed: 3}", "allow_real: 1", "c.yaml:22:15: lab.allow_real: must be true or false, got 1"),
    # pool
    ("  constraints:", "  candidates:\n  constraints:", "c.yaml:9:14: space.candidates: needs 'table'"),
    ("  constraints:", "  candidates: {table: no.csv}\n  constraints:", "c.yaml:9:23: space.candidates.table: no.csv: there is no such file"),
    ("  constraints:", "  candidates: {table: no.csv, tabel: 1}\n  constraints:", "unknown key 'tabel' (did you mean 'table'?)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), ONE, ids=[f"{n[:40]}" for _, n, _ in ONE])
def test_one_mistake(bench: Any, old: str, new: str, said: str) -> None:
    found = bench.problems(bench.changed(old, new))
    assert any(said in p for p in found), "\n".join(found)
    mistakes = [p for p in found if "no step " not in p and "needs '" not in p]
    assert len(mistakes) <= 2, "one mistake must not drown in its consequences:\n" + "\n".join(found)


def test_nothing_is_wrong(bench: Any, base: str) -> None:
    checked = bench.check(base)
    assert checked.campaign.name == "cookies"
    step = checked.plan.steps[0]
    assert step.arguments["band"].given == 2.0
    assert step.arguments["slow"].given is True
    assert [g.uncertainty_field for g in step.gives] == ["purity_uncertainty", None]
    assert checked.lab.is_simulated


def test_all_at_once_in_the_order_of_the_file(bench: Any, base: str) -> None:
    text = (
        base.replace("name: cookies", "name: 5")
        .replace(BOX, "bounds: [250, 100]")
        .replace("goal: maximize", "goal: up")
        .replace("$hold", "$hod")
        .replace("driver: oven", "driver: ovn")
        .replace("random", "randm")
        .replace("experiments: 10", "experiments: 0")
    )
    places = [p.split(": ")[0] for p in bench.problems(text)]
    lines = [int(p.split(":")[1]) for p in places]
    assert lines == sorted(lines)
    assert {1, 5, 12, 18, 24, 25, 26} <= set(lines)


def test_consequences_of_a_dropped_step_are_not_told(bench: Any) -> None:
    assert len(bench.problems(bench.changed("    action: bake\n", ""))) == 1
    assert len(bench.problems(bench.changed("settings: {port: 5}", "settings: 5"))) == 1
    assert len(bench.problems(bench.changed("driver: oven,", "driver: ovn,"))) == 1


def test_missing_arguments(bench: Any) -> None:
    found = bench.problems(bench.changed("temperature: $temperature, ", ""))
    assert "c.yaml:18:5: protocol[0].with: 'oven.bake' needs 'temperature' ([25, 1200] degC)" in found
    assert any("no step uses the parameter 'temperature' (as $temperature under 'with')" in p for p in found)
    found = bench.problems(bench.changed("temperature: $temperature,", "temprature: $temperature,"))
    assert any("needs 'temperature' ([25, 1200] degC) (did you mean 'temprature'?)" in p for p in found)


def test_an_unknown_reference_has_a_near_miss(bench: Any) -> None:
    found = bench.problems(bench.changed("$temperature", "$temprature"))
    assert any("'$temprature' is no parameter (did you mean 'temperature'?)" in p for p in found)


def test_an_outcome_given_twice(bench: Any, base: str) -> None:
    second = (
        "  - {instrument: oven, action: bake, with: {temperature: 100 degC, hold: 1 h}, gives: {purity: purity}}\nlab:"
    )
    found = bench.problems(base.replace("lab:", second))
    assert found == ["c.yaml:20:96: protocol[1].gives.purity: the outcome 'purity' is given twice"]


def test_a_parameter_that_no_step_uses(bench: Any) -> None:
    found = bench.problems(bench.changed("times: $times, ", ""))
    assert found == ["c.yaml:8:5: space.parameters.times: no step uses the parameter 'times' (as $times under 'with')"]


def test_an_outcome_named_like_a_parameter(bench: Any, base: str) -> None:
    found = bench.problems(base.replace("yielded", "hold"))
    assert any("outcome_constraints.hold: 'hold' is a parameter too; give the outcome another name" in p for p in found)


def test_protocol_or_sources(bench: Any, base: str) -> None:
    both = bench.problems(base + "sources: {default: {}}\n")
    assert any("give 'protocol' (a list of steps), or 'sources'" in p for p in both)
    one = base.replace("protocol:\n", "sources:\n default:\n  protocol:\n").replace("  - instrument", "   - instrument")
    one = one.replace("    action", "     action").replace("    with", "     with").replace("    gives", "     gives")
    assert bench.check(one).plan.source == "default"
    two = one.replace("lab:", " other: {protocol: [{instrument: oven, action: bake}]}\nlab:")
    said = "\n".join(bench.problems(two))
    assert "of several sources ('default', 'other') one is the target" in said
    assert "between sources ('default', 'other') is chosen by value for cost" in said
    assert "cannot choose between sources" in said


@pytest.mark.parametrize("section", ["space", "objectives", "lab", "planner", "stop", "protocol"])
@pytest.mark.parametrize("value", ["", " 5", " []", " {}", " text", " .nan"])
def test_sections_of_the_wrong_kind(bench: Any, base: str, section: str, value: str) -> None:
    lines = base.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{section}:"))
    end = next((i for i in range(start + 1, len(lines)) if not lines[i].startswith(" ")), len(lines))
    text = "\n".join([*lines[:start], f"{section}:{value}", *lines[end:]]) + "\n"
    assert any(section in p for p in bench.problems(text))


# --- units -----------------------------------------------------------------------------------------------------------


def test_quantities_arrive_in_the_unit_of_the_action(bench: Any, base: str) -> None:
    checked = bench.check(
        base.replace(f"{BOX}, unit: degC", "bounds: [373.15, 523.15], unit: K").replace("at_most: 270", "at_most: 560")
    )
    values = checked.plan.steps[0].values({"temperature": 423.15, "hold": 2.0, "gas": "air", "times": 2})
    assert values["temperature"] == pytest.approx(150.0)
    assert values["times"] == 2
    assert isinstance(values["times"], int)


def test_a_literal_dollar(bench: Any, base: str) -> None:
    checked = bench.check(base.replace("slow: true", "label: $$hold"))
    assert checked.plan.steps[0].arguments["label"].given == "$hold"
    checked = bench.check(base.replace("slow: true", "label: cost $hold"))
    assert checked.plan.steps[0].arguments["label"].given == "cost $hold"


def test_limits_are_checked_over_the_pool_alone(bench: Any, base: str) -> None:
    text = base.replace(BOX, "bounds: [0, 2000]").replace("at_most: 270", "at_most: 3000")
    assert any("may become" in p for p in bench.problems(text))
    text = text.replace("  constraints:", "  candidates: {table: p.csv}\n  constraints:")
    (bench.folder / "p.csv").write_text("temperature,hold,gas,times\n150,1,air,2\n151,1,argon,1\n")
    assert bench.check(text).plan.pool_size == 2
    (bench.folder / "p.csv").write_text("temperature,hold,gas,times\n150,1,air,2\n1500,1,argon,1\n")
    assert any("$temperature may become 1500 degC" in p for p in bench.problems(text))


# --- tables ----------------------------------------------------------------------------------------------------------

TABLES = [
    ("", "the table is empty; it needs a header line and at least one row"),
    ("temperature,hold,gas,times\n", "the table has no rows below its header"),
    ("temperature,hold,gas\n150,1,air\n", "has no column 'times'"),
    ("temprature,hold,gas,times\n150,1,air,1\n", "has no column 'temperature' (did you mean 'temprature'?)"),
    ("temperature,hold,gas,times\n150,1,air\n", "p.csv, line 2: 3 cells where the header names 4 columns"),
    ("temperature,hold,gas,times\n150,1,air,1\nhot,1,air,1\n", "p.csv, line 3, column 'temperature': 'hot' is not a number"),
    ("temperature,hold,gas,times\nnan,1,air,1\n", "p.csv, line 2, column 'temperature': nan is not finite"),
    ("temperature,hold,gas,times\n150,inf,air,1\n", "p.csv, line 2, column 'hold': inf is not finite"),
    ("temperature,hold,gas,times\n900,1,air,1\n", "p.csv, line 2, column 'temperature': 900 degC is outside [100, 250] degC"),
    ("temperature,hold,gas,times\n150,1,neon,1\n", "p.csv, line 2, column 'gas': 'neon' is none of 'air', 'argon'"),
    ("temperature,hold,gas,times\n150,1,air,1.5\n", "p.csv, line 2, column 'times': 1.5 is not a whole number"),
    ("temperature,hold,gas,times\n150,1,air,1\n250,4,air,1\n", "p.csv, line 3: temperature + 10·hold ≤ 270 is broken (the sum is 290); 1 rows break it"),
    ("temperature,hold,gas,times\n150,1,air,3\n", "p.csv, line 2: if gas == 'air' then times <= 2 is broken: gas is 'air' or left side 3 > 2; 1 rows break it"),
    ("a;b\n1;2\n", "separated by commas"),
    ("\x00\x01", "a binary file"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "said"), TABLES, ids=[s[:30] for _, s in TABLES])
def test_pools(bench: Any, base: str, table: str, said: str) -> None:
    (bench.folder / "p.csv").write_text(table)
    further = "  constraints:\n    - {type: expression, expression: \"if gas == 'air' then times <= 2\"}"
    found = bench.problems(base.replace("  constraints:", f"  candidates: {{table: p.csv}}\n{further}"))
    assert len(found) == 1
    assert found[0].startswith("c.yaml:9:23: space.candidates.table: ")
    assert said in found[0]


REPLAY = """\
name: r
space: {parameters: {x: {type: continuous, bounds: [0, 1]}}, candidates: {table: m.csv}}
objectives: {y: {goal: minimize}}
protocol:
  - {instrument: archive, action: measure, with: {x: $x}, gives: {y: y}}
lab: {instruments: {archive: {driver: replay, settings: {table: m.csv, outcomes: [y]}}}}
planner: {type: random}
stop: {experiments: 2}
"""


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x,y\n0,1\n1,nan\n", "nan is not finite"),
        ("x,y\n0,1\n1,inf\n", "inf is not finite"),
        ("x,y\n0,1\n1,low\n", "'low' is not a number"),
        ("x,z\n0,1\n", "no column 'y'"),
    ],
)
def test_measurements_that_are_no_numbers(bench: Any, table: str, said: str) -> None:
    (bench.folder / "m.csv").write_text(table)
    found = bench.problems(REPLAY)
    assert len(found) == 1
    assert "lab.instruments.archive.settings" in found[0]
    assert said in found[0]


def test_a_table_that_is_a_folder_or_has_an_odd_name(bench: Any, base: str) -> None:
    (bench.folder / "d.csv").mkdir()
    for name, said in [
        ("d.csv", "Is a directory"),
        ("x" * 300 + ".csv", "too long"),
        ("~", "ends in ''"),
        ("''", "ends in ''"),
    ]:
        found = bench.problems(base.replace("  constraints:", f"  candidates: {{table: {name}}}\n  constraints:"))
        assert len(found) == 1
        assert said in found[0] or "needs 'table'" in found[0]


# --- lab files -------------------------------------------------------------------------------------------------------

LAB = "clock: {type: virtual}\ninstruments:\n  oven: {driver: oven, settings: {port: 5}}\n"


def with_lab(base: str, name: str = "lab.yaml") -> str:
    start = base.index("lab:\n")
    return base[:start] + f"lab: {name}\n" + base[base.index("planner:") :]


def test_problems_of_a_lab_file_stand_in_the_lab_file(bench: Any, base: str) -> None:
    lab = bench.folder / "lab.yaml"
    lab.write_text(LAB)
    assert bench.check(with_lab(base)).campaign.files.used.keys() == {"lab.yaml"}
    lab.write_text(LAB.replace("port: 5", "port: x").replace("virtual", "virtul"))
    found = bench.problems(with_lab(base))
    assert found[0].startswith("lab.yaml:1:15: clock.type: 'virtul' is none of")
    assert found[1].startswith("lab.yaml:3:41: instruments.oven.settings.port: must be a whole number")
    lab.write_text("a: *b\n")
    assert bench.problems(with_lab(base)) == ["lab.yaml:1:4: anchors and aliases are not allowed; write the value out"]
    lab.write_bytes(b"\xff")
    assert "lab.yaml:1:1: is not UTF-8 text" in bench.problems(with_lab(base))[0]
    lab.write_text("instruments: {}\n")
    assert any("lab.yaml:1:1: instruments: is empty" in p for p in bench.problems(with_lab(base)))


@pytest.mark.parametrize("name", ["nothing.yaml", "folder", "x" * 300, "loop", "'..'"])
def test_lab_files_that_are_none(bench: Any, base: str, name: str) -> None:
    (bench.folder / "folder").mkdir()
    (bench.folder / "loop").symlink_to(bench.folder / "loop")
    found = bench.problems(with_lab(base, name))
    assert any("there is no lab file" in p and p.startswith("c.yaml:20:6: lab:") for p in found)


def test_input_files_of_drivers_lie_beside_the_file_that_names_them(bench: Any, base: str) -> None:
    (bench.folder / "labs").mkdir()
    (bench.folder / "labs/l.yaml").write_text(LAB.replace("port: 5", "calibration: cal.txt"))
    (bench.folder / "labs/cal.txt").write_text("1")
    checked = bench.check(with_lab(base, "labs/l.yaml"))
    assert list(checked.campaign.files.used) == ["labs/cal.txt", "labs/l.yaml"]
    first = checked.campaign.digest
    (bench.folder / "labs/cal.txt").write_text("2")
    assert bench.check(with_lab(base, "labs/l.yaml")).campaign.digest != first


# --- secrets, real instruments, overrides ----------------------------------------------------------------------------


def test_secrets_are_used_but_neither_recorded_nor_shown(
    bench: Any, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_SECRET", "hunter2")
    checked = bench.check(base.replace("port: 5", "password: env:SDL_SECRET"))
    assert checked.lab.instruments["oven"].settings.password == "hunter2"
    assert "hunter2" not in str(checked.campaign.document.data)
    found = bench.problems(base.replace("port: 5", "port: env:SDL_SECRET"))
    assert len(found) == 1
    assert "hunter2" not in found[0]
    assert "got 'env:SDL_SECRET'" in found[0]


def test_real_instruments(bench: Any, base: str) -> None:
    real = base.replace("driver: oven", "driver: real_oven")
    found = bench.problems(real)
    assert "c.yaml:21:3: lab.clock: virtual time needs a simulated lab, but oven is real" in found
    assert any("c.yaml:24:5: lab.instruments.oven: driver 'real_oven' is real and would run inside" in p for p in found)
    on_the_wall = real.replace("type: virtual", "type: real")
    assert len(bench.problems(on_the_wall)) == 1
    allowed = on_the_wall.replace("lab:\n", "lab:\n  allow_real: true\n")
    assert not bench.check(allowed).lab.is_simulated
    simulated = bench.check(real, simulate=True)
    assert simulated.lab.instruments["oven"].driver == "oven"
    assert simulated.lab.clock.type == "virtual"
    found = bench.problems(base.replace("driver: oven", "driver: lonely_oven"), simulate=True)
    assert any("driver 'lonely_oven' is real and names no simulator" in p for p in found)


def test_overrides(bench: Any, base: str) -> None:
    checked = bench.check(base, overrides=("stop.experiments=3", "protocol[0].with.band=3 K"), name="other", seed=7)
    assert checked.plan.budget == 3
    assert checked.plan.seed == 7
    assert checked.campaign.name == "other"
    assert checked.plan.steps[0].arguments["band"].given == 3.0
    assert bench.problems(base, overrides=("stop.experiments=-3",)) == [
        "--set: stop.experiments: input should be greater than or equal to 1, got -3"
    ]
    assert bench.problems(base, overrides=("protocol[0].with.band=300 K",)) == [
        "--set: protocol[0].with.band: 300 delta_degC is outside the limits [0, 20] delta_degC"
    ]
    for wrong in ("x", "stop.experiments.y=1", "protocol[3].with=1"):
        with pytest.raises(InputError, match="--set"):
            bench.check(base, overrides=(wrong,))
    assert any("--set: seed" in p for p in bench.problems(base, seed=-1))
    assert any("--set: name" in p for p in bench.problems(base, name="a b"))


def test_a_planner_asked_for_what_it_cannot_do(bench: Any, base: str) -> None:
    found = bench.problems(base.replace("random", "baybe"))
    assert any("planner.type: planner 'baybe' does not understand outcome constraints" in line for line in found)


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "binary", "tabs", "tag", "bomb", "huge", "deep"])
def test_files_that_are_no_campaign(bench: Any, kind: str) -> None:
    path: Path = bench.path
    data = {
        "empty": b"",
        "binary": os.urandom(64) + b"\xff\x00",
        "tabs": b"name: x\n\tspace: 1\n",
        "tag": b"name: !!python/name:os.system\n",
        "bomb": b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "huge": b"#" * 300_000,
        "deep": b"[" * 5000,
    }
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(data[kind])
    from sdl.preflight import check

    with pytest.raises(FileProblems) as caught:
        check(path)
    assert all(p.file == str(path) for p in caught.value.problems)
