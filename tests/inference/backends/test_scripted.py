import time

import pytest

from inference.backends.scripted import ScriptedBackend, Step, parse_script
from inference.errors import Unavailable
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    Usage,
)

REQUEST = CompletionRequest((ChatMessage("user", "two boots"),), max_tokens=3)


def play(script, request=REQUEST, cancel=None):
    backend = ScriptedBackend("demo", [script])
    return list(backend.stream(request, Deadlines(), cancel or CancelToken()))


def test_reads_a_script():
    script = parse_script('say "Hi \\n"\n\n  pause 0.5\nfail Unavailable\n')
    assert script == (
        Step("say", "Hi \n"),
        Step("pause", "0.5"),
        Step("fail", "Unavailable"),
    )


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("pace -1", "line 1: pace needs seconds"),
        ("shout hello", "line 1: no verb 'shout'"),
        ("say a\npause", "line 2: could not convert"),
        ("fail Nothing", "line 1: no error 'Nothing'"),
        ("finish never", "line 1: 'never' is not a valid"),
        ("say", "line 1: say needs a text"),
    ],
)
def test_names_the_line_at_fault(script, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_script(script)


def test_echoes_and_counts_words():
    assert play("echo") == [
        Delta("two"),
        Delta(" boots"),
        Completion(FinishReason.STOP, Usage(2, 2), "script"),
    ]


def test_a_nonce_is_another_word_in_each_call_and_the_same_within():
    first, again, _ = play("nonce\nnonce")
    other, _ = play("nonce")
    assert first == again != other
    assert first.text.strip().isalpha()


def test_stops_at_the_limit():
    assert play("say a b\nsay c\nsay d")[-1].finish_reason is FinishReason.LENGTH


def test_fails_after_a_delta():
    stream = ScriptedBackend("demo", ["say a\nfail Unavailable"]).stream(
        REQUEST, Deadlines(), CancelToken()
    )
    assert next(stream) == Delta("a")
    with pytest.raises(Unavailable):
        next(stream)


def test_keeps_a_pace():
    began_s = time.monotonic()
    assert len(play("pace 0.05\necho\nsay done")) == 4
    assert time.monotonic() - began_s >= 0.15


def test_a_late_delta_does_not_delay_what_follows():
    script = parse_script("pace 0.4\nsay a\nsay b\nsay c")
    stream = ScriptedBackend("demo", [script]).stream(
        REQUEST, Deadlines(), CancelToken()
    )
    next(stream)
    time.sleep(0.8)
    began_s = time.monotonic()
    assert len(list(stream)) == 3
    assert time.monotonic() - began_s < 0.4


@pytest.mark.parametrize("script", ["hang", "pause 30", "pace 30\necho", "say a"])
def test_notices_a_cancel(script):
    cancel = CancelToken()
    cancel.cancel()
    assert [item.finish_reason for item in play(script, cancel=cancel)] == ["cancelled"]


def test_a_cut_stream_has_no_completion():
    assert play("say a\ncut\nsay b") == [Delta("a")]


def test_plays_its_scripts_in_turn():
    backend = ScriptedBackend("demo", ["say a", "say b"])
    texts = [
        next(backend.stream(REQUEST, Deadlines(), CancelToken())).text for _ in range(3)
    ]
    assert texts == ["a", "b", "b"]
    assert backend.num_closed_early == 3
