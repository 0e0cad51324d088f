"""Groups of commands about drivers, labs, servers, worlds and tokens; what they do stands in modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdl.cli.control import Home, Json
from sdl.cli.finishing import finish
from sdl.cli.outcome import Output

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value of the file, e.g. stop.experiments=12."),
]

drivers_app = typer.Typer(
    help="List and describe installed drivers.", invoke_without_command=True, rich_markup_mode=None
)
server_app = typer.Typer(
    help="Manage the Prefect server that sdl run starts.", no_args_is_help=True, rich_markup_mode=None
)
world_app = typer.Typer(
    help="Run a simulated world as a process of its own.", no_args_is_help=True, rich_markup_mode=None
)
lab_app = typer.Typer(help="Serve a lab as a process of its own.", no_args_is_help=True, rich_markup_mode=None)
token_app = typer.Typer(help="Tokens of a home's lab servers.", no_args_is_help=True, rich_markup_mode=None)
lab_app.add_typer(token_app, name="token")
new_app = typer.Typer(help="Begin something new: a driver.", no_args_is_help=True, rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the groups to the application."""
    app.add_typer(world_app, name="world")
    app.add_typer(lab_app, name="lab")
    app.add_typer(drivers_app, name="drivers")
    app.add_typer(server_app, name="server")
    app.add_typer(new_app, name="new")


@drivers_app.callback()
def drivers(context: typer.Context, json: Json = False) -> None:
    """List the installed drivers."""
    if context.invoked_subcommand is None:
        from sdl.cli.drivers import list_drivers

        out = Output(as_json=json)
        finish(lambda: list_drivers(out), out)


@drivers_app.command("describe")
def drivers_describe(
    driver: Annotated[str, typer.Argument(help="Name of a driver.", show_default=False)],
    setting: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="KEY=VALUE", help="A setting, where actions follow from them."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a driver's settings, actions, units and limits."""
    from sdl.cli.drivers import describe_driver

    out = Output(as_json=json)
    finish(lambda: describe_driver(driver, tuple(setting or ()), out), out)


@drivers_app.command("check")
def drivers_check(
    driver: Annotated[str, typer.Argument(help="Name of a driver.", show_default=False)],
    setting: Annotated[
        list[str] | None, typer.Option("--setting", metavar="KEY=VALUE", help="A setting of the driver.")
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--argument", metavar="ACTION.NAME=VALUE", help="An argument that the action can do, in its unit."
        ),
    ] = None,
    prepare: Annotated[
        list[str] | None,
        typer.Option("--prepare", metavar="DRIVER.ACTION(NAME=VALUE, …)", help="A step that every sample needs first."),
    ] = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Try this rule only; give it again for more.")
    ] = None,
    json: Json = False,
) -> None:
    """Try the conformance suite on a simulated driver; exit 0 where every rule is kept, 1 otherwise."""
    from sdl.cli.check import check_driver

    out = Output(as_json=json)
    finish(
        lambda: check_driver(
            driver, tuple(setting or ()), tuple(argument or ()), tuple(prepare or ()), tuple(rule or ()), out
        ),
        out,
    )


@new_app.command("driver")
def new_driver(
    name: Annotated[str, typer.Argument(help="Name of the driver, such as hot_plate.", show_default=False)],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to write it [default: the name, here].", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Write a pip-installable driver plugin: driver, simulator, tests that pass at once, README."""
    from sdl.cli.new import new_driver as write_driver

    out = Output(as_json=json)
    finish(lambda: write_driver(name, folder, out), out)


@server_app.command("start")
def server_start(
    home: Home = None, port: Annotated[int | None, typer.Option(help="Port [default: a free one].")] = None
) -> None:
    """Start a Prefect server on the loopback interface, with its database under the home folder."""
    from sdl.cli.server import start

    out = Output()
    finish(lambda: start(home, port, out), out)


@server_app.command("stop")
def server_stop(home: Home = None) -> None:
    """Stop the Prefect server that was started for this home."""
    from sdl.cli.server import stop

    out = Output()
    finish(lambda: stop(home, out), out)


@server_app.command("status")
def server_status(home: Home = None, json: Json = False) -> None:
    """Say whether the Prefect server of this home runs, and where."""
    from sdl.cli.server import status as show

    out = Output(as_json=json)
    finish(lambda: show(home, out), out)


@world_app.command("serve")
def world_serve(
    record: Annotated[Path, typer.Argument(help="The world's record (JSON lines), made on need.", show_default=False)],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that the world hides.")] = 0,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1 [default: a free one].")] = 0,
    set_: Set = None,
) -> None:
    """Serve a simulated world until Ctrl-C: campaigns reach it by world: {server: 127.0.0.1:PORT} in the lab."""
    from sdl.cli.world import serve

    out = Output()
    finish(lambda: serve(record, seed, port, tuple(set_ or ()), out), out)


@lab_app.command("serve")
def lab_serve(
    file: Annotated[Path, typer.Argument(help="The lab file (YAML).", show_default=False)],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8470,
    host: Annotated[
        str, typer.Option("--host", help="Interface to listen at; the loopback one unless stated.")
    ] = "127.0.0.1",
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Folder of its log and data [default: $SDL_HOME, else the user data folder]."),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let everybody on this machine in, without a token.")
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            help="PostgreSQL for the command log, such as postgresql://lab@host/db [default: $SDL_LAB_LOG_URL, else a file].",
        ),
    ] = None,
) -> None:
    """Serve a lab until Ctrl-C: campaigns reach it by lab: {server: http://127.0.0.1:PORT}."""
    from sdl.cli.lab import serve

    out = Output()
    finish(lambda: serve(file, home, host, port, no_token, log, out), out)


@lab_app.command("status")
def lab_status(
    url: Annotated[str, typer.Argument(help="Address, as sdl lab serve printed it.", show_default=False)],
    json: Json = False,
) -> None:
    """Show what a lab server's instruments are and do."""
    from sdl.cli.lab import status as show

    out = Output(as_json=json)
    finish(lambda: show(url, out), out)


@lab_app.command("safe")
def lab_safe(
    url: Annotated[str, typer.Argument(help="Address, as sdl lab serve printed it.", show_default=False)],
    json: Json = False,
) -> None:
    """Stop a lab server's lab: abort everything, make it safe, and let nothing begin before sdl lab release."""
    from sdl.cli.lab import make_safe

    out = Output(as_json=json)
    finish(lambda: make_safe(url, out), out)


@lab_app.command("release")
def lab_release(
    url: Annotated[str, typer.Argument(help="Address, as sdl lab serve printed it.", show_default=False)],
    json: Json = False,
) -> None:
    """Let commands begin again in a lab that was stopped."""
    from sdl.cli.lab import release

    out = Output(as_json=json)
    finish(lambda: release(url, out), out)


@token_app.command("new")
def lab_token_new(
    role: Annotated[str, typer.Option("--role", help="observe, operate (campaigns) or administer.")] = "operate",
    home: Home = None,
    json: Json = False,
) -> None:
    """Make a token and show it this once; only its hash is stored."""
    from sdl.cli.lab import new_token

    out = Output(as_json=json)
    finish(lambda: new_token(role, home, out), out)
