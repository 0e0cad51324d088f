"""The queue before an instrument, where its turns meet cancellations."""

from __future__ import annotations

import asyncio

from sdl.clock import RealClock
from sdl.lab.places import Claim, Places
from sdl.lab.queue import InstrumentQueue


def test_one_that_is_cancelled_as_the_turn_comes_free_leaves_it_to_the_next():
    async def main():
        places = Places({"gauge": 1})
        queue = InstrumentQueue(RealClock(), 1, places)
        assert await queue.take(begins_sample=False)
        cancelled = asyncio.create_task(queue.take(False, Claim(("a",), "gauge")))
        await asyncio.sleep(0)
        cancelled.cancel()
        queue.give()  # before the cancelled one gets to run
        await asyncio.gather(cancelled, return_exceptions=True)
        assert not queue.is_at_work
        assert places.held("gauge") == ()
        assert await asyncio.wait_for(queue.take(False, Claim(("b",), "gauge")), 5)

    asyncio.run(main())
