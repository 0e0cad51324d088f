"""A campaign belongs to one live process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from sdl.errors import LedgerError, NameInUseError
from sdl.ledger import Ledger


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
