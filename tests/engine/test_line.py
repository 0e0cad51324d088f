"""Samples on a line: places hold so many, experiments share a command, a failed sample is cleared away, a consumable runs out."""

from __future__ import annotations

import asyncio
import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ClassVar

import pytest
from enginekit import Diary, run
from personkit import Person, on, stays
from typer.testing import CliRunner

from sdl.cli.main import app
from sdl.driver import Context, Health, Instrument, Limits, Reconciled, Role, SafeReport, Unit, Use, action
from sdl.errors import InstrumentFault, NameInUseError, OutcomeUnknown
from sdl.ledger import (
    CampaignWaiting,
    CommandIntended,
    CommandSettled,
    ExperimentFailing,
    ExperimentFinished,
    Ledger,
    QuestionOpened,
)


@dataclass
class Record:
    """What really happened: who was where, and what was fired together."""

    at: dict[str, str] = field(default_factory=dict)
    most: Counter[str] = field(default_factory=Counter)
    fired: list[tuple[tuple[str, ...], float]] = field(default_factory=list)
    cracks: set[int] = field(default_factory=set)
    drops: set[int] = field(default_factory=set)
    vanish: set[int] = field(default_factory=set)
    read_wrong: set[int] = field(default_factory=set)

    def put(self, sample: str, place: str) -> None:
        self.at[sample] = place
        for name, number in Counter(self.at.values()).items():
            self.most[name] = max(self.most[name], number)


RECORD = Record()


class Maker(Instrument):
    """Makes samples of powder."""

    nature = "simulated"

    @action(effect="irreversible", duration="10 min", uses=[Use("powder", "mass")])
    async def make(self, ctx: Context, mass: Annotated[float, Unit("g"), Limits(0, 10)]) -> None:
        """Make a sample."""
        assert ctx.place == "bench"
        RECORD.put(ctx.sample, "bench")
        await ctx.sleep(600)


class Arm(Instrument):
    """Carries samples."""

    nature = "simulated"

    @action(effect="irreversible", duration="1 min")
    async def move(self, ctx: Context, to: Annotated[str, Role("place")]) -> None:
        """Carry a sample to a place."""
        await ctx.sleep(60)
        if ctx.command.experiment in RECORD.drops and to == "rack":
            raise InstrumentFault("the gripper lost the sample")
        if ctx.command.experiment in RECORD.vanish and to == "gauge":
            raise OutcomeUnknown("the arm does not answer")
        RECORD.put(ctx.sample, to)


@dataclass(frozen=True)
class Fired:
    """What the kiln says."""

    peak: Annotated[float, Unit("degC")]


class Kiln(Instrument):
    """Fires three samples at once."""

    nature = "simulated"
    hours: ClassVar[float] = 5.0

    @action(effect="irreversible", duration="5 h", samples=3)
    async def fire(
        self, ctx: Context, temperature: Annotated[float, Unit("degC"), Limits(20, 1400), Role("heats")]
    ) -> Fired:
        """Fire samples."""
        assert all(RECORD.at[s] == "rack" for s in ctx.samples)
        RECORD.fired.append((ctx.samples, temperature))
        await ctx.sleep(3600 * self.hours)
        for sample in ctx.samples:
            if int(sample[-4:]) in RECORD.cracks:
                ctx.sample_failed(sample, "it cracked")
        return Fired(temperature)


@dataclass(frozen=True)
class Read:
    """What the gauge reads."""

    size: Annotated[float, Unit("mm")]


class Gauge(Instrument):
    """Measures."""

    nature = "simulated"

    @action(effect="reads", duration="1 h")
    async def measure(self, ctx: Context) -> Read:
        """Measure a sample."""
        assert RECORD.at[ctx.sample] == "gauge"
        await ctx.sleep(3600)
        return Read(float("nan") if ctx.command.experiment in RECORD.read_wrong else 1.0)


