"""The `sdl` command: options and their meaning; what they do stands in the modules beside this one."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sdl.cli import control, groups, people
from sdl.cli.control import TakeOver
from sdl.cli.finishing import finish
from sdl.cli.outcome import BAD_INPUT, FAILED, NOTHING_RUN, Output, complain

app = typer.Typer(
    name="sdl",
    help="Self-driving laboratory: campaigns, ledger, instruments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
CampaignFile = Annotated[Path, typer.Argument(help="The campaign file (YAML).", show_default=False)]
Name = Annotated[str, typer.Argument(help="Name of a campaign in the ledger.", show_default=False)]
Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the ledger [default: $SDL_HOME, else the user data folder].")
]
Json = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value of the file, e.g. stop.experiments=12."),
]
NewName = Annotated[str | None, typer.Option("--name", help="Take this name instead of the file's.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything the planner draws.")]


class EngineName(StrEnum):
    """Which engine carries a campaign out."""

    PREFECT = "prefect"
    LOCAL = "local"


class Format(StrEnum):
    """Formats of an export."""

    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


def _version(asked: bool) -> None:
    if asked:
        from sdl import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Self-driving laboratory: campaigns, ledger, instruments."""
    del version


@app.command()
def run(
    file: CampaignFile,
    home: Home = None,
    name: NewName = None,
    seed: Seed = None,
    set_: Set = None,
    engine: Annotated[
        EngineName, typer.Option("--engine", help="Prefect (with its UI), or neither server nor UI.")
    ] = EngineName.PREFECT,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulators stand in for real instruments; virtual time.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End with exit code 3 where only a person can bring it on.")
    ] = False,
    take_over: TakeOver = False,
    json: Json = False,
) -> None:
    """Run a campaign, or go on with it where it was interrupted or stopped."""
    from sdl.cli.run import run_campaign
    from sdl.ledger.ownership import SILENT_AFTER

    output = Output(as_json=json, template={**NOTHING_RUN, "name": name})
    options = (tuple(set_ or ()), engine.value, simulate, output)
    silent = SILENT_AFTER if take_over else None
    finish(lambda: run_campaign(file, home, name, seed, *options, stays=not no_wait, take_over=silent), output)


@app.command()
def plan(
    file: CampaignFile,
    name: NewName = None,
    seed: Seed = None,
    set_: Set = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulators stand in for real instruments.")] = False,
    json: Json = False,
) -> None:
    """Check a campaign against its lab and planner, and show what it would do; nothing moves."""
    from sdl.cli.plan import show_plan

    output = Output(as_json=json)
    finish(lambda: show_plan(file, name, seed, tuple(set_ or ()), simulate, output), output)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="A campaign; all of them by default.", show_default=False)] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Show how campaigns stand: state, best so far, open questions."""
    from sdl.cli.status import show_status

    output = Output(as_json=json)
    finish(lambda: show_status(name, home, output), output)


@app.command()
def export(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="csv, parquet: a row an experiment; json: everything [default: by the ending]."),
    ] = None,
    home: Home = None,
) -> None:
    """Write a campaign's experiments to a file."""
    from sdl.cli.records import export_campaign

    out = Output()
    finish(lambda: export_campaign(name, home, None if format_ is None else format_.value, output, out), out)


@app.command()
def report(
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file [default: reports/NAME.html in the home].")
    ] = None,
    home: Home = None,
) -> None:
    """Write a campaign's report: one HTML file that opens offline."""
    from sdl.cli.records import report_campaign

    out = Output()
    finish(lambda: report_campaign(name, home, output, out), out)


