import math

import pytest

from inference.types import ChatMessage, CompletionRequest, SamplingParams

MESSAGES = (ChatMessage("user", "Hi"),)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"temperature": -0.1}, r"temperature must be in \[0, 2\], not -0.1"),
        ({"temperature": 2.1}, "temperature must be in"),
        ({"temperature": math.nan}, "temperature must be a number"),
        ({"temperature": "1"}, "temperature must be a number"),
        ({"temperature": True}, "temperature must be a number"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"top_p": 1.1}, "top_p must be in"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"top_k": 2.0}, "top_k must be a whole number"),
        ({"min_p": -0.1}, "min_p must be in"),
        ({"min_p": 1.1}, "min_p must be in"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be in"),
        ({"repetition_penalty": math.inf}, "repetition_penalty must be in"),
        ({"repetition_window": -1}, "repetition_window must be at least 0"),
        ({"seed": -1}, "seed must be in"),
        ({"seed": 2**63}, "seed must be in"),
        ({"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_says_what_is_out_of_range(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        SamplingParams(**values)
    with pytest.raises(ValueError, match=complaint):
        CompletionRequest(MESSAGES, 9, **values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"stop": ("a", "")}, "stop string must not be empty"),
        ({"grammar": "x", "json_schema": {}}, "a grammar and a schema at once"),
        ({"json_schema": {"a": {1, 2}}}, "the schema is not JSON"),
    ],
)
def test_refuses_requests_that_make_no_sense(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        CompletionRequest(MESSAGES, 9, **values)


def test_what_is_asked_goes_before_defaults():
    request = CompletionRequest(MESSAGES, 9, temperature=0.0, top_k=3)
    defaults = SamplingParams(temperature=0.7, top_p=0.9, seed=4)
    assert request.choose_sampling(defaults) == SamplingParams(0.0, 0.9, 3, seed=4)
