"""Which hints an outcome's model uses: those without which its results are predicted worse.

The evidence of a hint is the gain in the sum of the log densities of each result given all others, in the outcome's unit, of
the model with it over the same kind of model without it (see `choice`). Physics, which the campaign claims, is used until
the evidence speaks against it; an earlier campaign is not used before the evidence speaks for it. At each comparison at most
one hint changes sides, the one with the strongest case. A hint that would need a weight below 0 says the opposite of what is
found and is not used. All follows from the history: which hints are used stands in the diagnostics of earlier rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sdl.planners.bayes.choice import choose, last_choice
from sdl.planners.bayes.hints import hints_for
from sdl.planners.bayes.models import fit
from sdl.planners.bayes.prior_means import weights
from sdl.planners.bayes.subset import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdl.planners.base import History, Json, Problem
    from sdl.planners.bayes.data import FeatureMap, OutcomeData
    from sdl.planners.bayes.hints import Hint
    from sdl.planners.bayes.models import OutcomeModel
    from sdl.planners.bayes.scales import Bend

FEWEST = 3
"""Results below which leaving one out says nothing: physics is believed, earlier campaigns are not. Chosen."""
ENOUGH = 1.0
"""Evidence from which on a hint is used that was not: "positive" (Kass and Raftery, J. Am. Stat. Assoc. 90, 773 (1995), §3.2)."""
_EVERY = 10
_GROWTH = 1.1
"""As of the comparison of kinds of models, in `choice`."""


_Key = tuple[str, str, str]
"""What makes a hint the same as one before: name, role, and SHA-256 of what it rests on. A corrected model is another one."""


@dataclass(frozen=True)
class _Last:
    """The last comparison: which hints were used then (see `_key`), and how many results it rested on."""

    used: Mapping[_Key, bool]
    results: int


def modelled(problem: Problem, history: History, features: FeatureMap, data: OutcomeData) -> tuple[OutcomeModel, Json]:
    """Fit the model of an outcome, with the hints that help, and say how it was chosen.

    Args:
        problem: what is asked.
        history: with the diagnostics of earlier rounds.
        features: of the space.
        data: the outcome's observations on their plain scale.

    Returns:
        the model, and JSON as `choose` gives it; with hints, `hints` has one entry each; in long runs `subset` says which
        results it was fitted to.

    Raises:
        PlannerError: physics is not finite somewhere in the space.
    """
    data, subset = shortened(problem, history, data)
    model, choice = _modelled(problem, history, features, data)
    return model, choice if subset is None else {**choice, "subset": subset}


def _modelled(problem: Problem, history: History, features: FeatureMap, data: OutcomeData) -> tuple[OutcomeModel, Json]:
    """Do what `modelled` does, with the observations that count."""
    last = last_choice(history, data.name)
    hints = hints_for(problem, features, data.name)
    if not hints:
        return choose(data, features.groups, last)
    before = _last(history, data.name)
    n = len(data.numbers)
    judged: Mapping[_Key, bool] = {} if before is None else before.used
    held = {h.name: judged.get(_key(h), h.kind == "physics") for h in hints}
    model, choice = choose(_with(data, hints, held), features.groups, last)
    told: Json = {h.name: {"kind": h.kind, "role": h.role, "sha256": h.digest} for h in hints}
    if n < FEWEST:
        why = f"fewer than {FEWEST} results"
        return model, _finished(choice, told, hints, held, model, None, why)
    is_same = judged.keys() == {_key(h) for h in hints}  # another set of hints, by an amendment, is compared at once
    if before is not None and is_same and n > _EVERY and n < _GROWTH * before.results:
        why = f"as compared with {before.results} results; again at {math.ceil(_GROWTH * before.results)}"
        return model, _finished(choice, told, hints, held, model, before.results, why)
    cases: list[tuple[float, Hint, OutcomeModel]] = []
    for hint in hints:
        other = _other(model, _with(model.data, hints, {**held, hint.name: not held[hint.name]}), hint)
        if other is None:
            told[hint.name]["why"] = "the results could not be modelled with it"
            continue
        better = float(other.log_density().sum()) - float(model.log_density().sum())
        evidence = -better if held[hint.name] else better
        told[hint.name]["evidence"] = round(evidence, 6) if math.isfinite(evidence) else None
        weight = weights(model if held[hint.name] else other).get(hint.name, (1.0, 0.0))[0]
        if held[hint.name] and (better > 0 or weight <= 0):
            cases.append((max(better, 0.0) + (math.inf if weight <= 0 else 0.0), hint, other))
        elif not held[hint.name] and better > ENOUGH and weight > 0:
            cases.append((better, hint, other))
        elif not held[hint.name] and weight <= 0:
            told[hint.name]["why"] = "the results say the opposite of it"
    if cases:
        _, hint, model = max(cases, key=lambda case: case[0])
        held = {**held, hint.name: not held[hint.name]}
    return model, _finished(choice, told, hints, held, model, n, "")


def _key(hint: Hint) -> _Key:
    return hint.name, hint.role, hint.digest


def _with(data: OutcomeData, hints: Sequence[Hint], used: Mapping[str, bool]) -> OutcomeData:
    return replace(data, hints=tuple(h for h in hints if used[h.name]))


def _other(like: OutcomeModel, data: OutcomeData, hint: Hint) -> OutcomeModel | None:
    """Fit the kind of a model to the same data with a hint more or less; None where that kind has no place for the hint.

    A hint that is not above 0 everywhere keeps the results off a logarithmic scale: without it, that scale is tried too.
    """
    needs_place = hint.role == "mean" and not hint.is_positive
    is_more = hint in data.hints
    bends: list[Bend] = [like.data.scale.bend]
    if is_more and needs_place and bends == ["log"]:
        bends = ["plain"]
    elif not is_more and needs_place and "log" not in bends:
        bends.append("log")
    fresh = [d for d in (data.bent(bend) for bend in bends) if d is not None]
    return max(
        (fit(d, like.groups, like.kernel) for d in fresh), key=lambda m: float(m.log_density().sum()), default=None
    )


def _finished(
    choice: Json,
    told: Json,
    hints: Sequence[Hint],
    used: Mapping[str, bool],
    model: OutcomeModel,
    compared_at: int | None,
    why: str,
) -> Json:
    found = weights(model)
    for hint in hints:
        entry = told[hint.name]
        entry["used"] = used[hint.name]
        if used[hint.name] and hint.name in found:
            entry["weight"], entry["weight_sd"] = (round(v, 6) for v in found[hint.name])
        entry.setdefault("why", why or _reason(entry))
        entry["compared_at"] = compared_at
        if hint.notes:
            entry["notes"] = list(hint.notes)
    return {**choice, "hints": told}


def _reason(entry: Json) -> str:
    evidence = entry.get("evidence") or 0.0
    if entry["used"]:
        return "what is left out is predicted better with it"
    if evidence <= -ENOUGH:
        return "it misleads: what is left out is predicted worse with it"
    if evidence <= 0:
        return "what is left out is predicted no better with it"
    return f"what is left out is predicted hardly better with it: by less than {ENOUGH:g}"


def _last(history: History, outcome: str) -> _Last | None:
    """Return the last comparison that the history tells of, or None."""
    for record in reversed(history.rounds):
        told = (record.diagnostics.get("models") or {}).get(outcome)
        choice = told.get("choice") if isinstance(told, dict) else None
        hints = choice.get("hints") if isinstance(choice, dict) else None
        if not isinstance(hints, dict):
            continue
        results = [h.get("compared_at") for h in hints.values()]
        if all(isinstance(r, int) for r in results):
            keys = {name: (name, str(h.get("role")), str(h.get("sha256"))) for name, h in hints.items()}
            return _Last({keys[name]: bool(h.get("used")) for name, h in hints.items()}, max(results))
    return None
