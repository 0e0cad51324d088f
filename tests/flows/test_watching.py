"""What a person did in Prefect reaches the campaign, also where its inbox could not be written at first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace as Made
from uuid import uuid4

import pytest

from sdl.errors import LedgerError

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("prefect")]


@pytest.mark.parametrize(("shown", "wanted"), [("CANCELLING", "abort"), ("PAUSED", "pause")])
def test_what_could_not_be_kept_is_asked_again(monkeypatch, shown, wanted):
    # Within the test: Prefect reads its settings when it is imported, and other tests set them first.
    import sdl_flows.watch
    from prefect.client.schemas.objects import StateType

    kept = []

    class Client:
        async def read_flow_run(self, run):
            return Made(state=Made(type=StateType(shown), state_details=Made(pause_timeout=None)))

    @asynccontextmanager
    async def client():
        yield Client()

    class Locked:
        tries = 0

        def put(self, campaign, by, kind, body):
            self.tries += 1
            if self.tries == 1:
                raise LedgerError("the database is locked")
            kept.append(kind)
            return 1

        def one(self, request):
            return Made(outcome=None)

    monkeypatch.setattr(sdl_flows.watch, "get_client", client)
    session = Made(name="c", state=Made(standing="running"), ledger=None)
    monkeypatch.setattr(sdl_flows.watch, "Inbox", lambda ledger: Locked())
    watch = sdl_flows.watch.RunWatch(session, uuid4(), lambda line: None)

    async def go():
        with pytest.raises(LedgerError):
            await watch.look()
        await watch.look()
        await watch.look()

    asyncio.run(go())
    assert kept == [wanted]
