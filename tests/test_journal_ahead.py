"""Answers read ahead: few statements for many lookups in the order of storing, and never anything but what is stored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from extract.journal import Answer, Journal
from extract.journal import ahead as module
from tests.support import answer, failure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def filled(path: Path, names: Sequence[str], size: int = 0) -> None:
    """A journal in which these were stored, in their order."""

    async def fill() -> None:
        with Journal(path) as journal:
            for at in range(0, len(names), 100):
                some = names[at : at + 100]
                await asyncio.gather(*(journal.store(name, answer(f"{name}{'x' * size}")) for name in some))

    asyncio.run(fill())


def statements(journal: Journal) -> list[str]:
    """The statements that its reader is given from now on."""
    found: list[str] = []
    journal._reader.set_trace_callback(found.append)
    return found


def test_lookups_in_the_order_of_storing_take_few_statements(path: Path) -> None:
    names = [f"r{number:04d}" for number in range(3000)]
    filled(path, names)
    with Journal(path) as journal:
        asked = statements(journal)
        assert all(journal.lookup(name) for name in names)
        assert 60 > len(asked)


def test_an_order_that_is_nearly_that_of_storing_takes_few_statements(path: Path) -> None:
    """As calls in flight together are stored: any of 500 may be the next."""
    names = [f"r{number:04d}" for number in range(3000)]
    filled(path, names)
    draw = random.Random(7)
    with Journal(path) as journal:
        asked = statements(journal)
        nearly = sorted(names, key=lambda name: int(name[1:]) + draw.randrange(500))
        assert all(journal.lookup(name) for name in nearly)
        assert 600 > len(asked)


def test_any_other_order_finds_the_same_and_reads_little_more(path: Path) -> None:
    names = [f"r{number:04d}" for number in range(600)]
    filled(path, names)
    random.Random(7).shuffle(names)
    with Journal(path) as journal:
        found = [journal.lookup(name) for name in names]
        assert [Answer("completion", 200, 1, None, answer(name).raw) for name in names] == found
        assert journal._ahead._size <= 64
        assert journal.lookup("none") is None
        assert found[0] == journal.lookup(names[0])  # as often as asked


def test_what_is_dropped_or_stored_anew_is_not_given_as_it_was_read(path: Path) -> None:
    names = [f"r{number}" for number in range(40)]
    filled(path, names)

    async def scene() -> None:
        with Journal(path) as journal:
            assert journal.lookup("r0")  # and the next ones are read with it
            await journal.forget(["r1", "r2"])
            assert journal.lookup("r1") is None
            assert journal.lookup("r3")
            stored = await journal.store_refusal("r2", failure(status=400))
            assert stored == journal.lookup("r2")

    asyncio.run(scene())


def test_damage_is_seen_in_what_was_read_ahead(path: Path) -> None:
    """A body that was changed on the disk is no answer."""
    names = [f"r{number}" for number in range(40)]
    filled(path, names)
    with Journal(path) as journal:
        connection = journal._writer.connection
        connection.execute("UPDATE answers SET body = x'00' WHERE request = 'r7'")
        connection.execute("UPDATE answers SET body = 'text' WHERE request = 'r8'")
        assert [name for name in names if not journal.lookup(name)] == ["r7", "r8"]


def test_large_answers_are_held_only_up_to_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 20_000)
    names = [f"r{number:03d}" for number in range(200)]

    async def fill() -> None:
        with Journal(path) as journal:
            for name in names:
                await journal.store_refusal(name, failure(body=b"x" * 5_000))

    asyncio.run(fill())
    with Journal(path) as journal:
        for name in names:
            found = journal.lookup(name)
            assert found is not None
            assert 5_000 == len(found.body)
            assert 20_000 >= journal._ahead._bytes == sum(len(found[4]) for found in journal._ahead._found.values())
