"""`sdl world serve`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign.document import parse_value
from sdl.errors import InputError
from sdl.world.process import WorldServer

if TYPE_CHECKING:
    from sdl.cli.outcome import Output


def serve(record: Path, seed: int, port: int, settings: tuple[str, ...], output: Output) -> int:
    """Serve a world until SIGINT or SIGTERM."""
    given = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set {text}: write key=value, such as failure_rate=0.02")
        given[key.strip()] = parse_value(value.strip())
    server = WorldServer(seed, record, given, port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.close())
    output.say(
        f"world at 127.0.0.1:{server.port}, record {record}, {len(server.world.all_operations())} effects so far"
    )
    server.serve_forever()
    output.say("the world stands still")
    return 0
