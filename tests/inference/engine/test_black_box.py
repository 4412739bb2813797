"""The note that outlives whoever wrote it."""

import os
import subprocess
import sys

import pytest

from inference.engine.black_box import BlackBox, Moment


@pytest.fixture
def box():
    box = BlackBox.create()
    yield box
    box.close()


def test_says_what_was_noted_last(box):
    assert box.read() == Moment()
    box.note(["17"], ["3", "4"])
    assert box.read() == Moment(("17",), ("3", "4"))
    assert box.read().keys == ("17", "3", "4")
    box.note([], ["5"])
    assert box.read() == Moment((), ("5",))
    box.clear()
    assert box.read() == Moment()


def test_more_than_there_is_room_for_is_cut(box):
    box.note([], [f"{number:09}" for number in range(2000)])
    keys = box.read().keys
    assert 500 < len(keys) < 1000
    assert keys[:2] == ("000000000", "000000001")


def test_survives_the_process_that_wrote_it(box):
    script = (
        "import os, sys; from inference.engine.black_box import BlackBox;"
        "BlackBox(int(sys.argv[1])).note(['8'], ['9']); os.abort()"
    )
    command = [sys.executable, "-c", script, str(box.descriptor)]
    ended = subprocess.run(
        command, pass_fds=[box.descriptor], stderr=subprocess.DEVNULL
    )
    assert ended.returncode < 0
    assert box.read() == Moment(("8",), ("9",))


def test_gives_its_memory_back():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        BlackBox.create().close()
    assert len(os.listdir("/proc/self/fd")) == before
