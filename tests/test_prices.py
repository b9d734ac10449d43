"""The table of prices: read, refused with its place, and asked by name and day; and the one way to a cost."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import extract
from extract import ConfigError, Endpoint, Limits, Model
from extract.api import prepare_run
from extract.client import completion_from
from extract.loading import load_pipeline
from extract.prices import cost_of, priced, read_prices, unpriced
from extract.records import Usage
from extract.sinks import read_manifest
from extract.survey import survey, survey_text
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.commands import console
from tests.support import item, pipeline, rows_csv

DAY = date(2026, 6, 1)
ENDPOINT = Endpoint(base_url="https://example.invalid/v1")
TABLE = """
# prices of an invented gateway
[[price]]
model = "gem-*"
input = 1.0
output = 2.0

[[price]]
model = "gem-pro-*"
input = 3
output = 4.0
cached_input = 0.5
thinking = 8.0

[[price]]
model = "gem-pro-2"
valid_from = 2026-07-01
input = 5.0
output = 6.0

[[price]]
model = "gem-flash"
valid_from = 2026-01-01
input = 7.0
output = 8.0

[[price]]
model = "gem-flash"
valid_from = 2026-05-01
input = 9.0
output = 10.0
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (path := tmp_path / "prices.toml").write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("name", "day", "found"),
    [
        ("gem-nano", DAY, 1.0),
        ("gem-pro-1", DAY, 3.0),
        ("gem-pro-2", DAY, 3.0),  # its own price is not in force yet, the pattern's is
        ("gem-pro-2", date(2026, 7, 1), 5.0),
        ("gem-flash", date(2025, 1, 1), 1.0),
        ("gem-flash", date(2026, 4, 30), 7.0),
        ("gem-flash", DAY, 9.0),
        ("other", DAY, None),
        ("Gem-nano", DAY, None),
    ],
)
def test_a_price_is_found_by_name_and_day(table: Path, name: str, day: date, found: float | None) -> None:
    """The name before patterns, the longer pattern before the shorter, and of one name the latest in force."""
    price = read_prices(table).of(name, day)
    assert found == (price.input if price else None)


