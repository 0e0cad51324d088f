"""Which process a campaign belongs to: an operating-system lock, held for the life of the process.

A frozen process still holds it, a dead one never does; nothing here is a lease that could run out under a live owner.
Where several homes share a database, a second lock in the database stands beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Protocol

from sdl.errors import LedgerError, NameInUseError

_GLANCE = 0.2
"""Seconds for which `take` asks again: somebody who looks whether a campaign is owned holds the lock for an instant."""


class SecondLock(Protocol):
    """A lock beside the one in the home."""

    def take(self) -> None:
        """Take the lock.

        Raises:
            NameInUseError: a live process holds it.
            LedgerError: it cannot be taken.
        """

    def release(self) -> None:
        """Let the lock go."""


class Ownership:
    """The right to write to one campaign.

    Args:
        folder: where the lock files lie.
        name: of the campaign.
        second: a lock that other homes ask for too, or None.
    """

    def __init__(self, folder: Path, name: str, second: SecondLock | None = None) -> None:
        self.path = folder / f"{name}.lock"
        self.name = name
        self._second = second
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            NameInUseError: a live process holds it; it is named by pid and machine.
            LedgerError: the lock file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+")
        except OSError as error:
            raise LedgerError(f"campaign '{self.name}' cannot be locked in {self.path}: {error.strerror}") from error
        try:
            _lock(file)
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
            file.flush()
        except BlockingIOError as error:
            pid, host = owner_of(self.path)
            file.close()
            raise NameInUseError(
                f"campaign '{self.name}' is being run by process {pid} on {host}; "
                "wait for it, stop it there with Ctrl-C, or choose another --name"
            ) from error
        except OSError as error:
            with contextlib.suppress(OSError):  # closing tries to write once more; the lock is free all the same
                file.close()
            raise LedgerError(f"campaign '{self.name}' cannot be locked in {self.path}: {error.strerror}") from error
        if self._second is not None:
            try:
                self._second.take()
            except BaseException:
                file.close()
                raise
        self._file = file

    def release(self) -> None:
        """Let the lock go; the operating system does so by itself when the process ends."""
        if self._second is not None:
            self._second.release()
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[str]) -> None:
    """Take the lock or raise BlockingIOError."""
    last = time.monotonic() + _GLANCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > last:
                raise
            time.sleep(_GLANCE / 20)
        else:
            return


def owner_of(path: Path) -> tuple[int, str]:
    """Return pid and machine as the holder of a lock file wrote them down; (0, '?') where it wrote nothing readable."""
    try:
        data = json.loads(path.read_text())
        return int(data["pid"]), str(data["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, "?"


def is_owned(path: Path) -> bool:
    """Tell whether a live process holds a lock file."""
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True
