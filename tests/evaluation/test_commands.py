"""`extract eval`, `diff` and `sample`: what they print and write, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import extract
from tests.commands import Run, console


@pytest.fixture
def run(papers: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line in the folder of the runs: (exit code, stdout, stderr)."""
    monkeypatch.chdir(papers)
    return console(monkeypatch, capsys)


def test_eval_prints_a_table(run: Run) -> None:
    """A line a field with its figures, the totals, and what was not compared."""
    code, out, err = run("eval", "one", "--gold", "gold.parquet", "--resamples", "50")
    found = extract.evaluate("one", "gold.parquet", resamples=50)
    total = found.fields["total"].score
    assert (0, "") == (code, err)
    line = next(line for line in out.splitlines() if line.startswith("total"))
    low, high = total.intervals["f1"]
    assert [f"{total.precision:.3f}", f"{total.recall:.3f}", f"{total.f1:.3f}"] == line.split()[1:4]
    assert f"{low:.3f} to {high:.3f}" in line
    assert f"exact records: {found.exact:.3f}" in out
    assert "lines.article" in out
    assert max(map(len, out.splitlines())) <= 150


def test_eval_as_json_and_as_a_page(run: Run, tmp_path: Path) -> None:
    """The same as in Python, and only that, on stdout."""
    page = tmp_path / "page.html"
    code, out, _ = run("eval", "one", "--gold", "gold.parquet", "--resamples", "20", "--json", "--html", str(page))
    expected = extract.evaluate("one", "gold.parquet", resamples=20)
    assert (0, json.loads(json.dumps(expected.as_dict()))) == (code, json.loads(out))
    assert page.read_text() == expected.html()


def test_min_f1_is_a_gate(run: Run) -> None:
    """3 below it, 0 at it; the table is printed in any case."""
    f1 = extract.evaluate("one", "gold.parquet", resamples=0).f1
    assert f1 is not None
    code, out, err = run("eval", "one", "--gold", "gold.parquet", "--resamples", "0", "--min-f1", "0.99")
    assert (3, f"micro F1 {f1:.4f} is below 0.99\n") == (code, err)
    assert "micro" in out
    assert 0 == run("eval", "one", "--gold", "gold.parquet", "--resamples", "0", "--min-f1", str(f1))[0]


def test_a_gate_without_a_figure_is_an_error(run: Run, tmp_path: Path) -> None:
    """Neither side holds a value: 2, not a pass."""
    pd.DataFrame({"id": ["a"], "v": [None]}).to_csv(tmp_path / "nothing.csv", index=False)
    path = str(tmp_path / "nothing.csv")
    code, _, err = run("eval", path, "--gold", path, "--key", "id", "--min-f1", "0.5")
    assert (2, True) == (code, "neither side holds a value" in err)


def test_comparators_and_fields_from_the_command_line(run: Run) -> None:
    """--compare and --fields, again and again."""
    more = ("--compare", "total=number:2", "--compare", "lines.price=ignore", "--fields", "total,lines", "--json")
    code, out, _ = run("eval", "one", "--gold", "gold.parquet", "--resamples", "0", *more)
    fields = json.loads(out)["fields"]
    assert (0, {"total", "lines[]", "lines.article"}) == (code, set(fields))
    assert ("number:2", 0) == (fields["total"]["comparator"], fields["total"]["wrong"])


WRONG = [
    (("eval", "nowhere", "--gold", "gold.parquet"), "nowhere: there is no such file"),
    (("eval", "one", "--gold", "nowhere.csv"), "nowhere.csv: there is no such file"),
    (("eval", "one", "--gold", "gold.parquet", "--key", "nr"), "there is no key column 'nr'"),
    (("eval", "one", "--gold", "gold.parquet", "--compare", "total"), "--compare total: no kind"),
    (("eval", "one", "--gold", "gold.parquet", "--missing", "drop"), "missing is 'drop'"),
    (("eval", "one", "--gold", "gold.parquet", "--html", "no/such/folder.html"), "cannot be written"),
    (("diff", "one", "two", "--min-f1", "0.5"), "--min-f1 needs --gold"),
    (("diff", "one", "."), ". is no run directory"),
    (("sample", "one", "--by", "knd"), "--by knd: there is no such field (did you mean 'kind'?)"),
    (("sample", "one", "-o", "labels.txt"), "labels are a .csv or an .xlsx"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_bad_input_ends_with_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """One line that says what is wrong, and nothing on stdout."""
    code, out, err = run(*arguments)
    assert (2, "") == (code, out)
    assert err.startswith("error: ")
    assert message in err


def test_diff_prints_what_changed(run: Run, tmp_path: Path) -> None:
    """Records, fields, examples, and with gold whether one is better; 3 when the second is below --min-f1."""
    page = tmp_path / "page.html"
    more = ("--gold", "gold.parquet", "--resamples", "50", "--html", str(page))
    code, out, _ = run("diff", "one", "two", *more)
    assert 0 == code
    assert " in both tables\n" in out
    assert "only second right" in out
    assert "(exact records)" in out
    assert " → " in out
    assert "McNemar" in page.read_text()
    assert 3 == run("diff", "one", "two", *more, "--min-f1", "0.99")[0]
    data = json.loads(run("diff", "one", "two", *more, "--json")[1])
    assert {"first", "second", "records", "fields", "comparisons", "evaluations", "level", "notes"} == set(data)


def test_sample_and_eval_are_one_way_round(run: Run, tmp_path: Path) -> None:
    """A sample is drawn, checked, and read back as gold."""
    path = tmp_path / "labels.csv"
    code, out, _ = run("sample", "one", "-n", "10", "--by", "kind", "--prefill", "-o", str(path))
    assert (0, True) == (code, f"10 records in {path}\n" in out)
    labels = pd.read_csv(path, dtype=str).assign(checked="x")
    labels.to_csv(path, index=False)
    code, out, _ = run("eval", "one", "--gold", str(path), "--json", "--resamples", "0", "--min-f1", "1")
    assert (0, 10) == (code, json.loads(out)["records"]["scored"])


def test_sample_as_json(run: Run, tmp_path: Path) -> None:
    """What was drawn of what."""
    out = run("sample", "one", "-n", "12", "-o", str(tmp_path / "labels.csv"), "--json")[1]
    data = json.loads(out)
    assert (12, {"ok", "parse.json"}) == (data["records"], set(data["strata"]))


def test_names_do_not_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    """Escape sequences in keys, names and values are shown as what they are not."""
    name = "v\x1b[31m"
    for file, value in (("one.jsonl", "\x1b[2J[bold]x"), ("two.jsonl", "y\u202e")):
        (tmp_path / file).write_text(json.dumps({"id": "k\x1b]0;t\x07", name: value}))
    first, second = (str(tmp_path / file) for file in ("one.jsonl", "two.jsonl"))
    code, out, err = run("diff", first, second, "--key", "id", "--gold", second, "--resamples", "0")
    assert 0 == code
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert "[bold]" in out