def test_prices_of_the_model_itself_win(table: Path) -> None:
    """Where it states one, the table is not asked for the others."""
    prices = read_prices(table)
    own = Model(input_usd_per_million=1, output_usd_per_million=1)
    assert own == priced(own, "gem-pro-1", prices, DAY)
    half = Model(input_usd_per_million=1)
    assert half == priced(half, "gem-pro-1", prices, DAY)
    found = priced(Model(), "gem-pro-1", prices, DAY)
    assert (3, 4, 0.5, 8) == (
        *(found.input_usd_per_million, found.output_usd_per_million),
        *(found.cached_input_usd_per_million, found.thinking_usd_per_million),
    )
    assert Model() == priced(Model(), "other", prices, DAY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[price]]\nmodel = "a"\ninput = true\noutput = 2\n', "line 3: price 1 of 'a': input = true: "),
        ('[[price]]\nmodel = "a"\ninput = nan\noutput = 2\n', "line 3: price 1 of 'a': input = nan: "),
        ('[[price]]\nmodel = "a"\ninput = 1\noutput = inf\n', "line 4: price 1 of 'a': output = inf: "),
        ('[[price]]\nmodel = "a"\ninput = 1\noutput = 1e10\n', "line 4: price 1 of 'a': output = 10000000000.0: "),
        ('\n# x\n[[price]]\nmodel = "a"\noutput = -2\ninput=1', "line 5: price 1 of 'a': output = -2: "),
        (
            '[[price]]\nmodel="a"\ninput=1\noutput=2\n[[price]]\nmodel="b"\noutput="2"\ninput=3',
            "line 7: price 2 of 'b': output = '2': Input should be a valid number (US dollars per million tokens",
        ),
        ('[[price]]\nmodel = "a"\noutput = 2', "line 1: price 1 of 'a' has no 'input' (add it: [[price]], "),
        ('[[price]]\nmodel = ""\ninput = 1\noutput = 2', "line 2: price 1: model = ''"),
        (
            '[[price]]\nmodel = "a"\ninputs = 1\noutput = -2',
            "line 3: price 1 of 'a': unknown key 'inputs' = 1 (did you mean 'input'?)",
        ),
        ('[[price]]\nmode = "a"\ninput = 1', "line 2: price 1: unknown key 'mode' = 'a' (did you mean 'model'?)"),
        (
            '[[price]]\nmodel = "a"\ninput = 1\noutput = 1\ncached = 2',
            "line 5: price 1 of 'a': unknown key 'cached' = 2 (did you mean 'cached_input'?)",
        ),
        (
            '[[price]]\nmodel = "a"\ninput = 1\noutput = 2\nvalid_from = "2026-01-01"',
            "line 5: price 1 of 'a': valid_from = '2026-01-01': Input should be a valid date (a day without quotes",
        ),
        (
            '[[price]]\nmodel = "a"\ninput = 1\noutput = 2\n' * 2,
            "line 6: price 2: model = 'a' stands in price 1 already (leave one out",
        ),
        ('[[price]\nmodel = "a"', "line 1: this is no TOML: "),
        ('[[price]]\nmodel = "a', "line 2: this is no TOML: "),
        (
            '\n[[prices]]\nmodel = "a"',
            "line 2: unknown key 'prices' (did you mean 'price'?; each price is a table: [[price]], ",
        ),
        ("[settings]\na = 1", "line 1: unknown key 'settings' (there are: price; each price is a table: [[price]], "),
        ('[price]\nmodel = "a"', "line 1: price = {'model': 'a'} is no list of tables"),
        ("price = [1]", "line 1: price = [1] is no list of tables"),
        ('price = [{model = "a", input = -1, output = 1}]', ": price 1 of 'a': input = -1: "),
        (f"x = {'9' * 5000}", ": this is no TOML: "),
        (f"x = {'[' * 100_000}", ": this is no TOML: "),
        (b'[[price]]\nmodel = "\xff"', r"line 2: byte b'\xff' is no UTF-8 (save the file as UTF-8)"),
        (b"#" * 2_000_000, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_table_that_is_wrong_says_where_and_what_to_do(tmp_path: Path, text: str | bytes, said: str) -> None:
    """File, line, key and value."""
    path = tmp_path / "own.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        read_prices(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["missing.toml", "", "folder", "nul\0"])
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A folder, a file that is not there, a name that no file can have."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prices(str(tmp_path / name))


def test_an_empty_table_has_no_prices(tmp_path: Path) -> None:
    """It is a table all the same: costs are unknown, and nothing is wrong."""
    (path := tmp_path / "prices.toml").write_text("# nothing yet\n")
    assert read_prices(path).of("a", DAY) is None


def test_cached_input_and_thoughts_have_prices_of_their_own() -> None:
    """Where they are set; else they cost what other input and output cost."""
    usage = Usage(1_000_000, 500_000, cached_tokens=400_000, thinking_tokens=100_000)
    both = {"input_usd_per_million": 2, "output_usd_per_million": 10}
    assert 7.0 == cost_of(Model(**both), usage)
    assert pytest.approx(0.6 * 2 + 0.4 * 0.5 + 5) == cost_of(Model(**both, cached_input_usd_per_million=0.5), usage)
    assert pytest.approx(2 + 0.4 * 10 + 0.1 * 20) == cost_of(Model(**both, thinking_usd_per_million=20), usage)
    assert pytest.approx(2 + 0.4 * 10) == cost_of(Model(**both, thinking_usd_per_million=0), usage)
    assert cost_of(Model(cached_input_usd_per_million=1), usage) is None


@pytest.mark.parametrize(
    ("usage", "cached", "thinking"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 60}}, 60, 0),
        ({"prompt_tokens_details": {"cached_tokens": 600}}, 100, 0),
        ({"completion_tokens_details": {"reasoning_tokens": 12}}, 0, 12),
        ({"completion_tokens_details": {"reasoning_tokens": 999}}, 0, 20),
        ({"total_tokens": 182}, 0, 62),
        ({"total_tokens": 182, "completion_tokens_details": {"reasoning_tokens": 62}}, 0, 62),
        ({"prompt_tokens_details": None, "completion_tokens_details": [1]}, 0, 0),
        (
            {"prompt_tokens_details": {"cached_tokens": -1}, "completion_tokens_details": {"reasoning_tokens": "x"}},
            0,
            0,
        ),
    ],
)
def test_an_answer_says_what_was_cached_and_thought(usage: dict[str, Any], cached: int, thinking: int) -> None:
    """Thoughts that stand in the total alone too; never more than there is."""
    document = completion({"a": 1}) | {
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120} | usage
    }
    found = completion_from(json.dumps(document).encode(), {}).usage
    assert (100, cached, thinking) == (found.input_tokens, found.cached_tokens, found.thinking_tokens)
    assert found.thinking_tokens <= found.output_tokens


