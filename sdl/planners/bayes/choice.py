"""Which model an outcome gets: candidates are compared by how well they predict each result from all others.

The evidence of a candidate is the sum, over the results, of the log density of each given all others, in the outcome's own
unit (Rasmussen and Williams, Gaussian Processes for Machine Learning, MIT Press 2006, section 5.4.2; the hyperparameters are
those of the full fit). The comparison is made on a schedule, and the model in use stays unless another one is better by a
margin. Both follow from the history alone: the last comparison is found in the diagnostics of earlier rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sdl.planners.bayes.models import KernelName, OutcomeModel, fit
from sdl.planners.bayes.outliers import doubting
from sdl.planners.bayes.sparse import FROM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.planners.base import History, Json
    from sdl.planners.bayes.data import OutcomeData
    from sdl.planners.bayes.scales import Bend

FEWEST = 5
"""Results below which nothing is compared. Chosen."""
_EVERY = 10
"""Up to this many results models are compared in every round. Chosen."""
_GROWTH = 1.1
"""Beyond, they are compared when there are this many times the results of the last comparison. Chosen."""
MARGIN = 5.0
"""Advantage in log evidence that another model needs: "very strong" (Kass and Raftery, J. Am. Stat. Assoc. 90, 773 (1995),
section 3.2). The kernel with kinks is in use without evidence. Weighing the kinds by their evidence instead was no better
(docs/bayes.md)."""

_MOST = MARGIN
"""By how much one result may speak for or against another model, as a log density: no single one decides. Chosen. Without a
limit a single result next to zero would prove a logarithmic scale, on which its density is as large as it is small."""


@dataclass(frozen=True)
class Kind:
    """A kind of model: its kernel and the scale of its outcome."""

    kernel: KernelName
    bend: Bend

    @property
    def name(self) -> str:
        """As it stands in the diagnostics."""
        return f"{self.kernel}, {self.bend}"


KINDS = tuple(Kind(kernel, bend) for bend in ("plain", "power", "log") for kernel in ("matern52", "rbf"))
"""Candidates, the one without evidence first."""
SPARSE = tuple(Kind("sparse", bend) for bend in ("plain", "power", "log"))
"""Further candidates where there are many parameters (`sparse`)."""


def kinds_for(groups: Sequence[str], results: int) -> tuple[Kind, ...]:
    """Return the candidates for features whose length scales have these names, and so many results.

    Which few of many parameters count is not asked of fewer results than there are parameters: some always seem to explain them.
    """
    many = len(set(groups))
    return (*KINDS, *SPARSE) if FROM <= many <= results else KINDS


def _neighbours(held: Kind, kinds: Sequence[Kind]) -> list[Kind]:
    """Return the kinds that differ from one in one respect: the best of all is reached in two comparisons, at half the cost."""
    return [k for k in kinds if (k.kernel == held.kernel) != (k.bend == held.bend)]


@dataclass(frozen=True)
class Last:
    """The last comparison of an outcome's models: the kind chosen, and how many results it rested on."""

    kind: Kind
    results: int


def last_choice(history: History, outcome: str) -> Last | None:
    """Return the last comparison that the history tells of, or None."""
    for record in reversed(history.rounds):
        told = (record.diagnostics.get("models") or {}).get(outcome)
        choice = told.get("choice") if isinstance(told, dict) else None
        if isinstance(choice, dict):
            kind = next((k for k in (*KINDS, *SPARSE) if k.name == choice.get("kind")), None)
            results = choice.get("compared_at")
            if kind is not None and isinstance(results, int):
                return Last(kind, results)
    return None


def choose(data: OutcomeData, groups: Sequence[str], last: Last | None) -> tuple[OutcomeModel, Json]:
    """Fit the model of an outcome, and say how it was chosen.

    Args:
        data: the observations on their plain scale.
        groups: per feature, the name of its length scale.
        last: the last comparison, or None.
    """
    n = len(data.numbers)
    kinds = kinds_for(groups, n)
    if last is not None and last.kind not in kinds:
        last = None  # parameters have been frozen or results retracted since
    if n < FEWEST:
        kind = KINDS[0]
        return fit(data, groups, kind.kernel), {"kind": kind.name, "why": f"fewer than {FEWEST} results"}
    if last is not None and n > _EVERY and n < _GROWTH * last.results:
        same = data.bent(last.kind.bend)
        if same is not None:
            _, model = doubting(same, groups, last.kind.kernel)
            why = f"as compared with {last.results} results; again at {int(np.ceil(_GROWTH * last.results))}"
            return model, {
                "kind": last.kind.name,
                "why": why,
                "compared_at": last.results,
            }
    held = KINDS[0] if last is None else last.kind
    bent = data.bent(held.bend)
    if bent is None:
        held, bent = KINDS[0], data
    # Which results are doubted is asked of the model in use; else each candidate would explain others away.
    doubted, model = doubting(bent, groups, held.kernel)
    models = {held: model}
    for kind in kinds if last is None else _neighbours(held, kinds):
        other = doubted.bent(kind.bend)
        if kind != held and other is not None:
            models[kind] = fit(other, groups, kind.kernel)
    base = model.log_density()
    evidence = {
        kind: float(base.sum() + np.clip(other.log_density() - base, -_MOST, _MOST).sum())
        for kind, other in models.items()
    }
    best = max(models, key=lambda kind: evidence[kind])  # max keeps the first among equals, which is the one in use
    chosen = best if evidence[best] > evidence[held] + MARGIN else held
    why = "best by what is left out" if chosen == best else f"'{best.name}' is better by less than {MARGIN:g}"
    return models[chosen], {
        "kind": chosen.name,
        "why": why,
        "compared_at": n,
        "log_evidence": {kind.name: round(value, 6) for kind, value in evidence.items() if np.isfinite(value)},
    }
