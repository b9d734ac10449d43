"""The journal: what is stored survives, whatever happens to the writer, the file or the caller."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract import failpoints
from extract import journal as module
from extract.disk import DiskPause
from extract.errors import ErrorClass, RunDirectoryError
from extract.journal import FORMAT, Answer, Journal, Totals
from extract.journal.known import Known
from extract.journal.writer import Writer
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
    commit = Writer._commit

    def counting(writer: Writer, group: Any) -> None:
        groups.append(len(group))
        commit(writer, group)

    monkeypatch.setattr(Writer, "_commit", counting)

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
            journal._writer.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
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
    journal._writer.connection.execute("PRAGMA max_page_count = 1")


def test_a_full_disk_reaches_the_caller(path: Path) -> None:
    """As a pause; what was stored before is there, and the writer goes on."""

    async def scene() -> Answer:
        with Journal(path) as journal:
            await journal.store("a", answer())
            fail_writing(journal)
            with pytest.raises(DiskPause, match=r"journal\.db cannot be written: No space left.*free space"):
                await asyncio.gather(*(journal.store(f"{n}" * 5000, answer()) for n in range(3)))
            journal._writer.connection.execute("PRAGMA max_page_count = 100000")
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
            with pytest.raises(DiskPause, match="cannot be written"):
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


def build_format_1(path: Path) -> None:
    """A journal as version 0.1 wrote it: digests of bodies, an index of all attempts, no seal on notes."""
    body = answer().raw
    with sqlite3.connect(path) as old:
        old.executescript(
            "PRAGMA journal_mode = WAL;"
            "CREATE TABLE answers (request TEXT PRIMARY KEY, kind TEXT NOT NULL, status INTEGER, attempts INTEGER NOT NULL,"
            " input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, message TEXT, body BLOB NOT NULL,"
            " digest BLOB NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE attempts (id INTEGER PRIMARY KEY, request TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL,"
            " status INTEGER, code TEXT, message TEXT, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL);"
            "CREATE INDEX attempts_request ON attempts (request);"
            "CREATE TABLE totals (requests INTEGER NOT NULL, retries INTEGER NOT NULL, input_tokens INTEGER NOT NULL,"
            " output_tokens INTEGER NOT NULL, cost_usd REAL, answers INTEGER NOT NULL);"
            "INSERT INTO totals VALUES (2, 0, 20, 10, NULL, 1);"
            "CREATE TABLE notes (request TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;"
            "INSERT INTO notes VALUES ('call', 'result', x'61');"
            f"PRAGMA application_id = {module.APPLICATION}; PRAGMA user_version = 1;"
        )
        digest = hashlib.blake2b(body, digest_size=8).digest()
        old.execute("INSERT INTO answers VALUES ('a', 'completion', 200, 1, 10, 5, NULL, ?, ?)", (body, digest))
        for name, kind in (("a", "completion"), ("b", "transient")):
            old.execute("INSERT INTO attempts VALUES (NULL, ?, 0, ?, 200, NULL, NULL, 10, 5)", (name, kind))
    old.close()


def test_a_journal_of_an_older_version_is_taken_over(path: Path) -> None:
    """Its answers stand, its failures count, and new ones are sealed."""
    build_format_1(path)

    async def scene() -> Answer:
        with Journal(path) as journal:
            assert Answer("completion", 200, 1, None, answer().raw) == journal.lookup("a")
            assert b"a" == journal.result("call")
            await journal.store_result("other", b"b")
            return await journal.store("b", answer())

    assert 2 == asyncio.run(scene()).attempts
    with Journal(path) as journal:
        assert journal.lookup("a")
        assert b"b" == journal.result("other")
        assert Totals(3, 1, Usage(30, 15), None, 2) == journal.totals()
    with sqlite3.connect(path) as other:
        assert (FORMAT,) == other.execute("PRAGMA user_version").fetchone()
    other.close()


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'request'",
        "status = 500",
        "attempts = 9",
        "message = 'x'",
        "body = 'text'",
        "body = x'00'",
        "digest = 1",
    ],
)
def test_a_row_that_was_changed_anywhere_is_asked_for_again(path: Path, change: str) -> None:
    """Its digest covers all that is read; asked again, it counts its earlier call and is one answer."""
    stored(path, "a", "b")
    with sqlite3.connect(path) as other:
        other.execute(f"UPDATE answers SET {change} WHERE request = 'a'")
    other.close()

    async def scene() -> Answer:
        with Journal(path) as journal:
            assert journal.lookup("a") is None
            assert journal.lookup("b")
            await journal.store("a", answer())
            assert 2 == journal.totals().answers
            return journal.stored_answer("a")

    assert 2 == asyncio.run(scene()).attempts


def test_a_note_that_was_changed_is_none(path: Path) -> None:
    async def scene() -> bytes | None:
        with Journal(path) as journal:
            await journal.store_result("call", b"42")
            with sqlite3.connect(path) as other:
                other.execute("UPDATE notes SET body = x'34'")
            other.close()
            return journal.result("call")

    assert asyncio.run(scene()) is None


def test_an_answer_that_was_dropped_still_counts_as_an_attempt(path: Path) -> None:
    """Dropped and stored in one go, in this order."""

    async def scene() -> tuple[Answer | None, Answer, Totals]:
        with Journal(path) as journal:
            await journal.store("a", answer())
            await journal.forget(["a", "none"])
            dropped = journal.lookup("a")
            journal.note_failure("a", failure())
            found, _ = await asyncio.gather(journal.store("a", answer()), journal.store("b", answer()))
            return dropped, found, journal.totals()

    dropped, found, totals = asyncio.run(scene())
    assert dropped is None
    assert 3 == found.attempts
    assert Totals(4, 2, Usage(30, 15), None, 2) == totals


def test_an_answer_is_on_disk_within_fifty_milliseconds_or_sixty_four_answers(path: Path) -> None:
    """The window in which a paid answer can be lost; a slow disk is made up for by the number."""

    async def scene() -> list[tuple[float, int]]:
        waited: list[tuple[float, int]] = []
        arrived = 0
        with Journal(path) as journal:

            async def one(name: str) -> None:
                nonlocal arrived
                arrived += 1
                begun, before = time.monotonic(), arrived
                await journal.store(name, answer())
                waited.append((time.monotonic() - begun, arrived - before))

            for tick in range(50):
                await asyncio.gather(*(one(f"{tick} {number}") for number in range(16)))
        return waited

    waited = asyncio.run(scene())
    assert 800 == len(waited)
    assert [] == [(seconds, behind) for seconds, behind in waited if seconds > 0.05 and behind > 64]


def cut_off(folder: Path, groups: int = 6, size: int = 5) -> list[str]:
    """What a power cut leaves after so many commits: the file and its log, which no process has closed."""
    names = [f"request {number}" for number in range(groups * size)]

    async def scene() -> None:
        with Journal(folder / "source.db") as journal:
            for first in range(0, len(names), size):
                await asyncio.gather(*(journal.store(name, named(name)) for name in names[first : first + size]))
            for suffix in ("", "-wal"):
                shutil.copy(folder / f"source.db{suffix}", folder / f"whole.db{suffix}")

    asyncio.run(scene())
    return names


def named(name: str) -> Any:
    """An answer whose body tells whose it is."""
    return replace(answer(), raw=f"{name} ".encode() * 20)


def recovered(folder: Path, names: list[str], content: bytes, log: bytes) -> list[str] | RunDirectoryError:
    """The requests that a journal of these bytes has answers to, each checked; or why it is refused."""
    copy = folder / "copy.db"
    for old in folder.glob("copy.db*"):
        old.unlink()
    copy.write_bytes(content)
    copy.with_name("copy.db-wal").write_bytes(log)
    try:
        with Journal(copy) as journal:
            found = {name: journal.lookup(name) for name in names}
    except RunDirectoryError as error:
        return error
    for name, stored_answer in found.items():
        if stored_answer is not None:
            assert Answer("completion", 200, 1, None, named(name).raw) == stored_answer
    return [name for name in names if found[name]]


FRAME = 4120  # bytes of a page in the log, with its header
EVERY_BYTE = bool(os.environ.get("EXTRACT_EVERY_BYTE"))


def test_a_log_that_was_cut_anywhere_gives_a_clean_prefix(tmp_path: Path) -> None:
    """Whole commits from the first one on, never half of one. Every byte of the last three frames with EXTRACT_EVERY_BYTE."""
    names = cut_off(tmp_path)
    content, log = (tmp_path / "whole.db").read_bytes(), (tmp_path / "whole.db-wal").read_bytes()
    assert names == recovered(tmp_path, names, content, log)
    cuts = range(len(log) - 3 * FRAME, len(log)) if EVERY_BYTE else sorted(Random(5).sample(range(len(log)), 150))
    seen = set()
    for cut in cuts:
        found = recovered(tmp_path, names, content, log[:cut])
        assert isinstance(found, list)
        assert names[: len(found)] == found
        assert 0 == len(found) % 5
        seen.add(len(found))
    assert len(names) not in seen
    assert EVERY_BYTE or 3 <= len(seen)


@pytest.mark.parametrize("where", ["log", "file"])
def test_a_byte_that_turned_over_never_gives_a_wrong_answer(tmp_path: Path, where: str) -> None:
    """In the log a clean prefix is left; in the file the answers that it hit are gone, or the file is refused by name."""
    names = cut_off(tmp_path, groups=12)
    content, log = (tmp_path / "whole.db").read_bytes(), (tmp_path / "whole.db-wal").read_bytes()
    if where == "file":
        stored_whole = tmp_path / "source.db"  # closed: all is in the file
        content, log = stored_whole.read_bytes(), b""
    size, moments = len(log or content), Random(7)
    places = (
        range(size - 3 * FRAME, size)
        if EVERY_BYTE and where == "log"
        else [moments.randrange(size) for _ in range(200)]
    )
    hit = 0
    for place in places:
        damaged = bytearray(log or content)
        damaged[place] ^= moments.randrange(1, 256)
        found = recovered(tmp_path, names, *((content, bytes(damaged)) if log else (bytes(damaged), b"")))
        if isinstance(found, RunDirectoryError):
            assert "copy.db" in str(found)
            hit += 1
        elif log:
            assert names[: len(found)] == found
            hit += len(found) < len(names)
        else:
            hit += len(found) < len(names)
    assert 10 <= hit


def test_pages_that_were_lost_at_the_end_of_the_file_are_a_refusal_that_names_it(tmp_path: Path) -> None:
    names = cut_off(tmp_path, groups=12)
    content = (tmp_path / "source.db").read_bytes()
    for length in range(1, len(content), 1511):
        found = recovered(tmp_path, names, content[:length], b"")
        assert isinstance(found, RunDirectoryError)
        assert "copy.db" in str(found)


@pytest.mark.parametrize(("code", "said"), [("ENOSPC", "No space"), ("EIO", "Input/output"), ("EROFS", "Read-only")])
@pytest.mark.parametrize("place", ["journal.commit.before", "journal.commit.after"])
def test_a_disk_that_refuses_is_a_pause(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str, place: str
) -> None:
    """Every waiting caller is told; the next commit passes, and what was told as lost is stored once at most."""
    failpoints.forget_counts()
    monkeypatch.setenv(failpoints.VARIABLE, f"{place}:1:{code}")

    async def scene() -> Totals:
        with Journal(path) as journal:
            found = await asyncio.gather(*(journal.store(f"{n}", answer()) for n in range(3)), return_exceptions=True)
            assert [DiskPause] * 3 == [type(each) for each in found]
            assert said in str(found[0])
            await journal.store("x", answer())
            return journal.totals()

    assert (4 if place.endswith("after") else 1) == asyncio.run(scene()).answers


@pytest.mark.parametrize("place", ["journal.create.before", "journal.create.after", "journal.tables.before"])
def test_a_journal_that_cannot_be_made_is_a_pause(path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """And is made by the next run."""
    failpoints.forget_counts()
    monkeypatch.setenv(failpoints.VARIABLE, f"{place}:1:EMFILE")
    with pytest.raises(DiskPause, match=r"cannot be used as a journal: Too many open files.*ulimit"):
        Journal(path)
    stored(path, "a")
    with Journal(path) as journal:
        assert journal.lookup("a")


def test_two_processes_may_make_one_journal_at_once(path: Path) -> None:
    """Neither finds half of it."""
    code = f"from pathlib import Path; from extract.journal import Journal; input(); Journal(Path({str(path)!r})).__exit__()"
    children = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) for _ in range(2)]
    for process in children:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in children:
        process.communicate(timeout=60)
        assert 0 == process.returncode


def test_a_name_that_was_added_is_known_and_few_others_are() -> None:
    """A wrong guess costs one lookup, an answer that is not found would cost a call."""
    names = [f"{number:032x}" for number in range(50_000)]
    known = Known(names[:25_000])
    assert all(name in known for name in names[:25_000])
    assert 5 > sum(name in known for name in names[25_000:])


def test_an_answer_of_this_run_is_found_by_a_later_record(tmp_path: Path) -> None:
    """In a new journal most requests are not looked up; those that were answered are."""
    path = tmp_path / "journal.db"

    async def story() -> tuple[bool, bool, bool]:
        with Journal(path) as journal:
            before = journal.lookup("a") is None
            await journal.store("a", answer())
            await journal.store_refusal("b", failure(ErrorClass.REQUEST))
            return before, journal.lookup("a") is not None, journal.lookup("b") is not None

    assert (True, True, True) == asyncio.run(story())
    with Journal(path) as again:
        assert (True, True) == (again.lookup("a") is not None, again.lookup("c") is None)
