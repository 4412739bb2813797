import sys
import threading

import pytest

from inference.engine.leash import LeashEnded, leash


def loop():
    while True:
        pass


def test_ends_what_would_run_for_ever():
    with pytest.raises(LeashEnded, match="more than 1000 lines"), leash(1000):
        loop()


def test_lets_short_work_be():
    with leash(1000):
        assert sorted([2, 1]) == [1, 2]


def test_works_on_any_thread():
    ends = []

    def work():
        try:
            with leash(1000):
                loop()
        except LeashEnded:
            ends.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert ends == [True]


def test_leaves_a_debugger_as_it_was():
    before = sys.gettrace()
    with pytest.raises(LeashEnded), leash(10):
        loop()
    assert sys.gettrace() is before
