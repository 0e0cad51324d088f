"""Two campaigns and their lab server, each a process, with ledgers and command log in one database: turns, kills, locks."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest
from labkit import Process, effects
from postgreskit import home_in

from sdl.ledger import Ledger
from sdl.ledger.queries import table_of
from sdl.ledger.verify import verify

pytestmark = pytest.mark.postgresql

CAMPAIGN = """
import asyncio, os, sys, uuid
from pathlib import Path
from sdl.driver import Command
from sdl.engine.commands import as_sent, intended, settled
from sdl.lab.client import RemoteLab
from sdl.lab.served_plan import served_plan
from sdl.ledger import CampaignCreated, EpochRaised, Ledger
from sdl.ledger.queries import table_of
from sdl.driver import Reply
from sdl.ledger import CommandIntended
url, home, name, count = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

async def main():
    ledger = Ledger(home)
    mine = ledger.own(name)
    mine.take()
    if ledger.campaign(name) is None:
        ledger.append(name, 0.0, [CampaignCreated(0, {})])
    epoch = ledger.campaign(name)["epoch"] + 1
    ledger.append(name, 0.0, [EpochRaised(epoch, os.getpid(), "here", {})])
    lab = RemoteLab(await asyncio.to_thread(served_plan, url, None), name, None, ledger.artefacts.put)
    await lab.open()
    await lab.take_over(f"{name}.id", epoch)
    print("began", flush=True)
    sys.stdin.readline()
    open_ones = {c["id"] for c in table_of(ledger, "commands", name) if c["state"] == "open"}
    for row in ledger.rows(name):  # what a dead process left open, as the engine settles it
        if isinstance(row.event, CommandIntended) and row.event.command in open_ones:
            reply = await lab.reconcile(as_sent(name, row.event)) or Reply(row.event.command, "not_started")
            ledger.append(name, 0.0, [settled(reply, "reconciled")])
    done = sum(c["state"] == "succeeded" for c in table_of(ledger, "commands", name))
    left = iter(range(done, count))

    async def work(lane):
        for number in left:  # four at a time: one is always waiting
            what = ("oven", "fire", {"hold": 0.005}, (f"{name}-{number}",), 0)
            command = Command(str(uuid.uuid4()), name, epoch, number, 0, *what)
            ledger.append(name, 0.0, [intended(command, [])])
            ledger.append(name, 0.0, [settled(await lab.execute(command, begins_sample=True), "reply")])

    await asyncio.gather(*(work(n) for n in range(4)))
    await lab.close()
    mine.release()
    ledger.close()

asyncio.run(main())
"""


@pytest.fixture
def database(postgres):
    made = postgres.database()
    yield made
    postgres.drop(made)


def campaign(url: str, home: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CAMPAIGN), url, home, name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


async def _turns(folder: Path, ledgers, read, record: dict) -> None:
    """Let two campaigns work, kill one in the middle, then the server, and let both come to their end."""
    running: dict[str, subprocess.Popen[str]] = {}
    servers = [Process(folder / "lab")]
    try:
        await _work(servers, folder, ledgers, read, record, running)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
            process.stdout.close()
        for server in servers:
            server.__exit__()


async def _work(servers: list[Process], folder: Path, ledgers, read, record: dict, running: dict) -> None:
    homes = {name: home_in(folder / name, ledgers) for name in ("a", "b")}
    url = servers[0].url
    running |= {name: campaign(url, home, name, 140) for name, home in homes.items()}
    for process in running.values():
        assert await asyncio.to_thread(process.stdout.readline) == "began\n"
    for process in running.values():
        process.stdin.close()  # now

    def grants() -> list[str]:
        return [
            id_.split(".")[0]
            for (id_,) in read("SELECT campaign FROM sdl_lab_bench.commands WHERE started IS NOT NULL ORDER BY started")
        ]

    def joined() -> list[str]:
        """The grants from the moment on at which both campaigns had one."""
        found = grants()
        return found[max(found.index(n) for n in running) :] if set(found) == set(running) else []

    last = time.monotonic() + 240.0
    while len(joined()) < 200:
        assert time.monotonic() < last, f"{len(grants())} grants"
        assert all(p.poll() is None for p in running.values()), f"{joined()} grants"
        await asyncio.sleep(0.5)  # each look reads the whole log
    record["turns"] = joined()[:200]
    running["a"].kill()
    await asyncio.to_thread(running["a"].wait)
    killed = len(grants())
    running["a"].stdout.close()
    running["a"] = campaign(url, homes["a"], "a", 140)
    assert await asyncio.to_thread(running["a"].stdout.readline) == "began\n"
    running["a"].stdin.close()
    while len(grants()) < killed + 8:
        assert time.monotonic() < last
        await asyncio.sleep(0.05)
    servers[0].kill()  # in the middle of a firing, most likely; both campaigns wait for it
    servers.append(await asyncio.to_thread(Process, folder / "lab", servers[0].port))
    for process in running.values():
        assert await asyncio.to_thread(process.wait, 120) == 0
    record["after"] = grants()[killed:]
    record["open"] = read("SELECT id FROM sdl_lab_bench.commands WHERE state <> 'finished'")
    health = await asyncio.to_thread(httpx.get, f"{url}/lab/health", trust_env=False)
    record["busy"] = health.json()["busy"]


@pytest.mark.slow
def test_two_campaigns_take_turns_and_kills_leave_nothing_behind(tmp_path, database, postgres, monkeypatch):
    monkeypatch.setenv("SDL_LAB_LOG_URL", database.render_as_string(hide_password=False))
    (tmp_path / "lab").mkdir()
    record: dict = {}
    begun = time.monotonic()
    asyncio.run(_turns(tmp_path, database, lambda query: postgres.execute(query, database), record))
    turns = record["turns"]
    print(json.dumps({"a": turns.count("a"), "b": turns.count("b"), "seconds": round(time.monotonic() - begun, 1)}))
    assert min(turns.count("a"), turns.count("b")) >= 80  # 40 % of 200
    assert record["open"] == [] and not any(record["busy"].values())
    assert set(record["after"]) == {"a", "b"}
    done = effects(tmp_path / "lab")
    assert len(done) == len(set(done)) >= 280  # each command once, those of the killed process too
    assert postgres.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    for name in ("a", "b"):
        ledger = Ledger(tmp_path / name)
        assert verify(ledger, name).ok
        assert not ledger.is_owned(name)
        sent = table_of(ledger, "commands", name)
        assert sum(c["state"] == "succeeded" for c in sent) >= 140
        assert all(c["state"] in {"succeeded", "not_started"} for c in sent)
        ledger.close()
