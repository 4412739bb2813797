"""Finds passages that share a word with a question: one interface, one table.

The index holds stems (`words.read_stems`) and not words, so that every database finds
the same candidates; `ranking` puts them in order. `SqliteIndex` is FTS5,
`PostgresIndex` two tables that are scored by the same formula. Another database gets a
class of its own here and its tables in a migration.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper

from support.knowledge.vocabulary import FIELDS, PassageText
from support.knowledge.words import read_stems

_WEIGHTS = {"title": 2.0, "heading": 2.0, "text": 1.0, "keywords": 1.5, "summary": 0.3}
# bm25() takes them in the order of FIELDS
_BM25_WEIGHTS = ", ".join(str(_WEIGHTS[name]) for name in FIELDS)
# what FTS5 has built in
_SATURATION, _LENGTH_SHARE, _LEAST_RARITY = 1.2, 0.75, 1e-6
# In characters: an entry of a b-tree can have 2,704 bytes.
_LONGEST_STEM = 500


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that may answer; a higher score is better, within one search."""

    passage_id: int
    score: float


class PassageIndex(ABC):
    """Where passages are looked up by stem; `DROP` is the SQL that ends it."""

    DROP: str

    @abstractmethod
    def add(self, passages: Iterable[PassageText]) -> None:
        """Put passages into the index; those already there are replaced."""

    @abstractmethod
    def remove(self, passage_ids: Iterable[int]) -> None:
        """Take passages out of the index; unknown ids are ignored."""

    @abstractmethod
    def search(self, stems: Iterable[str], limit: int) -> list[Hit]:
        """Return the passages that have one of the stems at least, best first."""

    def search_each(
        self, searches: Sequence[tuple[Iterable[str], int]]
    ) -> list[list[Hit]]:
        """Return what `search` finds for each of some stems and limits."""
        return [self.search(stems, limit) for stems, limit in searches]


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
    """An inverted index of stems, scored by BM25 as FTS5 does it.

    Postgres' own full-text search would propose other passages: `ts_rank` does not
    weigh how rare a word is. The formula over the positions in a tsvector gives the
    same hits as here, but every matching tsvector is then unpacked: 260 ms a question
    for 5,000 passages against 13 ms. Writes belong to the transaction of the cursor's
    connection.
    """

    PASSAGES = "support_passage_search"
    STEMS = "support_passage_stem"
    DROP = f"DROP TABLE {PASSAGES} CASCADE"

    _SEARCH = f"""
        WITH size AS (
            SELECT count(*) AS passages, avg(num_stems)::float8 AS mean FROM {PASSAGES}
        ), found AS MATERIALIZED (
            SELECT passage_id, num_stems, stem, frequency
            FROM {STEMS} JOIN {PASSAGES} USING (passage_id) WHERE stem = ANY(%s)
        ), known AS (
            SELECT stem, ln((passages - count(*) + 0.5) / (count(*) + 0.5)) AS rarity
            FROM found, size GROUP BY stem, passages
        )
        SELECT passage_id, sum(
            greatest(rarity, {_LEAST_RARITY}) * frequency * ({_SATURATION} + 1)
            / (frequency + {_SATURATION} * (
                1 - {_LENGTH_SHARE} + {_LENGTH_SHARE} * num_stems / mean
            )) ORDER BY stem
        ) AS score
        FROM found JOIN known USING (stem), size
        GROUP BY passage_id ORDER BY score DESC, passage_id LIMIT %s
    """  # noqa: S608 - made of constants

    def __init__(self, cursor: Any) -> None:
        """Take a cursor of Django or of psycopg."""
        self._cursor = cursor

    def add(self, passages: Iterable[PassageText]) -> None:
        """Put passages into the index; those already there are replaced."""
        added = {passage.passage_id: _weigh_stems(passage) for passage in passages}
        self.remove(added)
        self._cursor.executemany(
            f"INSERT INTO {self.PASSAGES} (passage_id, num_stems) VALUES (%s, %s)",  # noqa: S608
            [(passage_id, num_stems) for passage_id, (num_stems, _) in added.items()],
        )
        rows = [
            (stem, passage_id, frequency)
            for passage_id, (_, frequencies) in added.items()
            for stem, frequency in frequencies.items()
        ]
        # as arrays: one statement for thousands of rows
        self._cursor.execute(
            f"INSERT INTO {self.STEMS} (stem, passage_id, frequency) "  # noqa: S608
            "SELECT * FROM unnest(%s::text[], %s::bigint[], %s::float8[])",
            [[row[place] for row in rows] for place in range(3)],
        )

    def remove(self, passage_ids: Iterable[int]) -> None:
        """Take passages out of the index; unknown ids are ignored."""
        self._cursor.execute(
            f"DELETE FROM {self.PASSAGES} WHERE passage_id = ANY(%s)",  # noqa: S608
            [list(passage_ids)],
        )

    def search(self, stems: Iterable[str], limit: int) -> list[Hit]:
        """Return the passages that have one of the stems at least, best first."""
        return self.search_each([(stems, limit)])[0]

    def search_each(
        self, searches: Sequence[tuple[Iterable[str], int]]
    ) -> list[list[Hit]]:
        """Return what `search` finds for each of some stems and limits. One query."""
        found: list[list[Hit]] = [[] for _ in searches]
        parts, values = [], []
        for number, (stems, limit) in enumerate(searches):
            if wanted := [stem[:_LONGEST_STEM] for stem in stems]:
                parts.append(f"(SELECT %s, found.* FROM ({self._SEARCH}) AS found)")  # noqa: S608
                values += [number, wanted, limit]
        if parts:
            self._cursor.execute(" UNION ALL ".join(parts), values)
        for number, *hit in self._cursor.fetchall() if parts else ():
            found[number].append(Hit(*hit))
        # a union keeps no order
        return [
            sorted(hits, key=lambda hit: (-hit.score, hit.passage_id)) for hits in found
        ]


def _weigh_stems(passage: PassageText) -> tuple[int, dict[str, float]]:
    """Return the number of stems of a passage, and each by the weight of its fields."""
    frequencies: dict[str, float] = defaultdict(float)
    num_stems = 0
    for name in FIELDS:
        for stem in read_stems(passage.field(name)):
            num_stems += 1
            frequencies[stem[:_LONGEST_STEM]] += _WEIGHTS[name]
    return num_stems, frequencies


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
