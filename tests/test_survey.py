"""What `check` and --dry-run say of a pipeline whose model may look something up first."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import BaseModel

import extract
from extract import ConfigError, Endpoint, Limits, Model, Pipeline, Result, tool_of
from extract.api import prepare_run
from extract.sampling import asample, sample
from extract.sinks import read_manifest
from extract.survey import evenly, looked, survey, survey_text
from extract.survey.estimate import least_tokens
from extract.survey.forecast import FEWEST, Interval, Rest, predicted
from extract.testing import Call, Reply, ScriptedServer, completion
from tests.support import item, pipeline, rows_csv

ENDPOINT = Endpoint(base_url="https://example.invalid/v1")


class Other(BaseModel):
    name: str
    number: int
    size: int


def find_number(name: str) -> int:
    """Find a number by its name."""
    return len(name)


def found_of(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    prepared = prepare_run(pipeline(**changes), rows_csv(tmp_path / "items.csv", 3), endpoint=ENDPOINT)
    return survey(prepared, None)


def test_rounds_with_functions_are_counted_and_shown(tmp_path: Path) -> None:
    """Each of them may be paid in full, and the first of them is what is sent first."""
    model = Model(max_tokens=100, input_usd_per_million=1, output_usd_per_million=1)
    plain = found_of(tmp_path, model=model)
    tools = [find_number, tool_of(find_number, name="other")]
    found = found_of(tmp_path, model=model, tools=tools, limits=Limits(tool_rounds=4))
    assert (3, 1, 4, ["find_number", "other"]) == (
        *(found["requests"], found["requests_per_record"], found["rounds_per_record_at_most"]),
        found["tools"],
    )
    assert (300, 1500) == (plain["output_tokens_at_most"], found["output_tokens_at_most"])
    assert found["input_tokens_estimate"] > plain["input_tokens_estimate"]
    low, high = found["cost_usd_estimate"]
    assert high - low > 1500 / 1e6  # three more rounds send the prompt anew
    first = found["first_request"]
    assert "response_format" not in first
    assert ["find_number", "other"] == [tool["function"]["name"] for tool in first["tools"]]
    assert "2 to 5 requests a record: up to 4 rounds with find_number, other, then the record" in survey_text(found)
    assert (0, []) == (plain["rounds_per_record_at_most"], plain["tools"])
    assert "requests a record" not in survey_text(plain)


def test_a_search_is_one_more_request(tmp_path: Path) -> None:
    found = found_of(tmp_path, model=Model(max_tokens=100, search=True))
    assert (1, 600) == (found["rounds_per_record_at_most"], found["output_tokens_at_most"])
    assert "2 requests a record: a round with googleSearch, then the record" in survey_text(found).splitlines()
    both = found_of(tmp_path, model=Model(max_tokens=100, search=True, search_with_schema=True))
    assert (0, 300) == (both["rounds_per_record_at_most"], both["output_tokens_at_most"])


@pytest.mark.parametrize(
    ("dialect", "model", "named"),
    [
        (
            "kie",
            Model(temperature=0, stop=["x"], reasoning_effort="low"),
            "kie does not have model.temperature, model.stop:",
        ),
        ("toapis", Model(temperature=0, seed=1), "toapis does not have model.seed:"),
        ("toapis", Model(search=True, search_with_schema=True), "toapis does not have model.search_with_schema:"),
        ("kie", Model(search=True, search_with_schema=True), None),
        ("openai", Model(temperature=0, seed=1, reasoning_effort="low"), None),
        ("kie", Model(), None),
    ],
)
def test_what_the_dialects_page_does_not_have_is_named(
    tmp_path: Path, dialect: Any, model: Model, named: str | None
) -> None:
    """A gateway may pass over it without a word."""
    endpoint = Endpoint(base_url="https://example.invalid/v1", dialect=dialect)
    prepared = prepare_run(pipeline(model=model), rows_csv(tmp_path / "items.csv", 1), endpoint=endpoint)
    found = survey(prepared, None)
    assert int(named is not None) == len(found["warnings"])
    assert named is None or named in found["warnings"][0]
    assert named is None or f"warning: {found['warnings'][0]}" in survey_text(found)


def test_the_local_model_is_not_warned_of(tmp_path: Path) -> None:
    """What its dialect's page does not have, our own server may."""
    model = Model(include_thoughts=True)
    flow, source = pipeline(model=model), rows_csv(tmp_path / "items.csv", 1)
    assert [] == survey(prepare_run(flow, source, endpoint=Endpoint.local()), None)["warnings"]


