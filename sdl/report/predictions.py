"""Leave-one-out predictions, where the planner's library is installed and there is enough to predict from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.errors import SdlError
from sdl.report.data import LeftOut, Predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners import History, Problem

FEWEST = 3
"""Results below which leaving one out says nothing."""


def predictions(problem: Problem, history: History, outcomes: Sequence[str]) -> Predictions:
    """Return each measured outcome as predicted from all other experiments; what cannot be had is said in words."""
    counts = {o: sum(o in t.outcomes for t in history.done) for o in outcomes}
    missing = {
        o: f"needs at least {FEWEST} results, there {'is' if n == 1 else 'are'} {n or 'none'}"
        for o, n in counts.items()
        if n < FEWEST
    }
    if len(missing) == len(counts):
        return Predictions(missing=missing)
    reason = "the planner's models do not cover it"
    found: dict[str, tuple[LeftOut, ...]] = {}
    try:
        from sdl.planners import leave_one_out

        answer = leave_one_out(problem, history)
        found = {
            o: tuple(LeftOut(p["number"], p["measured"], p["predicted"], p["sd"]) for p in answer[o])
            for o in outcomes
            if answer.get(o)
        }
    except ModuleNotFoundError as error:
        reason = f"the models need {error.name}, which is not installed here; run: pip install 'sdl[bayes]'"
    except SdlError as error:
        reason = f"could not be computed: {error}"
    except Exception as error:  # noqa: BLE001  a fit that fails must not keep the rest of the report from being seen
        reason = f"could not be computed: {type(error).__name__}: {error}"
    return Predictions(found, {o: missing.get(o, reason) for o in outcomes if o not in found})
