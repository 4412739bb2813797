"""A message that seems lost on its way is sent again, and is answered once."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import BrowserContext, Locator, WebSocketRoute, expect

from tests.browser.chat import Chat
from tests.system.server import Server

QUESTION = "Do you rent kayaks?"
FAILED_AFTER_MS = 15_000
ACK_WAIT_MS = 10_000
LIMITED = {
    "type": "error",
    "code": "rate_limited",
    "message": "Too many.",
    "retry_after_ms": 1000,
}


class Wire:
    """The way between the widgets of a browser and the server, with a fault on demand.

    What befalls a message: "cut" ends the socket instead, "dropped" loses it unseen,
    "delayed" keeps it until the wire is mended, "limited" has it refused for a second,
    "unacknowledged" ends the socket before the server's answer to it is heard. Once it
    was cut no socket opens. `client_ids` are those of all messages that were sent.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.fault: str | None = None
        self.is_cut = False
        self.client_ids: list[str] = []
        self.num_lost = 0
        self.delayed: list[Callable[[], None]] = []
        context.route_web_socket(re.compile("/ws/chat/$"), self._open)

    def mend(self) -> None:
        """Let everything through, first what was delayed."""
        self.fault, self.is_cut = None, False
        while self.delayed:
            self.delayed.pop()()

    def _open(self, widget: WebSocketRoute) -> None:
        if self.is_cut:
            widget.close(code=1012)
            return
        server = widget.connect_to_server()
        widget.on_message(lambda frame: self._carry_up(widget, server, str(frame)))
        server.on_message(lambda frame: self._carry_down(widget, server, str(frame)))

    def _carry_up(
        self, widget: WebSocketRoute, server: WebSocketRoute, frame: str
    ) -> None:
        content = json.loads(frame)
        if content["type"] == "send":
            self.client_ids.append(content["client_id"])
        if content["type"] != "send" or self.fault in (None, "unacknowledged"):
            server.send(frame)
            return
        self.num_lost += 1
        if self.fault == "cut":
            self._cut(widget, server)
        elif self.fault == "limited":
            widget.send(json.dumps(LIMITED | {"client_id": content["client_id"]}))
        elif self.fault == "delayed":
            widget.on_close(lambda code, reason: None)  # the server hears of it later
            self.delayed.append(lambda: server.send(frame))

    def _carry_down(
        self, widget: WebSocketRoute, server: WebSocketRoute, frame: str
    ) -> None:
        if self.fault != "unacknowledged":
            widget.send(frame)
        elif json.loads(frame)["type"] == "ack":
            self.num_lost += 1
            self._cut(widget, server)

    def _cut(self, widget: WebSocketRoute, server: WebSocketRoute) -> None:
        self.is_cut = True
        widget.close(code=1012)
        server.close()


@pytest.fixture
def context(browser):
    """A browser context whose clock the tests can stop."""
    context = browser.new_context(locale="en-GB")
    context.clock.install()
    yield context
    context.close()


@pytest.fixture
def wire(context):
    return Wire(context)


@pytest.fixture
def chat(script, context, wire, open_chat):
    """A visitor who has had one answer, and for whom time stands still since."""
    script("say We do.")
    chat = open_chat(context=context).open()
    chat.ask("Hello?")
    chat.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    return chat


def wait_until(chat: Chat, is_so: Callable[[], bool]) -> None:
    """Let the browser work, without its clock, until something is so."""
    until_s = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until_s, "it never was so"
        chat.page.wait_for_timeout(20)


def pass_time(chat: Chat, duration_ms: int) -> None:
    """Let timers ring that are due, and the screen be drawn."""
    chat.page.clock.fast_forward(duration_ms)
    chat.page.clock.run_for(100)


def lose_message(chat: Chat, wire: Wire, fault: str, question: str = QUESTION) -> None:
    """Say something that does not arrive, or seems not to, and wait until it shows."""
    wire.fault = fault
    chat.say(question)
    wait_until(chat, lambda: wire.num_lost == 1)
    pass_time(chat, FAILED_AFTER_MS)
    expect(unsent(chat)).to_contain_text("Not sent yet")


