"""The commands by which a person steers a campaign from another terminal; what they do stands in `requests`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from sdl.cli.outcome import NOTHING_RUN, Output

Finish = Callable[[object, Output], None]

Name = Annotated[str, typer.Argument(help="Name of a campaign in the ledger.", show_default=False)]
Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the ledger [default: $SDL_HOME, else the user data folder].")
]
Json = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
As = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Who you are [default: the user of this machine].")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in your words; it is recorded.")]
Needed = Annotated[str, typer.Option("--reason", help="Why, in your words; it is recorded.", show_default=False)]
TakeOver = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Take the campaign from a process that still holds it and gave no sign of life for a minute (frozen, hung).",
    ),
]
Values = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Values with units.", show_default=False)
]


def register(app: typer.Typer, finish: Finish) -> None:
    """Add the commands to the application.

    Args:
        app: of the console script.
        finish: turns what a command raises into a message and an exit code.
    """
    _answering(app, finish)
    _steering(app, finish)
    _correcting(app, finish)


def _answering(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def questions(
        name: Annotated[
            str | None, typer.Argument(help="A campaign; all of them by default.", show_default=False)
        ] = None,
        every: Annotated[bool, typer.Option("--all", help="Answered ones too.")] = False,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """List the questions that only a person can settle."""
        from sdl.cli.requests import show_questions

        out = Output(as_json=json)
        finish(lambda: show_questions(name, every, home, out), out)

    @app.command()
    def answer(
        question: Annotated[str, typer.Argument(help="Its id, such as NAME/Q1 or Q1.", show_default=False)],
        word: Annotated[
            str,
            typer.Argument(metavar="ANSWER", help="One of the answers that sdl questions lists.", show_default=False),
        ],
        values: Values = None,
        file: Annotated[
            list[str] | None,
            typer.Option("--file", metavar="[NAME=]PATH", help="Raw data that belong to the result."),
        ] = None,
        failed: Annotated[
            list[str] | None,
            typer.Option(
                "--failed", metavar="SAMPLE=REASON", help="A sample that failed alone; with done, repeatable."
            ),
        ] = None,
        reason: Reason = "",
        as_: As = None,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """Answer a question: sdl answer NAME/Q1 done density='3.2 g/cm^3'."""
        from sdl.cli.requests import answer as give

        out = Output(as_json=json)
        told = (tuple(values or ()), tuple(file or ()), reason, as_, home, out, tuple(failed or ()))
        finish(lambda: give(question, word, *told), out)


def _steering(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def pause(name: Name, reason: Reason = "", as_: As = None, home: Home = None, json: Json = False) -> None:
        """Start nothing new until sdl resume; running steps finish."""
        from sdl.cli.requests import steer

        out = Output(as_json=json)
        finish(lambda: steer(name, "pause", reason, as_, home, out), out)

    @app.command()
    def resume(
        name: Name,
        reason: Reason = "",
        as_: As = None,
        engine: Annotated[
            str, typer.Option("--engine", help="prefect or local, where no process runs the campaign.")
        ] = "prefect",
        no_wait: Annotated[
            bool, typer.Option("--no-wait", help="End with exit code 3 where only a person can bring it on.")
        ] = False,
        take_over: TakeOver = False,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """Go on with a paused campaign; with one that no process runs, as sdl run does, from what is recorded."""
        from sdl.cli.run import resume_campaign
        from sdl.ledger.ownership import SILENT_AFTER

        out = Output(as_json=json, template={**NOTHING_RUN, "name": name})
        silent = SILENT_AFTER if take_over else None
        finish(lambda: resume_campaign(name, reason, as_, home, engine, not no_wait, out, take_over=silent), out)

    @app.command()
    def stop(name: Name, reason: Reason = "", as_: As = None, home: Home = None, json: Json = False) -> None:
        """Finish the running steps, then end; the campaign can go on later."""
        from sdl.cli.requests import steer

        out = Output(as_json=json)
        finish(lambda: steer(name, "stop", reason, as_, home, out), out)

    @app.command()
    def abort(name: Name, reason: Reason = "", as_: As = None, home: Home = None, json: Json = False) -> None:
        """Abort the running steps and bring every instrument into its safe state, confirmed by read-back."""
        from sdl.cli.requests import steer

        out = Output(as_json=json)
        finish(lambda: steer(name, "abort", reason, as_, home, out), out)


def _correcting(app: typer.Typer, finish: Finish) -> None:
    @app.command()
    def add(
        name: Name, values: Values = None, reason: Reason = "", as_: As = None, home: Home = None, json: Json = False
    ) -> None:
        """Propose an experiment yourself: sdl add NAME temperature='1100 degC' hold='4 h'."""
        from sdl.cli.requests import add as propose

        out = Output(as_json=json)
        finish(lambda: propose(name, tuple(values or ()), reason, as_, home, out), out)

    @app.command()
    def reject(
        name: Name,
        experiment: Annotated[int, typer.Argument(help="Its number.", show_default=False)],
        reason: Needed,
        constraint: Annotated[
            str | None,
            typer.Option(
                "--constraint",
                help="What every proposal is to keep from now on, such as 'temperature + 10*hold <= 1200'.",
                show_default=False,
            ),
        ] = None,
        as_: As = None,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """Give an experiment up: it never starts, or ends after the step that it is at."""
        from sdl.cli.requests import ask

        out = Output(as_json=json)
        body: dict[str, object] = {"experiment": experiment}
        body |= {} if constraint is None else {"constraint": constraint}
        finish(lambda: ask(name, "reject", body, reason, as_, home, out), out)

    @app.command()
    def retract(
        name: Name,
        observation: Annotated[
            str, typer.Argument(help="EXPERIMENT.OUTCOME.N, such as 3.density.1.", show_default=False)
        ],
        reason: Needed,
        as_: As = None,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """Take an observation back: it stays in the record and no longer counts."""
        from sdl.cli.requests import ask

        out = Output(as_json=json)
        finish(lambda: ask(name, "retract", {"observation": observation}, reason, as_, home, out), out)

    @app.command()
    def clear(
        name: Name,
        sample: Annotated[
            str, typer.Argument(help="Its id, such as NAME-0003, or its experiment.", show_default=False)
        ],
        reason: Needed,
        as_: As = None,
        home: Home = None,
        json: Json = False,
    ) -> None:
        """Say that you took a sample out of the lab: the room that it held is free."""
        from sdl.cli.requests import ask

        out = Output(as_json=json)
        finish(lambda: ask(name, "clear", {"sample": sample}, reason, as_, home, out), out)