def test_parts_of_a_record_share_their_rounds(tmp_path: Path) -> None:
    changes = {"schema": Other, "split_fields": 3, "tools": [find_number], "limits": Limits(tool_rounds=2)}
    found = found_of(tmp_path, model=Model(max_tokens=100), **changes)
    assert (9, 100 * (9 + 3 * 2)) == (found["requests"], found["output_tokens_at_most"])
    assert "4 to 5 requests a record" in survey_text(found)


def test_the_round_shown_is_the_one_that_is_sent(tmp_path: Path) -> None:
    """To the last byte, with examples and settings of the model."""
    source = rows_csv(tmp_path / "items.csv", 1)
    flow = pipeline(tools=[find_number], model=Model(temperature=0, name="m"))
    with ScriptedServer(lambda call: {"name": "a", "number": 1}) as server:
        shown = survey(prepare_run(flow, source, endpoint=server.endpoint()), None)["first_request"]
        extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
    assert json.dumps(shown) == json.dumps(server.calls[0].body)
    assert 2 == len(server.calls)


def thoughtful(call: Call) -> Reply:
    """An answer with thoughts about it, but for the second record."""
    answer = item(call)
    return Reply(completion(answer, reasoning_content=None if answer["number"] == 2 else f"about {call.prompt}"))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_thoughts_are_a_column_when_asked(tmp_path: Path, format: Any) -> None:
    """Asking for them later asks the model nothing: the journal has them."""
    source = rows_csv(tmp_path / "items.csv", 3)
    with ScriptedServer(thoughtful) as server:

        def run(flow: Pipeline) -> Result:
            return extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())

        before = run(pipeline(format=format)).table
        assert "_reasoning" not in before.column_names
        after = run(pipeline(format=format, keep_reasoning=True)).table
        assert 3 == len(server.calls)
        assert ["about item 1", None, "about item 3"] == after["_reasoning"].to_pylist()
        assert before.column_names == after.column_names[:-1]
        assert run(pipeline(format=format)).table.equals(before)


def test_a_column_of_that_name_is_refused(tmp_path: Path) -> None:
    (source := tmp_path / "a.csv").write_text("id,text,_reasoning\na,b,c\n")
    with pytest.raises(ConfigError, match="_reasoning"):
        prepare_run(replace(pipeline(), columns=["_reasoning"]), source, endpoint=ENDPOINT)


# intervals


def test_too_few_answers_tell_nothing_and_what_is_stated_stands(tmp_path: Path) -> None:
    """Input from three tenths to one and a half of what its size tells; output from the shortest answer to max_tokens."""
    model = Model(max_tokens=100, input_usd_per_million=1, output_usd_per_million=2)
    found = found_of(tmp_path, model=model)
    guessed, estimate = found["input_tokens_estimate"], found["estimate"]
    assert ("prior", 0, None) == (estimate["basis"], estimate["answers"], estimate["level"])
    assert {"low": round(guessed * 0.3), "high": round(guessed * 1.5), "expected": None} == estimate["input_tokens"]
    least = 3 * least_tokens(
        {"type": "object", "properties": {"name": {}, "number": {}}, "required": ["name", "number"]}
    )
    assert {"low": least, "high": 300, "expected": None} == estimate["output_tokens"]
    low, high = (round(guessed * 0.3) + 2 * least) / 1e6, (round(guessed * 1.5) + 600) / 1e6
    assert [pytest.approx(low), pytest.approx(high)] == found["cost_usd_estimate"]
    assert f"between {low:.4f} and {high:.4f} USD" in survey_text(found)
    assert ": no answers tell yet" in survey_text(found)


def test_what_is_stated_takes_the_cheapest_and_the_dearest_price(tmp_path: Path) -> None:
    """All input may be cached, and all output thoughts."""
    prices = {"input_usd_per_million": 1, "output_usd_per_million": 2}
    plain = found_of(tmp_path, model=Model(**prices))["cost_usd_estimate"]
    other = {"cached_input_usd_per_million": 0.1, "thinking_usd_per_million": 9}
    low, high = found_of(tmp_path, model=Model(**prices, **other))["cost_usd_estimate"]
    assert low < plain[0] < plain[1] < high


@pytest.mark.parametrize(
    ("schema", "least"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, 1),
        ({"type": "object", "properties": {"x" * 60: {"type": "string"}}, "required": ["x" * 60]}, 11),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": []}, 1),
        ({"type": "array", "minItems": 30, "items": {"enum": ["long", "words"]}}, 25),
        ({"type": "array", "minItems": 10**9, "items": {"type": "integer"}}, 333),
        ({"enum": ["a" * 30, None]}, 1),
        ({"$ref": "#"}, 1),
        ({"type": "object", "properties": [], "required": 7}, 1),
        (None, 1),
    ],
)
def test_the_shortest_answer_of_a_schema(schema: Any, least: int) -> None:
    assert least == least_tokens(schema)