CAMPAIGN = """
name: line
space:
  parameters:
    temperature: {type: discrete, values: [1000, 1100], unit: degC}
    mass: {type: continuous, bounds: [1.9, 2.0], unit: g}
objectives:
  size: {goal: minimize, unit: mm}
protocol:
  - {instrument: maker, action: make, with: {mass: $mass}}
  - {instrument: arm, action: move, with: {to: rack}}
  - {instrument: kiln, action: fire, with: {temperature: $temperature}, together: {wait: 2 h}}
  - {instrument: arm, action: move, with: {to: gauge}}
  - {instrument: gauge, action: measure, gives: {size: size}}
  - {instrument: arm, action: move, with: {to: shelf}}
on_failure:
  - {instrument: arm, action: move, with: {to: bin}}
lab:
  clock: {type: virtual}
  places: {bench: {}, rack: {capacity: 6}, gauge: {}, shelf: {capacity: 99}, bin: {capacity: 99}}
  consumables: {powder: 100 g}
  instruments:
    maker: {driver: maker, place: bench}
    arm:   {driver: arm}
    kiln:  {driver: kiln, place: rack}
    gauge: {driver: gauge, place: gauge}
concurrency: 6
planner: {type: random}
stop: {experiments: 12}
"""


@pytest.fixture
def campaign(write, drivers):
    """The line with instruments that record what they do."""
    drivers(maker=Maker, arm=Arm, kiln=Kiln, gauge=Gauge)
    RECORD.__init__()
    return write("line.yaml", CAMPAIGN)


def _firings(rows) -> list[CommandIntended]:
    return [r.event for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "fire"]


def test_every_sample_goes_its_way_and_no_place_holds_more_than_it_can(campaign, tmp_path):
    end, state, _ = run(campaign, tmp_path / "home")
    assert end == ("done", "12 experiments were started")
    assert [e.state for e in state.experiments.values()] == ["done"] * 12
    assert RECORD.most["bench"] == RECORD.most["gauge"] == 1
    assert RECORD.most["rack"] <= 6
    assert set(RECORD.at.values()) == {"shelf"}
    assert all(e.held == ("shelf",) for e in state.experiments.values())


def test_samples_that_ask_the_same_are_fired_together(campaign, tmp_path):
    _, state, rows = run(campaign, tmp_path / "home")
    assert sum(len(samples) for samples, _ in RECORD.fired) == 12
    assert max(len(samples) for samples, _ in RECORD.fired) == 3
    for samples, temperature in RECORD.fired:
        assert {state.experiments[int(s[-4:])].candidate["temperature"] for s in samples} == {temperature}
    for event in _firings(rows):
        assert len(event.members) + 1 == len(event.samples)
        assert event.destination is None


def test_all_alike_fill_the_kiln(campaign, tmp_path):
    run(campaign, tmp_path / "home", "space.parameters.temperature.values=[1000, 1000.5]", "stop.experiments=6")
    together = [len(s) for s, _ in RECORD.fired]
    assert sum(together) == 6


def test_the_first_waits_no_longer_than_it_must(campaign, tmp_path):
    _, _, rows = run(campaign, tmp_path / "home", "protocol[2].together.wait=20 min")
    done = {r.event.command: r for r in rows if isinstance(r.event, CommandSettled)}
    arrived = {
        r.event.experiment: datetime.fromisoformat(done[r.event.command].at)
        for r in rows
        if isinstance(r.event, CommandIntended) and r.event.step == 1
    }
    busy_until = None
    for row in rows:
        if not isinstance(row.event, CommandIntended) or row.event.action != "fire":
            continue
        members = [row.event.experiment, *(m[0] for m in row.event.members)]
        waited = (datetime.fromisoformat(row.at) - min(arrived[m] for m in members)).total_seconds()
        if waited > 1200:  # only ever for the kiln itself
            assert busy_until is not None and datetime.fromisoformat(row.at) <= busy_until
        busy_until = datetime.fromisoformat(done[row.event.command].at)


def test_at_most_is_kept(campaign, tmp_path):
    run(campaign, tmp_path / "home", "protocol[2].together={wait: 2 h, at_most: 2}")
    assert max(len(samples) for samples, _ in RECORD.fired) == 2


def test_one_that_cracks_does_not_spoil_its_neighbours(campaign, tmp_path):
    RECORD.cracks = {2, 5}
    end, state, rows = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    states = {n: e.state for n, e in state.experiments.items()}
    assert [n for n, s in states.items() if s == "failed"] == [2, 5]
    assert state.experiments[2].reason == "kiln.fire: it cracked"
    assert RECORD.at["line-0002"] == "bin" and RECORD.at["line-0001"] == "shelf"
    assert [r.event.experiment for r in rows if isinstance(r.event, ExperimentFailing)] == [2, 5]


