"""What the widget does after each close code of docs/protocol.md."""

import pytest

from tests.browser.test_transcript import WIDGET
from tests.support.chat.test_close_codes import TABLE

CLOSED = """code => {
  const connection = new Connection("http://x", "demo", {}, {onState() {}});
  Object.assign(connection, {socket: {}, token: "token"});
  const now = Date.now();
  connection.closed(connection.socket, code);
  clearTimeout(connection.timer);
  const {state, refusal, token, isCrowded, retryAt} = connection;
  return {state, refusal, token, isCrowded: Boolean(isCrowded), waitMs: retryAt - now};
}"""


@pytest.fixture(scope="module")
def closed(browser):
    """Return a function: the state of the widget's connection after a close."""
    page = browser.new_page()
    source = WIDGET.read_text()
    begin, end = (
        source.index("  function pauseAfter"),
        source.index("  /** Return an id that"),
    )
    pause = source[begin:end]
    begin = source.index("  class Connection {")
    connection = source[begin : source.index("  // --- what is seen", begin)]
    page.evaluate(f"() => {{ {pause} {connection}; window.Connection = Connection; }}")
    yield lambda code: page.evaluate(CLOSED, code)
    page.close()


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_it_comes_back_where_it_may(closed, code, answer):
    expected = "refused" if answer.startswith("no") else "waiting"
    assert closed(code)["state"] == expected


@pytest.mark.parametrize(
    ("code", "least_ms"),
    [(code, 60_000 if "a minute" in answer else 5000) for code, answer in TABLE
     if "after a" in answer],
)  # fmt: skip
def test_it_takes_its_time_where_it_has_to(closed, code, least_ms):
    assert least_ms < closed(code)["waitMs"] < least_ms + 1000


@pytest.mark.parametrize(
    "code", [code for code, answer in TABLE if "growing pauses" in answer]
)
def test_it_is_back_soon_else(closed, code):
    assert 250 <= closed(code)["waitMs"] < 1000


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_it_keeps_its_token_unless_that_is_wrong(closed, code, answer):
    is_wrong = answer.startswith("renew the token")
    assert closed(code)["token"] == (None if is_wrong else "token")


@pytest.mark.parametrize(("code", "refusal"), [(4400, "outdated"), (4403, "forbidden")])
def test_it_says_why_it_does_not_come_back(closed, code, refusal):
    assert closed(code)["refusal"] == refusal


@pytest.mark.parametrize(("code", "is_crowded"), [(4429, True), (1013, False)])
def test_it_says_that_others_are_too_many(closed, code, is_crowded):
    assert closed(code)["isCrowded"] == is_crowded


@pytest.mark.parametrize("code", [1000, 1005, 1008, 3000, 4999])
def test_a_code_that_is_not_listed_is_a_lost_connection(closed, code):
    after = closed(code)
    assert (after["state"], after["token"]) == ("waiting", "token")
    assert after["waitMs"] < 1000
