"""The history checker finds each fault that is planted, and no other."""

import pytest

from support.management.loadtest.history import (
    Event,
    Left,
    Received,
    Sent,
    Stored,
    check,
)
from support.management.loadtest.screen import Kind
from tests.faults.made_up import (
    ANSWERS,
    CHAT,
    MARKS,
    OTHER,
    QUESTIONS,
    ack,
    clean_history,
    delta,
    done,
    edited,
    inserted,
    late_reader,
    message,
    place,
    removed,
    reset,
    restored,
    stored_messages,
    turn_frame,
)


def kinds(events, marks=MARKS) -> set[Kind]:
    return {violation.kind for violation in check(events, marks)}


def drop_visitors_messages(events) -> None:
    """Only the visitor has seen what the database has lost."""
    events[:] = [
        event
        for event in events
        if not (isinstance(event, Received) and event.observer != "visitor")
    ]
    events[-1] = Stored(CHAT, [])


def swap_screens(events) -> None:
    """The first question and its answer come to the visitor in the wrong order."""
    first = place(events, "visitor", "message")
    last = place(events, "visitor", "done")
    events[first], events[last] = events[last], events[first]


def lose_first_ack(messages) -> None:
    del messages[:2]
    for number, item in enumerate(messages, start=1):
        item["seq"] = number


