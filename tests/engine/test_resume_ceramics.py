"""A campaign on the simulated ceramics lab, killed at its commits, equals the undisturbed one bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from enginekit import observations, proposals, run

from sdl.ledger import CommandIntended, CommandSettled, ExperimentFinished, Ledger

OPTIONS = ("stop={experiments: 5}", "planner={type: sobol}")


def _finished(rows):
    return sorted((r.event.experiment, r.event.state, r.at) for r in rows if isinstance(r.event, ExperimentFinished))


def _effects(home: Path) -> list[tuple]:
    lines = (home / "worlds" / "electrolyte-sintering.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return sorted((r["sample"], r["instrument"], r["action"], r["begins"], r["ends"]) for r in rows)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    path = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"
    end, _, rows = run(path, home, *OPTIONS)
    assert end[0] == "done"
    return path, home, rows


def test_twice_the_same(undisturbed, tmp_path):
    path, home, rows = undisturbed
    _, _, again = run(path, tmp_path, *OPTIONS)
    assert proposals(again) == proposals(rows)
    assert observations(again) == observations(rows)
    assert _finished(again) == _finished(rows)
    assert _effects(tmp_path) == _effects(home)


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("before_commit", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("commits", range(4, 60, 5))
def test_killed_and_resumed_equals_undisturbed(undisturbed, tmp_path, monkeypatch, commits, before_commit):
    path, home, rows = undisturbed
    append = Ledger.append
    left = commits

    def dying(self, *arguments):
        nonlocal left
        left -= 1
        if left < 0 and before_commit:
            raise Killed
        written = append(self, *arguments)
        if left < 0:
            raise Killed
        return written

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", dying)
        with pytest.raises(Killed):
            run(path, tmp_path, *OPTIONS)
    end, state, resumed = run(path, tmp_path, *OPTIONS)
    assert end[0] == "done"
    assert not state.questions
    assert observations(resumed) == observations(rows)
    assert proposals(resumed) == proposals(rows)
    effects = _effects(tmp_path)
    assert len({e[:3] for e in effects}) == len(effects), "an effect happened twice"
    assert effects == _effects(home)
    assert _finished(resumed) == _finished(rows)
    commands = [r.event.command for r in resumed if isinstance(r.event, CommandIntended)]
    outcomes = [r.event.command for r in resumed if isinstance(r.event, CommandSettled)]
    assert sorted(commands) == sorted(outcomes)
