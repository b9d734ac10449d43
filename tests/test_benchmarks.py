"""The benchmarks measure what they say: the server answers in order and counts, the table is the same by hand."""

import asyncio
import json

import pytest

from benchmarks import plots, storms
from benchmarks.__main__ import between_marks
from benchmarks.compare import BARE, OURS, PARSE, Place, compare, goals, rows_for, table
from benchmarks.growth import drift
from benchmarks.long import Watch
from benchmarks.runs import Figures, Setting, refuse_wrong_table, run_client
from benchmarks.server import ledger_of, running
from benchmarks.tables import FIELDS, Checked, Shards
from benchmarks.task import ANSWER, Invoice, write_source
from benchmarks.wire import speed
from extract import compile_schema

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\n"


async def _numbers(address: str, sent: list[bytes], answers: int) -> list[str]:
    """The numbers of the invoices that come back, in their order."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in sent:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.01)
    found = []
    for _ in range(answers):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        body = json.loads(await reader.readexactly(int(head.rpartition(b":")[2])))
        found.append(json.loads(body["choices"][0]["message"]["content"])["invoice_number"])
    writer.close()
    return found


@pytest.mark.parametrize("latency", [0, 30])
def test_requests_in_any_pieces_are_answered_in_their_order(latency):
    """Pipelined requests, split anywhere, with a length or in chunks, get one answer each, in order."""
    plain = POST + b"content-length: 7\r\n\r\n1234567"
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"
    whole = plain + chunked + plain + chunked
    with running(latency=latency) as address:
        found = asyncio.run(_numbers(address, [whole[:50], whole[50:121], whole[121:150], whole[150:]], 4))
        assert ["INV-00000001", "INV-00000002", "INV-00000003", "INV-00000004"] == found
        assert 4 == ledger_of(address)["served"]


def test_the_ledger_knows_each_status():
    """Refused requests are counted by status, and so many are refused as asked for."""
    with running(errors=1, statuses="429", retry_after=3) as address:

        async def ask():
            host, port = address.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write((POST + b"Content-Length: 0\r\n\r\n") * 5)
            heads = []
            for _ in range(5):
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(int(heads[-1].rpartition(b":")[2]))
            writer.close()
            return heads

        heads = asyncio.run(ask())
        assert [b"HTTP/1.1 429 Too Many Requests"] * 5 == [head.split(b"\r\n")[0] for head in heads]
        assert b"Retry-After: 3\r\n" in heads[0]
        assert {"200": 0, "429": 5} == ledger_of(address)["statuses"]


def test_the_server_is_measured():
    """Each request is answered; the speed is that of what was served."""
    found = speed(2_000, 10, 4)
    assert 2_000 == found.requests
    assert found.per_second > 0
    assert found.per_core > 0


def test_the_table_by_hand_is_the_pipelines():
    """Rivals write the columns that we write."""
    assert FIELDS.equals(compile_schema(Invoice).arrow_schema)


def test_the_checks_by_hand_refuse():
    """Rivals' answers are held against the schema and the model too."""
    checked = Checked()
    value = json.loads(ANSWER)
    assert "INV-00000000" == checked.row(ANSWER, value)["invoice_number"]
    for wrong in ({"currency": "YEN"}, {"total": -1}, {"issued": "2024-02-30"}, {"lines": None}):
        text = json.dumps(value | wrong)
        with pytest.raises(ValueError, match="schema"):
            checked.row(text, json.loads(text))


def test_a_table_that_lacks_a_row_is_refused(tmp_path):
    """A client that loses, doubles or swaps rows has no figures."""
    checked = Checked()
    shards = Shards(tmp_path)
    for position in (1, 0):
        text = ANSWER.replace("00000000", f"{position:08d}")
        shards.put(position, checked.row(text, json.loads(text)) | {"id": position})
    shards.close()
    refuse_wrong_table("x", tmp_path / "table", 2)
    with pytest.raises(RuntimeError, match="2 rows and 2 answers for 3 records"):
        refuse_wrong_table("x", tmp_path / "table", 3)


def test_ours_is_measured():
    """A whole run in a process of its own: every record its row, CPU and memory known, the ideal as it follows."""
    found = run_client("tablecast", Setting(32, 20), 320, {})
    assert 320 == found.rows
    assert 0 < found.cpu_ms < 100
    assert 10 < found.peak_rss_mb < 1000
    assert pytest.approx(320 * 0.02 / 32 / found.seconds) == found.of_ideal


