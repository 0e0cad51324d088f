"""Backups hold one moment of a home, also while campaigns run, and only a whole one is restored."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import textwrap
import time
from pathlib import Path

import pytest
from postgreskit import ONLY_SQLITE

from sdl.errors import InputError, LedgerError
from sdl.ledger import EpochRaised, Ledger
from sdl.ledger.backup import backup, restore
from sdl.ledger.verify import verify


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def packed(path: Path, files: list[tuple[str | tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def archive(ledger, tmp_path):
    ledger.note_head("demo", "report r.html")
    (ledger.home / "worlds").mkdir()
    known, unknown = "00000000-0000-0000-0000-000000000001", "ffffffff-0000-0000-0000-000000000001"
    lines = [{"effect": "begin", "command": c} for c in (known, unknown)] + [{"effect": "abort", "command": known}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (ledger.home / "worlds" / "demo.jsonl").write_text(text + '{"effect": "beg')
    made = tmp_path / "home.tar.gz"
    summary = backup(ledger.home, made)
    assert summary.campaigns == {"demo": ledger.head("demo")}
    assert (summary.artefacts, summary.missing) == (3, ())
    return made


def test_what_is_restored_verifies_and_is_what_was(ledger, archive, tmp_path):
    target = tmp_path / "deeper" / "restored"
    assert restore(archive, target).campaigns == {"demo": ledger.head("demo")}
    again = Ledger(target)
    found = verify(again, "demo")
    assert found.ok, found.text()
    assert found.told_up_to == found.rows  # the heads came with it
    assert again.rows("demo") == ledger.rows("demo")
    assert list(again.artefacts.all()) == list(ledger.artefacts.all())
    again.append("demo", 99.0, [EpochRaised(2, 1, "h", {})])  # and it goes on
    again.close()
    assert [p.name for p in (tmp_path / "deeper").iterdir()] == ["restored"]


def test_worlds_hold_no_effect_of_a_command_that_the_journal_does_not_know(archive):
    lines = members(archive)["worlds/demo.jsonl"].decode().splitlines()
    assert [json.loads(line)["effect"] for line in lines] == ["begin", "abort"]  # nor the unfinished last line


def test_manifest_stands_first_and_tells_all(ledger, archive):
    files = members(archive)
    assert next(iter(files)) == "manifest.json"
    manifest = json.loads(files["manifest.json"])
    assert manifest["files"].keys() == files.keys() - {"manifest.json"}
    assert manifest["campaigns"] == {"demo": dict(zip(("seq", "hash"), ledger.head("demo"), strict=True))}


def test_locks_and_other_files_of_the_home_stay_out(ledger, tmp_path):
    ledger.own("demo").take()
    (ledger.home / "prefect.db").write_bytes(b"x")
    backup(ledger.home, tmp_path / "b.tar.gz")
    assert {n.split("/")[0] for n in members(tmp_path / "b.tar.gz")} == {"manifest.json", "ledger.db", "artefacts"}


def test_existing_archive_missing_ledger_and_missing_folder_are_refused(ledger, archive, tmp_path):
    before = archive.read_bytes()
    with pytest.raises(InputError, match="overwrites nothing"):
        backup(ledger.home, archive)
    assert archive.read_bytes() == before
    with pytest.raises(InputError, match="holds no ledger"):
        backup(tmp_path / "nowhere", tmp_path / "x.tar.gz")
    with pytest.raises(LedgerError, match="cannot be written: No such file"):
        backup(ledger.home, tmp_path / "nowhere" / "x.tar.gz")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".sdl")]


def test_missing_artefacts_are_named_and_the_rest_is_kept(ledger, tmp_path):
    gone = next(ledger.artefacts.all())
    (ledger.home / "artefacts" / gone[:2] / gone).unlink()
    assert backup(ledger.home, tmp_path / "b.tar.gz").missing == (gone,)
    assert restore(tmp_path / "b.tar.gz", tmp_path / "r").missing == (gone,)


@ONLY_SQLITE
def test_damaged_database_is_no_backup(ledger, tmp_path):
    ledger.close()
    path = ledger.home / "ledger.db"
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=r"is damaged|cannot be copied"):
        backup(ledger.home, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()


def test_backup_while_a_campaign_runs(empty, tmp_path):
    script = """
        import sys, uuid
        from pathlib import Path
        from sdl.ledger import *
        ledger = Ledger(Path(sys.argv[1]))
        ledger.append("busy", 0.0, [CampaignCreated(0, {})])
        ledger.append("busy", 0.0, [RoundOpened(1, 1, 1), RoundProposed(1, "p", [{}], 1, {}, {}, 0.0)])
        world = (ledger.home / "worlds")
        world.mkdir()
        print("begun", flush=True)
        with (world / "busy.jsonl").open("a") as file:
            for i in range(10**6):
                command = str(uuid.uuid4())
                ledger.append("busy", float(i), [CommandIntended(command, 1, 0, "i", "a", {}, [], 0, "d", 1)])
                print('{"effect": "begin", "command": "%s"}' % command, file=file, flush=True)
                raw = ledger.artefacts.put("raw", str(i).encode(), "text/plain")
                artefact = {"name": "raw", "sha256": raw.sha256, "size": raw.size, "media_type": raw.media_type}
                done = CommandSettled(command, "succeeded", {}, [artefact], None, None, None, None, True)
                ledger.append("busy", float(i), [done])
                if i % 7 == 0:
                    ledger.note_head("busy", "report")
    """
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(empty.home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout.readline() == "begun\n"
        heads = []
        for i in range(4):
            time.sleep(0.15)
            assert backup(empty.home, tmp_path / f"{i}.tar.gz").missing == ()
            heads.append(empty.head("busy")[0])
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert len(set(heads)) == 4  # it went on writing all the while
    for i in range(4):
        restore(tmp_path / f"{i}.tar.gz", tmp_path / f"r{i}")
        again = Ledger(tmp_path / f"r{i}")
        found = verify(again, "busy")
        assert found.ok, found.text()
        assert 0 < found.rows <= heads[i]
        # The world holds the effect of every settled command, and of no command that is unknown.
        settled = {c["id"] for c in again.read(again_commands()) if c["state"] == "succeeded"}
        known = {c["id"] for c in again.read(again_commands())}
        record = (tmp_path / f"r{i}" / "worlds" / "busy.jsonl").read_text()
        world = {json.loads(line)["command"] for line in record.splitlines()}
        assert settled <= world <= known
        again.close()


def again_commands():
    from sqlalchemy import select

    from sdl.ledger.tables import commands

    return select(commands)


# --- restore ---------------------------------------------------------------------------------------------------------


def test_a_home_that_holds_anything_is_left_alone(ledger, archive, tmp_path):
    with pytest.raises(InputError, match=r"holds a ledger already|is not empty"):
        restore(archive, ledger.home)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"is not empty, it holds 'thesis\.tex'"):
        restore(archive, other)
    with pytest.raises(InputError, match="is no folder"):
        restore(archive, archive)
    assert [p.name for p in other.iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    restore(archive, tmp_path / "empty")
    assert (tmp_path / "empty" / "ledger.db").exists()


def refused(archive: Path, tmp_path: Path, said: str) -> None:
    home = tmp_path / "refused"
    with pytest.raises(InputError, match=said):
        restore(archive, home)
    assert not home.exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".sdl")]


@ONLY_SQLITE
def test_truncated_archives_are_refused(archive, tmp_path):
    data = archive.read_bytes()
    for cut in (0, 1, 20, len(data) // 3, len(data) - 9):
        path = tmp_path / "cut.tar.gz"
        path.write_bytes(data[:cut])
        refused(path, tmp_path, "is no whole backup|is no backup")
    refused(tmp_path / "none.tar.gz", tmp_path, "is no file")


def tree(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


@ONLY_SQLITE
def test_a_changed_byte_is_refused_or_changes_nothing(archive, tmp_path):
    restore(archive, tmp_path / "good")
    data = gzip.decompress(archive.read_bytes())
    path = tmp_path / "changed.tar.gz"
    refusals = 0
    for number, at in enumerate(range(0, len(data), len(data) // 60)):
        path.write_bytes(gzip.compress(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 1))
        home = tmp_path / f"r{number}"
        try:
            restore(path, home)
        except InputError:
            refusals += 1
            assert not home.exists()
        else:  # padding, a member's time, or when the backup was made
            assert tree(home) == tree(tmp_path / "good")
    assert refusals > 40


@ONLY_SQLITE  # an archive is the same from both databases
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_devices_and_folders_are_refused(archive, tmp_path, kind):
    files = list(members(archive).items())
    info = tarfile.TarInfo("ledger.db")
    info.type, info.linkname = kind, "/etc/passwd"
    evil = [(info, b"") if name == "ledger.db" else (name, data) for name, data in files]
    refused(packed(tmp_path / "evil.tar.gz", evil), tmp_path, "'ledger.db', which no backup holds")


@ONLY_SQLITE  # an archive is the same from both databases
@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "artefacts/../../evil", "worlds/../evil.jsonl", "heads/.jsonl", "locks/x.lock"]
)
def test_paths_that_lead_out_are_refused(archive, tmp_path, name):
    files = list(members(archive).items())
    refused(packed(tmp_path / "surplus.tar.gz", [*files, (name, b"evil")]), tmp_path, "which no backup holds")
    manifest = json.loads(files[0][1])
    manifest["files"][name] = {"sha256": "0" * 64, "size": 4}
    evil = [("manifest.json", json.dumps(manifest).encode()), *files[1:], (name, b"evil")]
    refused(packed(tmp_path / "listed.tar.gz", evil), tmp_path, "its manifest is not of the form")
    assert not Path("/tmp/evil").exists()


@ONLY_SQLITE  # an archive is the same from both databases
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files[1:], "does not begin with manifest.json"),
        (lambda files: [("manifest.json", b"[]"), *files[1:]], "its manifest is not of the form"),
        (lambda files: [("manifest.json", b"{"), *files[1:]], "its manifest is not of the form"),
        (lambda files: [f for f in files if f[0] != "ledger.db"], "'ledger.db' of its manifest are missing"),
        (lambda files: [*files, files[-1]], "which no backup holds"),
        (lambda files: [(n, d + b"x" if n == "ledger.db" else d) for n, d in files], "its manifest says"),
    ],
)
def test_archives_that_no_backup_makes_are_refused(archive, tmp_path, change, said):
    refused(packed(tmp_path / "evil.tar.gz", change(list(members(archive).items()))), tmp_path, said)


def test_a_newer_ledger_is_refused(ledger, tamper, tmp_path):
    tamper("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LedgerError, match="schema 9999"):
        backup(ledger.home, tmp_path / "b.tar.gz")
    assert os.listdir(tmp_path) == ["home"]  # noqa: PTH208
