"""Planner `optuna`: Optuna's TPE or its Gaussian-process sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from sdl.planners.adapters.borrowing import borrowed, described, library, narrow_seed
from sdl.planners.adapters.shared import Draft, Seen, finished, settle
from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.random_search import ANY_NUMBER
from sdl.space import Categorical, Continuous, Discrete

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Module = Any
Sampler = Any
Distribution = Any
FrozenTrial = Any
"""Optuna and its classes, which are imported where they are used."""


class OptunaSettings(PlannerSettings):
    """Settings of planner `optuna`.

    Attributes:
        sampler: `tpe` (tree-structured Parzen estimators) or `gp` (Gaussian process, log expected improvement); each
            with Optuna's defaults, ten random trials first.
    """

    sampler: Literal["tpe", "gp"] = "tpe"


class OptunaPlanner:
    """Optuna knows no pools and no constraints between parameters: on a pool its suggestion is the nearest row left."""

    name: ClassVar[str] = "optuna"
    settings_model: ClassVar[type[PlannerSettings]] = OptunaSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        constraints=False, objectives=ANY_NUMBER, goals=("maximize", "minimize")
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates from a study that holds the history.

        Trials with results are complete, failed ones and those without a result are failed, those under way are
        running. Stated uncertainties and descriptors are not used: Optuna has no place for them.

        Raises:
            PlannerError: Optuna is not installed, or the problem is not one for it.
        """
        draft = Draft.of(problem, history, OptunaSettings, self.name)
        with borrowed(seed):
            optuna = library(self.name, "optuna")
            sampler = self._sampler(optuna, problem.settings, seed)
            study = optuna.create_study(
                sampler=sampler, directions=[objective.goal for objective in problem.objectives.values()]
            )
            space = {draft.space.names[i]: _distribution(optuna, draft, i) for i in draft.varying}
            for seen in draft.seen:
                study.add_trial(_trial(optuna, draft, seen, space))
            codes, taken = [], draft.taken
            for _ in range(n):
                asked = study.ask(space)
                code = _code(draft, asked.params)
                codes.append(code)
                settled = settle(draft.space, code, taken)
                if settled is None:
                    continue
                taken = np.concatenate([taken, settled[None, :]])
                study.tell(asked, state=optuna.trial.TrialState.FAIL)
                study.add_trial(
                    optuna.trial.create_trial(
                        state=optuna.trial.TrialState.RUNNING,
                        params=_params(draft, settled),
                        distributions=space,
                    )
                )
            said = {"planner": self.name, "library": described("optuna"), "sampler": type(sampler).__name__}
        return finished(draft, codes, n, said, "model")

    def _sampler(self, optuna: Module, settings: PlannerSettings, seed: int) -> Sampler:
        chosen = settings.sampler if isinstance(settings, OptunaSettings) else "tpe"
        if chosen == "gp":
            library(self.name, "torch")
            return optuna.samplers.GPSampler(seed=narrow_seed(seed))
        return optuna.samplers.TPESampler(seed=narrow_seed(seed))


def _distribution(optuna: Module, draft: Draft, index: int) -> Distribution:
    parameter = list(draft.space.parameters.values())[index]
    kinds = optuna.distributions
    if isinstance(parameter, Categorical):
        return kinds.CategoricalDistribution(parameter.values)
    low, high = float(draft.low[index]), float(draft.high[index])
    if isinstance(parameter, Continuous):
        return kinds.FloatDistribution(low, high, log=parameter.scale == "log")
    if isinstance(parameter, Discrete):
        return kinds.IntDistribution(0, len(parameter.values) - 1)  # the number's place among the levels
    return kinds.IntDistribution(int(low), int(high))


def _params(draft: Draft, code: Array) -> dict[str, Any]:
    """Return a code as Optuna's parameters, within the bounds that Optuna was told of."""
    inside = draft.clipped(code)
    found: dict[str, Any] = {}
    for i in draft.varying:
        name = draft.space.names[i]
        parameter = draft.space.parameters[name]
        if isinstance(parameter, Categorical):
            found[name] = parameter.values[int(inside[i])]
        elif isinstance(parameter, Continuous):
            found[name] = float(inside[i])
        elif isinstance(parameter, Discrete):
            found[name] = int(np.argmin(np.abs(parameter.levels - inside[i])))
        else:
            found[name] = round(float(inside[i]))
    return found


def _code(draft: Draft, params: dict[str, Any]) -> Array:
    code = draft.low.copy()  # what does not vary on the pool
    for i in draft.varying:
        name = draft.space.names[i]
        parameter = draft.space.parameters[name]
        if isinstance(parameter, Categorical):
            code[i] = parameter.values.index(params[name])
        elif isinstance(parameter, Discrete):
            code[i] = parameter.levels[params[name]]
        else:
            code[i] = params[name]
    return code


def _trial(optuna: Module, draft: Draft, seen: Seen, space: dict[str, Any]) -> FrozenTrial:
    state = optuna.trial.TrialState
    known = {"params": _params(draft, seen.code), "distributions": space}
    if seen.trial.state == "pending":
        return optuna.trial.create_trial(state=state.RUNNING, **known)
    values = [seen.value(outcome) for outcome in draft.problem.objectives]
    bounds = _bounds(draft, seen)
    if seen.trial.state == "failed" or bounds is None or any(v is None for v in values):
        return optuna.trial.create_trial(state=state.FAIL, **known)
    return optuna.trial.create_trial(values=values, constraints=bounds or None, **known)


def _bounds(draft: Draft, seen: Seen) -> dict[str, float] | None:
    """Return numbers that are at most 0 where an outcome keeps its bounds; None where an outcome is missing."""
    found = {}
    for outcome, bounds in draft.problem.outcome_constraints.items():
        value = seen.value(outcome)
        if value is None:
            return None
        if bounds.at_least is not None:
            found[f"{outcome} at least"] = float(bounds.at_least) - value
        if bounds.at_most is not None:
            found[f"{outcome} at most"] = value - float(bounds.at_most)
    return found
