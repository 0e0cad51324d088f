"""Turn a campaign file into the campaign that a benchmark runs: another planner, seed, budget and clock, and no target."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from sdl.benchmark.result import Question
from sdl.campaign import Files, draft_of, read_document, with_overrides
from sdl.clock import ClockSettings
from sdl.driver import get_driver
from sdl.errors import DriverError, InputError
from sdl.objective import is_joint
from sdl.planners import get_planner
from sdl.preflight import check_draft

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign import Document, Draft
    from sdl.preflight import Checked

_REAL = ("real", "manual")


@dataclass(frozen=True)
class Setup:
    """One run, ready to be carried out.

    Attributes:
        checked: the campaign with planner, seed, budget and virtual time in place, and without targets.
        campaign: name in the file.
        question: what its result is judged by, targets included.
        files: the campaign file and every file that it refers to, by key → SHA-256.
        inputs: SHA-256 over all that two runs must have in common.
        notes: settings of the file that the planner does not know, one line each.
    """

    checked: Checked
    campaign: str
    question: Question
    files: Mapping[str, str]
    inputs: str
    notes: tuple[str, ...]


def world_seed(seed: int) -> int:
    """Return the world's seed for a campaign's seed: 53 bits of SHA-256, so that noise is not drawn from the planner's seed."""
    digest = hashlib.sha256(f"sdl benchmark world {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def prepare(path: Path, planner: str, seed: int, budget: int, overrides: tuple[str, ...] = ()) -> Setup:
    """Read a campaign file and make one run of it.

    The seed stands in the campaign's name too, so that samples of different seeds are different samples, even in labs that
    have no world.

    Args:
        path: the campaign file.
        planner: takes the place of `planner.type`; what stands beside it in the file is kept where this planner knows it.
        seed: takes the place of `seed`; the world's follows from it.
        budget: takes the place of `stop.experiments`.
        overrides: `path=value` of `--set`, applied first.

    Raises:
        FileProblems: everything that is wrong with the file.
        InputError: the lab is real; there is no such planner; an override leads nowhere.
    """
    get_planner(planner)  # a planner that does not exist is said first, and not as a mistake in the file
    document = with_overrides(read_document(path, str(path)), overrides)
    name = str(document.data.get("name"))
    changed, notes = _with_planner(document, planner)
    if isinstance(document.data.get("stop"), dict):
        changed = changed.replaced([(("stop", "experiments"), budget)])
        # A run ends with its budget of experiments and nothing else; not every planner states what is to be gained either.
        ends = [key for key in ("gain", "cost") if key in document.data["stop"]]
        changed = changed.replaced([(("stop", key), None) for key in ends])
    shown = {} if not isinstance(document.data.get("name"), str) else {"name": f"{name[:70]}-seed-{seed}"}
    changed = changed.replaced([(("seed",), seed), *(((k,), v) for k, v in shown.items())])
    draft = draft_of(changed, Files(path.parent.resolve()))
    _refuse_real(draft)
    checked = check_draft(draft, world_seed=world_seed(seed))
    if checked.lab.server is not None:
        raise InputError(
            "a benchmark needs its lab in its own process and in virtual time; name the lab file, not its server"
        )
    if not checked.lab.is_simulated:
        raise _real([n for n, i in checked.lab.instruments.items() if i.description.is_real])
    if is_joint(checked.plan.objectives):
        raise InputError(
            "a benchmark does not judge by a joint desirability yet; compare planners on one of the objectives"
        )
    question = Question(checked.plan.objectives, checked.plan.outcome_constraints, checked.plan.targets)
    files = {path.name: hashlib.sha256(document.text.encode()).hexdigest(), **checked.campaign.files.used}
    common = {"files": files, "data": document.data, "budget": budget}
    return Setup(
        checked=replace(
            checked,
            plan=replace(checked.plan, targets={}),
            lab=replace(checked.lab, clock=ClockSettings("virtual")),
        ),
        campaign=name,
        question=question,
        files=files,
        inputs=hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest(),
        notes=notes,
    )


def _with_planner(document: Document, planner: str) -> tuple[Document, tuple[str, ...]]:
    """Return the document with another planner, and a line for each of the file's settings that it does not know."""
    written = document.data.get("planner")
    if isinstance(written, dict) and written.get("type") == planner:
        return document, ()  # untouched, so that mistakes in it keep their place in the file
    settings = {k: v for k, v in written.items() if k != "type"} if isinstance(written, dict) else {}
    model = get_planner(planner).settings_model
    kept: dict[str, Any] = {}
    notes = []
    for key, value in settings.items():
        try:
            model.model_validate({key: value})
        except ValidationError as error:
            reasons = [e for e in error.errors(include_url=False) if e["loc"][:1] == (key,)]
            if reasons:
                unknown = any(e["type"] == "extra_forbidden" and len(e["loc"]) == 1 for e in reasons)
                why = f"has no setting '{key}'" if unknown else f"cannot use '{key}' ({reasons[0]['msg']})"
                notes.append(f"planner '{planner}' {why}: planner.{key} = {json.dumps(value)} was left out for it")
                continue
        kept[key] = value
    return document.replaced([(("planner",), {"type": planner, **kept})]), tuple(notes)


def _refuse_real(draft: Draft) -> None:
    """Refuse real drivers by name, before pre-flight advises how to allow them."""
    found = []
    for name, spec in ({} if draft.lab is None else draft.lab.instruments).items():
        try:
            driver = get_driver(spec.driver)
            if driver.nature in _REAL and not driver.nature_in_settings:  # where settings say it, pre-flight knows
                found.append(name)
        except DriverError:
            continue  # pre-flight says so, with its place
    if found:
        raise _real(found)


def _real(names: list[str]) -> InputError:
    return InputError(
        f"a benchmark repeats a campaign many times in virtual time and takes simulated labs only, but here matter moves: "
        f"{', '.join(names)}. Name a lab of simulated or replay instruments (lab:), or replace them by --set"
    )
