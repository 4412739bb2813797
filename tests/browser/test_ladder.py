"""What a visitor sees when no model answers, with each rung forced."""

import sqlite3
from contextlib import closing

import pytest
from playwright.sync_api import expect

QUESTION = "How long do I have to return something?"


@pytest.fixture
def force(server):
    """Return a function that makes replies begin with a rung, until the test ends."""

    def use(rung: str) -> None:
        with closing(sqlite3.connect(server.database, timeout=20)) as database:
            database.execute("DELETE FROM inference_routingpolicy")
            database.execute(
                "INSERT INTO inference_routingpolicy"
                " (id, is_cloud_off, rung, updated_at)"
                " VALUES (1, 0, ?, '2026-11-01 00:00:00')",
                [rung],
            )
            database.commit()

    yield use
    use("model")


def test_an_excerpt_is_a_quotation_with_its_source(force, open_chat):
    force("excerpt")
    chat = open_chat().open()
    said = chat.ask(QUESTION)
    assert said.startswith("I cannot answer this myself just now. Nobody wrote")
    expect(chat.answers.last.locator("blockquote")).to_contain_text("60 days")
    expect(chat.find(".sources a").first).to_have_text("Returning an item")
    expect(chat.find(".row[data-notice=reply_excerpt] .choice")).to_have_count(2)


def test_an_excerpt_is_announced_in_the_visitors_language(force, open_chat):
    force("excerpt")
    chat = open_chat(locale="de-DE").open()
    said = chat.ask(QUESTION)
    assert said.startswith("Ich kann das gerade nicht selbst beantworten.")
    assert "60 days" in said
    assert "60 days" in chat.announced()


def test_an_apology_offers_a_person(force, open_chat):
    force("apology")
    chat = open_chat().open()
    assert chat.ask(QUESTION) == "Sorry, I could not answer this just now."
    person = chat.find(".row[data-notice=reply_failed] .choice").last
    person.click()
    expect(chat.rows.last).to_contain_text("marked this conversation for our team")


def test_an_excerpt_is_the_same_after_a_reload(force, open_chat):
    force("excerpt")
    chat = open_chat().open()
    said = chat.ask(QUESTION)
    chat.page.reload()
    expect(chat.answers.last.locator("blockquote")).to_be_visible()
    assert chat.answers.last.inner_text() == said
