"""`manual`: steps that a person carries out, asked through the hooks or at a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from enginekit import Diary, observations, settled
from enginekit import run as run_campaign
from sdl_instruments.manual import fill

from sdl.clock import RealClock
from sdl.driver import Command, Context, FieldSpec, Form, Reconciled, get_driver
from sdl.driver.form import read_field, said
from sdl.engine import HookList, Hooks
from sdl.errors import DriverError, FileProblems, InputError, InstrumentFault
from sdl.ledger import CommandIntended, Ledger, QuestionOpened
from sdl.preflight import check

MASS = {"unit": "g", "limits": [0, 10]}
WEIGH: dict[str, Any] = {
    "instructions": "Weigh {mass} of powder into crucible {sample}.\nThen close the lid.",
    "effect": "irreversible",
    "parameters": {"mass": MASS},
    "results": {"weighed": {"unit": "g", "limits": [0, 20]}, "colour": {"choices": ["white", "grey"]}},
    "duration": "10 min",
}
CAMPAIGN = """
name: by-hand
space: {parameters: {mass: {type: continuous, bounds: [1, 5], unit: g}}}
objectives: {weighed: {goal: maximize, unit: mg}}
protocol:
  - {instrument: person, action: weigh, with: {mass: $mass}, gives: {weighed: weighed}}
lab:
  instruments:
    person:
      driver: manual
      settings:
        actions:
          weigh:
            instructions: "Weigh {mass} of powder into crucible {sample}."
            effect: irreversible
            parameters: {mass: {unit: g, limits: [0, 10]}}
            results: {weighed: {unit: g, limits: [0, 20]}}
            duration: 10 min
            simulate: {weighed: 2500 mg}
