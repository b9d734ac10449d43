"""What the model refuses of an answer, as issues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce

from pydantic import ValidationError

from extract.records import Issue, path_to, short


class Misfit(ValueError):  # noqa: N818  # it says what the answer is
    """JSON that the model refuses: its findings, each with the path that they start from."""

    def __init__(self, errors: list[tuple[str, ValidationError]]) -> None:
        super().__init__("; ".join(f"{issue.path}: {issue.message}" for issue in _issues(errors)))
        self.errors = errors

    @property
    def issues(self) -> list[Issue]:
        """Each finding with its place in the answer."""
        return list(_issues(self.errors))


def _issues(errors: Iterable[tuple[str, ValidationError]]) -> Iterator[Issue]:
    for path, error in errors:
        for item in error.errors(include_url=False, include_context=False):
            place = reduce(path_to, item["loc"], path)
            yield Issue("model", f"model.{item['type']}", place, item["msg"], short(item["input"]))
