"""Reads articles from Markdown folders and CSV files, and stores what is new."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.text import slugify

from support.knowledge.articles import save_article
from support.models import Article

_FENCE = "---"
_REQUIRED_COLUMNS = ("title", "body")


class ImportFailed(Exception):  # noqa: N818 - says what happened
    """The input cannot be imported; the text names file and line."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")


class Outcome(StrEnum):
    """What became of one article of the input."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class SourceArticle:
    """An article as it was read, and where it stood."""

    path: Path
    line: int
    slug: str
    title: str
    body: str
    category: str = ""
    summary: str = ""
    keywords: str = ""
    language: str = "en"


_TEXT_FIELDS = [
    field.name for field in fields(SourceArticle) if field.name not in ("path", "line")
]


def read_articles(path: Path) -> list[SourceArticle]:
    """Return the articles of a folder of .md files, of one such file, or of a CSV.

    Raises ImportFailed if nothing is there, something cannot be read, or two articles
    have the same slug.
    """
    if path.is_dir():
        found = [read_markdown(file) for file in sorted(path.rglob("*.md"))]
    elif path.suffix.lower() == ".csv":
        found = list(_read_csv(path))
    elif path.suffix.lower() in (".md", ".markdown"):
        found = [read_markdown(path)]
    else:
        raise ImportFailed(path, 1, "expected a folder, a .md file or a .csv file")
    if not found:
        raise ImportFailed(path, 1, "no articles here")
    _check_slugs(found)
    return found


@transaction.atomic
def store_articles(sources: Iterable[SourceArticle]) -> Counter[Outcome]:
    """Create and update articles by slug; return how many came out how.

    All or nothing: raises ImportFailed at the first article that cannot be stored.
    An article that was unpublished stays so.
    """
    outcomes: Counter[Outcome] = Counter()
    for source in sources:
        try:
            outcomes[_store(source)] += 1
        except ValidationError as error:
            problem = "; ".join(
                f"{name}: {' '.join(messages)}"
                for name, messages in error.message_dict.items()
            )
            raise ImportFailed(source.path, source.line, problem) from error
    return outcomes


def _store(source: SourceArticle) -> Outcome:
    article = Article.objects.filter(slug=source.slug).first()
    is_new = article is None
    if article is None:
        article = Article(slug=source.slug)
    is_changed = False
    for name in _TEXT_FIELDS:
        value = getattr(source, name)
        is_changed |= getattr(article, name) != value
        setattr(article, name, value)
    if not is_changed:
        return Outcome.UNCHANGED
    save_article(article)
    return Outcome.CREATED if is_new else Outcome.UPDATED


def read_markdown(path: Path) -> SourceArticle:
    """Return the article of a Markdown file, with or without front matter.

    Front matter is lines of `name: value` between two lines of `---`. Without a
    title there, the first heading of level 1 is the title. The slug is the file's
    name unless it is given. Raises ImportFailed.
    """
    lines = _read_text(path).splitlines()
    values, start = _read_front_matter(path, lines)
    if "title" not in values:
        start = _skip_blank(lines, start)
        if start >= len(lines) or not lines[start].startswith("# "):
            problem = "no title: neither in front matter nor as a first '# ' heading"
            raise ImportFailed(path, start + 1, problem)
        values["title"] = lines[start].removeprefix("# ").strip()
        start += 1
    values["body"] = "\n".join(lines[start:]).strip()
    if not values["body"]:
        raise ImportFailed(path, start + 1, "the article has no text")
    slug = values.pop("slug", "") or slugify(path.stem.replace("_", "-"))
    return SourceArticle(path=path, line=1, slug=slug, **values)


def _read_front_matter(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    """Return the values at the top of a file, and the number of the line after."""
    values: dict[str, str] = {}
    if not lines or lines[0].strip() != _FENCE:
        return values, 0
    for number, line in enumerate(lines[1:], start=2):
        if line.strip() == _FENCE:
            return values, number
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not line.strip():
            continue
        if not colon:
            raise ImportFailed(path, number, f"expected 'name: value', got {line!r}")
        if name not in _TEXT_FIELDS or name == "body":
            known = ", ".join(name for name in _TEXT_FIELDS if name != "body")
            raise ImportFailed(path, number, f"unknown name {name!r}; known: {known}")
        values[name] = _unquote(value.strip())
    raise ImportFailed(path, len(lines), "the front matter is not closed with '---'")


def _unquote(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _skip_blank(lines: list[str], start: int) -> int:
    while start < len(lines) and not lines[start].strip():
        start += 1
    return start


def _read_csv(path: Path) -> Iterator[SourceArticle]:
    """Yield an article for each row: title, body, and any other field as a column."""
    reader = csv.DictReader(_read_text(path).splitlines(keepends=True))
    columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
    missing = [name for name in _REQUIRED_COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in _TEXT_FIELDS]
    if missing or unknown:
        problem = f"missing columns: {missing}; unknown columns: {unknown}"
        raise ImportFailed(path, 1, f"{problem}; known: {_TEXT_FIELDS}")
    reader.fieldnames = columns
    try:
        for row in reader:
            yield _read_row(path, reader.line_num, row)
    except csv.Error as error:
        raise ImportFailed(path, reader.line_num, str(error)) from error


def _read_row(path: Path, line: int, row: dict[str, str | None]) -> SourceArticle:
    if None in row or None in row.values():
        raise ImportFailed(path, line, "the row has more or fewer cells than columns")
    values = {name: (value or "").strip() for name, value in row.items()}
    for name in _REQUIRED_COLUMNS:
        if not values[name]:
            raise ImportFailed(path, line, f"the {name} is empty")
    slug = values.pop("slug", "") or slugify(values["title"])[:100]
    if not values.get("language"):
        values.pop("language", None)
    return SourceArticle(path=path, line=line, slug=slug, **values)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ImportFailed(path, 1, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ImportFailed(path, line, "is not UTF-8 text") from error


def _check_slugs(sources: Iterable[SourceArticle]) -> None:
    seen: dict[str, SourceArticle] = {}
    for source in sources:
        first = seen.setdefault(source.slug, source)
        if first is not source:
            problem = f"slug {source.slug!r} was used in {first.path}:{first.line}"
            raise ImportFailed(source.path, source.line, problem)
