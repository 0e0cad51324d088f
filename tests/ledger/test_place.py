"""Where a home's database is, who remembers it, and that a password is neither kept nor shown."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from sdl.errors import InputError
from sdl.ledger import Ledger
from sdl.ledger.place import VARIABLE, has_ledger, masked, remember, url_of

ADDRESS = "postgresql+psycopg://lab:s3cret@db.example:5433/lab"


def test_a_home_has_its_file_unless_it_is_told_otherwise(tmp_path, monkeypatch):
    assert url_of(tmp_path) is None
    assert not has_ledger(tmp_path)
    monkeypatch.setenv(VARIABLE, ADDRESS)
    assert url_of(tmp_path) == make_url(ADDRESS)
    assert has_ledger(tmp_path)


def test_the_home_remembers_its_database_without_the_password(tmp_path, monkeypatch):
    remember(tmp_path, make_url(ADDRESS + "?sslpassword=other&sslmode=require"))
    text = (tmp_path / "ledger.url").read_text()
    assert text == "postgresql+psycopg://lab@db.example:5433/lab?sslmode=require\n"
    assert [p.name for p in tmp_path.iterdir()] == ["ledger.url"]
    assert has_ledger(tmp_path)
    assert url_of(tmp_path).password is None
    monkeypatch.setenv(VARIABLE, ADDRESS)
    assert url_of(tmp_path).password == "s3cret"
    monkeypatch.setenv(VARIABLE, ADDRESS.replace("5433/lab", "5433/other"))
    with pytest.raises(
        InputError, match=r"is in postgresql://lab@db\.example:5433/lab.*but \$SDL_LEDGER_URL names"
    ) as caught:
        url_of(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_home_with_a_file_gets_no_second_ledger(tmp_path, monkeypatch):
    Ledger(tmp_path).close()
    monkeypatch.setenv(VARIABLE, ADDRESS)
    with pytest.raises(InputError, match=r"is its file ledger\.db, but .* names postgresql://lab@.*; unset") as caught:
        Ledger(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_password_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "ledger.url"
    path.write_text(ADDRESS + "\n")
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"holds a password and others may read it; chmod 600"):
        url_of(tmp_path)
    path.chmod(0o600)
    assert url_of(tmp_path).password == "s3cret"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3cret", "is no address of a database; expected postgresql"),
        ("postgresql://lab:s3cret@host:port/db", "is no address"),
        ("mysql://lab:s3cret@host/db", "of kind 'mysql'"),
        ("sqlite:////s3cret.db", "of kind 'sqlite'"),
        ("postgresql+asyncpg://lab:s3cret@host/db", "of kind 'postgresql.asyncpg'"),
        ("postgresql://lab:s3cret@host", "names no database: postgresql://lab@host;"),
    ],
)
def test_what_is_no_address_is_refused_without_showing_it(tmp_path, monkeypatch, text, said):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(InputError, match=said) as caught:
        url_of(tmp_path)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    monkeypatch.delenv(VARIABLE)
    (tmp_path / "ledger.url").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        url_of(tmp_path)
    assert "s3cret" not in str(caught.value)


def test_an_address_is_shown_without_its_password():
    assert masked(make_url(ADDRESS)) == "postgresql://lab@db.example:5433/lab"
    assert "s3cret" not in masked(make_url("postgresql+psycopg://lab@h/d?password=s3cret"))
