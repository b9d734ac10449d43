"""The loops that our connections run on."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.client.peer import Go


@pytest.fixture(params=["asyncio", "uvloop"])
def go(request: pytest.FixtureRequest) -> Go:
    """Runs a test on a loop; what it leaves open is an error."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(test: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async def alone() -> Any:
            found = await test()
            await asyncio.sleep(0.02)  # connections that end
            assert {asyncio.current_task()} == asyncio.all_tasks()
            return found

        gc.freeze()  # what others left is not this test's, and looking through all of it takes a quarter of a second
        try:
            with warnings.catch_warnings(record=True) as left:
                warnings.simplefilter("always")
                with asyncio.Runner(loop_factory=factory) as runner:
                    found = runner.run(alone())
                gc.collect()
        finally:
            gc.unfreeze()
        assert [] == [str(warning.message) for warning in left if warning.category is ResourceWarning]
        return found

    return run
