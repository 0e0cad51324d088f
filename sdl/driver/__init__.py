"""The driver interface: all that a driver author imports."""

from sdl.artefacts.ref import ArtefactRef
from sdl.driver.command import Command, Reply, digest_of
from sdl.driver.context import Context
from sdl.driver.description import ActionSpec, Description, FieldSpec, Limits, Role, Unit, Use
from sdl.driver.form import Form
from sdl.driver.instrument import (
    DriverSettings,
    Health,
    InputFile,
    Instrument,
    Nature,
    Reading,
    Reconciled,
    SafeReport,
    action,
)
from sdl.driver.registry import driver_names, get_driver

__all__ = [
    "ActionSpec",
    "ArtefactRef",
    "Command",
    "Context",
    "Description",
    "DriverSettings",
    "FieldSpec",
    "Form",
    "Health",
    "InputFile",
    "Instrument",
    "Limits",
    "Nature",
    "Reading",
    "Reconciled",
    "Reply",
    "Role",
    "SafeReport",
    "Unit",
    "Use",
    "action",
    "digest_of",
    "driver_names",
    "get_driver",
]
