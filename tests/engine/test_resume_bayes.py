"""Bayesian optimisation goes on with the very same proposals, and every one of them can be recomputed from the ledger."""

from __future__ import annotations

import pytest
from enginekit import proposals, run

from sdl.audit import recompute
from sdl.engine import Hooks
from sdl.engine.worker import propose
from sdl.ledger import ExperimentFinished, Ledger

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class StopAfter(Hooks):
    """Stops the engine once so many experiments came to their end."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.engine = None

    def recorded(self, rows, view):
        self.count -= sum(isinstance(r.event, ExperimentFinished) for r in rows)
        if self.count == 0:
            self.engine.stop("the test says so")


@pytest.mark.parametrize(
    ("file", "options", "after"),
    [
        pytest.param("opv_photostability.yaml", ["stop.experiments=9"], [3, 5, 6, 8], id="pool"),
        pytest.param("electrolyte_sintering.yaml", ["stop={experiments: 11}", "concurrency=1"], [8, 9], id="mixed"),
    ],
)
def test_stopped_and_started_again_gives_the_same_proposals(campaigns, tmp_path, file, options, after):
    home = tmp_path / "undisturbed"
    _, _, undisturbed = run(campaigns / file, home, *options)
    for count in after:
        hook = StopAfter(count)
        place = tmp_path / str(count)
        end, _, _ = run(campaigns / file, place, *options, hooks=hook, steer=lambda e, h=hook: setattr(h, "engine", e))
        assert end[0] == "stopped"
        _, _, rows = run(campaigns / file, place, *options)
        assert proposals(rows) == proposals(undisturbed)
    other = run(campaigns / file, tmp_path / "other", *options, seed=1)[2]
    assert proposals(other) != proposals(undisturbed)

    ledger = Ledger(home)
    try:
        again = recompute(ledger, ledger.campaigns()[0]["name"], lambda *a: propose(*a).proposal)
    finally:
        ledger.close()
    assert again.ok, again.text()
    assert {r.verdict for r in again.rounds} == {"equal"}
