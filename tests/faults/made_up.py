"""Histories that never happened: a clean one, and its parts for planting faults."""

from collections.abc import Callable
from copy import deepcopy

from support.management.loadtest.history import Event, Left, Received, Sent, Stored
from support.management.loadtest.marks import build_mark

CHAT, OTHER = "chat", "other"
MARKS = {CHAT: build_mark("aaaaa", 1), OTHER: build_mark("aaaaa", 2)}
QUESTIONS = {"client-1": f"one {MARKS[CHAT]}", "client-2": f"two {MARKS[CHAT]}"}
ANSWERS = {"turn-1": f"first {MARKS[CHAT]} text", "turn-2": "second text"}


def message(seq: int, role: str, content: str, **fields) -> dict:
    """Return the protocol's message object, as far as the checker looks."""
    return {
        "id": f"id-{seq}", "seq": seq, "role": role, "content": content,
        "client_id": None, "turn": None, "notice": None, "state": None, "rating": 0,
    } | fields  # fmt: skip


def stored_messages() -> list[dict]:
    messages = []
    for number in (1, 2):
        client_id, turn = f"client-{number}", f"turn-{number}"
        question, answer = QUESTIONS[client_id], ANSWERS[turn]
        messages += [
            message(2 * number - 1, "user", question, client_id=client_id, turn=turn),
            message(2 * number, "assistant", answer, turn=turn, state="answered"),
        ]  # fmt: skip
    return messages


def welcome(**fields) -> dict:
    return {"type": "welcome", "has_more": False, "last_seq": 0} | fields


def ack(number: int) -> dict:
    seq = 2 * number - 1
    return {
        "type": "ack", "client_id": f"client-{number}", "seq": seq,
        "message": f"id-{seq}", "turn": f"turn-{number}",
    }  # fmt: skip


def turn_frame(turn: str, attempt: int, state: str = "running") -> dict:
    return {"type": "turn", "turn": turn, "attempt": attempt, "state": state}


def delta(turn: str, attempt: int, offset: int, text: str) -> dict:
    return {
        "type": "delta", "turn": turn, "attempt": attempt, "offset": offset,
        "text": text,
    }  # fmt: skip


def reset(turn: str, attempt: int) -> dict:
    return {"type": "reset", "turn": turn, "attempt": attempt}


def done(number: int, attempt: int = 1) -> dict:
    return {
        "type": "done", "turn": f"turn-{number}", "attempt": attempt,
        "state": "answered", "message": stored_messages()[2 * number - 1],
    }  # fmt: skip


def _first_turn() -> list[dict]:
    """A turn whose first attempt is thrown away in the open."""
    text = ANSWERS["turn-1"]
    return [
        {"type": "message", "message": stored_messages()[0]},
        turn_frame("turn-1", 0, "queued"),
        turn_frame("turn-1", 1),
        delta("turn-1", 1, 0, "given up"),
        reset("turn-1", 2),
        delta("turn-1", 1, 8, " too late"),
        delta("turn-1", 2, 0, text[:9]),
        delta("turn-1", 2, 5, text[5:14]),
        delta("turn-1", 2, 14, text[14:]),
        done(1, attempt=2),
        delta("turn-1", 2, 14, text[14:]),
    ]


def _second_turn() -> list[dict]:
    """A turn whose worker dies before the first word; the observer reconnects."""
    text = ANSWERS["turn-2"]
    return [
        {"type": "message", "message": stored_messages()[2]},
        turn_frame("turn-2", 1),
        turn_frame("turn-2", 2),
        delta("turn-2", 2, 0, text[:4]),
        welcome(last_seq=3),
        turn_frame("turn-2", 2),
        delta("turn-2", 2, 4, text[4:]),
        done(2, attempt=2),
        done(2, attempt=2),
    ]


def clean_history() -> list[Event]:
    """Two questions, seen by a visitor, a second tab that leaves, and a late reader."""
    visitor = [welcome(), ack(1), *_first_turn(), ack(1), ack(2), *_second_turn()]
    tab = [welcome(), *_first_turn(), *_second_turn()[:4]]
    events: list[Event] = [
        Sent(CHAT, client_id, content)
        for client_id, content in [*QUESTIONS.items(), *QUESTIONS.items()]
    ]
    events += [Received(CHAT, "visitor", frame) for frame in visitor]
    events += [Received(CHAT, "tab", frame) for frame in tab]
    events.append(Left(CHAT, "tab"))
    events += [Received(CHAT, "late", frame) for frame in late_reader()]
    events.append(Stored(CHAT, stored_messages()))
    return deepcopy(events)


def late_reader() -> list[dict]:
    """A page loaded at the end, which gets the latest messages and asks for older."""
    older = {"type": "history", "messages": stored_messages()[:2], "has_more": False}
    newest = {"type": "message", "message": stored_messages()[2]}
    return [welcome(has_more=True), newest, done(2, attempt=2), older]


def place(events: list[Event], observer: str, kind: str, nth: int = 0) -> int:
    """Return where the nth frame of a kind came to an observer."""
    places = [
        number
        for number, event in enumerate(events)
        if isinstance(event, Received)
        and event.observer == observer
        and event.frame["type"] == kind
    ]
    return places[nth]


def inserted(observer: str, after: str, nth: int, frame: dict) -> Callable:
    """Return a fault: one more frame after another."""

    def plant(events: list[Event]) -> None:
        at = place(events, observer, after, nth) + 1
        events.insert(at, Received(CHAT, observer, frame))

    return plant


def removed(observer: str, kind: str, nth: int = 0) -> Callable:
    """Return a fault: one frame less."""

    def plant(events: list[Event]) -> None:
        events.pop(place(events, observer, kind, nth))

    return plant


def edited(observer: str, kind: str, nth: int, **fields) -> Callable:
    """Return a fault: a frame, or its message, with other fields."""

    def plant(events: list[Event]) -> None:
        frame = events[place(events, observer, kind, nth)].frame
        target = frame["message"] if kind in ("done", "message") else frame
        target.update(fields)

    return plant


def restored(change: Callable, open_turns: frozenset[str] = frozenset()) -> Callable:
    """Return a fault: something else is stored."""

    def plant(events: list[Event]) -> None:
        messages = stored_messages()
        change(messages)
        events[-1] = Stored(CHAT, messages, open_turns)

    return plant
