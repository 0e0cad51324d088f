"""How wide the intervals are that are told before a measurement, so that they keep what they say.

A model is least to be trusted where it is asked: at the points that look best. So the reach of an interval, in standard
deviations, follows what became of the intervals told before: after each that missed it grows, after each that held it shrinks
a little (quantile tracking: Angelopoulos, Candès and Tibshirani, "Conformal PID Control for Time Series Prediction",
NeurIPS 2023, eq. 3). In the long run the stated share holds, whatever the model is worth.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.stats import norm

if TYPE_CHECKING:
    from sdl.planners.base import History

SHARE = 0.9
"""Share of measurements that an interval is to hold."""
_STEP = 0.5
"""Standard deviations: a miss adds this times the share, a hit takes this times the rest away. Chosen."""
_LEAST, _MOST = 0.5, 10.0
"""Standard deviations within which the reach stays. Chosen."""


def reach(history: History, outcome: str, share: float = SHARE) -> float:
    """Return how many standard deviations an interval of an outcome reaches to either side.

    Args:
        history: with the intervals told in earlier rounds, and the results since.
        outcome: which.
        share: what the interval is to hold.
    """
    measured = {
        t.candidate: t.outcomes[outcome].value
        for t in reversed(history.trials)
        if t.state == "done" and outcome in t.outcomes and math.isfinite(t.outcomes[outcome].value)
    }
    found = float(norm.ppf(0.5 + share / 2))
    for record in history.rounds:
        for candidate, told in zip(record.candidates, record.diagnostics.get("candidates") or (), strict=False):
            interval = ((told.get("predicted") or {}).get(outcome) or {}).get("interval")
            if interval is None or candidate not in measured or None in interval:
                continue
            missed = not interval[0] <= measured[candidate] <= interval[1]
            found = min(max(found + _STEP * (share if missed else share - 1.0), _LEAST), _MOST)
    return found
