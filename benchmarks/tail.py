"""What calls that hang cost a run: 1 % get no byte, 1 % an answer that drips, on real sockets.

`python -m benchmarks.tail [--rows 3000]`: the same run with a server that is well, with such calls, and with such calls
and second ones. A call that hangs keeps its permit until its time is over, and its record is then asked for again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import extract
from extract import Limits, Pipeline
from extract.faults.wire import encode
from extract.testing import Call, Reply, ScriptedServer, completion

SHARE = 0.01  # of the calls hang, and as many drip
ANSWER = 0.2  # seconds
TIMEOUT = 5.0  # seconds
CONCURRENCY = 32
SCHEMA = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


def measured(rows: int, share: float, hedge_after: float | str | None) -> tuple[float, extract.Report, int]:
    """Seconds, the report, and the requests that the server saw."""
    chance = random.Random(11)

    def script(call: Call) -> Reply:
        body = completion({"number": 1})
        if (drawn := chance.random()) < share:
            return Reply(chunks=[3600.0])
        if drawn < 2 * share:
            return Reply(chunks=[piece for byte in encode(body) for piece in (bytes([byte]), 1.0)])
        return Reply(body, delay=ANSWER * chance.uniform(0.9, 1.1))

    with ScriptedServer(script) as server, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.csv"
        source.write_text("text\n" + "".join(f"item {number}\n" for number in range(rows)))
        limits = Limits(
            concurrency=CONCURRENCY, adaptive=False, timeout=TIMEOUT, idle_timeout=TIMEOUT, hedge_after=hedge_after
        )
        pipeline = Pipeline(name="tail", schema=SCHEMA, prompt="{{ text }}", limits=limits)
        report = extract.run(
            pipeline, source, out=Path(folder) / "out", endpoint=server.endpoint(), on_progress=lambda tally: None
        ).report
        return report.seconds, report, len(server.calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    rows = parser.parse_args().rows
    clean, *_ = measured(rows, 0.0, None)
    print(f"{rows} rows, {CONCURRENCY} permits, answers in {ANSWER} s, calls of {TIMEOUT} s at most: {clean:.1f} s")
    for hedge_after in (None, "p95", "p99", 0.5):
        seconds, report, seen = measured(rows, SHARE, hedge_after)
        print(
            f"hedge_after={hedge_after}: {seconds:.1f} s, {seconds / clean:.2f} of that "
            f"(the goal: {1.1 + TIMEOUT / clean:.2f}), {report.requests} requests of {seen} seen, "
            f"{report.ok} ok, {report.ambiguous} may be billed"
        )


if __name__ == "__main__":
    main()
