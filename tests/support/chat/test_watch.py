"""Who keeps the lease of a turn, and for how long."""

import threading
import time

import pytest

from support.chat import turns
from support.chat.watch import TurnWatch
from support.models import Turn
from tests.factories import change_turn, make_turn, past


@pytest.fixture
def watch(settings):
    settings.TURN_LEASE_S = 0.9
    watch = TurnWatch()
    yield watch
    with watch._lock:
        watch._held.clear()
    while watch._thread is not None:
        time.sleep(0.05)


def claim(turn: Turn) -> Turn:
    claimed = turns.claim(turn.id)
    assert claimed is not None
    return claimed


def lease_of(turn: Turn):
    return Turn.objects.values_list("lease_until", flat=True).get(pk=turn.pk)


def wait_for_extension(turn: Turn, timeout_s: float) -> bool:
    """Return whether a lease that is over is extended in time."""
    change_turn(turn, lease_until=past(5))
    before, until_s = lease_of(turn), time.monotonic() + timeout_s
    while lease_of(turn) == before:
        if time.monotonic() > until_s:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.django_db(transaction=True)
class TestLease:
    def test_is_extended_while_the_turn_is_held(self, watch):
        turn = claim(make_turn())
        with watch.looking_after(turn):
            assert wait_for_extension(turn, 20)

    def test_ends_when_the_turn_takes_longer_than_any_may(
        self, watch, settings, caplog
    ):
        settings.TURN_DEADLINE_S = 0
        turn = claim(make_turn())
        with watch.looking_after(turn) as cancel:
            assert not wait_for_extension(turn, 2)
            assert claim(turn).attempt == 2
        assert not cancel.is_cancelled
        assert "is stuck" in caplog.text

    def test_stays_with_the_thread_that_took_the_turn_over(self, watch):
        turn, is_over = claim(make_turn()), threading.Event()

        def hang():
            with watch.looking_after(turn):
                is_over.wait(20)

        hanging = threading.Thread(target=hang)
        hanging.start()
        while not watch._held:
            time.sleep(0.01)
        change_turn(turn, lease_until=past(5))
        again = claim(turn)
        with watch.looking_after(again):
            is_over.set()
            hanging.join()
            assert wait_for_extension(again, 20)


@pytest.mark.django_db(transaction=True)
def test_what_is_still_held_at_the_end_goes_back_into_the_queue(watch):
    turn = claim(make_turn())
    with watch.looking_after(turn):
        [given_back] = watch.give_back()
        assert watch.give_back() == []
    assert given_back.id == turn.id
    again = claim(turn)
    assert (again.num_claims, again.attempt) == (1, 2)  # which no failure was
