"""A Prefect server of one's own: on the loopback interface, its database under the home folder, left running.

Nothing here imports Prefect: the server is a process, and only its address matters.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdl.errors import InputError, SdlError

START_LIMIT = 180.0
"""Seconds within which a server must answer; the first start migrates its database, 11 s on an idle machine."""
STOP_LIMIT = 30.0
_POLL = 0.1


@dataclass(frozen=True)
class Server:
    """A server that was started for a home.

    Attributes:
        pid: leader of its process group.
        port: on 127.0.0.1.
        born: start time of the process in the kernel's clock ticks, so that a reused pid is not mistaken for it.
    """

    pid: int
    port: int
    born: str

    @property
    def api_url(self) -> str:
        """Address of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def ui_url(self) -> str:
        """Address for people."""
        return f"http://127.0.0.1:{self.port}"

    def is_alive(self) -> bool:
        """Tell whether its process still runs."""
        return _born(self.pid) == self.born

    def answers(self) -> bool:
        """Tell whether its API answers."""
        return is_there(self.api_url)


def is_there(api_url: str) -> bool:
    """Tell whether a Prefect server answers at an API address; that it asks for a password is an answer too."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=5.0) as reply:  # noqa: S310  what the user has configured
            return bool(reply.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in {401, 403}
    except (OSError, ValueError):
        return False


def folder(home: Path) -> Path:
    """Return the folder of the home's server."""
    return home / "prefect"


def found(home: Path) -> Server | None:
    """Return the server of a home, where it still runs."""
    server = _last(home)
    return server if server is not None and server.is_alive() else None


def _last(home: Path) -> Server | None:
    """Return the server that was started last for a home, unless it was stopped."""
    try:
        data = json.loads((folder(home) / "server.json").read_text())
        return Server(int(data["pid"]), int(data["port"]), str(data["born"]))
    except (OSError, ValueError, KeyError):
        return None


def start(home: Path, port: int | None = None) -> tuple[Server, bool]:
    """Start the home's server, or return the one that runs; returns it and whether it was started now.

    One that died is started at the port that it had, where that is free.

    Raises:
        InputError: another port was asked for than the running server's, or the port is taken.
        SdlError: the server did not come up; its log is named.
    """
    place = folder(home)
    place.mkdir(parents=True, exist_ok=True)
    with only_one(place / "server.lock"):
        running = found(home)
        if running is not None:
            if port not in {None, running.port}:
                raise InputError(
                    f"the server of {home} runs on port {running.port}; stop it first: sdl server stop --home {home}"
                )
            _wait(running, place / "server.log")
            return running, False
        chosen = _free_port(port) if port is not None else _port_again(home)
        server = _spawn(place, chosen)
        (place / "server.json").write_text(json.dumps({"pid": server.pid, "port": server.port, "born": server.born}))
        _wait(server, place / "server.log")
        return server, True


def stop(home: Path) -> bool:
    """Stop the home's server; returns False where none runs.

    Raises:
        SdlError: it did not end.
    """
    return _end(home, signal.SIGTERM)


def kill(home: Path) -> bool:
    """Kill the home's server without a warning (torture); returns False where none runs."""
    return _end(home, signal.SIGKILL)


def _end(home: Path, number: signal.Signals) -> bool:
    server = found(home)
    if server is None:
        return False
    # The group that we made at its start: `prefect server start` has a child that must not outlive it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, number)
    limit = time.monotonic() + STOP_LIMIT
    while server.is_alive():
        if time.monotonic() > limit:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            limit += STOP_LIMIT
        with contextlib.suppress(ChildProcessError):
            os.waitpid(server.pid, os.WNOHANG)
        time.sleep(_POLL)
    (folder(home) / "server.json").unlink(missing_ok=True)
    return True


def configured_url() -> str | None:
    """Return the API address that the user has configured for Prefect: `$PREFECT_API_URL`, else the active profile's."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    import tomllib

    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
        active = os.environ.get("PREFECT_PROFILE") or profiles["active"]
        url = profiles["profiles"][active].get("PREFECT_API_URL")
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return None
    return str(url) if url else None


def quiet_environment(home: Path) -> dict[str, str]:
    """Return the settings that server and client share: nothing leaves the machine, everything lies under the home."""
    return {
        "PREFECT_HOME": str(folder(home)),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        # In memory a restarted server would forget who holds a concurrency slot.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }


def _spawn(place: Path, port: int) -> Server:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    environment |= quiet_environment(place.parent)
    environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    with (place / "server.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  our own interpreter
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return Server(process.pid, port, _born(process.pid) or "")


def _wait(server: Server, log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    while not server.answers():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(server.pid, os.WNOHANG)
        if not server.is_alive():
            tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-8:])
            raise SdlError(f"the Prefect server ended while it started; the end of {log}:\n  {tail}")
        if time.monotonic() > limit:
            raise SdlError(f"the Prefect server does not answer after {START_LIMIT:.0f} s; see {log}")
        time.sleep(_POLL)


def _port_again(home: Path) -> int:
    """Return the port of a server that died, so that campaigns which are under way find it again; else a free one."""
    last = _last(home)
    if last is not None:
        with contextlib.suppress(InputError):
            return _free_port(last.port)
    return _free_port(None)


def _free_port(port: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port or 0))
        except OSError as error:
            raise InputError(
                f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose another --port"
            ) from error
        return int(probe.getsockname()[1])


def _born(pid: int) -> str | None:
    """Return a process's start time from /proc, or None where it does not run (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else fields[19]


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Let one process at a time into the block; a file says which."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
