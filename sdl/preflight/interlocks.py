"""Check the lab's interlocks against its instruments: a misspelt one would deny for ever, or what is worse never."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdl.driver import Instrument
from sdl.errors import UnitError, listed, near_miss
from sdl.units import DIMENSIONLESS, is_compatible

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sdl.campaign import Reader
    from sdl.campaign.interlocks import Requirement
    from sdl.lab import InstrumentPlan


def check_interlocks(instruments: Mapping[str, InstrumentPlan], written: Collection[str], reader: Reader) -> None:
    """Note every interlock that names what the lab does not have, or bounds what cannot be compared.

    Which readings an instrument gives is known beforehand only where its description lists them; a reading that turns out to
    be missing denies.

    Args:
        instruments: those that could be looked up.
        written: names of all instruments of the lab file.
        reader: of that file.
    """
    for plan in instruments.values():
        for requirement in plan.requires:
            _check(plan, requirement, instruments, written, reader)


def _check(
    plan: InstrumentPlan,
    requirement: Requirement,
    instruments: Mapping[str, InstrumentPlan],
    written: Collection[str],
    reader: Reader,
) -> None:
    where = requirement.where
    known = plan.description.actions
    for index, action in enumerate(requirement.actions):
        if action not in known:
            reader.unknown((*where, "actions", index), action, known, "action", plan.name)
    if not requirement.actions and all(a.effect == "reads" for a in known.values()):
        reader.wrong(
            where,
            f"{plan.name} only reads ({listed(known)}), so this would hold for nothing; name the actions that need it: "
            f"actions: [{next(iter(known), '')}]",
        )
    if requirement.instrument not in written:
        reader.unknown(where, requirement.instrument, written, "instrument")
        return
    source = instruments.get(requirement.instrument)
    if source is None:
        return  # what is wrong with it is said already
    if source.make.read_state is Instrument.read_state:
        reader.wrong(
            where,
            f"driver '{source.driver}' of {source.name} reads nothing (it has no read_state), so {requirement.name} would "
            "always be missing, and always deny",
        )
        return
    readings = source.description.readings
    if readings is None:
        return
    if requirement.reading not in readings:
        reader.wrong(
            where,
            f"{source.name} (driver '{source.driver}') does not say that it always reads '{requirement.reading}'"
            f"{near_miss(requirement.reading, readings)}; it reads {listed(readings)}",
        )
        return
    _unit(requirement, readings[requirement.reading], reader)


def _unit(requirement: Requirement, unit: str, reader: Reader) -> None:
    said = (
        f"{requirement.name} is read in {unit}"
        if unit not in {"", DIMENSIONLESS}
        else f"{requirement.name} has no unit"
    )
    if requirement.equals is not None:
        if unit not in {"", DIMENSIONLESS}:
            reader.wrong((*requirement.where, "equals"), f"{said}, so it is no word; give at_least or at_most")
        return
    for side, bound in (("at_least", requirement.at_least), ("at_most", requirement.at_most)):
        try:
            fits = bound is None or is_compatible(bound.unit, unit or DIMENSIONLESS)
        except UnitError:
            fits = False
        if not fits:
            reader.wrong((*requirement.where, side), f"{said}, and {bound} cannot be compared with that")
