"""Grammars on llama.cpp's own sampler, with the vocabulary of the test model."""

import json

import numpy as np
import pytest

from inference.engine.binding import LlamaRunner
from inference.engine.chat_template import Segment
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.grammar import MAX_CHARACTERS, MAX_DEPTH
from inference.engine.operations import Truncate
from inference.engine.scheduler import Step
from inference.engine.wire import Finished, Refused, Text
from inference.errors import RequestRejected
from inference.types import ChatMessage, CompletionRequest, FinishReason

SCHEMA = {
    "type": "object",
    "properties": {
        "days": {"type": "integer"},
        "kind": {"enum": ["tent", "boots"]},
    },
    "required": ["days", "kind"],
}


@pytest.fixture(scope="module")
def runner(model_path):
    runner = LlamaRunner(EngineConfig(model_path, num_cells=1024, num_threads=1))
    yield runner
    runner.close()


@pytest.fixture(autouse=True)
def _clear_cache(runner):
    clear(runner)


def clear(runner):
    runner.compute(Step(tuple(Truncate(slot, 0) for slot in range(runner.num_slots))))


def ask(max_tokens=60, **options):
    messages = (ChatMessage("user", "How long does a repair take?"),)
    return CompletionRequest(messages, max_tokens, **options)


def write(runner, *requests):
    """Return each reply's text and how it ended."""
    engine = Engine(runner, EngineConfig("-", num_cells=runner.num_cells))
    texts: dict[str, str] = {}
    ends: dict[str, object] = {}
    events = [
        event
        for number, request in enumerate(requests)
        for event in engine.submit(str(number), request)
    ]
    while engine.has_work or events:
        for event in events or engine.step():
            if isinstance(event, Text):
                texts[event.key] = texts.get(event.key, "") + event.text
            elif isinstance(event, Refused):
                ends[event.key] = event.error
            elif isinstance(event, Finished):
                ends[event.key] = event.completion.finish_reason
        events = []
    return [(texts.get(key, ""), ends[key]) for key in sorted(ends, key=int)]


def tokens_of(runner, text):
    return runner.tokenize([Segment(text, is_markup=False)])


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "seed": 4}])
def test_a_reply_keeps_to_its_grammar_and_ends_with_it(runner, options):
    grammar = 'root ::= "It takes " [0-9]{1,3} " days."'
    [(text, end)] = write(runner, ask(grammar=grammar, **options))
    number = text.removeprefix("It takes ").removesuffix(" days.")
    assert number.isdecimal()
    assert end is FinishReason.STOP


@pytest.mark.parametrize("seed", range(3))
def test_a_reply_keeps_to_its_schema(runner, seed):
    [(text, end)] = write(runner, ask(json_schema=SCHEMA, temperature=1.0, seed=seed))
    assert end is FinishReason.STOP
    reply = json.loads(text)
    assert isinstance(reply["days"], int)
    assert reply["kind"] in {"tent", "boots"}


def test_a_grammar_binds_its_own_reply_only(runner):
    free = write(runner, ask())
    clear(runner)
    both = write(runner, ask(grammar='root ::= "yes" | "no"'), ask())
    assert both[0][0] in {"yes", "no"}
    assert both[1] == free[0]


def test_an_open_grammar_may_go_on(runner):
    [(text, end)] = write(runner, ask(20, grammar="root ::= [a-z ]+", temperature=1.0))
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz ")
    assert end in {FinishReason.STOP, FinishReason.LENGTH}


def test_allows_what_comes_next_and_nothing_else(runner):
    grammar = runner.build_grammar(ask(grammar='root ::= "Yes"'))
    [yes] = tokens_of(runner, "Yes")
    [no] = tokens_of(runner, "No")
    assert (grammar.allows(yes), grammar.allows(no)) == (True, False)
    grammar.accept(yes)
    ends = [token for token in range(4096) if runner.is_end(token)]
    assert not grammar.allows(yes)
    assert [grammar.allows(token) for token in ends] == [True] * len(ends)
    grammar.close()


