"""Runs that several tests read."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.evaluation.making import gold, make_run

COUNT = 60


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `one` and `two`, and gold.parquet."""
    folder = tmp_path_factory.mktemp("papers")
    make_run(folder, "one", COUNT, 1)
    make_run(folder, "two", COUNT, 2)
    pq.write_table(gold(COUNT), folder / "gold.parquet")
    return folder
