"""Long torture, `make validate`: a thousand faults, half of them with the lab in a process of its own."""

from __future__ import annotations

from functools import partial

import pytest

from sdl.cli.torture import oracle, runner, served_subject
from sdl.preflight import check
from sdl.testing.torture import Subject, Torture
from sdl.testing.torture.lane import Lane
from sdl.testing.torture.served import ServedLane

pytestmark = pytest.mark.validate

OPTIONS = ("stop.experiments=8", "planner={type: sobol}")


@pytest.mark.parametrize("served", [False, True], ids=["embedded", "served"])
def test_five_hundred_faults(campaigns, tmp_path, served):
    file = campaigns / "electrolyte_sintering.yaml"
    checked = check(file, overrides=OPTIONS)
    if served:
        make = partial(ServedLane, served_subject(checked, file, OPTIONS))
    else:
        make = partial(Lane, Subject.of(checked, runner(file, OPTIONS, simulate=False), answer=oracle(checked)))
    result = Torture(make, tmp_path, faults=500, seed=11, lanes=2).run()
    assert result.problems == []
    assert sum(result.struck.values()) >= 500
    said = result.as_json()
    assert said["executed_twice"] == said["lost"] == said["observations_missing"] == said["observations_doubled"] == 0
    assert result.median_resume is not None and result.median_resume < 5.0
