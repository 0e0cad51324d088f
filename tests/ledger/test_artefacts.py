"""Raw data by content: kept durably, checked when read."""

from __future__ import annotations

import stat

import pytest

from sdl.artefacts import ArtefactStore
from sdl.errors import LedgerError
from sdl.ledger import Ledger


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    made = ArtefactStore(
        str(tmp_path / "deep" / "artefacts") if request.param == "disk" else f"memory://{tmp_path.name}"
    )
    yield made
    made.forget()


def test_bytes_come_back(store):
    ref = store.put("spectrum.csv", b"1,2\n", "text/csv")
    assert (ref.name, ref.size, ref.media_type) == ("spectrum.csv", 4, "text/csv")
    assert store.get(ref.sha256) == b"1,2\n"
    assert store.check(ref.sha256) == 4
    assert store.put("again.csv", b"1,2\n", "text/csv").sha256 == ref.sha256
    assert list(store.all()) == [ref.sha256]


def test_large_and_empty_data(store):
    data = bytes(range(256)) * 10_000
    assert store.check(store.put("big", data, "x").sha256) == len(data)
    assert store.check(store.put("empty", b"", "x").sha256) == 0


@pytest.mark.parametrize("ask", ["get", "check"])
def test_missing_and_misnamed_data_are_refused(store, ask):
    with pytest.raises(LedgerError, match=r"is missing from .*; restore it from a backup"):
        getattr(store, ask)("0" * 64)
    for name in ("", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"):
        with pytest.raises(LedgerError, match="is no SHA-256"):
            getattr(store, ask)(name)


def test_changed_data_are_refused_and_mended_by_who_has_them(tmp_path):
    store = ArtefactStore(str(tmp_path))
    ref = store.put("x", b"data", "x")
    path = tmp_path / ref.sha256[:2] / ref.sha256
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0  # nobody edits raw data by accident
    path.chmod(0o644)
    path.write_bytes(b"dama")
    for ask in (store.get, store.check):
        with pytest.raises(LedgerError, match="was changed: its bytes have another hash"):
            ask(ref.sha256)
    store.put("x", b"data", "x")
    assert store.get(ref.sha256) == b"data"


def test_nothing_else_lies_in_the_folder(tmp_path):
    store = ArtefactStore(str(tmp_path))
    ref = store.put("x", b"data", "x")
    (tmp_path / ref.sha256[:2] / ".part-left-by-a-crash").write_bytes(b"da")
    assert list(store.all()) == [ref.sha256]


def test_memory_is_given_back():
    import fsspec

    before = len(fsspec.filesystem("memory").store)
    ledger = Ledger(None)
    ledger.artefacts.put("x", b"data", "x")
    assert len(fsspec.filesystem("memory").store) == before + 1
    ledger.close()
    assert len(fsspec.filesystem("memory").store) == before
