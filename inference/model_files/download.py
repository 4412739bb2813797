"""Fetch a model, in as many tries as it takes, and believe only its checksum."""

import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from inference.errors import DownloadFailed, ModelError
from inference.model_files.card import split_names
from inference.model_files.header import read_header
from inference.model_files.remote import (
    Answer,
    Facts,
    RemoteFile,
    ShortAnswer,
    ask_facts,
    open_file,
)

CHUNK_BYTES = 2**20

# Left free on the disk, for everybody else.
SPARE_BYTES = 64 * 2**20

# (name, bytes that are there, bytes in all if known)
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a connection may break without a byte in between, and the pauses."""

    num_tries: int = 5
    pause_s: float = 1.0


def pull(
    file: RemoteFile,
    folder: Path,
    on_progress: OnProgress,
    sha256: str = "",
    patience: Patience | None = None,
) -> list[Path]:
    """Return the files of a model, fetched into `folder`/OWNER/NAME; all parts of one.

    What is there already, whole and with the right checksum, is not fetched again.
    `sha256` is for a model in one file. Raises DownloadFailed and OSError; what came
    so far is kept, and the next call goes on from there.
    """
    directory, _, name = file.name.rpartition("/")
    try:
        names = split_names(name)
    except ValueError as error:
        raise DownloadFailed(str(error)) from error
    if sha256 and len(names) > 1:
        raise DownloadFailed(f"{name} has {len(names)} parts: one checksum is no use")
    paths = []
    for part in names:
        wanted = replace(file, name=f"{directory}/{part}" if directory else part)
        path = folder / file.repo / part
        path.parent.mkdir(parents=True, exist_ok=True)
        _Pull(wanted, path, on_progress, patience or Patience()).run(sha256.lower())
        paths.append(path)
    return paths


class _Pull:
    """One file on its way."""

    def __init__(
        self, file: RemoteFile, path: Path, on_progress: OnProgress, patience: Patience
    ) -> None:
        self._file = file
        self._path = path
        self._on_progress = on_progress
        self._patience = patience
        self._total: int | None = None

    def run(self, sha256: str) -> None:
        """Fetch unless it is there; raises DownloadFailed."""
        facts = self._retry(lambda: ask_facts(self._file))
        wanted = sha256 or facts.sha256 or ""
        if sha256 and facts.sha256 not in {None, sha256}:
            raise DownloadFailed(
                f"{self._path.name} has the checksum {facts.sha256} on the server, "
                f"not {sha256}"
            )
        if self._is_there(facts, wanted):
            self._on_progress(self._path.name, self._path.stat().st_size, None)
            return
        with _locked(self._choose_part(facts)) as (part, content):
            digest = self._fetch(content, facts)
            self._check(part, digest, wanted)
            os.fsync(content.fileno())
            os.replace(part, self._path)
            _sync_folder(self._path.parent)

    def _is_there(self, facts: Facts, wanted: str) -> bool:
        if not self._path.is_file():
            return False
        if wanted:
            with self._path.open("rb") as content:
                return _hash(content).hexdigest() == wanted
        return self._path.stat().st_size == facts.num_bytes

    def _choose_part(self, facts: Facts) -> Path:
        """Return where to collect; another name if the file on the server changed."""
        mark = re.sub(r"\W", "", facts.tag or "")[:16] or "unknown"
        return self._path.with_name(f"{self._path.name}.{mark}.part")

    def _fetch(self, content: BinaryIO, facts: Facts) -> str:
        """Collect what is missing; return the checksum of all."""
        if facts.tag is None:  # nothing tells whether it is the same file as before
            content.truncate(0)
        digest = _hash(content)
        self._total = facts.num_bytes
        self._check_disk(content.tell())
        failures = 0
        while self._total is None or content.tell() < self._total:
            before = content.tell()
            try:
                digest = self._read_answer(content, digest, facts)
                if self._total is None:
                    break
            except ShortAnswer as error:
                failures = 1 if content.tell() > before else failures + 1
                if failures >= self._patience.num_tries:
                    raise DownloadFailed(
                        f"{error}; the same command goes on"
                    ) from error
                time.sleep(self._patience.pause_s * 2 ** (failures - 1))
        if self._total is not None and content.tell() > self._total:
            content.truncate(0)
            raise DownloadFailed(f"{self._path.name} came with more bytes than it has")
        content.flush()
        return digest.hexdigest()

    def _read_answer(
        self, content: BinaryIO, digest: "hashlib._Hash", facts: Facts
    ) -> "hashlib._Hash":
        """Append what one answer brings; raises ShortAnswer if it is not all."""
        answer = open_file(self._file, content.tell())
        with answer.response:
            tags = {answer.facts.tag, facts.tag} - {None}
            if len(tags) > 1 and facts.sha256 is not None:
                raise DownloadFailed(
                    f"{self._path.name} changed on the server just now"
                )
            if answer.start < content.tell():  # a server without ranges
                content.seek(0)
                content.truncate()
                digest = hashlib.sha256()
            if self._total is None:
                self._total = answer.facts.num_bytes
                self._check_disk(content.tell())
            for chunk in _read_chunks(answer):
                content.write(chunk)
                digest.update(chunk)
                self._on_progress(self._path.name, content.tell(), self._total)
        if self._total is not None and content.tell() < self._total:
            raise ShortAnswer("the connection broke")
        return digest

    def _check_disk(self, num_there: int) -> None:
        if self._total is None:
            return
        missing = self._total - num_there
        free = shutil.disk_usage(self._path.parent).free
        if missing + SPARE_BYTES > free:
            raise DownloadFailed(
                f"{self._path.name} needs {missing:,} more bytes, and the disk of "
                f"{self._path.parent} has {free:,} ({SPARE_BYTES:,} stay free)"
            )

    def _check(self, part: Path, digest: str, wanted: str) -> None:
        """Raise DownloadFailed, and drop what came, unless it is a whole GGUF file."""
        if wanted and digest != wanted:
            part.unlink()
            raise DownloadFailed(
                f"{self._path.name} has the checksum {digest}, not {wanted}; it was "
                "deleted"
            )
        try:
            read_header(part)
        except ModelError as error:
            part.unlink()
            raise DownloadFailed(f"what came is no model: {error}") from error

    def _retry(self, ask: Callable[[], Facts]) -> Facts:
        for number in range(1, self._patience.num_tries):
            try:
                return ask()
            except ShortAnswer:
                time.sleep(self._patience.pause_s * 2 ** (number - 1))
        return ask()


@contextmanager
def _locked(part: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a partial file for this process alone; raises DownloadFailed."""
    while True:
        with part.open("a+b") as content:
            try:
                fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadFailed(
                    f"{part.name} is being fetched by another process"
                ) from error
            if not _is_same(part, content):
                continue  # the other one finished between our opening and our lock
            yield part, content
            return


def _is_same(path: Path, content: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(content.fileno()).st_ino
    except FileNotFoundError:
        return False


def _read_chunks(answer: Answer) -> Iterator[bytes]:
    """Yield what comes; a connection that breaks ends it, as the size tells later."""
    try:
        while chunk := answer.response.read(CHUNK_BYTES):
            yield chunk
    except (OSError, HTTPException) as error:
        partial = getattr(error, "partial", b"")
        if partial:
            yield partial
        raise ShortAnswer(f"the connection broke: {error or 'too slow'}") from error


def _hash(content: BinaryIO) -> "hashlib._Hash":
    """Return the checksum of a file so far, which is left at its end."""
    digest = hashlib.sha256()
    content.seek(0)
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
