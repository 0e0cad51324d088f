"""Whoever asked for an instrument first keeps the turn, however often the campaign dies before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from enginekit import run

from sdl.ledger import CommandIntended, CommandSettled
from sdl.loop import CampaignState, Continue, decide
from sdl.preflight import check

QUICK = ("planner={type: sobol}", "stop.experiments=2", "concurrency=2")
FILE = Path(__file__).parents[2] / "campaigns" / "electrolyte_sintering.yaml"


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The plan, and the rows of two experiments up to where both have asked for the dispenser."""
    _, _, rows = run(FILE, tmp_path_factory.mktemp("turns") / "home", *QUICK)
    second = next(i for i, r in enumerate(rows) if isinstance(r.event, CommandIntended) and r.event.experiment == 2)
    return check(FILE, overrides=QUICK).plan, rows[: second + 1]


def went_on(rows, event):
    return [*rows, replace(rows[-1], seq=rows[-1].seq + 1, event=event)]


def turns(plan, rows):
    return [d.experiment for d in decide(plan, CampaignState(rows), 0.0) if isinstance(d, Continue)]


def test_a_command_that_never_started_is_sent_anew_in_its_old_turn(journal):
    plan, rows = journal
    first = next(r.event for r in rows if isinstance(r.event, CommandIntended))
    assert (first.experiment, turns(plan, rows)) == (1, [1, 2])
    never = CommandSettled(first.command, "not_started", {}, [], None, None, None, None, True, "reconciled")
    rows = went_on(rows, never)
    assert turns(plan, rows) == [1, 2]  # the process died before it asked again
    rows = went_on(rows, replace(first, command="again"))
    assert turns(plan, rows) == [1, 2]  # it died afterwards: the second experiment's open command is the older one now


def test_a_step_that_was_carried_out_leaves_the_turn_to_others(journal):
    plan, rows = journal
    first = next(r.event for r in rows if isinstance(r.event, CommandIntended))
    weighed = CommandSettled(first.command, "succeeded", {}, [], None, None, None, None, True, "reply")
    rows = went_on(rows, weighed)
    assert turns(plan, rows) == [2, 1]
