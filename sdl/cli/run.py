"""`sdl run`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.cli.asking import TerminalQuestions
from sdl.cli.live import LiveView, PlainLines
from sdl.cli.outcome import BAD_INPUT, CODE_OF_STATE, FAILED, STOPPED, Output, code_of, complain, home_of
from sdl.cli.requests import steer
from sdl.cli.summary import Summary, describe_results, summary_of
from sdl.engine import Engine, HookList, Hooks, ProcessWorker, Session, View, open_session
from sdl.engine.notifying import notifier_of
from sdl.errors import InputError, SdlError
from sdl.ledger import Ledger
from sdl.ledger.place import has_ledger
from sdl.preflight import Checked, check, recorded_checked

if TYPE_CHECKING:
    from types import FrameType

    from sdl.engine import Worker


def run_campaign(
    file: Path,
    home: Path | None,
    name: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    engine: str,
    simulate: bool,
    output: Output,
    *,
    stays: bool = True,
    take_over: float | None = None,
    make_worker: Callable[[], Worker] = ProcessWorker,
    reports: bool = True,
) -> int:
    """Run a campaign to its end; returns the exit code.

    Args:
        file: the campaign file.
        home: folder of the ledger, or None for the usual one.
        name: takes the place of the file's.
        seed: takes the place of the file's.
        overrides: `path=value` of `--set`.
        engine: `prefect` or `local`.
        simulate: simulators stand in for real instruments.
        output: where things are said.
        stays: whether it waits for a person where nobody else can bring it on.
        take_over: real seconds without a sign of life after which it is taken from a process that still holds it; None: never.
        make_worker: makes what planner and analyses run in.
        reports: whether the report is written at the end.
    """
    folder = home_of(home)
    checked = check(file, overrides=overrides, name=name, seed=seed, simulate=simulate, home=folder)
    go_on = _how_to_go_on(file, checked, folder)
    options = (stays, output, go_on, take_over)
    return _run(checked, folder, engine, simulate, *options, make_worker=make_worker, reports=reports)


def resume_campaign(
    name: str,
    reason: str,
    as_: str | None,
    home: Path | None,
    engine: str,
    stays: bool,
    output: Output,
    *,
    take_over: float | None = None,
) -> int:
    """Release a paused campaign, or go on with one that no process runs, as recorded; returns the exit code.

    Args:
        name: of the campaign.
        reason: why, in the words of who asks.
        as_: who asks, or None for the user of this machine.
        home: folder of the ledger, or None for the usual one.
        engine: `prefect` or `local`.
        stays: whether it waits for a person where nobody else can bring it on.
        output: where things are said.
        take_over: real seconds without a sign of life after which it is taken from a process that still holds it, and gone on
            with here; None: never.

    Raises:
        InputError: there is no such campaign or engine.
    """
    folder = home_of(home)
    if engine not in {"prefect", "local"}:
        raise InputError(f"'{engine}' is no engine; choose prefect or local")
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; choose another --home")
    ledger = Ledger(folder)
    with tempfile.TemporaryDirectory(prefix="sdl-") as files:
        try:
            recorded = ledger.campaign(name)
            if recorded is None:
                raise ledger.unknown(name)
            if take_over is None and ledger.is_owned(name):
                return steer(name, "resume", reason, as_, home, output)
            checked = recorded_checked(ledger, name, Path(files))
        finally:
            ledger.close()
        simulate = bool(recorded["settings"].get("simulate", False))
        go_on = f"go on with: sdl resume {name} --home {folder}"
        return _run(checked, folder, engine, simulate, stays, output, go_on, take_over)


def _run(
    checked: Checked,
    folder: Path,
    engine: str,
    simulate: bool,
    stays: bool,
    output: Output,
    go_on: str,
    take_over: float | None = None,
    *,
    make_worker: Callable[[], Worker] = ProcessWorker,
    reports: bool = True,
) -> int:
    session = open_session(checked, folder, simulate=simulate, take_over=take_over)
    title = checked.campaign.name
    if session.is_done:
        if engine == "prefect":
            _put_right_in_prefect(session, folder, output)
        session.ledger.close()
        output.say(f"campaign '{title}' is done; nothing to do")
        return _tell(folder, title, output, None, reports=reports)
    output.say(f"campaign '{title}' {'begins' if session.is_new else 'goes on'}; ledger {folder}")
    watcher = _watcher(checked, output)
    notifier = notifier_of(folder, _notice)
    watching = HookList(watcher, _questions(watcher, output), *([] if notifier is None else [notifier]))
    failure: SdlError | None = None
    try:
        if engine == "local":
            asyncio.run(drive(session, watching, go_on, output, stays=stays, make_worker=make_worker))
        else:
            _with_prefect(session, watching, output, folder, go_on, stays)
    except SdlError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  the ledger tells how the campaign stands, whatever broke around it
        traceback.print_exc()
        failure = SdlError(f"{type(error).__name__}: {error} (a fault of sdl or of Prefect; its trace stands above)")
    finally:
        if isinstance(watcher, LiveView):
            watcher.close()
        if notifier is not None:
            notifier.close()
    if failure is not None:
        complain(str(failure))
    return _tell(folder, title, output, failure, reports=reports)


def _watcher(checked: Checked, output: Output) -> PlainLines | LiveView:
    if output.as_json or not sys.stdout.isatty():
        return PlainLines(output)
    campaign = checked.campaign
    units = {n: p.unit for n, p in campaign.space.parameters.items()}
    return LiveView(units, {o: campaign.unit_of(o) for o in campaign.outcomes})


def _questions(watcher: PlainLines | LiveView, output: Output) -> TerminalQuestions:
    return TerminalQuestions(output, watcher.paused if isinstance(watcher, LiveView) else nullcontext)


def _how_to_go_on(file: Path, checked: Checked, home: Path) -> str:
    return f"go on with: sdl run {file} --home {home}" + (
        f" --name {checked.campaign.name}" if "name" in checked.campaign.document.overridden else ""
    )


async def drive(
    session: Session,
    hooks: Hooks,
    go_on: str,
    output: Output,
    around: Callable[[Engine], Awaitable[Any]] | None = None,
    *,
    stays: bool = True,
    make_worker: Callable[[], Worker] = ProcessWorker,
) -> None:
    """Run a session's engine with Ctrl-C in place, and let everything go afterwards."""
    worker = make_worker()
    ctrl_c = _CtrlC(go_on, output)
    try:
        engine = await session.engine(worker, HookList(hooks, ctrl_c))
        engine.stays = stays
        with ctrl_c.watch(engine):
            if around is None:
                await engine.run()
            else:
                await around(engine)
    finally:
        await worker.close()
        try:
            await session.close()
        except SdlError as error:
            _notice(f"warning: {error}")  # the campaign is over; how it ended stands in the ledger


