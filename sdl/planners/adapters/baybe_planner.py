"""Planner `baybe`: BayBE's campaign with its default recommender."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdl.planners.adapters.borrowing import borrowed, described, library
from sdl.planners.adapters.shared import Draft, Seen, designed, finished, nearest_row
from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.random_search import ANY_NUMBER
from sdl.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.space import Space

    Array = NDArray[np.float64]

SearchSpace = Any
Parameter = Any
Goal = Any
Table = Any
"""Classes of BayBE and pandas, which are imported where they are used."""

MOST_COMBINATIONS = 100_000
"""Combinations of levels and categories above which a space is refused: BayBE keeps them all in memory (chosen)."""


class BaybeSettings(PlannerSettings):
    """`baybe` has no settings."""


class BaybePlanner:
    """BayBE: a pool or levels as its discrete part, continuous parameters with linear constraints, or both without any.

    One default is changed: what was measured is not recommended again on a pool or in a space of levels.
    """

    name: ClassVar[str] = "baybe"
    settings_model: ClassVar[type[PlannerSettings]] = BaybeSettings
    capabilities: ClassVar[Capabilities] = Capabilities(objectives=ANY_NUMBER, outcome_constraints=False)

    def cannot(
        self, space: Space, objectives: Mapping[str, Objective], constraints: Mapping[str, OutcomeConstraint]
    ) -> list[str]:
        """Say what of a campaign BayBE cannot do beyond what the capabilities say."""
        del objectives, constraints
        if space.pool is not None:
            return []
        said = [
            f"planner 'baybe' keeps constraints between linear continuous parameters only ({constraint})"
            for constraint in space.linear
            if not all(_plain(space, name) for name in constraint.terms)
        ]
        count = math.prod(
            len(p.values) if isinstance(p, Categorical) else len(p.levels)
            for p in space.parameters.values()
            if not isinstance(p, Continuous)
        )
        if count > MOST_COMBINATIONS:
            said.append(
                f"planner 'baybe' keeps all combinations of levels and categories in memory: {count} of them, "
                f"at most {MOST_COMBINATIONS} are allowed; use fewer levels, or another planner"
            )
        return said

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates from a campaign that holds the history.

        Until there is one result candidates are random, as they are in BayBE. Failed experiments are left out of the
        candidates, where these are listed, and otherwise not used; stated uncertainties are not used either.

        Raises:
            PlannerError: BayBE is not installed, or the problem is not one for it.
        """
        draft = Draft.of(problem, history, BaybeSettings, self.name)
        measured = draft.measured(list(problem.objectives))
        left = draft.left()
        wanted = n if left is None else min(n, len(left))
        with borrowed(seed):
            library(self.name, "baybe")
            said = {"planner": self.name, "library": described("baybe")}
            if not measured or not wanted:
                return finished(draft, designed(draft, "random", 0, wanted, seed), n, said, "initial")
            rows = _recommended(draft, measured, wanted)
        return finished(draft, rows, n, said, "model")


def _plain(space: Space, name: str) -> bool:
    parameter = space.parameters[name]
    return isinstance(parameter, Continuous) and parameter.scale == "linear"


def _recommended(draft: Draft, measured: Sequence[Seen], wanted: int) -> list[Array]:
    import pandas as pd
    from baybe import Campaign

    campaign = Campaign(
        _searchspace(draft),
        _objective(draft.problem.objectives),
        **({"allow_recommending_already_measured": False} if draft.left() is not None else {}),
    )
    table = _table(draft, [s.code for s in measured])
    for outcome, column in _columns(draft.problem.objectives).items():
        table[column] = [s.value(outcome) for s in measured]
    campaign.add_measurements(table, numerical_measurements_must_be_within_tolerance=False)
    pending = [s.code for s in draft.seen if s.trial.state == "pending"]
    if draft.left() is not None:
        # what failed, or gave no result, or was proposed before: neither measured nor pending, but taken
        campaign.toggle_discrete_candidates(_table(draft, list(draft.taken)), exclude=True)
    found = campaign.recommend(wanted, pending_experiments=_table(draft, pending) if pending else None)
    if not isinstance(found, pd.DataFrame):
        raise TypeError(f"BayBE recommended {type(found).__name__} instead of a table")
    return [_code(draft, row) for row in found.to_dict("records")]


