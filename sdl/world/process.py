"""The world as a process of its own: it keeps the record, and shared virtual time, whoever else dies.

One TCP port on the loopback interface, one JSON object a line. A connection is opened either for the record (`record`) or as an
actor in virtual time (`join`, see `sdl.clock.authority`).
"""

from __future__ import annotations

import json
import socketserver
import threading
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sdl.clock import VIRTUAL_EPOCH
from sdl.clock.authority import TimeAuthority
from sdl.errors import InputError, LedgerError
from sdl.world.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class WorldServer:
    """Serves one world.

    Args:
        seed: of all hidden draws.
        path: the record.
        settings: what the lab file says about the world.
        port: on 127.0.0.1; 0 takes a free one.

    Raises:
        InputError: the port is taken.
        LedgerError: the record is damaged.
    """

    def __init__(self, seed: int, path: Path, settings: Mapping[str, Any], port: int = 0) -> None:
        self._lock = threading.RLock()
        self.world = World(seed, path, settings)
        last = max((o.begins for o in self.world.all_operations()), default=VIRTUAL_EPOCH)
        self.time = TimeAuthority(last)
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self)

        try:
            self._server = _Server(("127.0.0.1", port), Handler)
        except OSError as error:
            self.world.close()
            raise InputError(
                f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; choose another --port"
            ) from error
        self.port = int(self._server.server_address[1])

    def serve_forever(self) -> None:
        """Serve until `close` is called from another thread or a signal handler."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop serving and close the record."""
        threading.Thread(target=self._server.shutdown).start()
        self._server.server_close()
        self.world.close()

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        first = _read(handler)
        if first is None:
            return
        if first.get("op") == "join":
            self._serve_actor(handler, first)
        else:
            self._serve_record(handler, first)

    def _serve_record(self, handler: socketserver.StreamRequestHandler, message: dict[str, Any] | None) -> None:
        while message is not None:
            try:
                with self._lock:
                    answer = self._answer(message)
            except (LedgerError, KeyError, TypeError, ValueError) as error:
                answer = {"error": str(error)}
            _write(handler, answer)
            message = _read(handler)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["op"]:
            case "record":
                return {"seed": self.world.seed, "settings": self.world.settings, "time": self.time.actors}
            case "begin":
                command: Any = SimpleNamespace(**message["command"])  # a command as `World.begin` reads it
                return {"operation": asdict(self.world.begin(command, message["begins"], message["duration"]))}
            case "abort":
                self.world.abort(message["command"], message["moment"])
                return {}
            case "state":
                operations = self.world.all_operations()
                aborted = {o.command: o.aborted for o in operations if o.aborted is not None}
                return {"operations": [asdict(o) for o in operations[message["known"] :]], "aborted": aborted}
            case other:
                raise ValueError(f"the world knows no '{other}'")

    def _serve_actor(self, handler: socketserver.StreamRequestHandler, first: dict[str, Any]) -> None:
        name = str(first["actor"])
        with self._lock:
            self.time.now = max(self.time.now, float(first.get("at_least", self.time.now)))
            joined = self.time.join(
                name,
                lambda moment: _write(handler, {"granted": moment}),
                lambda error: _write(handler, {"error": error}),
            )
            _write(handler, {"now": self.time.now} if joined else {"error": "an actor of that name is there already"})
        if not joined:
            return
        left = False
        while not left and (message := _read(handler)) is not None:
            with self._lock:
                match message["op"]:
                    case "wait":
                        waits = message["waits"]
                        self.time.wait(
                            name,
                            None if waits is None else (float(waits[0]), (int(waits[1][0]), int(waits[1][1]))),
                            for_person=bool(message.get("for_person")),
                        )
                    case "work":
                        self.time.work(name)
                    case "confirm":
                        _write(handler, {"confirmed": self.time.now})
                    case "leave":
                        left = True
                        self.time.leave(name)
        if not left:
            with self._lock:
                self.time.lost(name)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def _read(handler: socketserver.StreamRequestHandler) -> dict[str, Any] | None:
    try:
        line = handler.rfile.readline()
        message = json.loads(line) if line.endswith(b"\n") else None
    except (OSError, ValueError):
        return None
    return message if isinstance(message, dict) and "op" in message else None


def _write(handler: socketserver.StreamRequestHandler, message: dict[str, Any]) -> None:
    try:
        handler.wfile.write(json.dumps(message, allow_nan=False).encode() + b"\n")
        handler.wfile.flush()
    except OSError:
        return  # whoever asked is gone; its connection's own thread notes that
