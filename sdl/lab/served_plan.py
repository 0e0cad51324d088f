"""A served lab as pre-flight sees it: what its server says of it, looked up over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx

from sdl.clock import ClockSettings
from sdl.driver import DriverSettings, Instrument, SafeReport
from sdl.errors import LabError, ProtocolError
from sdl.lab.connection import NotNowError, raise_for, unreachable
from sdl.lab.plan import InstrumentPlan, LabPlan
from sdl.lab.wire import Json, description_of, safe_report_of, to_text
from sdl.units import Quantity

_TIMEOUT = 10.0
"""Real seconds within which a server must say what its lab is. Chosen."""

_SAFE_TIMEOUT = 150.0
"""Real seconds within which a stopped lab must say how its instruments are: an abort and a safe state may take 60 s each."""


def served_plan(url: str, token: str | None) -> LabPlan:
    """Ask a lab server what its lab is.

    Args:
        url: such as `http://127.0.0.1:8470`.
        token: for it, or None.

    Raises:
        LabError: it cannot be reached, or lets nobody in.
        ProtocolError: what it says is no lab.
    """
    ask = _asker(url, token)
    said = ask("GET", "/lab", None)
    try:
        instruments = {
            name: InstrumentPlan(
                name=name,
                driver=str(i["driver"]),
                make=Instrument,
                settings=DriverSettings(),
                description=description_of(i["description"], partial(ServedEstimate, ask, name)),
                place=i["place"],
                safe_after=i["safe_after"],
            )
            for name, i in said["instruments"].items()
        }
        clock = ClockSettings(said["clock"]["type"], float(said["clock"]["factor"]))
        return LabPlan(
            name=str(said["name"]),
            clock=clock,
            world={},
            instruments=instruments,
            places=said["places"],
            containers=said["containers"],
            consumables={n: Quantity(float(value), unit) for n, (value, unit) in said["consumables"].items()},
            server=url,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ProtocolError(f"what answers at {url} is no lab server of this version: {error!r}") from error


def server_status(url: str, token: str | None) -> tuple[Json, Json]:
    """Return what a lab server says of its lab, and of its health.

    Raises:
        LabError: it cannot be reached, or lets nobody in.
    """
    ask = _asker(url, token)
    return ask("GET", "/lab", None), ask("GET", "/lab/health", None)


def stop_lab(url: str, token: str | None) -> dict[str, SafeReport]:
    """Have a lab server abort everything and let nothing begin before `release_lab`; returns what was read back.

    Raises:
        LabError: it cannot be reached, lets nobody in who is no administrator, or could not write it down.
    """
    said = _asker(url, token, _SAFE_TIMEOUT)("POST", "/lab/safe", None)
    return {name: safe_report_of(report) for name, report in said["instruments"].items()}


def release_lab(url: str, token: str | None) -> str | None:
    """Have a stopped lab server let commands begin again; returns how it was stopped, or None where it was not.

    Raises:
        LabError: it cannot be reached, or lets nobody in who is no administrator.
    """
    stopped: str | None = _asker(url, token)("POST", "/lab/release", None)["stopped"]
    return stopped


def _asker(url: str, token: str | None, timeout: float = _TIMEOUT) -> Callable[[str, str, Json | None], Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def ask(method: str, path: str, message: Json | None) -> Any:  # noqa: ANN401  JSON
        content = None if message is None else to_text(message).encode()
        sent = headers | ({} if content is None else {"Content-Type": "application/json"})
        try:
            with httpx.Client(base_url=url, timeout=timeout, trust_env=False) as client:
                response = client.request(method, path, content=content, headers=sent)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(url, error) from error
        try:
            raise_for(response, url)
            return response.json()
        except (LabError, ProtocolError):
            raise
        except NotNowError as error:
            raise LabError(f"the lab server at {url} cannot do all of it now: {error}") from error
        except Exception as error:
            raise LabError(f"what answers at {url} is no lab server: {error}") from error

    return ask


class ServedEstimate:
    """How long an action of a served lab takes: asked of the server once for each set of arguments.

    Args:
        ask: asks the server.
        instrument: whose action it is.
        action: which.
    """

    def __init__(self, ask: Callable[[str, str, Json | None], Any], instrument: str, action: str) -> None:
        self._ask = ask
        self._instrument = instrument
        self._action = action
        self._known: dict[str, float] = {}

    def __call__(self, arguments: Mapping[str, Any]) -> float:
        """Return the expected duration, s.

        Raises:
            LabError: the server does not answer.
        """
        key = _key(arguments)
        if key not in self._known:
            question = {"instrument": self._instrument, "action": self._action, "arguments": dict(arguments)}
            self._known[key] = float(self._ask("POST", "/lab/estimate", question))
        return self._known[key]

    def know(self, arguments: Mapping[str, Any], seconds: float) -> None:
        """Take over what the server said by itself: a campaign that runs must not stand still for a question."""
        self._known[_key(arguments)] = seconds


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(dict(arguments), sort_keys=True)
