"""Who is suspected, kept apart, convicted and acquitted; without an engine."""

from dataclasses import replace

import pytest

from inference.engine.black_box import Moment
from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.reception import Reception
from inference.engine.suspects import Involved, Suspects, build_fingerprint
from inference.engine.wire import Finished
from inference.errors import Poisonous
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    FinishReason,
    Quotable,
    Usage,
)


def die(suspects, *involved, is_from_outside=False):
    """Let the engine die of some; return the culprit."""
    culprit = suspects.convict(involved)
    if culprit is None:
        suspects.note_death(involved, is_from_outside)
    return culprit


def writing(*names):
    return [Involved(name, num_shown=10) for name in names]


def test_one_death_convicts_nobody():
    suspects = Suspects()
    assert die(suspects, *writing("a")) is None
    assert (suspects.is_apart("a"), suspects.is_culprit("a")) == (True, False)


def test_the_second_death_convicts_the_one_that_was_there_both_times():
    suspects = Suspects()
    die(suspects, *writing("a", "b"))
    assert die(suspects, *writing("b", "c", "d")) == "b"
    assert [suspects.is_culprit(name) for name in "abcd"] == [False, True, False, False]
    assert not suspects.is_apart("c")


def test_a_prompt_that_was_read_is_suspected_before_replies_that_were_written():
    suspects = Suspects()
    die(suspects, Involved("new", is_reading=True), *writing("old"))
    assert (suspects.is_apart("new"), suspects.is_apart("old")) == (True, False)


def test_two_that_were_there_twice_are_both_kept_apart():
    suspects = Suspects()
    die(suspects, *writing("a", "b"), is_from_outside=True)
    assert not suspects.is_apart("a")
    assert die(suspects, *writing("a", "b"), is_from_outside=True) is None
    assert suspects.is_apart("a")
    assert suspects.is_apart("b")
    assert die(suspects, *writing("a")) == "a"


def test_an_answer_acquits():
    suspects = Suspects()
    die(suspects, *writing("a"))
    suspects.acquit("a")
    assert die(suspects, *writing("a")) is None


def test_a_stop_acquits_nobody():
    reception = Reception(EngineConfig("-"), HostPolicy())
    request = CompletionRequest((ChatMessage("user", "hemlock"),), 64)

    def begin():
        return reception.admit(request, None, lambda key: None)

    def die_of(ticket):
        moment = Moment(reading=(ticket.key,))
        involved = reception.lose_all(moment, "it aborted")
        reception.suspects.note_death(involved, is_from_outside=False)

    die_of(begin())
    stopped = Completion(FinishReason.CANCELLED, Usage(0, 0), "m")
    reception.end(Finished(begin().key, stopped))
    again = begin()
    assert again.is_held
    die_of(again)
    with pytest.raises(Poisonous):
        begin()


def test_past_the_fatal_place_it_is_like_any_other():
    suspects = Suspects()
    die(suspects, Involved("a", num_shown=10))
    assert suspects.is_apart("a", num_shown=10)
    assert not suspects.is_apart("a", num_shown=11)


def test_a_suspect_past_its_place_does_not_cover_the_culprit_that_came_beside_it():
    suspects = Suspects()
    die(suspects, Involved("good", is_reading=True), Involved("bad", is_reading=True))
    beside = Involved("good", num_shown=11)
    assert die(suspects, Involved("bad", is_reading=True), beside) == "bad"


def test_one_that_dies_later_each_time_is_convicted_all_the_same():
    suspects = Suspects()
    die(suspects, *writing("a"))
    assert die(suspects, Involved("a", num_shown=25)) == "a"


def test_an_engine_that_died_idle_blames_nobody():
    suspects = Suspects()
    assert die(suspects) is None
    assert suspects.num_culprits == 0


def test_it_forgets_the_oldest_of_very_many():
    suspects = Suspects()
    for number in range(1001):
        die(suspects, *writing(str(number)))
    assert (suspects.is_apart("0"), suspects.is_apart("1000")) == (False, True)


def test_a_request_is_known_again_whatever_it_is_called():
    request = CompletionRequest(
        (ChatMessage("user", "Tent \ud800?"),), 9, quotable=(Quotable("A."),)
    )
    again = replace(request, request_id="another turn")
    other = replace(request, max_tokens=8)
    assert build_fingerprint(request) == build_fingerprint(again)
    assert build_fingerprint(request) != build_fingerprint(other)
    assert "Tent" not in build_fingerprint(request)