def unsent(chat: Chat) -> Locator:
    return chat.find(".row[data-state=failed]")


def press(chat: Chat, label: str) -> None:
    unsent(chat).locator(".choice").filter(has_text=label).click()


def retry(chat: Chat, wire: Wire) -> None:
    """Try again now that the way is free, and let time go on."""
    wire.mend()
    press(chat, "Try again")
    chat.page.clock.resume()


def stored_turns(server: Server, question: str) -> list[tuple]:
    """Return client id and outcome of every turn whose question is this."""
    return server.execute(
        "SELECT message.client_id, turn.state FROM support_message AS message"
        " LEFT JOIN support_turn AS turn ON turn.question_id = message.id"
        " WHERE message.content = ?",
        question,
    )


@pytest.mark.parametrize("fault", ["cut", "dropped", "delayed", "unacknowledged"])
def test_retry_is_answered_once(chat, wire, server, fault):
    question = f"{QUESTION} ({fault})"
    lose_message(chat, wire, fault, question)
    retry(chat, wire)
    expect(chat.answers).to_have_text(["We do.", "We do."])
    expect(chat.find(".row[data-state=stored][data-role=user]")).to_have_count(2)
    transcript = chat.transcript()
    assert transcript[1:] == ["Hello?", "We do.", question, "We do."]
    assert stored_turns(server, question) == [(wire.client_ids[1], "answered")]
    chat.page.reload()
    expect(chat.answers).to_have_count(2)
    assert chat.transcript() == transcript


def test_retry_waits_for_no_acknowledgement(chat, wire):
    wire.fault = "dropped"
    chat.say(QUESTION)
    wait_until(chat, lambda: wire.num_lost == 1)
    pass_time(chat, ACK_WAIT_MS)
    pass_time(chat, 500)  # the pause before the new socket
    wait_until(chat, lambda: wire.num_lost == 2)
    pass_time(chat, FAILED_AFTER_MS - ACK_WAIT_MS)
    wire.mend()
    press(chat, "Try again")
    wait_until(chat, lambda: len(wire.client_ids) == 4)
    chat.page.clock.resume()
    expect(chat.answers).to_have_count(2)
    assert len(set(wire.client_ids[1:])) == 1


def test_retry_after_a_reload_is_answered_once(chat, wire, server):
    question = f"{QUESTION} (reload)"
    lose_message(chat, wire, "cut", question)
    chat.page.reload()
    expect(chat.panel).to_be_visible()
    pass_time(chat, FAILED_AFTER_MS)
    expect(unsent(chat)).to_contain_text("Not sent yet")
    retry(chat, wire)
    expect(chat.answers).to_have_count(2)
    assert chat.transcript()[3:] == [question, "We do."]
    assert stored_turns(server, question) == [(wire.client_ids[1], "answered")]


def test_message_that_had_to_wait_can_be_retried_too(chat, wire):
    wire.fault = "limited"
    chat.say(QUESTION)
    wait_until(chat, lambda: wire.num_lost == 1)
    wire.fault = "cut"
    pass_time(chat, FAILED_AFTER_MS)
    wait_until(chat, lambda: wire.num_lost == 2)
    pass_time(chat, FAILED_AFTER_MS)
    expect(unsent(chat)).to_contain_text("Not sent yet")
    retry(chat, wire)
    expect(chat.answers).to_have_count(2)


def test_removed_message_is_never_sent(chat, wire, server):
    question = f"{QUESTION} (removed)"
    lose_message(chat, wire, "cut", question)
    press(chat, "Remove")
    wire.mend()
    chat.page.clock.resume()
    chat.ask("Do you rent bikes?")
    assert chat.transcript()[3:] == ["Do you rent bikes?", "We do."]
    assert stored_turns(server, question) == []
