"""Find the lab's drivers, validate their settings, and get their descriptions; nothing is connected."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sdl.campaign import Reader
from sdl.clock import ClockSettings
from sdl.driver import get_driver
from sdl.errors import DriverError, InputError
from sdl.lab import InstrumentPlan, LabPlan
from sdl.preflight.interlocks import check_interlocks
from sdl.preflight.served import check_served

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign import Draft, Files, InstrumentSpec, LabSpec, Where
    from sdl.driver import DriverSettings, Instrument
    from sdl.errors import Problem


def check_lab(draft: Draft, *, simulate: bool, world_seed: int | None) -> LabPlan | None:
    """Return the lab with everything looked up; problems are noted in the draft."""
    spec, reader = draft.lab, draft.lab_reader()
    if spec is None or reader is None:
        return None
    if spec.server is not None:
        return check_served(draft, spec, spec.server, reader, simulate=simulate)
    return plan_lab(spec, reader, draft.files, simulate=simulate, world_seed=world_seed)


def plan_lab(
    spec: LabSpec,
    reader: Reader,
    files: Files,
    *,
    simulate: bool = False,
    world_seed: int | None = None,
    is_served: bool = False,
) -> LabPlan:
    """Return a lab with everything looked up; problems are noted by the reader.

    Args:
        spec: the lab as written.
        reader: of the file in which it stands.
        files: beside that file.
        simulate: take simulators in the place of real instruments, and virtual time.
        world_seed: takes the place of `world.seed`.
        is_served: whether a lab server carries it out, which real instruments need.
    """
    instruments: dict[str, InstrumentPlan] = {}
    for name, instrument in spec.instruments.items():
        plan = _instrument(files, reader, instrument, spec.key, simulate=simulate)
        if plan is None:
            continue
        if plan.description.nature == "real" and not spec.allow_real and not is_served:
            reader.wrong(
                instrument.where,
                f"driver '{plan.driver}' is real and would run inside the campaign's process, so that a dying campaign "
                "takes it along; serve the lab (sdl lab serve), say 'allow_real: true' in the lab if that is what you "
                "want, or use --simulate",
            )
        instruments[name] = plan
    clock = ClockSettings("virtual") if simulate else spec.clock
    real = [n for n, p in instruments.items() if p.description.is_real]
    if clock.type != "real" and real:
        where: Where = () if spec.key else ("lab",)
        reader.wrong((*where, "clock"), f"{clock.type} time needs a simulated lab, but {', '.join(real)} is real")
    world = dict(spec.world)
    known = {"seed", "server", *(key for p in instruments.values() for key in p.make.world_settings)}
    if len(instruments) == len(spec.instruments):  # else a driver that could not be found may know the key
        for key in world:
            if key not in known:
                reader.unknown(
                    (*(() if spec.key else ("lab",)), "world", key), key, sorted(known), "setting of the world"
                )
    if world_seed is not None:
        world["seed"] = world_seed
    check_interlocks(instruments, spec.written, reader)
    return LabPlan(spec.name, clock, world, instruments, spec.places, spec.containers, spec.consumables)


def _instrument(
    files: Files, reader: Reader, spec: InstrumentSpec, key: str, *, simulate: bool
) -> InstrumentPlan | None:
    try:
        driver = get_driver(spec.driver)
        name = spec.driver
        if simulate and driver.nature == "real" and not driver.nature_in_settings:
            driver, name = _simulator(driver, spec.driver)
    except DriverError as error:
        reader.wrong((*spec.where, "driver"), str(error))
        return None
    where = (*spec.where, "settings")
    secrets: dict[str, str] = {}
    found: list[Problem] = []
    own = Reader(reader.document, found)
    data = _with_secrets(own, where, spec.settings, secrets)
    context = {"resolve": files.resolver(key)}
    settings, description = None, None
    try:
        settings = own.model(driver.settings_model, where, data, context)
        if settings is not None and not found:
            description = driver.describe(settings, name)
            if simulate and driver.nature_in_settings and description.is_real:
                settings = _stand_in(driver, settings, name, description.nature)
                description = driver.describe(settings, name)
    except InputError as error:
        own.wrong(where, str(error))
    except Exception as error:  # noqa: BLE001  a driver may raise anything; the user must learn which one it was
        own.wrong(where, f"driver '{name}' cannot use these settings: {type(error).__name__}: {error}")
    reader.problems.extend(replace(p, message=_masked(p.message, secrets)) for p in found)
    if settings is None or description is None:
        return None
    return InstrumentPlan(spec.name, name, driver, settings, description, spec.place, spec.safe_after, spec.requires)


def _masked(message: str, secrets: Mapping[str, str]) -> str:
    """Return a message without the values of environment variables: they may be passwords."""
    for value, reference in sorted(secrets.items(), key=lambda item: -len(item[0])):
        if value:
            message = message.replace(value, reference)
    return message


def _simulator(driver: type[Instrument], name: str) -> tuple[type[Instrument], str]:
    if driver.simulator is None:
        raise DriverError(f"driver '{name}' is real and names no simulator; --simulate needs one for every instrument")
    return get_driver(driver.simulator), driver.simulator


def _stand_in(driver: type[Instrument], settings: DriverSettings, name: str, nature: str) -> DriverSettings:
    found = driver.stand_in(settings)
    if found is None:
        raise DriverError(
            f"driver '{name}' is {nature} here and its settings state no stand-in; --simulate needs one for every instrument: "
            "give 'simulate:'"
        )
    return found


def _with_secrets(reader: Reader, where: Where, settings: Mapping[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    """Put the values of `env:NAME` in their places, and note them in `secrets`; the ledger keeps the reference alone."""

    def resolved(value: Any, place: Where) -> Any:  # noqa: ANN401
        if isinstance(value, str) and value.startswith("env:"):
            name = value[4:]
            if name not in os.environ:
                reader.wrong(place, f"the environment variable {name} is not set; set it before sdl run")
                return value
            secrets[os.environ[name]] = value
            return os.environ[name]
        if isinstance(value, dict):
            return {k: resolved(v, (*place, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [resolved(v, (*place, i)) for i, v in enumerate(value)]
        return value

    return {k: resolved(v, (*where, k)) for k, v in settings.items()}
