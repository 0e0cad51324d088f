"""Whether a command that a lab server does not know may have begun all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from sdl.engine.whole_log import doubtful
from sdl.ledger import CommandIntended, EpochRaised

LOG = {"log": "L", "boot": "old", "server": "http://127.0.0.1:1"}


def lab(boot: str = "new", effect: str = "irreversible") -> SimpleNamespace:
    there = SimpleNamespace(description=SimpleNamespace(actions={"fire": SimpleNamespace(effect=effect)}))
    return SimpleNamespace(id="L", boot=boot, plan=SimpleNamespace(instruments={"oven": there}))


def row(moment: float, event) -> SimpleNamespace:
    return SimpleNamespace(at=datetime.fromtimestamp(moment, UTC).isoformat(), event=event)


JOURNAL = [
    row(0.0, EpochRaised(1, 7, "here", {"lab": LOG})),
    row(1000.0, CommandIntended("f", 1, 0, "oven", "fire", {}, ["c-0001"], 0, "d", 1)),
    row(5000.0, EpochRaised(2, 8, "here", {"lab": {**LOG, "boot": "new"}})),
]


@pytest.mark.parametrize(
    ("known", "is_doubtful"),
    [
        ({}, True),
        ({"g": [10.0, 11.0]}, True),
        ({"g": [10.0, 11.0, 999.0]}, False),
        ({"g": [10.0, 11.0, 4900.0]}, True),  # its end was written once the restored log was in use
        ({"f": [1000.1]}, False),
    ],
)
def test_a_log_that_ends_long_before_a_command_proves_nothing(known, is_doubtful):
    assert set(doubtful(lab(), JOURNAL, known)) == ({"f"} if is_doubtful else set())


def test_a_server_that_lived_all_along_and_what_may_be_done_again_are_no_question():
    assert doubtful(lab(boot="old"), JOURNAL, {}) == {}
    assert doubtful(lab(effect="reads"), JOURNAL, {}) == {}
