"""Read a campaign back from the ledger, as it was recorded: text, overrides and files of a version."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign import Document, Draft, Files, draft_of, parse_document
from sdl.errors import InputError, LedgerError, PlannerError
from sdl.ledger.queries import table_of
from sdl.planners import Problem
from sdl.planners.registry import get_planner
from sdl.preflight.check import check_draft
from sdl.preflight.groups import group_of
from sdl.preflight.known import known_trials
from sdl.preflight.physics import physics_of
from sdl.preflight.sources import sources_of
from sdl.preflight.transfer import source_tasks

if TYPE_CHECKING:
    from sdl.ledger import Ledger
    from sdl.preflight.checked import Checked


def recorded_draft(ledger: Ledger, name: str, version: int | None = None) -> Draft:
    """Return what can be read of a recorded campaign; its lab need not be at hand.

    Args:
        ledger: where it is recorded.
        name: of the campaign.
        version: which version; the last one by default.

    Raises:
        InputError: no such campaign or version.
        LedgerError: one of its files is missing or changed.
    """
    with tempfile.TemporaryDirectory(prefix="sdl-") as folder:
        return _draft(ledger, name, version, Path(folder))


def recorded_checked(ledger: Ledger, name: str, folder: Path) -> Checked:
    """Return the last version of a recorded campaign, checked as at its first start, so that it can go on without its file.

    Args:
        ledger: where it is recorded.
        name: of the campaign.
        folder: where its files are put; they are needed as long as the campaign runs.

    Raises:
        InputError: no such campaign.
        LedgerError: one of its files is missing or changed.
        FileProblems: what was right then is wrong now, such as a driver that is no longer installed.
    """
    settings = (ledger.campaign(name) or {}).get("settings", {})
    return check_draft(_draft(ledger, name, None, folder), simulate=bool(settings.get("simulate", False)))


def _draft(ledger: Ledger, name: str, version: int | None, folder: Path) -> Draft:
    versions = table_of(ledger, "versions", name)
    wanted = next((v for v in reversed(versions) if version is None or v["version"] == version), None)
    if wanted is None:
        if versions:
            there = ", ".join(str(v["version"]) for v in versions)
            raise InputError(f"campaign '{name}' has no version {version}; it has: {there}")
        known = ", ".join(str(c["name"]) for c in ledger.campaigns()) or "none"
        raise InputError(f"{ledger.where} has no campaign '{name}'; it has: {known}")
    places = parse_document(wanted["text"], f"{name} (recorded)").places
    document = Document(f"{name} (recorded)", wanted["text"], wanted["data"], places)
    kept = {}
    for index, (key, sha256) in enumerate(wanted["files"].items()):
        path = folder / f"{index}-{Path(key).name}"  # the suffix says how a table is to be read
        path.write_bytes(ledger.artefacts.get(sha256))
        kept[key] = path
    return draft_of(document, Files(folder, kept))


def recorded_problem(ledger: Ledger, name: str, version: int | None = None) -> tuple[str, Problem]:
    """Return the planner's name and the problem that it was asked, rebuilt from the ledger alone.

    Raises:
        LedgerError: the recorded campaign can no longer be read.
        PlannerError: the planner is not installed any more.
    """
    with tempfile.TemporaryDirectory(prefix="sdl-") as folder:
        draft = _draft(ledger, name, version, Path(folder))
        before = len(draft.problems)
        models, physics = physics_of(draft)
        transfer = source_tasks(draft)
        if len(draft.problems) > before:
            said = "; ".join(p.message for p in draft.problems[before:])
            raise LedgerError(f"campaign '{name}': what it takes as help can no longer be read: {said}")
    if draft.space is None or draft.planner is None or draft.stop is None:
        raise LedgerError(f"campaign '{name}' was recorded by a version whose grammar this one does not read")
    planner = get_planner(draft.planner.type)
    settings = draft.reader().model(planner.settings_model, draft.planner.where, dict(draft.planner.settings) or {})
    if settings is None:
        raise PlannerError(f"campaign '{name}': {draft.problems[-1]}")
    problem = Problem(
        space=draft.space,
        objectives={k: v for k, v in draft.objectives.items() if v is not None},
        outcome_constraints={k: v for k, v in draft.outcome_constraints.items() if v is not None},
        settings=settings,
        seed=draft.seed,
        budget=draft.stop.experiments,
        known=known_trials(draft),
        gain=None if draft.stop.gain is None else draft.stop.gain.more_than,
        sources=sources_of(draft),
        cost_limit=draft.stop.cost,
        group=group_of(draft),
        tolerances=draft.tolerances,
        was=draft.was,
        models=models,
        physics=physics,
        transfer=transfer,
    )
    return draft.planner.type, problem
