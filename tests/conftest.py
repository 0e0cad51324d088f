"""What tests of several rooms share: campaigns in a temporary folder, and drivers that exist for one test alone."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from textwrap import dedent

import pytest

CAMPAIGNS = Path(__file__).parent.parent / "campaigns"


@pytest.fixture
def campaigns() -> Path:
    """The folder of the shipped campaigns."""
    return CAMPAIGNS


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file into the test's folder and returns its path."""

    def writer(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip())
        return path

    return writer


class _LoadedPoint(EntryPoint):
    """An entry point whose object is at hand."""

    def load(self):
        return _OBJECTS[self.value]


_OBJECTS: dict[str, type] = {}


@pytest.fixture
def drivers(monkeypatch):
    """Return a function that installs driver classes for the length of one test: `drivers(furnace=Furnace)`."""
    from sdl.driver import registry

    real = registry._points()
    added: dict[str, EntryPoint] = {}
    monkeypatch.setattr(registry, "_points", lambda: {**real, **added})

    def install(**classes: type) -> None:
        for name, driver in classes.items():
            value = f"{driver.__module__}:{driver.__qualname__}"
            _OBJECTS[value] = driver
            added[name] = _LoadedPoint(name, value, registry.GROUP)

    return install


@pytest.fixture(autouse=True)
def _no_prefect_of_the_user(monkeypatch, tmp_path_factory):
    """Tests neither read nor touch the user's own settings and ledgers."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("SDL_LOCKS", str(tmp_path_factory.getbasetemp() / "locks"))
    monkeypatch.delenv("SDL_LEDGER_URL", raising=False)
    monkeypatch.delenv("SDL_LAB_LOG_URL", raising=False)
    monkeypatch.setenv("SDL_HOME", str(tmp_path_factory.getbasetemp() / "home-that-no-test-may-use"))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this test run's own; see `postgreskit.Postgres`."""
    from postgreskit import Postgres, reason_against

    reason = reason_against()
    if reason is not None:
        pytest.skip(reason)
    server = Postgres()
    yield server
    server.close()
