"""Planner `ax`: Ax's client; on a pool the acquisition of its model, evaluated at the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sdl.planners.adapters.borrowing import borrowed, described, library, narrow_seed
from sdl.planners.adapters.shared import Draft, Seen, designed, finished
from sdl.planners.base import Capabilities, History, PlannerSettings, Problem, Proposal
from sdl.planners.points import rows_left
from sdl.planners.random_search import ANY_NUMBER
from sdl.space import Categorical, Continuous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdl.objective import Objective, OutcomeConstraint
    from sdl.space import Space

    Array = NDArray[np.float64]

Client = Any
Config = Any
"""Ax's classes, which are imported where they are used."""

START = 5
"""Trials, with results or under way, from which Ax asks its model, and of which two must have results (Ax's default)."""
_FEWEST_RESULTS = 2


class AxSettings(PlannerSettings):
    """`ax` has no settings."""


class AxPlanner:
    """Ax: its default model and acquisition; one equality between parameters is kept by leaving one of them out."""

    name: ClassVar[str] = "ax"
    settings_model: ClassVar[type[PlannerSettings]] = AxSettings
    capabilities: ClassVar[Capabilities] = Capabilities(objectives=ANY_NUMBER, goals=("maximize", "minimize"))

    def cannot(
        self, space: Space, objectives: Mapping[str, Objective], constraints: Mapping[str, OutcomeConstraint]
    ) -> list[str]:
        """Say what of a campaign Ax cannot do beyond what the capabilities say."""
        said = [
            f"planner 'ax' keeps no bounds on '{outcome}', as it is an objective too"
            for outcome in constraints
            if outcome in objectives
        ]
        if space.pool is not None:
            return said
        said += [
            f"planner 'ax' keeps constraints between parameters of linear scale that are continuous or integer "
            f"({constraint})"
            for constraint in space.linear
            if not all(_constrainable(space, name) for name in constraint.terms)
        ]
        equalities = [c for c in space.linear if c.is_equality]
        if len(equalities) > 1:
            said.append(f"planner 'ax' keeps at most one equality, the campaign has {len(equalities)}")
        elif equalities and not any(
            weight and isinstance(space.parameters[name], Continuous) for name, weight in equalities[0].terms.items()
        ):
            said.append(f"planner 'ax' keeps an equality only where it has a continuous parameter ({equalities[0]})")
        return said

    def propose(self, problem: Problem, history: History, n: int, seed: int) -> Proposal:
        """Propose n candidates from a client that holds the history.

        The start is Ax's: the centre of the space (where there is no pool and it is allowed), then a Sobol sequence
        until five trials are known. From then on its model is asked. Failed trials are abandoned, so that they are not
        suggested again; they teach nothing. Descriptors are not used.

        Raises:
            PlannerError: Ax is not installed, or the problem is not one for it.
        """
        draft = Draft.of(problem, history, AxSettings, self.name)
        counted = [s for s in draft.seen if s.trial.state != "failed"]
        with borrowed(seed):
            library(self.name, "ax")
            said = {"planner": self.name, "library": described("ax-platform")}
            if len(counted) < START or len(draft.measured(list(problem.objectives))) < _FEWEST_RESULTS:
                codes = self._start(draft, n)
                return finished(draft, codes, n, said, "initial")
            told = _Told(draft)
            codes = told.suggested(n, seed) if problem.space.pool is None else told.best_rows(n, seed)
        return finished(draft, codes, n, said, "model")

    def _start(self, draft: Draft, n: int) -> list[Array]:
        known = len(draft.seen)
        codes = []
        if not known and draft.space.pool is None:
            centre = draft.space.from_unit(np.full((1, len(draft.space.names)), 0.5))
            codes = [row for row in centre if draft.space.satisfies(centre)[0]]
        seed = draft.problem.seed
        return codes + designed(draft, "sobol", max(0, known - 1), n - len(codes), seed)


def _constrainable(space: Space, name: str) -> bool:
    parameter = space.parameters[name]
    if isinstance(parameter, Continuous):
        return parameter.scale == "linear"
    return parameter.type == "integer"


