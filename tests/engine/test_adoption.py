"""What becomes of commands that the lab server knows and a restored ledger does not."""

from __future__ import annotations

from types import SimpleNamespace

from sdl.driver import Command, Reply
from sdl.engine.adoption import Strangers
from sdl.ledger import CommandIntended, CommandSettled

SPENT = Command("x", "c", 1, 1, 0, "person", "tell", {}, ("c-0001",), 0)
RECORD = SimpleNamespace(sample="c-0001", number=1, candidate={})


def step(effect: str, arguments: dict) -> SimpleNamespace:
    action = SimpleNamespace(name="tell", effect=effect)
    return SimpleNamespace(index=0, instrument="person", action=action, values=lambda _: arguments)


def test_an_unknown_command_that_is_dropped_lets_its_instrument_go():
    gone = []
    strangers = Strangers([(SPENT, Reply("x", "unknown"))], [], let_go=gone.append)
    assert strangers.adopt(step("reads", {"other": 1}), [RECORD]) == []
    assert gone == [SPENT]


def test_a_known_end_that_is_dropped_holds_nothing():
    gone = []
    strangers = Strangers([(SPENT, Reply("x", "succeeded"))], [], let_go=gone.append)
    assert strangers.adopt(step("reads", {"other": 1}), [RECORD]) == []
    assert gone == []


def test_what_is_under_way_is_open_and_what_has_ended_is_unknown():
    under_way = Strangers([(SPENT, None)], [], {"x"})
    assert [type(e) for e in under_way.adopt(step("irreversible", {}), [RECORD])] == [CommandIntended]
    over = Strangers([(SPENT, Reply("x", "succeeded"))], [])
    assert [type(e) for e in over.adopt(step("irreversible", {}), [RECORD])] == [CommandIntended, CommandSettled]
