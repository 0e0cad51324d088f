"""Check a campaign against its lab and its planner: everything that can go wrong before anything moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.campaign import Draft, Reference, load
from sdl.errors import FileProblems, PlannerError, listed, near_miss
from sdl.loop import Plan
from sdl.planners import PlannerSettings, Problem
from sdl.planners.base import Checking
from sdl.planners.registry import get_planner, refusals
from sdl.preflight.checked import Checked
from sdl.preflight.instruments import check_lab
from sdl.preflight.known import known_trials
from sdl.preflight.steps import check_steps

if TYPE_CHECKING:
    from sdl.planners import Planner


def check(
    path: Path,
    *,
    overrides: tuple[str, ...] = (),
    name: str | None = None,
    seed: int | None = None,
    simulate: bool = False,
    world_seed: int | None = None,
) -> Checked:
    """Read a campaign file and check it against its lab and planner.

    Args:
        path: the campaign file.
        overrides: `path=value` of `--set`.
        name: takes the place of `name:`.
        seed: takes the place of `seed:`.
        simulate: take simulators in the place of real instruments, and virtual time.
        world_seed: takes the place of the lab's `world.seed` (benchmarks).

    Raises:
        FileProblems: everything that is wrong, at once.
        InputError: an override leads nowhere.
    """
    return check_draft(load(path, overrides=overrides, name=name, seed=seed), simulate=simulate, world_seed=world_seed)


def check_draft(draft: Draft, *, simulate: bool = False, world_seed: int | None = None) -> Checked:
    """Check what was read of a campaign; see `check`."""
    lab = check_lab(draft, simulate=simulate, world_seed=world_seed)
    planner, settings = _planner(draft)
    steps = {name: check_steps(draft, protocol, lab) for name, protocol in draft.sources.items()}
    _outcomes(draft)
    if planner is not None and draft.space is not None:
        wanted = refusals(
            planner,
            draft.space,
            {k: v for k, v in draft.objectives.items() if v is not None},
            {k: v for k, v in draft.outcome_constraints.items() if v is not None},
            draft.concurrency,
        )
        for reason in wanted:
            draft.reader().wrong(("planner", "type"), reason)
    campaign = draft.finished()
    if lab is None or planner is None or settings is None or len(steps) != 1:
        raise FileProblems(draft.problems)
    source, (protocol, failing) = next(iter(steps.items()))
    space = campaign.space
    plan = Plan(
        source=source,
        steps=protocol,
        concurrency=campaign.concurrency,
        budget=campaign.stop.experiments,
        objectives=campaign.objectives,
        outcome_constraints=campaign.outcome_constraints,
        targets=campaign.stop.target,
        seed=campaign.seed,
        pool_size=None if space.pool is None else len(space.pool),
        on_failure=failing,
        stock=lab.consumables,
    )
    problem = Problem(
        space=space,
        objectives=campaign.objectives,
        outcome_constraints=campaign.outcome_constraints,
        settings=settings,
        seed=campaign.seed,
        budget=campaign.stop.experiments,
        known=known_trials(draft),
    )
    if isinstance(planner, Checking):
        for key, said in planner.misfits(problem):
            draft.reader().wrong((*campaign.planner.where, *key.split(".")), said)
        if draft.problems:
            raise FileProblems(draft.problems)
    return Checked(campaign, lab, planner, problem, plan)


def _planner(draft: Draft) -> tuple[Planner | None, PlannerSettings | None]:
    spec = draft.planner
    if spec is None:
        return None, None
    reader = draft.reader()
    try:
        planner = get_planner(spec.type)
    except PlannerError as error:
        reader.wrong((*spec.where, "type"), str(error))
        return None, None
    return planner, reader.model(planner.settings_model, spec.where, dict(spec.settings) or {})


def _outcomes(draft: Draft) -> None:
    """Every wanted outcome is given by exactly one step, and every parameter is used by one."""
    reader = draft.reader()
    given: dict[str, tuple[Any, ...]] = {}
    used: set[str] = set()
    for steps in (*draft.sources.values(), draft.on_failure):
        for step in steps:
            used |= {a.parameter for a in step.arguments.values() if isinstance(a, Reference)}
            for outcome in step.gives:
                where = (*step.where, "gives", outcome)
                if outcome in given:
                    reader.wrong(where, f"the outcome '{outcome}' is given twice")
                given[outcome] = where
    for name, where in given.items():
        if name not in draft.objectives and name not in draft.outcome_constraints:
            wanted_names = [*draft.objectives, *draft.outcome_constraints]
            reader.wrong(
                where, f"'{name}' is neither an objective nor an outcome constraint{near_miss(name, wanted_names)}"
            )
    if not draft.is_protocol_complete:
        return  # what a step that could not be read uses and gives is not known
    for section, wanted in (("objectives", draft.objectives), ("outcome_constraints", draft.outcome_constraints)):
        for name in wanted:
            if name not in given:
                reader.wrong((section, name), f"no step gives '{name}'; steps give {listed(given)}")
    if any(step.unreadable for steps in draft.sources.values() for step in steps):
        return  # a misspelt $name would be named twice, once as if its parameter were not used
    for name in draft.parameters:
        if name not in used:
            reader.wrong(
                ("space", "parameters", name), f"no step uses the parameter '{name}' (as ${name} under 'with')"
            )
