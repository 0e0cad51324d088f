"""A campaign belongs to one live process."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading

import pytest
from postgreskit import ONLY_SQLITE

from sdl.errors import LedgerError, NameInUseError
from sdl.ledger import EpochRaised, Ledger


def test_owned_while_held_and_only_then(ledger):
    mine = ledger.own("demo")
    assert not ledger.is_owned("demo")
    mine.take()
    assert ledger.is_owned("demo")
    with pytest.raises(NameInUseError, match=f"campaign 'demo' is being run by process {os.getpid()} on "):
        ledger.own("demo").take()
    mine.release()
    assert not ledger.is_owned("demo")
    ledger.own("demo").take()


def test_a_killed_process_owns_nothing(ledger):
    script = """if True:
        import sys, time
        from pathlib import Path
        from sdl.ledger import Ownership
        mine = Ownership(Path(sys.argv[1]), "demo")
        mine.take()
        print("taken", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(ledger.home / "locks")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "taken\n"
    with pytest.raises(NameInUseError, match=f"process {process.pid} on "):
        ledger.own("demo").take()
    process.kill()
    process.wait()
    process.stdout.close()
    ledger.own("demo").take()


def test_looking_whether_a_campaign_is_owned_never_keeps_it_from_its_owner(ledger):
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            ledger.is_owned("demo")

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            mine = ledger.own("demo")
            mine.take()
            mine.release()
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


def test_a_lock_file_that_says_nothing_readable_still_locks(ledger):
    mine = ledger.own("demo")
    mine.take()
    mine.path.write_text("[]")
    with pytest.raises(NameInUseError, match=r"process 0 on \?"):
        ledger.own("demo").take()


def test_a_ledger_in_memory_has_no_owners():
    ledger = Ledger(None)
    with pytest.raises(LedgerError, match="no owners"):
        ledger.own("demo")
    assert not ledger.is_owned("demo")
    ledger.close()


def test_who_gives_signs_of_life_is_not_followed(ledger):
    mine = ledger.own("demo")
    mine.take()
    os.utime(mine.path, (0, 0))
    mine.sign()
    with pytest.raises(NameInUseError, match=f"process {os.getpid()} on .*last sign of life is [0-5] s old"):
        ledger.own("demo").take_over(60.0)
    mine.sign()  # and nobody took anything


@ONLY_SQLITE  # a database session says something at every query
def test_who_was_silent_is_followed_and_told_so(ledger):
    mine, other = ledger.own("demo"), ledger.own("demo")
    mine.take()
    os.utime(mine.path, (0, 0))
    former = other.take_over(60.0)
    assert former.pid == os.getpid()
    assert former.silent > 60
    with pytest.raises(LedgerError, match="was taken over by process"):
        mine.sign()
    other.sign()
    mine.release()  # of the old file, which is nobody's any more
    assert ledger.is_owned("demo")
    other.release()
    assert ledger.own("demo").take_over(60.0) is None  # nobody to follow


@ONLY_SQLITE
def test_of_two_who_follow_only_one_gets_it(ledger):
    mine = ledger.own("demo")
    mine.take()
    os.utime(mine.path, (0, 0))
    found: list[object] = []
    followers = [ledger.own("demo") for _ in range(4)]  # kept: whoever forgets a lock lets it go

    def follow(follower) -> None:
        try:
            found.append(follower.take_over(60.0))
        except NameInUseError as error:
            found.append(str(error))

    threads = [threading.Thread(target=follow, args=(f,)) for f in followers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not isinstance(f, str) for f in found) == 1, found


def test_a_process_of_an_old_epoch_knows_that_it_is_not_its_own_any_more(ledger):
    ledger.append("demo", 0.0, [EpochRaised(7, 1, "a", {})])
    ledger.require_mine("demo")
    second = Ledger(ledger.home)
    second.append("demo", 0.0, [EpochRaised(8, 2, "b", {})])
    with pytest.raises(LedgerError, match="its epoch is 8, this process has 7"):
        ledger.require_mine("demo")
    second.close()


def test_a_lock_file_that_somebody_tidied_away_is_made_again(ledger):
    mine = ledger.own("demo")
    mine.take()
    (ledger.home / "locks" / "demo.lock").unlink()
    mine.sign()
    with pytest.raises(NameInUseError, match=f"process {os.getpid()}"):
        ledger.own("demo").take()
    mine.release()
    ledger.own("demo").take()


@ONLY_SQLITE
def test_nobody_who_looks_waits_for_a_writer_that_is_frozen(ledger, monkeypatch):
    monkeypatch.setattr("sdl.ledger.sqlite._BUSY", 0.05)
    with contextlib.closing(sqlite3.connect(ledger.home / "ledger.db", isolation_level=None)) as frozen:
        frozen.execute("BEGIN IMMEDIATE")
        other = Ledger(ledger.home)
        assert other.rows("demo") == ledger.rows("demo")
        other.close()
