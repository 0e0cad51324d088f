"""Tokens: who may do what at a lab server. A token is shown once; what is stored (mode 0600) is its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from sdl.errors import InputError, LedgerError, listed

Role = Literal["observe", "operate", "administer"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From what may do least to what may do most; each may do what those before it may."""

PREFIX = "sdl_"
"""What tokens begin with, so that one that leaked is found by a search. Chosen."""


@dataclass(frozen=True)
class Token:
    """A token as it is stored.

    Attributes:
        name: short, for logs.
        role: what it may do.
        sha256: of the token.
        created: UTC text.
    """

    name: str
    role: Role
    sha256: str
    created: str


class Tokens:
    """The tokens of a home's lab servers, in a file that is read again when it changes.

    Args:
        path: of the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[Token, ...] = ()
        self._stamp: tuple[int, int] | None = None

    def all(self) -> tuple[Token, ...]:
        """Return every stored token.

        Raises:
            LedgerError: the file cannot be read.
        """
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._read = tuple(Token(**row) for row in json.loads(self.path.read_text()))
                self._stamp = stamp
        except FileNotFoundError:
            self._read, self._stamp = (), None
        except (OSError, ValueError, TypeError) as error:
            raise LedgerError(
                f"the tokens in {self.path} cannot be read: {error}; remove the file and make new ones"
            ) from error
        return self._read

    def new(self, role: str) -> tuple[str, Token]:
        """Make a token; returns it, which is not stored anywhere, and what is stored.

        Raises:
            InputError: no such role.
            LedgerError: the file cannot be written.
        """
        if role not in ROLES:
            raise InputError(f"--role {role}: a role is one of {listed(ROLES)}")
        text = PREFIX + secrets.token_urlsafe(32)
        digest = hashlib.sha256(text.encode()).hexdigest()
        token = Token(f"{role}-{digest[:6]}", role, digest, datetime.now(UTC).isoformat(timespec="seconds"))
        self._write([*self.all(), token])
        return text, token

    def of(self, text: str) -> Token | None:
        """Return what is stored of a token, or None where it is unknown."""
        digest = hashlib.sha256(text.encode()).hexdigest()
        return next((t for t in self.all() if hmac.compare_digest(t.sha256, digest)), None)

    def _write(self, tokens: list[Token]) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump([asdict(t) for t in tokens], file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise LedgerError(f"the token cannot be stored in {self.path}: {error.strerror}") from error


def may(role: Role, wanted: Role) -> bool:
    """Tell whether a role may do what another one may."""
    return ROLES.index(role) >= ROLES.index(wanted)
