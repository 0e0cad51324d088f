"""Questions of a running campaign to the person at the terminal: typed fields, checked as they are written."""

from __future__ import annotations

import asyncio
import os
import select
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TextIO

from sdl.driver.form import read_field, said
from sdl.engine import Hooks
from sdl.errors import InputError, InstrumentFault, OutcomeUnknown

if TYPE_CHECKING:
    from sdl.cli.outcome import Output
    from sdl.driver import FieldSpec, Form

_FAILED = "failed:"
_POLL = 0.2
"""Real seconds after which the reading thread looks whether its question was withdrawn."""


class TerminalQuestions(Hooks):
    """Asks the person at the terminal, field after field; `failed: reason` at any of them fails the experiment.

    Args:
        output: of the command; under `--json` the questions go to standard error.
        pause: entered while a question stands on the screen.
    """

    def __init__(self, output: Output, pause: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._output = output
        self._pause = pause
        self._prompt: str | None = None

    async def ask(self, form: Form) -> Mapping[str, Any] | None:
        """Ask; None where there is no terminal that a person sees and writes to.

        Raises:
            InstrumentFault: the person says that it failed.
            OutcomeUnknown: the terminal was closed before the answer was complete.
        """
        if self._screen() is None:
            return None
        with self._pause():
            screen = self._screen()  # the live view puts itself in the place of standard output while it draws
            if screen is None:
                return None
            try:
                return await self._dialogue(form, screen)
            except asyncio.CancelledError as gone:
                said = str(gone) or "the question is withdrawn; leave everything as it is"
                _write(screen, f"\n  {said}\n")
                raise
            finally:
                self._prompt = None

    def diary(self, text: str) -> None:
        """Show the prompt again: what was just said stands where the person is writing."""
        del text
        screen = self._screen() if self._prompt is not None else None
        if screen is not None and self._prompt is not None:
            _write(screen, self._prompt)

    def _screen(self) -> TextIO | None:
        """Return where a person sees questions, or None where nobody can be asked."""
        seen = [s for s in (sys.stdout, sys.stderr) if s.isatty() and not (s is sys.stdout and self._output.as_json)]
        try:
            # A process in the background would be stopped by the system when it reads.
            heard = sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            heard = False
        return seen[0] if seen and heard else None

    async def _dialogue(self, form: Form, screen: TextIO) -> Mapping[str, Any]:
        _forget_what_was_typed()
        lines = [f"\n── {form.title} ──", *form.instructions.splitlines(), f"(if it went wrong: {_FAILED} reason)"]
        _write(screen, "\n".join(lines) + "\n")
        if not form.fields:
            while (await self._line("  write 'done' when it is done: ", screen)).lower() != "done":
                _write(screen, "  neither 'done' nor 'failed: reason'\n")
        answer = {field.name: await self._field(field, screen) for field in form.fields}
        _write(screen, "  noted\n")
        return answer

    async def _field(self, field: FieldSpec, screen: TextIO) -> Any:  # noqa: ANN401  of the field's kind
        default = "" if field.required else f"; nothing: {field.default}"
        while True:
            text = await self._line(f"  {field.name} ({said(field)}{default}): ", screen)
            try:
                return read_field(field, text)
            except InputError as error:
                _write(screen, f"  {error}\n")

    async def _line(self, prompt: str, screen: TextIO) -> str:
        """Return a line that the person writes; the event loop goes on meanwhile."""
        self._prompt = prompt
        _write(screen, prompt)
        stop = threading.Event()
        try:
            text = await asyncio.to_thread(_read_line, sys.stdin.fileno(), stop)
        finally:
            stop.set()
            self._prompt = None
        if text is None:
            raise OutcomeUnknown("the terminal was closed before the question was answered")
        text = text.strip()
        if text.lower().startswith(_FAILED):
            raise InstrumentFault(
                f"the person says that it failed: {text[len(_FAILED) :].strip() or 'no reason given'}"
            )
        return text


def _write(screen: TextIO, text: str) -> None:
    with suppress(OSError):
        screen.write(text)
        screen.flush()


def _read_line(descriptor: int, stop: threading.Event) -> str | None:
    """Return the next line, or None at the end of the input; runs in a thread, which ends soon after `stop` is set."""
    try:
        while not stop.is_set():
            if select.select([descriptor], [], [], _POLL)[0]:
                data = os.read(descriptor, 65536)  # a terminal gives one line at a time
                return data.decode(errors="replace") if data else None
    except OSError:  # hung up
        return None
    return ""


def _forget_what_was_typed() -> None:
    """Throw away what was typed before the question was there: it is no answer to it."""
    with suppress(ImportError, OSError):
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
