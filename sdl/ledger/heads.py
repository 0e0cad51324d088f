"""Heads that were written elsewhere: the last row's number and hash, as a report or an export carries them.

Only such a head shows that rows were cut off the end of a journal, or changed with everything after them hashed anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sdl.errors import InputError

ELEMENT = "sdl-head"
"""Id of the `<script type="application/json">` in which a report carries its head."""

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Head:
    """A row of a journal, as it was written down outside the database.

    Attributes:
        seq: the row's number.
        hash: the row's hash.
        where: where it was written down, in words for people.
        campaign: whose journal, or None where that was not written.
    """

    seq: int
    hash: str
    where: str
    campaign: str | None = None


def head_in_file(path: Path) -> Head:
    """Return the head that a report (HTML) or an export (JSON) carries.

    Raises:
        InputError: the file cannot be read, or carries none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text; a head stands in a report (HTML) or in an export to JSON") from error
    if text.lstrip().startswith("{"):
        data = _json(text, path)
        head = data.get("head")
        campaign = data.get("campaign")
        named = campaign.get("name") if isinstance(campaign, dict) else campaign
    else:
        finder = _Finder()
        finder.feed(text)
        finder.close()
        if not finder.found:
            raise InputError(f"{path} carries no head: no <script id='{ELEMENT}'>; was it made by sdl report?")
        head, named = _json(finder.found, path), None
    if not isinstance(head, dict):
        raise InputError(f"{path} carries no head: the key 'head' is missing; was it made by sdl export --format json?")
    campaign = head.get("campaign", named)
    return head_of(head, str(path), campaign if isinstance(campaign, str) else None)


def head_of(data: Any, where: str, campaign: str | None = None) -> Head:  # noqa: ANN401  anything that was read
    """Return a head that was read from somewhere.

    Raises:
        InputError: it is none.
    """
    seq, digest = (data.get("seq"), data.get("hash")) if isinstance(data, dict) else (None, None)
    if isinstance(seq, bool) or not isinstance(seq, int) or seq < 1:
        raise InputError(f"{where}: the head's seq must be a whole number from 1, got {seq!r}")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise InputError(f"{where}: the head's hash must be 64 digits from 0 to f, got {digest!r}")
    return Head(seq, digest, where, campaign)


def noted_heads(path: Path, campaign: str) -> tuple[list[Head], list[str]]:
    """Return the heads that were noted in a file of a home, and what is wrong with its lines, in words."""
    try:
        *lines, tail = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        return [], [f"{path} cannot be read: {error.strerror}"]
    del tail  # a line that was never finished: the process died while it noted the head
    heads, wrong = [], []
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
            where = data.get("where") if isinstance(data, dict) else None
            head = head_of(data, f"{path.name} line {number}", campaign)
            at = str(data.get("at", ""))[:19].replace("T", " ")
            heads.append(Head(head.seq, head.hash, f"{where or head.where}{f' ({at} UTC)' if at else ''}", campaign))
        except (ValueError, RecursionError):
            wrong.append(f"{path} line {number} is no JSON")
        except InputError as error:
            wrong.append(str(error))
    return heads, wrong


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} carries no head that can be read: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} carries no head that can be read: it is no JSON object")
    return data


class _Finder(HTMLParser):
    """Finds the text of the head's element."""

    def __init__(self) -> None:
        super().__init__()
        self.found = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and ("id", ELEMENT) in attrs

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found += data
