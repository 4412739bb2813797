import threading
import time

import pytest

from inference.backends.scripted import ScriptedBackend
from inference.errors import (
    Unavailable,
)
from inference.routing.router import Router
from inference.types import (
    CancelToken,
    Completion,
    Delta,
    FinishReason,
    Reset,
    Usage,
)
from tests.inference.backends.openai_stand_in import (
    DEADLINES,
    DONE,
    HANG,
    REQUEST,
    RESET,
    connected,
    end,
    head,
    part,
    say,
)

GUARD_S = 0.5  # generous: measured below 20 ms beside a training


def cancel_while(backend, provider):
    """Cancel as soon as the provider hangs; return the items and the seconds."""
    cancel = CancelToken()
    cancelled_s = []

    def cancel_it():
        assert provider.hangs.wait(5)
        time.sleep(0.05)  # let the reader block in its read
        cancelled_s.append(time.monotonic())
        cancel.cancel()

    thread = threading.Thread(target=cancel_it)
    thread.start()
    items = list(backend.stream(REQUEST, DEADLINES, cancel))
    took_s = time.monotonic() - cancelled_s[0]
    thread.join()
    return items, took_s


@pytest.mark.parametrize(
    ("answer", "texts", "model"),
    [
        ([HANG], [], "fine"),
        ([head(), HANG], [], "fine"),
        ([head(503), HANG], [], "fine"),
        ([head(transfer_encoding="chunked"), HANG], [], "fine"),
        ([head(), say("a"), say("b"), HANG], ["a", "b"], "fine-1b"),
        ([head(), say("a"), b"data: {", HANG], ["a"], "fine-1b"),
        ([head(), say("a"), end(), HANG], ["a"], "fine-1b"),
    ],
)
def test_a_cancel_ends_it_at_once(provider, answer, texts, model):
    provider.answer = answer
    with connected(provider.url) as backend:
        items, took_s = cancel_while(backend, provider)
    assert [item.text for item in items[:-1]] == texts
    assert items[-1] == Completion(FinishReason.CANCELLED, None, model)
    assert took_s < GUARD_S


def test_a_cancel_ends_a_handshake(silent):
    cancel = CancelToken()
    timer = threading.Timer(0.1, cancel.cancel)
    started_s = time.monotonic()
    timer.start()
    with connected(silent) as backend:
        items = list(backend.stream(REQUEST, DEADLINES, cancel))
    assert [item.finish_reason for item in items] == ["cancelled"]
    assert time.monotonic() - started_s < 0.1 + GUARD_S


def test_a_cancel_between_deltas_keeps_the_usage_so_far(provider):
    counted = part({"content": "a"}, usage={"prompt_tokens": 9, "completion_tokens": 1})
    provider.answer = [head(), counted, say("b"), end(), DONE]
    cancel = CancelToken()
    with connected(provider.url) as backend:
        stream = backend.stream(REQUEST, DEADLINES, cancel)
        next(stream)
        cancel.cancel()
        assert list(stream) == [
            Completion(
                FinishReason.CANCELLED, Usage(9, 1, is_estimated=True), "fine-1b"
            )
        ]


def test_a_cancelled_request_is_not_sent(provider):
    cancel = CancelToken()
    cancel.cancel()
    with connected(provider.url) as backend:
        items = list(backend.stream(REQUEST, DEADLINES, cancel))
    assert [item.finish_reason for item in items] == ["cancelled"]
    assert provider.asked == []


def test_closing_it_early_frees_the_connection(provider):
    provider.answer = [head(), say("a"), HANG]
    with connected(provider.url) as backend:
        stream = backend.stream(REQUEST, DEADLINES, CancelToken())
        next(stream)
        closed_s = time.monotonic()
        stream.close()
        while not provider.hung_up_s:
            assert time.monotonic() - closed_s < GUARD_S
            time.sleep(0.005)


def test_closing_the_backend_fails_calls_in_flight(provider):
    provider.answer = [HANG]
    closed_s = []
    with connected(provider.url) as backend:

        def close_it():
            assert provider.hangs.wait(5)
            closed_s.append(time.monotonic())
            backend.close()

        thread = threading.Thread(target=close_it)
        thread.start()
        with pytest.raises(Unavailable):
            next(backend.stream(REQUEST, DEADLINES, CancelToken()))
        assert time.monotonic() - closed_s[0] < GUARD_S
        thread.join()
        with pytest.raises(Unavailable):
            next(backend.stream(REQUEST, DEADLINES, CancelToken()))


def test_the_router_falls_over_from_it_in_mid_stream(provider):
    provider.answer = [head(), say("Hel"), RESET]
    spare = ScriptedBackend("spare", ["say Good day"])
    deadlines = {"cloud": DEADLINES, "spare": DEADLINES}
    reports = []
    with connected(provider.url) as backend:
        items = list(
            Router(retry_pause_s=0.0).route(
                REQUEST, [backend, spare], deadlines, CancelToken(), reports.append
            )
        )
    seen = [item for item in items if isinstance(item, Delta | Reset)]
    assert seen == [Delta("Hel"), Reset("cloud", "Interrupted"), Delta("Good day")]
    assert items[-1].text == "Good day"
    assert [report.error for report in reports] == ["Interrupted", ""]