def cached(call: Call) -> Reply:
    details = {"prompt_tokens_details": {"cached_tokens": 50}, "completion_tokens_details": {"reasoning_tokens": 8}}
    body = completion(item(call), tokens=(100, 10))
    return Reply(body | {"usage": body["usage"] | details})


def test_row_manifest_report_and_budget_have_one_cost(table: Path, tmp_path: Path) -> None:
    """By the table, with cached input and thoughts at their own prices."""
    each = (50 * 3 + 50 * 0.5 + 2 * 4 + 8 * 8) / 1e6
    flow = pipeline(model=Model(name="gem-pro-1"), prices=table)
    source = rows_csv(tmp_path / "items.csv", 10)
    with ScriptedServer(cached) as server:
        result = extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
        capped = replace(flow, limits=Limits(concurrency=1, max_cost_usd=each * 4.5))
        with pytest.raises(extract.RunStopped) as caught:
            extract.run(capped, source, out=tmp_path / "other", endpoint=server.endpoint())
    assert 15 == len(server.calls)
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    assert [pytest.approx(each)] * 10 == result.table["_cost_usd"].to_pylist()
    assert pytest.approx(10 * each) == result.report.cost_usd
    assert pytest.approx(10 * each) == manifest["cost_usd"]
    assert pytest.approx(5 * each) == caught.value.report.cost_usd  # type: ignore[attr-defined]


