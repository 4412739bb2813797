"""Every close code says whether to come back; widget and load test do as it says."""

import re
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from support.chat.frames import CloseCode
from support.management.loadtest.connection import Connection, SocketLost
from support.management.loadtest.plan import Plan
from support.management.loadtest.site import Refused

ROOT = Path(__file__).resolve().parents[3]
STANDARD = {1001, 1002, 1006, 1007, 1009, 1011, 1012, 1013}
# the load test ends where a visitor waits a minute: its operator has to raise a limit
TOO_MANY = int(CloseCode.TOO_MANY)


def read_table() -> list[tuple[int, str]]:
    """Return each close code of docs/protocol.md and what a client does."""
    text = (ROOT / "docs/protocol.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \| .+ \| (.+) \|$", text, re.MULTILINE)
    return [(int(code), answer) for codes, answer in rows for code in codes.split(",")]


TABLE = read_table()


def hear(code: int) -> Exception:
    """Return what the load test makes of a close."""
    plan = Plan(url="http://127.0.0.1:1", run="codes")
    sent = Close(code, "") if code != 1006 else None
    return Connection(None, plan)._explain(  # type: ignore[arg-type]  # not used
        ConnectionClosedError(sent, None)
    )


def test_every_code_is_documented_once():
    documented = [code for code, _ in TABLE]
    assert sorted(documented) == sorted(STANDARD | {int(code) for code in CloseCode})


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_every_code_says_whether_to_come_back(code, answer):
    assert re.match(r"(yes|no|renew the token, then yes)\b", answer)


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_the_load_test_comes_back_where_a_client_may(code, answer):
    ends = answer.startswith("no") or code == TOO_MANY
    assert isinstance(hear(code), Refused if ends else SocketLost)


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_the_load_test_takes_its_time_where_a_client_has_to(code, answer):
    takes_longer = "after a longer pause" in answer
    least_s = getattr(hear(code), "least_pause_s", 0)
    assert least_s == (5 if takes_longer else 0)


@pytest.mark.parametrize(("code", "answer"), TABLE)
def test_the_load_test_renews_its_token_where_a_client_has_to(code, answer):
    needs_token = getattr(hear(code), "needs_token", False)
    assert needs_token == answer.startswith("renew the token")
