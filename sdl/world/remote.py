"""A world that lives in another process, as a driver sees it: the same methods, a mirror of the record."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sdl.errors import InputError, LedgerError
from sdl.world.world import Operation, World

if TYPE_CHECKING:
    from sdl.driver.command import Command

_TIMEOUT = 30.0
"""Seconds within which a world on the same machine must answer."""


def address_of(server: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    Raises:
        InputError: it is not of that form.
    """
    host, colon, port = server.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InputError(f"'{server}' is no address of a world; write HOST:PORT, as sdl world serve prints it")
    return host, int(port)


def campaign_actor(name: str) -> str:
    """Return the name under which a campaign takes part in shared virtual time."""
    return f"campaign {name}"


class RemoteWorld(World):
    """The record of a world process; every question is asked there, so that several processes see one truth.

    Args:
        host: of the world's process.
        port: of the world's process.

    Raises:
        LedgerError: nobody answers there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._where = f"{host}:{port}"
        self._turn = threading.Lock()
        try:
            self._socket = socket.create_connection((host, port), timeout=_TIMEOUT)
        except OSError as error:
            raise LedgerError(f"no world answers at {self._where} ({error}); start it with: sdl world serve") from error
        self._stream = self._socket.makefile("rwb")
        hello = self._ask({"op": "record"})
        super().__init__(int(hello["seed"]), None, hello["settings"])

    def begin(self, command: Command, begins: float, duration: float) -> Operation:
        """Record that an effect begins; see `World.begin`."""
        answer = self._ask({"op": "begin", "command": asdict(command), "begins": begins, "duration": duration})
        self._pull()
        return Operation(**answer["operation"])

    def abort(self, command_id: str, moment: float) -> None:
        """Record that an effect was stopped; see `World.abort`."""
        self._ask({"op": "abort", "command": command_id, "moment": moment})

    def operation(self, command_id: str) -> Operation | None:
        """Return the effect of a command, or None where it never began."""
        self._pull()
        return super().operation(command_id)

    def operations(self, sample: str) -> list[Operation]:
        """Return all effects on a sample, in the order in which they began."""
        self._pull()
        return super().operations(sample)

    def all_operations(self) -> list[Operation]:
        """Return all effects in the order in which they began."""
        self._pull()
        return super().all_operations()

    def actors(self) -> dict[str, str]:
        """Return who shares the world's virtual time: actor → `works`, `waits` or `down`."""
        return dict(self._ask({"op": "record"})["time"])

    def close(self) -> None:
        """Close the connection; the world goes on."""
        self._stream.close()
        self._socket.close()

    def _pull(self) -> None:
        answer = self._ask({"op": "state", "known": len(self._operations)})
        for row in answer["operations"]:
            self._apply(Operation(**row))
        for command, moment in answer["aborted"].items():
            self._operations[command] = replace(self._operations[command], aborted=moment)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        with self._turn:
            try:
                self._stream.write(json.dumps(message, allow_nan=False).encode() + b"\n")
                self._stream.flush()
                line = self._stream.readline()
            except (OSError, ValueError) as error:
                raise LedgerError(f"the world at {self._where} does not answer: {error}; nothing was done") from error
        if not line:
            raise LedgerError(f"the world at {self._where} is gone; start it again with: sdl world serve, and go on")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LedgerError(str(answer["error"]))
        return answer
