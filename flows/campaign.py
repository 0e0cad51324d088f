"""One async flow a campaign, one task an experiment.

Physical tasks: no retries, no cache, no persisted result. Prefect is at-least-once at best; that nothing happens twice is
the ledger's and the lab's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, tags
from prefect.states import Cancelled, Completed

from sdl.engine import HookList, ProcessWorker, open_session
from sdl.engine.notifying import notifier_of
from sdl.errors import InputError
from sdl.preflight import check

from .hooks import PrefectHooks

if TYPE_CHECKING:
    from sdl.engine import Engine

_handed_over: ContextVar[tuple[Engine, PrefectHooks] | None] = ContextVar("sdl_engine", default=None)


@contextmanager
def handed_over(engine: Engine, hooks: PrefectHooks) -> Iterator[None]:
    """Let the flow that is called within carry on with this engine instead of opening the campaign itself."""
    token = _handed_over.set((engine, hooks))
    try:
        yield
    finally:
        _handed_over.reset(token)


@flow(name="campaign", flow_run_name="{name} · {planner}", retries=0, persist_result=False, validate_parameters=False)
async def campaign(
    name: str,
    planner: str = "",
    file: str = "",
    home: str = "",
    seed: int | None = None,
    overrides: tuple[str, ...] = (),
    simulate: bool = False,
    stays: bool = True,
) -> Any:  # noqa: ANN401  Prefect's state
    """Run a campaign to its end.

    Args:
        name: of the campaign.
        planner: for the run's name.
        file: the campaign file.
        home: the ledger's folder, where the flow is not started by `sdl run`.
        seed: takes the place of the file's.
        overrides: `path=value`, as `--set`.
        simulate: simulators stand in for real instruments; virtual time.
        stays: whether a campaign that only a person can bring on waits for the answer.
    """
    del planner
    given = _handed_over.get()
    if given is not None:
        engine, hooks = given
        with tags(*hooks.tags):
            return _state(*await hooks.watched(engine), hooks)
    if not file or not home:
        raise InputError("the flow needs 'file' (a campaign file) and 'home' (the ledger's folder)")
    checked = check(Path(file), overrides=tuple(overrides), name=name, seed=seed, simulate=simulate, home=Path(home))
    session = open_session(checked, Path(home), simulate=simulate)
    worker = ProcessWorker()
    hooks = PrefectHooks(session, Path(home))
    notifier = notifier_of(Path(home))
    try:
        if session.is_done:
            return Completed(message="there was nothing left to do")
        engine = await session.engine(worker, hooks if notifier is None else HookList(hooks, notifier))
        engine.stays = stays
        with tags(*hooks.tags):
            return _state(*await hooks.watched(engine), hooks)
    finally:
        await worker.close()
        await session.close()
        if notifier is not None:
            notifier.close()


def _state(state: str, reason: str, hooks: PrefectHooks) -> Any:  # noqa: ANN401  Prefect's state
    """Return how the flow run ends; a campaign that stopped or waits is no failure, and is called what it is."""
    if hooks.is_cancelled:
        return Cancelled(message=reason)
    names = {"done": "Completed", "stopped": "Stopped", "waiting": "Waiting"}
    return Completed(name=names.get(state, "Completed"), message=reason)
