"""Copy a home into one archive, also while campaigns run, and put it back.

The archive (`.tar.gz`) holds the database, the artefacts, the records of simulated worlds and the heads written
elsewhere, and before them all `manifest.json` with the SHA-256 of each.

Order. Heads are copied first, then the database, then everything else:

- a head is noted only after its row was committed, so every head copied before the database is in it; one that came after
  would look like a cut tail;
- raw data are on disk before the row that names them is committed and are never removed, so everything that the copied
  journal names is still there when the artefacts are copied;
- an effect in a simulated world begins after its command was committed and before its outcome is, so the worlds, copied
  last, hold every effect whose outcome the copied journal tells. Effects of commands that it does not know came after the
  moment of the copy and are left out; with them a restored campaign would carry its next step out on a sample on which
  that step had been carried out already.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sdl.clock import utc_text
from sdl.errors import InputError, LedgerError, listed
from sdl.ledger.copying import copy_in, copy_out
from sdl.ledger.migrate import KNOWN
from sdl.ledger.place import NAME, url_of
from sdl.ledger.sqlite import read_only_uri

_FORMAT = "sdl-backup-1"
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 256 * 1024 * 1024
_CHUNK = 1024 * 1024
_MEMBER = re.compile(
    r"ledger\.db|artefacts/[0-9a-f]{2}/[0-9a-f]{64}|(?:worlds|heads)/[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.jsonl"
)
"""Everything that may stand in an archive beside its manifest; nothing else is ever written to a disk."""


@dataclass(frozen=True)
class Backup:
    """What an archive holds.

    Attributes:
        path: the archive.
        campaigns: name → (seq, hash) of the last row.
        artefacts: how many.
        missing: artefacts that the journal names and the home no longer has; the archive cannot hold them either.
    """

    path: Path
    campaigns: Mapping[str, tuple[int, str]]
    artefacts: int
    missing: tuple[str, ...]


def backup(home: Path, target: Path) -> Backup:
    """Copy a home into an archive; it appears whole or not at all.

    A database in a PostgreSQL stands in it as a file of SQLite, and can be restored into either.

    Raises:
        InputError: there is no ledger, or the archive exists.
        LedgerError: the database cannot be read or is damaged, or the archive cannot be written.
    """
    url = url_of(home)
    if url is None and not (home / "ledger.db").is_file():
        raise InputError(f"{home} holds no ledger; name the right --home")
    if os.path.lexists(target):
        raise InputError(f"{target} exists; a backup overwrites nothing, choose another name")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".sdl-backup-") as folder:
            work = Path(folder)
            sources = _copied(home / "heads", work / "heads")
            if url is not None:
                copy_out(url, work / "poured.db")
            _snapshot(home / "ledger.db" if url is None else work / "poured.db", work / "ledger.db")
            campaigns, commands, named, schema = _contents(work / "ledger.db")
            sources["ledger.db"] = work / "ledger.db"
            artefacts, missing = _artefacts(home / "artefacts", named)
            sources |= artefacts
            sources |= _worlds(home / "worlds", work / "worlds", commands)
            manifest = {
                "format": _FORMAT,
                "made": utc_text(time.time()),
                "schema": schema,
                "campaigns": {name: {"seq": seq, "hash": digest} for name, (seq, digest) in campaigns.items()},
                "files": {name: _measured(path) for name, path in sorted(sources.items())},
            }
            archive = work / "archive"
            _pack(archive, manifest, sources)
            try:
                os.link(archive, target)  # unlike a rename it overwrites nothing
            except FileExistsError as error:
                raise InputError(f"{target} exists; a backup overwrites nothing, choose another name") from error
            except OSError:  # a file system without hard links
                archive.replace(target)
        _flush(target.parent)
    except OSError as error:
        raise LedgerError(
            f"the backup {target} cannot be written: {error.strerror or error}; nothing of it was kept"
        ) from error
    return Backup(target, campaigns, len(artefacts), missing)


def restore(archive: Path, home: Path) -> Backup:
    """Put an archive back into a home that holds nothing; it appears whole or not at all.

    Where the home is told to have its database in a PostgreSQL (`sdl.ledger.place`), that must hold no campaign.

    Raises:
        InputError: the home or its database is not empty, or the archive cannot be read, is not whole, or holds what no
            backup holds.
        LedgerError: its ledger was written by a newer version, or the home cannot be written.
    """
    _require_empty(home)
    url = url_of(home)
    if not archive.is_file():
        raise InputError(f"{archive} is no file; name a backup made by sdl backup")
    try:
        home.absolute().parent.mkdir(parents=True, exist_ok=True)
        with _folder_beside(home) as work:
            manifest = _unpack(archive, work)
            campaigns, _, named, _ = _contents(work / "ledger.db")
            if manifest["campaigns"] != {
                name: {"seq": seq, "hash": digest} for name, (seq, digest) in campaigns.items()
            }:
                raise InputError(f"{archive} was changed: its manifest tells of other campaigns than its ledger")
            kept = {Path(name).name for name in manifest["files"] if name.startswith("artefacts/")}
            _require_empty(home)
            if url is None:
                work.replace(home)
            else:
                copy_in(url, work, home)
        _flush(home.absolute().parent)
    except OSError as error:
        raise LedgerError(f"{home} cannot be restored: {error.strerror or error}; nothing of it was kept") from error
    return Backup(archive, campaigns, len(kept), tuple(sorted(named - kept)))


# --- backup ----------------------------------------------------------------------------------------------------------


def _snapshot(source: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, while others write to it."""
    try:
        with (
            closing(sqlite3.connect(read_only_uri(source), uri=True, timeout=60.0)) as old,
            closing(sqlite3.connect(copy)) as new,
        ):
            old.backup(new)  # all pages in one step: in a write-ahead log the reader holds no writer up
            new.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            said = [str(r[0]) for r in new.execute("PRAGMA integrity_check(5)")]
    except sqlite3.Error as error:
        raise LedgerError(f"{source} cannot be copied: {error}") from error
    if said != ["ok"]:
        raise LedgerError(f"{source} is damaged, a copy of it would be no backup: {'; '.join(said)}")
    _flush(copy)


