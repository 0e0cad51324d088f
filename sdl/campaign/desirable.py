"""Check desirabilities: all objectives have one, or none; and read a target of the joint one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.errors import listed
from sdl.objective import DESIRABILITY, is_joint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdl.campaign.reader import Reader
    from sdl.objective import Objective


def check_desirabilities(
    reader: Reader, objectives: Mapping[str, Objective | None], constrained: Iterable[str]
) -> None:
    """Note where objectives are joined in part only, or where something else cannot go with that.

    Args:
        reader: of the campaign file.
        objectives: as read; None where one could not be read.
        constrained: names of outcomes that have bounds.
    """
    read = {name: goal for name, goal in objectives.items() if goal is not None}
    with_one = [name for name, goal in read.items() if goal.desirability is not None]
    if not with_one:
        return
    without = [name for name, goal in read.items() if goal.desirability is None]
    verb = "has" if len(with_one) == 1 else "have"
    for name in without:
        reader.wrong(
            ("objectives", name),
            f"has no desirability, while {listed(with_one)} {verb} one: give it one too, so that "
            "all are joined as one objective, or leave it out everywhere, so that the Pareto set is sought; what need only keep "
            "bounds belongs under outcome_constraints",
        )
    for section, names in (("objectives", objectives), ("outcome_constraints", constrained)):
        if DESIRABILITY in names:
            reader.wrong(
                (section, DESIRABILITY),
                f"'{DESIRABILITY}' is what all together are called; give the outcome another name",
            )
    for name in with_one:
        if read[name].reference is not None:
            reader.wrong(
                ("objectives", name, "reference"),
                "a reference says what counts as a gain where the Pareto set is sought; with a desirability, 'from' or 'within' "
                "says it: leave 'reference' out",
            )
    if reader.at(("stop", "gain")) is not None:
        reader.wrong(
            ("stop", "gain"),
            "what is still to be gained is not known for a joint desirability; leave it out, or state a target: "
            f"{{{DESIRABILITY}: 0.8}}",
        )


def joined(objectives: Mapping[str, Objective | None]) -> bool:
    """Tell whether objectives, as read, are joined as one."""
    return is_joint({name: goal for name, goal in objectives.items() if goal is not None})


def target_as_bounds(target: Any) -> Any:  # noqa: ANN401  as written
    """Return a target of the joint desirability, which may be a plain number, as bounds."""
    plain = isinstance(target, int | float) and not isinstance(target, bool)
    return {"at_least": target} if plain else target