def test_a_mask_keeps_the_likeliest_that_fit(runner):
    grammar = runner.build_grammar(ask(grammar='root ::= "Yes" | "No"'))
    logits = np.linspace(1, 0, 4096, dtype=np.float32)
    kept = np.flatnonzero(np.isfinite(grammar.mask(logits)))
    assert {runner.piece_of(int(token)) for token in kept} <= {
        piece.encode() for piece in ("Y", "Ye", "Yes", "N", "No")
    }
    assert logits[0] == 1.0
    grammar.close()


def test_a_mask_looks_at_the_whole_vocabulary_if_need_be(runner):
    [yes] = tokens_of(runner, "Yes")
    grammar = runner.build_grammar(ask(grammar='root ::= "Yes"'))
    logits = np.ones(4096, np.float32)
    logits[[yes, *tokens_of(runner, "Y"), *tokens_of(runner, "Ye")]] = -5.0
    kept = np.flatnonzero(np.isfinite(grammar.mask(logits)))
    assert yes in kept
    grammar.close()


def test_what_is_not_allowed_is_not_accepted(runner):
    grammar = runner.build_grammar(ask(grammar='root ::= "Yes"'))
    [no] = tokens_of(runner, "No")
    with pytest.raises(ValueError, match="does not allow"):
        grammar.accept(no)
    grammar.close()


def test_special_tokens_are_no_text(runner):
    grammar = runner.build_grammar(ask(grammar="root ::= [^x]*"))
    [start] = runner.tokenize([Segment("<|im_start|>", is_markup=True)])
    assert not grammar.allows(start)
    assert np.isneginf(grammar.mask(np.ones(4096, np.float32))[start])
    grammar.close()


@pytest.mark.parametrize(
    ("grammar", "complaint"),
    [
        (" ", "is empty"),
        ('root ::= "a\0"', "is empty"),
        ('root ::= "\ud800"', "is no text"),
        ("hello", "cannot be read"),
        ('answer ::= "yes"', "has no rule `root`"),
        ("root ::= missing", "cannot be read"),
        ('root ::= root "a" | "b"', "cannot be read"),
        ('root ::= "a"{5,2}', "must be a range up to"),
        ('root ::= "a"{1,100000}', "must be a range up to"),
        ('root ::= "a"{' + "9" * 30 + "}", "is no repetition"),
        ('root ::= ("a"{1,1000}){1,1000}', "cannot be read"),
        ("root ::= " + "(" * (MAX_DEPTH + 1), "nests deeper"),
        ("root ::= " + '"a"' * MAX_CHARACTERS, "is longer than"),
    ],
)
def test_refuses_what_it_cannot_read(runner, grammar, complaint):
    [(text, error)] = write(runner, ask(grammar=grammar))
    assert (text, type(error)) == ("", RequestRejected)
    assert complaint in str(error)


def test_brackets_in_literals_and_comments_are_text(runner):
    grammar = 'root ::= "{5,2}" [{(\\]] "\\"(" # ((({9,1}\n'
    [(text, _)] = write(runner, ask(grammar=grammar))
    assert text in {'{5,2}{"(', '{5,2}("(', '{5,2}]"('}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nothing"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/nowhere"},
        {"type": "string", "pattern": "no anchors"},
        {"type": "string", "pattern": "^}$"},
        {"enum": []},
        {"properties": 5},
        {"const": "x" * MAX_CHARACTERS},
    ],
)
def test_refuses_schemas_it_does_not_understand(runner, schema):
    [(_, error)] = write(runner, ask(json_schema=schema))
    assert type(error) is RequestRejected


def test_an_ambiguous_grammar_that_would_hold_up_others_is_given_up(
    runner, monkeypatch
):
    monkeypatch.setattr("inference.engine.grammar.MAX_MASK_S", 0.0)
    [(_, error)] = write(runner, ask(grammar='root ::= "It"'))
    assert "too slow" in str(error)
