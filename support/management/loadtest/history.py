"""What was sent, received and stored, in the order of time, and what is wrong with it.

In the manner of Jepsen: clients write down what they do and see, whatever becomes of
the servers meanwhile; afterwards `check` says which promises were broken. It knows no
server and no clock, so that it can be tested with histories that are made up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from support.management.loadtest.marks import find_foreign
from support.management.loadtest.screen import (
    Fault,
    Frame,
    Kind,
    Screen,
    check_prefix,
    compare_messages,
    describe_outcome,
)

STORED = "stored"


@dataclass(frozen=True, slots=True)
class Sent:
    """A client sent a message, for the first time or again."""

    conversation: str
    client_id: str
    content: str


@dataclass(frozen=True, slots=True)
class Received:
    """A frame of the server came to an observer.

    An observer is a screen: it stays the same when it reconnects and says what it
    has; a page that is loaded anew is another one.
    """

    conversation: str
    observer: str
    frame: Frame


@dataclass(frozen=True, slots=True)
class Left:
    """An observer went away, so that it needs not show what is stored in the end."""

    conversation: str
    observer: str


@dataclass(frozen=True, slots=True)
class Stored:
    """All messages of a conversation, the protocol's objects by `seq`, as stored.

    `open_turns` are those that may still end. Rows of a database will do that have
    `id`, `seq`, `role`, `content`, `client_id` and `turn`.
    """

    conversation: str
    messages: Sequence[Frame]
    open_turns: frozenset[str] = frozenset()


Event = Sent | Received | Left | Stored


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken in a conversation."""

    kind: Kind
    conversation: str
    observer: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail} ({self.observer}, {self.conversation})"


def check(
    events: Iterable[Event], marks: Mapping[str, str] | None = None
) -> list[Violation]:
    """Return what is wrong with a history, each thing once; nothing if all is well.

    `marks` has the mark of each conversation; of those that are missing here it is
    not checked whether they show another one's text.
    """
    audits: dict[str, _Audit] = {}
    for event in events:
        key = event.conversation
        audit = audits.setdefault(key, _Audit(key, (marks or {}).get(key)))
        audit.read(event)
    return [found for audit in audits.values() for found in audit.close()]


