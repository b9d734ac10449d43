"""Turn tables and documents into validated, typed tables with a chat-completions model.

The names below are loaded when they are first used, so that `import extract` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wrapt import when_imported

from extract.version import __version__ as __version__

if TYPE_CHECKING:
    from extract import checks as checks
    from extract.accepting import Accepted as Accepted
    from extract.accepting import accept as accept
    from extract.api import Result as Result
    from extract.api import arun as arun
    from extract.api import run as run
    from extract.checks import FieldCheck as FieldCheck
    from extract.config import Endpoint as Endpoint
    from extract.config import Limits as Limits
    from extract.config import Model as Model
    from extract.config import Repair as Repair
    from extract.config import Retry as Retry
    from extract.config import Samples as Samples
    from extract.errors import APIConnectionError as APIConnectionError
    from extract.errors import APIError as APIError
    from extract.errors import APITimeoutError as APITimeoutError
    from extract.errors import AuthenticationError as AuthenticationError
    from extract.errors import BadRequestError as BadRequestError
    from extract.errors import ConfigError as ConfigError
    from extract.errors import ContentPolicyError as ContentPolicyError
    from extract.errors import EditError as EditError
    from extract.errors import ExtractError as ExtractError
    from extract.errors import InputError as InputError
    from extract.errors import InsufficientBalanceError as InsufficientBalanceError
    from extract.errors import NotFoundError as NotFoundError
    from extract.errors import PermissionDeniedError as PermissionDeniedError
    from extract.errors import PromptError as PromptError
    from extract.errors import RateLimitError as RateLimitError
    from extract.errors import RunDirectoryError as RunDirectoryError
    from extract.errors import RunStopped as RunStopped
    from extract.errors import SchemaError as SchemaError
    from extract.errors import ServerError as ServerError
    from extract.evaluation import evaluate as evaluate
    from extract.evidence import Evidence as Evidence
    from extract.media import Media as Media
    from extract.pipeline import Pipeline as Pipeline
    from extract.prompts import Example as Example
    from extract.prompts import Prompt as Prompt
    from extract.records import Issue as Issue
    from extract.records import Record as Record
    from extract.redriving import Redriven as Redriven
    from extract.redriving import redrive as redrive
    from extract.report import Report as Report
    from extract.schema import CompiledSchema as CompiledSchema
    from extract.schema import compile_schema as compile_schema
    from extract.schema.functions import Tool as Tool
    from extract.schema.functions import tool_of as tool_of
    from extract.sources import Csv as Csv
    from extract.sources import Folder as Folder
    from extract.sources import Jsonl as Jsonl
    from extract.sources import Parquet as Parquet
    from extract.untrusted import Untrusted as Untrusted
    from extract.verbatim import Verbatim as Verbatim

_HOMES = {
    "extract.accepting": ("Accepted", "accept"),
    "extract.api": ("Result", "arun", "run"),
    "extract.checks": ("FieldCheck",),
    "extract.config": ("Endpoint", "Limits", "Model", "Repair", "Retry", "Samples"),
    "extract.errors": (
        *("APIConnectionError", "APIError", "APITimeoutError", "AuthenticationError", "BadRequestError", "ConfigError"),
        *("ContentPolicyError", "EditError", "ExtractError", "InputError", "InsufficientBalanceError"),
        *("NotFoundError", "PermissionDeniedError", "PromptError", "RateLimitError", "RunDirectoryError", "RunStopped"),
        *("SchemaError", "ServerError"),
    ),
    "extract.evaluation": ("evaluate",),
    "extract.evidence": ("Evidence",),
    "extract.pipeline": ("Pipeline",),
    "extract.media": ("Media",),
    "extract.prompts": ("Example", "Prompt"),
    "extract.records": ("Issue", "Record"),
    "extract.redriving": ("Redriven", "redrive"),
    "extract.report": ("Report",),
    "extract.schema": ("CompiledSchema", "compile_schema"),
    "extract.schema.functions": ("Tool", "tool_of"),
    "extract.sources": ("Csv", "Folder", "Jsonl", "Parquet"),
    "extract.untrusted": ("Untrusted",),
    "extract.verbatim": ("Verbatim",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__", "checks"])  # noqa: PLE0605  # sorted() of texts is a list of texts


@when_imported("pandas")
def _register_accessor(pandas: Any) -> None:
    """`df.extract`."""
    from extract.accessor import register

    register(pandas)


def __getattr__(name: str) -> Any:
    if name == "checks":
        return import_module("extract.checks")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'extract' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