planner: {type: random}
stop: {experiments: 2}
"""


def describe(**actions: Any) -> Any:
    driver = get_driver("manual")
    return driver.describe(driver.settings_model.model_validate({"actions": actions}))


class Person(Hooks):
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Form], Mapping[str, Any] | None]) -> None:
        self.answer = answer
        self.forms: list[Form] = []
        self.at_once = 0
        self.most_at_once = 0

    async def ask(self, form: Form) -> Mapping[str, Any] | None:
        self.forms.append(form)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0.01)
            return self.answer(form)
        finally:
            self.at_once -= 1


# --- describing ------------------------------------------------------------------------------------------------------


def test_the_description():
    found = describe(weigh=WEIGH)
    spec = found.actions["weigh"]
    assert (found.nature, found.is_real) == ("manual", True)
    assert (spec.effect, spec.duration, spec.abortable) == ("irreversible", 600, True)
    assert spec.doc == "Weigh <mass> of powder into crucible <sample>."
    assert [(f.name, f.kind, f.unit, f.choices) for f in spec.results] == [
        ("weighed", "number", "g", ()),
        ("colour", "text", "dimensionless", ("white", "grey")),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration": None}, "state how long it takes"),
        ({"instructions": "Weigh {mas}."}, "nothing is known of '{mas}' (did you mean 'mass'?)"),
        ({"instructions": "Weigh {mass.__class__}."}, "a single '{'"),
        ({"instructions": "Weigh {mass!r:>10}."}, "a single '{'"),
        ({"parameters": {"mass": {"unit": "g"}}}, "limits: [lowest, highest] in g"),
        ({"parameters": {"mass": {"limits": [0, 1]}}}, "nothing says in which unit"),
        ({"results": {"weighed": {}}}, "state what it is: weighed: {type: number, unit: …}"),
        ({"simulate": {"weighed": 3}}, "simulate: 'colour' is missing"),
        ({"simulate": {"weighed": "3 m", "colour": "grey"}}, "3 m cannot be given in g"),
        ({"simulate": {"weighed": 30, "colour": "grey"}}, "30 g is outside the limits [0, 20] g"),
        ({"simulate": {"weigh": 30}}, "there is no result 'weigh' (did you mean 'weighed'?)"),
    ],
)
def test_what_is_missing_is_said(change, words):
    with pytest.raises(DriverError) as found:
        describe(weigh={**WEIGH, **change})
    assert words in str(found.value)


def test_placeholders_are_filled_and_never_evaluated():
    assert fill("{a} {{b}} {a}", {"a": "{b} {0.__class__}"}) == "{b} {0.__class__} {b} {b} {0.__class__}"
    for wrong in ("{", "}", "{}", "{0}", "{a.b}", "{a[0]}"):
        with pytest.raises(DriverError):
            fill(wrong, {"a": "x"})


# --- reading answers -------------------------------------------------------------------------------------------------

LENGTH = FieldSpec("length", "number", "cm", 0, 5)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (LENGTH, "12 mm", 1.2),
        (LENGTH, " 3 ", 3.0),
        (FieldSpec("t", "number", "degC", 0, 100), "300 K", 26.85),
        (FieldSpec("n", "integer"), "4", 4),
        (FieldSpec("w", "text", choices=("white", "grey")), "grey", "grey"),
        (FieldSpec("b", "boolean"), "Yes", True),
        (FieldSpec("c", "text", required=False, default="none"), "", "none"),
    ],
)
def test_answers_are_read(field, text, value):
    assert read_field(field, text) == pytest.approx(value) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        (LENGTH, "12 g", "12 g cannot be given in cm"),
        (LENGTH, "60 mm", "6 cm is outside the limits [0, 5] cm"),
        (LENGTH, "nan", "is not a quantity"),
        (LENGTH, "", "'length' takes a number in cm, 0 to 5"),
        (LENGTH, "__import__('os')", "is not a quantity"),
        (FieldSpec("n", "integer"), "4.5", "is not a whole number"),
        (FieldSpec("w", "text", choices=("white", "grey")), "gray", "is none of white, grey (did you mean 'grey'?)"),
        (FieldSpec("b", "boolean"), "perhaps", "neither yes nor no"),
    ],
)
def test_answers_that_cannot_be_taken(field, text, words):
    with pytest.raises(InputError) as found:
        read_field(field, text)
    assert words in str(found.value)


def test_what_a_field_takes_in_words():
    assert said(FieldSpec("n", "integer", lower=1)) == "a whole number, at least 1"
    assert said(FieldSpec("n", upper=1)) == "a number, at most 1"
    assert said(FieldSpec("b", "boolean")) == "yes or no"
    assert said(FieldSpec("w", "text")) == "a text"


# --- in a campaign, with a hook for a person -------------------------------------------------------------------------


def test_a_person_is_asked_and_the_answer_counts(write):
    person = Person(lambda form: {"weighed": 2.0 + len(person.forms)})
    diary = Diary()
    end, _, rows = run_campaign(write("c.yaml", CAMPAIGN), None, hooks=HookList(diary, person))
    assert end[0] == "done" and settled(rows) == ["succeeded"] * 2
    assert observations(rows) == [(1, "weighed", 3000.0), (2, "weighed", 4000.0)]
    form = person.forms[0]
    assert form.title == "experiment 1, person: weigh, sample by-hand-0001"
    assert re.fullmatch(r"Weigh [0-9.]+ g of powder into crucible by-hand-0001\.", form.instructions)
    assert form.fields == (FieldSpec("weighed", "number", "g", 0, 20),)
    assert any("a person is asked" in line for line in diary.lines)


def test_several_questions_come_one_after_another(write):
    two = CAMPAIGN.replace("planner:", "concurrency: 2\nplanner:").replace(
        "  - {instrument: person,",
        "  - {instrument: other, action: weigh, with: {mass: $mass}}\n  - {instrument: person,",
    )
    at = two.index("    person:\n")
    two = (
        two[:at]
        + two[at : two.index("planner:")].replace("person:", "other:").replace("concurrency: 2\n", "")
        + two[at:]
    )
    person = Person(lambda form: {"weighed": 2.0})
    end, _, _ = run_campaign(write("c.yaml", two), None, "stop.experiments=4", hooks=person)
    assert end[0] == "done" and len(person.forms) == 8
    assert person.most_at_once == 1


@pytest.mark.parametrize("answer", [{"weighed": 30.0}, {}, {"weighed": 2.0, "more": 1}, {"weighed": "2"}])
def test_answers_of_a_hook_are_checked(write, answer):
    end, state, rows = run_campaign(write("c.yaml", CAMPAIGN), None, hooks=Person(lambda form: answer))
    assert end[0] == "done" and settled(rows) == ["failed"] * 2
    assert "the answer cannot be used" in state.experiments[1].reason


def test_a_person_says_that_it_failed(write):
    def answer(form):
        raise InstrumentFault("the person says that it failed: spilled")

    end, state, _ = run_campaign(write("c.yaml", CAMPAIGN), None, hooks=Person(answer))
    assert end[0] == "done"
    assert "spilled" in state.experiments[1].reason


def test_where_nobody_can_be_asked_it_is_a_question_and_never_a_guess(write):
    end, _, rows = run_campaign(write("c.yaml", CAMPAIGN), None)
    assert end[0] == "waiting"
    assert settled(rows) == ["unknown", "not_started"]  # the other one waited for the same person
    questions = [r.event for r in rows if isinstance(r.event, QuestionOpened)]
    assert len(questions) == 1
    assert "nobody can be asked here; to be done was: Weigh" in questions[0].text
    assert not observations(rows)


def test_abort_withdraws_the_question(write):
    class Slow(Hooks):
        async def ask(self, form):
            self.engine.stop("Ctrl-C")
            self.aborting = asyncio.ensure_future(self.engine.abort())
            await asyncio.sleep(30)

    hooks = Slow()
    diary = Diary()
    end, _, rows = run_campaign(
        write("c.yaml", CAMPAIGN),
        None,
        hooks=HookList(diary, hooks),
        steer=lambda engine: setattr(hooks, "engine", engine),
    )
    assert end[0] == "stopped" and settled(rows) == ["aborted"]
    assert any("NOT confirmed: a person works here: go and look" in line for line in diary.lines)


def test_virtual_time_is_refused_and_the_stand_in_is_not(write):
    file = write("c.yaml", CAMPAIGN.replace("lab:\n", "lab:\n  clock: {type: virtual}\n"))
    with pytest.raises(FileProblems, match="virtual time needs a simulated lab, but person is real"):
        check(file)
    file = write("c.yaml", CAMPAIGN)
    assert check(file).lab.instruments["person"].description.nature == "manual"
    checked = check(file, simulate=True)
    assert checked.lab.is_simulated and checked.lab.instruments["person"].description.nature == "simulated"
    file = write("c.yaml", CAMPAIGN.replace("            simulate: {weighed: 2500 mg}\n", ""))
    with pytest.raises(FileProblems, match="driver 'manual' is manual here and its settings state no stand-in"):
        check(file, simulate=True)


def test_after_a_crash_nobody_knows():
    driver = get_driver("manual")

    async def go():
        command = Command("id", "c", 1, 1, 0, "it", "weigh", {"mass": 1.0}, ("s",), 0)
        settings = driver.settings_model.model_validate({"actions": {"weigh": WEIGH}})
        it = driver("it", settings, clock=RealClock())
        assert await it.reconcile(command) == Reconciled("unknown")
        assert not await it.abort(command)
        assert not (await it.safe_state()).confirmed
        stand_in = {**WEIGH, "simulate": {"weighed": "100 mg", "colour": "grey"}, "duration": "0 s"}
        simulated = driver.stand_in(driver.settings_model.model_validate({"actions": {"weigh": stand_in}}))
        it = driver("it", simulated, clock=RealClock())
        assert await it.perform("weigh", Context(command, RealClock()), {"mass": 1.0}) == {
            "weighed": 0.1,
            "colour": "grey",
        }
        assert (await it.reconcile(command)).state == "unknown"

    asyncio.run(go())


# --- at a real terminal ----------------------------------------------------------------------------------------------


class Terminal:
    """`sdl` at a pseudo-terminal of its own, as a person has it."""

    def __init__(self, *arguments: Any) -> None:
        self.shown = ""
        pid, self.fd = pty.fork()
        if pid == 0:  # the child; its terminal is the pseudo-terminal
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-m", "sdl.cli", *map(str, arguments)])
        self.pid = pid
        self.at = 0

    def wait_for(self, text: str, seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown[self.at :]:
            if time.monotonic() > deadline or not self._read(0.5):
                pytest.fail(f"'{text}' was not shown:\n{self.shown[self.at :]}")
        self.at = self.shown.index(text, self.at) + len(text)

    def _read(self, seconds: float) -> bool:
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            self.shown += data.decode(errors="replace")
            return bool(data)
        return True

    def write(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self, seconds: float = 40.0) -> int:
        deadline = time.monotonic() + seconds
        while self._read(0.2) and time.monotonic() < deadline:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with suppress(OSError):
            os.close(self.fd)


@contextmanager
def terminal(*arguments: Any):
    it = Terminal(*arguments)
    try:
        yield it
    finally:
        it.kill()


def test_a_person_at_the_terminal(write, tmp_path):
    file, home = write("c.yaml", CAMPAIGN), tmp_path / "home"
    with terminal("run", file, "--home", home, "--engine", "local", "--set", "stop.experiments=3") as it:
        it.wait_for("── experiment 1, person: weigh, sample by-hand-0001 ──")
        it.wait_for("weighed (a number in g, 0 to 20): ")
        it.write("30\n")
        it.wait_for("30 g is outside the limits [0, 20] g")
        it.wait_for("weighed (")
        it.write("12 mm\n")
        it.wait_for("12 mm cannot be given in g")
        it.wait_for("weighed (")
        it.write("2500 mg\n")
        it.wait_for("noted")
        it.wait_for("── experiment 2")
        it.wait_for("weighed (")
        it.write("failed: spilled on the floor\n")
        it.wait_for("── experiment 3")
        it.wait_for("weighed (")
        # The first Ctrl-C: running steps finish, and this one is asked on; the second withdraws it.
        it.write("\x03")
        it.wait_for("no new step begins")
        it.wait_for("weighed (")
        it.write("\x03")
        it.wait_for("the question is withdrawn; leave everything as it is")
        assert it.end() == 4
    ledger = Ledger(home)
    rows = ledger.rows("by-hand")
    ledger.close()
    assert settled(rows) == ["succeeded", "failed", "aborted"]
    assert observations(rows) == [(1, "weighed", 2500.0)]
    assert any("spilled on the floor" in str(r.event) for r in rows)


def test_killed_at_a_question_and_asked_again_without_a_terminal(write, tmp_path):
    file, home = write("c.yaml", CAMPAIGN), tmp_path / "home"
    arguments = ["run", file, "--home", home, "--engine", "local", "--set", "stop.experiments=1"]
    with terminal(*arguments) as it:
        it.wait_for("weighed (")
        os.kill(it.pid, signal.SIGKILL)
        it.end()
    result = subprocess.run(
        [sys.executable, "-m", "sdl.cli", *map(str, arguments), "--json", "--no-wait"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 3, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["state"] == "waiting"
    ledger = Ledger(Path(home))
    rows = ledger.rows("by-hand")
    ledger.close()
    assert settled(rows) == ["unknown"]
    assert sum(isinstance(r.event, CommandIntended) for r in rows) == 1
