import asyncio

import pytest

from worker.cli.cli_session import heed_cancellation, scope_of, scope_words
from worker.domain.event import Scope


def test_a_cancellation_that_was_swallowed_is_heeded_at_the_next_step() -> None:
    async def work() -> None:
        heed_cancellation()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As redis-py does at times on Python 3.11.
            heed_cancellation()

    async def scenario() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_a_scope_is_what_the_options_name() -> None:
    assert scope_of("s", None) == Scope(None, "s")
    assert scope_of("", "o") == Scope("o", None)
    assert scope_words(Scope("o", "s")) == "organisation o, store s"
    assert scope_words(Scope()) == "no store named"
