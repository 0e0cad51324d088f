"""The way to a lab server: requests that are asked again until there is an answer, and what an answer means.

Trouble of transport is never an answer. Two headers say who is meant and who answered: another server in the place of the one
that is meant takes nothing, and a client that never saw the break learns that the server was started again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from sdl.errors import LabError, ProtocolError
from sdl.lab.headers import BOOT_HEADER, LOG_HEADER, STOPPED_HEADER
from sdl.lab.wire import Json, to_text

PATIENCE = 600.0
"""Real seconds for which a server that does not answer is asked again. Chosen: a machine restarts in less."""

LONG_WAIT = 25.0
"""Real seconds of a wait for news: below the half minute after which proxies cut idle connections."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0
"""Real seconds between two attempts: at first, and at most. Chosen."""

Say = Callable[[str], None]


class RestartedError(Exception):
    """The server was started again since the question was first asked."""


class UnwantedError(LabError):
    """The server did not answer before the answer was no longer wanted."""


class NotNowError(Exception):
    """The server is ending, or cannot write its log."""


class Connection:
    """A connection to one lab server.

    Args:
        url: such as `http://127.0.0.1:8470`.
        token: for it, or None.
        patience: real seconds for which a server that does not answer is asked again.
        restarted: called when an answer shows that the server was started again, before anything else is made of the answer; it
            asks with `in_between`.

    Attributes:
        id: of the server's command log, once open.
        boot: the server's life, as its last answer told.
        say: where trouble and its end are told.
    """

    def __init__(self, url: str, token: str | None, patience: float, restarted: Callable[[], Awaitable[None]]) -> None:
        self.url = url
        self.id = ""
        self.boot = ""
        self.say: Say = lambda _: None
        self._token = token
        self._patience = patience
        self._restarted = restarted
        self._http: httpx.AsyncClient | None = None
        self._trouble: str | None = None

    async def open(self) -> Json:
        """Reach the server; returns what it says of its lab.

        Pre-flight has just asked it, so one that does not answer is away for a moment, and is asked again.

        Raises:
            LabError: it does not answer for longer than patience lasts, or lets nobody in.
        """
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={} if self._token is None else {"Authorization": f"Bearer {self._token}"},
            timeout=httpx.Timeout(10.0, read=LONG_WAIT + 20.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,  # a lab is no web site: it is never behind the proxy that the user's browser needs
        )
        said: Json = await self.request("GET", "/lab")
        self.id, self.boot = str(said["id"]), str(said["boot"])
        return said

    async def close(self) -> None:
        """Let go of it."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def request(
        self,
        method: str,
        path: str,
        message: Json | None = None,
        *,
        is_json: bool = True,
        boot: str | None = None,
        patience: float | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> Any:  # noqa: ANN401  JSON
        """Ask until the server answers; whatever is asked may be asked twice.

        Args:
            method: of HTTP.
            path: what is asked, with its query.
            message: its body, or None.
            is_json: whether the answer is JSON, else bytes.
            boot: the life of the server to which the question belongs, or None.
            patience: real seconds, where they are not the connection's.
            wanted: says whether it may be asked again where nobody answered, or None: it may.

        Raises:
            RestartedError: the server lives another life than `boot`.
            LabError: it does not answer for longer than patience lasts, has been stopped by a person, or is another one than
                before.
            UnwantedError: it did not answer while the answer was wanted.
            ProtocolError: it refuses.
        """
        limit = self._patience if patience is None else min(patience, self._patience)
        last, pause = time.monotonic() + limit, _FIRST_PAUSE
        failed = False
        while True:
            try:
                if boot is not None and boot != self.boot:
                    self._told(None)
                    raise RestartedError
                # A frozen server neither answers nor breaks off: who is in a hurry does not wait for HTTP's own limit.
                async with asyncio.timeout(None if patience is None else max(last - time.monotonic(), _FIRST_PAUSE)):
                    answer = await self.once(method, path, message, is_json=is_json)
            except (httpx.TransportError, NotNowError, TimeoutError) as error:
                failed = True
                path = path.partition("?wait=")[0]  # whether it was started again is to be known at once
                if time.monotonic() > last:
                    raise LabError(
                        f"the lab server at {self.url} has not answered for {limit:.0f} s "
                        f"({_words(error)}); what was sent stays open: start it again, then run the same command again"
                    ) from error
                self._told(f"the lab server at {self.url} does not answer ({_words(error)}); it is asked again")
                await asyncio.sleep(pause)
                if wanted is not None and not wanted():
                    raise UnwantedError(
                        f"the lab server at {self.url} did not answer ({_words(error)}) before it was stopped or aborted here: "
                        "it is not asked again; what was sent stays open: run the same command again when the server is back"
                    ) from error
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if failed:
                    self._told(None)
                return answer

    async def once(
        self, method: str, path: str, message: Json | None = None, *, is_json: bool = True, in_between: bool = False
    ) -> Any:  # noqa: ANN401  JSON
        """Ask once; see `request`.

        Args:
            method: of HTTP.
            path: what is asked, with its query.
            message: its body, or None.
            is_json: whether the answer is JSON, else bytes.
            in_between: asked about a server that was started again, before anything else is made of that.

        Raises:
            httpx.TransportError: no answer.
            NotNowError: the server cannot do it now.
            LabError: it lets nobody in, broke, or is another one than before.
            ProtocolError: it refuses.
        """
        if self._http is None:
            raise LabError(f"the lab server at {self.url} is not open")
        content = None if message is None else to_text(message).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        if self.id:
            headers[LOG_HEADER] = self.id  # another server in its place must not take what is meant for this one
        if self.boot and method == "POST" and (path.startswith("/commands?") or path.endswith("/settle")):
            # It may begin something: a server that was started again must first show that its log is whole.
            headers[BOOT_HEADER] = self.boot
        response = await self._http.request(method, path, content=content, headers=headers)
        boot = response.headers.get(BOOT_HEADER, self.boot)
        if boot != self.boot:
            if self.boot and not in_between:
                await self._restarted()
            if not in_between:
                self.boot = boot
        raise_for(response, self.url)
        if response.status_code == 204:
            return None
        return response.json() if is_json else response.content

    def _told(self, trouble: str | None) -> None:
        """Say trouble once, and its end."""
        if trouble is not None and self._trouble is None:
            self.say(trouble)
        elif trouble is None and self._trouble is not None:
            self.say(f"the lab server at {self.url} answers again")
        self._trouble = trouble


def raise_for(response: httpx.Response, url: str) -> None:
    """Raise what an answer of the server means.

    Raises:
        ProtocolError: the command log forbids it.
        NotNowError: it is ending, or cannot write its log.
        LabError: it lets nobody in, was stopped by a person, or broke.
    """
    if response.status_code < 400:
        return
    try:
        said = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        said = response.text[:200]
    if response.status_code == 503 and STOPPED_HEADER not in response.headers:
        raise NotNowError(said)
    if response.status_code in {401, 403, 412, 503}:
        raise LabError(f"the lab server at {url} refuses: {said}")
    if response.status_code in {404, 409, 422}:
        raise ProtocolError(said)
    raise LabError(f"the lab server at {url} broke (HTTP {response.status_code}): {said}; see its log")


def unreachable(url: str, error: Exception) -> LabError:
    """Return the error that says that nobody answers at an address."""
    return LabError(
        f"no lab server answers at {url} ({_words(error)}); nothing was sent; start it with: sdl lab serve LAB.yaml"
    )


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