def test_the_environment_names_a_table_and_the_pipeline_comes_first(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A price of the model's own, then the pipeline's table, then EXTRACT_PRICES; a cap needs one of them."""
    (mine := tmp_path / "mine.toml").write_text('[[price]]\nmodel = "*"\ninput = 100\noutput = 100\n')
    monkeypatch.setenv("EXTRACT_PRICES", str(table))
    source = rows_csv(tmp_path / "items.csv", 1)

    def price(**changes: Any) -> float | None:
        prepared = prepare_run(pipeline(**changes), source, endpoint=ENDPOINT)
        return prepared.pipeline.model.input_usd_per_million

    assert 1.0 == price(model=Model(name="gem-nano"))
    assert 100 == price(model=Model(name="gem-nano"), prices=mine)
    assert 5 == price(model=Model(name="gem-nano", input_usd_per_million=5, output_usd_per_million=5), prices=mine)
    assert price(model=Model(name="other")) is None
    with pytest.raises(ConfigError, match=r"max_cost_usd needs the model's prices .*EXTRACT_PRICES"):
        price(model=Model(name="other"), limits=Limits(max_cost_usd=1))
    with pytest.raises(ConfigError, match=r"max_cost_usd_per_record needs the model's prices"):
        price(model=Model(name="other"), limits=Limits(max_cost_usd_per_record=1))
    assert price(model=Model(name="gem-nano"), limits=Limits(max_cost_usd=1, max_cost_usd_per_record=1))
    monkeypatch.setenv("EXTRACT_PRICES", str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigError, match=r"missing.toml cannot be read"):
        price(model=Model(name="gem-nano"))


def test_the_local_model_has_no_price(tmp_path: Path) -> None:
    """Whatever a table says."""
    (mine := tmp_path / "mine.toml").write_text('[[price]]\nmodel = "*"\ninput = 100\noutput = 100\n')
    prepared = prepare_run(pipeline(prices=mine), rows_csv(tmp_path / "items.csv", 1), local=True)
    assert prepared.pipeline.model.cost_usd(1, 1) is None


FLOW = """
from pydantic import BaseModel
from extract import Model, Pipeline

class Item(BaseModel):
    name: str
    number: int

pipeline = Pipeline(name="items", schema=Item, prompt="{{ text }}", model=Model(name="gem-pro-1"))
own = Pipeline(name="own", schema=Item, prompt="{{ text }}", prices="elsewhere.toml")
"""


def test_a_table_beside_the_pipeline_is_found(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the environment, or the pipeline, names one."""
    monkeypatch.delenv("EXTRACT_PRICES", raising=False)
    (flow := tmp_path / "priced_flow.py").write_text(FLOW)
    assert table == load_pipeline(str(flow)).prices
    assert "elsewhere.toml" == load_pipeline(f"{flow}:own").prices
    monkeypatch.setenv("EXTRACT_PRICES", "another.toml")
    assert load_pipeline(str(flow)).prices is None
    monkeypatch.delenv("EXTRACT_PRICES")
    table.unlink()
    assert load_pipeline(str(flow)).prices is None


def test_a_bad_table_ends_a_command_with_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one line that names file, line, key and value."""
    (tmp_path / "prices.toml").write_text('[[price]]\nmodel = "gem-*"\ninput = "1"\noutput = 2\n')
    (tmp_path / "flow.py").write_text(FLOW)
    rows_csv(tmp_path / "items.csv", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    code, _, error = console(monkeypatch, capsys)("check", "flow.py", "items.csv")
    sys.modules.pop("flow", None)
    assert 2 == code
    assert "prices.toml, line 3: price 1 of 'gem-*': input = '1'" in error


def test_a_date_that_passes_makes_no_table_anew(tmp_path: Path) -> None:
    """The same table of prices, at another price of today: the finished tables stand as they are."""
    (table := tmp_path / "prices.toml").write_text('[[price]]\nmodel = "*"\ninput = 1\noutput = 2\n')
    source = rows_csv(tmp_path / "items.csv", 1)

    def fingerprint(**changes: Any) -> str:
        return prepare_run(pipeline(**changes), source, endpoint=ENDPOINT).fingerprint

    before = prepare_run(pipeline(prices=table), source, endpoint=ENDPOINT)
    tomorrow = before.pipeline.model.replaced({"input_usd_per_million": 50})
    assert before.fingerprint == replace(before, pipeline=replace(before.pipeline, model=tomorrow)).fingerprint
    assert before.fingerprint != fingerprint()
    table.write_text('[[price]]\nmodel = "*"\ninput = 1\noutput = 3\n')
    assert before.fingerprint != fingerprint(prices=table)
    table.write_text('[[price]]\nmodel = "other"\ninput = 1\noutput = 3\n')
    assert fingerprint() == fingerprint(prices=table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[price]]\nmodel = "chaep"\ninput = 1\noutput = 2\n', "has no price for 'cheap' (did you mean 'chaep'?)"),
        ('[[price]]\nmodel = "gem-*"\ninput = 1\noutput = 2\n', "has no price for 'cheap' (there are: gem-*)"),
        (
            "".join(f'[[price]]\nmodel = "gem-{number}"\ninput = 1\noutput = 2\n' for number in range(11)),
            "has no price for 'cheap' (none of its 11 names is like it)",
        ),
        (
            '[[price]]\nmodel = "cheap"\nvalid_from = 2999-01-01\ninput = 1\noutput = 2\n',
            "has no price for 'cheap' before 2999-01-01",
        ),
        ("# nothing yet\n", "has no price for 'cheap' (it has none at all)"),
    ],
)
def test_a_table_without_the_model_is_named_where_no_cost_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """With the name that was meant, and not as if no prices were set."""
    (path := tmp_path / "own.toml").write_text(text)
    flow, source = pipeline(model=Model(name="cheap")), rows_csv(tmp_path / "items.csv", 2)
    monkeypatch.delenv("EXTRACT_PRICES", raising=False)
    assert "cost unknown: no prices are set (EXTRACT_PRICES" in checked(flow, source)
    assert f"cost unknown: {path} {said}\n" in checked(replace(flow, prices=path), source)
    monkeypatch.setenv("EXTRACT_PRICES", str(path))
    assert f"cost unknown: {path} {said}\n" in checked(flow, source)
    found = survey(prepare_run(flow, source, endpoint=ENDPOINT), None)
    assert f"cost unknown: {path} {said}" == found["cost_unknown"]


def test_one_of_several_models_without_a_price_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once answers tell, what it took is in the estimate, which therefore has no cost."""
    monkeypatch.delenv("EXTRACT_PRICES", raising=False)
    own = Model(name="cheap", input_usd_per_million=1, output_usd_per_million=2)
    found = unpriced("https://example.invalid", [("cheap", own), ("strong", Model())], None)
    assert found.startswith("cost unknown: no prices are set for 'strong' (EXTRACT_PRICES")
    assert "the model on this machine costs nothing" == unpriced("local", [("m", Model())], None)


def checked(flow: extract.Pipeline, source: Path) -> str:
    return survey_text(survey(prepare_run(flow, source, endpoint=ENDPOINT), None))
