"""Which process a campaign belongs to: an operating-system lock, held for the life of the process.

A frozen process still holds it, a dead one never does; nothing here is a lease that runs out by itself. A live owner gives
signs of life, and only a person can take a campaign over from one that has been silent for long (`take_over`): the lock's
file is then put in the place of the old one, and the epoch keeps a process that thaws from writing.
Where several homes share a database, a second lock in the database stands beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from sdl.errors import LedgerError, NameInUseError

_GLANCE = 0.2
"""Seconds for which `take` asks again: somebody who looks whether a campaign is owned holds the lock for an instant."""

SIGN_EVERY = 5.0
"""Real seconds between two signs of life (chosen)."""

SILENT_AFTER = 60.0
"""Real seconds without a sign of life after which a person may take a campaign over (chosen: as long as an owner waits for a
database that is away)."""


@dataclass(frozen=True)
class FormerOwner:
    """A process from which a campaign was taken over although it still held the lock.

    Attributes:
        pid, host: which.
        silent: real seconds since its last sign of life.
    """

    pid: int
    host: str
    silent: float


class SecondLock(Protocol):
    """A lock beside the one in the home."""

    def take(self) -> None:
        """Take the lock.

        Raises:
            NameInUseError: a live process holds it.
            LedgerError: it cannot be taken.
        """

    def take_over(self, silent: float) -> FormerOwner | None:
        """Take the lock, from a process too that holds it and was silent for so many seconds; returns which, or None.

        Raises:
            NameInUseError: a process holds it that gave a sign of life since.
            LedgerError: it cannot be taken.
        """

    def sign(self) -> None:
        """Give a sign of life.

        Raises:
            LedgerError: another process has taken the lock over.
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
        file = self._locked()
        if self._second is not None:
            try:
                self._second.take()
            except BaseException:
                file.close()
                raise
        self._file = file

    def take_over(self, silent: float = SILENT_AFTER) -> FormerOwner | None:
        """Take the lock, from a process too that still holds it and gives no sign of life (frozen, hung, its machine gone).

        Args:
            silent: real seconds for which it must have given none.

        Returns:
            From whom it was taken; None where nobody held it.

        Raises:
            NameInUseError: its owner is alive, or another process is taking it over as well.
            LedgerError: the lock file cannot be written.
        """
        with self._alone():
            file, former = None, None
            try:
                file = self._locked()
            except NameInUseError:
                former = self._silent_owner(silent)
            try:
                elsewhere = None if self._second is None else self._second.take_over(silent)
                if file is None:
                    # Whoever held the old file holds nothing any more: its next look at it says so.
                    self.path.unlink(missing_ok=True)
                    file = self._locked()
            except BaseException:
                if file is not None:
                    file.close()
                raise
            self._file = file
        return former or elsewhere

    def sign(self) -> None:
        """Give a sign of life; every `SIGN_EVERY` seconds from where the campaign does its work.

        Raises:
            LedgerError: another process has taken the campaign over, or the lock file is gone and cannot be made again.
        """
        if self._file is None:
            return
        if not self.path.exists():
            # Somebody tidied up; who takes a campaign over puts another file in its place.
            gone, self._file = self._file, self._locked()
            gone.close()
        if not _lies_at(self._file, self.path):
            pid, host = owner_of(self.path)
            raise LedgerError(
                f"campaign '{self.name}' was taken over by process {pid} on {host}: this one had given no sign of life; "
                "nothing more is recorded and no further step is started here"
            )
        with contextlib.suppress(OSError):
            os.utime(self._file.fileno())
        if self._second is not None:
            self._second.sign()

    def _locked(self) -> IO[str]:
        """Return the lock file, locked, with this process's name in it.

        Raises:
            NameInUseError: a live process holds it.
            LedgerError: it cannot be written.
        """
        file: IO[str] | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = _lock(self.path)
            file.seek(0)
            file.truncate()
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
            file.flush()
        except BlockingIOError as error:
            pid, host = owner_of(self.path)
            raise NameInUseError(
                f"campaign '{self.name}' is being run by process {pid} on {host}; "
                "wait for it, stop it there with Ctrl-C, or choose another --name"
            ) from error
        except OSError as error:
            if file is not None:
                with contextlib.suppress(OSError):  # closing tries to write once more; the lock is free all the same
                    file.close()
            raise LedgerError(f"campaign '{self.name}' cannot be locked in {self.path}: {error.strerror}") from error
        return file

    def _silent_owner(self, silent: float) -> FormerOwner:
        """Return who holds the lock file.

        Raises:
            NameInUseError: its last sign of life is not so many seconds ago.
        """
        pid, host = owner_of(self.path)
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:  # let go just now
            age = math.inf
        if age < silent:
            raise is_alive(self.name, pid, host, age, silent)
        return FormerOwner(pid, host, age)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from taking the campaign over at the same time."""
        path = self.path.with_suffix(".taking")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = _lock(path)
        except BlockingIOError as error:
            raise NameInUseError(f"campaign '{self.name}' is being taken over by another process right now") from error
        except OSError as error:
            raise LedgerError(f"campaign '{self.name}' cannot be locked in {path}: {error.strerror}") from error
        try:
            yield
        finally:
            file.close()

    def release(self) -> None:
        """Let the lock go; the operating system does so by itself when the process ends."""
        if self._second is not None:
            self._second.release()
        if self._file is not None:
            self._file.close()
            self._file = None


def is_alive(name: str, pid: int, host: str, age: float, silent: float) -> NameInUseError:
    """Return the error that says that a campaign cannot be taken over from an owner that is alive."""
    return NameInUseError(
        f"campaign '{name}' is being run by process {pid} on {host}, whose last sign of life is {age:.0f} s old; it can be taken "
        f"over from a process that ended, or was silent for {silent:g} s: stop it there with Ctrl-C, or wait"
    )


def _lock(path: Path) -> IO[str]:
    """Return the file at a path, locked, or raise BlockingIOError."""
    last = time.monotonic() + _GLANCE
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if time.monotonic() > last:
                raise
            time.sleep(_GLANCE / 20)
        except BaseException:
            file.close()
            raise
        else:
            if _lies_at(file, path):
                return file
            file.close()  # somebody put another one in its place meanwhile


def _lies_at(file: IO[str], path: Path) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


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
