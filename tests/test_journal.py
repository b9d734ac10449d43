"""The journal: what is stored survives, whatever happens to the writer, the file or the caller."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract import journal as module
from extract.errors import ErrorClass, RunDirectoryError
from extract.journal import FORMAT, Answer, Journal, Totals
from extract.records import Usage
from tests.support import answer, failure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def stored(path: Path, *names: str) -> None:
    async def store() -> None:
        with Journal(path) as journal:
            await asyncio.gather(*(journal.store(name, answer()) for name in names))

    asyncio.run(store())


def test_an_answer_is_on_disk_when_store_returns(path: Path) -> None:
    """Another connection sees it before the journal is closed."""

    async def scene() -> list[Any]:
        with Journal(path) as journal:
            await journal.store("a", answer())
            with sqlite3.connect(path) as other:
                found = other.execute("SELECT request, body FROM answers").fetchall()
            other.close()
            return found

    assert [("a", answer().raw)] == asyncio.run(scene())


def test_an_answer_is_found_again_by_its_request(path: Path) -> None:
    stored(path, "a")
    with Journal(path) as journal:
        assert Answer("completion", 200, 1, None, answer().raw) == journal.lookup("a")
        assert journal.lookup("b") is None


def test_a_final_refusal_is_an_answer(path: Path) -> None:
    async def scene() -> Answer | None:
        with Journal(path) as journal:
            await journal.store_refusal("a", failure(ErrorClass.REQUEST, status=400, code="c", body=b"no"))
            return journal.lookup("a")

    assert Answer("request", 400, 1, "it failed", b"no") == asyncio.run(scene())


def test_failed_attempts_are_counted_and_are_no_answer(path: Path) -> None:
    """The answer after them knows how many calls there were; totals count them as retries."""

    async def scene() -> tuple[Answer | None, Answer, Totals]:
        with Journal(path) as journal:
            journal.note_failure("a", failure())
            journal.note_failure("a", failure())
            await journal.flush()
            before = journal.lookup("a")
            found = await journal.store("a", answer())
            await journal.store("b", answer())
            return before, found, journal.totals()

    before, found, totals = asyncio.run(scene())
    assert before is None
    assert 3 == found.attempts
    assert Totals(4, 2, Usage(20, 10), None, 2) == totals


def test_many_answers_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred answers at once are a few transactions, and each caller gets its own."""
    groups: list[int] = []
    commit = module._commit

    def counting(connection: Any, group: Any, failed: Any) -> Any:
        groups.append(len(group))
        return commit(connection, group, failed)

    monkeypatch.setattr(module, "_commit", counting)

    async def scene() -> list[Answer]:
        with Journal(path) as journal:
            return await asyncio.gather(*(journal.store(str(n), answer()) for n in range(100)))

    assert 100 == len(asyncio.run(scene()))
    assert 100 == sum(groups)
    assert 10 > len(groups)
    assert module.GROUP >= max(groups)


def test_a_commit_survives_a_power_cut(path: Path) -> None:
    """Each is synced to the disk before its callers go on."""
    with Journal(path) as journal:
        assert ("wal", 2) == tuple(
            journal._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        )


