"""Writing and reading the journal: durability, one chain per campaign, nothing kept of what failed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from postgreskit import ONLY_SQLITE
from sqlalchemy import text

from sdl.errors import InputError, LedgerError
from sdl.ledger import (
    CampaignCreated,
    CampaignEnded,
    CommandSettled,
    EpochRaised,
    ExperimentStarted,
    Ledger,
    RoundOpened,
    RoundProposed,
    canonical,
)
from sdl.ledger.ledger import GENESIS
from sdl.ledger.queries import table_of
from sdl.ledger.verify import verify


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process of its own that uses the ledger."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *(str(a) for a in arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_rows_come_back_as_they_were_written(ledger, life):
    written = [event for batch in life(ledger) for event in batch]
    rows = ledger.rows("demo")
    assert [r.event for r in rows] == written
    assert [r.seq for r in rows] == list(range(1, len(rows) + 1))
    assert [r.previous for r in rows] == [GENESIS, *(r.hash for r in rows[:-1])]
    assert ledger.head("demo") == (rows[-1].seq, rows[-1].hash)
    assert ledger.rows("demo", 4) == rows[:4]
    assert ledger.head("nobody") == (0, GENESIS)


@ONLY_SQLITE
def test_every_connection_is_durable(ledger):
    connections = [ledger.engine.connect() for _ in range(4)]
    try:
        for connection in connections:
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    finally:
        for connection in connections:
            connection.close()


@ONLY_SQLITE
def test_readers_neither_take_nor_wait_for_the_write_lock(ledger):
    other = sqlite3.connect(ledger.home / "ledger.db", isolation_level=None, timeout=0.1)
    with ledger.reading() as connection:
        before = connection.execute(text("SELECT count(*) FROM journal")).scalar()
        other.execute("BEGIN IMMEDIATE")  # a reader holds no writer up
        other.execute("UPDATE campaigns SET state = 'x'")
        assert connection.execute(text("SELECT state FROM campaigns")).scalar() == "waiting"
        assert ledger.campaign("demo")["state"] == "waiting"  # a writer holds no reader up
        other.execute("COMMIT")
        # One moment for all queries of a reader, whatever others write meanwhile.
        assert connection.execute(text("SELECT state FROM campaigns")).scalar() == "waiting"
        assert connection.execute(text("SELECT count(*) FROM journal")).scalar() == before
    assert ledger.campaign("demo")["state"] == "x"
    other.close()


WRITER = """
    import sys
    from pathlib import Path
    from sdl.ledger import CampaignCreated, CampaignEnded, Ledger
    home, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ledger = Ledger(home)
    sys.stdin.readline()
    if ledger.campaign(name) is None:
        ledger.append(name, 0.0, [CampaignCreated(0, {})])
    for i in range(count):
        ledger.append(name, float(i), [CampaignEnded("stopped", str(i)), CampaignEnded("stopped", f"{i}b")])
    ledger.close()
"""


def test_processes_write_to_campaigns_of_one_database_without_losing_or_forking_a_chain(empty):
    empty.append("shared", 0.0, [CampaignCreated(0, {})])
    names = ["a", "b", "shared", "shared"]
    writers = [python(WRITER, empty.home, name, 25) for name in names]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    while any(w.poll() is None for w in writers):  # reading goes on meanwhile, and always sees a whole chain
        for name in ("a", "shared"):
            rows = empty.rows(name)
            assert [r.seq for r in rows] == list(range(1, len(rows) + 1))
            assert not rows or len(rows) % 2 == 1
    for writer in writers:
        finished(writer)
    assert [len(empty.rows(n)) for n in ("a", "b", "shared")] == [51, 51, 101]
    assert all(verify(empty, n).ok for n in ("a", "b", "shared"))


def test_threads_share_a_ledger(empty):
    def write(name: str) -> None:
        empty.append(name, 0.0, [CampaignCreated(0, {})])
        for i in range(10):
            empty.append(name, float(i), [CampaignEnded("stopped", str(i))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, ["a", "b", "c", "d"]))
    assert all(verify(empty, name).ok for name in "abcd")


def test_processes_that_make_a_home_at_once_make_one(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from sdl.ledger import CampaignCreated, Ledger
        sys.stdin.readline()
        ledger = Ledger(Path(sys.argv[1]))
        ledger.append(sys.argv[2], 0.0, [CampaignCreated(0, {})])
        ledger.close()
    """
    makers = [python(script, tmp_path / "home", name) for name in "abcd"]
    for maker in makers:
        maker.stdin.write("go\n")
        maker.stdin.flush()
    for maker in makers:
        finished(maker)
    ledger = Ledger(tmp_path / "home")
    assert sorted(c["name"] for c in ledger.campaigns()) == list("abcd")
    ledger.close()