def _contents(database: Path) -> tuple[dict[str, tuple[int, str]], set[str], set[str], str]:
    """Return (campaign → head, ids of commands, hashes of artefacts and files, schema) of a copied database.

    Raises:
        LedgerError: it is no ledger, or a newer one than this version knows.
    """
    try:
        with closing(sqlite3.connect(read_only_uri(database), uri=True)) as connection:
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
            if schema not in KNOWN:
                raise LedgerError(f"the ledger has schema {schema}, which this version does not know; upgrade sdl")
            heads = connection.execute("SELECT campaign, seq, hash FROM journal ORDER BY campaign, seq")
            campaigns = {str(campaign): (int(seq), str(digest)) for campaign, seq, digest in heads}
            # From the journal and not from the projections: it is what a verification will ask for.
            commands: set[str] = set()
            named: set[str] = set()
            wanted = "('command.intended', 'command.settled', 'analysis.recorded', 'campaign.version', 'results.told')"
            for kind, body in connection.execute(f"SELECT kind, body FROM journal WHERE kind IN {wanted}"):  # noqa: S608
                _note(kind, body, commands, named)
            return campaigns, commands, named, str(schema)
    except (sqlite3.Error, ValueError) as error:
        raise LedgerError(f"{database.name} cannot be read as a ledger: {error}") from error


