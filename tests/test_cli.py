"""The command line: what it prints where, and the exit codes 0 to 4."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from extract.testing import Call, Reply, ScriptedServer, completion
from tests.children import interruptible
from tests.commands import Run, console
from tests.media.making import picture

ROOT = Path(__file__).parents[1]

PIPELINE = """
from pydantic import BaseModel
from extract import Limits, Model, Pipeline, Prompt, Retry, checks

class Item(BaseModel):
    name: str
    price: float

pipeline = Pipeline(
    name="items", schema=Item, source="items.csv", key="id", prompt=Prompt(user="{{ text }}"),
    checks=[checks.verbatim("name")], limits=Limits(concurrency=4), retry=Retry(max_attempts=2, initial_wait=0),
)
other = 3
"""


def read_item(call: Call) -> Any:
    """The answer that a text such as "tea 1.50" asks for."""
    name, price = call.prompt.split()
    return {"name": name, "price": float(price)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a pipeline and four records."""
    (tmp_path / "flow.py").write_text(PIPELINE)
    (tmp_path / "items.csv").write_text("id,text\na,tea 1.50\nb,milk 0.90\nc,bread 2.10\nd,salt 0.40\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("EXTRACT_API_KEY", raising=False)
    yield tmp_path
    for name in ("flow", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line as the console script does: (exit code, stdout, stderr)."""
    return console(monkeypatch, capsys)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ScriptedServer]]:
    """A scripted server that the environment points to."""
    servers: list[ScriptedServer] = []

    def start(script: Callable[[Call], Any] = read_item) -> ScriptedServer:
        server = ScriptedServer(script).__enter__()
        servers.append(server)
        monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_a_changed_prompt_shows_what_it_would_cost_and_waits_for_consent(folder: Path, run: Run, serve: Any) -> None:
    """Nothing is asked without --yes, and the tables stay; a new record or another check needs no consent."""
    server = serve()
    run("run", "flow.py", "--out", "out/x")
    (folder / "flow.py").write_text(PIPELINE.replace("{{ text }}", "{{ text }}\\n"))
    code, out, err = run("run", "flow.py", "--out", "out/x")
    assert (2, "", 4) == (code, out, len(server.calls))
    assert "The prompt, the schema or the model is not that of the tables in out/x." in err
    assert "4 requests to gemini-3-1-pro-preview" in err
    assert err.endswith("error: nothing was asked (--yes goes on; --out writes to another folder)\n")
    assert ["tea", "milk", "bread", "salt"] == list(pd.read_parquet("out/x/table")["name"])
    assert 0 == run("run", "flow.py", "--out", "out/x", "--yes")[0]
    assert 8 == len(server.calls)


def test_new_records_and_other_checks_need_no_consent(folder: Path, run: Run, serve: Any) -> None:
    """One new row among the others is one request; a changed check is none."""
    server = serve()
    run("run", "flow.py", "--out", "out/x")
    with (folder / "items.csv").open("a") as file:
        file.write("e,rice 3.00\n")
    assert (0, 5) == (run("run", "flow.py", "--out", "out/x")[0], len(server.calls))
    (folder / "flow.py").write_text(PIPELINE.replace('checks=[checks.verbatim("name")], ', ""))
    assert (0, 5) == (run("run", "flow.py", "--out", "out/x")[0], len(server.calls))


def test_run_prints_the_closing_line_and_the_place(folder: Path, run: Run, serve: Any) -> None:
    """All ok: exit 0, the closing line on stdout."""
    serve()
    code, out, _ = run("run", "flow.py", "--out", "out/x")
    assert (0, "4 ok, 0 quarantined, 4 requests, 60 tokens, 0 retries\ntables in out/x\n") == (code, out)
    assert ["tea", "milk", "bread", "salt"] == list(pd.read_parquet("out/x/table")["name"])


def test_run_by_module_and_object_name(folder: Path, run: Run, serve: Any) -> None:
    """A pipeline is named by module or file, and by the object's name."""
    serve()
    assert 0 == run("run", "flow:pipeline", "items.csv", "--quiet")[0]
    assert (folder / "out" / "items" / "manifest.json").exists()
    code, _, err = run("run", "flow:other")
    assert (2, "error: flow:other: other is a int, not a Pipeline\n") == (code, err)


def test_quarantined_records_exit_3_unless_allowed(folder: Path, run: Run, serve: Any) -> None:
    """A finished run with quarantined records exits 3; --max-failed allows some."""
    serve(lambda call: {"name": "beer", "price": 1.0} if "milk" in call.prompt else read_item(call))
    code, out, _ = run("run", "flow.py")
    assert 3 == code
    assert out.startswith("3 ok, 1 quarantined (semantic.verbatim 1), 4 requests")
    assert 0 == run("run", "flow.py", "--max-failed", "1")[0]


def test_json_on_stdout_is_all_there_is(folder: Path, run: Run, serve: Any) -> None:
    """--json prints one JSON document on stdout; progress goes to stderr."""
    serve()
    code, out, _ = run("run", "flow.py", "--json")
    found = json.loads(out)
    assert (0, {"in": 4, "ok": 4, "quarantined": 0, "pending": 0}, 4) == (code, found["counts"], found["requests"])


def test_progress_in_a_pipe_is_log_lines(folder: Path, run: Run, serve: Any) -> None:
    """Without a terminal progress is plain lines with done, ok, quarantined, rows/s, tokens."""
    serve()
    _, _, err = run("run", "flow.py")
    assert re.search(r"\d\d:\d\d:\d\d \d/4, \d ok, 0 quarantined, .* rows/s, .*\d+ tokens", err)
    assert "" == run("run", "flow.py", "--out", "out/quiet", "--quiet")[2]


def test_limit_and_set(folder: Path, run: Run, serve: Any) -> None:
    """--limit takes the first records; --set reaches model, limits and retry."""
    server = serve()
    code, out, _ = run("run", "flow.py", "--limit", "2", "--set", "model.max_tokens=7", "--set", "model.name=m")
    assert (0, "2 ok") == (code, out[:4])
    assert [("m", 7), ("m", 7)] == [(call.body["model"], call.body["max_tokens"]) for call in server.calls]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.py"], "there is no file nothing.py"),
        (["run", "nothing.at.all"], "there is no module 'nothing.at.all'"),
        (["run", "flow.py", "gone.csv"], "gone.csv: there is no such file"),
        (["run", "flow.py", "--set", "limits.concurrency"], "no value"),
        (["run", "flow.py", "--set", "limits.concurrency=0"], "greater than or equal to 1"),
        (["run", "flow.py", "--set", "other.thing=1"], "cannot set 'other.thing'"),
        (["run", "flow.py", "--key", "nokey"], "no column 'nokey'"),
        (["run", "flow.py", "a.csv", "b.csv"], "one pipeline and one source"),
        (["run", "items.csv", "--schema", "flow.py:Item"], "--schema and --prompt go together"),
        (["run", "flow.py", "x", "--schema", "flow.py:Item", "--prompt", "{{ text }}"], "name one source"),
        (["schema", "flow.py:pipeline"], "not a Pydantic model"),
        (["schema", "flow.py:Item", "--profile", "x"], "unknown profile"),
        (["schema", "flow.py:Item", "--form", "D"], "unknown form"),
        (["status", "."], "no run directory"),
        (["run", "flow.py", "--limit", "0"], "Invalid value"),
        (["bogus"], "No such command"),
    ],
)
def test_usage_and_configuration_errors_exit_2(
    folder: Path, run: Run, serve: Any, arguments: list[str], message: str
) -> None:
    """Exit 2, a line that says what is wrong, and no request."""
    server = serve()
    code, _, err = run(*arguments)
    assert 2 == code
    assert message in re.sub(r"\s*│\s*", " ", err)
    assert [] == server.calls


