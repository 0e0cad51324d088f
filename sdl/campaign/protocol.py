"""Read a protocol: the steps of an experiment, and those that follow a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdl.campaign.model import Argument, Reference, Step, Together
from sdl.campaign.policy import read_approve, read_if_fails
from sdl.campaign.words import NAME, NAME_RULE
from sdl.errors import UnitError, brief, listed, near_miss
from sdl.units import read_duration

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sdl.campaign.document import Where
    from sdl.campaign.reader import Reader

UNSET = "default"
"""Source of an experiment for which none was named (such as one that a person added): the target carries it out."""
STEP_KEYS = ("instrument", "action", "with", "analysis", "gives", "together", "if_fails", "approve")


def read_sources(reader: Reader, parameters: Mapping[str, object]) -> dict[str, tuple[Step, ...]]:
    """Read `protocol`, or `sources` with a protocol each: source → steps."""
    data = reader.document.data
    if ("protocol" in data) == ("sources" in data):
        reader.wrong((), "give 'protocol' (a list of steps), or 'sources' with a protocol each, not both")
        return {}
    if "protocol" in data:
        return {"default": _protocol(reader, ("protocol",), parameters)}
    result = {}
    for name in reader.mapping(("sources",), what="at least one source"):
        where: Where = ("sources", name)
        if not NAME.match(name):
            reader.wrong(where, f"{brief(name)} cannot be a source's name: {NAME_RULE}")
        if not isinstance(reader.at(where), dict):
            reader.wrong(where, "must be a mapping with a 'protocol'")
            continue
        reader.only(where, ("protocol", "cost", "target"))
        result[name] = _protocol(reader, (*where, "protocol"), parameters)
    return result


def read_target(reader: Reader, sources: Collection[str]) -> str:
    """Return the name of the source whose results count; notes a problem where that is not clear, and returns the last.

    Args:
        reader: of the campaign file.
        sources: the sources that could be read.
    """
    written = reader.mapping(("sources",), required=False)
    marked = [name for name in written if reader.at(("sources", name, "target")) not in (None, False)]
    for name in written:
        flag = reader.at(("sources", name, "target"))
        if flag is not None and not isinstance(flag, bool):
            reader.wrong(("sources", name, "target"), f"must be true or false, got {brief(flag)}")
    if len(written) > 1 and len(marked) != 1:
        said = f"{listed(marked)} are" if marked else "none is"
        reader.wrong(
            ("sources",),
            f"of several sources ({listed(written)}) one is the target, whose results count: {said} marked with 'target: true'",
        )
    names = [name for name in marked if name in sources] or list(sources)
    target = names[-1] if names else ""
    if UNSET in written and target != UNSET:
        where: Where = ("sources", UNSET)
        reader.wrong(where, f"'{UNSET}' means the target; call a source that is not the target otherwise")
    return target


def read_on_failure(reader: Reader, parameters: Mapping[str, object]) -> tuple[Step, ...]:
    """Read `on_failure`: the steps that follow where an experiment failed; none where it is not given."""
    if "on_failure" not in reader.document.data:
        return ()
    steps = _protocol(reader, ("on_failure",), parameters)
    for step in steps:
        for key in ("gives", "analysis", "together", "if_fails", "approve"):
            if getattr(step, key):
                reader.wrong((*step.where, key), f"a step after a failure has no '{key}': it only clears up")
    return steps


def _protocol(reader: Reader, where: Where, parameters: Mapping[str, object]) -> tuple[Step, ...]:
    steps = reader.at(where)
    if not isinstance(steps, list) or not steps:
        got = "" if steps in (None, []) else f", got {brief(steps)}"
        reader.wrong(where, f"must be a list of at least one step{got}")
        return ()
    return tuple(s for i in range(len(steps)) if (s := _step(reader, (*where, i), parameters)) is not None)


def _step(reader: Reader, where: Where, parameters: Mapping[str, object]) -> Step | None:
    data = reader.at(where)
    if not isinstance(data, dict):
        reader.wrong(where, f"a step is a mapping with 'instrument' and 'action', got {brief(data)}")
        return None
    reader.only(where, STEP_KEYS)
    words: dict[str, str] = {}
    for key in ("instrument", "action", "analysis"):
        value = data.get(key)
        if isinstance(value, str):
            words[key] = value
        elif value is not None or key != "analysis":
            reader.wrong((*where, key) if key in data else where, f"'{key}' must be a name, got {brief(value)}")
    arguments: dict[str, Argument] = {}
    written = data.get("with")
    if written is not None and not isinstance(written, dict):
        reader.wrong((*where, "with"), f"must be a mapping of arguments, got {brief(written)}")
        written = None
    for key, value in (written or {}).items():
        argument = _argument(reader, (*where, "with", key), value, parameters)
        if argument is not None:
            arguments[key] = argument
    gives: dict[str, str] = {}
    outcomes = data.get("gives")
    if outcomes is not None and not isinstance(outcomes, dict):
        reader.wrong((*where, "gives"), f"must be a mapping 'outcome: field', got {brief(outcomes)}")
        outcomes = None
    for outcome, field in (outcomes or {}).items():
        if isinstance(field, str):
            gives[outcome] = field
        else:
            reader.wrong((*where, "gives", outcome), f"must name a field of the result, got {brief(field)}")
    if "instrument" not in words or "action" not in words:
        return None
    unreadable = tuple(key for key in written or {} if key not in arguments)
    return Step(
        instrument=words["instrument"],
        action=words["action"],
        arguments=arguments,
        analysis=words.get("analysis"),
        gives=gives,
        where=where,
        unreadable=unreadable,
        together=_together(reader, (*where, "together")),
        if_fails=read_if_fails(reader, (*where, "if_fails")),
        approve=read_approve(reader, (*where, "approve")),
    )


def _together(reader: Reader, where: Where) -> Together | None:
    data = reader.at(where)
    if data is None:
        return None
    if not isinstance(data, dict):
        reader.wrong(where, f"must be a mapping such as {{wait: 24 h}}, got {brief(data)}")
        return None
    reader.only(where, ("wait", "at_most"))
    if "wait" not in data:
        reader.wrong(where, "'wait' is missing: how long the first sample waits for others, such as {wait: 24 h}")
        return None
    at_most = data.get("at_most")
    if at_most is not None and (isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1):
        reader.wrong((*where, "at_most"), f"must be a whole number of samples from 1, got {brief(at_most)}")
        return None
    try:
        return Together(read_duration(data["wait"]), at_most)
    except UnitError as error:
        reader.wrong((*where, "wait"), str(error))
        return None


def _argument(reader: Reader, where: Where, value: Any, parameters: Mapping[str, object]) -> Argument | None:  # noqa: ANN401
    if isinstance(value, str) and value.startswith("$$"):
        return value[1:]
    if isinstance(value, str) and value.startswith("$"):
        name = value[1:]
        if name not in parameters:
            reader.wrong(
                where,
                f"{brief(value)} is no parameter{near_miss(name, parameters)}; parameters are {listed(parameters)}; "
                "write '$$' for a literal '$'",
            )
            return None
        return Reference(name)
    if isinstance(value, str | bool | int | float):
        return value
    reader.wrong(where, f"must be a number, a quantity, a text or $parameter, got {brief(value)}")
    return None