def test_a_measurement_that_cannot_be_used_clears_the_gauge(campaign, tmp_path):
    RECORD.read_wrong = {1, 2}
    end, state, _ = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    assert state.experiments[1].state == state.experiments[2].state == "failed"
    assert RECORD.at["line-0001"] == "bin"
    assert sum(e.state == "done" for e in state.experiments.values()) == 10


class Guess(Instrument):
    """A calculation that fails for some samples."""

    nature = "simulated"
    always: ClassVar[bool] = True

    @action(effect="reads", duration="1 min")
    async def calculate(self, ctx: Context, mass: Annotated[float, Unit("g")]) -> Read:
        """Calculate."""
        if self.always or ctx.command.experiment == 1:
            raise InstrumentFault("it does not converge")
        return Read(mass)

    async def reconcile(self, command):
        return Reconciled("not_started")

    async def health(self) -> Health:
        return Health("ok")

    async def safe_state(self) -> SafeReport:
        return SafeReport(True, "nothing to do")


GUESS = "{instrument: guess, action: calculate, with: {mass: $mass}"


def test_a_calculation_that_fails_moves_nothing(campaign, drivers, tmp_path):
    pytest.importorskip("torch")
    drivers(maker=Maker, arm=Arm, kiln=Kiln, gauge=Gauge, guess=Guess)
    head, rest = CAMPAIGN.split("protocol:\n")
    steps, rest = rest.split("on_failure:\n")
    text = (
        f"{head}sources:\n  model: {{cost: 1 h, protocol: [{GUESS}, gives: {{size: size}}}}]}}\n"
        f"  full:\n    target: true\n    cost: 9 h\n    protocol:\n{textwrap.indent(steps, '    ')}on_failure:\n{rest}"
    )
    text = text.replace("    arm:   {", "    guess: {driver: guess}\n    arm:   {").replace(
        "experiments: 12", "experiments: 4"
    )
    campaign.write_text(text.replace("{type: random}", "{type: bayes, initial: {count: 2}}"))
    _, state, rows = run(campaign, tmp_path / "home")
    assert [e.state for e in state.experiments.values() if e.source == "model"] == ["failed", "failed"]
    sent = {r.event.instrument for r in rows if isinstance(r.event, CommandIntended) and _is_of(state, r, "model")}
    assert sent == {"guess"}, "there is no sample to clear away"
    assert [e.held for e in state.experiments.values() if e.source == "full"] == [("shelf",)] * 2
    planned = CliRunner().invoke(app, ["plan", str(campaign)]).stdout
    assert planned.split("steps on 'model'")[1].count("arm.move") == 0


def _is_of(state, row, source):
    return state.experiments[row.event.experiment].source == source


def test_a_step_that_fails_before_there_is_a_sample_moves_nothing(campaign, drivers, tmp_path):
    drivers(maker=Maker, arm=Arm, kiln=Kiln, gauge=Gauge, guess=type("Once", (Guess,), {"always": False}))
    text = CAMPAIGN.replace("protocol:\n", f"protocol:\n  - {GUESS}}}\n")
    campaign.write_text(
        text.replace("    arm:   {", "    guess: {driver: guess}\n    arm:   {").replace(
            "experiments: 12", "experiments: 2"
        )
    )
    _, state, rows = run(campaign, tmp_path / "home")
    assert [e.state for e in state.experiments.values()] == ["failed", "done"]
    assert not any(isinstance(r.event, ExperimentFailing) for r in rows)


def test_a_move_that_fails_leaves_the_sample_where_it_was(campaign, tmp_path):
    RECORD.drops = {3}
    end, state, _ = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    assert state.experiments[3].state == "failed"
    assert state.experiments[3].held == ("bin",)  # cleared away from the bench, where it had stayed
    assert RECORD.at["line-0003"] == "bin"


def test_what_cannot_be_cleared_away_is_said(campaign, tmp_path):
    RECORD.drops = {3}
    end, state, _ = run(campaign, tmp_path / "home", "on_failure[0].with.to=rack", "lab.places.rack.capacity=12")
    assert end == (
        "waiting",
        "no sample can move: 'bench' holds 1 of 1: 'line-0003'; a person must see to it",
    )
    assert "could not be cleared away: arm.move: the gripper lost" in state.experiments[3].reason


