"""A conversation as the server has it and as a client shows it, without either.

`World` makes the changes that turns.py makes, and what can be read after each;
`Screen` does with frames what docs/protocol.md tells a client to do.
"""

from dataclasses import dataclass, field
from uuid import UUID

from support.chat import events
from support.chat.cursor import Cursor, ShownReply
from support.chat.reply_buffer import BufferedText
from support.chat.selectors import OpenTurn, Progress
from support.models import Message, Turn, TurnState


@dataclass
class World:
    """The truth; each change returns the events that it is announced by."""

    status: str = "bot"
    frames: list[dict] = field(default_factory=list)
    open_turns: list[Turn] = field(default_factory=list)
    texts: dict[tuple[str, int], str] = field(default_factory=dict)
    checkpoint: str | None = None  # once the reply buffer is lost
    num_turns: int = 0

    @property
    def text(self) -> str:
        """The text of the turn that is first in line."""
        turn = self.open_turns[0]
        return self.texts.get((str(turn.id), turn.attempt), "")

    @property
    def is_running(self) -> bool:
        return self.open_turns[:1] != [] and self.open_turns[0].state == "running"

    def ask(self) -> list[dict]:
        self.num_turns += 1
        frame = self._store(role="user", content=f"question {self.num_turns}")
        question = Message(seq=frame["message"]["seq"])
        turn = Turn(id=UUID(int=self.num_turns), question=question)
        self.open_turns.append(turn)
        return [frame, events.turn_changed(turn, question.seq)]

    def claim(self) -> list[dict]:
        """A worker takes the first turn, from another one if need be."""
        turn = self._begin()
        turn.state = TurnState.RUNNING
        return [events.turn_changed(turn, turn.question.seq)]

    def release(self) -> list[dict]:
        self.open_turns[0].state = TurnState.QUEUED
        return []

    def reset(self) -> list[dict]:
        turn = self._begin()
        return [events.reply_reset(turn.id, turn.attempt)]

    def write(self, text: str) -> list[dict]:
        turn, before = self.open_turns[0], self.text
        self.texts[str(turn.id), turn.attempt] = before + text
        return [events.text_arrived(turn.id, turn.attempt, len(before), text)]

    def lose_buffer(self, saved: int) -> list[dict]:
        """Leave only the first `saved` characters to be read."""
        self.checkpoint = self.text[:saved]
        return []

    def finish(self, state: str) -> list[dict]:
        content, turn = self.text, self.open_turns.pop(0)
        self.checkpoint = None
        frame = self._store(role="assistant", content=content, turn=str(turn.id))
        frame |= {"type": "done", "turn": str(turn.id), "attempt": turn.attempt}
        frame["state"] = frame["message"]["state"] = state
        return [frame]

    def hand_off(self) -> list[dict]:
        self.status = "waiting"
        notice = self._store(role="assistant", content="A person will come.")
        return [events.status_changed(self.status), notice]

    def read(self, after_seq: int) -> Progress:
        """Return what `selectors.read_progress` would."""
        last_seq, open_turns = len(self.frames), []
        for turn in self.open_turns:
            text = self.texts.get((str(turn.id), turn.attempt), "")
            if self.checkpoint is not None and turn is self.open_turns[0]:
                text = self.checkpoint
            open_turns.append(OpenTurn(turn, BufferedText(turn.attempt, text)))
        frames = self.frames[after_seq:]
        return Progress(self.status, last_seq, frames, False, open_turns)

    def _begin(self) -> Turn:
        turn = self.open_turns[0]
        turn.attempt += 1
        self.checkpoint = None
        return turn

    def _store(self, **message) -> dict:
        message |= {"seq": len(self.frames) + 1, "state": None}
        frame = {"type": "message", "message": message}
        self.frames.append(frame)
        return frame


class Screen:
    """What a client shows; it fails where a server breaks the protocol."""

    def __init__(self) -> None:
        self.status = ""
        self.messages: dict[int, dict] = {}
        self.replies: dict[str, ShownReply] = {}
        self.texts: dict[str, str] = {}
        self.running = ""

    @property
    def visible(self) -> tuple:
        shown = {turn: text for turn, text in self.texts.items() if text}
        return self.status, self.messages, shown

    @property
    def position(self) -> tuple[int, ShownReply | None]:
        """What a hello says: messages and the running reply."""
        reply = self.replies.get(self.running)
        return len(self.messages), reply and ShownReply(
            reply.turn, reply.attempt, len(self.texts[reply.turn])
        )

    def connect(self, world: World) -> Cursor:
        """Say hello; return the cursor of the new socket."""
        last_seq, reply = self.position
        progress = world.read(last_seq)
        self.status = progress.status
        frames = (cursor := Cursor(progress.status, reply)).catch_up(progress)
        self.apply(frames)
        named = {frame.get("turn") for frame in frames}
        for turn in set(self.replies) - named:  # not in the replay: it is not open
            self._forget(turn)
        return cursor

    def apply(self, frames: list[dict]) -> None:
        for frame in frames:
            getattr(self, f"_{frame['type']}")(frame)

    def _status(self, frame: dict) -> None:
        self.status = frame["status"]

    def _message(self, frame: dict) -> None:
        message = frame["message"]
        assert message["seq"] <= len(self.messages) + 1, "a message is missing"
        self.messages[message["seq"]] = message

    def _done(self, frame: dict) -> None:
        self._message(frame)
        self._forget(frame["turn"])

    def _turn(self, frame: dict) -> None:
        if self._begin(frame) and frame["state"] == "running":
            self.running = frame["turn"]
        elif self.running == frame["turn"]:
            self.running = ""

    def _reset(self, frame: dict) -> None:
        if self._begin(frame) and self.replies[frame["turn"]].attempt:
            self.texts[frame["turn"]] = ""

    def _delta(self, frame: dict) -> None:
        reply = self.replies.get(frame["turn"])
        if reply is None or frame["attempt"] < reply.attempt:
            assert reply or self._is_finished(frame["turn"]), "text without a turn"
            return
        assert frame["attempt"] == reply.attempt, "a new attempt without a reset"
        text = self.texts[frame["turn"]]
        assert frame["offset"] <= len(text), "text is missing"
        self.texts[frame["turn"]] += frame["text"][len(text) - frame["offset"] :]
        self.running = frame["turn"]

    def _begin(self, frame: dict) -> bool:
        """Begin a turn's text anew if the attempt is; return whether it is ours."""
        turn, attempt = frame["turn"], frame["attempt"]
        if self._is_finished(turn):
            return False
        reply = self.replies.setdefault(turn, ShownReply(turn))
        self.texts.setdefault(turn, "")
        if attempt > reply.attempt:
            reply.attempt, self.texts[turn] = attempt, ""
        return attempt == reply.attempt

    def _is_finished(self, turn: str) -> bool:
        return any(item.get("turn") == turn for item in self.messages.values())

    def _forget(self, turn: str) -> None:
        self.replies.pop(turn, None)
        self.texts.pop(turn, None)
        self.running = "" if self.running == turn else self.running
