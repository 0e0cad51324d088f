"""`sdl lab serve|status|safe|release`, `sdl lab token new`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sdl.campaign import Files, Reader, read_document
from sdl.campaign.lab import read_lab_file
from sdl.cli.outcome import home_of
from sdl.errors import FileProblems, InputError
from sdl.lab.tokens import Tokens
from sdl.ledger.place import url_of
from sdl.preflight.instruments import plan_lab
from sdl.preflight.served import TOKEN_VARIABLE, token_of

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.lab import LabPlan


def lab_of(file: Path) -> LabPlan:
    """Read a lab file and look everything up in it; nothing is connected.

    Raises:
        FileProblems: everything that is wrong with it.
    """
    document = read_document(file)
    spec, problems = read_lab_file(document, file.name)
    if spec is None:
        raise FileProblems(problems)
    reader = Reader(document, problems)
    plan = plan_lab(spec, reader, Files(file.parent.resolve()), is_served=True)
    if problems:
        raise FileProblems(problems)
    return plan


def serve(file: Path, home: Path | None, host: str, port: int, no_token: bool, log: str | None, output: Output) -> int:
    """Serve a lab until SIGINT or SIGTERM; returns the exit code."""
    plan = lab_of(file)
    try:
        from sdl.lab.serving import LOG, Door, log_to
        from sdl.lab.serving import serve as serve_lab
    except ImportError as error:
        raise InputError(f"a lab server needs the extra sdl[server] ({error}); install it") from error
    folder = home_of(home) / "labs" / plan.name
    door = Door(host, port, None if no_token else _tokens(home))
    if no_token and not door.is_local:
        raise InputError(
            f"--no-token is for the loopback interface alone, not for {host}: whoever reaches it moves matter"
        )
    log_url = url_of(folder, LOG, log)
    log_to(folder / "server.log")
    if door.tokens is not None and not door.tokens.all():
        text, token = door.tokens.new("operate")
        output.say(f"token {token.name} (shown this once): {text}")
        output.say(
            f"  give it to campaigns as {TOKEN_VARIABLE}; for others: sdl lab token new --role observe|operate|administer"
        )
    return asyncio.run(serve_lab(plan, folder, door, output.say, log_url))


def new_token(role: str, home: Path | None, output: Output) -> int:
    """Make a token for the lab servers of a home, and show it this once."""
    text, token = _tokens(home).new(role)
    output.say(f"token {token.name} (shown this once): {text}")
    output.emit({"name": token.name, "role": token.role, "token": text})
    return 0


def status(url: str, output: Output) -> int:
    """Say what a lab server's lab is, how its instruments are, and what they do."""
    try:
        from sdl.lab.served_plan import server_status
    except ImportError as error:
        raise InputError(f"a lab server needs the extra sdl[server] ({error}); install it") from error
    lab, health = server_status(url.rstrip("/"), token_of(None))
    ending = ", about to end" if health["is_stopping"] else ""
    output.say(f"lab '{lab['name']}' at {url}: {lab['clock']['type']} time, sdl {lab['version']}{ending}")
    if health.get("stopped") is not None:
        output.say(f"  {health['stopped']}")
    for name, instrument in lab["instruments"].items():
        found = health["health"].get(name, {"state": "?", "reason": ""})
        doing = health["busy"].get(name, "idle")
        reason = f" ({found['reason']})" if found["reason"] else ""
        output.say(
            f"  {name}: {instrument['description']['nature']} {instrument['driver']}, {found['state']}{reason}; {doing}"
        )
    output.emit({"lab": lab, **health})
    return 0


def make_safe(url: str, output: Output) -> int:
    """Stop a lab, so that nothing begins before its release; returns 1 where a safe state was not confirmed."""
    try:
        from sdl.lab.served_plan import stop_lab
    except ImportError as error:
        raise InputError(f"a lab server needs the extra sdl[server] ({error}); install it") from error
    reports = stop_lab(url.rstrip("/"), token_of(None))
    output.say(f"the lab at {url} is stopped: no command begins before  sdl lab release {url}")
    for name, report in reports.items():
        sure = "confirmed" if report.confirmed else "NOT confirmed, go and look"
        output.say(f"  {name}: safe state {sure}: {report.message or 'nothing was said'}")
    output.emit({"instruments": {n: {"confirmed": r.confirmed, "message": r.message} for n, r in reports.items()}})
    return 0 if all(r.confirmed for r in reports.values()) else 1


def release(url: str, output: Output) -> int:
    """Let commands begin again in a lab that was stopped."""
    try:
        from sdl.lab.served_plan import release_lab
    except ImportError as error:
        raise InputError(f"a lab server needs the extra sdl[server] ({error}); install it") from error
    stopped = release_lab(url.rstrip("/"), token_of(None))
    said = "it was not stopped" if stopped is None else f"it was {stopped.partition(';')[0]}"
    output.say(f"the lab at {url} is released ({said}); run a campaign that it ended again, and it goes on")
    output.emit({"stopped": stopped})
    return 0


def _tokens(home: Path | None) -> Tokens:
    return Tokens(home_of(home) / "labs" / "tokens.json")
