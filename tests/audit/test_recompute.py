"""Proposals are recomputed from the ledger alone; what differs is told apart from what cannot be compared."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sdl.audit import recompute
from sdl.engine import Hooks, InlineWorker, ProcessWorker, open_session
from sdl.engine.worker import propose
from sdl.errors import InputError, PlannerError
from sdl.ledger import Ledger, RoundOpened
from sdl.ledger.backup import backup, restore
from sdl.ledger.ledger import GENESIS, row_hash
from sdl.ledger.verify import verify
from sdl.planners import Proposal
from sdl.planners.environment import environment
from sdl.preflight import check
from sdl.space import Candidate

CAMPAIGNS = Path(__file__).parents[2] / "campaigns"
NAME = "electrolyte-sintering"


def run(home: Path, file: str, *overrides: str, worker=None, hooks: Hooks | None = None, seed: int | None = None):
    async def main() -> tuple[str, str]:
        session = open_session(check(CAMPAIGNS / file, overrides=overrides, seed=seed), home)
        using = worker or InlineWorker()
        try:
            return await (await session.engine(using, hooks)).run()
        finally:
            await using.close()
            await session.close()

    return asyncio.run(main())


def ask(planner, problem, history, n, seed):
    return propose(planner, problem, history, n, seed).proposal


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    home = tmp_path_factory.mktemp("audit") / "home"
    state, _ = run(home, "electrolyte_sintering.yaml", "planner={type: random}", "stop.experiments=5", seed=11)
    assert state == "done"
    return home


@pytest.fixture
def ledger(ran, tmp_path):
    made = Ledger(Path(shutil.copytree(ran, tmp_path / "home")))
    yield made
    made.close()


@pytest.fixture
def forge(ledger):
    """Change a row as a forger would: everything after it hashed anew."""

    def forged(kind: str, old: str, new: str, nth: int = 0) -> None:
        connection = sqlite3.connect(ledger.home / "ledger.db")
        for guard in ("journal_never_changed", "journal_never_removed", "journal_follows"):
            connection.execute(f"DROP TRIGGER IF EXISTS {guard}")
        rows = connection.execute("SELECT seq, at, kind, body FROM journal ORDER BY seq").fetchall()
        seq = [r[0] for r in rows if r[2] == kind][nth]
        previous = GENESIS
        for number, at, row_kind, body in rows:
            if number == seq:
                assert old in body
                body = body.replace(old, new, 1)
            digest = row_hash(previous, NAME, number, at, row_kind, body)
            connection.execute(
                "UPDATE journal SET body=?, previous=?, hash=? WHERE seq=?", (body, previous, digest, number)
            )
            previous = digest
        connection.commit()
        connection.close()

    return forged


def rounds(ledger):
    return [r.event for r in ledger.rows(NAME) if r.event.kind == "round.proposed"]


def test_every_answered_round_is_equal(ledger):
    found = recompute(ledger, NAME, ask)
    assert [r.verdict for r in found.rounds] == ["equal"] * len(rounds(ledger))
    assert found.ok
    assert found.findings == ()
    assert found.text() == f"campaign '{NAME}': {len(found.rounds)} proposals recomputed: {len(found.rounds)} equal"


def test_the_planner_sees_the_rows_up_to_the_one_that_opened_the_round(ledger):
    seen = []

    def spy(planner, problem, history, n, seed):
        seen.append((history, n, seed, problem.seed))
        return ask(planner, problem, history, n, seed)

    recompute(ledger, NAME, spy)
    opened = [r for r in ledger.rows(NAME) if isinstance(r.event, RoundOpened)]
    assert [(n, seed) for _, n, seed, _ in seen] == [(r.event.count, r.event.seed) for r in opened]
    assert {campaign_seed for *_, campaign_seed in seen} == {11}
    for (history, *_), row in zip(seen, opened, strict=True):
        before = [r.event for r in ledger.rows(NAME, row.seq)]
        assert len(history.rounds) == row.event.round - 1
        assert len(history.trials) == sum(len(e.candidates) for e in before if e.kind == "round.proposed")
        assert len(history.done) == sum(e.kind == "experiment.finished" for e in before)


@pytest.mark.parametrize("planner", ["{type: random}", "{type: sobol}"])
def test_a_pool_is_recomputed_from_its_recorded_file_by_a_worker_process(tmp_path, planner):
    state, _ = run(tmp_path / "home", "opv_photostability.yaml", f"planner={planner}", "stop.experiments=4")
    assert state == "done"
    ledger = Ledger(tmp_path / "home")
    worker = ProcessWorker()

    async def main():
        loop = asyncio.get_running_loop()

        def in_worker(*arguments):
            return asyncio.run_coroutine_threadsafe(worker.call(propose, *arguments), loop).result().proposal

        try:
            return await asyncio.to_thread(recompute, ledger, "opv-photostability", in_worker)
        finally:
            await worker.close()

    found = asyncio.run(main())
    assert len(found.rounds) == 4
    assert {r.verdict for r in found.rounds} == {"equal"}
    ledger.close()


@pytest.mark.slow
def test_bayes_is_recomputed_bit_for_bit(tmp_path):
    pytest.importorskip("botorch")
    run(tmp_path / "home", "electrolyte_sintering.yaml", "stop.experiments=10", worker=ProcessWorker())
    ledger = Ledger(tmp_path / "home")
    worker = ProcessWorker()

    async def main():
        loop = asyncio.get_running_loop()

        def in_worker(*arguments):
            return asyncio.run_coroutine_threadsafe(worker.call(propose, *arguments), loop).result().proposal

        try:
            return await asyncio.to_thread(recompute, ledger, NAME, in_worker)
        finally:
            await worker.close()

    found = asyncio.run(main())
    assert {r.verdict for r in found.rounds} == {"equal"}, found.text()
    ledger.close()


def test_a_changed_candidate_is_different_with_its_size(ledger, forge):
    value = rounds(ledger)[1].candidates[0]["temperature"]
    forge("round.proposed", repr(value), repr(value + 2.5), nth=1)
    found = recompute(ledger, NAME, ask)
    assert not found.ok
    [wrong] = found.findings
    assert (wrong.round, wrong.verdict) == (2, "different")
    [deviation] = wrong.deviations
    assert deviation.parameter == "temperature"
    assert deviation.size == pytest.approx(2.5 / 250)
    assert "round 2: different: temperature: by 0.01 of its range" in found.text()


def test_the_last_bit_counts(ledger, forge):
    import math

    value = rounds(ledger)[0].candidates[1]["hold"]
    forge("round.proposed", repr(value), repr(math.nextafter(value, 99)))
    [wrong] = recompute(ledger, NAME, ask).findings
    assert wrong.deviations[0].candidate == 1
    assert 0 < wrong.deviations[0].size < 1e-15


def test_a_changed_category_is_named(ledger, forge):
    old = rounds(ledger)[0].candidates[0]["atmosphere"]
    new = "air" if old != "air" else "argon"
    forge("round.proposed", f'"{old}"', f'"{new}"')
    [wrong] = recompute(ledger, NAME, ask).findings
    assert wrong.deviations[0].size is None
    assert f"atmosphere: '{new}' recorded, '{old}' now" in str(wrong)


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("round.opened", '"seed":', '"seed":1', "the round's seed is recorded as 1"),
        ("round.proposed", '"planner":"random"', '"planner":"sobol"', "planner 'sobol' is recorded to have answered"),
        (
            "round.proposed",
            '"origin":"random"',
            '"origin":"a person"',
            "diagnostics.candidates[0].origin: 'a person' recorded",
        ),
        ("campaign.created", '"seed":11', '"seed":12', "the round's seed is recorded as"),
    ],
)
def test_other_changes_of_a_round_are_different(ledger, forge, kind, old, new, said):
    forge(kind, old, new)
    found = recompute(ledger, NAME, ask)
    assert found.findings
    assert said in found.text()


def elsewhere(monkeypatch):
    module = sys.modules["sdl.audit.recompute"]  # the package's own attribute of that name is the function
    monkeypatch.setattr(module, "environment", lambda: {**environment(), "numpy": "99"})


def nudged(planner, problem, history, n, seed):
    """Answer as another machine would: a little beside, and now and then another category."""
    proposal = ask(planner, problem, history, n, seed)
    candidates = [Candidate({**c, "temperature": c["temperature"] * (1 + 1e-12)}) for c in proposal.candidates]
    return replace(proposal, candidates=tuple(candidates))


def test_in_another_environment_deviations_are_not_comparable_and_have_a_size(ledger, monkeypatch):
    elsewhere(monkeypatch)
    found = recompute(ledger, NAME, nudged)
    assert found.ok
    assert {r.verdict for r in found.rounds} == {"not comparable"}
    assert 0 < found.rounds[0].deviations[0].size < 1e-10
    assert found.rounds[0].environment == {"numpy": (environment()["numpy"], "99")}
    assert f"computed with numpy {environment()['numpy']} (now 99): deviations prove nothing" in found.text()
    assert "tamper" not in found.text()


def test_in_another_environment_equality_is_still_equality(ledger, monkeypatch):
    elsewhere(monkeypatch)
    found = recompute(ledger, NAME, ask)
    assert {r.verdict for r in found.rounds} == {"equal"}


def test_what_no_arithmetic_explains_is_different_in_any_environment(ledger, forge, monkeypatch):
    elsewhere(monkeypatch)
    forge("round.proposed", '"planner":"random"', '"planner":"sobol"')
    assert len(recompute(ledger, NAME, ask).findings) == 1


def test_in_the_same_environment_a_planner_that_is_not_pure_is_found(ledger):
    assert {r.verdict for r in recompute(ledger, NAME, nudged).rounds} == {"different"}


@pytest.mark.parametrize(("moved", "verdict"), [(False, "different"), (True, "not comparable")])
def test_a_planner_that_fails_now_is_reported(ledger, monkeypatch, moved, verdict):
    if moved:
        elsewhere(monkeypatch)

    def failing(*_):
        raise PlannerError("out of ideas")

    found = recompute(ledger, NAME, failing)
    assert {r.verdict for r in found.rounds} == {verdict}
    assert "the planner fails now: out of ideas" in found.text()


def test_another_number_of_candidates_is_reported(ledger):
    found = recompute(ledger, NAME, lambda *a: Proposal((), ask(*a).diagnostics))
    assert "2 candidates recorded, 0 now" in found.text()


def test_rounds_without_an_answer_are_left_out(ledger):
    number = len(rounds(ledger)) + 1
    ledger.append(NAME, 0.0, [RoundOpened(number, 1, 5)])
    assert len(recompute(ledger, NAME, ask).rounds) == number - 1


def test_unknown_campaign_is_refused(ledger):
    with pytest.raises(InputError, match="no campaign 'x'"):
        recompute(ledger, "x", ask)


def test_a_backup_taken_in_the_middle_of_an_experiment_goes_on_to_the_same_end(ran, tmp_path):
    class BackUp(Hooks):
        taken = False

        def recorded(self, rows, view):
            if rows[-1].seq > 25 and rows[-1].event.kind == "command.intended" and not self.taken:
                BackUp.taken = True
                backup(tmp_path / "home", tmp_path / "b.tar.gz")

    overrides = ("planner={type: random}", "stop.experiments=5")
    run(tmp_path / "home", "electrolyte_sintering.yaml", *overrides, hooks=BackUp(), seed=11)
    assert restore(tmp_path / "b.tar.gz", tmp_path / "restored").missing == ()
    again = Ledger(tmp_path / "restored")
    assert 25 < again.head(NAME)[0] < 60
    assert verify(again, NAME).ok
    again.close()
    state, _ = run(tmp_path / "restored", "electrolyte_sintering.yaml", *overrides, seed=11)
    assert state == "done"
    found = [Ledger(home) for home in (ran, tmp_path / "restored")]
    values = [
        sorted(
            (r.event.observation, r.event.value) for r in ledger.rows(NAME) if r.event.kind == "observation.recorded"
        )
        for ledger in found
    ]
    assert values[0] == values[1]
    for ledger in found:
        ledger.close()
