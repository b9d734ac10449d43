"""Table checks in runs: what is told where, when they are made, and that no table waits for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import extract
from extract import ConfigError, Result
from extract.audit import as_data
from extract.checks import tables
from extract.checks.tables import TableCheck, TableRows, Verdict
from extract.cli import main
from extract.fsck import fsck
from extract.testing import Call, ScriptedServer
from tests.support import files, item, pipeline, rows_csv


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return rows_csv(tmp_path / "items.csv", 9, lambda number: f"item {number % 4}")


def run(server: ScriptedServer, source: Path, out: Path, *found: TableCheck, **changes: Any) -> Result:
    own = {name: changes.pop(name) for name in ("max_failed", "limit") if name in changes}
    made = pipeline(table_checks=found, **({"shard_rows": 2} | changes))
    return extract.run(made, source, out=out, endpoint=server.endpoint(), **own)


def manifest(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return found


def test_findings_are_in_report_and_manifest(source: Path, out: Path) -> None:
    """By name, with keys over all shards; the run is no success, and the tables are there."""
    with ScriptedServer(item) as server:
        result = run(server, source, out, tables.unique("number"), tables.total("number", 13))
    assert not result.ok
    assert 9 == len(result.table)
    unique, total = result.report.table_checks
    assert (False, 9) == (unique.passed, unique.failing)
    assert total.passed
    found = manifest(out)
    assert found["complete"]
    assert as_data(result.report.table_checks) == found["table_checks"] == result.report.as_dict()["table_checks"]
    assert {f"k{number}" for number in range(1, 10)} == set(found["table_checks"][0]["keys"])
    assert [] == found["table_checks"][0]["culprits"]
    assert result.report.line.endswith("1 of 2 table checks failed (unique(number))")
    assert fsck(out, source).is_sound


@pytest.mark.parametrize(("severity", "ok"), [("reject", False), ("repair", False), ("warn", True)])
def test_a_warning_is_no_failure(source: Path, out: Path, severity: Any, ok: bool) -> None:
    """Whatever may fail of the records."""
    with ScriptedServer(item) as server:
        result = run(server, source, out, tables.unique("number", severity=severity), max_failed=99)
    assert ok == result.ok
    assert "1 of 1 table checks failed" in result.report.line


def test_the_same_command_again_tells_the_same(source: Path, out: Path) -> None:
    """Nothing is asked or written; a changed check is made anew over the tables that are there."""
    with ScriptedServer(item) as server:
        first = run(server, source, out, tables.unique("number"))
        before = files(out)
        again = run(server, source, out, tables.unique("number"))
        assert before == files(out)
        assert first.report.table_checks == again.report.table_checks
        assert not again.ok
        changed = run(server, source, out, tables.unique("id"), tables.unique("name", severity="warn"))
        assert changed.ok
        assert ["unique(id)", "unique(name)"] == [check["name"] for check in manifest(out)["table_checks"]]
        none = run(server, source, out)
    assert none.ok
    assert 4 == len(server.calls)  # identical records share an answer
    after = files(out)
    assert {name: at for name, at in before.items() if "part-" in name} == {
        name: at for name, at in after.items() if "part-" in name
    }


def test_a_run_that_dies_over_its_checks(tmp_path: Path, source: Path, out: Path) -> None:
    """Has its rows, is not complete, and asks nothing when it is taken up."""
    (tmp_path / "dying.py").write_text(
        "import os, sys\nimport extract\nfrom extract import Endpoint\nfrom extract.checks.tables import TableCheck\n"
        "from tests.support import pipeline\n"
        "flow = pipeline(table_checks=[TableCheck('table.unique', 'dying', (), lambda rows: os._exit(9))])\n"
        "extract.run(flow, sys.argv[1], out=sys.argv[2], endpoint=Endpoint(base_url=sys.argv[3], api_key='k'))\n"
    )
    with ScriptedServer(item) as server:
        command = [sys.executable, str(tmp_path / "dying.py"), str(source), str(out), server.base_url]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        assert 9 == subprocess.run(command, check=False, env=environment, timeout=60).returncode
        found = manifest(out)
        assert (False, 9) == (found["complete"], found["counts"]["ok"])
        assert 4 == len(server.calls)
        result = run(server, source, out, tables.unique("id"), shard_rows=5000)
        assert 4 == len(server.calls)
    assert result.ok
    assert manifest(out)["complete"]


def test_a_manifest_with_damaged_findings_is_made_anew(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        run(server, source, out, tables.unique("number"))
        for damage in ([{"name": 1}], "x", [5], [{**manifest(out)["table_checks"][0], "culprits": 5}], None):
            (out / "manifest.json").write_text(json.dumps(manifest(out) | {"table_checks": damage}))
            assert not run(server, source, out, tables.unique("number")).ok
            assert 9 == manifest(out)["table_checks"][0]["failing"]


def test_a_check_that_raises_hinders_no_table(source: Path, out: Path) -> None:
    """New tables take the old ones' place though a check of theirs cannot be made."""

    def broken(rows: TableRows) -> Verdict:
        raise ZeroDivisionError("oh")

    with ScriptedServer(item) as server:
        run(server, source, out)
        rows_csv(source, 5)
        result = run(server, source, out, TableCheck("table.unique", "broken", (), broken))
    assert not result.ok
    assert 5 == len(result.table)
    (finding,) = manifest(out)["table_checks"]
    assert ("check.error", False) == (finding["code"], finding["passed"])
    assert not (out / ".next").exists()


