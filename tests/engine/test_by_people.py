"""Campaigns that people carry out: what is proposed, told, refused, and can be recomputed."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from sdl.audit import recompute
from sdl.cli.propose import why_fewer
from sdl.engine import InlineWorker, open_session
from sdl.engine.by_people import opened
from sdl.engine.worker import propose as ask
from sdl.errors import FileProblems, InputError, NameInUseError
from sdl.ledger import ExperimentRejected, Inbox, Ledger, ObservationRecorded, ResultsTold
from sdl.ledger.export import experiment_table
from sdl.ledger.verify import verify
from sdl.preflight import check

CAMPAIGN = """
    name: by-hand
    space:
      parameters:
        temperature: {type: continuous, bounds: [1000, 1250], unit: degC}
        gas: {type: categorical, values: [air, argon]}
    objectives: {conductivity: {goal: maximize, unit: mS/cm}}
    outcome_constraints: {density: {at_least: 90, unit: percent}}
    planner: {type: random}
    stop: {experiments: 6, target: {conductivity: {at_least: 5}}}
"""
HEAD = (
    "experiment,temperature [degC],gas,conductivity [mS/cm],conductivity_uncertainty [mS/cm],density [percent],state\n"
)


@pytest.fixture
def bench(write, tmp_path):
    return Bench(write("c.yaml", CAMPAIGN), tmp_path)


class Bench:
    def __init__(self, file, folder):
        self.file, self.folder, self.home = file, folder, folder / "home"

    def opened(self):
        return opened(check(self.file), self.home)

    def propose(self, count):
        with self.opened() as session:
            new = asyncio.run(session.propose(count, InlineWorker()))
            return [e.number for e in new], session.state

    def tell(self, text, name="r.csv", *, correct=False):
        (self.folder / name).write_text(text)
        with self.opened() as session:
            return session.tell(self.folder / name, "Mia", "", correct=correct), session.state

    def events(self, kind):
        ledger = Ledger(self.home)
        try:
            return [r.event for r in ledger.rows("by-hand") if isinstance(r.event, kind)]
        finally:
            ledger.close()

    def rows(self):
        ledger = Ledger(self.home)
        try:
            return len(ledger.rows("by-hand"))
        finally:
            ledger.close()


def recomputed(planner, problem, history, n, seed):
    return ask(planner, problem, history, n, seed).proposal


def test_open_experiments_are_pending_and_everything_verifies(bench):
    numbers, state = bench.propose(2)
    assert numbers == [1, 2]
    assert state.ended.state == "waiting"
    assert "experiments 1, 2" in state.ended.reason
    numbers, state = bench.propose(3)
    assert numbers == [3, 4, 5]
    assert [t.state for t in state.history().trials] == ["pending"] * 5
    told, state = bench.tell(HEAD + "1,,,2,0.1,95,\n2,,,,,,failed\n3,,,3,,,\n")
    assert told.experiments == [1, 2, 3]
    assert [state.experiments[n].state for n in (1, 2, 3, 4)] == ["done", "failed", "running", "proposed"]
    # one of six is left: what is with people counts
    numbers, state = bench.propose(3)
    assert numbers == [6]
    ledger = Ledger(bench.home)
    try:
        assert verify(ledger, "by-hand").findings == ()
        assert verify(ledger, "by-hand").artefacts == 1
        checked = recompute(ledger, "by-hand", recomputed)
        assert [r.verdict for r in checked.rounds] == ["equal"] * 3
    finally:
        ledger.close()


def test_the_same_file_and_a_growing_one_record_nothing_twice(bench):
    bench.propose(2)
    bench.tell(HEAD + "1,,,2,0.1,95,\n,1100,air,1,,91,\n,1100,air,1,,91,\n")
    before = bench.rows()
    told, state = bench.tell(HEAD + "1,,,2,0.1,95,\n,1100,air,1,,91,\n,1100,air,1,,91,\n")
    assert (told.events, bench.rows()) == ([], before)
    assert len(state.in_state("done")) == 3  # two replicates with the very same numbers are two experiments
    told, state = bench.tell(HEAD + "1,,,2,,95,\n,1100,air,1,,91,\n2,,,3,,92,\n,1100,air,1,,91,\n", "later.csv")
    assert told.experiments == [2]
    assert len(state.in_state("done")) == 4
    assert len(bench.events(ResultsTold)) == 2


def test_nothing_is_recorded_unless_the_whole_file_is_good(bench):
    bench.propose(2)
    before = bench.rows()
    text = (
        HEAD + "1,,,2,,95,\n7,,,2,,95,\n,900,air,2,,95,\n2,1249.9,,2,,95,\n1,,,2,,95,\n,1100,,2,,95,\n,1100,air,2,,,\n"
    )
    with pytest.raises(InputError) as caught:
        bench.tell(text)
    said = str(caught.value)
    assert "there is no experiment 7; there are: 1 to 2" in said
    assert "outside [1000, 1250] degC" in said
    assert "experiment 2 was proposed with temperature" in said
    assert "experiment 1 stands in line 2 already" in said
    assert "missing are 'gas'" in said
    assert "needs all outcomes at once; missing are 'density'" in said
    assert bench.rows() == before


def test_a_value_is_corrected_only_when_asked(bench):
    bench.propose(1)
    bench.tell(HEAD + "1,,,2,,95,\n")
    with pytest.raises(InputError, match="--correct puts the file's in its place"):
        bench.tell(HEAD + "1,,,3,,95,\n")
    told, state = bench.tell(HEAD + "1,,,3,,95,\n", correct=True)
    assert told.corrected == ["1.conductivity.1"]
    assert state.experiments[1].outcomes["conductivity"].value == 3
    last = bench.events(ObservationRecorded)[-1]
    assert (last.observation, last.supersedes, last.source) == ("1.conductivity.2", "1.conductivity.1", "people")


def test_rounding_by_a_spreadsheet_is_no_other_experiment(bench):
    _, state = bench.propose(1)
    proposed = state.experiments[1].candidate
    _, state = bench.tell(HEAD + f"1,{proposed['temperature']:.1f},{proposed['gas']},2,,95,\n")
    assert state.experiments[1].candidate == proposed
    # with the exact parameters of an open experiment a row without a number is taken for it
    _, state = bench.propose(1)
    second = state.experiments[2].candidate
    told, state = bench.tell(HEAD + f",{second['temperature']!r},{second['gas']},2,,95,\n")
    assert told.experiments == [2]
    assert "taken for it" in told.said[0]


def test_it_ends_by_its_target_and_by_its_budget(bench):
    bench.propose(2)
    _, state = bench.tell(HEAD + "1,,,5.5,0.1,95,\n")
    assert state.ended.state == "done"
    assert "experiment 1 reached the target" in state.ended.reason
    assert "experiment 2 stayed open" in state.ended.reason
    assert bench.propose(2)[0] == []
    _, state = bench.tell(HEAD + "2,,,1,0.1,95,\n")  # what was measured all the same is not lost
    assert state.experiments[2].state == "done"
    assert state.ended.state == "done"


def test_what_people_ask_is_taken_at_the_next_command(bench):
    bench.propose(2)
    ledger = Ledger(bench.home)
    inbox = Inbox(ledger)
    inbox.put("by-hand", "Mia", "reject", {"experiment": 2, "reason": "no argon"})
    inbox.put("by-hand", "Mia", "add", {"values": {"temperature": "1373.15 K", "gas": "air"}, "reason": ""})
    inbox.put("by-hand", "Mia", "pause", {"reason": "", "pid": 1, "host": "?"})
    ledger.close()
    with bench.opened() as session:
        assert [e.number for e in session.open] == [1, 3]
        assert session.state.experiments[3].candidate["temperature"] == pytest.approx(1100)
        assert "refused" not in session.said[0]
    assert len(bench.events(ExperimentRejected)) == 1
    ledger = Ledger(bench.home)
    try:
        table = experiment_table(ledger, "by-hand")
        assert [c.header for c in table.columns].count("temperature [degC]") == 1  # a person's own stands there too
        assert not Inbox(ledger).untaken("by-hand")
    finally:
        ledger.close()


def test_half_measured_and_rejected_ends_aborted(bench):
    bench.propose(1)
    bench.tell(HEAD + "1,,,2,,,\n")
    ledger = Ledger(bench.home)
    Inbox(ledger).put("by-hand", "Mia", "reject", {"experiment": 1, "reason": "lost"})
    ledger.close()
    with bench.opened() as session:
        assert session.state.experiments[1].state == "aborted"
    with pytest.raises(InputError, match=r"experiment 1 was given up: rejected by Mia: lost"):
        bench.tell(HEAD + "1,,,3,,95,\n")


def test_a_round_that_a_dead_process_left_open_is_answered_as_it_was_asked(bench):
    class Dies(InlineWorker):
        async def call(self, function, *arguments):
            raise InputError("killed")

    with bench.opened() as session, pytest.raises(InputError, match="killed"):
        asyncio.run(session.propose(2, Dies()))
    numbers, state = bench.propose(3)
    assert numbers == [1, 2, 3]
    assert [len(r.proposed.candidates) for r in state.rounds] == [2, 1]


def test_nothing_runs_it_and_a_lab_is_not_told(bench, campaigns, tmp_path):
    with pytest.raises(InputError, match="people carry its experiments out"):
        open_session(check(bench.file), tmp_path / "h")
    with (
        pytest.raises(InputError, match="has a protocol and a lab"),
        opened(check(campaigns / "opv_photostability.yaml"), tmp_path / "h"),
    ):
        pass


def test_one_command_at_a_time_and_the_same_file(bench, write):
    with bench.opened(), pytest.raises(NameInUseError, match="is being run by process"), bench.opened():
        pass
    write("c.yaml", CAMPAIGN.replace("1250", "1300"))
    with pytest.raises(NameInUseError, match="bounds"), bench.opened():
        pass


def test_a_protocol_without_a_lab_is_still_wrong(write):
    from sdl.errors import FileProblems

    text = CAMPAIGN + "    on_failure: [{instrument: bin, action: drop}]\n"
    with pytest.raises(FileProblems, match="'lab' is missing"):
        check(write("d.yaml", text))


OWN = ",1100,air,1,,91,\n"


def test_a_row_taken_for_an_open_experiment_is_known_when_told_again(bench):
    _, state = bench.propose(1)
    at = state.experiments[1].candidate
    row = HEAD + f",{at['temperature']!r},{at['gas']},2,,95,\n"
    told, _ = bench.tell(row)
    assert told.experiments == [1]
    before = bench.rows()
    told, state = bench.tell(row, "again.csv")
    assert (told.events, bench.rows()) == ([], before)
    assert list(state.experiments) == [1]


def test_an_old_sheet_closes_no_experiment_that_was_opened_at_its_point_later(bench):
    bench.tell(HEAD + OWN)
    ask_for(bench, "add", {"values": {"temperature": "1100 degC", "gas": "air"}})
    told, state = bench.tell(HEAD + OWN, "again.csv")
    assert told.events == []
    assert state.experiments[2].state == "proposed"
    told, state = bench.tell(HEAD + OWN + ",1100,air,1.5,,92,\n", "grown.csv")  # what is new is taken for the open one
    assert told.experiments == [2]
    assert state.experiments[2].outcomes["conductivity"].value == 1.5
    told, state = bench.tell(HEAD + OWN + ",1100,air,1.5,,92,\n", "grown again.csv")
    assert told.events == []


def test_an_old_sheet_is_known_after_a_correction(bench):
    bench.tell(HEAD + OWN)
    bench.tell(HEAD + "1,,,7,,91,\n", correct=True)
    for correct in (False, True):
        told, state = bench.tell(HEAD + OWN, "again.csv", correct=correct)
        assert told.events == []
        assert "recorded already, as experiment 1, which was corrected since" in told.said[0]
    assert state.experiments[1].outcomes["conductivity"].value == 7
    # a replicate that has the corrected one's old value is found by its own, whatever the order of rows
    told, _ = bench.tell(HEAD + OWN + OWN, "two.csv")
    assert told.experiments == [2]
    told, state = bench.tell(HEAD + OWN + ",1100,air,7,,91,\n", "both.csv")
    assert (told.events, list(state.experiments)) == ([], [1, 2])


def test_a_row_without_a_number_is_no_experiment_that_the_sheet_names(bench):
    _, state = bench.propose(1)
    at = state.experiments[1].candidate
    point = f"{at['temperature']!r},{at['gas']}"
    sheet = HEAD + f",{point},2,,95,\n1,{point},2,,95,\n"
    told, _ = bench.tell(sheet)
    assert sorted(told.experiments) == [1, 2]
    told, state = bench.tell(sheet, "again.csv")
    assert (told.events, list(state.experiments)) == ([], [1, 2])


def test_done_without_all_outcomes_is_refused(bench):
    bench.propose(1)
    with pytest.raises(InputError, match="experiment 1 is 'done', and 'density' is not stated"):
        bench.tell(HEAD + "1,,,2,,,done\n")
    bench.tell(HEAD + "1,,,2,,,\n")
    _, state = bench.tell("experiment,density,state\n1,95,done\n")  # together they are all
    assert state.experiments[1].state == "done"


def test_a_half_measured_experiment_that_was_given_up_ends_after_a_kill(bench):
    bench.propose(1)
    bench.tell(HEAD + "1,,,2,,,\n")
    ledger = Ledger(bench.home)
    ledger.append("by-hand", 0.0, [ExperimentRejected(1, "Mia", "lost")])  # and then the process died
    ledger.close()
    with pytest.raises(InputError, match=r"experiment 1 was given up: rejected by Mia: lost"):
        bench.tell(HEAD + "1,,,2,,95,\n")
    with bench.opened() as session:
        assert session.state.experiments[1].state == "aborted"


def test_a_round_answered_later_keeps_the_budget(bench):
    class Dies(InlineWorker):
        async def call(self, function, *arguments):
            raise InputError("killed")

    with bench.opened() as session, pytest.raises(InputError, match="killed"):
        asyncio.run(session.propose(3, Dies()))
    bench.tell(HEAD + "".join(f",11{i}0,air,1,,91,\n" for i in range(5)))
    numbers, state = bench.propose(1)
    assert numbers == [6]
    assert [e.state for n, e in state.experiments.items() if n > 5] == ["proposed", "aborted", "aborted"]
    assert "the budget of 6 experiments is used up" in state.experiments[7].reason
    ledger = Ledger(bench.home)
    try:
        assert verify(ledger, "by-hand").findings == ()
        assert [r.verdict for r in recompute(ledger, "by-hand", recomputed).rounds] == ["equal"]
    finally:
        ledger.close()


@pytest.mark.parametrize(
    ("cost", "wanted", "costs"),
    [("16 h", 2, 16.0), ("{expression: (temperature - 900) / 10, unit: h}", 6, None)],
)
def test_what_is_open_counts_in_the_cost(bench, write, cost, wanted, costs):
    write("c.yaml", CAMPAIGN.replace("stop: {", f"cost: {cost}\n    stop: {{cost: 40 h, "))
    numbers, state = bench.propose(6)
    plan = check(bench.file).plan
    total = sum(plan.cost_of(e.candidate, e.source) for e in state.in_state("proposed"))
    assert 0 < len(numbers) <= wanted
    assert total <= 40
    given_up = state.in_state("aborted")
    assert all("of 40 h" in e.reason for e in given_up)
    assert bool(given_up) == (costs is None)  # what each costs alike is not even asked for
    with bench.opened() as session:
        assert session.left_of_budget > 0
    if costs is not None:
        assert (numbers, bench.propose(3)[0]) == ([1, 2], [])
        assert "of 40 h 8 h are neither spent nor promised" in said_of(bench, 3)
        assert "it costs 16 h, and of 40 h 8 h are left" in ask_for(bench, "add", {"values": POINT})
        _, state = bench.tell(HEAD + "1,,,2,,95,\n2,,,2,,95,\n")
        assert (state.ended.state, state.ended.reason) == ("done", "of 40 h 8 h are left and an experiment costs 16 h")
    ledger = Ledger(bench.home)
    try:
        assert {r.verdict for r in recompute(ledger, "by-hand", recomputed).rounds} == {"equal"}
    finally:
        ledger.close()


POINT = {"temperature": "1100 degC", "gas": "air"}


def said_of(bench, wanted):
    """Return why fewer are proposed."""
    with bench.opened() as session:
        return why_fewer(session, wanted, 0, session.over)


def ask_for(bench, kind, body):
    """Ask what `sdl add` and its like ask; returns what was said."""
    ledger = Ledger(bench.home)
    Inbox(ledger).put("by-hand", "Mia", kind, {"reason": "", **body})
    ledger.close()
    with bench.opened() as session:
        return session.said[-1]


@pytest.mark.parametrize("kind", ["pause", "resume", "stop", "abort"])
def test_what_only_a_process_can_be_asked_is_refused(bench, kind):
    bench.propose(1)
    mine = {"pid": os.getpid(), "host": socket.gethostname()}  # as if a new process had the number of a dead one
    assert "no process runs that could be paused" in ask_for(bench, kind, mine)
    with bench.opened() as session:
        assert (session.said, session.state.standing) == ([], "running")


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("gas:", "state:", "'state' cannot be a column of results"),
        ("gas:", "experiment:", "'experiment' cannot be a column of results"),
        ("gas:", "density_uncertainty:", "the column of the standard uncertainties of 'density'"),
        ("{density:", "{note:", "'note' cannot be a column of results"),
        ("{density:", "{conductivity_uncertainty:", "the column of the standard uncertainties of 'conductivity'"),
    ],
)
def test_names_of_the_sheet_are_refused_at_load(write, was, becomes, said):
    with pytest.raises(FileProblems, match=said):
        check(write("c.yaml", CAMPAIGN.replace(was, becomes)))


def test_a_lab_may_use_the_names_of_the_sheet(write, campaigns):
    text = CAMPAIGN.replace("gas:", "state:")
    lab = "    protocol: [{instrument: oven, action: fire}]\n    lab: {instruments: {}}\n"
    with pytest.raises(FileProblems) as caught:
        check(write("c.yaml", text + lab))
    assert "cannot be a column" not in str(caught.value)
