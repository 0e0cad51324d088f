"""Descriptions are read off annotations; what the boundary cannot check is refused, and nothing is clipped."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl.campaign import Files
from sdl.clock import VirtualClock
from sdl.driver import (
    ActionSpec,
    Command,
    Context,
    DriverSettings,
    FieldSpec,
    InputFile,
    Instrument,
    Limits,
    Unit,
    action,
    digest_of,
    driver_names,
    get_driver,
    registry,
)
from sdl.driver.description import field_spec, result_specs
from sdl.errors import DriverError, LimitError, UnitError

if TYPE_CHECKING:
    from decimal import Decimal


# --- a driver as a user would write it -------------------------------------------------------------------------------


@dataclass
class Colour:
    red: Annotated[float, Unit("percent"), Limits(0, 100)]
    name: str


class PumpSettings(DriverSettings):
    port: str = "/dev/ttyUSB0"
    tube: Annotated[float, Limits(0, 1)] = 0.5


class Pump(Instrument):
    """A peristaltic pump.

    With more to say further down.
    """

    nature = "simulated"
    settings_model = PumpSettings

    @action(
        effect="irreversible", duration=lambda arguments: 60 * arguments["volume"] / arguments["rate"], abortable=True
    )
    async def dose(
        self,
        ctx: Context,
        volume: Annotated[float, Unit("mL"), Limits(0.1, 50)],
        rate: Annotated[float, Unit("mL/min"), Limits(0, 10)] = 5.0,
        line: Literal["acid", "base"] = "acid",
        strokes: Annotated[int, Limits(1, 9)] = 1,
        purge: bool = False,
    ) -> Colour:
        """Dose a volume.

        And then some.
        """
        await ctx.sleep(60 * volume / rate)
        await ctx.progress(1.0, "done")
        return Colour(red=strokes * 10.0, name=line + str(purge))

    @action(effect="repeatable", duration="10 s")
    async def rinse(self, ctx: Context) -> None:
        """Rinse."""
        await ctx.sleep(10)

    async def helper(self) -> None:
        """No action."""


def command(action_name: str, arguments: dict[str, Any], samples: tuple[str, ...] = ("s",)) -> Command:
    return Command("id", "c", 1, 1, 0, "pump", action_name, arguments, samples, 0)


def perform(action_name: str, **arguments: Any) -> Any:
    clock = VirtualClock(0.0)
    pump = Pump("pump", PumpSettings(), clock=clock)
    spec = Pump.describe(PumpSettings()).actions[action_name]

    async def run() -> Any:
        with clock.actor():
            complete = spec.check(arguments)
            return await pump.perform(
                action_name, Context(command(action_name, arguments), clock), complete
            ), clock.now()

    return asyncio.run(run())


def test_the_description() -> None:
    found = Pump.describe(PumpSettings(), "pump")
    assert (found.driver, found.nature, found.doc) == ("pump", "simulated", "A peristaltic pump.")
    assert sorted(found.actions) == ["dose", "rinse"]
    assert not found.is_real
    dose = found.actions["dose"]
    assert (dose.effect, dose.abortable, dose.doc) == ("irreversible", True, "Dose a volume.")
    assert dose.parameters == (
        FieldSpec("volume", "number", "mL", 0.1, 50),
        FieldSpec("rate", "number", "mL/min", 0, 10, required=False, default=5.0),
        FieldSpec("line", "text", choices=("acid", "base"), required=False, default="acid"),
        FieldSpec("strokes", "integer", lower=1, upper=9, required=False, default=1),
        FieldSpec("purge", "boolean", required=False, default=False),
    )
    assert dose.results == (FieldSpec("red", "number", "percent", 0, 100), FieldSpec("name", "text"))
    assert dose.seconds({"volume": 10.0, "rate": 5.0}) == 120.0
    assert found.actions["rinse"].seconds({}) == 10.0
    assert found.actions["rinse"].results == ()


def test_the_description_is_json() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = Pump.describe(PumpSettings(), "pump").schema()
    arguments = schema["actions"]["dose"]["arguments"]
    jsonschema.Draft202012Validator.check_schema(arguments)
    jsonschema.validate({"volume": 1.0}, arguments)
    for wrong in ({}, {"volume": 51}, {"volume": 1, "line": "oil"}, {"volume": 1, "x": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, arguments)
    assert arguments["properties"]["volume"]["x-unit"] == "mL"


def test_an_action_is_performed() -> None:
    assert perform("dose", volume=10.0) == ({"red": 10.0, "name": "acidFalse"}, 120.0)
    assert perform("dose", volume=10.0, rate=10.0, line="base", strokes=2, purge=True)[0] == {
        "red": 20.0,
        "name": "baseTrue",
    }
    assert perform("rinse") == ({}, 10.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, r"dose: 'volume' is missing \(\[0.1, 50\] mL\)"),
        ({"volume": 50.000001}, r"volume: 50 mL is outside the limits \[0.1, 50\] mL"),
        ({"volume": math.nan}, "volume: nan is not finite"),
        ({"volume": math.inf}, "volume: inf is not finite"),
        ({"volume": 10**400}, "volume: 1000.*too large"),
        ({"volume": "1 mL"}, "volume: '1 mL' is not a number"),
        ({"volume": True}, "volume: True is not a number"),
        ({"volume": 1, "strokes": 1.5}, "strokes: 1.5 is not a whole number"),
        ({"volume": 1, "strokes": 10}, "strokes: 10 dimensionless is outside"),
        ({"volume": 1, "line": "oil"}, "line: 'oil' is none of acid, base"),
        ({"volume": 1, "line": 5}, "line: 5 is not a text"),
        ({"volume": 1, "purge": 1}, "purge: 1 is not true or false"),
        ({"volume": 1, "speed": 1}, "'speed' is no parameter of dose"),
        ({"volume": 99, "line": "oil", "x": 1}, "'x' is no parameter of dose; volume: 99 mL.*; line: 'oil'"),
    ],
)
def test_arguments_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LimitError, match=said):
        Pump.describe(PumpSettings()).actions["dose"].check(arguments)


@given(st.floats(), st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_limits_are_kept_exactly(value: float, lower: float, width: float) -> None:
    spec = ActionSpec("a", "reads", (FieldSpec("x", lower=lower, upper=lower + width),))
    if lower <= value <= lower + width:
        assert spec.check({"x": value}) == {"x": value}
    else:
        with pytest.raises(LimitError):
            spec.check({"x": value})


def test_results_are_checked() -> None:
    spec = Pump.describe(PumpSettings()).actions["dose"]
    assert spec.check_result({"red": 5.0, "name": "x"}) is None
    assert spec.check_result({"red": math.nan, "name": "x"}) == "red: nan is not finite"
    assert spec.check_result({"red": 5.0, "blue": 1.0}) == "'name' is missing; 'blue' was not declared"
    assert "outside the limits" in str(spec.check_result({"red": 101.0, "name": "x"}))


# --- what cannot be described ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (list[float], "must be float, int, str, bool or a Literal of words"),
        (float | None, "must be float, int, str, bool"),
        (Any, "must be float, int, str, bool"),
        (Literal[1, 2], "a Literal of words"),
        (dict, "must be float, int, str, bool"),
        (Annotated[str, Unit("g")], "only a number can have a unit and limits, not text"),
        (Annotated[bool, Limits(0, 1)], "only a number can have a unit and limits, not boolean"),
        (Annotated[float, Unit("g"), Unit("kg")], "two units or two limits"),
        (Annotated[float, Limits], "write Unit"),
    ],
)
def test_hints_that_cannot_be_checked(hint: Any, said: str) -> None:
    with pytest.raises(DriverError, match=said):
        field_spec("x", hint)


@pytest.mark.parametrize(
    ("hint", "default", "said"),
    [
        (Annotated[float, Limits(0, 1)], 2.0, "'x': the default 2 dimensionless is outside the limits"),
        (float, None, "'x': the default None is not a number"),
        (Literal["a", "b"], "c", "'x': the default 'c' is none of a, b"),
        (int, 1.5, "'x': the default 1.5 is not a whole number"),
    ],
)
def test_defaults_must_be_allowed(hint: Any, default: Any, said: str) -> None:
    with pytest.raises(DriverError, match=said):
        field_spec("x", hint, default)


def test_units_and_limits_are_checked_where_they_are_written() -> None:
    with pytest.raises(UnitError, match="unknown unit 'apples'"):
        Unit("apples")
    with pytest.raises(DriverError, match="the lower limit must not be above"):
        Limits(2, 1)
    with pytest.raises(DriverError, match="the lower limit must not be above"):
        Limits(math.nan, 1)


def described(*methods: Any) -> Any:
    return type("Odd", (Instrument,), {m.__name__: m for m in methods}).describe(DriverSettings())


def test_actions_that_cannot_be_described() -> None:
    @action(effect="reads")
    async def no_hint(self: Any, ctx: Context, x) -> None: ...  # type: ignore[no-untyped-def]

    @action(effect="reads")
    async def no_ctx(self: Any, x: float) -> None: ...

    @action(effect="reads")
    async def stars(self: Any, ctx: Context, *xs: float) -> None: ...

    @action(effect="reads")
    async def no_return(self: Any, ctx: Context): ...  # type: ignore[no-untyped-def]

    @action(effect="reads")
    async def odd_return(self: Any, ctx: Context) -> float: ...

    @action(effect="reads")
    async def hidden(self: Any, ctx: Context, x: Decimal) -> None: ...

    @action(effect="reads", duration="5 apples")
    async def odd_duration(self: Any, ctx: Context) -> None: ...

    for method, said in [
        (no_hint, "Odd.no_hint: the parameters 'x' need type hints"),
        (no_ctx, "Odd.no_ctx: an action's first parameter after self is 'ctx'"),
        (stars, r"Odd.stars: '\*xs.*' cannot be described"),
        (no_return, "Odd.no_return: say what it returns"),
        (odd_return, "Odd.odd_return: an action returns None or a dataclass"),
        (hidden, "Odd.hidden: the type hint 'Decimal' cannot be looked up; import it or define it at the top"),
    ]:
        with pytest.raises(DriverError, match=said):
            described(method)
    with pytest.raises(UnitError, match="apples"):
        described(odd_duration)


def test_an_action_is_async_and_says_its_effect() -> None:
    with pytest.raises(DriverError, match="action 'plain' must be an async function"):

        @action(effect="reads")  # type: ignore[arg-type]
        def plain(self: Any, ctx: Context) -> None: ...

    with pytest.raises(DriverError, match="effect is one of 'reads', 'repeatable', 'irreversible', not 'maybe'"):
        action(effect="maybe")  # type: ignore[arg-type]


def test_a_context_hint_may_be_for_type_checkers_alone() -> None:
    @action(effect="reads")
    async def fine(self: Any, ctx: NotImportedAnywhere, x: float) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert described(fine).actions["fine"].parameters == (FieldSpec("x"),)


def test_results_must_be_dataclasses() -> None:
    assert result_specs("a", None) == ()
    with pytest.raises(DriverError, match="a: an action returns None or a dataclass with annotated fields"):
        result_specs("a", dict)


# --- settings, context, command, registry ----------------------------------------------------------------------------


class WithFiles(DriverSettings):
    table: InputFile
    calibration: InputFile | None = None
    other: str = "no file"


def test_input_files_are_resolved_and_known(tmp_path: Path) -> None:
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs/t.csv").write_text("a\n1\n")
    files = Files(tmp_path)
    context = {"resolve": files.resolver("labs/lab.yaml")}
    found = WithFiles.model_validate({"table": "t.csv"}, context=context)
    assert found.input_files() == [str(tmp_path / "labs/t.csv")]
    assert list(files.used) == ["labs/t.csv"]
    found = WithFiles.model_validate({"table": "t.csv", "calibration": "../c.csv"}, context=context)
    assert found.input_files() == [str(tmp_path / "labs/t.csv"), str(tmp_path / "c.csv")]
    assert WithFiles(table="x").input_files() == ["x"]
    odd = WithFiles.model_validate({"table": "x" * 300 + "\0"}, context=context)
    assert odd.table.endswith("\0")
    with pytest.raises(ValueError, match="Extra inputs"):
        WithFiles(table="x", tabel="y")  # type: ignore[call-arg]


def test_a_context_without_a_store_refuses() -> None:
    clock = VirtualClock(0.0)
    context = Context(command("rinse", {}), clock)
    assert context.sample == "s"
    with pytest.raises(DriverError, match=r"artefact x.csv .* nothing was given to keep it in"):
        context.artefact("x.csv", b"1", "text/csv")
    with pytest.raises(ValueError, match="unpack"):
        _ = Context(command("rinse", {}, ()), clock).sample
    asyncio.run(context.progress(0.5))


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), min_size=2, max_size=5)
)
def test_a_digest_knows_the_content_and_not_the_order(arguments: dict[str, Any]) -> None:
    backwards = dict(reversed(arguments.items()))
    assert digest_of("i", "a", arguments) == digest_of("i", "a", backwards)
    assert digest_of("i", "a", arguments) != digest_of("i", "b", arguments)
    key = next(iter(arguments))
    assert digest_of("i", "a", arguments) != digest_of("i", "a", {**arguments, key: "another"})


def test_a_digest_has_no_nan() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        digest_of("i", "a", {"x": math.nan})


def test_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "replay" in driver_names()
    assert issubclass(get_driver("replay"), Instrument)
    with pytest.raises(DriverError, match=r"unknown driver 'replya' \(did you mean 'replay'\?\); installed are"):
        get_driver("replya")

    class Point:
        value = "some.module:Thing"

        def __init__(self, thing: Any) -> None:
            self.thing = thing

        def load(self) -> Any:
            if isinstance(self.thing, Exception):
                raise self.thing
            return self.thing

    points = {
        "broken": Point(ImportError("no module named x")),
        "odd": Point(int),
        "object": Point(5),
        "pump": Point(Pump),
    }
    monkeypatch.setattr(registry, "_points", lambda: points)
    assert driver_names() == ("broken", "object", "odd", "pump")
    assert get_driver("pump") is Pump
    with pytest.raises(DriverError, match="driver 'broken' cannot be imported: ImportError: no module named x"):
        get_driver("broken")
    for name in ("odd", "object"):
        with pytest.raises(DriverError, match=r"some.module:Thing is not a subclass of sdl.driver.Instrument"):
            get_driver(name)


def test_what_a_driver_need_not_write() -> None:
    pump = Pump("pump", PumpSettings(), clock=VirtualClock(0.0))

    async def run() -> None:
        await pump.connect()
        assert (await pump.health()).state == "ok"
        assert await pump.read_state() == {}
        assert not (await pump.safe_state()).confirmed
        assert (await pump.reconcile(command("rinse", {}))).state == "unknown"
        assert await pump.abort(command("rinse", {})) is False
        assert pump.truth("dose", {}, "s") is None
        await pump.close()

    asyncio.run(run())