def test_a_consumable_that_runs_out_ends_the_campaign_before_anybody_runs_dry(campaign, tmp_path):
    end, state, _ = run(campaign, tmp_path / "home", "lab.consumables.powder=9 g")
    assert end[0] == "done"
    assert re.fullmatch(r"of 'powder' 1\.[0-9]+ g are left and experiment 5 takes 1\.9[0-9]+ g", end[1]), end
    assert [e.state for e in state.experiments.values()][:4] == ["done"] * 4
    assert len(RECORD.at) == 4


def test_stopped_while_samples_gather_and_gone_on(campaign, tmp_path):
    diary = Diary()

    def steer(engine):
        def watch(rows, view):
            if any(isinstance(r.event, CommandSettled) for r in rows) and len(RECORD.at) == 3:
                engine.stop("enough")

        diary.recorded = watch

    end, _, _ = run(campaign, tmp_path / "home", hooks=diary, steer=steer)
    assert end == ("stopped", "enough")
    end, state, rows = run(campaign, tmp_path / "home")
    assert end[0] == "done"
    assert sum(len(s) for s, _ in RECORD.fired) == 12
    assert Counter(e.state for e in state.experiments.values()) == {"done": 12}
    finished = [r.event.experiment for r in rows if isinstance(r.event, ExperimentFinished)]
    assert sorted(finished) == list(range(1, 13))


def test_another_stock_is_another_campaign(campaign, tmp_path):
    run(campaign, tmp_path / "home", "stop.experiments=2")
    with pytest.raises(NameInUseError, match=r"lab\.consumables\.powder: recorded '100 g', now '1 kg'"):
        run(campaign, tmp_path / "home", "stop.experiments=2", "lab.consumables.powder=1 kg")


def test_what_was_made_half_way_is_cleared_away_before_the_next_is_made(campaign, tmp_path, monkeypatch):
    async def broken(self, ctx, mass):
        if ctx.command.experiment == 1:
            raise InstrumentFault("the jar is stuck")
        await make(self, ctx, mass)

    make = Maker.make
    broken.__sdl_action__ = make.__sdl_action__
    broken.__doc__ = make.__doc__
    broken.__annotations__ = make.__annotations__
    monkeypatch.setattr(Maker, "make", broken)
    end, state, rows = run(campaign, tmp_path / "home", "stop.experiments=3")
    assert end[0] == "done"
    assert state.experiments[1].reason == "maker.make: the jar is stuck"
    assert RECORD.at["line-0001"] == "bin"
    cleared = next(r.seq for r in rows if isinstance(r.event, ExperimentFinished) and r.event.experiment == 1)
    made = [r.seq for r in rows if isinstance(r.event, CommandIntended) and r.event.action == "move"]
    assert made[0] < cleared  # the bench holds one sample: the arm comes before the next one can be made


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("rejected", [False, True], ids=["both-go-on", "one-is-given-up"])
def test_what_never_began_to_make_a_sample_holds_no_room_after_a_restart(
    campaign, drivers, tmp_path, monkeypatch, rejected
):
    class Asked(Maker):
        async def reconcile(self, command):
            return Reconciled("not_started")

    drivers(maker=Asked, arm=Arm, kiln=Kiln, gauge=Gauge)
    append, intents = Ledger.append, 0

    def dying(self, campaign, moment, events):
        nonlocal intents
        rows = append(self, campaign, moment, events)
        intents += sum(isinstance(e, CommandIntended) for e in events)
        if intents >= 2:
            raise Killed
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", dying)
        with pytest.raises(Killed):
            run(campaign, tmp_path / "home", "stop.experiments=3")
    RECORD.__init__()  # the power went before the maker moved
    person = Person(tmp_path / "home")
    if rejected:
        person.ask("line", "reject", experiment=1, reason="no")
    end, state, rows = run(campaign, tmp_path / "home", "stop.experiments=3", hooks=person)
    assert end[0] == "done"
    assert [r.event.status for r in rows if isinstance(r.event, CommandSettled)][:2] == ["not_started"] * 2
    assert [e.state for e in state.experiments.values()] == ["aborted" if rejected else "done", "done", "done"]
    assert RECORD.most["bench"] == 1  # the bench holds one sample, and each of them was made in its turn


