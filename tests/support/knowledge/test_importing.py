import pytest

from support.knowledge.importing import (
    ImportFailed,
    Outcome,
    read_articles,
    store_articles,
)
from support.models import Article, Passage
from tests.support.knowledge.articles import make_article

GOOD = "---\ntitle: Tents\ncategory: Gear\n---\n\n## Poles\n\nA pole costs $9.\n"


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def _write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(data)
        return path

    return _write


def test_reads_front_matter(write):
    (source,) = read_articles(write("big_tents.md", GOOD))
    assert (source.slug, source.title, source.category, source.body) == (
        "big-tents",
        "Tents",
        "Gear",
        "## Poles\n\nA pole costs $9.",
    )


def test_a_first_heading_is_a_title(write):
    (source,) = read_articles(write("a.md", "\n# Tents\n\nText.\n"))
    assert (source.title, source.body) == ("Tents", "Text.")


def test_front_matter_may_be_quoted_and_hold_colons(write):
    (source,) = read_articles(write("a.md", '---\ntitle: "A: b"\n---\nText'))
    assert source.title == "A: b"


def test_reads_folders_within_folders(write, tmp_path):
    write("b/two.md", GOOD)
    write("one.md", GOOD)
    write("notes.txt", "not an article")
    assert [source.slug for source in read_articles(tmp_path)] == ["two", "one"]


def test_reads_csv_with_line_breaks_and_other_columns(write):
    path = write("a.csv", '\ufeffTitle,Body,category\r\n"A","One\nTwo, three",Gear\r\n')
    (source,) = read_articles(path)
    assert (source.slug, source.body, source.category) == (
        "a",
        "One\nTwo, three",
        "Gear",
    )


@pytest.mark.parametrize(
    ("name", "content", "where", "problem"),
    [
        ("a.md", "Text only", ":1:", "no title"),
        ("a.md", "---\ntitle: A\n---\n", ":4:", "no text"),
        ("a.md", "---\ntitle A\n---\nText", ":2:", "expected 'name: value'"),
        ("a.md", "---\ntitle: A\ncolour: red\n---\nText", ":3:", "'colour'"),
        ("a.md", "---\ntitle: A\nsummary: b", ":3:", "not closed"),
        ("a.md", b"# A\n\n\xff", ":3:", "not UTF-8"),
        ("a.csv", "title,text\nA,B\n", ":1:", "missing columns: ['body']"),
        ("a.csv", "title,body\nA,B\n,B\n", ":3:", "title is empty"),
        ("a.csv", "title,body\nA,B,C\n", ":2:", "cells"),
        ("a.csv", "title,body\nA,B\nA,C\n", ":3:", "slug 'a' was used"),
        ("a.csv", "title,body\n", ":1:", "no articles"),
        ("a.pdf", "x", ":1:", "expected a folder"),
    ],
)
def test_an_error_names_file_and_line(write, name, content, where, problem):
    with pytest.raises(ImportFailed) as error:
        read_articles(write(name, content))
    assert name + where in str(error.value)
    assert problem in str(error.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ImportFailed, match=r"none\.md:1: cannot be read"):
        read_articles(tmp_path / "none.md")


@pytest.mark.django_db
def test_the_same_input_twice_changes_nothing(write):
    path = write("a.md", GOOD)
    assert store_articles(read_articles(path)) == {Outcome.CREATED: 1}
    assert store_articles(read_articles(path)) == {Outcome.UNCHANGED: 1}
    write("a.md", GOOD.replace("$9", "$8"))
    assert store_articles(read_articles(path)) == {Outcome.UPDATED: 1}
    assert Passage.objects.get().text == "A pole costs $8."


@pytest.mark.django_db
def test_an_unpublished_article_stays_so(write):
    make_article("a", is_published=False)
    store_articles(read_articles(write("a.md", GOOD)))
    assert not Article.objects.get().is_published


@pytest.mark.django_db
def test_one_article_that_cannot_be_stored_stops_all(write, tmp_path):
    write("a.md", GOOD)
    path = write("b.md", GOOD.replace("Tents", "T" * 201))
    with pytest.raises(ImportFailed, match=rf"{path}:1: title: .* 200"):
        store_articles(read_articles(tmp_path))
    assert not Article.objects.exists()