def test_a_schema_that_is_deep_has_a_shortest_answer_too() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    assert least_tokens(schema) > 10


def test_a_line_through_the_answers_tells_the_rest() -> None:
    """Exactly, where it is exact; never below nothing, and nothing for nothing."""
    seen = [(float(guess), 30 + 0.5 * guess) for guess in range(100, 200, 5)]
    found = predicted(seen, Rest(10, 2500))
    assert (pytest.approx(1550), pytest.approx(1550), pytest.approx(1550)) == (found.low, found.expected, found.high)
    assert Interval(0.0, 0.0, 0.0) == predicted(seen, Rest())
    assert Interval(0.0, 0.0, 0.0) == predicted([(10, 0)] * FEWEST, Rest(5, 50))
    wild = predicted([(1, 0), (1, 0), (1, 0), (1, 0), (1, 1000)], Rest(1, 1))
    assert 0 <= wild.low <= (wild.expected or 0) <= wild.high


SHAPES: dict[str, Callable[[float, Random], float]] = {
    "even": lambda guess, random: 50 + random.random() * 10,
    "with size": lambda guess, random: 30 + guess * (0.6 + random.gauss(0, 0.08)),
    "skewed": lambda guess, random: random.lognormvariate(4, 0.6),
    "skewed with size": lambda guess, random: guess * 0.3 * random.lognormvariate(0, 0.6),
    "very skewed": lambda guess, random: random.lognormvariate(4, 1),
}


@pytest.mark.parametrize("number", [8, 20, 60])
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_hold_what_they_promise(shape: str, number: int) -> None:
    """Of 300 populations of calls, the sum of what was not seen lies within for some 95 in 100; for 87 at the least."""
    held = 0
    for seed in range(300):
        random = Random(f"{shape} {number} {seed}")
        guesses = [random.lognormvariate(5, 0.6) + 100 for _ in range(400)]
        came = [SHAPES[shape](guess, random) for guess in guesses]
        chosen = random.sample(range(400), number)
        rest = Rest(400 - number, sum(guesses) - sum(guesses[each] for each in chosen))
        found = predicted([(guesses[each], came[each]) for each in chosen], rest)
        held += found.low <= sum(came) - sum(came[each] for each in chosen) <= found.high
    assert held >= 261
    assert held < 300 or shape == "very skewed"  # nor are they as wide as the sky


def used(prompt: str) -> tuple[int, int]:
    """What a call for this record uses: much the same for each character, and answers of very different length."""
    random = Random(prompt)
    return 40 + round(len(prompt) * random.uniform(0.2, 0.3)), 3 + round(random.lognormvariate(3, 0.7))


def metered(call: Call) -> Reply:
    return Reply(completion({"name": "a", "number": 1}, tokens=used(call.prompt)))


def test_a_samples_interval_holds_the_real_total(tmp_path: Path) -> None:
    """For at least 90 of 100 sources, each asked through the wire: of input tokens, of output tokens and of the cost.

    What the rest would have cost is known from the server; for three sources it is asked, and is that.
    """
    flow = pipeline(model=Model(max_tokens=100, input_usd_per_million=100, output_usd_per_million=1000))
    held = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0}
    texts = {seed: long_and_short(seed, 60) for seed in range(100)}
    paths = {
        seed: rows_csv(tmp_path / f"{seed}.csv", 60, lambda each, seed=seed: texts[seed][each - 1]) for seed in texts
    }
    with ScriptedServer(metered) as server:
        endpoint = server.endpoint()

        async def asked(seed: int) -> None:
            report = await asample(flow, paths[seed], number=20, out=tmp_path / f"out{seed}", endpoint=endpoint)
            assert (20, 20) == (report.ok, report.requests)

        async def all_asked() -> None:
            for begin in range(0, 100, 10):
                await asyncio.gather(*(asked(seed) for seed in range(begin, begin + 10)))

        asyncio.run(all_asked())
        prompts = {call.prompt for call in server.calls}
        assert (2000, 2000) == (len(prompts), len(server.calls))
        for seed, path in paths.items():
            found = survey(prepare_run(flow, path, endpoint=endpoint), tmp_path / f"out{seed}" / "journal.db")
            assert (40, 20, 20) == (found["requests"], found["answered"], found["estimate"]["answers"])
            real = real_rest([text for text in texts[seed] if text not in prompts])
            for name in held:
                interval = found["estimate"][name]
                held[name] += interval["low"] <= real[name] <= interval["high"]
            if seed < 3:
                result = extract.run(flow, path, out=tmp_path / f"out{seed}", endpoint=endpoint)
                assert (40, pytest.approx(real["cost_usd"])) == (result.report.requests, result.report.cost_usd)
                assert real["output_tokens"] == result.report.output_tokens
    assert min(held.values()) >= 90, held


