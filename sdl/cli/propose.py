"""`sdl propose`: experiments for people, as a table and as a sheet to fill in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl.campaign.sheet import header_of, sheet
from sdl.cli.outcome import DONE
from sdl.cli.people import taken
from sdl.cli.summary import describe_results, summary_of
from sdl.engine.worker import ProcessWorker
from sdl.errors import InputError
from sdl.loop import cost_text, describe_gain, gains_stated
from sdl.loop.spending import unpromised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdl.cli.outcome import Output
    from sdl.engine.by_people import ByPeople
    from sdl.loop import ExperimentRecord


def propose(
    which: str,
    count: int | None,
    csv: Path | None,
    home: Path | None,
    name: str | None,
    overrides: tuple[str, ...],
    output: Output,
) -> int:
    """Propose experiments and say which are open; returns 0.

    Args:
        which: a campaign's name or file.
        count: how many are wanted; 0 for none, None for the campaign's concurrency.
        csv: where the sheet is written, or None.
        home: folder of the ledger, or None for the usual one.
        name: takes the place of the file's.
        overrides: `path=value` of `--set`.
        output: where things are said.

    Raises:
        InputError: there is no such campaign, a lab carries it out, or the sheet's file exists.
    """
    if csv is not None and csv.exists():
        raise InputError(
            f"{csv} exists and may hold results; tell them first, then choose another file. Nothing was proposed"
        )
    with taken(which, home, name, overrides) as session:
        for line in session.said:
            output.say(line)
        before = [e.number for e in session.open]
        wanted = session.checked.campaign.concurrency if count is None else count
        over = session.over
        new = asyncio.run(_ask(session, wanted)) if wanted else []
        say_open(session, [e.number for e in new], output)
        if len(new) < wanted:
            output.say(why_fewer(session, wanted, len(new), over))
        if csv is not None:
            write_sheet(session, csv)
            output.say(f"wrote {csv}: fill it in, then: sdl tell {session.name} {csv}")
        output.emit(
            {
                "name": session.name,
                "state": "waiting" if session.over is None else "done",
                "reason": session.over,
                "proposed": [e.number for e in new],
                "open_before": before,
                "open": [_as_json(session, e) for e in session.open],
                "left": session.left,
            }
        )
    return DONE


async def _ask(session: ByPeople, count: int) -> list[ExperimentRecord]:
    worker = ProcessWorker()
    try:
        return await session.propose(count, worker)
    finally:
        await worker.close()


def why_fewer(session: ByPeople, wanted: int, got: int, over: str | None) -> str:
    """Say why fewer experiments were proposed than asked for."""
    if over is not None:
        return f"nothing further is proposed: {over}. To go on: sdl amend {session.name} FILE"
    plan, spare = session.checked.plan, unpromised(session.checked.plan, session.state)
    if session.left_of_budget == 0:
        return f"{got} of {wanted} proposed: all {plan.budget} experiments are done or with people"
    if spare is not None:
        there, whole = cost_text(max(0.0, spare), plan.cost_unit), cost_text(plan.cost_limit or 0.0, plan.cost_unit)
        return (
            f"{got} of {wanted} proposed: of {whole} {there} are neither spent nor promised to open experiments, and nothing "
            "further was found that costs no more"
        )
    return (
        f"{got} of {wanted} proposed: the planner has nothing more, {session.left} experiments are left of the budget"
    )


def say_open(session: ByPeople, new: Sequence[int], output: Output) -> None:
    """Print how far the campaign is, and the open experiments as a table; `new` are those just proposed."""
    plan, state = session.checked.plan, session.state
    output.say(
        f"{session.name}: {len(state.in_state('done'))} done, {len(state.in_state('failed'))} failed, "
        f"{len(session.open)} with people, of {plan.budget} experiments"
    )
    for line in describe_results(summary_of(session.ledger, session.name)):
        output.say(f"  {line}")
    for line in _stopping(session):
        output.say(f"  {line}")
    if not session.open:
        return
    parameters = session.checked.campaign.space.parameters
    lines = [["", "experiment", "sample", *(header_of(n, p.unit) for n, p in parameters.items()), ""]]
    for record in session.open:
        cells = [_value(record.candidate.get(n)) for n in parameters]
        measured = f"has {', '.join(record.outcomes)}" if record.outcomes else ""
        mark = "new" if record.number in new else "open"
        lines.append([mark, str(record.number), session.sample(record), *cells, measured])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for cells in lines:
        output.say("  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _stopping(session: ByPeople) -> list[str]:
    """Say when the campaign is over, and whether it is."""
    plan = session.checked.plan
    if session.over is not None:
        return [f"over: {session.over}"]
    rules = [f"{plan.budget} experiments were started"]
    rules += [f"one experiment has {' and '.join(f'{n} {t}' for n, t in plan.targets.items())}"] if plan.targets else []
    rules += [] if plan.gain is None else [plan.gain.in_words]
    rules += [] if plan.cost_limit is None else [f"{plan.cost_limit:g} {plan.cost_unit} were spent"]
    lines = [f"goes on until {', or '.join(rules)}"]
    stated = gains_stated(session.state)
    return [*lines, f"round {stated[-1].round}: {describe_gain(stated[-1], plan.gain)}"] if stated else lines


def _value(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.6g}"


def write_sheet(session: ByPeople, path: Path) -> None:
    """Write the open experiments to a new file.

    Raises:
        InputError: it cannot be written.
    """
    campaign = session.checked.campaign
    units = {outcome: campaign.unit_of(outcome) for outcome in campaign.outcomes}
    rows = [(e.number, session.sample(e), e.candidate, e.outcomes) for e in session.open]
    try:
        with path.open(
            "x", encoding="utf-8-sig", newline=""
        ) as file:  # a spreadsheet reads ° and µ right with the mark alone
            file.write(sheet(campaign.space.parameters, units, rows))
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}; what is open is recorded: "
            f"sdl propose {session.name} -n 0 --csv FILE"
        ) from error


def _as_json(session: ByPeople, record: ExperimentRecord) -> dict[str, Any]:
    return {
        "experiment": record.number,
        "sample": session.sample(record),
        "parameters": dict(record.candidate),
        "round": record.round,
        "outcomes": {o: {"value": e.value, "uncertainty": e.uncertainty} for o, e in record.outcomes.items()},
    }
