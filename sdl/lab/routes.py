"""The lab server's door: HTTP routes around `LabServer`, with tokens, and the wire schema that follows from them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException

from sdl import __version__
from sdl.errors import InputError, LabError, LedgerError, ProtocolError, SdlError
from sdl.lab.headers import BOOT_HEADER, LOG_HEADER, STOPPED_HEADER
from sdl.lab.messages import (
    Answer,
    CampaignSaid,
    DurationQuestion,
    Epoch,
    ErrorSaid,
    Fate,
    HealthSaid,
    Join,
    LabSaid,
    RecordSaid,
    ReleaseSaid,
    SafeSaid,
    Settlement,
    StandingSaid,
    Submission,
    Withdrawal,
)
from sdl.lab.said import health_json, lab_json, record_json, standing_json
from sdl.lab.stop import StoppedError
from sdl.lab.tokens import Role, Tokens, may
from sdl.lab.wire import to_text

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sdl.driver import Command
    from sdl.lab.server import LabServer

_log = logging.getLogger("sdl.lab.server")

Wait = Annotated[float, Query(ge=0, le=60, description="Real seconds to wait for news.")]
Known = Annotated[str, Query(description="What the sender knows that it waits for: the `text` of `held`, or nothing.")]
ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorSaid, "description": "No token, or an unknown one; nothing was moved."},
    403: {"model": ErrorSaid, "description": "The token's role may not do this; nothing was moved."},
    404: {"model": ErrorSaid, "description": "No such command, artefact or instrument."},
    409: {
        "model": ErrorSaid,
        "description": "The command log forbids it: another digest, an old epoch; nothing was moved.",
    },
    412: {"model": ErrorSaid, "description": "Another command log is meant; nothing was moved."},
    422: {"model": ErrorSaid, "description": "The message cannot be read; nothing was moved."},
    503: {
        "model": ErrorSaid,
        "description": "Not now: the server is ending or cannot write its log. Ask again; but with the header Sdl-Stopped a "
        "person has stopped the lab, and nothing begins before an administrator releases it.",
    },
}

LOCAL = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a server on the loopback interface answers: a page of another name in a browser is refused."""