def test_only_the_owner_may_read_it(path: Path) -> None:
    """Answers may be confidential, and so may the log beside the file."""

    async def scene() -> set[int]:
        with Journal(path) as journal:
            await journal.store("a", answer())
            return {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    before = os.umask(0)
    try:
        assert {0o600} == asyncio.run(scene())
    finally:
        os.umask(before)


def test_closing_leaves_one_file(path: Path) -> None:
    stored(path, "a")
    assert [path] == list(path.parent.iterdir())


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(RunDirectoryError, match="another program"):
        Journal(path)
    assert before == path.read_bytes()


def test_a_journal_of_a_newer_version_is_refused(path: Path) -> None:
    stored(path, "a")
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {FORMAT + 1}")
    other.close()
    with pytest.raises(RunDirectoryError, match="upgrade"):
        Journal(path)


@pytest.mark.parametrize("content", [b"no database at all, but text" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="cannot be used as a journal"):
        Journal(path)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="cannot be used as a journal"):
        Journal(tmp_path / "none" / "journal.db")


def test_damage_found_while_reading_is_a_run_directory_error(path: Path) -> None:
    """The pages behind a good first page are broken."""
    stored(path, *(f"request {n}" for n in range(500)))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    with Journal(path) as journal:
        with pytest.raises(RunDirectoryError, match="cannot be read"):
            journal.lookup("request 7")
        with pytest.raises(RunDirectoryError, match="cannot be read"):
            journal.totals()


def fail_writing(journal: Journal) -> None:
    """As a full disk does."""
    journal._writer.execute("PRAGMA max_page_count = 1")


def test_a_full_disk_reaches_the_caller(path: Path) -> None:
    """As RunDirectoryError; what was stored before is there, and the writer goes on."""

    async def scene() -> Answer:
        with Journal(path) as journal:
            await journal.store("a", answer())
            fail_writing(journal)
            with pytest.raises(RunDirectoryError, match=r"cannot be written.*free space"):
                await asyncio.gather(*(journal.store(f"{n}" * 5000, answer()) for n in range(3)))
            journal._writer.execute("PRAGMA max_page_count = 100000")
            return await journal.store("c", answer())

    assert "completion" == asyncio.run(scene()).kind
    with Journal(path) as journal:
        assert journal.lookup("a")


def test_a_note_that_could_not_be_written_is_heard_of(path: Path) -> None:
    """Nobody waits for it, so the next who waits is told."""

    async def scene() -> None:
        with Journal(path) as journal:
            fail_writing(journal)
            journal.note_failure("x" * 9000, failure())
            await asyncio.sleep(3 * module.WINDOW)
            with pytest.raises(RunDirectoryError, match="cannot be written"):
                await journal.flush()
            await journal.flush()

    asyncio.run(scene())


def test_an_entry_that_cannot_be_stored_does_not_leave_its_caller_waiting(path: Path) -> None:
    """The writer lives on after an error of any kind."""

    async def scene() -> Answer:
        with Journal(path) as journal:
            with pytest.raises(RunDirectoryError, match="cannot be written"):
                await journal.store("a", answer(tokens=(2**70, 0)))
            return await journal.store("b", answer())

    assert 1 == asyncio.run(asyncio.wait_for(scene(), 5)).attempts


def test_the_answer_of_a_caller_that_was_cancelled_is_stored(path: Path) -> None:
    async def scene() -> Answer | None:
        with Journal(path) as journal:
            waiting = asyncio.create_task(journal.store("a", answer()))
            await asyncio.sleep(0)
            waiting.cancel()
            await journal.flush()
            return journal.lookup("a")

    assert asyncio.run(scene()) is not None


def test_closing_stores_what_is_queued_even_when_the_loop_is_gone(path: Path) -> None:
    journal = Journal(path)

    async def scene() -> None:
        task = asyncio.create_task(journal.store("a", answer()))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(scene())
    journal.__exit__()
    with Journal(path) as again:
        assert again.lookup("a")


def test_a_commit_does_not_wait_longer_than_its_window(path: Path) -> None:
    """A single answer is not held up for company that does not come."""

    async def scene() -> float:
        with Journal(path) as journal:
            await journal.store("a", answer())
            begun = time.monotonic()
            await journal.store("b", answer())
            return time.monotonic() - begun

    assert 1.0 > asyncio.run(scene())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("ab", min_size=1, max_size=2), st.sampled_from(["note", "store", "refuse"])), max_size=12
    )
)
def test_totals_and_answers_survive_reopening(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    """Whatever was done: as many requests as steps, retries as repetitions, and the last answer of each request."""
    path = tmp_path_factory.mktemp("journal") / "journal.db"

    async def scene() -> dict[str, Answer]:
        with Journal(path) as journal:

            async def make(name: str, step: str) -> Answer | None:
                if step == "note":
                    return journal.note_failure(name, failure())
                if step == "store":
                    return await journal.store(name, answer())
                return await journal.store_refusal(name, failure(ErrorClass.POLICY))

            made = await asyncio.gather(*(make(*step) for step in steps))
            await journal.flush()
        return {name: found for (name, _), found in zip(steps, made, strict=True) if found}

    answers = asyncio.run(scene())
    with Journal(path) as journal:
        totals = journal.totals()
        assert answers == {name: journal.lookup(name) for name in answers}
    assert (len(steps), len(steps) - len({name for name, _ in steps})) == (totals.requests, totals.retries)


def test_an_answer_is_found_while_other_threads_read(path: Path) -> None:
    """A statement open in another thread must not hold an old state of the file before the eyes of this one."""
    ended = threading.Event()

    def read(journal: Journal) -> None:
        while not ended.is_set():
            journal.totals()

    async def scene(journal: Journal) -> int:
        lost = 0
        for number in range(300):
            await journal.store_refusal(f"r{number}", failure(ErrorClass.REQUEST))
            lost += journal.lookup(f"r{number}") is None
        return lost

    with Journal(path) as journal:
        readers = [threading.Thread(target=read, args=(journal,)) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            lost = asyncio.run(scene(journal))
        finally:
            ended.set()
            for reader in readers:
                reader.join()
    assert 0 == lost


def test_an_answer_that_is_not_given_back_is_an_error(path: Path) -> None:
    """Never a record without an outcome."""
    with Journal(path) as journal, pytest.raises(RunDirectoryError, match="does not give back what was stored"):
        journal.stored_answer("a")
