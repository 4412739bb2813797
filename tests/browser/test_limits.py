"""What a visitor meets at the limits: an old token, too many messages."""

import re

import pytest
from playwright.sync_api import expect

from tests.system.server import Server

STRICT = {
    "TOKEN_LIFETIME_S": "3",
    "MESSAGES_PER_MINUTE": "3",
    "SOCKETS_PER_CONVERSATION": "2",
}
TOO_MANY = "Too many tabs or requests from here. The next try is in"
SECONDS = re.compile(rf"{TOO_MANY} \d\d seconds")
REFUSED = {"code": "rate_limited", "message": "Too many.", "retry_after_ms": 1_500_000}


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """A server with short-lived tokens that takes three messages a minute."""
    server = Server(tmp_path_factory.mktemp("limits"), STRICT)
    server.manage("setup", "--no-samples")
    server.start()
    server.use_scripts("say Fine.")
    yield server
    server.kill()


def test_renews_its_token_when_it_has_run_out(open_chat):
    chat = open_chat().open()
    chat.ask("First?")
    chat.page.wait_for_timeout(4000)
    chat.ask("Later?")
    assert chat.transcript()[1:] == ["First?", "Fine.", "Later?", "Fine."]


def test_says_when_the_next_message_can_go_out(open_chat):
    chat = open_chat().open()
    for question in ("One?", "Two?", "Three?"):
        chat.ask(question)
    chat.say("Four?")
    expect(chat.banner).to_contain_text("Your next message can go out in")
    expect(chat.find(".row[data-state=limited]")).to_have_count(1)
    chat.page.reload()
    expect(chat.find(".row").last.locator(".text")).to_have_text("Four?")


def test_says_that_too_many_tabs_are_open(open_chat):
    tabs = [open_chat().open()]
    tabs[0].ask("First?")
    tabs += [open_chat(context=tabs[0].page.context) for _ in range(2)]
    expect(tabs[-1].open().banner).to_contain_text(SECONDS)
    tabs[0].page.close()
    tabs[-1].find(".banner-action").click()
    expect(tabs[-1].banner).to_be_hidden()


def test_says_when_a_refused_session_is_tried_again(open_chat):
    chat = open_chat(locale="de-DE")
    chat.page.route(
        "**/widget/session",
        lambda route: route.fulfill(status=429, json={"error": REFUSED}),
    )
    chat.open().say("Hallo?")
    expect(chat.banner).to_contain_text("Der nächste Versuch ist in 25 Minuten")