class Json(Response):
    """JSON in the one spelling of the wire."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:  # noqa: ANN401
        """Return the bytes."""
        return to_text(content).encode()


def make_app(server: LabServer, tokens: Tokens | None, world: str | None = None, *, is_local: bool = True) -> FastAPI:
    """Return the server's application.

    Args:
        server: what it is the door of.
        tokens: who may enter; None lets everybody in.
        world: HOST:PORT of the world that keeps virtual time, or None.
        is_local: whether it is bound to the loopback interface.
    """
    app = FastAPI(
        title="sdl lab server",
        version=__version__,
        description="A lab as a process of its own: commands are accepted once, kept, carried out and answered.",
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        default_response_class=Json,
    )

    def refuse(request: Request, status: int, why: str) -> HTTPException:
        who = "?" if request.client is None else f"{request.client.host}:{request.client.port}"
        _log.warning("%d for %s: %s %s: %s; nothing was moved", status, who, request.method, request.url.path, why)
        return HTTPException(status, why)

    def role(wanted: Role) -> Any:  # noqa: ANN401  FastAPI's marker
        async def check(request: Request) -> None:
            meant = request.headers.get(LOG_HEADER, server.id)
            if meant != server.id:
                raise refuse(
                    request,
                    412,
                    "this server keeps another command log than the one that is meant; start it with its old --home",
                )
            if request.headers.get(BOOT_HEADER, server.boot) != server.boot:
                raise refuse(request, 503, "this server was started again since the request was made: ask again")
            host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
            if is_local and host not in LOCAL:
                raise refuse(request, 403, f"this server answers to {', '.join(LOCAL)}, not to '{host}'")
            if tokens is None:
                request.state.who = "somebody" + (f" at {request.client.host}" if request.client else "")
                return
            scheme, _, given = request.headers.get("authorization", "").partition(" ")
            token = tokens.of(given.strip()) if scheme.lower() == "bearer" and given else None
            if token is None:
                said = "the token is unknown" if given else "a token is needed"
                raise refuse(request, 401, f"{said}; make one with sdl lab token new and set SDL_LAB_TOKEN")
            if not may(token.role, wanted):
                raise refuse(
                    request,
                    403,
                    f"token {token.name} may {token.role}; this needs one that may {wanted}: sdl lab token new",
                )
            request.state.who = f"token {token.name}"

        return Depends(check)

    app.add_middleware(_Boot, boot=server.boot)
    observe, operate, administer = role("observe"), role("operate"), role("administer")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> Response:
        del request
        if not isinstance(error, HTTPException):
            raise error
        headers = {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else None
        return Json({"error": str(error.detail)}, error.status_code, headers)

    @app.exception_handler(RequestValidationError)
    async def _unreadable(request: Request, error: Exception) -> Response:
        del request
        if not isinstance(error, RequestValidationError):
            raise error
        said = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        return Json({"error": f"the message cannot be read: {said}"}, 422)

    @app.exception_handler(SdlError)
    async def _refused(request: Request, error: Exception) -> Response:
        del request
        headers = {STOPPED_HEADER: "1"} if isinstance(error, StoppedError) else None
        return Json({"error": str(error)}, _status_of(error), headers)

    # --- the lab -----------------------------------------------------------------------------------------------------

    @app.get("/lab", response_model=LabSaid, dependencies=[observe])
    async def lab() -> Response:
        """Describe the lab: clock, instruments with their actions, places, containers, consumables."""
        return Json(lab_json(server, world))

    @app.get("/lab/health", response_model=HealthSaid, dependencies=[observe])
    async def health() -> Response:
        """Ask every instrument whether it can work, and say what each is doing."""
        return Json(await health_json(server))

    @app.post("/lab/estimate", response_model=float, dependencies=[observe])
    async def estimate(question: DurationQuestion) -> Response:
        """Say how many seconds an action is expected to take for some arguments."""
        plan = server.plan.instruments.get(question.instrument)
        spec = None if plan is None else plan.description.actions.get(question.action)
        if spec is None:
            raise HTTPException(404, f"the lab has no {question.instrument}.{question.action}")
        return Json(spec.seconds(spec.check(question.arguments)))

    @app.post("/lab/safe", response_model=SafeSaid, dependencies=[administer])
    async def all_safe(request: Request) -> Response:
        """Abort everything, whoever's it is, make every instrument safe, and let no command begin before a release."""
        reports = await server.stopping.stop(request.state.who)
        return Json({"instruments": {n: asdict(r) for n, r in reports.items()}})

    @app.post("/lab/release", response_model=ReleaseSaid, dependencies=[administer])
    async def release(request: Request) -> Response:
        """Let commands begin again after the lab was stopped by /lab/safe; says how it was stopped, or null."""
        stopped = server.stopping.release(request.state.who)
        return Json({"stopped": None if stopped is None else str(stopped)})

    # --- campaigns ---------------------------------------------------------------------------------------------------

    @app.get("/campaigns/{campaign}", response_model=CampaignSaid, dependencies=[observe])
    async def campaign_known(campaign: str) -> Response:
        """Say which epoch of a campaign is known."""
        known = {c.id: c for c in server.log.campaigns()}.get(campaign)
        return Json({"id": campaign, "name": known.name if known else "", "epoch": known.epoch if known else 0})

    @app.get("/campaigns/{campaign}/commands", response_model=list[RecordSaid], dependencies=[observe])
    async def commands(campaign: str) -> Response:
        """Return every command of a campaign that was ever accepted, in that order."""
        return Json([record_json(r) for r in server.log.records(campaign)])

    @app.post("/campaigns/{campaign}/join", response_model=CampaignSaid, dependencies=[operate])
    async def join(campaign: str, message: Join) -> Response:
        """Take a campaign over with a newer epoch; commands of older ones are refused from here on."""
        handled = await server.message()
        try:
            server.join(campaign, message.name, message.epoch, message.at_least)
        finally:
            handled()
        return Json({"id": campaign, "name": message.name, "epoch": message.epoch})

    @app.post("/campaigns/{campaign}/here", status_code=204, dependencies=[operate])
    async def here(campaign: str, message: Epoch) -> Response:
        """Say that the campaign's process lives; instruments that ask for it are made safe when it is gone."""
        server.here(campaign, message.epoch)
        return Response(status_code=204)

    @app.post("/campaigns/{campaign}/leave", status_code=204, dependencies=[operate])
    async def leave(campaign: str, message: Epoch) -> Response:
        """Say that the campaign's process ended as it should."""
        handled = await server.message()  # who waits for its room now waits for a person
        try:
            server.leave(campaign, message.epoch)
        finally:
            handled()
        return Response(status_code=204)

    @app.post("/campaigns/{campaign}/withdraw", response_model=int, dependencies=[operate])
    async def withdraw(campaign: str, message: Withdrawal) -> Response:
        """Send away the campaign's commands that wait for an instrument, or are still on their way; returns how many."""
        handled = await server.message()
        try:
            return Json(server.withdraw(campaign, message.epoch, _sent(message)))
        finally:
            handled()

    @app.post("/campaigns/{campaign}/abort", status_code=204, dependencies=[operate])
    async def abort(campaign: str, message: Withdrawal) -> Response:
        """Withdraw the campaign's waiting commands, then abort its running ones; those of others go on."""
        handled = await server.message()
        try:
            await server.abort(campaign, message.epoch, _sent(message))
        finally:
            handled()
        return Response(status_code=204)

    @app.post("/campaigns/{campaign}/safe", response_model=SafeSaid, dependencies=[operate])
    async def safe(campaign: str, message: Epoch) -> Response:
        """Bring every instrument into its safe state that is not at work for another campaign."""
        handled = await server.message()
        try:
            reports = await server.safe_state(campaign, message.epoch)
        finally:
            handled()
        return Json({"instruments": {n: asdict(r) for n, r in reports.items()}})

    # --- commands ----------------------------------------------------------------------------------------------------

    @app.post("/commands", response_model=StandingSaid, dependencies=[operate])
    async def submit(message: Submission, wait: Wait = 0.0) -> Response:
        """Have a command carried out; one that was sent before is not carried out again, but told how it stands."""
        _require_whole(message)
        handled = await server.message()
        try:
            standing = server.submit(message.command, message.begins_sample)
        finally:
            handled()
        if wait > 0 and standing.state != "finished":
            standing = await server.work.news(message.command.id, wait)
        return Json(standing_json(standing))

    @app.get("/commands/{command}", response_model=StandingSaid, dependencies=[observe])
    async def news(command: str, wait: Wait = 0.0, held: Known = "") -> Response:
        """Say how a command stands once it is finished or asks something, or when the wait is over."""
        try:
            return Json(standing_json(await server.work.news(command, wait, held)))
        except KeyError:
            raise HTTPException(404, f"command {command} was never accepted here") from None

    @app.post("/commands/{command}/settle", response_model=StandingSaid | None, dependencies=[operate])
    async def settle(command: str, message: Settlement) -> Response:
        """Go on with a command of a dead process: null where it never came, and can come no more."""
        handled = await server.message()
        try:
            standing = server.settle(command, message.campaign, message.epoch)
        finally:
            handled()
        return Json(None if standing is None else standing_json(standing))

    @app.post("/commands/{command}/answer", response_model=bool, dependencies=[operate])
    async def answer(command: str, message: Answer) -> Response:
        """Give a person's answer; false where it is no longer wanted."""
        return Json(server.work.answer(command, message.question, message.values, message.fault))

    @app.post("/commands/{command}/answered", status_code=204, dependencies=[operate])
    async def answered(command: str, message: Fate) -> Response:
        """Say what a person told of a command of which nobody knew: its instrument goes on."""
        handled = await server.message()
        try:
            server.answered(command, message.status)
        except KeyError:
            raise HTTPException(404, f"command {command} was never accepted here") from None
        finally:
            handled()
        return Response(status_code=204)

    @app.post("/samples/{sample}/cleared", status_code=204, dependencies=[operate])
    async def cleared(sample: str) -> Response:
        """Say that a person took a sample out of the lab: the room that it held is free."""
        handled = await server.message()
        try:
            server.cleared(sample)
        finally:
            handled()
        return Response(status_code=204)

    @app.post("/commands/{command}/taken", status_code=204, dependencies=[operate])
    async def taken(command: str) -> Response:
        """Say that the reply arrived; in shared virtual time the server waits for that."""
        server.work.taken(command)
        return Response(status_code=204)

    @app.get("/artefacts/{sha256}", response_class=Response, dependencies=[observe])
    async def artefact(sha256: str) -> Response:
        """Return the bytes of raw data."""
        try:
            return Response(server.store.get(sha256), media_type="application/octet-stream")
        except LedgerError as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/", response_class=PlainTextResponse, include_in_schema=False)
    async def page() -> Response:
        return PlainTextResponse(
            "A lab server of sdl. What it understands: /openapi.json; for people: docs/lab_server.md\n"
        )

    return app


class _Boot:
    """Puts the server's life on every answer, so that a client knows of a restart whatever it asks."""

    def __init__(self, app: ASGIApp, boot: str) -> None:
        self._app = app
        self._header = (BOOT_HEADER.lower().encode(), boot.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_boot(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, with_boot)


def _require_whole(message: Submission) -> None:
    if message.command.digest != message.digest:
        raise ProtocolError(
            f"command {message.command.id}: it is not what was sent: its digest differs; nothing was moved"
        )


def _sent(message: Withdrawal) -> list[tuple[Command, bool]]:
    for sent in message.commands:
        _require_whole(sent)
    return [(s.command, s.begins_sample) for s in message.commands]


def _status_of(error: Exception) -> int:
    codes: tuple[tuple[type[Exception], int], ...] = (
        (ProtocolError, 409),
        (InputError, 422),
        (LabError, 503),
        (LedgerError, 503),
    )
    return next((code for kind, code in codes if isinstance(error, kind)), 500)
