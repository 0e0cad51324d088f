"""Check `group:` and `tolerance:` against the protocol and the planner: a group must be able to share what it is made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.errors import listed
from sdl.loop import FromParameter
from sdl.planners import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.campaign import Draft
    from sdl.loop import StepPlan
    from sdl.planners import Planner


def group_of(draft: Draft) -> Group | None:
    """Return the group that a planner is asked for, or None."""
    return None if draft.group is None else Group(draft.group.shared, draft.group.capacity)


def check_tolerances(draft: Draft, planner: Planner | None) -> None:
    """Note what of `tolerance:` cannot be done."""
    if not draft.tolerances or planner is None:
        return
    reader = draft.reader()
    if not planner.capabilities.tolerances:
        reader.wrong(
            ("planner", "type"),
            f"planner '{planner.name}' takes no account of tolerances; leave 'tolerance' out, or choose bayes",
        )
    elif len(draft.sources) > 1:
        reader.wrong(("tolerance",), "tolerances go with one source, the campaign has several; leave one of both out")
    elif draft.stop is not None and draft.stop.gain is not None:
        reader.wrong(
            ("stop", "gain"),
            "what is still to be gained is not known where parameters have tolerances; leave 'stop.gain' or 'tolerance' out",
        )


def check_group(draft: Draft, planner: Planner | None, steps: Sequence[StepPlan]) -> None:
    """Note what of `group:` cannot be done.

    Args:
        draft: what was read of the campaign.
        planner: the planner, or None where there is none of that name.
        steps: of the protocol, as far as they could be read.
    """
    if draft.group is None:
        return
    reader = draft.reader()
    if planner is not None and not planner.capabilities.groups:
        reader.wrong(
            ("planner", "type"),
            f"planner '{planner.name}' cannot propose groups that share settings; leave 'group' out, or choose bayes, sobol or "
            "random",
        )
    if len(draft.sources) > 1:
        reader.wrong(
            ("group",),
            "groups go with one source, the campaign has several: a group could be cut to pieces by them; leave one of both out",
        )
    shared = set(draft.group.shared)
    mixed: list[tuple[StepPlan, set[str]]] = []
    whole: list[StepPlan] = []
    for step in steps:
        if step.together is None:
            continue
        takes = {a.parameter for a in step.arguments.values() if isinstance(a, FromParameter)}
        if takes and takes <= shared:
            whole.append(step)
        elif takes & shared:
            mixed.append((step, takes - shared))
    for step in whole:
        assert step.together is not None
        if draft.group.capacity > step.together.at_most:
            reader.wrong(
                ("group", "capacity"),
                f"'{step.instrument}.{step.action.name}' takes at most {step.together.at_most} samples at once, so a group of "
                f"{draft.group.capacity} could not share it; lower 'capacity' to {step.together.at_most}",
            )
    if mixed and not whole:
        step, others = mixed[0]
        reader.wrong(
            ("group", "shared"),
            f"'{step.instrument}.{step.action.name}' also takes {listed(sorted(others))}, which may differ within a group: its "
            f"members cannot share it; add {listed(sorted(others))} to 'shared'",
        )
