"""How a run was started, in the words of the command line: the manifest keeps it, so that its directory is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from extract.cli.options import chosen, laid_out, split
from extract.errors import ConfigError

if TYPE_CHECKING:
    from extract.pipeline import Pipeline

_UNKEPT = "extra_body"  # a setting of the model that may hold what is nobody else's business


@dataclass(frozen=True)
class Started:
    """The words and options of `extract run` that say what is asked of which records."""

    words: Annotated[tuple[str, ...], Field(min_length=1)]
    schema: str | None = None
    prompt: str | None = None
    media: tuple[str, ...] = ()
    key: str | None = None
    settings: tuple[str, ...] = ()
    children: str | None = None
    flat: bool = False
    split_fields: str | None = None
    limit: int | None = None
    local: bool = False
    folder: str = ""  # in which

    def as_dict(self) -> dict[str, Any]:
        """As the manifest has it."""
        settings = [item for item in self.settings if _name_of(item) != _UNKEPT]
        return {**asdict(self), "settings": settings, "folder": str(Path.cwd())}

    def pipeline(self) -> tuple[Pipeline, str | None]:
        """The pipeline and the source that they name. Raises ConfigError, InputError."""
        media, settings = list(self.media) or None, list(self.settings) or None
        pipeline, source = chosen(list(self.words), self.schema, self.prompt, self.key, settings, media)
        return split(laid_out(pipeline, self.children, self.flat), self.split_fields), source

    def of_other(self, words: list[str]) -> Started:
        """The same options with another pipeline, and its source if it is named."""
        return replace(self, words=tuple(words), schema=None, prompt=None, media=())


_READER = TypeAdapter(Started)


def _name_of(setting: str) -> str:
    """Of `model.seed=3` the `seed`."""
    return setting.partition("=")[0].strip().rpartition(".")[2]


def read_started(manifest: Mapping[str, Any], run_dir: Path) -> Started | None:
    """How the run of this manifest was started; None when not from the command line. Raises ConfigError."""
    told = manifest.get("started")
    if told is None:
        return None
    try:
        return _READER.validate_python(told)
    except ValidationError:
        raise ConfigError(
            f"the manifest in {run_dir} does not say well how the run was started", hint="name PIPELINE and SOURCE"
        ) from None
