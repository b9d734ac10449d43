"""`df.extract(Receipt, "Extract the receipt.\\n\\n{{ text }}")`: registered when pandas is imported, not before.

What it needs is imported when it is called, so that neither library slows down the import of the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from extract.api import Result
    from extract.checks import Check
    from extract.config import Endpoint, Limits, Model, Retry
    from extract.prompts import Prompt


class ExtractAccessor:
    """What `df.extract` is: call it."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __call__(
        self,
        schema: Any,
        prompt: Prompt | str,
        *,
        key: str | None = None,
        columns: Sequence[str] | None = None,
        checks: Sequence[Check] = (),
        name: str | None = None,
        out: str | Path | None = None,
        endpoint: Endpoint | None = None,
        local: bool = False,
        model: Model | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        **options: Any,
    ) -> Result:
        """Extract a model from each row; the rows that passed: `.to_pandas()`, the others: `.quarantine`.

        key: key column, None: the row's number from 1. columns: passed through to the table, None: all whose names
        are not taken by a field or by the table's own columns. name: of the pipeline and so of the default run
        directory `out/<name>`, None: from the schema's name; calling again there asks only for what has no answer
        yet, and another frame there takes the place of the first. Further options as of `run`.
        """
        from extract.api import run
        from extract.config import Limits, Model, Retry
        from extract.pipeline import RESERVED, Pipeline
        from extract.schema import compile_schema, name_of
        from extract.sources import ROW_NUMBER

        names = [str(column) for column in self._frame.columns]
        taken = {*compile_schema(schema).arrow_schema.names, *RESERVED, key or ROW_NUMBER}
        passed = [column for column in names if column not in taken] if columns is None else columns
        pipeline = Pipeline(
            name=name or _snake_case(name_of(schema)),
            schema=schema,
            prompt=prompt,
            key=key,
            columns=tuple(passed),
            checks=tuple(checks),
            model=model or Model(),
            limits=limits or Limits(),
            retry=retry or Retry(),
        )
        return run(pipeline, self._frame, out=out, endpoint=endpoint, local=local, **options)


def register(pandas: Any) -> None:
    """Give every DataFrame its `extract`."""
    pandas.api.extensions.register_dataframe_accessor("extract")(ExtractAccessor)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