class Line(BaseModel):
    sku: str
    amount: Decimal


class Bill(BaseModel):
    lines: list[Line]
    refs: list[str]
    kind: str


def bill(call: Call) -> dict[str, Any]:
    """`item 2`: two lines, and a reference to a third."""
    asked = next(message["content"] for message in call.body["messages"] if message["role"] == "user")
    count = int(asked.split()[-1])
    lines = [{"sku": f"s{number}", "amount": 0.1 * number} for number in range(count)]
    return {"lines": lines, "refs": ["s0", "s2"], "kind": "odd" if count % 2 else "even"}


FORMS: list[dict[str, Any]] = [{}, {"children": "tables"}, {"flat": True}, {"format": "csv"}]


@pytest.mark.parametrize("form", FORMS, ids=["nested", "tables", "flat", "csv"])
def test_child_tables_however_they_are_written(source: Path, out: Path, form: dict[str, Any]) -> None:
    """Nested, taken apart, flat, CSV: the same finding."""
    use = [
        tables.foreign_key("refs", "lines.sku", within_record=True, repair=True),
        tables.foreign_key("refs", "lines.sku", name="of any"),
        tables.total("lines.amount", {"even": "0.2", "odd": "0.9"}, by="kind"),
        tables.unique("id", "kind"),
    ]
    with ScriptedServer(bill) as server:
        result = run(server, source, out, *use, schema=Bill, **form)
    within, of_any, total, unique = result.report.table_checks
    # items 1 2 3 0 1 2 3 0 1: s2 is only there with three lines, s0 is not with none
    expected = [("k1", 1), ("k2", 1), ("k4", 0), ("k4", 1), ("k5", 1), ("k6", 1), ("k8", 0), ("k8", 1), ("k9", 1)]
    assert [(key, f"$.refs[{at}]") for key, at in expected] == tables.culprits([within])
    assert (True, True) == (of_any.passed, unique.passed)
    assert (False, "lines.amount of 'odd' adds up to 0.6, the control figure is 0.9") == (
        *(total.passed, total.message),
    )


@pytest.mark.parametrize("form", FORMS, ids=["nested", "tables", "flat", "csv"])
def test_a_shift_against_an_earlier_run(source: Path, out: Path, tmp_path: Path, form: dict[str, Any]) -> None:
    """Of a top field and of one in a list; against a file too."""
    earlier = tmp_path / "earlier"
    with ScriptedServer(bill) as server:
        run(server, source, earlier, schema=Bill, **form)
        rows_csv(source, 9, lambda number: f"item {number % 2}")
        use = [
            tables.shift("kind", earlier, limit=0.05, name="kind"),
            tables.shift("lines.sku", earlier, limit=0.05, name="sku"),
            tables.shift("lines.amount", earlier, limit=0.05, measure="ks", name="amount"),
            tables.shift("lines.sku", earlier, limit=1, name="loose"),
        ]
        result = run(server, source, out, *use, schema=Bill, **form)
    kind, sku, amount, loose = result.report.table_checks
    assert kind.passed, kind.message
    assert (False, False, True) == (sku.passed, amount.passed, loose.passed)
    assert "check.error" not in {sku.code, amount.code}


