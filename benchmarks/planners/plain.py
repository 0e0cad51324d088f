"""Plain BoTorch as a planner: SingleTaskGP with its defaults, qLogEI; what a user writes from the tutorials.

With outcome constraints qLogNEI, with two objectives qLogNEHVI. Pools are enumerated; elsewhere 4 restarts from 256 raw
samples; categories are one-hot, and every combination of them is optimised over. It exists for the benchmark alone.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from sdl.planners import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.adapters.borrowing import borrowed
from sdl.planners.adapters.shared import Draft, finished, settle
from sdl.planners.points import rows_left
from sdl.space import Categorical, Continuous


class PlainSettings(PlannerSettings):
    """No settings."""


class PlainBotorch:
    """SingleTaskGP, Standardize, qLogEI."""

    name: ClassVar[str] = "botorch"
    settings_model: ClassVar[type[PlannerSettings]] = PlainSettings
    capabilities: ClassVar[Capabilities] = Capabilities(
        constraints=False, objectives=2, goals=("maximize", "minimize"), pending=False
    )

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose one candidate; every trial has results."""
        draft = Draft.of(problem, history, PlainSettings, self.name)
        with borrowed(seed):
            code, predicted, noise = _proposed(draft)
        proposal = finished(draft, [code], n, {"planner": self.name}, "model")
        if settle(draft.space, code, draft.taken) is not None:
            proposal.diagnostics["candidates"][0]["predicted"] = predicted
        proposal.diagnostics["models"] = {outcome: {"noise_sd": sd} for outcome, sd in noise.items()}
        return proposal


def _features(draft: Draft, codes: Any) -> Any:
    """Return features, shape (n, f), numbers on [0, 1] over what the pool covers."""
    space = draft.space
    x = space.features(codes)
    if space.pool is not None:
        every = space.features(space.pool.codes)
        width = np.ptp(every, axis=0)
        x = (x - every.min(axis=0)) / np.where(width > 0, width, 1.0)
    return x


def _proposed(draft: Draft) -> tuple[Any, dict[str, Any], dict[str, float]]:
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf, optimize_acqf_mixed
    from gpytorch.mlls import ExactMarginalLogLikelihood

    problem = draft.problem
    outcomes = [*problem.objectives, *problem.outcome_constraints]
    signs = [-1.0 if goal.goal == "minimize" else 1.0 for goal in problem.objectives.values()]
    signs += [1.0] * len(problem.outcome_constraints)
    seen = draft.measured(outcomes)
    x = torch.tensor(_features(draft, np.stack([s.code for s in seen])), dtype=torch.double)
    y = torch.tensor([[g * s.value(o) for g, o in zip(signs, outcomes, strict=True)] for s in seen], dtype=torch.double)
    models = []
    for k in range(len(outcomes)):
        model = SingleTaskGP(x, y[:, k : k + 1], outcome_transform=Standardize(m=1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        models.append(model)
    joint = models[0] if len(models) == 1 else ModelListGP(*models)
    acquisition = _acquisition(draft, joint, x, y)
    if draft.space.pool is not None:
        rows = draft.space.pool.codes[rows_left(draft.space.pool.codes, draft.taken)]
        every = torch.tensor(_features(draft, rows), dtype=torch.double)
        with torch.no_grad():
            values = torch.cat([acquisition(part[:, None, :]) for part in every.split(1024)])
        code, best = rows[int(values.argmax())], every[int(values.argmax())]
    else:
        bounds = torch.tensor([[0.0] * x.shape[1], [1.0] * x.shape[1]], dtype=torch.double)
        common = {"q": 1, "num_restarts": 4, "raw_samples": 256}
        fixed = _choices(draft)
        found, _ = (
            optimize_acqf_mixed(acquisition, bounds, fixed_features_list=fixed, **common)
            if fixed
            else optimize_acqf(acquisition, bounds, **common)
        )
        best = found[0].detach()
        code = _code(draft, best.numpy())
    predicted, noise = {}, {}
    for outcome, sign, model in zip(outcomes, signs, models, strict=True):
        with torch.no_grad():
            posterior = model.posterior(best[None, :])
            sd = float(model.likelihood.noise.sqrt() * model.outcome_transform.stdvs.reshape(-1)[0])
        predicted[outcome] = {"mean": sign * float(posterior.mean), "sd": float(posterior.variance.sqrt())}
        noise[outcome] = sd
    return code, predicted, noise


def _acquisition(draft: Draft, model: Any, x: Any, y: Any) -> Any:
    from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.utils.multi_objective.hypervolume import infer_reference_point
    from botorch.utils.multi_objective.pareto import is_non_dominated

    problem = draft.problem
    if len(problem.objectives) == 2:
        reference = infer_reference_point(y[is_non_dominated(y)])
        return qLogNoisyExpectedHypervolumeImprovement(model, reference, x, prune_baseline=True)
    if not problem.outcome_constraints:
        return qLogExpectedImprovement(model, best_f=y.max())
    bounds = []
    for k, limits in enumerate(problem.outcome_constraints.values(), start=1):
        if limits.at_least is not None:
            bounds.append(lambda z, k=k, b=float(limits.at_least): b - z[..., k])
        if limits.at_most is not None:
            bounds.append(lambda z, k=k, b=float(limits.at_most): z[..., k] - b)
    first = GenericMCObjective(lambda z, X=None: z[..., 0])  # noqa: N803  BoTorch's name
    return qLogNoisyExpectedImprovement(model, x, objective=first, constraints=bounds, prune_baseline=True)


def _columns(draft: Draft) -> list[tuple[Any, range]]:
    """Return every parameter with its columns among the features."""
    found, start = [], 0
    for parameter in draft.space.parameters.values():
        one_hot = isinstance(parameter, Categorical) and parameter.descriptors is None
        if not one_hot and not isinstance(parameter, Continuous):
            raise NotImplementedError(f"plain BoTorch has no {type(parameter).__name__} parameters here")
        size = len(parameter.values) if one_hot else 1
        found.append((parameter, range(start, start + size)))
        start += size
    return found


def _choices(draft: Draft) -> list[dict[int, float]]:
    """Return every combination of categories as fixed features; empty where there are no categories."""
    one_hot = [columns for parameter, columns in _columns(draft) if isinstance(parameter, Categorical)]
    combinations = itertools.product(*(range(len(columns)) for columns in one_hot))
    found = [
        {c: float(i == pick) for columns, pick in zip(one_hot, picks, strict=True) for i, c in enumerate(columns)}
        for picks in combinations
    ]
    return [f for f in found if f]


def _code(draft: Draft, features: Any) -> Any:
    code = []
    for parameter, columns in _columns(draft):
        part = features[list(columns)]
        if isinstance(parameter, Categorical):
            code.append(float(np.argmax(part)))
        else:
            code.append(float(parameter.from_unit(np.clip(part, 0.0, 1.0))[0]))
    return np.array(code)
