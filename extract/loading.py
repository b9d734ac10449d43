"""Names on the command line → the objects they name: `pipelines.receipts`, `schemas/receipts.py:Receipt`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

from extract import prices
from extract.config import prices_file
from extract.errors import ConfigError, ExtractError
from extract.pipeline import Pipeline
from extract.schema import is_compilable

_Feature = type(annotations)  # what `from __future__ import annotations` leaves in a module


def load_pipeline(name: str) -> Pipeline:
    """`pipelines.receipts` or `pipelines/receipts.py`, both with `:name` for an object not called `pipeline`.

    With the table of prices that stands beside it, unless it or the environment names one.
    """
    place, attribute = _split(name)
    found = _object(place, attribute or "pipeline")
    if not isinstance(found, Pipeline):
        raise ConfigError(f"{name}: {attribute or 'pipeline'} is a {type(found).__name__}, not a Pipeline")
    beside = _folder(place) / prices.FILE
    if found.prices is None and prices_file() is None and beside.is_file():
        return replace(found, prices=beside)
    return found


def _folder(place: str) -> Path:
    """Where the file of a loaded module stands."""
    is_file = place.endswith(".py") or "/" in place
    return Path(place if is_file else sys.modules[place].__file__ or "").parent


def load_model(name: str) -> Any:
    """`schemas/receipts.py:Receipt` or `schemas.receipts:Receipt`; without a name, the module's one model.

    Any type that a schema can be compiled from will do, a JSON Schema in a `.json` file too.
    """
    if name.endswith(".json"):
        return _json_schema(Path(name))
    place, attribute = _split(name)
    found = _object(place, attribute) if attribute else _only_model(place)
    if not is_compilable(found):
        raise ConfigError(f"{name}: not a Pydantic model, another type or a JSON Schema")
    return found


def _json_schema(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no JSON Schema", hint="it must hold an object")
    return found


def _split(name: str) -> tuple[str, str | None]:
    place, colon, attribute = name.rpartition(":")
    return (place, attribute) if colon and attribute.isidentifier() else (name, None)


def _object(place: str, attribute: str) -> Any:
    module = _module(place)
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and not _is_imported(value, module) and not isinstance(value, _Feature)
        ]
        known = f"it has: {', '.join(names)}" if names else "name a file, such as pipelines/receipts.py"
        raise ConfigError(f"{place} has no {attribute!r}", hint=known) from None


def _only_model(place: str) -> Any:
    module = _module(place)
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    ]
    if len(own) != 1:
        names = ", ".join(kind.__name__ for kind in own) or "none"
        raise ConfigError(f"{place} has {len(own)} models ({names})", hint=f"say which: {place}:Name")
    return own[0]


def _module(place: str) -> ModuleType:
    """Import a module; the current folder comes first, as for `python -m`."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    path = Path(place)
    try:
        return _module_at(path) if path.suffix == ".py" or "/" in place else importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {place!r}", hint="name a module, or a file such as pipelines/receipts.py"
            ) from None
        raise ConfigError(f"{place} cannot be imported: {error}") from error
    except ExtractError:  # says what is wrong by itself
        raise
    except Exception as error:  # whatever the file does, it is the user's; the place in it is what helps
        raise ConfigError(f"{place} cannot be imported: {_fault(error)}") from error


def _fault(error: Exception) -> str:
    """What was raised, with the file and line where it was."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}: {type(error).__name__}: {error}"


def _module_at(path: Path) -> ModuleType:
    if not path.is_file():
        meant = path.with_name(f"{path.name}.py")
        raise ConfigError(f"there is no file {path}", hint=f"did you mean {meant}?" if meant.is_file() else None)
    dotted = _dotted(path)
    if dotted:
        return importlib.import_module(dotted)
    name = f"_extract_{path.stem}"  # a name of its own: json.py must not take the place of json
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # so that Pydantic finds the names that annotations use
    spec.loader.exec_module(module)
    return module


def _dotted(path: Path) -> str | None:
    """The module's name when the file lies below the current folder, so that it is not loaded twice."""
    try:
        parts = path.resolve().relative_to(Path.cwd()).with_suffix("").parts
    except ValueError:
        return None
    return ".".join(parts) if all(part.isidentifier() for part in parts) and len(parts) > 1 else None


def _is_imported(value: Any, module: ModuleType) -> bool:
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__module__ != module.__name__
    return isinstance(value, ModuleType)