@ONLY_SQLITE
def test_full_disk_keeps_nothing_of_the_transaction(ledger, tmp_path):
    head, states = ledger.head("demo"), table_of(ledger, "campaigns", "demo")
    with ledger.engine.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.execute(text(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(
        LedgerError, match=r"cannot be written: database or disk is full; nothing was recorded.*free the disk"
    ):
        ledger.append("demo", 99.0, [EpochRaised(2, 1, "h", {}), CampaignEnded("done", "x" * 200_000)])
    assert ledger.head("demo") == head
    assert table_of(ledger, "campaigns", "demo") == states
    with ledger.engine.connect() as connection:
        connection.execute(text(f"PRAGMA max_page_count={pages + 1000}"))
    ledger.append(
        "demo", 99.0, [EpochRaised(2, 1, "h", {}), CampaignEnded("done", "x" * 200_000)]
    )  # mended: it goes on
    assert verify(ledger, "demo").ok


@ONLY_SQLITE
def test_a_disk_that_fails_under_a_write_keeps_nothing_of_it(ledger):
    script = """
        import resource, signal, sys
        from pathlib import Path
        from sdl.errors import LedgerError
        from sdl.ledger import CampaignEnded, Ledger
        ledger = Ledger(Path(sys.argv[1]))
        head = ledger.head("demo")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            ledger.append("demo", 99.0, [CampaignEnded("done", "x" * 300_000)])
        except LedgerError as error:
            print(error)
        try:
            ledger.artefacts.put("big", b"x" * 300_000, "text/plain")
        except LedgerError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert ledger.head("demo") == head
        ledger.append("demo", 99.0, [CampaignEnded("done", "x" * 300_000)])
    """
    first, second = finished(python(script, ledger.home)).splitlines()
    assert "nothing was recorded" in first
    assert "'big' cannot be kept" in second
    assert not list((ledger.home / "artefacts").rglob(".part-*"))
    assert verify(ledger, "demo").ok


@ONLY_SQLITE
@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_a_database_that_is_gone_takes_no_rows(ledger, full_home, what):
    path = ledger.home / "ledger.db"
    kept = path.rename(path.with_name("kept"))
    if what == "replaced":
        shutil.copyfile(full_home / "ledger.db", path)
    # SQLite itself would write on, into a file that nobody finds any more.
    with pytest.raises(LedgerError, match=r"was removed or replaced while it was open; nothing was recorded"):
        ledger.append("demo", 1.0, [CampaignEnded("stopped", "")])
    kept.replace(path)
    ledger.append("demo", 1.0, [CampaignEnded("stopped", "")])
    assert verify(ledger, "demo").ok


def test_an_append_with_an_old_epoch_fails(ledger):
    ledger.append("demo", 1.0, [EpochRaised(2, 1, "h", {})])
    other = Ledger(ledger.home)
    with pytest.raises(LedgerError, match="its epoch is 2 already, this process wants 2; nothing was recorded"):
        other.append("demo", 2.0, [EpochRaised(2, 2, "k", {})])
    other.append("demo", 2.0, [EpochRaised(3, 2, "k", {})])
    head = other.head("demo")
    with pytest.raises(LedgerError, match="its epoch is 3, this process has 2; nothing was recorded"):
        ledger.append("demo", 3.0, [CampaignEnded("done", "")])
    assert ledger.head("demo") == head
    other.append("demo", 3.0, [CampaignEnded("done", "")])
    other.close()
    assert verify(ledger, "demo").ok


def test_nothing_of_a_failed_batch_is_kept(ledger):
    head = ledger.head("demo")
    with pytest.raises(LedgerError, match="speaks of something that no earlier row recorded"):
        ledger.append("demo", 1.0, [CampaignEnded("done", "fine"), ExperimentStarted(99, "default", "s")])
    assert ledger.head("demo") == head
    assert ledger.campaign("demo")["state"] == "waiting"


@pytest.mark.parametrize(
    "event",
    [
        EpochRaised(2, 1, "h", {"x": float("nan")}),
        EpochRaised(2, 1, "h", {"x": object()}),
        EpochRaised(2**70, 1, "h", {}),
        RoundProposed(1, "p", [{"x": float("inf")}], 1, {}, {}, 0.0),
        CommandSettled("nobody", "succeeded", {}, [], None, None, None, None, False),
        RoundOpened(1, 1, 1),
        CampaignCreated(0, {}),
    ],
    ids=["nan", "object", "too large", "infinity", "no such command", "round twice", "campaign twice"],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(ledger, event):
    head = ledger.head("demo")
    with pytest.raises(LedgerError, match="demo"):
        ledger.append("demo", 1.0, [event])
    assert ledger.head("demo") == head
    assert verify(ledger, "demo").ok


def test_command_ids_are_unique_over_all_campaigns(ledger, life):
    batches = life(ledger)
    first = next(i for i, batch in enumerate(batches) if batch[0].kind == "command.intended")
    for batch in batches[:first]:
        ledger.append("other", 0.0, batch)
    with pytest.raises(LedgerError, match=r"commands\.id|commands_pkey"):
        ledger.append("other", 0.0, batches[first])
    assert verify(ledger, "other").ok
    assert verify(ledger, "demo").ok


def test_a_settlement_does_not_reach_into_another_campaign(ledger):
    [command, *_] = table_of(ledger, "commands", "demo")
    ledger.append("other", 0.0, [CampaignCreated(0, {})])
    with pytest.raises(LedgerError, match="no earlier row"):
        ledger.append("other", 0.0, [CommandSettled(command["id"], "failed", {}, [], "x", None, None, None, False)])
    assert table_of(ledger, "commands", "demo")[0] == command


def test_text_that_is_none_does_not_cost_a_result(ledger):
    ledger.append("demo", 1.0, [CampaignEnded("failed", "said \udcff\x00 °C")])
    assert ledger.campaign("demo")["reason"] == "said \ufffd\x00 °C"
    assert verify(ledger, "demo").ok


def test_a_late_answer_to_a_command_that_was_sent_again_does_not_speak_for_the_new_one(ledger, life):
    [*_, last] = table_of(ledger, "commands", "demo")
    from sdl.ledger import CommandIntended

    again = CommandIntended("new", last["experiment"], 0, "furnace", "sinter", {}, [], 0, "e" * 64, 1)
    ledger.append("demo", 1.0, [again])
    ledger.append("demo", 2.0, [CommandSettled(last["id"], "failed", {}, [], "late", None, None, None, False)])
    [step] = [s for s in table_of(ledger, "steps", "demo") if s["experiment"] == last["experiment"]]
    assert (step["command"], step["state"]) == ("new", "open")


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET at = at WHERE seq = 2", "never changed"),
        ("DELETE FROM journal WHERE seq = (SELECT max(seq) FROM journal)", "never removed"),
        ("DELETE FROM journal", "never removed"),
        (
            "INSERT OR REPLACE INTO journal SELECT campaign, seq, 'x', kind, '', previous, hash FROM journal LIMIT 1",
            "follow",
        ),
        (
            "INSERT INTO journal SELECT campaign, seq + 100, at, kind, body, hash, hash FROM journal WHERE seq = 2",
            "follow",
        ),
        ("INSERT INTO journal SELECT 'new', 1, at, kind, body, hash, hash FROM journal WHERE seq = 2", "follow"),
    ],
)
@pytest.mark.parametrize("kept", ["disk", "memory"])
def test_the_database_itself_refuses_to_change_the_journal(ledger, fill, statement, said, kept):
    if kept == "memory":
        ledger = fill(Ledger(None))
    connection = ledger.engine.raw_connection()
    with pytest.raises(sqlite3.IntegrityError, match=said):
        connection.cursor().execute(statement)
    connection.rollback()
    connection.close()
    assert verify(ledger, "demo").ok


# --- homes that are not what they should be --------------------------------------------------------------------------


def test_newer_schema_is_refused(ledger, tamper):
    tamper("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="has schema 9999, which this version does not know; upgrade sdl"):
        Ledger(ledger.home)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be opened as a ledger"):
        Ledger(tmp_path)
    assert (tmp_path / "ledger.db").read_bytes() == content


def test_a_home_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(LedgerError, match="cannot be made"):
        Ledger(tmp_path / "home")


def test_a_home_may_have_any_name(tmp_path):
    home = tmp_path / "a b?c=%20#é"
    ledger = Ledger(home)
    ledger.append("x", 0.0, [CampaignCreated(0, {})])
    ledger.close()
    assert (home / "ledger.db").exists()


@pytest.fixture
def nobody_home(full_home):
    """A home that belongs to root, reached as a user who may not write to it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = Path(tempfile.mkdtemp(prefix="sdl-ro-"))
    home = Path(shutil.copytree(full_home, folder / "h?me"))
    for path in [folder, home, *home.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    os.seteuid(65534)
    try:
        yield home
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_read_only_home_is_read_and_its_refusals_are_clear(nobody_home):
    ledger = Ledger(nobody_home)
    assert ledger.is_read_only
    assert verify(ledger, "demo").ok
    with pytest.raises(LedgerError, match=r"readonly database.*this user may not write to"):
        ledger.append("demo", 1.0, [CampaignEnded("done", "")])
    with pytest.raises(LedgerError, match="cannot be noted"):
        ledger.note_head("demo", "report")
    with pytest.raises(LedgerError, match="cannot be locked"):
        ledger.own("demo").take()
    with pytest.raises(LedgerError, match="raw data 'x' cannot be kept"):
        ledger.artefacts.put("x", b"new", "text/plain")
    ledger.close()
    with pytest.raises(LedgerError, match=r"the home folder .* cannot be made"):
        Ledger(nobody_home / "new")


# --- heads and rows --------------------------------------------------------------------------------------------------


def test_a_head_is_noted_only_of_a_campaign_that_exists(ledger):
    with pytest.raises(InputError, match="no campaign 'nobody'"):
        ledger.note_head("nobody", "report")
    assert ledger.note_head("demo", "report") == ledger.head("demo")
    first = ledger.rows("demo")[0]
    assert ledger.note_head("demo", "early", (1, first.hash)) == (1, first.hash)
    assert len((ledger.home / "heads" / "demo.jsonl").read_text().splitlines()) == 2


def test_a_row_that_cannot_be_read_is_named(ledger, tamper):
    tamper("UPDATE journal SET kind = 'x' WHERE seq = 4")
    with pytest.raises(LedgerError, match=r"row 4 of campaign 'demo' \(x\) cannot be read.*sdl verify demo"):
        ledger.rows("demo")


def test_canonical_text_is_the_shortest_that_reads_back():
    assert canonical({"b": 1.0, "a": [True, None, "µ"]}) == '{"b":1.0,"a":[true,null,"µ"]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical([float("inf")])


def test_two_commands_with_the_same_raw_data_keep_both(ledger):
    rows = table_of(ledger, "artefacts", "demo")
    assert len(rows) == 2
    assert len({r["command"] for r in rows}) == 2
