"""How a run was started, in the words of the command line: the manifest keeps it, so that its directory is enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from extract.cli.options import chosen, laid_out, split
from extract.errors import ConfigError, ExtractError

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

    def pipeline_of(self, run_dir: Path) -> tuple[Pipeline, str | None]:
        """The same for a run directory, from wherever this command is called."""
        try:
            return self.pipeline()
        except ExtractError as error:
            if self.folder and Path(self.folder) != Path.cwd():
                raise ConfigError(
                    f"{error.message}; the run in {run_dir} was started in {self.folder}",
                    hint="go there, or name PIPELINE and SOURCE as they are called here",
                ) from error
            raise

    def of_other(self, words: list[str]) -> Started:
        """The same options with another pipeline, and its source if it is named."""
        return replace(self, words=tuple(words), schema=None, prompt=None, media=())


_READER = TypeAdapter(Started)


def _name_of(setting: str) -> str:
    """Of `model.seed=3` the `seed`."""
    return setting.partition("=")[0].strip().rpartition(".")[2]


def started_as(run_dir: Path, words: list[str], usage: str) -> Started:
    """How the run was started: as its manifest says, with what is named here instead. Raises ConfigError."""
    from extract.sinks import read_manifest

    if len(words) > 2:
        raise ConfigError(f"one pipeline and one source, got {len(words)} words")
    manifest = read_manifest(run_dir)
    if manifest is None:
        raise ConfigError(f"{run_dir} is no run directory", hint="it has no manifest.json")
    told = read_started(manifest, run_dir)
    if words:
        return told.of_other(words) if told else Started(tuple(words))
    if told is None:
        raise ConfigError(f"{run_dir} does not say how its run was started", hint=f"name it: {usage}")
    return told


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