def test_a_missing_column_exits_2_before_any_request(folder: Path, run: Run, serve: Any) -> None:
    """The prompt names a column that the source lacks."""
    server = serve()
    (folder / "items.csv").write_text("id,txt\na,tea 1.50\n")
    code, _, err = run("run", "flow.py")
    assert (2, "error: the prompt uses a column 'text' that the source has not (did you mean 'txt'?)\n") == (code, err)
    assert [] == server.calls


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"id,text\na,tea 1.50\na,milk 1\n",
            "items.csv, line 3, column 'id': the key 'a' comes twice, first at line 2",
        ),
        (b"id,text\n,tea 1.50\n", "items.csv, line 2, column 'id': the key is empty"),
        (b"", "items.csv, line 1: the file is empty"),
        (b"id,text\n", "items.csv, line 2: there are no records"),
        (b'id,text\na,"tea 1.50\n', "items.csv, line 2: not valid CSV"),
        (b"id,text\na,caf\xe9 1.50\n", "items.csv, line 2, column 6: byte e9 is no utf-8"),
    ],
)
def test_bad_input_exits_2_with_its_place(folder: Path, run: Run, serve: Any, content: bytes, message: str) -> None:
    """Input errors name file, line and column, before any request."""
    server = serve()
    (folder / "items.csv").write_bytes(content)
    code, _, err = run("run", "flow.py")
    assert (2, True) == (code, message in err), err
    assert [] == server.calls


