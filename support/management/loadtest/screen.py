"""What one client shows, by docs/protocol.md, and where a server breaks its rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Frame = Mapping[str, Any]


class Kind(StrEnum):
    """The ways in which a promise of the chat can be broken."""

    LOST = "lost"  # acknowledged or shown, and not stored
    UNANSWERED = "unanswered"  # a stored question has no outcome, nor will it get one
    GAP = "gap"  # a number is left out
    DOUBLED = "doubled"  # one message, stored or acknowledged twice
    TWO_OUTCOMES = "two outcomes"  # one question, ended twice
    DISORDER = "disorder"  # a message came after a later one
    DIVERGED = "diverged"  # two observers have different messages at one place
    TORN = "torn"  # text is missing, repeated, or of two attempts
    CHANGED = "changed"  # a message is not what it was
    FOREIGN = "foreign"  # text of another conversation
    UNASKED = "unasked"  # a message that nobody sent


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken rule, and where it was seen."""

    kind: Kind
    detail: str


@dataclass(slots=True)
class ShownReply:
    """The text of a reply that grows; once torn, it is not looked at any more."""

    attempt: int
    text: str = ""
    is_torn: bool = False


class Screen:
    """The messages and growing replies of one client, from an empty screen on.

    It may be disconnected and go on: what it shows is what its next hello says.
    """

    def __init__(self) -> None:
        self.messages: dict[int, Frame] = {}
        self.replies: dict[str, ShownReply] = {}
        self.outcomes: dict[str, Frame] = {}
        self._newest = 0
        self._may_skip = False

    @property
    def position(self) -> dict[str, object]:
        """Return what a hello says of this screen."""
        seq = min(self.messages, default=1)
        while seq in self.messages:
            seq += 1
        position: dict[str, object] = {"last_seq": seq - 1}
        for turn, reply in self.replies.items():
            position |= {"turn": turn, "attempt": reply.attempt}
            position["offset"] = len(reply.text)
        return position

    def apply(self, frame: Frame) -> list[Fault]:
        """Show a frame of the server; return what is wrong with it."""
        show = _SHOW.get(frame["type"])
        return show(self, frame) if show else []

    def _welcome(self, frame: Frame) -> list[Fault]:
        self._may_skip = frame["has_more"]
        return []

    def _message(self, frame: Frame) -> list[Fault]:
        message = frame["message"]
        seq = message["seq"]
        faults = self._keep(message)
        if seq < self._newest and seq not in self.messages:
            faults.append(Fault(Kind.DISORDER, f"seq {seq} after {self._newest}"))
        if seq > self._newest + 1 and not self._may_skip:
            faults.append(Fault(Kind.GAP, f"seq {seq} after {self._newest}"))
        self.messages.setdefault(seq, message)
        self._newest = max(seq, self._newest)
        self._may_skip = False
        return faults

    def _keep(self, message: Frame) -> list[Fault]:
        known = self.messages.get(message["seq"], message)
        return compare_messages(known, message)

    def _history(self, frame: Frame) -> list[Fault]:
        faults = []
        for message in frame["messages"]:
            faults += self._keep(message)
            self.messages.setdefault(message["seq"], message)
        return faults

    def _turn(self, frame: Frame) -> list[Fault]:
        """A turn begins, or begins again; text that is shown waits for its reset."""
        turn, attempt = frame["turn"], frame["attempt"]
        reply = self.replies.get(turn)
        if turn not in self.outcomes and attempt and not (reply and reply.text):
            self.replies[turn] = ShownReply(attempt)
        return []

    def _reset(self, frame: Frame) -> list[Fault]:
        turn, attempt = frame["turn"], frame["attempt"]
        reply = self.replies.get(turn)
        if turn not in self.outcomes and (reply is None or attempt >= reply.attempt):
            self.replies[turn] = ShownReply(attempt)
        return []

    def _delta(self, frame: Frame) -> list[Fault]:
        turn, attempt = frame["turn"], frame["attempt"]
        if turn in self.outcomes:
            is_late = attempt <= self.outcomes[turn]["attempt"]
            detail = f"turn {turn}: text of attempt {attempt} after its end"
            return [] if is_late else [Fault(Kind.TWO_OUTCOMES, detail)]
        reply = self.replies.setdefault(turn, ShownReply(attempt))
        if attempt < reply.attempt or reply.is_torn:
            return []
        if attempt > reply.attempt and reply.text:
            return _tear(reply, f"turn {turn}: attempt {attempt} without a reset")
        reply.attempt = attempt
        return _merge(reply, turn, frame["offset"], frame["text"])

    def _done(self, frame: Frame) -> list[Fault]:
        turn, attempt, message = frame["turn"], frame["attempt"], frame["message"]
        faults = self._message(frame)
        known = self.outcomes.setdefault(turn, frame)
        if describe_outcome(known) != describe_outcome(frame):
            detail = f"turn {turn}: seq {known['message']['seq']} and {message['seq']}"
            faults.append(Fault(Kind.TWO_OUTCOMES, detail))
        reply = self.replies.pop(turn, ShownReply(attempt))
        if reply.text and reply.attempt > attempt:
            detail = f"turn {turn}: attempt {attempt} ended it, not {reply.attempt}"
            faults.append(Fault(Kind.TORN, detail))
        return faults + check_prefix(reply, frame)


def compare_messages(known: Frame, message: Frame) -> list[Fault]:
    """Return what differs between two looks at one place, of what both have.

    A rating may change.
    """
    seq = message["seq"]
    if known["id"] != message["id"]:
        return [Fault(Kind.DIVERGED, f"seq {seq}: {known['id']} and {message['id']}")]
    changed = [
        name
        for name in sorted(known.keys() & message.keys())
        if known[name] != message[name] and name != "rating"
    ]
    return [Fault(Kind.CHANGED, f"seq {seq}: {', '.join(changed)}")] if changed else []


def check_prefix(reply: ShownReply, done: Frame) -> list[Fault]:
    """Return a fault if a shown text is not the beginning of its attempt's reply."""
    is_same = reply.attempt == done["attempt"] and not reply.is_torn
    if not is_same or done["message"]["content"].startswith(reply.text):
        return []
    detail = f"turn {done['turn']}: shown was {reply.text[-60:]!r}, not of the reply"
    return [Fault(Kind.TORN, detail)]


def describe_outcome(done: Frame) -> tuple[object, ...]:
    """Return what makes an outcome that outcome."""
    message = done["message"]
    return done["attempt"], done["state"], message["id"], message["content"]


def _merge(reply: ShownReply, turn: str, offset: int, text: str) -> list[Fault]:
    """Add text at an offset; what is there already has to be the same."""
    shown = reply.text[offset : offset + len(text)]
    if offset > len(reply.text):
        return _tear(reply, f"turn {turn}: {offset} follows {len(reply.text)}")
    if not text.startswith(shown):
        return _tear(reply, f"turn {turn}: another text at {offset}")
    reply.text += text[len(shown) :]
    return []


def _tear(reply: ShownReply, detail: str) -> list[Fault]:
    reply.is_torn = True
    return [Fault(Kind.TORN, detail)]


_SHOW: dict[str, Callable[[Screen, Frame], list[Fault]]] = {
    "welcome": Screen._welcome,
    "message": Screen._message,
    "history": Screen._history,
    "turn": Screen._turn,
    "reset": Screen._reset,
    "delta": Screen._delta,
    "done": Screen._done,
}
