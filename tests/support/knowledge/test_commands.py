import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from support.knowledge.index import open_index
from support.models import Article
from tests.factories import make_backend, make_site
from tests.support.knowledge.articles import make_article


def run(*args, **options):
    out = StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tents.md").write_text("# Tents\n\nA broken pole costs $9.\n")
    return tmp_path


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [
        {"question": "a broken pole?", "article": "tents", "fact": ["$9"]},
        {"question": "who are you", "article": None, "fact": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.django_db
def test_import_says_what_it_did(folder):
    assert run("import_articles", folder) == (
        "Articles: 1 created, 0 updated, 0 unchanged.\n"
    )
    assert Article.objects.get().slug == "tents"


@pytest.mark.django_db
def test_import_says_what_is_wrong(folder):
    (folder / "bad.md").write_text("nothing")
    with pytest.raises(CommandError, match=r"bad\.md:1: no title"):
        run("import_articles", folder)


def test_measures_retrieval_without_a_database(folder, questions):
    lines = run("measure_retrieval", folder, questions=questions).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["index", "alone"],
        ["retrieval", "questions=1"],
    ]
    assert "recall@1=1.000 recall@5=1.000 mrr=1.000 fact@3=1.000" in lines[1]


def test_measuring_names_articles_that_are_missing(folder, tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("text,category\nhow,boots\n")
    with pytest.raises(CommandError, match="no article for: boots"):
        run("measure_retrieval", folder, questions=path)


@pytest.mark.django_db
def test_measures_answers(questions, tmp_path):
    make_site(key="demo")
    make_article()
    make_backend("say A broken pole costs $9.")
    output = tmp_path / "replies.jsonl"
    printed = run("measure_answers", questions, output=output)
    assert "right                          1 of 1 (100%)" in printed
    assert "right and cited                1 of 1 (100%)" in printed
    assert "refused what nothing answers   1 of 1 (100%)" in printed
    replies = [json.loads(line)["reply"] for line in output.read_text().splitlines()]
    assert replies == ["A broken pole costs $9."] * 2


@pytest.mark.django_db
def test_a_wrong_answer_is_shown(questions):
    make_site(key="demo")
    make_article()
    make_backend("say It costs $8.")
    printed = run("measure_answers", questions)
    assert "wrong: a broken pole?\n    It costs $8." in printed
    assert "invented a number or address   2 of 2 (100%)" in printed


@pytest.mark.django_db
def test_a_backend_that_fails_ends_the_measuring(questions):
    make_site(key="demo")
    make_backend("fail Unavailable")
    with pytest.raises(CommandError, match="scripted"):
        run("measure_answers", questions)


@pytest.mark.django_db
def test_articles_that_came_by_a_dump_are_found_after_indexing():
    article = make_article()
    open_index().remove(article.passages.values_list("pk", flat=True))
    assert open_index().search(["pole"], 5) == []
    assert run("index_articles") == "Articles indexed: 1.\n"
    assert len(open_index().search(["pole"], 5)) == 1
