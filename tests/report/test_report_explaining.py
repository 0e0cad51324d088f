"""What is told of a campaign and of an experiment, against ledgers whose answers are known."""

from __future__ import annotations

import pytest
from reportkit import CERAMICS

from sdl.errors import InputError
from sdl.ledger import CandidatesAdded, RoundOpened, RoundProposed
from sdl.report.explaining import explain_campaign, explain_experiment

pytest.importorskip("torch")

BAYES = CERAMICS.replace("{type: random}", "{type: bayes}")


def at(temperature):
    return {"temperature": temperature, "hold": 4.0, "atmosphere": "air", "firings": 1}


def propose(story, temperature, interval, outcome="conductivity"):
    """Propose one candidate by a model that predicted an interval for one outcome."""
    story.rounds += 1
    number = len(story.experiments) + 1
    story.experiments[number] = at(temperature)
    middle = sum(interval) / 2
    described = {
        "origin": "model",
        "found": "sample",
        "acquisition_function": "log noisy expected improvement",
        "probability_of_success": 0.75,
        "predicted": {outcome: {"mean": middle, "sd": 0.05, "interval": list(interval), "reach": 1.6}},
    }
    diagnostics = {"interval": 0.9, "candidates": [described]}
    story.say(
        RoundOpened(story.rounds, 1, 1000 + story.rounds),
        RoundProposed(story.rounds, "bayes", [at(temperature)], number, diagnostics, {}, 0.25),
    )
    return number


def measured(conductivity):
    return {"conductivity": (conductivity, 0.004), "relative_density": (0.95, 0.003)}


@pytest.fixture
def told(tell):
    """Four experiments of the design, then four by a model, of whose intervals three hold."""
    story = tell()
    story.create(BAYES.format(name="sintering", description="Garnets."))
    story.epoch(furnace="simulated", probe="simulated")
    story.propose([at(t) for t in (1010, 1080, 1150, 1230)], "initial")
    for number, value in ((1, 0.1), (2, 0.3), (3, 0.5), (4, 0.4)):
        story.run(number, measured(value))
    for temperature, value, interval in ((1170, 0.55, (0.4, 0.6)), (1160, 0.52, (0.5, 0.6)), (1190, 0.45, (0.5, 0.7))):
        story.run(propose(story, temperature, interval), measured(value))
    story.run(propose(story, 1165, (0.5, 0.6)), measured(0.53))
    return story


def test_coverage_counts_what_was_told_and_measured(told):
    story = told
    story.run(propose(story, 1100, (0.0, 1.0)), {}, "failed")
    propose(story, 1120, (0.0, 1.0))
    (one,) = explain_campaign(story.ledger, "sintering").coverage
    assert (one.outcome, one.held, one.told, one.share) == ("conductivity", 3, 4, 0.9)
    # Clopper and Pearson for 3 of 4: the roots of P(X ≥ 3) = 0.025 and P(X ≤ 3) = 1 − p⁴ = 0.025
    assert one.high == pytest.approx(0.975**0.25)
    p = one.low
    assert 4 * p**3 * (1 - p) + p**4 == pytest.approx(0.025)


def test_models_are_those_of_all_results_and_only_objectives_have_effects(told):
    found = explain_campaign(told.ledger, "sintering")
    models = {m.outcome: m for m in found.models}
    assert {o: m.observations for o, m in models.items()} == {"conductivity": 8, "relative_density": 8}
    assert models["relative_density"].missing == "it is no objective"
    sensitivity = models["conductivity"].sensitivity
    assert sensitivity.indices[0].parameter == "temperature"  # the others never changed
    assert sensitivity.indices[0].total > 0.9
    assert found.missing == {}
    assert found.seq == told.ledger.head("sintering")[0]


def test_an_experiment_by_the_model(told):
    why = explain_experiment(told.ledger, "sintering", 7)
    assert (why.origin, why.round, why.known) == ("model", 4, 6)
    conductivity, density = why.outcomes
    assert (conductivity.mean, conductivity.interval, conductivity.measured) == (0.6, (0.5, 0.7), 0.45)
    assert conductivity.held is False
    assert (density.mean, density.measured, density.held) == (None, 0.95, None)
    # experiments 7 and 8 came later; distances in shares of 250 °C
    assert [n.experiment for n in why.nearest] == [5, 6, 3]
    assert [n.distance for n in why.nearest] == pytest.approx([20 / 250, 30 / 250, 40 / 250])
    assert why.nearest[0].outcomes["conductivity"] == 0.55
    assert why.why.worth[0].best_experiment in {1, 2, 3, 4, 5, 6}
    assert why.why.keeps["relative_density"] > 0.5
    assert why.described["probability_of_success"] == 0.75


def test_what_no_model_proposed_has_no_reason_in_a_model(told):
    design = explain_experiment(told.ledger, "sintering", 2)
    assert design.origin == "initial"
    assert "initial design" in design.missing["why"]
    assert design.nearest == ()
    told.say(CandidatesAdded([at(1015)], 9, "Ada", "a hunch"))
    person = explain_experiment(told.ledger, "sintering", 9)
    assert (person.origin, person.round, person.known) == ("person", 0, 8)
    assert "a person added it" in person.missing["why"]
    assert person.nearest[0].experiment == 1


def test_other_planners_are_refused_what_they_cannot_tell(ceramics):
    found = explain_campaign(ceramics.ledger, "sintering")
    assert (found.models, found.coverage) == ((), ())
    assert "'random' tells of no models" in found.missing["models"]
    assert "'random' tells no intervals" in found.missing["coverage"]
    why = explain_experiment(ceramics.ledger, "sintering", 6)
    assert why.why is None
    assert "'random' has no models" in why.missing["why"]
    assert "'random' recorded no prediction" in why.missing["predicted"]
    assert len(why.nearest) == 3


def test_no_such_experiment(ceramics):
    with pytest.raises(InputError, match="no experiment 99; it has: 1 to 8"):
        explain_experiment(ceramics.ledger, "sintering", 99)
    with pytest.raises(InputError, match="no campaign 'other'"):
        explain_experiment(ceramics.ledger, "other", 1)


def test_nothing_is_written(told):
    before = told.ledger.head("sintering")
    explain_campaign(told.ledger, "sintering")
    explain_experiment(told.ledger, "sintering", 7)
    assert told.ledger.head("sintering") == before