def long_and_short(seed: int, count: int) -> list[str]:
    random = Random(seed)
    return [f"s{seed} {each} {'word ' * random.randrange(4, 60)}".strip() for each in range(count)]


def real_rest(texts: Sequence[str]) -> dict[str, float]:
    given, made = (sum(each) for each in zip(*map(used, texts), strict=True))
    return {"input_tokens": given, "output_tokens": made, "cost_usd": (given * 100 + made * 1000) / 1e6}


def test_the_text_says_about_how_much_from_how_many_answers(tmp_path: Path) -> None:
    model = Model(input_usd_per_million=100, output_usd_per_million=1000)
    source, flow = rows_csv(tmp_path / "items.csv", 40), pipeline(model=model)
    with ScriptedServer(metered) as server:
        sample(flow, source, number=10, out=tmp_path / "out", endpoint=server.endpoint())
        prepared = prepare_run(flow, source, endpoint=server.endpoint())
        found = survey(prepared, tmp_path / "out" / "journal.db")
        capped = prepare_run(replace(flow, limits=Limits(max_cost_usd=0.01)), source, endpoint=server.endpoint())
        warnings = survey(capped, tmp_path / "out" / "journal.db")["warnings"]
        extract.run(flow, source, out=tmp_path / "out", endpoint=server.endpoint())
        done = survey(prepared, tmp_path / "out" / "journal.db")
    cost = found["estimate"]["cost_usd"]
    said = f"about {cost['expected']:.4f} USD (95 %: {cost['low']:.4f} to {cost['high']:.4f}), from 10 answers"
    assert said in survey_text(found).splitlines()
    assert pytest.approx([cost["low"], cost["high"]]) == found["cost_usd_estimate"]
    assert any("are expected, more than limits.max_cost_usd (0.01)" in each for each in warnings)
    assert "nothing is left to pay" in survey_text(done).splitlines()
    assert {"low": 0.0, "high": 0.0, "expected": 0.0} == done["estimate"]["cost_usd"]


def test_a_sample_is_paid_once_and_makes_no_table(tmp_path: Path) -> None:
    """The run after it finds its answers; finished tables stay as they are; a second sample asks others."""
    source, out = rows_csv(tmp_path / "items.csv", 40), tmp_path / "out"
    with ScriptedServer(item) as server:
        first = sample(pipeline(), source, number=8, out=out, endpoint=server.endpoint())
        assert (8, 8) == (first.records, first.requests)
        assert read_manifest(out) is None
        sample(pipeline(), source, number=8, out=out, endpoint=server.endpoint())
        numbers = sorted(int(call.prompt.split()[1]) for call in server.calls)
        assert 16 == len(set(numbers))
        assert [1] * 8 == [sum(1 for each in numbers[:] if 5 * k < each <= 5 * k + 5) >= 1 for k in range(8)]
        result = extract.run(pipeline(), source, out=out, endpoint=server.endpoint())
        assert (24, 40, 40) == (result.report.requests, result.report.ok, len(server.calls))
        manifest = (out / "manifest.json").read_bytes()
        nothing = sample(pipeline(), source, number=8, out=out, endpoint=server.endpoint())
        assert (0, 40, manifest) == (nothing.records, len(server.calls), (out / "manifest.json").read_bytes())


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_requests": 7}, "a sample of 8 records makes 8 requests, limits.max_requests is 7"),
        ({"max_total_tokens": 2000}, "tokens, limits.max_total_tokens is 2,000"),
        ({"max_cost_usd": 0.5}, "USD, limits.max_cost_usd is 0.5"),
    ],
)
def test_a_sample_that_may_pass_a_cap_is_refused(tmp_path: Path, limits: dict[str, Any], said: str) -> None:
    """Before anything is asked."""
    model = Model(max_tokens=1000, input_usd_per_million=100, output_usd_per_million=100)
    flow = pipeline(model=model, limits=Limits(**limits))
    source = rows_csv(tmp_path / "items.csv", 40)
    with ScriptedServer(item) as server:
        with pytest.raises(ConfigError) as caught:
            sample(flow, source, number=8, out=tmp_path / "out", endpoint=server.endpoint())
        assert said in str(caught.value)
        assert [] == server.calls
        with pytest.raises(ConfigError, match="a sample of 0 records"):
            sample(flow, source, number=0, out=tmp_path / "out", endpoint=server.endpoint())