class _Audit:
    """One conversation's history, read event by event."""

    def __init__(self, conversation: str, mark: str | None) -> None:
        self._conversation = conversation
        self._mark = mark
        self._sent: dict[str, str] = {}
        self._acks: dict[str, Frame] = {}
        self._screens: dict[str, Screen] = {}
        self._left: set[str] = set()
        self._streams: dict[tuple[str, str, int], list[str]] = defaultdict(list)
        self._stored: Stored | None = None
        self._found: dict[Violation, None] = {}

    def read(self, event: Event) -> None:
        """Take in the next event."""
        if isinstance(event, Sent):
            self._sent[event.client_id] = event.content
        elif isinstance(event, Received):
            self._receive(event.observer, event.frame)
        elif isinstance(event, Left):
            self._left.add(event.observer)
        else:
            self._stored = event
            stored = {message["client_id"] for message in event.messages}
            for client_id in self._acks.keys() - stored:
                self._add(STORED, Fault(Kind.LOST, f"{client_id} was acknowledged"))

    def close(self) -> list[Violation]:
        """Return all that was found, with what only the end can tell."""
        for (observer, turn, _), texts in self._streams.items():
            self._find_foreign(observer, "".join(texts), f"streamed in turn {turn}")
        self._compare_outcomes()
        if self._stored is not None:
            self._check_stored(self._stored)
            self._check_questions(self._stored)
        self._compare_screens()
        return list(self._found)

    def _add(self, observer: str, *faults: Fault) -> None:
        for fault in faults:
            violation = Violation(
                fault.kind, self._conversation, observer, fault.detail
            )
            self._found[violation] = None

    # While events come

    def _receive(self, observer: str, frame: Frame) -> None:
        screen = self._screens.setdefault(observer, Screen())
        self._add(observer, *screen.apply(frame))
        if frame["type"] == "delta":
            key = (observer, frame["turn"], frame["attempt"])
            self._streams[key].append(frame["text"])
        else:
            self._find_foreign(observer, str(frame), f"in a {frame['type']}")
        if frame["type"] == "ack":
            self._receive_ack(observer, frame)

    def _receive_ack(self, observer: str, frame: Frame) -> None:
        client_id = frame["client_id"]
        if client_id not in self._sent:
            self._add(observer, Fault(Kind.UNASKED, f"{client_id} was never sent"))
        first = self._acks.setdefault(client_id, frame)
        if dict(first) != dict(frame):
            detail = f"{client_id}: acknowledged as {first['seq']} and {frame['seq']}"
            self._add(observer, Fault(Kind.DOUBLED, detail))

    def _find_foreign(self, observer: str, text: str, where: str) -> None:
        if self._mark is None:
            return
        for mark in sorted(find_foreign(text, self._mark)):
            self._add(observer, Fault(Kind.FOREIGN, f"{mark} {where}"))

    # At the end

    def _compare_outcomes(self) -> None:
        """All observers saw one end of each turn, and before it a part of that."""
        outcomes: dict[str, Frame] = {}
        for observer, screen in self._screens.items():
            for turn, done in screen.outcomes.items():
                known = outcomes.setdefault(turn, done)
                if describe_outcome(known) != describe_outcome(done):
                    detail = f"turn {turn}: another one saw another end"
                    self._add(observer, Fault(Kind.TWO_OUTCOMES, detail))
        for observer, screen in self._screens.items():
            for turn, reply in screen.replies.items():
                if turn in outcomes:
                    self._add(observer, *check_prefix(reply, outcomes[turn]))

    def _check_stored(self, stored: Stored) -> None:
        """What is stored has no gaps and no doubles, and was sent as it is there."""
        messages = stored.messages
        seqs = [message["seq"] for message in messages]
        if sorted(set(seqs)) != list(range(1, len(set(seqs)) + 1)):
            self._add(STORED, Fault(Kind.GAP, f"seqs {sorted(seqs)}"))
        for name in ("seq", "id", "client_id"):
            for value in _find_repeated(message[name] for message in messages):
                self._add(STORED, Fault(Kind.DOUBLED, f"{name} {value}"))
        for message in messages:
            self._find_foreign(STORED, str(message), f"in seq {message['seq']}")
            if message["role"] == "user":
                self._add(STORED, *self._check_sent(message))

    def _check_sent(self, message: Frame) -> list[Fault]:
        client_id = message["client_id"]
        place = message["seq"], message["id"], message["turn"]
        if client_id not in self._sent:
            return [Fault(Kind.UNASKED, f"seq {message['seq']} was never sent")]
        faults = []
        if message["content"] != self._sent[client_id]:
            faults.append(Fault(Kind.CHANGED, f"{client_id} was sent with other text"))
        ack = self._acks.get(client_id)
        if ack and (ack["seq"], ack["message"], ack["turn"]) != place:
            detail = f"{client_id}: acknowledged as seq {ack['seq']}, not {place[0]}"
            faults.append(Fault(Kind.CHANGED, detail))
        return faults

    def _check_questions(self, stored: Stored) -> None:
        """Each question has one outcome, after it, or its turn is open."""
        questions = {m["turn"]: m for m in stored.messages if m["role"] == "user"}
        replies = [m for m in stored.messages if m["role"] != "user" and m["turn"]]
        for turn in _find_repeated(message["turn"] for message in replies):
            self._add(STORED, Fault(Kind.TWO_OUTCOMES, f"turn {turn}"))
        for message in replies:
            turn, seq = message["turn"], message["seq"]
            if turn not in questions:
                self._add(STORED, Fault(Kind.UNASKED, f"seq {seq} answers nothing"))
            elif seq < questions[turn]["seq"]:
                self._add(STORED, Fault(Kind.DISORDER, f"seq {seq} is an early answer"))
        ended = {message["turn"] for message in replies} | stored.open_turns
        for turn in questions.keys() - ended:
            detail = f"seq {questions[turn]['seq']} has no outcome"
            self._add(STORED, Fault(Kind.UNANSWERED, detail))

    def _compare_screens(self) -> None:
        """All observers have the same messages; who stayed has all that are stored."""
        known: dict[int, Frame] = {}
        stored = {m["seq"]: m for m in self._stored.messages} if self._stored else None
        views = {observer: one.messages for observer, one in self._screens.items()}
        for observer, messages in ({STORED: stored or {}} | views).items():
            for seq, message in messages.items():
                same = known.setdefault(seq, message)
                self._add(observer, *compare_messages(same, message))
        if stored is None:
            return
        for observer, messages in views.items():
            for seq in sorted(messages.keys() - stored.keys()):
                self._add(observer, Fault(Kind.LOST, f"seq {seq} was shown"))
            if observer not in self._left:
                first = min(messages, default=1)
                hidden = [seq for seq in stored if seq >= first and seq not in messages]
                for seq in hidden:
                    self._add(observer, Fault(Kind.GAP, f"seq {seq} is not shown"))


def _find_repeated(values: Iterable[object]) -> list[object]:
    """Return the values that come more than once, in order; None does not count."""
    seen: set[object] = set()
    repeated: dict[object, None] = {}
    for value in values:
        if value is not None and value in seen:
            repeated[value] = None
        seen.add(value)
    return list(repeated)
