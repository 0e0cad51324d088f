"""Tell people who are not at the screen what needs them: late commands, questions, and how a campaign stands or ended.

Where to is nobody's science: the addresses hold passwords, so they come from the environment or from `notify.yaml` in the
home, and never reach the ledger or a backup. That nobody could be told is said, and touches no campaign.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sdl.engine.hooks import Hooks
from sdl.errors import InputError, brief, listed, near_miss
from sdl.ledger import CampaignEnded, CampaignWaiting, CommandLate, Event, QuestionAskedAgain, QuestionOpened
from sdl.units.spans import span_text

if TYPE_CHECKING:
    from sdl.engine.hooks import View
    from sdl.ledger import Row

_log = logging.getLogger("sdl.engine")

URLS, OCCASIONS, FILE = "SDL_NOTIFY", "SDL_NOTIFY_TELL", "notify.yaml"
"""Environment variables (words parted by blanks); the file in the home that holds `urls` and `tell` where they are not set."""

KNOWN = ("late", "question", "waiting", "failed", "done")
"""What can be told. A campaign that a person stopped is no news to that person."""

Send = Callable[[list[str], str, str], list[str]]
"""Sends a title and a text to addresses; returns those (without passwords) that did not take it."""


@dataclass(frozen=True)
class NotifySettings:
    """Who is told what.

    Attributes:
        urls: addresses that Apprise understands, such as `mailto://…` or `slack://…`.
        tell: what is told, of `KNOWN`.
    """

    urls: tuple[str, ...]
    tell: tuple[str, ...] = KNOWN


def notify_settings(home: Path | None, environment: Mapping[str, str] = os.environ) -> NotifySettings | None:
    """Return who is told what; None where nobody is.

    Args:
        home: the ledger's folder, or None.
        environment: where `SDL_NOTIFY` and `SDL_NOTIFY_TELL` may stand.

    Raises:
        InputError: the file cannot be read, or names what cannot be told.
    """
    data: Any = {}
    path = None if home is None else home / FILE
    if path is not None and path.is_file():
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} cannot be read: {type(error).__name__}") from error  # its text may hold passwords
    if not isinstance(data, dict) or set(data) - {"urls", "tell"}:
        raise InputError(f"{path} must hold 'urls' and, where not everything is to be told, 'tell': {listed(KNOWN)}")
    urls = environment[URLS].split() if URLS in environment else data.get("urls", [])
    tell = environment[OCCASIONS].split() if OCCASIONS in environment else data.get("tell", list(KNOWN))
    for name, words in (("urls", urls), ("tell", tell)):
        if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
            raise InputError(f"{path}: '{name}' must be a list of texts")
    for word in tell:
        if word not in KNOWN:
            raise InputError(
                f"{brief(word)} cannot be notified of{near_miss(word, KNOWN)}; {OCCASIONS} or 'tell' in {FILE} take "
                f"{listed(KNOWN)}"
            )
    return NotifySettings(tuple(urls), tuple(tell)) if urls and tell else None


class Notifier(Hooks):
    """Sends what is worth it, in a thread of its own: a mail server that hangs holds up nothing.

    Args:
        settings: who is told what.
        say: where it is said that somebody could not be told; the log by default.
        send: how it is sent; Apprise by default.
    """

    def __init__(
        self, settings: NotifySettings, say: Callable[[str], None] | None = None, send: Send | None = None
    ) -> None:
        self._settings = settings
        self._say = say or _log.warning
        self._send = send or send_by_apprise
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sdl-notify")

    def recorded(self, rows: list[Row], view: View) -> None:
        """Send what the rows tell, where it is asked for."""
        for row in rows:
            told = message_of(row.event, view)
            if told is not None and told[0] in self._settings.tell:
                self._thread.submit(self._sent, *told[1:])

    def close(self) -> None:
        """Wait until everything is sent, or is known not to be."""
        self._thread.shutdown(wait=True)

    def _sent(self, title: str, text: str) -> None:
        try:
            missed = self._send(list(self._settings.urls), title, text)
        except Exception as error:  # noqa: BLE001  whatever a plugin raises; its words may hold the address
            self._say(f"warning: nobody was notified of '{title}': {type(error).__name__}{_hint(error)}")
        else:
            for address in missed:
                self._say(f"warning: {address} was not notified of '{title}'; see to the address in {URLS} or {FILE}")


def _hint(error: Exception) -> str:
    return " (install sdl[notify])" if isinstance(error, ImportError) else ""


def notifier_of(home: Path | None, say: Callable[[str], None] | None = None) -> Notifier | None:
    """Return what tells people, None where nobody is to be told; what is wrong with the settings is said.

    Args:
        home: the ledger's folder, or None.
        say: where that, and every failure to tell, is said; the log by default.
    """
    try:
        settings = notify_settings(home)
    except InputError as error:
        (say or _log.warning)(f"warning: nobody will be notified: {error}")
        return None
    return None if settings is None else Notifier(settings, say)


def message_of(event: Event, view: View) -> tuple[str, str, str] | None:
    """Return (occasion, title, text) of what is worth telling, or None."""
    name = view.campaign
    if isinstance(event, CommandLate):
        every = (c.intended for e in view.state.experiments.values() for c in e.commands.values())
        intended = next((i for i in every if i.command == event.command), None)
        if intended is None:
            return None  # a newer command has taken its step over
        what = f"{intended.instrument}.{intended.action}"
        text = (
            f"Experiment {intended.experiment}: {what} began at {event.started[:19].replace('T', ' ')} UTC of lab time, should "
            f"take {span_text(event.expected)}, and counts as late after {span_text(event.limit)}."
        )
        return "late", f"{name}: {what} is late", text
    if isinstance(event, QuestionOpened):
        answer = f"sdl answer {name}/{event.question} {' | '.join(event.answers)}".rstrip()
        return "question", f"{name}: a question", f"Experiment {event.experiment}: {event.text}\n{answer}"
    if isinstance(event, QuestionAskedAgain):
        text = view.state.questions[event.question].text
        return "question", f"{name}: a question is still open, asked {event.times} times", text
    if isinstance(event, CampaignWaiting):
        return "waiting", f"{name} waits for a person", event.reason
    if isinstance(event, CampaignEnded) and event.state in KNOWN:
        said = {"done": "is done", "failed": "has failed", "waiting": "waits for a person"}[event.state]
        counts = ", ".join(f"{len(view.state.in_state(s))} {s}" for s in ("done", "failed", "aborted", "running"))
        return event.state, f"{name} {said}", f"{event.reason}\nexperiments: {counts}"
    return None


def send_by_apprise(urls: list[str], title: str, text: str) -> list[str]:
    """Send by Apprise; returns the addresses that did not take it, without their passwords.

    Raises:
        ImportError: Apprise is not installed.
    """
    import apprise

    missed = []
    for url in urls:
        target = apprise.Apprise.instantiate(url)
        if target is None:
            missed.append(f"an address of the kind '{url.split(':', 1)[0][:20]}' that Apprise does not understand")
        elif not target.notify(body=text, title=title):
            missed.append(str(target.url(privacy=True)).split("?", 1)[0])
    return missed
