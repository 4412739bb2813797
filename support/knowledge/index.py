"""Finds passages that share a word with a question: one interface, one table.

The index holds stems (`words.read_stems`) and not words, so that every database finds
the same candidates; `ranking` puts them in order. `SqliteIndex` is FTS5,
`PostgresIndex` a tsvector that is scored by the same formula. Another database gets a
class of its own here and its table in a migration.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.backends.utils import CursorWrapper

from support.knowledge.vocabulary import FIELDS, PassageText
from support.knowledge.words import read_stems

_WEIGHTS = {"title": 2.0, "heading": 2.0, "text": 1.0, "keywords": 1.5, "summary": 0.3}
# bm25() takes them in the order of FIELDS
_BM25_WEIGHTS = ", ".join(str(_WEIGHTS[name]) for name in FIELDS)
# what FTS5 has built in
_SATURATION, _LENGTH_SHARE, _LEAST_RARITY = 1.2, 0.75, 1e-6
# Positions of a tsvector have one of four labels, just enough for our weights.
_LABELS = {2.0: "A", 1.5: "B", 1.0: "C", 0.3: "D"}
_WEIGHT_OF_LABEL = " ".join(
    f"WHEN '{label}' THEN {weight}::float8" for weight, label in _LABELS.items()
)
# In characters: a lexeme of Postgres can have 2,046 bytes.
_LONGEST_LEXEME = 500


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


class PostgresIndex(PassageIndex):
    """A tsvector of stems under a GIN index, scored by BM25 as FTS5 does it.

    `ts_rank` knows nothing of how rare a word is: of many candidates it would drop
    others than FTS5 does. So the formula stands here, over the positions that the
    matching rows hold. Writes belong to the transaction of the cursor's connection.
    """

    TABLE = "support_passage_search"

    _SEARCH = f"""
        WITH size AS (
            SELECT count(*) AS passages, avg(num_stems) AS mean FROM {TABLE}
        ), found AS (
            SELECT passage_id, num_stems, lexeme, (
                SELECT sum(CASE label {_WEIGHT_OF_LABEL} END)
                FROM unnest(weights) AS label
            ) AS frequency
            FROM {TABLE}, unnest(stems)
            WHERE stems @@ %(query)s::tsquery AND lexeme = ANY(%(lexemes)s)
        ), known AS (
            SELECT lexeme, ln((passages - count(*) + 0.5) / (count(*) + 0.5)) AS rarity
            FROM found, size GROUP BY lexeme, passages
        )
        SELECT passage_id, sum(
            greatest(rarity, {_LEAST_RARITY}) * frequency * ({_SATURATION} + 1)
            / (frequency + {_SATURATION} * (
                1 - {_LENGTH_SHARE} + {_LENGTH_SHARE} * num_stems / mean
            )) ORDER BY lexeme
        ) AS score
        FROM found JOIN known USING (lexeme), size
        GROUP BY passage_id ORDER BY score DESC, passage_id LIMIT %(limit)s
    """  # noqa: S608 - made of constants

    def __init__(self, cursor: CursorWrapper) -> None:
        self._cursor = cursor

    def add(self, passages: Iterable[PassageText]) -> None:
        """Put passages into the index; those already there are replaced."""
        self._cursor.executemany(
            f"INSERT INTO {self.TABLE} (passage_id, num_stems, stems) "  # noqa: S608
            "VALUES (%s, %s, %s::tsvector) ON CONFLICT (passage_id) DO UPDATE "
            "SET num_stems = EXCLUDED.num_stems, stems = EXCLUDED.stems",
            [(passage.passage_id, *_build_vector(passage)) for passage in passages],
        )

    def remove(self, passage_ids: Iterable[int]) -> None:
        """Take passages out of the index; unknown ids are ignored."""
        self._cursor.execute(
            f"DELETE FROM {self.TABLE} WHERE passage_id = ANY(%s)",  # noqa: S608
            [list(passage_ids)],
        )

    def search(self, stems: Iterable[str], limit: int) -> list[Hit]:
        """Return the passages that have one of the stems at least, best first."""
        lexemes = [stem[:_LONGEST_LEXEME] for stem in stems]
        if not lexemes:
            return []
        query = " | ".join(map(_quote, lexemes))
        self._cursor.execute(
            self._SEARCH, {"query": query, "lexemes": lexemes, "limit": limit}
        )
        return [Hit(*row) for row in self._cursor.fetchall()]


def _build_vector(passage: PassageText) -> tuple[int, str]:
    """Return the number of stems of a passage, and them as Postgres reads a tsvector.

    A tsvector counts up to 256 places of a word, which a passage is too short for.
    """
    labelled = [
        (stem, _LABELS[_WEIGHTS[name]])
        for name in FIELDS
        for stem in read_stems(passage.field(name))
    ]
    # a place of its own for each: what stands at one place is counted once
    places = [
        f"{_quote(stem[:_LONGEST_LEXEME])}:{place}{label}"
        for place, (stem, label) in enumerate(labelled, start=1)
    ]
    return len(places), " ".join(places)


def _quote(stem: str) -> str:
    escaped = stem.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _read_fields(passage: PassageText) -> list[str]:
    """Return the stems of each field, as the table holds them."""
    return [" ".join(read_stems(passage.field(name))) for name in FIELDS]


def open_index() -> PassageIndex:
    """Return the index of the project's database."""
    if connection.vendor == "sqlite":
        return SqliteIndex(connection.cursor(), "%s")
    if connection.vendor == "postgresql":
        return PostgresIndex(connection.cursor())
    raise NotImplementedError(f"no passage index for {connection.vendor}")


def open_memory_index() -> PassageIndex:
    """Return an empty index in memory, to measure with."""
    memory = sqlite3.connect(":memory:")
    memory.execute(SqliteIndex.CREATE)
    return SqliteIndex(memory.cursor(), "?")