def test_a_wrong_key_exits_4_and_the_same_command_goes_on(
    folder: Path, run: Run, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401: exit 4, at most `concurrency` requests, nothing quarantined; with the right key the rest is asked."""
    error = {"error": {"code": "unauthorized", "message": "Invalid API key", "type": "authentication_error"}}

    def script(call: Call) -> Any:
        return read_item(call) if call.headers.get("authorization") == "Bearer right" else Reply(error, 401)

    server = serve(script)
    monkeypatch.setenv("EXTRACT_API_KEY", "wrong")
    code, out, err = run("run", "flow.py")
    assert (4, "") == (code, out)
    assert "401: Invalid API key" in err
    assert "EXTRACT_API_KEY" in err
    assert "4 pending" in err
    assert len(server.calls) <= 4
    monkeypatch.setenv("EXTRACT_API_KEY", "right")
    assert "4 ok, 0 quarantined" in run("run", "flow.py")[1]


def test_ad_hoc_run(folder: Path, run: Run, serve: Any) -> None:
    """Without a pipeline: --schema, --prompt and a source; the row number is the key."""
    serve()
    code, _, _ = run("run", "--schema", "flow.py:Item", "--prompt", "{{ text }}", "items.csv", "--out", "out/adhoc")
    assert (0, [1, 2, 3, 4]) == (code, list(pd.read_parquet("out/adhoc/table")["row"]))


def test_an_ad_hoc_run_over_files(folder: Path, run: Run, serve: Any) -> None:
    """--media names the columns of files; for a pipeline, which has its own, it is refused."""
    (folder / "pictures").mkdir()
    (folder / "pictures/a.png").write_bytes(picture())
    server = serve(lambda call: {"name": "tea", "price": 1.5})
    words = ["--schema", "flow.py:Item", "--prompt", "Read this.", "--key", "path"]
    code, _, err = run("run", *words, "pictures", "--media", "file", "--out", "out/pictures")
    assert (0, 1) == (code, len(server.calls)), err
    assert ["text", "image_url"] == [part["type"] for part in server.calls[0].body["messages"][-1]["content"]]
    code, _, err = run("run", "flow.py", "--media", "file")
    assert 2 == code
    assert "--media goes with --schema and --prompt" in err


def test_check_and_dry_run_tell_of_tools(folder: Path, run: Run, serve: Any) -> None:
    """How many requests a record may take, and the round that goes first."""
    server = serve()
    lines = [
        "def weigh(name: str) -> float:",
        '    """Weigh a thing."""',
        "    return 1.0",
        "",
        "from dataclasses import replace",
        "pipeline = replace(pipeline, tools=[weigh])",
    ]
    with (folder / "flow.py").open("a") as file:
        file.write("\n" + "\n".join(lines) + "\n")
    out = run("run", "flow.py", "--dry-run")[1]
    assert "2 to 7 requests a record: up to 6 rounds with weigh" in out
    assert '"name": "weigh"' in out
    assert 6 == json.loads(run("check", "flow.py", "--json")[1])["rounds_per_record_at_most"]
    assert [] == server.calls


def test_help_tells_of_folders_and_faults(run: Run) -> None:
    """What a source may be, and what --faults takes."""

    def help_of(command: str) -> str:
        return " ".join(run(command, "--help")[1].replace("│", " ").split())

    assert "a folder of files" in help_of("check")
    assert "a folder of files" in help_of("run")
    assert "or none (only for requests with the header X-Fault)" in help_of("serve")


def test_dry_run_sends_nothing_and_shows_the_first_request(folder: Path, run: Run, serve: Any) -> None:
    """--dry-run counts requests and tokens, and what is answered already."""
    server = serve()
    assert "2 ok" in run("run", "flow.py", "--limit", "2")[1]
    sent = len(server.calls)
    prices = ["--set", "model.input_usd_per_million=2", "--set", "model.output_usd_per_million=10"]
    code, out, _ = run("run", "flow.py", "--dry-run", *prices)
    assert (0, sent) == (code, len(server.calls))
    assert "2 requests to" in out
    assert "2 records need none" in out
    assert re.search(r"between 0\.\d{4} and 0\.\d{4} USD", out)
    assert '"stream": false' in out
    found = json.loads(run("run", "flow.py", "--dry-run", "--json")[1])
    assert (2, 2, 4) == (found["requests"], found["answered"], found["records"])


def test_check_names_the_records_that_cannot_be_asked(folder: Path, run: Run, serve: Any) -> None:
    """`check` sends nothing and names what will go to the quarantine unasked."""
    server = serve()
    (folder / "items.csv").write_text("id,text\na,tea 1.50\nb,milk 0.90,too many\n")
    code, out, _ = run("check", "flow.py", "items.csv")
    assert 0 == code
    assert "b: source.cells: line 3: 3 cells, the header has 2" in out
    assert 1 == len(json.loads(run("check", "flow.py", "--json")[1])["quarantined_unasked"])
    assert [] == server.calls


def test_schema_shows_wire_losses_and_columns(folder: Path, run: Run) -> None:
    """`schema` prints response_format, losses and the columns."""
    code, out, _ = run("schema", "flow.py:Item")
    assert 0 == code
    assert '"additionalProperties": false' in out
    assert "price: double not null" in out
    found = json.loads(run("schema", "flow.py", "--json")[1])
    assert {"name": "string not null", "price": "double not null"} == found["columns"]


def test_schema_takes_the_options_of_a_pipeline(folder: Path, run: Run) -> None:
    """--decimals and --enums say how those go on the wire."""
    text = "from decimal import Decimal\nfrom enum import Enum\nfrom pydantic import BaseModel\n"
    text += "class Unit(Enum):\n    KG = 1\nclass Sale(BaseModel):\n    price: Decimal\n    unit: Unit\n"
    (folder / "sales.py").write_text(text)
    options = ("--decimals", "string", "--enums", "name", "--form", "B")
    found = json.loads(run("schema", "sales.py:Sale", *options)[1])["properties"]
    assert ["string", ["KG"]] == [found["price"]["type"], found["unit"]["enum"]]
    assert 2 == run("schema", "sales.py:Sale", "--enums", "number")[0]


@pytest.mark.parametrize("parts", ["2", "name/price", " price / name "])
def test_fields_are_asked_for_in_several_requests(folder: Path, run: Run, serve: Any, parts: str) -> None:
    """--split-fields gives their number, or the fields of each."""

    def answer(call: Call) -> Any:
        wanted = call.body["response_format"]["json_schema"]["schema"]["properties"]
        return {name: value for name, value in read_item(call).items() if name in wanted}

    server = serve(answer)
    code, out, _ = run("run", "flow.py", "--split-fields", parts)
    assert [0, 8] == [code, len(server.calls)]
    assert "4 ok" in out


def test_fields_that_are_not_there_cannot_be_split(folder: Path, run: Run) -> None:
    code, _, error = run("check", "flow.py", "--split-fields", "name/prize")
    assert 2 == code
    assert "'prize'" in error


def test_status_shows_a_run(folder: Path, run: Run, serve: Any) -> None:
    """`status` prints counts and, when asked, the first rows of table and quarantine."""
    serve(lambda call: "no json" if "milk" in call.prompt else read_item(call))
    run("run", "flow.py")
    code, out, _ = run("status", "out/items", "--rows", "2")
    assert 0 == code
    assert "4 in, 3 ok, 1 quarantined, 0 pending" in out
    assert "reasons: parse.json 1" in out
    assert "tea" in out
    assert "bread" in out
    assert json.loads(run("status", "out/items", "--json")[1])["complete"]


NESTED = """
from pydantic import BaseModel
from extract import Pipeline, Retry

class Item(BaseModel):
    name: str

class Basket(BaseModel):
    items: list[Item]
    best: Item | None

pipeline = Pipeline(name="baskets", schema=Basket, source="items.csv", key="id", prompt="{{ text }}")
"""


def test_lists_go_to_tables_of_their_own_when_asked(folder: Path, run: Run, serve: Any) -> None:
    """`--children tables` and `--flat`; `status --rows` names the child tables and counts their rows."""
    (folder / "flow.py").write_text(NESTED)
    serve(lambda call: {"items": [{"name": word} for word in call.prompt.split()], "best": None})
    arguments = ("run", "flow.py", "--quiet", "--flat", "--children")
    assert 0 == run(*arguments, "tables")[0]
    assert ["a", "a", "b"] == list(pd.read_parquet("out/baskets/table.items")["id"])[:3]
    assert [False] * 4 == list(pd.read_parquet("out/baskets/table")["best"])
    out = run("status", "out/baskets", "--rows", "1")[1]
    assert "table.items: 8 rows" in out
    assert "out/baskets/table.items, out/baskets/manifest.json" in out
    code, _, err = run(*arguments, "rows")
    assert (2, True) == (code, "unknown children 'rows'" in err)


def test_a_second_run_on_one_directory_exits_2(folder: Path, run: Run, serve: Any) -> None:
    """Two runs on one directory: the second exits 2 at once."""
    serve()
    from extract.sinks import RunDirectory

    with RunDirectory(folder / "out" / "items"):
        code, _, err = run("run", "flow.py")
    assert (2, True) == (code, "is in use by process" in err)


def test_serve_refuses_to_bind_wider_without_a_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` on another address than loopback needs a key."""
    monkeypatch.delenv("EXTRACT_SERVE_KEY", raising=False)
    code, _, err = run("serve", "--host", "0.0.0.0")
    assert (2, True) == (code, "without a key" in err), err


def test_version_and_verbose(folder: Path, run: Run, serve: Any) -> None:
    """--version prints it; --verbose logs each failed attempt."""
    assert re.fullmatch(r"tablecast \d+\.\d+\.\d+\n", run("--version")[1])
    serve(lambda call: Reply(completion(read_item(call)), 200 if call.number > 1 else 503))
    _, _, err = run("--verbose", "run", "flow.py")
    assert "attempt 1 failed: 503" in err


def test_ctrl_c_drains_and_the_same_command_goes_on(folder: Path, serve: Any) -> None:
    """The first SIGINT finishes the calls in flight, exits 4 and loses no answer."""

    def slow(call: Call) -> Reply:
        return Reply(completion(read_item(call)), delay=0.15)

    server = serve(slow)
    rows = "".join(f"k{n},tea{n} 1.50\n" for n in range(60))
    (folder / "items.csv").write_text("id,text\n" + rows)
    command = [sys.executable, "-m", "extract", "run", "flow.py"]
    child = subprocess.Popen(
        command,
        preexec_fn=interruptible,  # noqa: PLW1509  # sets one signal, before any thread of the child
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while len(server.calls) < 8:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    asked = len(server.calls)
    assert 4 == child.returncode, err
    assert b"the same command goes on" in err
    assert 8 <= asked < 60
    done = subprocess.run(
        command, check=False, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60
    )
    assert (0, 60) == (done.returncode, len(server.calls)), done.stderr


def test_import_and_help_are_quick() -> None:
    """`import extract` under 0.4 s and `extract --help` under 0.5 s.

    Measured as CPU time, the best of a few: on a machine that has nothing else to do that is the time on the clock.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def best(*command: str) -> float:
        times = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)

    assert best("-c", "import extract") < 0.4
    assert best("-m", "extract", "--help") < 0.5


def test_importing_the_package_loads_no_heavy_library() -> None:
    """Heavy libraries are imported when they are needed."""
    code = "import extract, sys; print([m for m in ('pandas', 'pyarrow', 'httpx', 'jsonschema', 'pydantic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "[]\n" == done.stdout


def test_status_counts_the_rows_that_people_filled_in(folder: Path, run: Run, serve: Any) -> None:
    """In text and as JSON; nothing is said where there is none."""
    serve(lambda call: "no json" if "milk" in call.prompt else read_item(call))
    run("run", "flow.py")
    assert "3 ok, 1 quarantined" in run("status", "out/items")[1]
    assert "human" not in json.loads(run("status", "out/items", "--json")[1])
    (folder / "edits.csv").write_text("key,name,price\nb,milk,0.90\n")
    assert 0 == run("accept", "out/items", "edits.csv", "--yes")[0]
    assert "4 in, 4 ok (1 by hand), 0 quarantined, 0 pending" in run("status", "out/items")[1]
    assert 1 == json.loads(run("status", "out/items", "--json")[1])["human"]


def test_status_tells_of_a_newer_run_that_is_not_complete(folder: Path, run: Run, serve: Any) -> None:
    """The old tables stay, and `status` says that new ones are growing."""
    serve(lambda call: Reply("no", 401) if "egg" in call.prompt else read_item(call))
    assert 0 == run("run", "flow.py")[0]
    (folder / "items.csv").write_text("id,text\na,tea 1.50\ne,egg 0.30\n")
    assert 4 == run("run", "flow.py")[0]
    out = run("status", "out/items")[1]
    assert "4 in, 4 ok" in out
    assert "a newer run is not complete: 2 of 2 records pending" in out


def test_status_of_a_run_without_any_shard_yet(folder: Path, run: Run, serve: Any) -> None:
    """After a stop there may be no rows to show; the answers that are kept are counted."""
    serve(lambda call: Reply("no", 401) if "salt" in call.prompt else read_item(call))
    assert 4 == run("run", "flow.py", "--set", "limits.concurrency=1")[0]
    code, out, _ = run("status", "out/items", "--rows", "3")
    assert 0 == code
    assert "3 answers are stored and will not be asked again" in out
    assert "no rows yet" in out


def test_a_stopped_run_reports_as_json_too(folder: Path, run: Run, serve: Any) -> None:
    """--json prints the report with `stopped`, also with exit code 4; what is not in a table is pending."""
    serve(lambda call: Reply("no", 401))
    code, out, _ = run("run", "flow.py", "--json")
    found = json.loads(out)
    assert (4, 4, True) == (code, found["counts"]["pending"], "401" in found["stopped"])


def test_set_takes_lists_and_objects_as_json(folder: Path, run: Run, serve: Any) -> None:
    """--set reaches every field of model, limits and retry."""
    server = serve()
    run("run", "flow.py", "--limit", "1", "--set", 'model.extra_body={"top_k": 3}', "--set", 'model.stop=["x"]')
    assert (3, ["x"]) == (server.calls[0].body["top_k"], server.calls[0].body["stop"])
    assert 2 == run("run", "flow.py", "--set", "model.stop=[x")[0]


def test_check_warns_of_a_missing_endpoint_and_of_a_cap_too_low(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run would refuse, or not finish, is said by `check`."""
    monkeypatch.delenv("EXTRACT_BASE_URL", raising=False)
    settings = ["input_usd_per_million=9", "output_usd_per_million=9"]
    priced = [part for name in settings for part in ("--set", f"model.{name}")]
    out = run("check", "flow.py", *priced, "--set", "limits.max_cost_usd=0.000001")[1]
    assert "warning: no endpoint is set" in out
    assert "warning: the input alone costs more than limits.max_cost_usd" in out


def test_a_folder_with_other_files_is_left_alone(folder: Path, run: Run, serve: Any) -> None:
    """A folder that is no run directory may hold a table/ of its own."""
    serve()
    (folder / "mine" / "table").mkdir(parents=True)
    (folder / "mine" / "table" / "mine.parquet").write_text("mine")
    code, _, err = run("run", "flow.py", "--out", "mine")
    assert (2, True) == (code, "is no run directory" in err)
    assert (folder / "mine" / "table" / "mine.parquet").exists()


WARNING = PIPELINE.replace('checks.verbatim("name")', 'checks.between("price", 0, 1, severity="warn")')


def test_flagged_rows_are_counted_and_shown(folder: Path, run: Run, serve: Any) -> None:
    """By the run, by one that takes it up after a stop, by one that asks nothing, and by `status` with flags."""
    (folder / "flow.py").write_text(WARNING.replace("retry=", "shard_rows=2, retry="))
    serve()
    assert 4 == run("run", "flow.py", "--set", "limits.max_requests=3", "--set", "limits.concurrency=1")[0]
    code, out, _ = run("run", "flow.py")
    assert [0, True] == [code, out.startswith("4 ok (2 flagged), 0 quarantined, 1 requests")]
    assert run("run", "flow.py")[1].startswith("4 ok (2 flagged), 0 quarantined, 0 requests")
    told = json.loads(run("status", "out/items", "--json")[1])
    assert [2, [1, 1]] == [told["flagged"], [shard["flagged"] for shard in told["shards"]]]
    out = run("status", "out/items", "--rows", "4")[1]
    assert "4 in, 4 ok (2 flagged), 0 quarantined" in out
    assert re.search(r"a +tea +1.5 +semantic.between:\$.price\n", out)


def test_status_shows_a_null_as_nothing(folder: Path, run: Run, serve: Any) -> None:
    serve(lambda call: {"name": call.prompt.split()[0], "price": None})
    (folder / "flow.py").write_text(PIPELINE.replace("price: float", "price: float | None"))
    run("run", "flow.py")
    out = run("status", "out/items", "--rows", "2")[1]
    assert "tea" in out
    assert not re.search(r"None|NaN|nan", out)
