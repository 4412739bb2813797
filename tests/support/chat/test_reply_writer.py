"""How often a growing reply is sent."""

from contextlib import suppress

import pytest

from support.chat import reply_writer
from support.chat.reply_writer import ReplyWriter, TurnLost, flush_interval_s
from tests.factories import make_turn


@pytest.mark.parametrize(
    ("num_replies", "interval_ms"), [(1, 40), (40, 40), (80, 80), (200, 150)]
)
def test_a_busy_process_sends_larger_pieces(num_replies, interval_ms):
    assert flush_interval_s(num_replies) == pytest.approx(interval_ms / 1000)


@pytest.mark.django_db
def test_counts_the_replies_under_way_also_when_one_breaks_off(monkeypatch):
    asked: list[int] = []

    def note(num_replies: int) -> float:
        asked.append(num_replies)
        return 0.0

    monkeypatch.setattr(reply_writer, "flush_interval_s", note)
    turn = make_turn()
    with ReplyWriter(turn) as outer:
        with suppress(TurnLost), ReplyWriter(turn) as inner:
            inner.write("one")
            raise TurnLost
        outer.write("two")
    assert asked == [2, 1]


@pytest.mark.django_db
def test_what_postgres_cannot_store_is_left_out():
    """Some models have a token for NUL."""
    with ReplyWriter(make_turn()) as writer:
        for delta in ("\0", " a\0b", "\0", " c"):
            writer.write(delta)
    assert writer.text == "ab c"
