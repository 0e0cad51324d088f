"""Campaigns on a lab server: they run, go on, and learn what the server knows and their restored ledger does not."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from enginekit import Diary
from labkit import Process, effects, plan_of, served, until

from sdl.clock import ClockSettings, RealClock
from sdl.engine import InlineWorker, open_session
from sdl.errors import FileProblems, LabError, NameInUseError, ProtocolError
from sdl.ledger import (
    CampaignEnded,
    CommandIntended,
    CommandSettled,
    EpochRaised,
    ExperimentFinished,
    ObservationRecorded,
    QuestionOpened,
)
from sdl.preflight import check

CAMPAIGN = """
name: c
space:
  parameters:
    x: {{type: continuous, bounds: [1, 3], unit: mm}}
objectives:
  value: {{goal: minimize, unit: mm}}
protocol:
  - {{instrument: oven, action: fire, with: {{hold: 20 s}}}}
  - {{instrument: probe, action: read, with: {{x: $x}}, gives: {{value: value}}}}
lab: {{server: "{url}"}}
planner: {{type: random}}
stop: {{experiments: {budget}}}
"""

FAST = plan_of(ClockSettings("scaled", 1000.0))


def lab_in(folder: Path, port: int = 0):
    return served(folder / "lab", plan=FAST, clock=RealClock(1000.0), port=port)


async def run(path: Path, home: Path, hooks=None, steer=None):
    """Run the campaign; returns (end, events, diary)."""
    checked = await asyncio.to_thread(check, path)
    diary = hooks or Diary()
    session = open_session(checked, home)
    try:
        engine = await session.engine(InlineWorker(), diary)
        if steer is not None:
            diary.engine = engine
        end = await engine.run()
        return end, [r.event for r in session.ledger.rows("c")], diary.lines
    finally:
        await session.close()


class StopsAfter(Diary):
    """Stops the campaign when a line stands in the diary."""

    engine = None

    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line

    def diary(self, text: str) -> None:
        super().diary(text)
        if self.line in text and self.engine is not None:
            self.engine.stop("a test")


def write(folder: Path, url: str, budget: int = 2) -> Path:
    path = folder / "c.yaml"
    path.write_text(CAMPAIGN.format(url=url, budget=budget))
    return path


def of(events, kind):
    return [e for e in events if isinstance(e, kind)]


def test_a_campaign_runs_on_a_server(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url)
            end, events, _ = await run(path, tmp_path / "home")
            assert end[0] == "done"
            intended = [e.command for e in of(events, CommandIntended)]
            assert [e.command for e in of(events, CommandSettled)] == intended
            values = [e.value for e in of(events, ObservationRecorded)]
            assert len(values) == 2
            assert all(1 <= v <= 9 for v in values)
            assert effects(tmp_path / "lab") == [intended[0], intended[2]]
            (known,) = lab.server.log.campaigns()
            assert (known.name, known.epoch) == ("c", 1)
            assert known.id.startswith("c.")
            assert [r.state for r in lab.server.log.records(known.id)] == ["finished"] * 4
            raised = of(events, EpochRaised)[-1]
            assert raised.environment["lab"] == {"server": lab.url, "log": lab.server.id, "boot": lab.server.boot}
            assert raised.environment["instruments"]["oven"] == {"driver": "oven", "nature": "simulated"}
            for event in of(events, CommandSettled):
                for artefact in event.artefacts:
                    assert (tmp_path / "home" / "artefacts" / artefact["sha256"][:2] / artefact["sha256"]).exists()

    asyncio.run(main())


class StopsLab(Diary):
    """Stops the whole lab when the second experiment begins."""

    def __init__(self, server) -> None:
        super().__init__()
        self.server, self.task = server, None

    def diary(self, text: str) -> None:
        super().diary(text)
        if "experiment 2 begins" in text and self.task is None:
            self.task = asyncio.ensure_future(self.server.stopping.stop("token t"))


def test_a_campaign_that_meets_a_stopped_lab_ends_without_a_failed_specimen(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url)
            with pytest.raises(LabError, match=r"lab 'bench' was stopped by token t at .*sdl lab release URL"):
                await run(path, tmp_path / "home", StopsLab(lab.server))
            fired = effects(tmp_path / "lab")
            with pytest.raises(LabError, match="lab 'bench' was stopped by token t"):
                await run(path, tmp_path / "home")
            assert effects(tmp_path / "lab") == fired
            lab.server.stopping.release("token t")
            end, events, _ = await run(path, tmp_path / "home")
            assert end[0] == "done"
            ended = of(events, CampaignEnded)
            assert [e.state for e in ended] == ["failed", "failed", "done"]
            assert "was stopped by token t at" in ended[0].reason
            states = [e.state for e in of(events, ExperimentFinished)]
            assert "failed" not in states
            assert states.count("done") == 2

    asyncio.run(main())


def test_a_restored_ledger_adopts_what_it_does_not_know(tmp_path):
    """Restored from before the second firing: the firing becomes a question, and nothing is fired twice."""
    home, copy = tmp_path / "home", tmp_path / "copy"

    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url)
            end, _, _ = await run(path, home, StopsAfter("experiment 2 begins"), steer=True)
            assert end[0] == "stopped"
            fired = effects(tmp_path / "lab")
            await asyncio.to_thread(shutil.copytree, home, copy)
            end, _, _ = await run(path, home)
            assert end[0] == "done"
            all_fired = effects(tmp_path / "lab")
            assert len(all_fired) == 2
            await asyncio.to_thread(shutil.rmtree, home)
            await asyncio.to_thread(shutil.copytree, copy, home)
            epoch = lab.server.epoch_of(next(iter(lab.server.log.campaigns())).id)
            end, events, lines = await run(path, home)
            assert effects(tmp_path / "lab") == all_fired
            assert of(events, EpochRaised)[-1].epoch == epoch + 1
            return end, events, lines, fired, all_fired

    end, events, lines, fired, all_fired = asyncio.run(main())
    assert any("the lab server knows" in line for line in lines)
    assert len(fired) == 1  # the copy was made before the second one
    assert end[0] == "waiting"
    adopted = of(events, CommandIntended)[-1]
    assert adopted.command == all_fired[1]
    settled = of(events, CommandSettled)[-1]
    assert (settled.command, settled.status) == (adopted.command, "unknown")
    assert "the ledger, restored from before it, did not; it ended: succeeded" in settled.error
    (question,) = of(events, QuestionOpened)
    assert (question.command, question.step) == (adopted.command, adopted.step)
    assert "done" in question.answers and question.asker and question.expires
    assert "the lab server knows this command" in question.text


def test_what_may_be_done_again_is_adopted_with_its_result(tmp_path):
    """Restored from between the firing and the reading: the reading is taken over, and not read again."""
    home, copy = tmp_path / "home", tmp_path / "copy"

    class Copies(Diary):
        """Copies the home when the first firing is settled."""

        def recorded(self, rows, view):
            if any(isinstance(r.event, CommandSettled) for r in rows) and not copy.exists():
                shutil.copytree(home, copy)

    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url, budget=1)
            _, first, _ = await run(path, home, Copies())
            await asyncio.to_thread(shutil.rmtree, home)
            await asyncio.to_thread(shutil.copytree, copy, home)
            end, events, _ = await run(path, home)
            assert end[0] == "done"
            reading = of(first, CommandIntended)[1]
            adopted = of(events, CommandIntended)[1]
            assert (adopted.command, adopted.digest, adopted.epoch) == (reading.command, reading.digest, 1)
            assert of(events, CommandSettled)[1].how == "reconciled"
            assert of(events, ObservationRecorded)[0].value == of(first, ObservationRecorded)[0].value
            (known,) = lab.server.log.campaigns()
            assert len(lab.server.log.records(known.id)) == 2

    asyncio.run(main())


def test_a_campaign_that_forgot_its_experiments_asks_before_it_fires_their_samples(tmp_path):
    """Restored from before the first round: experiment 1 is begun anew, on a sample that was fired already."""
    home, copy = tmp_path / "home", tmp_path / "copy"

    class Copies(Diary):
        def recorded(self, rows, view):
            if any(isinstance(r.event, EpochRaised) for r in rows) and not copy.exists():
                shutil.copytree(home, copy)

    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url, budget=1)
            checked = await asyncio.to_thread(check, path)
            open_session(checked, home).ledger.close()
            await asyncio.to_thread(shutil.copytree, home, copy)
            await run(path, home)
            await asyncio.to_thread(shutil.rmtree, home)
            await asyncio.to_thread(shutil.copytree, copy, home)
            end, events, lines = await run(path, home)
            assert end[0] == "waiting"
            assert len(effects(tmp_path / "lab")) == 1
            assert of(events, CommandSettled)[0].status == "unknown"
            assert of(events, ExperimentFinished) == []
            assert any("knows 2 commands that the ledger does not" in line for line in lines)

    asyncio.run(main())


def test_a_home_that_is_gone_needs_another_name(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url, budget=1)
            await run(path, tmp_path / "home")
            with pytest.raises(ProtocolError, match="choose another --name"):
                await run(path, tmp_path / "another home")
            assert len(effects(tmp_path / "lab")) == 1

    asyncio.run(main())


def test_a_server_that_is_gone_is_a_problem_of_the_file_and_nothing_is_recorded(tmp_path):
    path = write(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(
        FileProblems,
        match=r"c.yaml:11:15: lab.server: no lab server answers at http://127.0.0.1:9 .*; nothing was sent",
    ):
        check(path)


@pytest.mark.parametrize(
    ("lab", "said"),
    [
        ("{server: 8470}", "lab.server: must be http://HOST:PORT, as sdl lab serve prints it, got 8470"),
        ("{server: 'localhost:8470'}", "must be http://HOST:PORT"),
        (
            "{server: 'http://h:1', token: sdl_secret}",
            "a token does not belong in a file that is recorded; write env:NAME",
        ),
        (
            "{server: 'http://h:1', token: 'env:NOT_SET_ANYWHERE'}",
            "the environment variable NOT_SET_ANYWHERE is not set",
        ),
        ("{server: 'http://h:1', clock: {type: real}}", "unknown key 'clock'"),
    ],
)
def test_what_is_wrong_with_the_address_is_said(tmp_path, lab, said):
    path = tmp_path / "c.yaml"
    path.write_text(CAMPAIGN.format(url="U", budget=1).replace('{server: "U"}', lab))
    with pytest.raises(FileProblems) as caught:
        check(path)
    assert said in str(caught.value)
    assert "sdl_secret" not in str(caught.value)


def test_steps_are_checked_against_the_served_lab(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url)
            text = path.read_text()
            path.write_text(text.replace("oven", "ovne").replace("$x", "4 kg"))
            with pytest.raises(FileProblems) as caught:
                await asyncio.to_thread(check, path)
            said = str(caught.value)
            assert "unknown instrument 'ovne' (did you mean 'oven'?)" in said
            assert "protocol[1].with.x: 4 kg cannot be given in mm" in said
            path.write_text(text.replace("20 s", "2000000 s"))
            with pytest.raises(FileProblems, match="outside the limits"):
                await asyncio.to_thread(check, path)
            path.write_text(text)
            with pytest.raises(FileProblems, match=r"--simulate takes simulators .* this process"):
                await asyncio.to_thread(check, path, simulate=True)

    asyncio.run(main())


def test_open_commands_are_not_asked_of_another_log(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url, budget=1)
            checked = await asyncio.to_thread(check, path)
            session = open_session(checked, tmp_path / "home")
            engine = await session.engine(InlineWorker(), Diary())
            running = asyncio.create_task(engine.run())
            await until(lambda: len(effects(tmp_path / "lab")) == 1)
            running.cancel()
            for task in engine._live.values():
                task.cancel()
            await asyncio.gather(running, *engine._live.values(), return_exceptions=True)
            await session.close()
        port = int(lab.url.rsplit(":", 1)[1])
        async with served(tmp_path / "other", plan=FAST, clock=RealClock(1000.0), port=port):
            with pytest.raises(
                LabError, match=r"open commands on another command log .*its old --home; nothing was sent"
            ):
                await run(path, tmp_path / "home")
        async with lab_in(tmp_path, port):
            end, events, _ = await run(path, tmp_path / "home")
            assert end[0] == "done"
            assert of(events, CommandSettled)[0].how == "reconciled"
        assert len(effects(tmp_path / "lab")) == 1

    asyncio.run(main())


def test_one_process_runs_a_campaign(tmp_path):
    async def main():
        async with lab_in(tmp_path) as lab:
            path = write(tmp_path, lab.url)
            checked = await asyncio.to_thread(check, path)
            session = open_session(checked, tmp_path / "home")
            with pytest.raises(NameInUseError):
                open_session(checked, tmp_path / "home")
            await session.close()

    asyncio.run(main())


def test_a_campaign_outlives_its_server(tmp_path):
    """The server is killed in the middle and comes back; the running campaign just goes on."""

    async def main():
        with Process(tmp_path / "lab", 0, "scaled", 20.0) as server:
            path = write(tmp_path, server.url)
            diary = Diary()
            running = asyncio.create_task(run(path, tmp_path / "home", diary))
            await until(lambda: len(effects(tmp_path / "lab")) == 1)
            server.kill()
            await until(lambda: any("does not answer" in line for line in diary.lines))
            with Process(tmp_path / "lab", server.port, "scaled", 20.0):
                end, events, lines = await running
            assert end[0] == "done"
            assert any("answers again" in line for line in lines)
            intended = [e for e in of(events, CommandIntended) if e.action == "fire"]
            assert effects(tmp_path / "lab") == [e.command for e in intended]
            assert len(intended) == 2

    asyncio.run(main())