def test_the_question_stands_over_a_restart_and_the_arm_stays_held(campaign, tmp_path):
    RECORD.vanish = {1}
    end, state, rows = run(campaign, tmp_path / "home")
    assert end[0] == "waiting"
    moved = sum(isinstance(r.event, CommandIntended) and r.event.instrument == "arm" for r in rows)
    done = dict(RECORD.at)
    end, state, rows = run(campaign, tmp_path / "home")
    assert end[0] == "waiting"
    assert "'arm' is held until a person says" in end[1]
    assert dict(RECORD.at) == done  # the arm moved nothing
    assert state.experiments[1].held == ("gauge", "rack")
    assert moved


def test_a_person_clears_a_place_and_the_others_go_on(campaign, tmp_path):
    RECORD.drops = {3}
    person = Person(
        tmp_path / "home",
        (on(CampaignWaiting), "clear", {"sample": "line-0001", "reason": "x"}),
        (on(CampaignWaiting), "clear", {"sample": "line-0099", "reason": "x"}),
        (on(CampaignWaiting), "clear", {"sample": "line-0003", "reason": "took it away"}),
    )
    options = ("on_failure[0].with.to=rack", "lab.places.rack.capacity=12")
    end, state, _ = run(campaign, tmp_path / "home", *options, hooks=person, steer=stays)
    assert end[0] == "done"
    outcomes = person.outcomes()
    assert [o[0] for o in outcomes[1:]] == ["refused", "done"]
    assert outcomes[2][1] == "'line-0003' was taken away; room is free at 'bench'"
    assert state.experiments[3].held == ()
    assert sum(e.state == "done" for e in state.experiments.values()) == 11


class _UnknownOnce(Kiln):
    """Dries samples, and once does not say what became of several of them."""

    is_told: ClassVar[bool] = False

    @action(effect="repeatable", duration="5 h", samples=3)
    async def fire(
        self, ctx: Context, temperature: Annotated[float, Unit("degC"), Limits(20, 1400), Role("heats")]
    ) -> Fired:
        """Dry samples."""
        await ctx.sleep(3600 * 5)
        if len(ctx.samples) > 1 and not type(self).is_told:
            type(self).is_told = True
            await asyncio.sleep(0.2)  # somebody acts meanwhile
            raise OutcomeUnknown("the line is dead")
        return Fired(temperature)


@pytest.mark.parametrize("rejected", [0, -1], ids=["the-first", "the-last"])
@pytest.mark.parametrize(
    ("word", "others"), [("discard", "aborted"), ("did-not-happen", "done")], ids=["discard", "did-not-happen"]
)
@pytest.mark.parametrize("clock", ["{type: virtual}", "{type: scaled, factor: 50000}"], ids=["virtual", "scaled"])
def test_one_who_may_not_dry_again_asks_for_all_of_the_load(
    campaign, drivers, tmp_path, monkeypatch, rejected, word, others, clock
):
    drivers(maker=Maker, arm=Arm, kiln=_UnknownOnce, gauge=Gauge)
    monkeypatch.setattr(_UnknownOnce, "is_told", False)
    campaign.write_text(campaign.read_text().replace("{wait: 2 h}", "{wait: 24 h}, if_fails: {retry: 1}"))
    member = {}

    class Rejecting(Person):
        def recorded(self, rows, view):
            for row in rows:
                event = row.event
                if isinstance(event, CommandIntended) and event.members and not member:
                    numbers = [event.experiment, *(m[0] for m in event.members)]
                    member.update(gone=numbers[rejected], others={*numbers} - {numbers[rejected]})
                    self.ask(view.campaign, "reject", experiment=member["gone"], reason="no")
            super().recorded(rows, view)

    person = Rejecting(tmp_path / "home", (on(QuestionOpened), "answer", {"question": "Q1", "answer": word}))
    overrides = ("space.parameters.temperature.values=[1000, 1000.5]", "stop.experiments=3", "concurrency=3")
    end, state, rows = run(
        campaign, tmp_path / "home", *overrides, f"lab.clock={clock}", hooks=person, steer=_gives_up_after(30)
    )
    assert end[0] == "done"
    assert {outcome for outcome, _ in person.outcomes()} == {"done"}
    assert sum(isinstance(r.event, QuestionOpened) for r in rows) == 1
    assert state.experiments[member["gone"]].state == "aborted"
    assert {state.experiments[n].state for n in member["others"]} == {others}


def _gives_up_after(seconds):
    def steer(engine):
        stays(engine)
        asyncio.get_running_loop().call_later(seconds, engine.stop, "it hangs")

    return steer