def test_a_shift_against_a_file(source: Path, out: Path, tmp_path: Path) -> None:
    """CSV, which is text, and Parquet; a file without the column is told."""
    (tmp_path / "old.csv").write_text("number\n0\n1\n2\n3\n")
    pq.write_table(pa.table({"number": [7, 8, 9]}), tmp_path / "old.parquet")
    (tmp_path / "other.csv").write_text("x\n1\n")
    use = [
        tables.shift("number", tmp_path / "old.csv", limit=0.2, measure="ks", name="csv"),
        tables.shift("number", tmp_path / "old.csv", limit=0.2, name="categories"),
        tables.shift("number", tmp_path / "old.parquet", limit=0.2, measure="ks", name="parquet"),
        tables.shift("number", tmp_path / "other.csv", limit=0.2, name="other"),
    ]
    with ScriptedServer(item) as server:
        result = run(server, source, out, *use)
        (tmp_path / "old.parquet").write_bytes((tmp_path / "old.parquet").read_bytes())
        pq.write_table(pa.table({"number": [0, 1, 2, 3]}), tmp_path / "old.parquet")
        again = run(server, source, out, *use)
    assert [True, True, False, False] == [check.passed for check in result.report.table_checks]
    assert "check.error" == result.report.table_checks[3].code
    assert "has not" in result.report.table_checks[3].message
    assert again.report.table_checks[2].passed  # the earlier file is another one now


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (tables.unique("nmae"), "names a field 'nmae' that the schema has not .did you mean 'name'"),
        (tables.unique("text"), "names a field 'text'"),
        (tables.total("name", 1), "takes decimal or float or int, and name is str"),
        (tables.foreign_key("number", "id.x"), "id.x"),
        (tables.shift("number", "gone", limit=1), "compares with gone, which is not there"),
        (tables.shift("name", ".", limit=1, measure="ks"), "and name is str"),
        ("x", "no table check"),
    ],
)
def test_what_is_not_in_the_table_is_refused(source: Path, out: Path, check: Any, message: str) -> None:
    """Before the first request."""
    with ScriptedServer(item) as server, pytest.raises(ConfigError, match=message):
        run(server, source, out, check)
    assert [] == server.calls


def test_key_and_passed_columns_are_of_the_table(source: Path, out: Path) -> None:
    with ScriptedServer(item) as server:
        assert run(server, source, out, tables.unique("id"), tables.unique("id", "text"), columns=["text"]).ok


def test_quarantined_records_are_not_in_the_table(source: Path, out: Path) -> None:
    """And a total says how many are missing."""
    with ScriptedServer(item) as server:
        checks = [lambda value, record: "no" if record.key == "k1" else None]
        result = run(server, source, out, tables.total("number", 13), checks=checks, max_failed=1)
    (finding,) = result.report.table_checks
    assert "number adds up to 12, the control figure is 13; 1 quarantined record is not counted" == finding.message


def test_the_command_line_ends_with_3(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As failed records do, also when the run was finished before."""
    (tmp_path / "audited_flow.py").write_text(
        "from extract.checks import tables\nfrom tests.support import pipeline as made\n"
        "pipeline = made(table_checks=[tables.unique('number')])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["extract", "run", "audited_flow.py", str(source), "--quiet", "--max-failed", "9"])
    with ScriptedServer(item) as server:
        monkeypatch.setenv("EXTRACT_BASE_URL", server.base_url)
        monkeypatch.setenv("EXTRACT_API_KEY", "k")
        for _ in range(2):
            with pytest.raises(SystemExit) as left:
                main()
            assert 3 == left.value.code
            assert "9 ok, 0 quarantined" in capsys.readouterr().out
