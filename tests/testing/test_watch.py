"""The watch over the event loop: it goes by what is called, never by the clock on the wall."""

from __future__ import annotations

import asyncio
import queue
import socket
import subprocess
import sys
import threading
import time
from time import sleep

import pytest

from sdl.testing import watch
from sdl.testing.watch import Belongings, blocking_calls, sleeps_outside_the_clock


def _found(call, modules=()):
    async def main():
        call()

    with blocking_calls(modules) as found:
        asyncio.run(main())
    return found


def _listen():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: time.sleep(0), "time.sleep"),
        (_listen, "connect"),
        (lambda: subprocess.run([sys.executable, "-c", ""], check=True), "Popen"),
        ("get", "Queue.get"),
    ],
)
def test_blocking_calls_are_noted_with_their_place(call, said):
    found = _found(_get if call == "get" else call)
    assert any(said in f and "test_watch.py:" in f for f in found), found


def _get():
    with pytest.raises(queue.Empty):
        queue.Queue().get(timeout=0.001)


def test_an_imported_sleep_is_found_in_the_named_package():
    assert _found(lambda: sleep(0), (__name__,))


def test_what_does_not_block_is_not_noted():
    async def main():
        await asyncio.sleep(0)
        await asyncio.to_thread(time.sleep, 0)
        queue.Queue().put(1)
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.close()
        server.close()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
        await process.wait()

    with blocking_calls() as found:
        asyncio.run(main())
        time.sleep(0)  # no loop runs here
    assert found == []


def test_everything_is_put_back():
    before = time.sleep, socket.socket.recv, asyncio.sleep
    with blocking_calls(), sleeps_outside_the_clock():
        pass
    assert (time.sleep, socket.socket.recv, asyncio.sleep) == before


def test_sleeps_outside_the_clock_are_noted_and_cut_short():
    async def main():
        await asyncio.sleep(0)
        await asyncio.sleep(1000)

    with sleeps_outside_the_clock() as found:
        asyncio.run(main())
    assert len(found) == 1
    assert "asyncio.sleep(1000)" in found[0]


def test_belongings(tmp_path):
    async def main():
        before = await Belongings.now()
        end = threading.Event()
        thread = threading.Thread(target=end.wait, name="left-behind")
        thread.start()
        task = asyncio.ensure_future(asyncio.Event().wait())
        with (tmp_path / "x").open("w"):
            left = (await Belongings.now()).beyond(before)
        end.set()
        thread.join()
        task.cancel()
        await asyncio.wait({task})
        return left, (await Belongings.now()).beyond(before)

    left, nothing = asyncio.run(main())
    assert any("left-behind" in w for w in left)
    assert any("task" in w for w in left)
    assert nothing == []
    if sys.platform == "linux":
        assert any(str(tmp_path) in w for w in left)


def test_looking_takes_nothing_from_the_loop():
    """A driver may use the loop's pool after the suite has looked, and no thread of that pool counts as left behind."""

    async def main():
        before = await Belongings.now()
        for _ in range(3):
            assert await asyncio.to_thread(threading.current_thread) in threading.enumerate()
            assert (await Belongings.now()).beyond(before) == []

    asyncio.run(main())


def test_a_reaper_that_is_still_at_work_is_waited_for_each_time():
    """On a loaded machine asyncio's thread for a child process ends a little after the child was waited for."""

    async def main():
        before = await Belongings.now()
        for number in range(3):
            end = threading.Event()
            threading.Thread(target=end.wait, name=f"asyncio-waitpid-{number}").start()
            asyncio.get_running_loop().call_later(0.05, end.set)
            assert (await Belongings.now()).beyond(before) == []

    asyncio.run(main())


def test_a_thread_of_the_pool_that_is_stuck_is_left_behind(monkeypatch):
    monkeypatch.setattr(watch, "_PATIENCE", 0.05)
    end = threading.Event()

    async def main():
        before = await Belongings.now()
        stuck = asyncio.ensure_future(asyncio.to_thread(end.wait))
        await asyncio.sleep(0)
        left = (await Belongings.now()).beyond(before)
        end.set()
        await stuck
        return left

    assert any("thread" in w for w in asyncio.run(main()))
