"""Commands for campaigns that people carry out or change: `propose`, `tell`; what they do stands in modules of those names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from sdl.cli.outcome import Output, home_of

if TYPE_CHECKING:
    from sdl.engine.by_people import ByPeople
    from sdl.ledger import Ledger

Finish = Callable[[object, Output], None]

Which = Annotated[
    str,
    typer.Argument(metavar="NAME|FILE", help="A campaign in the ledger, or its file to begin it.", show_default=False),
]
Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the ledger [default: $SDL_HOME, else the user data folder].")
]
Json = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who you are [default: the user of this machine].")
]
NewName = Annotated[str | None, typer.Option("--name", help="With a file: take this name instead of the file's.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="With a file: override a value of it, e.g. stop.experiments=12."),
]


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the commands to the application.

    Args:
        app: of the console script.
        finish: turns what a command raises into a message and an exit code.
    """
    register_amend(app, finish)

    @app.command()
    def propose(
        which: Which,
        count: Annotated[
            int | None,
            typer.Option(
                "-n", "--count", min=0, help="How many; 0 only shows those that are open [default: concurrency]."
            ),
        ] = None,
        csv: Annotated[
            Path | None, typer.Option("--csv", help="Write the open experiments to this sheet, to be filled in.")
        ] = None,
        home: Home = None,
        name: NewName = None,
        set_: Set = None,
        json: Json = False,
    ) -> None:
        """Propose experiments that people carry out; sdl tell takes their results."""
        from sdl.cli.propose import propose as ask

        out = Output(as_json=json)
        finish(lambda: ask(which, count, csv, home, name, tuple(set_ or ()), out), out)

    @app.command()
    def tell(
        which: Which,
        file: Annotated[
            Path, typer.Argument(metavar="RESULTS", help="The sheet (CSV), filled in.", show_default=False)
        ],
        correct: Annotated[
            bool, typer.Option("--correct", help="Let values that differ take the place of the recorded ones.")
        ] = False,
        reason: Annotated[str, typer.Option("--reason", help="A remark; it is recorded.")] = "",
        as_: As = None,
        home: Home = None,
        name: NewName = None,
        set_: Set = None,
        json: Json = False,
    ) -> None:
        """Tell what people measured, of proposed experiments and of ideas of their own."""
        from sdl.cli.tell import tell as record

        out = Output(as_json=json)
        finish(lambda: record(which, file, correct, reason, as_, home, name, tuple(set_ or ()), out), out)


def register_amend(app: typer.Typer, finish: Finish) -> None:
    """Add `amend` to the application; see `register`."""

    @app.command()
    def amend(
        name: Annotated[str, typer.Argument(help="Name of a campaign in the ledger.", show_default=False)],
        file: Annotated[Path, typer.Argument(help="The amended campaign file (YAML).", show_default=False)],
        yes: Annotated[bool, typer.Option("--yes", help="Accept it without being asked.")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
        lift: Annotated[
            list[str] | None,
            typer.Option("--lift", metavar="CONSTRAINT", help="A constraint of sdl reject that is to hold no more."),
        ] = None,
        reason: Annotated[str, typer.Option("--reason", help="Why, in your words; it is recorded.")] = "",
        as_: As = None,
        home: Home = None,
        set_: Set = None,
        json: Json = False,
    ) -> None:
        """Change a campaign on its way, or prolong one that is done; what was learned stays."""
        from sdl.cli.amend import amend as change

        out = Output(as_json=json)
        given = (reason, as_, home, tuple(set_ or ()), tuple(lift or ()), out)
        finish(lambda: change(name, file, *given, yes=yes, dry_run=dry_run), out)


@contextmanager
def taken(which: str, home: Path | None, name: str | None, overrides: tuple[str, ...]) -> Iterator[ByPeople]:
    """Take a campaign that people carry out, by its name as recorded, or by its file, which begins it where it is new.

    Raises:
        InputError: there is none, or it cannot be taken.
    """
    from sdl.engine.by_people import opened
    from sdl.errors import InputError
    from sdl.ledger import Ledger
    from sdl.ledger.place import has_ledger
    from sdl.preflight import check, recorded_checked

    folder, file = home_of(home), Path(which)
    if file.suffix.lower() in {".yaml", ".yml"} or file.is_file():
        with opened(check(file, overrides=overrides, name=name, home=folder), folder) as session:
            yield session
        return
    if name is not None or overrides:
        raise InputError("--name and --set belong to a campaign file; a recorded campaign is changed by sdl amend")
    if not has_ledger(folder):
        raise InputError(f"there is no ledger in {folder}; begin the campaign with its file, or choose another --home")
    with TemporaryDirectory(prefix="sdl-") as files:
        ledger = Ledger(folder)
        try:
            if ledger.campaign(which) is None:
                raise ledger.unknown(which)
            checked = recorded_checked(ledger, which, Path(files))
        finally:
            ledger.close()
        with opened(checked, folder) as session:
            yield session


def take_at_once(ledger: Ledger, name: str) -> None:
    """Take what stands in the inbox of a campaign that people carry out: no process lives that would.

    Where another command has the campaign just now, that one or the next takes it.
    """
    from sdl.campaign.people import is_by_people
    from sdl.errors import NameInUseError
    from sdl.ledger.queries import latest_version

    version = latest_version(ledger, name)
    if version is None or ledger.home is None or not is_by_people(version["data"]):
        return
    with suppress(NameInUseError), taken(name, ledger.home, None, ()):
        pass
