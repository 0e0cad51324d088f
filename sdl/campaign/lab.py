"""Read a lab, which stands in the campaign's file or in one of its own: instruments, places, containers, consumables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sdl.campaign.document import read_document
from sdl.campaign.interlocks import read_requirements
from sdl.campaign.model import ClockSpec, InstrumentSpec, LabSpec, PlaceSpec
from sdl.campaign.reader import Reader
from sdl.campaign.words import LARGEST_SEED, NAME, NAME_RULE
from sdl.clock import ClockSettings
from sdl.errors import FileProblems, InputError, UnitError, brief
from sdl.units import Quantity, is_compatible, read_duration, read_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdl.campaign.document import Document, Where
    from sdl.campaign.files import Files
    from sdl.errors import Problem

LAB_KEYS = ("name", "description", "clock", "world", "instruments", "allow_real", "places", "containers", "consumables")

_URL = re.compile(
    r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?\Z|^https?://\[[0-9a-fA-F:]+\](:\d{1,5})?/?\Z"
)
_ADDRESS = re.compile(r"^[A-Za-z0-9.:\[\]-]+:\d{1,5}\Z")


def read_lab(reader: Reader, files: Files) -> LabSpec | None:
    """Read the lab: a mapping in the campaign's file, or the name of a lab file; None where there is none to read."""
    data = reader.at(("lab",))
    if data is None:
        reader.wrong((), "'lab' is missing: instruments, or the name of a lab file")
        return None
    if isinstance(data, dict) and "server" in data:
        return _served(reader, data)
    if isinstance(data, dict):
        return _lab_at(reader, ("lab",), "")
    if not isinstance(data, str):
        reader.wrong(("lab",), f"must be a mapping of instruments or the name of a lab file, got {brief(data)}")
        return None
    key = files.key(data)
    path = files.path(key)
    if not files.exists(key):
        reader.wrong(
            ("lab",),
            f"there is no lab file {brief(data)} beside the campaign file (looked for {brief(str(path), 300)})",
        )
        return None
    try:
        document = read_document(path)
        files.use(key)
    except FileProblems as error:
        reader.problems.extend(error.problems)
        return None
    except InputError as error:
        reader.wrong(("lab",), str(error))
        return None
    return _lab_at(Reader(document, reader.problems), (), key)


def read_lab_file(document: Document, key: str) -> tuple[LabSpec | None, list[Problem]]:
    """Read a lab file by itself, for a lab server.

    Args:
        document: the file.
        key: its name among the files that it stands beside.

    Returns:
        What could be read, and everything that is wrong with it.
    """
    reader = Reader(document)
    return _lab_at(reader, (), key), reader.problems


def _served(reader: Reader, data: Mapping[str, Any]) -> LabSpec | None:
    """Read `{server: URL, token: env:NAME}`; what the lab is, its server says."""
    reader.only(("lab",), ("server", "token"))
    server, token = data["server"], data.get("token")
    if not isinstance(server, str) or not _URL.match(server):
        said = f"must be http://HOST:PORT, as sdl lab serve prints it, got {brief(server)}"
        reader.wrong(("lab", "server"), said)
        return None
    if token is not None and (not isinstance(token, str) or not token.startswith("env:")):
        reader.wrong(
            ("lab", "token"), "a token does not belong in a file that is recorded; write env:NAME, and set NAME"
        )
        return None
    return LabSpec(
        name="lab",
        clock=ClockSettings(),
        world={},
        instruments={},
        allow_real=False,
        document=reader.document,
        key="",
        written=(),
        server=server.rstrip("/"),
        token=token,
    )