LOST = {
    "an acknowledged message is not stored": restored(lose_first_ack),
    "nothing is stored at all": drop_visitors_messages,
    "a reply that was shown is not stored": restored(lambda stored: stored.pop()),
}
UNANSWERED = {
    "a question has no outcome": restored(lambda stored: stored.pop(1)),
}
GAP = {
    "a number is left out in the database": restored(lambda stored: stored.pop(1)),
    "a number is left out on a screen": removed("visitor", "message", 1),
    "a screen never shows the last reply": removed("late", "done"),
    "a screen never shows the first messages": edited(
        "late", "welcome", 0, has_more=False
    ),
}
DOUBLED = {
    "a message is stored twice": restored(
        lambda stored: stored.append(stored[2] | {"seq": 5, "id": "id-5"})
    ),
    "one id stands at two places": restored(
        lambda stored: stored.append(message(5, "assistant", "x", id="id-4"))
    ),
    "a place is taken twice": restored(
        lambda stored: stored.append(message(4, "assistant", "x", id="id-9"))
    ),
    "a message is acknowledged as two": inserted(
        "visitor", "ack", 0, ack(1) | {"seq": 7, "message": "id-7"}
    ),
    "a message has two turns": inserted(
        "visitor", "ack", 0, ack(1) | {"turn": "turn-9"}
    ),
}
TWO_OUTCOMES = {
    "a question is answered twice on one screen": inserted(
        "visitor", "done", 2,
        done(1) | {"message": message(5, "assistant", "again", turn="turn-1")},
    ),
    "an answered question fails afterwards": inserted(
        "visitor", "done", 0, done(1, attempt=2) | {"state": "failed"}
    ),
    "two answers are stored": restored(
        lambda stored: stored.append(message(5, "assistant", "again", turn="turn-1"))
    ),
    "two screens see two ends": edited("tab", "done", 0, content="another end"),
    "a second answer is begun": inserted(
        "visitor", "done", 0, delta("turn-1", 3, 0, "again")
    ),
}  # fmt: skip
DISORDER = {
    "an earlier message comes later": swap_screens,
    "an answer stands before its question": restored(
        lambda stored: (stored[0].update(seq=2), stored[1].update(seq=1))
    ),
}
DIVERGED = {
    "two screens have two messages at one place": edited("tab", "message", 0, id="x"),
    "the database has another message there": restored(
        lambda stored: stored[3].update(id="x")
    ),
    "older messages are others": lambda events: (
        events[place(events, "late", "history")].frame["messages"][0].update(id="x")
    ),
}
TORN = {
    "a piece of text is missing": removed("visitor", "delta", 2),
    "a piece of text is other than before": edited(
        "visitor", "delta", 3, text="other text"
    ),
    "text goes on in another attempt": removed("visitor", "reset"),
    "the reply is not what was shown": edited("visitor", "done", 0, content="else"),
    "the reply is shorter than what was shown": edited(
        "visitor", "done", 1, content="second"
    ),
    "a worker that was replaced ends the turn": edited(
        "visitor", "delta", 6, attempt=3
    ),
    "who left in the middle saw something else": edited("tab", "delta", 6, text="fals"),
}
CHANGED = {
    "a message looks different on the second tab": edited(
        "tab", "message", 0, content="nothing of the kind"
    ),
    "a message is sent again with other text": inserted(
        "visitor", "done", 0,
        {"type": "message", "message": stored_messages()[0] | {"notice": "x"}},
    ),
    "a question is stored with other text": restored(
        lambda stored: stored[0].update(content="nothing of the kind")
    ),
    "a reply is stored with other text": restored(
        lambda stored: stored[3].update(content="nothing of the kind")
    ),
    "a message is stored elsewhere than acknowledged": edited(
        "visitor", "ack", 2, turn="turn-9"
    ),
}  # fmt: skip
FOREIGN = {
    "a delta has another one's word": edited("tab", "delta", 0, text=MARKS[OTHER]),
    "two deltas have another one's word together": lambda events: (
        edited("tab", "delta", 0, text=MARKS[OTHER][:5])(events),
        edited("tab", "delta", 1, offset=5, text=MARKS[OTHER][5:])(events),
    ),
    "a reply has another one's word": edited("tab", "done", 0, content=MARKS[OTHER]),
    "older messages have another one's word": lambda events: (
        events[place(events, "late", "history")]
        .frame["messages"][0]
        .update(html=f"<p>{MARKS[OTHER].upper()}</p>")
    ),
    "an error has another one's word": inserted(
        "visitor", "ack", 0, {"type": "error", "code": "x", "message": MARKS[OTHER]}
    ),
    "the database has another one's word": restored(
        lambda stored: stored[3].update(content=MARKS[OTHER])
    ),
}
UNASKED = {
    "a message appears that nobody sent": restored(
        lambda stored: stored.append(message(5, "user", "hi", client_id="client-9"))
    ),
    "an answer appears that nobody asked for": restored(
        lambda stored: stored.append(message(5, "assistant", "x", turn="turn-9"))
    ),
    "something is acknowledged that nobody sent": inserted(
        "tab", "welcome", 0, ack(1) | {"client_id": "client-9"}
    ),
}
PLANTED = {
    Kind.LOST: LOST,
    Kind.UNANSWERED: UNANSWERED,
    Kind.GAP: GAP,
    Kind.DOUBLED: DOUBLED,
    Kind.TWO_OUTCOMES: TWO_OUTCOMES,
    Kind.DISORDER: DISORDER,
    Kind.DIVERGED: DIVERGED,
    Kind.TORN: TORN,
    Kind.CHANGED: CHANGED,
    Kind.FOREIGN: FOREIGN,
    Kind.UNASKED: UNASKED,
}
CASES = [
    pytest.param(kind, plant, id=f"{kind}: {name}")
    for kind, plants in PLANTED.items()
    for name, plant in plants.items()
]


def test_a_clean_history_has_no_violation():
    assert check(clean_history(), MARKS) == []


def test_there_is_a_planted_fault_of_each_kind():
    assert PLANTED.keys() == set(Kind)


@pytest.mark.parametrize(("kind", "plant"), CASES)
def test_finds_what_is_planted(kind, plant):
    events = clean_history()
    plant(events)
    assert kind in kinds(events)


