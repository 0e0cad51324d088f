"""The command log: every id once, epochs, and all of it still there after the process is gone."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labkit import command
from sqlalchemy.exc import OperationalError

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


@pytest.fixture
def url(request, tmp_path):
    """Where a log may be kept: in a file, or in a PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'c.db'}"
        return
    postgres = request.getfixturevalue("postgres")
    made = postgres.database()
    yield made
    postgres.drop(made)


ON_BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
on_both = pytest.mark.parametrize("url", ON_BOTH, indirect=True)


@pytest.fixture(params=["memory", *ON_BOTH])
def log(request, tmp_path):
    if request.param == "memory":
        yield MemoryLog()
        return
    database = None if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    made = SqlLog(database or f"sqlite:///{tmp_path / 'c.db'}")
    yield made
    made.close()
    if database is not None:
        request.getfixturevalue("postgres").drop(database)


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


@on_both
def test_everything_is_there_again(url):
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


def test_what_was_refused_can_never_be_accepted(log: CommandLog):
    """A command that was withdrawn before it arrived."""
    late, no = command("a", destination="tray"), Reply("a", "not_started", error="withdrawn before it arrived")
    log.refused(late, True, no, 4.0)
    found = log.record("a")
    assert (found.command, found.state, found.reply, found.started) == (late, "finished", no, None)
    for again in (log.accept, lambda *rest: log.refused(*rest[:2], no, 5.0)):
        with pytest.raises(ProtocolError, match="was accepted before"):
            again(late, True, 5.0)
    assert log.unfinished() == []
    log.accept(command("b"), True, 6.0)
    assert [r.command.id for r in log.records("c")] == ["a", "b"]


@on_both
def test_what_was_refused_is_refused_by_the_next_life(url):
    log = SqlLog(url)
    log.refused(command("a", destination="tray"), True, Reply("a", "not_started"), 4.0)
    log.close()
    again = SqlLog(url)
    with pytest.raises(ProtocolError, match="was accepted before"):
        again.accept(command("a"), True, 5.0)
    assert again.record("a").status == "not_started"
    again.close()


@on_both
@pytest.mark.parametrize("is_committed", [False, True], ids=["lost", "committed"])
def test_a_commit_of_which_nobody_knows_whether_it_took_place_can_be_asked_for_again(url, is_committed, monkeypatch):
    """The answer to a commit is lost; the sender asks again, another command comes, or it is withdrawn."""
    log = SqlLog(url)
    real = log._database.writing

    @contextmanager
    def doubtful():
        with real() as connection:
            yield connection
            if not is_committed:
                raise OperationalError("COMMIT", None, Exception("the server closed the connection"))
        raise OperationalError("COMMIT", None, Exception("the server closed the connection"))

    with monkeypatch.context() as broken:
        broken.setattr(log._database, "writing", doubtful)
        for id_ in "ab":
            with pytest.raises(LedgerError, match="the server closed the connection"):
                log.accept(command(id_), True, 1.0)
            assert log.record(id_) is None
        with pytest.raises(LedgerError):
            log.raise_epoch("d", "dune", 3)
    log.accept(command("e"), True, 1.5)
    log.accept(command("a"), True, 2.0)
    log.refused(command("b"), True, Reply("b", "not_started"), 2.0)
    log.raise_epoch("d", "dune", 3)
    log.close()
    again = SqlLog(url)
    assert [(r.command.id, r.state) for r in again.records("c")] == [
        ("e", "accepted"),
        ("a", "accepted"),
        ("b", "finished"),
    ]
    assert [(c.id, c.epoch) for c in again.campaigns()] == [("c", 1), ("d", 3)]
    again.close()


@on_both
def test_what_people_told_is_kept(url):
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


OLD = """
CREATE TABLE meta ("key" VARCHAR(20) NOT NULL, value VARCHAR(200) NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE campaigns (id VARCHAR(150) NOT NULL, position INTEGER NOT NULL, name VARCHAR(100) NOT NULL,
    epoch INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE commands (id VARCHAR(100) NOT NULL, position INTEGER NOT NULL, campaign VARCHAR(150) NOT NULL,
    epoch INTEGER NOT NULL, digest VARCHAR(64) NOT NULL, experiment INTEGER NOT NULL, step INTEGER NOT NULL,
    instrument VARCHAR(100) NOT NULL, action VARCHAR(100) NOT NULL, arguments TEXT NOT NULL, samples TEXT NOT NULL,
    destination VARCHAR(100), occurrence INTEGER NOT NULL, begins_sample BOOLEAN NOT NULL, state VARCHAR(10) NOT NULL,
    reply TEXT, answer VARCHAR(20), accepted FLOAT NOT NULL, started FLOAT, finished FLOAT, PRIMARY KEY (id),
    UNIQUE (position));
CREATE INDEX ix_commands_campaign ON commands (campaign);
CREATE INDEX ix_commands_state ON commands (state);
CREATE TABLE cleared (sample VARCHAR(150) NOT NULL, "after" INTEGER NOT NULL, PRIMARY KEY (sample));
INSERT INTO meta VALUES ('schema', '1'), ('id', 'kept');
INSERT INTO campaigns VALUES ('c', 1, 'sea', 2);
INSERT INTO commands VALUES ('a', 1, 'c', 2, 'd', 1, 0, 'oven', 'fire', '{"hold":1.5}', '["s1"]', NULL, 0, 1, 'started',
    NULL, NULL, 1.0, 2.0, NULL);
"""
"""A log as it was written before there were logs in a PostgreSQL."""


def test_a_log_in_a_file_of_before_goes_on(tmp_path):
    with sqlite3.connect(tmp_path / "c.db") as old:
        old.executescript(OLD)
    log = SqlLog(f"sqlite:///{tmp_path / 'c.db'}")
    assert (log.id, list(log.campaigns())) == ("kept", [KnownCampaign("c", "sea", 2)])
    (found,) = log.unfinished()
    assert (found.command.arguments, found.state, found.started) == ({"hold": 1.5}, "started", 2.0)
    log.finished(REPLY, 3.0)
    log.accept(command("b", epoch=2), True, 4.0)
    log.close()
    again = SqlLog(f"sqlite:///{tmp_path / 'c.db'}")
    assert [(r.command.id, r.state) for r in again.records("c")] == [("a", "finished"), ("b", "accepted")]
    again.close()


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(deadline=None)
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
