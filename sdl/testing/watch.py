"""Watches a driver for what it must not do to the event loop, and for what it leaves behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

_HERE = str(Path(__file__).parent)


def _place() -> str:
    """Return the line of code that is not the watcher's, the standard library's or the platform's own clockwork."""
    standard = str(Path(os.__file__).parent)
    for frame in reversed(traceback.extract_stack()):
        inside = frame.filename.startswith(standard) and "site-packages" not in frame.filename
        if frame.filename != __file__ and not inside:
            return f"{Path(frame.filename).name}:{frame.lineno}"
    return "unknown place"


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _by_asyncio() -> bool:
    """Tell whether the loop itself calls, which knows what it does (it ends its own pool, for instance)."""
    return str(sys._getframe(2).f_globals.get("__name__", "")).startswith("asyncio.")  # noqa: SLF001


def _waits_for_item(_queue: object, block: bool = True, timeout: float | None = None) -> bool:
    return block and timeout != 0


@contextmanager
def blocking_calls(modules: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Note every call that would hold up the event loop, made in a thread that runs one.

    It goes by what is called, not by how long it takes, so that a busy machine changes nothing: `time.sleep`, sockets that
    wait, `select`, child processes waited for, queues, futures and threads waited for. What a C library waits for inside
    is not seen.

    Args:
        modules: packages in which `from time import sleep` is looked for as well.
    """
    found: list[str] = []

    def watched(name: str, original: Callable[..., Any], waits: Callable[..., bool]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  stands in for anything
            if _in_a_loop() and not _by_asyncio() and waits(*args, **kwargs):
                found.append(f"{name} in {_place()} holds up the event loop")
            return original(*args, **kwargs)

        return call

    def always(*_: object, **__: object) -> bool:
        return True

    def patient(sock: socket.socket, *_: object, **__: object) -> bool:
        return sock.gettimeout() != 0

    with ExitStack() as stack:

        def watch(owner: Any, name: str, waits: Callable[..., bool] = always) -> None:  # noqa: ANN401
            original = getattr(owner, name)
            title = f"{getattr(owner, '__name__', owner)}.{name}"
            stack.enter_context(patch.object(owner, name, watched(title, original, waits)))

        sleep = time.sleep
        watch(time, "sleep")
        for module in _loaded(modules):
            for name, value in list(vars(module).items()):
                if value is sleep:
                    stack.enter_context(patch.object(module, name, time.sleep))
        for name in ("connect", "recv", "recv_into", "recvfrom", "send", "sendall", "accept"):
            watch(socket.socket, name, patient)
        watch(select, "select", lambda *a, **_: len(a) < 4 or a[3] != 0)
        watch(subprocess.Popen, "wait")
        watch(subprocess.Popen, "communicate")
        watch(queue.Queue, "get", _waits_for_item)
        watch(concurrent.futures.Future, "result", lambda f, timeout=None: not f.done() and timeout != 0)
        watch(threading.Thread, "join", lambda t, timeout=None: t.is_alive() and timeout != 0)
        yield found


def _loaded(packages: tuple[str, ...]) -> list[Any]:
    return [
        module
        for name, module in list(sys.modules.items())
        if any(name == p or name.startswith(f"{p}.") for p in packages)
    ]


@contextmanager
def sleeps_outside_the_clock() -> Iterator[list[str]]:
    """Note every `asyncio.sleep` that waits for real time to pass."""
    found: list[str] = []
    original = asyncio.sleep

    async def sleep(delay: float, result: Any = None) -> Any:  # noqa: ANN401  as asyncio.sleep
        if delay > 0:
            found.append(f"asyncio.sleep({delay:g}) in {_place()}: wait by ctx.sleep or self.clock.sleep")
            delay = 0  # the verdict is in; nobody needs to wait for it
        return await original(delay, result)

    with patch.object(asyncio, "sleep", sleep), patch.object(asyncio.tasks, "sleep", sleep):
        yield found


_PATIENCE = 10.0
"""Seconds within which a thread that ends by itself must have ended. Chosen: generous on a loaded machine."""

_POOL = "loop-pool"
"""How the threads of the loop's pool are called."""

_REAPER = "asyncio-waitpid-"
"""How asyncio calls its own threads, one per child process: such a thread ends once the child is reaped."""

_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, concurrent.futures.ThreadPoolExecutor] = (
    weakref.WeakKeyDictionary()
)


async def _settle_threads() -> None:
    """Let the threads end that end by themselves: those of the loop's pool, which gets a fresh one, and asyncio's reapers.

    `loop.shutdown_default_executor` is no way to do it: after it no `asyncio.to_thread` works in that loop any more, neither
    the driver's nor the one that would wait here. A thread that is stuck is waited for within bounds and then found as left
    behind, as is the reaper of a child that goes on.
    """
    loop = asyncio.get_running_loop()
    old, fresh = _pools.get(loop), concurrent.futures.ThreadPoolExecutor(thread_name_prefix=_POOL)
    loop.set_default_executor(fresh)
    _pools[loop] = fresh
    if old is not None:
        old.shutdown(wait=False)
    ending = [t for t in threading.enumerate() if t.name.startswith((_REAPER, _POOL))]

    def join() -> None:
        for thread in ending:
            thread.join(_PATIENCE)

    if ending:
        with concurrent.futures.ThreadPoolExecutor(1) as own:
            await loop.run_in_executor(own, join)


@dataclass(frozen=True)
class Belongings:
    """What a process holds at a moment, so far as a driver could have left it."""

    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    files: tuple[str, ...] | None

    @classmethod
    async def now(cls) -> Belongings:
        """Look, once what ends by itself has ended."""
        await _settle_threads()
        return cls(frozenset(asyncio.all_tasks()), frozenset(threading.enumerate()), _open_files())

    def beyond(self, before: Belongings) -> list[str]:
        """Return in words what there is that was not there before."""
        left = [
            f"the task {t.get_name()} ({getattr(t.get_coro(), '__qualname__', '?')})" for t in self.tasks - before.tasks
        ]
        left += [f"the thread {t.name}" for t in self.threads - before.threads]
        if self.files is not None and before.files is not None:
            rest = list(self.files)
            for file in before.files:
                if file in rest:
                    rest.remove(file)
            if len(self.files) > len(before.files):
                left += [f"the file descriptor of {file}" for file in rest]
        return left


def _open_files() -> tuple[str, ...] | None:
    """Return what this process's file descriptors point to, or None where the platform does not say."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return None
    found = []
    for entry in os.listdir(folder):  # noqa: PTH208  a list: the folder's own descriptor is among them for a moment
        try:
            found.append(os.readlink(folder / entry))  # noqa: PTH115
        except OSError:
            continue
    return tuple(sorted(found))
