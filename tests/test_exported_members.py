"""Public is what `extract.__all__` lists; each name is there, and listed where type checkers look."""

from __future__ import annotations

import ast
import inspect

import pytest

import extract


def test_every_listed_name_is_there() -> None:
    """`from extract import NAME` works for each name of `__all__`, and `dir` shows them."""
    for name in extract.__all__:
        assert getattr(extract, name) is not None
    assert dir(extract) == extract.__all__


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers and `__all__` do not drift apart."""
    tree = ast.parse(inspect.getsource(extract))
    guarded = [node for node in tree.body if isinstance(node, ast.If)]
    names = {
        alias.asname
        for block in guarded
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names | {"__version__"} == set(extract.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        extract.nothing  # noqa: B018


def test_the_version_is_in_the_changelog() -> None:
    """Version and changelog agree."""
    from pathlib import Path

    changelog = (Path(__file__).parents[1] / "CHANGELOG.md").read_text()
    assert f"## [{extract.__version__}]" in changelog
