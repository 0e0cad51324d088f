"""Check a campaign against its lab and its planner: everything that can go wrong before anything moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign import Draft, load
from sdl.errors import FileProblems, PlannerError
from sdl.loop import Plan
from sdl.planners import PlannerSettings, Problem
from sdl.planners.base import Checking
from sdl.planners.registry import get_planner, refusals
from sdl.preflight.checked import Checked
from sdl.preflight.groups import check_group, check_tolerances, group_of
from sdl.preflight.instruments import check_lab
from sdl.preflight.known import known_trials
from sdl.preflight.physics import check_physics, physics_of
from sdl.preflight.sources import check_outcomes, check_planner, check_sources, routes_of, sources_of
from sdl.preflight.transfer import as_recorded, check_transfer, source_tasks

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
    home: Path | None = None,
) -> Checked:
    """Read a campaign file and check it against its lab and planner.

    Args:
        path: the campaign file.
        overrides: `path=value` of `--set`.
        name: takes the place of `name:`.
        seed: takes the place of `seed:`.
        simulate: take simulators in the place of real instruments, and virtual time.
        world_seed: takes the place of the lab's `world.seed` (benchmarks).
        home: folder of the ledger in which the campaign may stand already: it goes on with the data of earlier campaigns that it
            began with; None to fetch them anew.

    Raises:
        FileProblems: everything that is wrong, at once.
        InputError: an override leads nowhere.
        LedgerError: the ledger cannot be read.
    """
    draft = load(path, overrides=overrides, name=name, seed=seed)
    if home is not None:
        as_recorded(draft, home)
    return check_draft(draft, simulate=simulate, world_seed=world_seed)


def check_draft(draft: Draft, *, simulate: bool = False, world_seed: int | None = None) -> Checked:
    """Check what was read of a campaign; see `check`."""
    lab = check_lab(draft, simulate=simulate, world_seed=world_seed)
    planner, settings = _planner(draft)
    steps = check_sources(draft, lab)
    check_outcomes(draft)
    models, physics = physics_of(draft)
    check_physics(draft, planner, models)
    transfer = source_tasks(draft)
    check_transfer(draft, planner)
    check_planner(draft, planner)
    if planner is not None and draft.space is not None:
        wanted = refusals(
            planner,
            draft.space,
            {k: v for k, v in draft.objectives.items() if v is not None},
            {k: v for k, v in draft.outcome_constraints.items() if v is not None},
            draft.concurrency,
            gain=draft.stop is not None and draft.stop.gain is not None,
        )
        for reason in wanted:
            draft.reader().wrong(("planner", "type"), reason)
    check_tolerances(draft, planner)
    check_group(draft, planner, [step for protocol, _ in steps.values() for step in protocol])
    campaign = draft.finished()
    if lab is None or planner is None or settings is None or not steps:
        raise FileProblems(draft.problems)
    source, (protocol, failing) = next(iter(steps.items()))  # the target stands first
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
        gain=campaign.stop.gain,
        others=routes_of(steps),
        costs=campaign.costs,
        cost_limit=campaign.stop.cost,
        group_size=1 if campaign.group is None else campaign.group.capacity,
        was=draft.was,
    )
    problem = Problem(
        space=space,
        objectives=campaign.objectives,
        outcome_constraints=campaign.outcome_constraints,
        settings=settings,
        seed=campaign.seed,
        budget=campaign.stop.experiments,
        known=known_trials(draft),
        gain=None if campaign.stop.gain is None else campaign.stop.gain.more_than,
        sources=sources_of(draft),
        cost_limit=campaign.stop.cost,
        group=group_of(draft),
        tolerances=draft.tolerances,
        was=draft.was,
        models=models,
        physics=physics,
        transfer=transfer,
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
