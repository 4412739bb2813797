"""What servers send that no screen, encoder or database would take."""

import json

import pytest

from inference.types import CancelToken, Delta, Usage
from tests.inference.backends.openai_stand_in import (
    COUNTS,
    DEADLINES,
    DONE,
    KEY,
    REQUEST,
    connected,
    end,
    head,
    part,
    say,
    usage,
)


def read(provider):
    with connected(provider.url) as backend:
        return list(backend.stream(REQUEST, DEADLINES, CancelToken()))


def text_of(items):
    return "".join(item.text for item in items if isinstance(item, Delta))


def escaped(text):
    """A delta whose text is written in escapes, as half a character has to be."""
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["a\ud83c", "\udfd5b"], "a🏕b"),
        (["\ud83c", "\udfd5"], "🏕"),
        (["a\ud83cb"], "a\ufffdb"),
        (["a\udfd5c"], "a\ufffdc"),
        (["a\ud83c", "b"], "a\ufffdb"),
        (["a\0b", "\0", "c"], "abc"),
        (["a\ud83c"], "a"),
    ],
)
def test_a_text_can_be_stored(provider, pieces, text):
    provider.answer = [head(), *map(escaped, pieces), end(), DONE]
    found = text_of(read(provider))
    assert found == text
    assert found.encode()


def test_names_are_short_and_of_one_line(provider):
    long = {"model": "m\n\0" * 500, "id": "chatcmpl-" + "x" * 900}
    provider.answer = [head(), part({"content": "a"}, "stop", **long), DONE]
    completion = read(provider)[-1]
    assert completion.model.startswith("mmm")
    assert completion.request_id.startswith("chatcmpl-x")
    assert max(len(completion.model), len(completion.request_id)) <= 200


@pytest.mark.parametrize("count", [10**12, -1, True, 2.5, "9", None])
def test_counts_that_cannot_be_are_none(provider, count):
    wrong = usage(**{**COUNTS, "completion_tokens": count})
    provider.answer = [head(), say("a"), end(), wrong, DONE]
    assert read(provider)[-1].usage is None


def test_parts_are_no_larger_than_the_whole(provider):
    details = {
        "prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 50},
        "completion_tokens_details": {"reasoning_tokens": 50},
    }
    provider.answer = [head(), say("a"), end(), usage(**COUNTS, **details), DONE]
    assert read(provider)[-1].usage == Usage(9, 2, 9, 2, 0)


def test_a_name_that_holds_the_key_is_shown_without_it(provider):
    provider.answer = [head(x_request_id=f"req-{KEY}"), say("a"), end(), DONE]
    assert read(provider)[-1].request_id == "req-[key]"
