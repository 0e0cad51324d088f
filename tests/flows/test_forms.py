"""Forms of questions: whenever a question is settled, its form's flow run comes to an end."""

from __future__ import annotations

import asyncio

import pytest

from sdl.ledger import Ledger, QuestionAnswered, QuestionOpened

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.slow,
    pytest.mark.xdist_group("prefect"),
    pytest.mark.filterwarnings("ignore"),
]

DELAYS = (*(0.03 * i for i in range(10)), 1.5)
"""Seconds after which a question is answered: before its flow run is there, while it is made, and when it waits."""


@pytest.fixture(scope="module")
def prefect_server():
    from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


def test_a_form_whose_question_is_settled_at_once_is_not_left_half_made(prefect_server, tmp_path):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
    from sdl_flows.forms import Forms

    ledger = Ledger(tmp_path / "home")

    async def main():
        forms = Forms("pellets", ledger, ("at-once",))

        async def ask_and_answer(number, delay):
            name = f"Q{number}"
            forms.open(QuestionOpened(name, "approval", number, "", "May it be sent?", answers=["approve", "abort"]))
            await asyncio.sleep(delay)
            await forms.answered(QuestionAnswered(name, "approve", {}, "ann", ""))

        for number, delay in enumerate(DELAYS, start=1):
            await ask_and_answer(number, delay)
        await forms.end()
        async with get_client() as client:
            tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["at-once"]))
            return [run.state for run in await client.read_flow_runs(flow_run_filter=tagged)]

    states = asyncio.run(main())
    ledger.close()
    assert states
    assert {(state.type.value, state.name) for state in states} == {("COMPLETED", "Answered")}