def _with_prefect(session: Session, watcher: Hooks, output: Output, home: Path, go_on: str, stays: bool) -> None:
    try:
        from sdl_flows import launch
    except ImportError as error:
        raise InputError(
            f"the Prefect engine needs the extra sdl[prefect] ({error}); install it, or use --engine local"
        ) from error
    launch.configure(home, output.say)

    async def go() -> None:
        hooks = launch.hooks(session, home, output.say)
        await drive(
            session,
            HookList(hooks, watcher),
            go_on,
            output,
            lambda engine: launch.run(engine, hooks),
            stays=stays,
        )

    asyncio.run(go())


def _put_right_in_prefect(session: Session, home: Path, output: Output) -> None:
    """Have Prefect show that a campaign is over whose process died before it could say so there."""
    with suppress(ImportError):  # without Prefect nothing was shown
        from sdl_flows import launch

        launch.put_right(session, home, output.say)


def _notice(text: str) -> None:
    """Say on standard error what is no error, but nothing for standard output either; nobody need be there to read it."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class _CtrlC(Hooks):
    """First Ctrl-C: no new step, running ones finish. Second: abort and safe state. Third: leave at once."""

    def __init__(self, go_on: str, output: Output) -> None:
        self._engine: Engine | None = None
        self._go_on = go_on
        self._output = output
        self._count = 0
        self._asked_by = "Ctrl-C"
        self._tasks: list[asyncio.Task[None]] = []

    def watch(self, engine: Engine) -> _CtrlC:
        """Say which engine is meant; used as a context manager around its run."""
        self._engine = engine
        return self

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listen()

    def __exit__(self, *exc: object) -> None:
        # What follows is short: the report and the summary. A late Ctrl-C must not cost them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async def started(self, view: View) -> None:
        """Listen again: a flow that began meanwhile has put handlers of its own in place."""
        del view
        self._listen()

    def _listen(self) -> None:
        signal.signal(signal.SIGINT, self._signalled)
        signal.signal(signal.SIGTERM, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._count += 1
        self._asked_by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if self._count >= 3:
            _notice(
                f"leaving at once; commands under way stay open and are asked about at the next start; {self._go_on}"
            )
            said = "left at once: commands under way stay open"
            name = None if self._engine is None else self._engine.name
            self._output.emit({"name": name, "state": "interrupted", "error": said})
            os._exit(STOPPED)
        self._loop.call_soon_threadsafe(self._pressed, self._count)

    def _pressed(self, count: int) -> None:
        if self._engine is None:
            return
        if count == 1:
            _notice(f"stopping: no new step begins, running ones finish (again: abort and safe state); {self._go_on}")
            self._engine.stop(self._asked_by)
        else:
            _notice(f"aborting running steps and making every instrument safe (again: leave at once); {self._go_on}")
            self._tasks.append(asyncio.ensure_future(self._engine.abort()))


def _tell(home: Path, name: str, output: Output, failure: SdlError | None, *, reports: bool = True) -> int:
    """Write the report, say how the campaign stands, and return the exit code."""
    ledger = Ledger(home)
    try:
        summary = summary_of(ledger, name)
        report = _report(ledger, name, home) if reports else None
    finally:
        ledger.close()
    # A campaign that the ledger calls done is done, whatever went wrong while it was let go.
    if summary.state == "done":
        failure = None
    state = "failed" if failure is not None else summary.state
    _say_end(summary, state, report, output)
    data = {**summary.as_json(), "state": state, "report": None if report is None else str(report)}
    if failure is not None:
        data["error"] = str(failure)
    output.emit(data)
    if failure is not None:
        return BAD_INPUT if code_of(failure) == BAD_INPUT and not summary.journal.started else FAILED
    return CODE_OF_STATE.get(state, FAILED)


def _say_end(summary: Summary, state: str, report: Path | None, output: Output) -> None:
    counts = summary.counts()
    output.say(f"{summary.name}: {state}{'' if summary.reason is None else f' ({summary.reason})'}")
    output.say(f"  experiments: {counts['started']} started, {counts['done']} done, {counts['failed']} failed")
    for line in describe_results(summary):
        output.say(f"  {line}")
    for question in summary.open_questions():
        output.say(f"  question {question.question}: {question.text} (sdl questions)")
    if report is not None:
        output.say(f"  report: {report}")


def _report(ledger: Ledger, name: str, home: Path) -> Path | None:
    from sdl.report import write_report

    path = home / "reports" / f"{name}.html"
    try:
        path.parent.mkdir(exist_ok=True)
        write_report(ledger, name, path)
    except (SdlError, OSError) as error:
        _notice(f"warning: the report could not be written: {error}; try sdl report {name}")
        return None
    return path