def _lab_at(reader: Reader, where: Where, key: str) -> LabSpec | None:
    data = reader.at(where)
    reader.only(where, LAB_KEYS)
    clock = ClockSettings()
    if data.get("clock") is not None:
        spec = reader.model(ClockSpec, (*where, "clock"))
        if spec is not None:
            clock = ClockSettings(spec.type, spec.factor)
            if spec.type != "scaled" and "factor" in spec.model_fields_set:
                reader.wrong((*where, "clock", "factor"), f"a {spec.type} clock has no factor")
            if spec.type == "scaled" and "factor" not in spec.model_fields_set:
                reader.wrong((*where, "clock"), "a scaled clock needs 'factor': lab seconds per real second")
    world = data.get("world")
    if world is not None and not isinstance(world, dict):
        reader.wrong((*where, "world"), f"must be a mapping, got {brief(world)}")
        world = None
    server = (world or {}).get("server")
    if server is not None and (not isinstance(server, str) or not _ADDRESS.match(server)):
        reader.wrong((*where, "world", "server"), f"must be HOST:PORT, as sdl world serve prints it, got {server!r}")
    seed = (world or {}).get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < LARGEST_SEED:
        reader.wrong((*where, "world", "seed"), f"must be a whole number from 0, got {brief(seed)}")
    allow_real = data.get("allow_real", False)
    if not isinstance(allow_real, bool):
        reader.wrong((*where, "allow_real"), f"must be true or false, got {brief(allow_real)}")
        allow_real = False
    name = data.get("name", "lab")
    if not isinstance(name, str) or not NAME.match(name):
        reader.wrong((*where, "name"), f"{brief(name)} cannot be a lab's name: {NAME_RULE}")
        name = "lab"
    places = _places(reader, where)
    containers = _quantities(reader, (*where, "containers"), "degC")
    consumables = _quantities(reader, (*where, "consumables"), None)
    instruments = {}
    for instrument in reader.mapping((*where, "instruments"), what="at least one instrument"):
        place: Where = (*where, "instruments", instrument)
        if not NAME.match(instrument):
            reader.wrong(place, f"{brief(instrument)} cannot be an instrument's name: {NAME_RULE}")
            continue
        if not isinstance(reader.at(place), dict):
            reader.wrong(place, "must be a mapping with a 'driver'")
            continue
        reader.only(place, ("driver", "settings", "place", "safe_after", "requires"))
        driver = reader.at((*place, "driver"))
        settings = reader.at((*place, "settings"))
        if not isinstance(driver, str):
            reader.wrong(place, f"'driver' must be the name of a driver, got {brief(driver)}; see sdl drivers")
            continue
        if settings is not None and not isinstance(settings, dict):
            reader.wrong((*place, "settings"), f"must be a mapping, got {brief(settings)}")
            continue
        at = reader.at((*place, "place"))
        if at is not None and (not isinstance(at, str) or at not in places):
            reader.unknown((*place, "place"), str(at), places, "place")
            at = None
        safe_after = _duration(reader, (*place, "safe_after"))
        requires = read_requirements(reader, (*place, "requires"))
        instruments[instrument] = InstrumentSpec(instrument, driver, settings or {}, place, at, safe_after, requires)
    written = reader.at((*where, "instruments"))
    names = tuple(written) if isinstance(written, dict) else ()
    return LabSpec(
        name=name,
        clock=clock,
        world=world or {},
        instruments=instruments,
        allow_real=allow_real,
        document=reader.document,
        key=key,
        written=names,
        places=places,
        containers={kind: stands.to("degC") for kind, stands in containers.items()},
        consumables=consumables,
    )


def _duration(reader: Reader, where: Where) -> float | None:
    """Return the seconds that stand at a path, or None where nothing does."""
    text = reader.at(where)
    if text is None:
        return None
    try:
        if isinstance(text, bool) or not isinstance(text, str):
            raise UnitError(f"must be a time such as '10 min', got {brief(text)}")
        return read_duration(text)
    except UnitError as error:
        reader.wrong(where, str(error))
        return None


def _names(reader: Reader, where: Where, what: str) -> list[str]:
    """Return the names under a key that can be used; a problem is noted for each other one."""
    found = []
    for name in reader.mapping(where, required=False, what=f"of {what}s"):
        if NAME.match(name):
            found.append(name)
        else:
            reader.wrong((*where, name), f"{brief(name)} cannot be the name of a {what}: {NAME_RULE}")
    return found


def _places(reader: Reader, where: Where) -> dict[str, int]:
    result = {}
    for name in _names(reader, (*where, "places"), "place"):
        spec = reader.model(PlaceSpec, (*where, "places", name))
        if spec is not None:
            result[name] = spec.capacity
    return result


def _quantities(reader: Reader, where: Where, unit: str | None) -> dict[str, Quantity]:
    """Return what stands under `containers` (`stands:` a temperature) or `consumables` (an amount)."""
    result = {}
    what = "consumable" if unit is None else "container"
    for name in _names(reader, where, what):
        place: Where = (*where, name)
        value = reader.at(place)
        if unit is not None:
            reader.only(place, ("stands",))
            value = value.get("stands") if isinstance(value, dict) else None
            if value is None:
                reader.wrong(place, "needs 'stands': the temperature that it stands, such as {stands: 1200 degC}")
                continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            reader.wrong(place, f"must be an amount such as '500 g', got {brief(value)}")
            continue
        try:
            quantity = read_quantity(value)
        except UnitError as error:
            reader.wrong(place, str(error))
            continue
        if unit is not None and not is_compatible(quantity.unit, unit):
            reader.wrong(place, f"'{value}' is no temperature; write it such as '1200 degC'")
        elif unit is None and quantity.value < 0:
            reader.wrong(place, f"there cannot be less than nothing of it, got '{value}'")
        else:
            result[name] = quantity
    return result
