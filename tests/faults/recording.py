"""Visitors that write down what they do and see, and what the database has."""

from uuid import UUID, uuid4

from support.management.loadtest.history import Event, Left, Received, Sent, Stored
from tests.system.server import Server, Visitor

_MESSAGES = """
    SELECT message.id, seq, role, content, client_id, coalesce(asked.id, ended.id)
    FROM support_message AS message
    LEFT JOIN support_turn AS asked ON asked.question_id = message.id
    LEFT JOIN support_turn AS ended ON ended.reply_id = message.id
    WHERE message.conversation_id = ? ORDER BY seq
"""
_OPEN_TURNS = """
    SELECT id FROM support_turn
    WHERE conversation_id = ? AND state IN ('queued', 'running')
"""


class RecordedVisitor(Visitor):
    """A widget whose frames and messages go into a history; `name` is its screen."""

    def __init__(self, server: Server, events: list[Event], name: str) -> None:
        super().__init__(server)
        self.events = events
        self.name = name
        body = {"site": "demo", "renewal": self.renewal}
        self.conversation = server.post("/widget/session", body)["conversation"]

    def open_tab(self, name: str) -> "RecordedVisitor":
        """Return another, empty screen of the same conversation, not connected yet."""
        tab = RecordedVisitor(self.server, self.events, name)
        tab.renewal, tab.conversation = self.renewal, self.conversation
        return tab

    def ask(self, content: str, client_id: str = "") -> str:
        client_id = client_id or f"client-{uuid4().hex}"
        self.events.append(Sent(self.conversation, client_id, content))
        return super().ask(content, client_id)

    def receive(self, timeout_s: float = 20) -> dict:
        frame = super().receive(timeout_s)
        self.events.append(Received(self.conversation, self.name, frame))
        return frame

    def leave(self) -> None:
        self.disconnect()
        self.events.append(Left(self.conversation, self.name))


def read_stored(server: Server, conversation: str) -> Stored:
    """Return what the server's database has of a conversation."""
    key = UUID(conversation).hex
    fields = ("id", "seq", "role", "content", "client_id", "turn")
    messages = []
    for row in server.execute(_MESSAGES, key):
        message = dict(zip(fields, row, strict=True))
        message["id"] = _write_id(message["id"])
        message["turn"] = message["turn"] and _write_id(message["turn"])
        messages.append(message)
    turns = server.execute(_OPEN_TURNS, key)
    return Stored(conversation, messages, frozenset(_write_id(t) for (t,) in turns))


def _write_id(stored: object) -> str:
    """Return an id as frames have it: SQLite stores 32 digits, Postgres a UUID."""
    return str(UUID(str(stored)))
