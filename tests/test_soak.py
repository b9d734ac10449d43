"""A short soak: 20,000 calls with 6 % faults of ten kinds, in a process of its own; `make soak` is the long one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import BLOCKS, Soak, slope_of
from tests.weather import ROOT

ROWS = 20_000
_CODE = """
import pickle, sys
from pathlib import Path
from tests.soak import soak
Path(sys.argv[1]).write_bytes(pickle.dumps(soak(int(sys.argv[2]), tidy=True)))
"""


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    """What came of it; not in this process, whose memory and handles other tests use too."""
    kept = tmp_path_factory.mktemp("soak") / "found"
    command = [sys.executable, "-X", "faulthandler", "-c", _CODE, str(kept), str(ROWS)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    found = pickle.loads(Path(kept).read_bytes())
    assert isinstance(found, Soak)
    return found


def test_every_row_comes_out_and_every_call_is_on_the_account(soaked: Soak) -> None:
    """Calls, retries, tokens and calls that may be billed, in report, journal and ledger; fsck finds nothing."""
    assert [] == soaked.accounts
    assert ROWS == soaked.report.ok
    assert ROWS * 0.05 <= soaked.faults
    assert {"500", "broken", "cut", "drop", "hang", "reset", "slow"} <= soaked.ledger.kinds.keys()


def test_nothing_is_left_open_or_unawaited(soaked: Soak) -> None:
    """File handles, tasks, threads, warnings, complaints of asyncio."""
    assert soaked.handles[0] >= soaked.handles[1]
    assert [] == soaked.complaints
    assert [] == soaked.left


def test_no_row_leaves_objects_behind(soaked: Soak) -> None:
    """Python's allocated blocks do not grow with the rows. A record alone is eight; up to two a row come from the
    connections and windows that still fill. What SQLite and Arrow hold grows in so short a run until their caches are
    full, so that megabytes say nothing yet."""
    blocks = soaked.blocks
    rows = ROWS * blocks.hours * 3600 / soaked.seconds
    assert 4 > (blocks.per_hour - blocks.plus_minus) * blocks.hours / rows


def test_a_slope_is_found_with_what_is_uncertain_of_it() -> None:
    """A line is a line; around a line with noise the interval holds the truth."""
    seconds = [float(second) for second in range(BLOCKS * 50)]
    exact = slope_of(seconds, [100 + second / 3600 * 7 for second in seconds])
    assert pytest.approx(7) == exact.per_hour
    assert pytest.approx(0, abs=1e-6) == exact.plus_minus
    noisy = slope_of(seconds, [100 + second / 3600 * 7 + (1 if second // 25 % 2 else -1) for second in seconds])
    assert noisy.per_hour - noisy.plus_minus <= 7 <= noisy.per_hour + noisy.plus_minus
    assert 0 < noisy.plus_minus