def test_a_sample_is_spread_over_the_source(tmp_path: Path) -> None:
    """One record of each stretch, the same ones each time; all of them when there are no more."""
    found = looked(prepare_run(pipeline(), rows_csv(tmp_path / "items.csv", 100), endpoint=ENDPOINT), None)
    chosen = evenly(found, 10)
    assert list(range(10)) == [each // 10 for each in chosen]
    assert chosen == evenly(found, 10)
    assert list(range(100)) == evenly(found, 500)


def test_what_tools_and_parts_used_is_in_the_estimate(tmp_path: Path) -> None:
    """The rounds before a record, which its parts share, count once."""
    model = Model(max_tokens=100, input_usd_per_million=1, output_usd_per_million=1)
    flow = pipeline(schema=Other, split_fields=3, tools=[find_number], model=model)

    def script(call: Call) -> Reply:
        if "tools" in call.body:
            return Reply(completion("nothing", tokens=(100, 10)))
        wanted = call.body["response_format"]["json_schema"]["schema"]["properties"]
        return Reply(completion({name: "a" if name == "name" else 1 for name in wanted}, tokens=(10, 1)))

    with ScriptedServer(script) as server:
        source = rows_csv(tmp_path / "items.csv", 30)
        report = sample(flow, source, number=6, out=tmp_path / "out", endpoint=server.endpoint())
        found = survey(prepare_run(flow, source, endpoint=server.endpoint()), tmp_path / "out" / "journal.db")
    assert (6 * 4, 6 * 130) == (report.requests, report.input_tokens)
    estimate = found["estimate"]
    assert (6, pytest.approx(24 * 130, rel=0.03)) == (estimate["answers"], estimate["input_tokens"]["expected"])
    assert pytest.approx(24 * 13, rel=0.03) == estimate["output_tokens"]["expected"]
    assert math.isclose(24 * 143 / 1e6, estimate["cost_usd"]["expected"], rel_tol=0.03)


def test_records_that_are_alike_count_once(tmp_path: Path) -> None:
    """They share an answer, so they tell of one call."""
    source = rows_csv(tmp_path / "items.csv", 30, lambda number: f"item {min(number, 8)}")
    with ScriptedServer(metered) as server:
        sample(pipeline(), source, number=8, out=tmp_path / "out", endpoint=server.endpoint())
        found = survey(prepare_run(pipeline(), source, endpoint=server.endpoint()), tmp_path / "out" / "journal.db")
    assert (8, 0, 8) == (len(server.calls), found["requests"], found["estimate"]["answers"])


def test_a_sample_on_the_command_line(tmp_path: Path) -> None:
    """It says what it cost and what the rest will; --json has the numbers; without --dry-run it is refused."""
    from typer.testing import CliRunner

    from extract.cli import app

    (tmp_path / "sampled_flow.py").write_text(
        "from tests.support import pipeline as of\nfrom extract import Model\n"
        "pipeline = of(model=Model(input_usd_per_million=100, output_usd_per_million=1000))\n"
    )
    source, out = rows_csv(tmp_path / "items.csv", 40), tmp_path / "out"
    words = ["run", str(tmp_path / "sampled_flow.py"), str(source), "--out", str(out), "-q"]
    runner = CliRunner()
    with ScriptedServer(metered) as server:
        env = {"EXTRACT_BASE_URL": server.base_url}
        found = runner.invoke(app, [*words, "--dry-run", "--sample", "10"], env=env)
        assert (0, 10) == (found.exit_code, len(server.calls)), found.output
        assert "a sample of 10 records: 10 ok, 0 quarantined, 10 requests" in found.output
        assert ", from 10 answers" in found.output
        found = runner.invoke(app, [*words, "--dry-run", "--sample", "5", "--json"], env=env)
        data = json.loads(found.stdout)
        assert (5, 15, 25) == (data["sample"]["requests"], data["estimate"]["answers"], data["requests"])
        found = runner.invoke(app, ["check", *words[1:-1]], env=env)
        assert ", from 15 answers" in found.output
        refused = runner.invoke(app, [*words, "--sample", "5"], env=env)
        assert "--sample goes with --dry-run" in str(refused.exception) + refused.output
        assert 15 == len(server.calls)
