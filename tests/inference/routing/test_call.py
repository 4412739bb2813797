"""The threads under the router, on the real clock."""

import threading
import time

import pytest

from inference.backends.scripted import ScriptedBackend
from inference.errors import NoBackendLeft, Overloaded
from inference.routing.call import MAX_BUFFERED_ITEMS, CallThreads
from inference.types import (
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
    Delta,
    Routed,
)
from tests.inference.conftest import wait_until
from tests.inference.routing import errands

REQUEST = CompletionRequest((ChatMessage("user", "tent boots"),), max_tokens=9000)
QUICK = Deadlines(connect_s=0.2, first_token_s=0.2, gap_s=0.2, total_s=2.0)


def is_without_call():
    return not any(thread.name == "call-local" for thread in threading.enumerate())


def route(backends, cancel=None, deadlines=QUICK, router=None):
    reports = []
    router = router or errands.make_router()
    stream = errands.route(router, REQUEST, backends, deadlines, cancel, reports.append)
    return list(stream), reports


def test_streams_through_a_thread():
    items, reports = route([ScriptedBackend("local")])
    assert [item.text for item in items if isinstance(item, Delta)] == [
        "tent",
        " boots",
    ]
    assert reports[0].usage.completion_tokens == 2


@pytest.mark.parametrize("trouble", ["hang", "freeze 0.6"])
def test_a_stuck_backend_is_left_at_its_deadline(trouble):
    stuck = ScriptedBackend("local", [trouble])
    started_s = time.monotonic()
    items, reports = route([stuck, ScriptedBackend("cloud", ["say Yes"])])
    assert isinstance(items[-1], Routed)
    assert reports[0].error == "Timeout"
    assert 0.2 <= time.monotonic() - started_s < 0.5


def test_a_cancel_wakes_a_waiting_request():
    cancel = CancelToken()
    threading.Timer(0.1, cancel.cancel).start()
    slow = Deadlines(first_token_s=30, total_s=30)
    started_s = time.monotonic()
    items, _ = route([ScriptedBackend("local", ["hang"])], cancel, slow)
    assert items[-1].completion.usage is not None
    assert time.monotonic() - started_s < 0.5


def test_hanging_threads_are_bounded():
    threads = CallThreads(time.monotonic, max_hanging=2)
    router = errands.make_router(max_calls=1, open_call=threads.open)
    frozen = ScriptedBackend("local", ["freeze 2"])
    for _ in range(4):
        with pytest.raises(NoBackendLeft) as caught:
            route([frozen], router=router)
    assert caught.value.attempts[0].error == Overloaded.__name__
    assert len(frozen.requests) == 2
    assert threads.num_hanging() == {"local": 2}


def test_a_finished_call_leaves_no_thread():
    threads = CallThreads(time.monotonic)
    call = threads.open(ScriptedBackend("local", ["hang"]), REQUEST, QUICK)
    call.abandon()
    wait_until(is_without_call, timeout_s=2)
    assert threads.num_hanging() == {}


def test_a_reader_that_sleeps_holds_the_backend_back():
    yielded = []

    class Flood(ScriptedBackend):
        def stream(self, request, deadlines, cancel):
            for item in super().stream(request, deadlines, cancel):
                yielded.append(item)
                yield item

    flood = Flood("local", ["say x\n" * (MAX_BUFFERED_ITEMS + 50)])
    call = CallThreads(time.monotonic).open(flood, REQUEST, QUICK)
    time.sleep(0.2)
    assert len(yielded) == MAX_BUFFERED_ITEMS + 1
    call.abandon()


def test_a_foreign_exception_becomes_an_invalid_response(caplog):
    class Broken(ScriptedBackend):
        def stream(self, request, deadlines, cancel):
            yield Delta("a")
            raise KeyError("bug")

    with pytest.raises(NoBackendLeft) as caught:
        route([Broken("local")])
    assert caught.value.attempts[0].error_detail == "KeyError escaped the backend"
    assert "broke its contract" in caplog.text


def test_an_abandoned_stream_is_closed():
    talker = ScriptedBackend("local", ["say a\npause 0.1\nsay b\nsay c\nsay d"])
    call = CallThreads(time.monotonic).open(talker, REQUEST, QUICK)
    call.take(time.monotonic() + 1)
    call.abandon()
    wait_until(is_without_call, timeout_s=2)
    assert len(talker.requests) == 1
