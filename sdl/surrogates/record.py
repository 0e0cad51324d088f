"""Write a version of a surrogate into the ledger, passed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdl.errors import LedgerError
from sdl.ledger import ModelVersionRecorded
from sdl.ledger.queries import table_of

if TYPE_CHECKING:
    from sdl.ledger import Ledger
    from sdl.surrogates.gates import GateResult
    from sdl.surrogates.surrogate import Surrogate


def record_version(
    ledger: Ledger, campaign: str, moment: float, surrogate: Surrogate, results: Sequence[GateResult]
) -> None:
    """Record a version with what it showed at its gates; one that failed is recorded too, so that nothing is silent.

    Raises:
        LedgerError: it is not the version after the last one.
    """
    known = [row["version"] for row in table_of(ledger, "model_versions", campaign) if row["model"] == surrogate.name]
    due = max(known, default=0) + 1
    if surrogate.version != due:
        raise LedgerError(
            f"surrogate '{surrogate.name}' of campaign '{campaign}': version {due} is due, got {surrogate.version}"
        )
    gates = {r.gate.name: r.figures() for r in results}
    ledger.append(campaign, moment, [ModelVersionRecorded(surrogate.name, surrogate.version, surrogate.digest, gates)])