class _Told:
    """The campaign as Ax's client is told of it; parameters are p0, p1, …, outcomes m0, m1, …: any name may come."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        space = draft.space
        self.outcomes = [*draft.problem.objectives, *draft.problem.outcome_constraints]
        self.equality = next((c for c in space.linear if c.is_equality), None) if space.pool is None else None
        self.dropped: int | None = None
        if self.equality is not None:
            able = [n for n, w in self.equality.terms.items() if w and isinstance(space.parameters[n], Continuous)]
            self.dropped = space.names.index(able[-1])

    def suggested(self, n: int, seed: int) -> list[Array]:
        """Return Ax's next n suggestions as codes."""
        client = self._client(seed)
        client.configure_generation_strategy(initialization_budget=0, initialize_with_center=False)
        return [self._code(parameters) for parameters in client.get_next_trials(n).values()]

    def best_rows(self, n: int, seed: int) -> list[Array]:
        """Return the n rows of the pool, of those left, with the best acquisition, each with those before under way."""
        from ax.adapter.registry import Generators
        from ax.core.observation import ObservationFeatures
        from ax.core.utils import get_pending_observation_features
        from ax.generation_strategy.dispatch_utils import get_derelativize_config
        from ax.generators.torch.botorch_modular.surrogate import ModelConfig, SurrogateSpec

        pool = self.draft.space.pool
        assert pool is not None
        client = self._client(seed)
        experiment = client._experiment  # noqa: SLF001  Ax's developer interface begins here
        adapter = Generators.BOTORCH_MODULAR(  # as in the client's own generation strategy (Ax 1.3)
            experiment=experiment,
            data=experiment.lookup_data(),
            surrogate_spec=SurrogateSpec(model_configs=[ModelConfig(name="MBM defaults")]),
            transform_configs=get_derelativize_config(derelativize_with_raw_status_quo=True),
        )
        taken, chosen = self.draft.taken, []
        for _ in range(n):
            rows = pool.codes[rows_left(pool.codes, taken)]
            if not len(rows):
                break
            values = adapter.evaluate_acquisition_function(
                observation_features=[ObservationFeatures(parameters=self._parameters(row)) for row in rows],
                pending_observations=get_pending_observation_features(experiment),
            )
            chosen.append(rows[int(np.nanargmax(values))])
            taken = np.concatenate([taken, chosen[-1][None, :]])
            client.attach_trial(self._parameters(chosen[-1]))
        return chosen

    def _client(self, seed: int) -> Client:
        from ax.api import client as api

        client = api.Client(random_seed=narrow_seed(seed))
        client.configure_experiment(
            parameters=[self._parameter(i) for i in self.draft.varying if i != self.dropped],
            parameter_constraints=self._constraints() or None,
        )
        goals = self.draft.problem.objectives.values()
        client.configure_optimization(
            objective=", ".join(f"{'-' if goal.goal == 'minimize' else ''}m{k}" for k, goal in enumerate(goals)),
            outcome_constraints=self._bounds() or None,
        )
        for seen in self.draft.seen:
            index = client.attach_trial(self._parameters(seen.code))
            values = self._values(seen)
            if seen.trial.state == "done" and values:
                client.complete_trial(index, raw_data=values)
            elif seen.trial.state != "pending":
                client.mark_trial_abandoned(index)
        return client

    def _values(self, seen: Seen) -> dict[str, Any]:
        """Return outcome → value, or value with its stated uncertainty."""
        found: dict[str, Any] = {}
        for k, outcome in enumerate(self.outcomes):
            value = seen.value(outcome)
            if value is not None:
                stated = seen.trial.outcomes[outcome].uncertainty
                found[f"m{k}"] = value if stated is None else (value, float(stated))
        return found

    def _bounds(self) -> list[str]:
        said = []
        for outcome, bounds in self.draft.problem.outcome_constraints.items():
            name = f"m{self.outcomes.index(outcome)}"
            said += [f"{name} >= {float(bounds.at_least)!r}"] if bounds.at_least is not None else []
            said += [f"{name} <= {float(bounds.at_most)!r}"] if bounds.at_most is not None else []
        return said

    def _parameter(self, index: int) -> Config:
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        name, draft = f"p{index}", self.draft
        parameter = draft.space.parameters[draft.space.names[index]]
        low, high = float(draft.low[index]), float(draft.high[index])
        if isinstance(parameter, Categorical):
            return ChoiceParameterConfig(
                name=name, values=list(parameter.values), parameter_type="str", is_ordered=False
            )
        if isinstance(parameter, Continuous):
            return RangeParameterConfig(name=name, bounds=(low, high), parameter_type="float", scaling=parameter.scale)
        if parameter.type == "integer":
            return RangeParameterConfig(name=name, bounds=(int(low), int(high)), parameter_type="int")
        levels = [float(v) for v in parameter.levels if low <= v <= high]
        return ChoiceParameterConfig(name=name, values=levels, parameter_type="float", is_ordered=True)

    def _constraints(self) -> list[str]:
        """Return linear inequalities; with an equality, the left-out parameter is what the others leave for it."""
        space = self.draft.space
        if space.pool is not None:
            return []
        a, low, high = space.constraint_matrix()
        rows = [(a[i], low[i], high[i]) for i, c in enumerate(space.linear) if not c.is_equality]
        if self.equality is not None and self.dropped is not None:
            i = space.linear.index(self.equality)
            bounds = np.zeros(a.shape[1])
            bounds[self.dropped] = 1.0
            rows.append((bounds, self.draft.low[self.dropped], self.draft.high[self.dropped]))
            share = a[i] / a[i][self.dropped]
            rows = [
                (row - row[self.dropped] * share, *(b - row[self.dropped] * low[i] / a[i][self.dropped] for b in both))
                for row, *both in rows
            ]
        said = []
        for row, least, most in rows:
            total = " + ".join(f"{float(row[k])!r} * p{k}" for k in self.draft.varying if row[k])
            said += [f"{total} <= {float(most)!r}"] if total and np.isfinite(most) else []
            said += [f"{total} >= {float(least)!r}"] if total and np.isfinite(least) else []
        return said

    def _parameters(self, code: Array) -> dict[str, Any]:
        """Return a code as Ax's parameters, within the bounds that Ax was told of."""
        inside = self.draft.clipped(code)
        found: dict[str, Any] = {}
        for i in self.draft.varying:
            parameter = self.draft.space.parameters[self.draft.space.names[i]]
            if i == self.dropped:
                continue
            if isinstance(parameter, Categorical):
                found[f"p{i}"] = parameter.values[int(inside[i])]
            elif parameter.type == "integer":
                found[f"p{i}"] = round(float(inside[i]))
            else:
                found[f"p{i}"] = float(inside[i])
        return found

    def _code(self, parameters: Mapping[str, Any]) -> Array:
        space = self.draft.space
        code = self.draft.low.copy()
        for i in self.draft.varying:
            parameter = space.parameters[space.names[i]]
            if i == self.dropped:
                code[i] = 0.0
            elif isinstance(parameter, Categorical):
                code[i] = parameter.values.index(parameters[f"p{i}"])
            else:
                code[i] = float(parameters[f"p{i}"])
        if self.equality is not None and self.dropped is not None:
            a, low, _ = space.constraint_matrix()
            i = space.linear.index(self.equality)
            code[self.dropped] = (low[i] - a[i] @ code) / a[i][self.dropped]
        return code