def _searchspace(draft: Draft) -> SearchSpace:
    from baybe import searchspace
    from baybe.constraints import ContinuousLinearConstraint

    parameters = [_parameter(draft, i) for i in draft.varying]
    pool = draft.space.pool
    if pool is not None:
        return searchspace.SearchSpace.from_dataframe(_table(draft, list(pool.codes)), parameters)
    constraints = []
    for constraint in draft.space.linear:
        names, weights = list(constraint.terms), [float(w) for w in constraint.terms.values()]
        limits = {"=": constraint.equals, ">=": constraint.at_least, "<=": constraint.at_most}
        constraints += [
            ContinuousLinearConstraint(parameters=names, operator=sign, coefficients=weights, rhs=float(limit))
            for sign, limit in limits.items()
            if limit is not None
        ]
    return searchspace.SearchSpace.from_product(parameters, constraints or None)


def _parameter(draft: Draft, index: int) -> Parameter:
    import pandas as pd
    from baybe.parameters import (
        CategoricalParameter,
        CustomDiscreteParameter,
        NumericalContinuousParameter,
        NumericalDiscreteParameter,
    )

    name = draft.space.names[index]
    parameter = draft.space.parameters[name]
    pool = draft.space.pool
    column = None if pool is None else np.unique(pool.codes[:, index])
    if isinstance(parameter, Categorical):
        values = parameter.values if column is None else tuple(parameter.values[int(c)] for c in column)
        if parameter.descriptors is not None:
            table = pd.DataFrame({v: parameter.descriptors[v] for v in values}).T.astype(float)
            table = table.loc[:, table.nunique() > 1]
            if table.shape[1] and not table.duplicated().any():
                return CustomDiscreteParameter(name=name, data=table)
        return CategoricalParameter(name=name, values=values)
    if column is not None:
        return NumericalDiscreteParameter(name=name, values=_along(parameter, column).tolist())
    if isinstance(parameter, Continuous):
        low, high = _along(parameter, np.array([parameter.lower, parameter.upper]))
        return NumericalContinuousParameter(name=name, bounds=(float(low), float(high)))
    return NumericalDiscreteParameter(name=name, values=parameter.levels.tolist())


def _along(parameter: Parameter, values: Array) -> Array:
    """Return numbers along the parameter's scale: BayBE has no logarithmic parameters, so it is given logarithms."""
    return np.log(values) if isinstance(parameter, Continuous) and parameter.scale == "log" else values


def _table(draft: Draft, codes: Sequence[Array]) -> Table:
    """Return codes as the table that BayBE reads, one column a parameter that varies."""
    import pandas as pd

    stacked = np.array(codes).reshape(len(codes), len(draft.space.names))
    columns: dict[str, Any] = {}
    for i in draft.varying:
        name = draft.space.names[i]
        parameter = draft.space.parameters[name]
        if isinstance(parameter, Categorical):
            columns[name] = [parameter.values[int(c)] for c in stacked[:, i]]
        else:
            columns[name] = _along(parameter, np.clip(stacked[:, i], draft.low[i], draft.high[i]))
    return pd.DataFrame(columns)


def _code(draft: Draft, row: Mapping[Any, Any]) -> Array:
    code = draft.low.copy()
    for i in draft.varying:
        name = draft.space.names[i]
        parameter = draft.space.parameters[name]
        if isinstance(parameter, Categorical):
            code[i] = parameter.values.index(row[name])
        elif isinstance(parameter, Continuous) and parameter.scale == "log":
            code[i] = math.exp(row[name])
        else:
            code[i] = float(row[name])
    if draft.space.pool is None:
        return code
    exact = nearest_row(draft.space, code, draft.space.pool.codes)  # a logarithm may have cost the last bits
    return code if exact is None else exact


def _columns(objectives: Mapping[str, Objective]) -> dict[str, str]:
    """Return outcome → name of its column; it must not be that of a parameter."""
    return {outcome: f"outcome {outcome}" for outcome in objectives}


def _objective(objectives: Mapping[str, Objective]) -> Goal:
    from baybe.objectives import ParetoObjective, SingleTargetObjective
    from baybe.targets import NumericalTarget

    targets = []
    for outcome, column in _columns(objectives).items():
        goal = objectives[outcome]
        if goal.value is not None:
            targets.append(NumericalTarget.match_absolute(column, match_value=float(goal.value)))
        else:
            targets.append(NumericalTarget(column, minimize=goal.goal == "minimize"))
    return SingleTargetObjective(targets[0]) if len(targets) == 1 else ParetoObjective(targets)