def test_runs_are_long_enough(tmp_path):
    """No client is measured with fewer records than twice its calls in flight."""
    for client in ("tablecast", "openai parse"):
        assert all(rows_for(client, Setting(1000, latency), 0.01) >= 2000 for latency in (0, 200))
    assert 400 * 256 == rows_for("tablecast", Setting(256, 200))
    assert 4 * 256 == rows_for("openai parse", Setting(256, 200))
    write_source(tmp_path / "s.parquet", 10)
    assert (tmp_path / "s.parquet").stat().st_size > 0


def test_storms_are_measured():
    """Each share of errors and the refusals for a rate have a line and a verdict; what is served is accounted."""
    found = storms.storms(rows=20)
    assert [1, 1, 1, 1] == [one["accounted"] / one["served"] for one in found]
    assert [20, 20, 20, 4] == [one["ok"] for one in found]
    assert len(found) == len(storms.goals(found)) == len(storms.table(found).splitlines()) - 2
    dear = [found[0] | {"calls_a_row": 1.2}, found[0] | {"calls_a_row": 1.1}]
    assert ["missed)", "met)"] == [line.split()[-1] for line in storms.goals(dear)]


def test_long_runs_are_looked_at_at_both_ends():
    """The first rows and the last, each by the median of its pieces: one stop, or one dear moment, moves neither."""
    watch = Watch()
    for done in range(0, 1_000_001, 1_000):
        late = done >= 950_000
        seconds = (5.0 if done > 960_000 else 0.0) + (5.0 if done > 20_000 else 0.0)  # of two stops
        cpu = done * (0.0003 if late else 0.0002) + seconds
        watch.marks.append((done, done * 0.001 + seconds, cpu, 0.0006 if late else 0.0005))
    found = watch.rates(1_000_000)
    assert pytest.approx(0.25) == drift(found)  # half as much again, on a machine that is a fifth slower
    assert pytest.approx(0.5) == drift(found | {"late_yard_ms": found["early_yard_ms"]})
    assert {"early_cpu_ms": 0.2, "late_cpu_ms": 0.3} == {
        name: round(value, 6) for name, value in found.items() if name.endswith("cpu_ms")
    }
    assert 1_000 == round(found["early_rows_per_second"]) == round(found["late_rows_per_second"])


def test_a_rival_that_fails_leaves_the_others_their_figures(monkeypatch):
    """A client that is not installed, or breaks, is left out and said; ours must not fail."""
    figures = Figures(rows=1000, seconds=2, cpu_seconds=0.5, peak_rss_mb=200, latency=0, concurrency=256)

    def run(name, *rest):
        if name == BARE:
            raise RuntimeError("it broke")
        return figures

    monkeypatch.setattr("benchmarks.compare.run_client", run)
    heard = []
    found = compare([Setting(256, 0)], [OURS, BARE, PARSE], 2, {}, heard=heard.append)
    assert [OURS, PARSE] == [place.client for place in found]
    assert ["C=256, 0 ms: bare aiohttp is not measured: it broke"] * 2 == [line for line in heard if "broke" in line]
    monkeypatch.setattr("benchmarks.compare.OURS", BARE)
    with pytest.raises(RuntimeError, match="it broke"):
        compare([Setting(256, 0)], [BARE], 1, {})


def test_the_tables_say_what_was_found(tmp_path):
    """Figures go into the table and the plots; goals say whether they are met; text goes between its marks only."""
    plain = Setting(256, 0)
    ours = Figures(rows=1000, seconds=2, cpu_seconds=0.5, peak_rss_mb=200, latency=0, concurrency=256)
    places = [Place(OURS, plain, ours, 1.0), Place(BARE, plain, ours, 0.9), Place(PARSE, plain, ours, 16.0)]
    assert "| 0 ms | 256 | tablecast | 1,000 | 500 | 0.500 | 1.00 | – | 200 |" in table(places).splitlines()
    assert ["missed)", "met)"] == [line.split()[-1] for line in goals(places)]
    plots.draw({"compare": [place.as_dict() for place in places]}, tmp_path)
    assert b"<svg" in (tmp_path / "performance-cpu.svg").read_bytes()
    assert "a <!-- x -->\nnew\n<!-- /x --> b" == between_marks("a <!-- x -->\nold\n<!-- /x --> b", "x", "new")
    with pytest.raises(ValueError, match="no <!-- y -->"):
        between_marks("a", "y", "new")