def test_a_load_that_was_formed_and_not_yet_sent_is_not_sent_after_an_abort(campaign, tmp_path):
    # What the abort leaves half-made stands on the bench until a person clears it away, so the bench is large here.
    few = ("stop.experiments=6", "space.parameters.temperature.values=[1000, 1000.5]", "lab.places.bench.capacity=6")

    class StopsAtTheRack(Diary):
        engine = None

        def recorded(self, rows, view):
            if sum("rack" in e.held[-1:] for e in view.state.experiments.values()) == 3:
                self.engine.stop("a test")

    first = StopsAtTheRack()
    run(campaign, tmp_path / "home", *few, hooks=first, steer=lambda e: setattr(first, "engine", e))
    before = len(RECORD.fired)

    class Slow(Diary):
        """An experiment's task takes its time to begin, as in Prefect, and a person aborts meanwhile."""

        engine = None

        async def experiment(self, number, label, carry_out):
            await asyncio.sleep(0.2)
            await carry_out()

        def recorded(self, rows, view):
            if any(isinstance(r.event, CommandIntended) and r.event.action == "fire" for r in rows):
                asyncio.get_running_loop().call_soon(self.engine.begin_abort, "a person")

    second = Slow()
    end, state, _ = run(campaign, tmp_path / "home", *few, hooks=second, steer=lambda e: setattr(second, "engine", e))
    assert end == ("stopped", "a person")
    assert len(RECORD.fired) == before
    assert not list(state.open_commands())
    end, state, _ = run(campaign, tmp_path / "home", *few)
    assert end[0] == "done"
    assert Counter(s for samples, _ in RECORD.fired for s in samples).most_common(1)[0][1] == 1


class _Silent(Kiln):
    """Fires its first load and does not say what became of it."""

    is_told: ClassVar[bool] = False

    @action(effect="irreversible", duration="5 h", samples=3)
    async def fire(
        self, ctx: Context, temperature: Annotated[float, Unit("degC"), Limits(20, 1400), Role("heats")]
    ) -> Fired:
        """Fire samples."""
        RECORD.fired.append((ctx.samples, temperature))
        await ctx.sleep(3600 * 5)
        if len(ctx.samples) > 1 and not type(self).is_told:
            type(self).is_told = True
            raise OutcomeUnknown("the line is dead")
        return Fired(temperature)


@pytest.mark.parametrize(("spared", "values"), [(1, {"peak": "1000 degC"}), (0, {})], ids=["one-held", "all-cracked"])
def test_an_answer_says_which_samples_of_a_load_failed(campaign, drivers, tmp_path, monkeypatch, spared, values):
    drivers(maker=Maker, arm=Arm, kiln=_Silent, gauge=Gauge)
    monkeypatch.setattr(_Silent, "is_told", False)

    class Looks(Person):
        def recorded(self, rows, view):
            for row in rows:
                if isinstance(row.event, QuestionOpened):
                    samples = next(s for s, _ in RECORD.fired if len(s) > 1)
                    self.samples = samples[spared:]
                    wrong = {**values, "failed_samples": "line-0099=it cracked"}
                    self.ask(view.campaign, "answer", question="Q1", answer="done", values=wrong)
                    told = "; ".join(f"{s}=it cracked" for s in self.samples)
                    self.ask(
                        view.campaign, "answer", question="Q1", answer="done", values={**values, "failed_samples": told}
                    )
            super().recorded(rows, view)

    person = Looks(tmp_path / "home")
    alike = ("space.parameters.temperature.values=[1000, 1000.5]", "protocol[2].together.wait=24 h")
    end, state, _ = run(campaign, tmp_path / "home", *alike, "stop.experiments=3", hooks=person, steer=stays)
    assert end[0] == "done"
    refused, taken = person.outcomes()
    assert refused[0] == "refused" and "'line-0099' is no sample of the command" in refused[1]
    assert taken == ("done", "Q1 answered: done")
    for record in state.experiments.values():
        gone = record.sample in person.samples
        assert (record.state, RECORD.at[record.sample]) == (("failed", "bin") if gone else ("done", "shelf"))
        assert not gone or record.reason == "kiln.fire: it cracked"
    assert len([t for t in state.history().trials if t.state == "failed"]) == len(
        person.samples
    )  # it teaches the planner