@app.command()
def explain(
    name: Name,
    experiment: Annotated[
        int | None, typer.Argument(help="Number of an experiment: why was it proposed?", show_default=False)
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Folder for the figures, as SVG.", show_default=False)
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Say what the models know, and what matters; or why an experiment was proposed."""
    from sdl.cli.explain import explain as explained

    out = Output(as_json=json)
    finish(lambda: explained(name, experiment, home, out, plots), out)


@app.command()
def schema(
    lab: Annotated[bool, typer.Option("--lab", help="The schema of lab files instead of campaign files.")] = False,
) -> None:
    """Write the JSON Schema of the campaign grammar, for editors."""
    from sdl.cli.records import show_schema

    out = Output()
    finish(lambda: show_schema(lab), out)


@app.command()
def verify(
    name: Name,
    home: Home = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="A report or JSON export whose head is compared too.")
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Ask the planner again in every round and compare.")
    ] = False,
    json: Json = False,
) -> None:
    """Prove that the ledger is what was written: chain, projections, artefacts, heads, proposals."""
    from sdl.cli.records import verify_campaign

    out = Output(as_json=json)
    finish(lambda: verify_campaign(name, home, tuple(against or ()), recompute, out), out)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Archive to write (.tar.gz).", show_default=False)], home: Home = None
) -> None:
    """Back the whole home up into one archive; campaigns may go on running."""
    from sdl.cli.records import backup_home

    out = Output()
    finish(lambda: backup_home(file, home, out), out)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="Archive that sdl backup wrote.", show_default=False)], home: Home = None
) -> None:
    """Restore a home from an archive; refuses a home that holds a ledger."""
    from sdl.cli.records import restore_home

    out = Output()
    finish(lambda: restore_home(file, home, out), out)


@app.command()
def benchmark(
    file: CampaignFile,
    planner: Annotated[list[str] | None, typer.Option("--planner", help="A planner; give it again for more.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=10_000, help="How many seeds, from 0.")] = 20,
    budget: Annotated[
        int | None, typer.Option("--budget", min=1, help="Experiments a run [default: the file's].")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=256, help="Processes at once.")] = 1,
    set_: Set = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write planner → seed → experiments to this file.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option("--record", help="Write everything to this file: also truth, figures, versions.")
    ] = None,
) -> None:
    """Compare planners on a campaign whose truth is known: local engine, virtual time."""
    from sdl.cli.benchmark import run_benchmarks

    out = Output()
    finish(
        lambda: run_benchmarks(file, tuple(planner or ()), seeds, budget, jobs, tuple(set_ or ()), json_, record, out),
        out,
    )


@app.command()
def torture(
    file: CampaignFile,
    set_: Set = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Simulators stand in for real instruments; virtual time.")
    ] = False,
    faults: Annotated[int, typer.Option("--faults", min=1, help="How many faults are to strike.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the choice of faults.")] = 0,
    lanes: Annotated[int, typer.Option("--lanes", min=1, help="Campaigns at once.")] = 1,
    keep: Annotated[Path | None, typer.Option("--keep", help="New folder in which all homes are kept.")] = None,
    served: Annotated[
        bool | None,
        typer.Option(
            "--served/--embedded",
            help="Whether the lab is a process of its own, tortured like the network to it [default: some of both].",
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option("--engine", help="With Prefect, its server is a process of its own and tortured too.")
    ] = EngineName.LOCAL,
    compare: Annotated[
        bool, typer.Option("--compare/--no-compare", help="Hold every run against the undisturbed one (virtual time).")
    ] = True,
    json: Json = False,
) -> None:
    """Kill a simulated campaign again and again, and see whether anything happens twice or is lost."""
    from sdl.cli.torture import torture as run

    out = Output(as_json=json)
    options = (tuple(set_ or ()), simulate, faults, seed, lanes, keep, out)
    finish(lambda: run(file, *options, served=served, engine=engine.value, compare=compare), out)


control.register(app, finish)
people.register(app, finish)
groups.register(app)


def main() -> None:
    """Entry point of the console script."""
    try:
        code = app(standalone_mode=False)
    except SystemExit:
        raise
    except Exception as error:  # noqa: BLE001  the last resort: nobody shall see a bare traceback
        if not hasattr(error, "exit_code") or not hasattr(error, "format_message"):
            complain(f"{type(error).__name__}: {error} (this is a fault of sdl: please report it with the lines below)")
            import traceback

            traceback.print_exc()
            _json_for_all({"state": "failed", "error": f"{type(error).__name__}: {error}"})
            sys.exit(FAILED)
        complain(f"{error.format_message()} (see sdl --help)")
        _json_for_all({"state": "refused", "error": error.format_message()})
        sys.exit(BAD_INPUT)
    _leave(code if isinstance(code, int) else 0)


def _leave(code: int) -> None:
    """End the process; at once where its Prefect server is away, for Prefect's farewell would wait for that for minutes."""
    launch = sys.modules.get("sdl_flows.launch")
    if launch is not None and launch.is_alone():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _json_for_all(data: dict[str, object]) -> None:
    """Keep the promise of --json where the command line itself could not be read."""
    wanted = "--json" in sys.argv and "benchmark" not in sys.argv
    Output(as_json=wanted, template=NOTHING_RUN if "run" in sys.argv else None).emit(data)
