"""`manage.py models`: fetch models, list them, and see whether one fits here."""

import sys
import time
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from inference.errors import DownloadFailed
from inference.model_files.download import pull
from inference.model_files.library import Entry, list_models, look_at
from inference.model_files.memory import format_bytes
from inference.model_files.remote import RemoteFile
from inference.models import Backend, BackendKind
from inference.registry import describe_need

_DOES_NOT_FIT, _BAD_INPUT = 1, 2


class Command(BaseCommand):
    """Three commands about GGUF files; docs/models.md says more."""

    help = (
        "pull REPO FILE fetches a model from Hugging Face into MODELS_DIR; list shows "
        "what lies there; check FILE says whether a model fits this machine's memory, "
        "and exits with 1 if it does not, with 2 if the file is no usable model."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three commands."""
        actions = parser.add_subparsers(dest="action", required=True)
        fetching = actions.add_parser("pull", help="fetch a model from Hugging Face")
        fetching.add_argument("repo", help="such as Qwen/Qwen2.5-0.5B-Instruct-GGUF")
        fetching.add_argument(
            "file", help="a .gguf file of it; any part of a split one"
        )
        fetching.add_argument(
            "--revision", default="main", help="branch, tag or commit"
        )
        fetching.add_argument("--sha256", default="", help="the checksum it must have")
        actions.add_parser("list", help="show the models in MODELS_DIR")
        checking = actions.add_parser("check", help="say whether a model fits here")
        checking.add_argument("file", help="a path, or a name in MODELS_DIR")
        _add_options(checking)

    def handle(self, *args: Any, **options: Any) -> None:
        """Do what was asked."""
        action = {"pull": self._pull, "list": self._list, "check": self._check}
        action[options["action"]](options)

    def _pull(self, options: dict[str, Any]) -> None:
        try:
            file = RemoteFile(
                options["repo"],
                options["file"],
                options["revision"],
                settings.HF_ENDPOINT,
                settings.HF_TOKEN,
            )
            progress = Progress(self.stderr, sys.stderr.isatty())
            paths = pull(file, settings.MODELS_DIR, progress, options["sha256"])
        except (DownloadFailed, ValueError, OSError) as error:
            raise CommandError(str(error), returncode=_BAD_INPUT) from error
        for path in paths:
            self.stdout.write(str(path))

    def _list(self, options: dict[str, Any]) -> None:
        folder = Path(settings.MODELS_DIR).resolve()
        users = _find_users()
        entries = list(list_models(folder))
        if not entries:
            self.stdout.write(f"no models in {folder}")
        elsewhere = {*users, Path(settings.BUNDLED_MODEL_PATH).resolve()}
        elsewhere -= {entry.path for entry in entries}
        for entry in [*entries, *map(look_at, sorted(elsewhere))]:
            self.stdout.write(describe_entry(entry, folder, users))

    def _check(self, options: dict[str, Any]) -> None:
        row = Backend(
            name="check",
            kind=BackendKind.LLAMA_CPP,
            model=str(find_model(options["file"])),
            options={
                name: options[name] for name in _OPTIONS if options[name] is not None
            },
        )
        try:
            fits, sentence = describe_need(row)
        except (ValueError, OSError) as error:
            raise CommandError(str(error), returncode=_BAD_INPUT) from error
        self.stdout.write(sentence)
        if not fits:
            raise SystemExit(_DOES_NOT_FIT)


_OPTIONS = (
    "num_cells", "max_sequences", "max_batch_tokens", "kv_type_k", "kv_type_v",
    "flash_attention", "num_gpu_layers",
)  # fmt: skip


def _add_options(parser: ArgumentParser) -> None:
    """Declare options of a backend's row, with its words and llama.cpp's."""
    add = parser.add_argument
    add("--context", type=int, dest="num_cells", help="tokens of all conversations")
    add("--parallel", type=int, dest="max_sequences", help="conversations at once")
    add("--batch", type=int, dest="max_batch_tokens", help="tokens of a step")
    add("--kv-type-k", help="how keys are stored: f16, q8_0 or q4_0")
    add("--kv-type-v", help="how values are stored")
    add("--flash-attention", help="auto, on or off")
    add("--gpu-layers", type=int, dest="num_gpu_layers", help="layers on a GPU")


def find_model(name: str) -> Path:
    """Return the path of a model that is given by path or by name in MODELS_DIR."""
    path, there = Path(name), Path(settings.MODELS_DIR) / name
    return there if not path.exists() and there.exists() else path


def _find_users() -> dict[Path, list[str]]:
    """Return the names of backends by the model that they use. One query.

    None where there is no database yet: models may be fetched before it is set up.
    """
    users: dict[Path, list[str]] = {}
    rows = Backend.objects.filter(kind=BackendKind.LLAMA_CPP)
    with suppress(DatabaseError):
        for name, model in rows.values_list("name", "model"):
            path = Path(model or settings.BUNDLED_MODEL_PATH)
            users.setdefault(path.resolve(), []).append(name)
    return users


def describe_entry(entry: Entry, folder: Path, users: dict[Path, list[str]]) -> str:
    """Return a line about a model."""
    path = entry.path
    name = path.relative_to(folder) if path.is_relative_to(folder) else path
    used = ", ".join(users.get(path, [])) or "no backend"
    size = format_bytes(entry.num_bytes)
    if entry.card is None:
        return f"{name}: {size}, cannot be used: {entry.problem}"
    card = entry.card
    experts = f", {card.num_experts} experts" if card.num_experts else ""
    parts = f" in {card.num_splits} parts" if card.num_splits > 1 else ""
    return (
        f"{name}: {card.architecture}, {card.num_parameters / 1e6:,.0f} M parameters"
        f"{experts}, {card.quantization}, {size}{parts}, context "
        f"{card.context_tokens:,}, {'a' if card.has_template else 'no'} chat template, "
        f"used by {used}"
    )


class Progress:
    """Tells how far a download is: one living line on a terminal, else few lines."""

    def __init__(self, out: Any, is_terminal: bool) -> None:
        self._out = out
        self._is_terminal = is_terminal
        self._pause_s = 0.2 if is_terminal else 10.0
        self._name = ""
        self._began_s = self._told_s = 0.0
        self._began_bytes = 0

    def __call__(self, name: str, num_bytes: int, total: int | None) -> None:
        """Take note of how many bytes are there, and tell now and then."""
        now_s = time.monotonic()
        if name != self._name:
            self._name, self._began_s, self._began_bytes = name, now_s, num_bytes
            self._told_s = 0.0
        is_done = total is None or num_bytes >= total
        if not is_done and now_s - self._told_s < self._pause_s:
            return
        self._told_s = now_s
        speed = (num_bytes - self._began_bytes) / max(now_s - self._began_s, 0.1)
        text = f"{name}: {format_bytes(num_bytes)}"
        if total:
            text += f" of {format_bytes(total)} ({num_bytes / total:.0%})"
        if speed:
            text += f", {format_bytes(int(speed))}/s"
        ending = "" if self._is_terminal and not is_done else "\n"
        self._out.write(
            f"\r{text:<78}" if self._is_terminal else text, str, ending=ending
        )
        self._out.flush()
