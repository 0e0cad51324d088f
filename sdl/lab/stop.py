"""A lab that a person has stopped: no command begins until an administrator releases it, whatever is restarted meanwhile."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sdl.errors import LabError, LedgerError

LONGEST = 80
"""Characters that are kept of who stopped a lab: with the moment they fit into the command log's column of 200. Chosen."""


class StoppedError(LabError):
    """The lab was stopped by a person; it is no use to ask again before it is released."""


@dataclass(frozen=True)
class Stop:
    """That a lab was stopped.

    Attributes:
        who: such as `token ab12cd` or `somebody at 127.0.0.1`.
        moment: UTC text, by the server's machine.
    """

    who: str
    moment: str

    def __str__(self) -> str:
        return (
            f"stopped by {self.who} at {self.moment}; no command begins before an administrator has looked at the lab and "
            "released it: sdl lab release URL"
        )

    def to_text(self) -> str:
        """Return it as JSON, of at most 200 characters."""
        return json.dumps(asdict(Stop(self.who[:LONGEST], self.moment)), ensure_ascii=False)


def stop_of(text: str) -> Stop:
    """Return what `Stop.to_text` gave.

    Raises:
        LedgerError: it is something else.
    """
    try:
        found = json.loads(text)
        return Stop(str(found["who"]), str(found["moment"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"the command log says that the lab was stopped, but not how ({text!r}): {error!r}; restore it from a backup"
        ) from error
