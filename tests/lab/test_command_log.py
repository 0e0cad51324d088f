"""The command log: every id once, epochs, and all of it still there after the process is gone."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labkit import command

from sdl.artefacts import ArtefactRef
from sdl.driver import Command, Reply
from sdl.errors import LedgerError, ProtocolError
from sdl.lab.log import CommandLog, KnownCampaign, MemoryLog
from sdl.lab.sql_log import SqlLog

REPLY = Reply(
    "a",
    "succeeded",
    {"value": 0.1 + 0.2, "count": 3, "word": "half \ud800 pair", "yes": True},
    (ArtefactRef("t.csv", "0" * 64, 3, "text/csv"),),
    None,
    1.25,
    2.5,
    1.25,
    True,
    {"s2": "cracked"},
)


@pytest.fixture(params=["memory", "sqlite"])
def log(request, tmp_path):
    made = MemoryLog() if request.param == "memory" else SqlLog(f"sqlite:///{tmp_path / 'c.db'}")
    yield made
    if isinstance(made, SqlLog):
        made.close()


def test_a_command_goes_its_way(log: CommandLog):
    asked = command("a", destination="tray", with_={"hold": 0.1})
    log.accept(asked, True, 1.0)
    assert log.record("a").state == "accepted"
    log.started("a", 2.0)
    assert [r.state for r in log.unfinished()] == ["started"]
    log.finished(REPLY, 3.0)
    found = log.record("a")
    assert (found.command, found.state, found.reply) == (asked, "finished", REPLY)
    assert (found.accepted, found.started, found.finished, found.begins_sample) == (1.0, 2.0, 3.0, True)
    assert log.unfinished() == []
    assert log.record("b") is None


def test_an_id_is_accepted_once_whatever_comes_with_it(log: CommandLog):
    log.accept(command("a"), False, 1.0)
    with pytest.raises(ProtocolError, match="was accepted before; nothing was moved"):
        log.accept(command("a"), False, 2.0)
    with pytest.raises(ProtocolError, match="with other arguments"):
        log.accept(command("a", with_={"hold": 9.0}), False, 2.0)
    assert log.record("a").accepted == 1.0


def test_epochs_are_kept_for_each_campaign_and_never_fall(log: CommandLog):
    log.accept(command("a", epoch=3), False, 1.0)
    with pytest.raises(ProtocolError, match="epoch 2 of 'c', which process 3 has taken over"):
        log.accept(command("b", epoch=2), False, 1.0)
    assert log.record("b") is None
    log.accept(command("d", epoch=1, campaign="other"), False, 1.0)
    log.raise_epoch("c", "sea", 5)
    with pytest.raises(ProtocolError, match="campaign 'sea' asks with epoch 4, but epoch 5"):
        log.raise_epoch("c", "sea", 4)
    log.raise_epoch("c", "sea", 5)
    assert list(log.campaigns()) == [KnownCampaign("c", "sea", 5), KnownCampaign("other", "other", 1)]
    assert [r.command.id for r in log.records("c")] == ["a"]


def test_arguments_that_are_no_json_are_refused(log: CommandLog):
    with pytest.raises(ProtocolError, match="no JSON"):
        log.accept(command("a", with_={"hold": float("nan")}), False, 1.0)
    assert log.unfinished() == []


def test_everything_is_there_again(tmp_path):
    url = f"sqlite:///{tmp_path / 'c.db'}"
    log = SqlLog(url)
    for index, id_ in enumerate("abc"):
        log.accept(command(id_, epoch=2), index == 0, float(index))
    log.started("a", 5.0)
    log.finished(REPLY, 6.5)
    log.started("b", 7.25)
    before = [log.record(i) for i in "abc"]
    identity = log.id
    log.close()
    again = SqlLog(url)
    assert again.id == identity
    assert [again.record(i) for i in "abc"] == before
    assert [r.command.id for r in again.unfinished()] == ["b", "c"]
    assert again.last_moment() == 7.25
    with pytest.raises(ProtocolError, match="accepted before"):
        again.accept(command("a", epoch=2), True, 9.0)
    with pytest.raises(ProtocolError, match="epoch 1"):
        again.accept(command("d", epoch=1), True, 9.0)
    again.accept(command("d", epoch=2), True, 9.0)
    assert [r.command.id for r in again.records("c")] == ["a", "b", "c", "d"]
    again.close()


def test_what_people_told_is_kept(tmp_path):
    url = f"sqlite:///{tmp_path / 'c.db'}"
    log = SqlLog(url)
    for id_, place in (("a", "tray"), ("b", "oven"), ("d", None)):
        log.accept(command(id_, destination=place, samples=("s1", "s2")), False, 1.0)
        log.started(id_, 1.0)
        log.finished(Reply(id_, "unknown" if id_ != "b" else "succeeded"), 2.0)
    assert [r.command.id for r in log.lost()] == ["a", "d"]
    log.answered("a", "not_started")
    log.clear("s1")
    log.accept(command("e", destination="tray", samples=("s1",)), False, 3.0)
    log.started("e", 3.0)
    log.close()
    again = SqlLog(url)
    assert [r.command.id for r in again.lost()] == ["d"]
    assert again.record("a").status == "not_started"
    assert [(r.command.id, r.command.samples, r.status) for r in again.moves()] == [
        ("a", ("s2",), "not_started"),
        ("b", ("s2",), "succeeded"),
        ("e", ("s1",), None),
    ]
    again.close()


def test_what_cannot_be_written_is_not_remembered_either(tmp_path):
    log = SqlLog(f"sqlite:///{tmp_path / 'c.db'}")
    other = sqlite3.connect(tmp_path / "c.db", timeout=0)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON commands BEGIN SELECT RAISE(ABORT, 'no room'); END")
    other.commit()
    with pytest.raises(LedgerError, match="no room"):
        log.accept(command("a"), False, 1.0)
    assert log.record("a") is None
    assert list(log.campaigns()) == []
    other.execute("DROP TRIGGER full")
    other.commit()
    log.accept(command("a"), False, 1.0)
    assert log.record("a").state == "accepted"
    other.close()
    log.close()


def test_a_log_of_another_version_and_a_broken_one_are_refused(tmp_path):
    SqlLog(f"sqlite:///{tmp_path / 'c.db'}").close()
    with sqlite3.connect(tmp_path / "c.db") as other:
        other.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(LedgerError, match="schema 99, this version knows 1"):
        SqlLog(f"sqlite:///{tmp_path / 'c.db'}")
    (tmp_path / "d.db").write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerError, match=r"d\.db cannot be opened"):
        SqlLog(f"sqlite:///{tmp_path / 'd.db'}")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    arguments=st.dictionaries(WORDS, NUMBERS | WORDS | st.booleans(), max_size=5),
    samples=st.lists(WORDS, max_size=3),
    destination=st.none() | WORDS,
    begins=st.booleans(),
    moment=st.floats(0, 4e9),
)
def test_any_command_comes_back_as_it_was(tmp_path_factory, arguments, samples, destination, begins, moment):
    url = f"sqlite:///{tmp_path_factory.mktemp('log') / 'c.db'}"
    asked = Command("a", "c", 1, 7, 2, "i", "do", arguments, tuple(samples), 1, destination)
    log = SqlLog(url)
    log.accept(asked, begins, moment)
    log.close()
    again = SqlLog(url)
    found = again.record("a")
    again.close()
    assert (found.command, found.begins_sample, found.accepted) == (asked, begins, moment)
    assert found.digest == asked.digest == found.command.digest
