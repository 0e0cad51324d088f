"""Where a home's database is: the file `ledger.db` in it, or a PostgreSQL that its file `ledger.url` names.

`$SDL_LEDGER_URL` names it for a home that has no ledger yet; the home remembers it, without its password, so that a
later command which does not have the variable cannot begin a second ledger. A password comes from the variable or from
where PostgreSQL's own programs take it (`~/.pgpass`, `$PGPASSWORD`, a service file); it may stand in `ledger.url` where
only its owner can read that file. It is never written by us and never shown.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from sdl.errors import InputError, LedgerError

VARIABLE = "SDL_LEDGER_URL"
NAME = "ledger.url"
DATABASE = "ledger.db"


@dataclass(frozen=True)
class Kept:
    """What is kept in a folder's file or in a PostgreSQL that the folder remembers.

    Attributes:
        what: in words.
        variable: of the environment, which names a PostgreSQL.
        name: the file of the folder in which its address stands.
        database: the file of the folder, where it is kept in SQLite.
        move: how it is moved from one to the other.
    """

    what: str
    variable: str
    name: str
    database: str
    move: str


LEDGER = Kept(
    "ledger",
    VARIABLE,
    NAME,
    DATABASE,
    "move the ledger: sdl backup without the variable, sdl restore with it into a new --home",
)

_SECRETS = ("password", "sslpassword")


def has_ledger(home: Path) -> bool:
    """Tell whether a home has a ledger, or is told to have one in a PostgreSQL."""
    return (home / DATABASE).exists() or (home / NAME).exists() or bool(os.environ.get(VARIABLE))


def url_of(home: Path, kept: Kept = LEDGER, option: str | None = None) -> URL | None:
    """Return the address of the PostgreSQL that holds a home's ledger; None where it is the file in the home.

    Args:
        home: the folder.
        kept: what is kept in it.
        option: an address that was given beside the variable, which then does not count.

    Raises:
        InputError: an address cannot be used, or the home's ledger is elsewhere than the variable says.
    """
    given, source = option or os.environ.get(kept.variable), "the address given" if option else f"${kept.variable}"
    said = None if not given else _parsed(given, source)
    leave = "leave that out" if option else "unset the variable"
    path = home / kept.name
    written = _written(path)
    if said is None:
        return written
    if (home / kept.database).exists():
        raise InputError(
            f"the {kept.what} of {home} is its file {kept.database}, but {source} names {masked(said)}; {leave}, or {kept.move}"
        )
    if written is not None and _same(written) != _same(said):
        raise InputError(
            f"the {kept.what} of {home} is in {masked(written)} (its file {kept.name}), but {source} names {masked(said)}; "
            f"{leave} or choose another --home"
        )
    return said


def remember(home: Path, url: URL, kept: Kept = LEDGER) -> None:
    """Write into a home where its ledger is, without a password; does nothing where that is written already.

    Raises:
        LedgerError: the file cannot be written.
    """
    path = home / kept.name
    if path.exists():
        return
    new = home / f".{kept.name}.{os.getpid()}"
    try:
        with new.open("w") as file:
            file.write(_without_secrets(url).render_as_string(hide_password=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror}; the home must remember its database") from error


def masked(url: URL) -> str:
    """Return an address as it may be shown: without its password."""
    return _without_secrets(url).render_as_string(hide_password=True).replace("+psycopg", "", 1)


def _without_secrets(url: URL) -> URL:
    kept = {k: v for k, v in url.query.items() if k not in _SECRETS}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, kept)


def _same(url: URL) -> tuple[str | None, int, str | None]:
    return url.host, url.port or 5432, url.database


def _written(path: Path) -> URL | None:
    """Return what the home's file says, or None where there is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}; it holds one line: postgresql://user@host/database"
        ) from error
    url = _parsed(text, str(path))
    if url != _without_secrets(url) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InputError(f"{path} holds a password and others may read it; chmod 600 {path}, or put it into ~/.pgpass")
    return url


def _parsed(text: str, what: str) -> URL:
    expected = "expected postgresql+psycopg://user@host:5432/database"
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        # Not even as the cause: its text could hold a part of the password.
        raise InputError(f"{what} is no address of a database; {expected}") from None
    if url.drivername not in {"postgresql", "postgresql+psycopg"}:
        raise InputError(
            f"{what} names a database of kind '{url.drivername}'; {expected}, or none for SQLite in the home"
        )
    if not url.database:
        raise InputError(f"{what} names no database: {masked(url)}; {expected}")
    return url.set(drivername="postgresql+psycopg")
