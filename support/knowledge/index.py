"""Finds passages that share a word with a question: one interface, one table.

The index holds stems (`words.read_stems`) and not words, so that every database finds
the same candidates; `ranking` puts them in order. `SqliteIndex` is FTS5. Another
database gets a class of its own here and its table in a migration.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.backends.utils import CursorWrapper

from support.knowledge.vocabulary import FIELDS, PassageText
from support.knowledge.words import read_stems

# bm25() takes them in the order of FIELDS
_BM25_WEIGHTS = "2.0, 2.0, 1.0, 1.5, 0.3"


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that may answer; a higher score is better, within one search."""

    passage_id: int
    score: float


class PassageIndex(ABC):
    """Where passages are looked up by stem."""

    @abstractmethod
    def add(self, passages: Iterable[PassageText]) -> None:
        """Put passages into the index; those already there are replaced."""

    @abstractmethod
    def remove(self, passage_ids: Iterable[int]) -> None:
        """Take passages out of the index; unknown ids are ignored."""

    @abstractmethod
    def search(self, stems: Iterable[str], limit: int) -> list[Hit]:
        """Return the passages that have one of the stems at least, best first."""


class SqliteIndex(PassageIndex):
    """An FTS5 table; its row ids are those of the passages.

    Writes belong to the transaction of the cursor's connection.
    """

    TABLE = "support_passage_search"
    CREATE = (
        f"CREATE VIRTUAL TABLE {TABLE} USING fts5({', '.join(FIELDS)}, "
        "tokenize = 'unicode61')"
    )
    DROP = f"DROP TABLE {TABLE}"

    def __init__(
        self, cursor: CursorWrapper | sqlite3.Cursor, placeholder: str
    ) -> None:
        self._cursor = cursor
        self._mark = placeholder

    def add(self, passages: Iterable[PassageText]) -> None:
        """Put passages into the index; those already there are replaced."""
        added = list(passages)
        self.remove(passage.passage_id for passage in added)
        rows = [(str(passage.passage_id), *_read_fields(passage)) for passage in added]
        marks = ", ".join([self._mark] * (len(FIELDS) + 1))
        self._cursor.executemany(
            f"INSERT INTO {self.TABLE} (rowid, {', '.join(FIELDS)}) "  # noqa: S608
            f"VALUES ({marks})",
            rows,
        )

    def remove(self, passage_ids: Iterable[int]) -> None:
        """Take passages out of the index; unknown ids are ignored."""
        self._cursor.executemany(
            f"DELETE FROM {self.TABLE} WHERE rowid = {self._mark}",  # noqa: S608
            [[passage_id] for passage_id in passage_ids],
        )

    def search(self, stems: Iterable[str], limit: int) -> list[Hit]:
        """Return the passages that have one of the stems at least, best first."""
        # a quoted string is a literal in the FTS5 query language; stems hold no quotes
        words = " OR ".join(f'"{stem}"' for stem in stems if '"' not in stem)
        if not words:
            return []
        self._cursor.execute(
            f"SELECT rowid, -bm25({self.TABLE}, {_BM25_WEIGHTS}) AS score "  # noqa: S608
            f"FROM {self.TABLE} WHERE {self.TABLE} MATCH {self._mark} "
            f"ORDER BY score DESC, rowid LIMIT {self._mark}",
            (words, limit),
        )
        return [Hit(*row) for row in self._cursor.fetchall()]


def _read_fields(passage: PassageText) -> list[str]:
    """Return the stems of each field, as the table holds them."""
    return [" ".join(read_stems(passage.field(name))) for name in FIELDS]


def open_index() -> PassageIndex:
    """Return the index of the project's database."""
    if connection.vendor != "sqlite":
        raise NotImplementedError(f"no passage index for {connection.vendor} yet")
    return SqliteIndex(connection.cursor(), "%s")


def open_memory_index() -> PassageIndex:
    """Return an empty index in memory, to measure with."""
    memory = sqlite3.connect(":memory:")
    memory.execute(SqliteIndex.CREATE)
    return SqliteIndex(memory.cursor(), "?")