def _note(kind: str, body: str, commands: set[str], named: set[str]) -> None:
    """Add what one row names; a row that says it in a way that cannot be read is for `verify` to find."""
    try:
        data = json.loads(body)
        if kind == "command.intended":
            commands.add(str(data["command"]))
        elif kind == "command.settled":
            named.update(str(a["sha256"]) for a in data["artefacts"])
        elif kind == "analysis.recorded":
            named.update(str(a["sha256"]) for a in [*data["artefacts"], data["figure"]] if a is not None)
        elif kind == "results.told":
            named.add(str(data["file"]["sha256"]))
        else:
            named.update(str(sha256) for sha256 in data["files"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _copied(source: Path, folder: Path) -> dict[str, Path]:
    """Copy a folder's files of lines as they are now, without a last line that is still being written."""
    return _filtered(source, folder, lambda _: True)


def _worlds(source: Path, folder: Path, commands: set[str]) -> dict[str, Path]:
    """Copy the worlds' records as of the moment at which the database was copied."""

    def is_known(line: bytes) -> bool:
        try:
            data = json.loads(line)
        except ValueError:
            return True  # damage is not mended by leaving it out
        command = data.get("command") if isinstance(data, dict) else None
        return not isinstance(command, str) or command in commands

    return _filtered(source, folder, is_known)


def _filtered(source: Path, folder: Path, wanted: Callable[[bytes], bool]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if not source.is_dir():
        return found
    folder.mkdir()
    for path in sorted(source.glob("*.jsonl")):
        name = f"{source.name}/{path.name}"
        if _MEMBER.fullmatch(name) is None or not path.is_file():
            continue
        *lines, _ = path.read_bytes().split(b"\n")
        copy = folder / path.name
        copy.write_bytes(b"".join(line + b"\n" for line in lines if wanted(line)))
        found[name] = copy
    return found


def _artefacts(folder: Path, named: set[str]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return every artefact of the folder, and the hashes of those that are named and not there."""
    found = {
        f"artefacts/{path.parent.name}/{path.name}": path
        for path in sorted(folder.glob("[0-9a-f][0-9a-f]/*"))
        if _MEMBER.fullmatch(f"artefacts/{path.parent.name}/{path.name}") and path.is_file()
    }
    return found, tuple(sorted(named - {path.name for path in found.values()}))


def _measured(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "size": file.tell()}


def _pack(archive: Path, manifest: Mapping[str, Any], sources: Mapping[str, Path]) -> None:
    with archive.open("xb") as raw:
        with (
            gzip.GzipFile(fileobj=raw, mode="wb", filename="", compresslevel=6) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            text = json.dumps(manifest, indent=1, ensure_ascii=False).encode()
            _add(tar, _MANIFEST, len(text), io.BytesIO(text))
            for name, path in sorted(sources.items()):
                with path.open("rb") as file:
                    _add(tar, name, manifest["files"][name]["size"], file)
        raw.flush()
        os.fsync(raw.fileno())


def _add(tar: tarfile.TarFile, name: str, size: int, file: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, int(time.time())
    tar.addfile(info, file)


# --- restore ---------------------------------------------------------------------------------------------------------


def _require_empty(home: Path) -> None:
    if (home / "ledger.db").exists():
        raise InputError(f"{home} holds a ledger already; restore into another --home, nothing is ever overwritten")
    if home.is_dir():
        there = sorted(path.name for path in home.iterdir() if path.name != NAME)
        if there:
            raise InputError(f"{home} is not empty, it holds {listed(there[:5])}; restore into a new folder by --home")
    elif os.path.lexists(home):
        raise InputError(f"{home} is no folder; restore into a new folder by --home")


@contextmanager
def _folder_beside(home: Path) -> Iterator[Path]:
    """Yield a fresh folder on the same file system; what is left of it at the end is removed."""
    work = Path(tempfile.mkdtemp(dir=home.absolute().parent, prefix=".sdl-restore-"))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(archive: Path, work: Path) -> dict[str, Any]:
    """Unpack an archive, member by member, each checked before a byte of it is written.

    Raises:
        InputError: it is not whole, or holds what no backup holds.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = iter(tar)
            manifest = _manifest(tar, next(members, None), archive)
            left = dict(manifest["files"])
            for member in members:
                _unpack_member(tar, member, left, work, archive)
            while tar.fileobj.read(_CHUNK):
                pass  # to the end, where gzip keeps the sum over all: a cut copy is refused even where nothing is lost
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{archive} is no whole backup: {error}; use another copy of it") from error
    if left:
        raise InputError(f"{archive} is no whole backup: {listed(sorted(left)[:5])} of its manifest are missing")
    if "ledger.db" not in manifest["files"]:
        raise InputError(f"{archive} holds no ledger")
    for folder in ("artefacts", "heads", "worlds"):
        for path in [work / folder, *(work / folder).glob("*/")]:
            if path.is_dir():
                _flush(path)
    _flush(work)
    return manifest


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None, archive: Path) -> dict[str, Any]:
    """Read the manifest, which stands first."""
    if member is None or member.name != _MANIFEST or member.type not in _PLAIN or member.size > _LARGEST_MANIFEST:
        raise InputError(f"{archive} is no backup of a ledger: it does not begin with {_MANIFEST}")
    file = tar.extractfile(member)
    try:
        data = json.loads(file.read() if file is not None else b"")
        files = data["files"]
        checks = [data["format"] == _FORMAT, isinstance(data["campaigns"], dict)]
        for name, entry in files.items():
            checks += [isinstance(entry["sha256"], str), isinstance(entry["size"], int)]
            checks.append(_MEMBER.fullmatch(name) is not None)
        good = all(checks)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise InputError(
            f"{archive} is no backup that this version can read: its manifest is not of the form {_FORMAT}"
        )
    return dict(data)


_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def _unpack_member(
    tar: tarfile.TarFile, member: tarfile.TarInfo, left: dict[str, Any], work: Path, archive: Path
) -> None:
    """Write one member and take it off the list of what is still to come."""
    name = member.name
    wanted = left.pop(name, None)
    if wanted is None or member.type not in _PLAIN or member.issparse():
        raise InputError(f"{archive} holds {name!r}, which no backup holds; nothing was restored")
    if member.size != wanted["size"]:
        raise InputError(f"{archive} was changed: {name} has {member.size} bytes, its manifest says {wanted['size']}")
    source = tar.extractfile(member)
    path = work / name  # the manifest holds only names of a fixed form, and this is one of them
    path.parent.mkdir(parents=True, exist_ok=True)
    found = hashlib.sha256()
    with path.open("xb") as file:
        while source is not None and (piece := source.read(_CHUNK)):
            found.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if found.hexdigest() != wanted["sha256"]:
        raise InputError(f"{archive} was changed: {name} does not have the SHA-256 of its manifest")
    if name.startswith("artefacts/"):
        path.chmod(0o444)


def _flush(path: Path) -> None:
    """Flush a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
