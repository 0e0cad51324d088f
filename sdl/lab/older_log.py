"""A command log of a lab server that knows less than the server has told: it was exchanged for an older one, from a backup.

What began since that backup is unknown to it, and a client that sent it again would have it begin twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdl.lab.wire import Json


def older_log(url: str) -> str:
    """Return the words for a server whose log was exchanged for an older one."""
    return (
        f"the command log of the lab server at {url} is older than what that server acknowledged (restored from a backup?); "
        "nothing is sent, and what is open stays open: look at the instruments, then start the server with the log that is whole"
    )


def knows_less(state: str | None, told: str) -> bool:
    """Tell whether a log that has a command in a state (None: not at all) is older than one that told another state of it."""
    order = ("accepted", "started", "finished")
    return state is None or order.index(state) < order.index(told)


def states_of(records: Iterable[Json]) -> dict[str, str]:
    """Return the state of every command of a log as a server tells it, by id."""
    return {r["command"]["id"]: r["state"] for r in records}
