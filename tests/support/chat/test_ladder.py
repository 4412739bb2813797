"""What a customer gets when no model answers, rung by rung."""

from typing import Any

import pytest

from inference.models import RoutingPolicy, Rung
from support.chat import answering, ladder
from support.chat.events import describe_message
from support.chat.prompts import read_history
from support.knowledge.articles import save_article
from support.models import Article, Attempt, Notice, Turn, TurnState
from tests.factories import make_backend, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "How many days do I have to return something?"


@pytest.fixture
def article():
    body = (
        "## How long\n\nYou can return things within *30 days*, but for <b>boats</b>."
    )
    article = Article(title="Returns", slug="returns", body=body)
    save_article(article)
    other = "## Tents\n\nOur tents stand in wind and rain.\n\n## Boots\n\nWax them."
    save_article(Article(title="Care", slug="care", body=other))
    return article


def ask(content=QUESTION, conversation=None) -> Turn:
    turn = make_turn(conversation, content)
    answering.produce(turn.id)
    return Turn.objects.select_related("reply", "question").get(pk=turn.pk)


def describe(turn: Turn) -> Any:
    assert turn.reply is not None
    return describe_message(turn.reply, turn)


def force(rung: Rung) -> None:
    RoutingPolicy.objects.create(pk=1, rung=rung)


def test_without_a_model_the_best_passage_is_quoted_with_its_source(article):
    make_backend("fail Overloaded")
    turn = ask()
    assert turn.state == TurnState.FAILED
    assert turn.reply.notice == Notice.REPLY_EXCERPT
    assert turn.reply.content.startswith(ladder.EXCERPT)
    described = describe(turn)
    assert [citation["url"] for citation in described["citations"]] == [
        "/help/returns/#how-long"
    ]


def test_a_quote_is_text_and_a_quotation(article):
    make_backend("fail Overloaded")
    turn = ask()
    html = describe(turn)["html"]
    quote = html[html.index("<blockquote>") :]
    assert "You can return things within 30 days, but for" in quote
    assert "<b>" not in quote


def test_a_passage_may_hold_what_markdown_would_read(article):
    save_article(
        Article(
            title="Codes",
            slug="codes",
            body="## Return codes\n\n`# one` and `1. two_three*` are return codes.",
        )
    )
    make_backend("fail Overloaded")
    turn = ask("What are return codes?")
    html = describe(turn)["html"]
    assert "# one and 1. two_three* are return codes." in html


def test_what_does_not_fit_is_not_quoted(article):
    make_backend("fail Overloaded")
    turn = ask("Do you sell chocolate in Norway on Sundays?")
    assert turn.reply.content == ladder.APOLOGY
    assert turn.reply.notice == Notice.REPLY_FAILED


def test_a_forced_excerpt_asks_no_model(article):
    make_backend("say I am here.")
    force(Rung.EXCERPT)
    turn = ask()
    assert turn.reply.notice == Notice.REPLY_EXCERPT
    assert not Attempt.objects.exists()
    assert (
        turn.failure == "no model is asked: without a model: the article that fits best"
    )


def test_a_forced_apology_quotes_nothing(article):
    make_backend("say I am here.")
    force(Rung.APOLOGY)
    turn = ask()
    assert turn.reply.content == ladder.APOLOGY
    assert not Attempt.objects.exists()


def test_a_switch_counts_from_the_next_question_on(article):
    make_backend("say I am here.")
    conversation = make_conversation()
    force(Rung.APOLOGY)
    assert ask(conversation=conversation).state == TurnState.FAILED
    RoutingPolicy.objects.update(rung=Rung.MODEL)
    assert ask("Hello?", conversation).reply.content == "I am here."


def test_a_model_is_not_told_of_excerpts(article):
    conversation = make_conversation()
    force(Rung.EXCERPT)
    ask(conversation=conversation)
    turn = Turn.objects.select_related("question").get(
        pk=make_turn(conversation, "And now?").pk
    )
    assert read_history(turn) == []