@pytest.mark.parametrize(("kind", "plant"), CASES)
def test_says_in_which_conversation(kind, plant):
    events = clean_history()
    plant(events)
    innocent = [
        type(event)(OTHER, *[getattr(event, name) for name in event.__slots__[1:]])
        for event in clean_history()
    ]
    found = check([*innocent, *events], {CHAT: MARKS[CHAT]})
    assert {violation.conversation for violation in found} == {CHAT}


@pytest.mark.parametrize(
    "plant",
    [
        # the tab left in the middle of the second reply
        lambda events: None,
        # nobody reads the ack, and the frame is not sent again
        removed("visitor", "ack", 2),
        # an event is lost, the replay makes up for it
        inserted("visitor", "done", 0, done(1, attempt=2)),
        # a lost buffer: the same attempt begins again, in the open
        inserted("tab", "delta", 1, reset("turn-1", 2)),
        inserted("visitor", "done", 0, turn_frame("turn-1", 2)),
        inserted("visitor", "done", 0, reset("turn-1", 2)),
        inserted("visitor", "done", 0, {"type": "novelty"}),
        edited("late", "done", 0, rating=1),
    ],
)
def test_what_the_protocol_allows_is_no_violation(plant):
    events = clean_history()
    plant(events)
    assert check(events, MARKS) == []


def test_a_message_without_an_ack_may_be_stored_or_not():
    events = clean_history()
    events.insert(0, Sent(CHAT, "client-9", "never arrived"))
    assert check(events, MARKS) == []


def test_rows_of_a_database_will_do_as_what_is_stored():
    events = clean_history()
    fields = ("id", "seq", "role", "content", "client_id", "turn")
    rows = [{name: item[name] for name in fields} for item in stored_messages()]
    events[-1] = Stored(CHAT, rows)
    assert check(events, MARKS) == []


def test_an_open_turn_may_still_be_answered():
    question = message(
        1, "user", QUESTIONS["client-1"], client_id="client-1", turn="turn-1"
    )
    events: list[Event] = [
        Sent(CHAT, "client-1", QUESTIONS["client-1"]),
        Received(CHAT, "visitor", ack(1)),
        Left(CHAT, "visitor"),
        Stored(CHAT, [question], frozenset({"turn-1"})),
    ]
    assert check(events, MARKS) == []


def test_an_ack_after_the_last_look_says_nothing_of_what_is_stored():
    events: list[Event] = [
        Sent(CHAT, "client-1", QUESTIONS["client-1"]),
        Stored(CHAT, []),
        Received(CHAT, "visitor", ack(1)),
    ]
    assert check(events, MARKS) == []


def test_every_look_after_an_ack_must_show_the_message():
    events = clean_history()
    events.insert(place(events, "visitor", "ack") + 1, Stored(CHAT, []))
    assert kinds(events) == {Kind.LOST}


def test_conversations_without_a_mark_are_not_searched_for_marks():
    events = clean_history()
    edited("tab", "delta", 0, text=MARKS[OTHER])(events)
    assert check(events) == []


def test_a_torn_reply_is_reported_once():
    events = clean_history()
    removed("visitor", "delta", 2)(events)
    assert len(check(events, MARKS)) == 1


def test_text_of_an_attempt_that_was_thrown_away_counts_as_shown():
    events = clean_history()
    edited("visitor", "delta", 0, text=f"given up by {MARKS[OTHER]}")(events)
    [violation] = check(events, MARKS)
    assert (violation.kind, violation.observer) == (Kind.FOREIGN, "visitor")


def test_late_text_after_the_end_harms_nothing():
    events = clean_history()
    late = delta("turn-2", 2, 0, ANSWERS["turn-2"][:4])
    inserted("late", "history", 0, late)(events)
    assert check(events, MARKS) == []


def test_a_page_that_is_loaded_late_needs_no_older_messages():
    events = [
        event
        for event in clean_history()
        if getattr(event, "observer", "late") == "late"
    ]
    removed("late", "history")(events)
    assert late_reader()[-1]["type"] == "history"
    assert check(events, MARKS) == []
