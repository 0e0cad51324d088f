"""How wide the intervals are that are told before a measurement, so that they keep what they say.

A model is least to be trusted where it is asked: at the points that look best. So the reach of an interval, in standard
deviations, follows what became of the intervals told before: after each that missed it grows, after each that held it shrinks
a little (quantile tracking: Angelopoulos, Candès and Tibshirani, "Conformal PID Control for Time Series Prediction",
NeurIPS 2023, eq. 3). In the long run the stated share holds, whatever the model is worth.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from scipy.stats import norm

if TYPE_CHECKING:
    from sdl.planners.base import History, Trial
    from sdl.space import Candidate

SHARE = 0.9
"""Share of measurements that an interval is to hold."""
_STEP = 0.5
"""Standard deviations: a miss adds this times the share, a hit takes this times the rest away. Chosen."""
_START = 0.2
"""Share of the allowed misses that an honest model would have at the first reach (90 %: 2.33 standard deviations). Chosen."""
_LEAST, _MOST = 0.5, 10.0
"""Standard deviations within which the reach stays. Chosen."""


def reach(history: History, outcome: str, share: float = SHARE) -> float:
    """Return how many standard deviations an interval of an outcome reaches to either side.

    Args:
        history: with the intervals told in earlier rounds, and the results since.
        outcome: which.
        share: what the interval is to hold.
    """
    # A point may be proposed again: the first proposal belongs to its first trial. Numbers below 1 are known data.
    trials: dict[Candidate, list[Trial]] = {}
    for one in history.trials:
        if one.number > 0:
            trials.setdefault(one.candidate, []).append(one)
    # Where it was proposed oftener than tried, a proposal was rejected or came to nothing: which one, the history does not say.
    proposed = Counter(candidate for record in history.rounds for candidate in record.candidates)
    measured = {candidate: iter(of_it) for candidate, of_it in trials.items() if len(of_it) >= proposed[candidate]}
    # What an honest model misses once in ten is missed once in four where the model is asked: at the points that look best
    # (synthetic pools, docs/bayes.md). So the reach begins where such a model would miss a fifth of what is allowed.
    found = float(norm.ppf(1.0 - _START * (1.0 - share) / 2))
    for record in history.rounds:
        for candidate, told in zip(record.candidates, record.diagnostics.get("candidates") or (), strict=False):
            interval = ((told.get("predicted") or {}).get(outcome) or {}).get("interval")
            trial = next(measured.get(candidate, iter(())), None)
            if interval is None or trial is None or None in interval or outcome not in trial.outcomes:
                continue
            value = trial.outcomes[outcome].value
            if trial.state != "done" or not math.isfinite(value):
                continue
            missed = not interval[0] <= value <= interval[1]
            found = min(max(found + _STEP * (share if missed else share - 1.0), _LEAST), _MOST)
    return found
