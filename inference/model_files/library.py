"""The models in a folder, one line for each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from inference.errors import ModelError
from inference.model_files.card import (
    ModelCard,
    build_card,
    count_weight_bytes,
    split_names,
)
from inference.model_files.header import GgufHeader, read_header


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the folder: its card, or why it has none."""

    path: Path
    num_bytes: int
    card: ModelCard | None
    problem: str = ""


def list_models(folder: Path) -> Iterator[Entry]:
    """Yield the models of a folder and its subfolders, a split one once."""
    for path in sorted(folder.rglob("*.gguf")):
        if path.name == split_names_quietly(path.name)[0]:
            yield look_at(path)


def split_names_quietly(name: str) -> list[str]:
    """Return the names of a model's parts; its own where they make no sense."""
    try:
        return split_names(name)
    except ValueError:
        return [name]


def read_model(path: Path) -> GgufHeader:
    """Return the header of a model, with the tensors of all its parts.

    Raises ModelError if a part is missing or damaged.
    """
    whole = read_header(path)
    for name in split_names_quietly(path.name):
        part = path.with_name(name)
        if not part.is_file():
            raise ModelError(f"{path} needs {name}, which is not beside it")
        if part != path:
            header = read_header(part)
            whole = replace(
                whole,
                tensors=whole.tensors + header.tensors,
                file_bytes=whole.file_bytes + count_weight_bytes(header),
            )
    return whole


def look_at(path: Path) -> Entry:
    """Return what a file, or the first part of a split one, is."""
    parts = [path.with_name(name) for name in split_names_quietly(path.name)]
    num_bytes = sum(part.stat().st_size for part in parts if part.is_file())
    try:
        return Entry(path, num_bytes, build_card(read_model(path)))
    except (ModelError, OSError) as error:
        return Entry(path, num_bytes, None, str(error))
