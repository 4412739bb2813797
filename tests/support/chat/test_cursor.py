"""The cursor: what a client is sent, without a socket and without a database."""

from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from support.chat import events
from support.chat.cursor import Cursor, ShownReply
from tests.support.chat.screen import Screen, World

TURN = UUID(int=1)
TEXTS = st.lists(st.sampled_from(["a", " bc", "🏕é", "سلام"]), min_size=1, max_size=3)


@pytest.fixture
def world():
    """A question whose reply is at "one"."""
    world = World()
    world.ask()
    world.claim()
    world.write("one")
    return world


@pytest.fixture
def cursor(world):
    """A client that shows all of it."""
    cursor = Cursor("bot")
    cursor.catch_up(world.read(0))
    return cursor


def kinds(frames):
    return [frame["type"] for frame in frames]


class TestForward:
    def test_the_next_text_is_passed_on(self, cursor):
        for offset, text in [(3, " two"), (7, " three")]:
            delta = events.text_arrived(TURN, 1, offset, text)
            assert cursor.forward(delta) == [delta]

    def test_text_that_is_shown_is_not_sent_again(self, cursor):
        assert cursor.forward(events.text_arrived(TURN, 1, 0, "one")) == []

    @pytest.mark.parametrize(("attempt", "offset"), [(1, 4), (2, 0), (2, 3)])
    def test_text_after_a_gap_needs_a_read(self, cursor, attempt, offset):
        delta = events.text_arrived(TURN, attempt, offset, "late")
        assert cursor.forward(delta) is None

    def test_offsets_count_code_points(self, cursor):
        assert cursor.forward(events.text_arrived(TURN, 1, 3, "🏕𝄞é"))
        assert cursor.forward(events.text_arrived(TURN, 1, 6, "."))

    @pytest.mark.parametrize(("seq", "is_sent"), [(1, False), (2, True)])
    def test_a_message_is_passed_on_once(self, cursor, seq, is_sent):
        frame = {"type": "message", "message": {"seq": seq}}
        assert cursor.forward(frame) == [frame] * is_sent
        assert cursor.forward(frame) == []

    def test_a_message_after_a_gap_needs_a_read(self, cursor):
        assert cursor.forward({"type": "message", "message": {"seq": 3}}) is None

    def test_a_new_attempt_of_a_shown_reply_is_reset_first(self, world, cursor):
        assert kinds(cursor.forward(world.claim()[0])) == ["reset", "turn"]

    def test_a_reset_is_passed_on_once(self, world, cursor):
        [reset] = world.reset()
        assert cursor.forward(reset) == [reset]
        assert cursor.forward(reset) == []

    def test_an_attempt_that_is_over_is_not_begun_again(self, world, cursor):
        [turn], [reset] = world.claim(), world.reset()
        cursor.forward(reset)
        assert cursor.forward(turn) == []

    def test_an_old_turns_late_event_does_not_hide_what_is_shown(self, world, cursor):
        late = events.turn_changed(world.open_turns[0], 1)
        world.finish("answered")
        world.ask()
        world.claim()
        world.write("two")
        cursor.catch_up(world.read(cursor.seq))
        assert cursor.forward(late) is None
        world.claim()
        assert kinds(cursor.catch_up(world.read(cursor.seq))) == ["turn", "reset"]

    @pytest.mark.parametrize(
        "frame", [{"type": "rated", "message": "m", "rating": 1}, {"type": "new"}]
    )
    def test_other_events_are_passed_on(self, cursor, frame):
        assert cursor.forward(frame) == [frame]


class TestCatchUp:
    def test_what_is_shown_is_not_sent_again(self, world, cursor):
        assert kinds(cursor.catch_up(world.read(cursor.seq))) == ["turn"]

    def test_the_rest_of_the_text_is_sent(self, world, cursor):
        world.write(" two")
        _, delta = cursor.catch_up(world.read(cursor.seq))
        assert (delta["offset"], delta["text"]) == (3, " two")

    def test_a_hello_in_mid_word_is_continued_there(self, world):
        reply = ShownReply(str(TURN), attempt=1, offset=2)
        _, delta = Cursor("bot", reply).catch_up(world.read(1))
        assert (delta["offset"], delta["text"]) == (2, "e")

    @pytest.mark.parametrize(("attempt", "offset"), [(0, 1), (1, 4), (2, 0)])
    def test_a_hello_that_cannot_be_continued_is_reset(self, world, attempt, offset):
        reply = ShownReply(str(TURN), attempt, offset)
        sent = Cursor("bot", reply).catch_up(world.read(1))
        assert kinds(sent) == ["turn", "reset", "delta"]
        assert (sent[-1]["offset"], sent[-1]["text"]) == (0, "one")

    def test_a_change_of_hands_is_told_once(self, world, cursor):
        world.hand_off()
        assert kinds(cursor.catch_up(world.read(cursor.seq)))[0] == "status"
        assert "status" not in kinds(cursor.catch_up(world.read(cursor.seq)))

    def test_a_turn_is_looked_after_until_its_end(self, world, cursor):
        assert cursor.has_open_turns
        world.finish("stopped")
        [done] = cursor.catch_up(world.read(cursor.seq))
        assert done["state"] == "stopped"
        assert not cursor.has_open_turns


def test_an_accepted_question_is_looked_after_though_its_events_are_lost():
    cursor = Cursor()
    cursor.expect(str(TURN))
    assert cursor.has_open_turns


class Interruptions(RuleBasedStateMachine):
    """Anything happens to a conversation, and anything to its announcements.

    Whenever the client resumes, it shows what a fresh connection would show.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.screen = Screen()
        self.cursor = self.screen.connect(self.world)
        self.on_the_way: list[dict] = self.world.ask() + self.world.claim()
        self.held_up: list[dict] = []

    # what happens to the conversation

    @precondition(lambda self: len(self.world.open_turns) < 3)
    @rule()
    def ask(self):
        self.on_the_way += self.world.ask()

    @precondition(lambda self: self.world.open_turns and not self.world.is_running)
    @rule()
    def claim(self):
        self.on_the_way += self.world.claim()

    @precondition(lambda self: self.world.is_running)
    @rule(texts=TEXTS)
    def write(self, texts):
        for text in texts:
            self.on_the_way += self.world.write(text)

    @precondition(lambda self: self.world.is_running)
    @rule()
    def release(self):
        self.on_the_way += self.world.release()

    @precondition(lambda self: self.world.is_running)
    @rule(change=st.sampled_from([World.reset, World.claim]), texts=TEXTS)
    def begin_again(self, change, texts):
        self.on_the_way += change(self.world)
        self.write(texts)

    @precondition(lambda self: self.world.is_running and self.world.text)
    @rule(saved=st.integers(0, 3))
    def lose_buffer(self, saved):
        self.world.lose_buffer(saved)

    @precondition(lambda self: self.world.is_running)
    @rule(state=st.sampled_from(["answered", "stopped", "failed"]))
    def finish(self, state):
        self.on_the_way += self.world.finish(state)

    @precondition(lambda self: self.world.status == "bot")
    @rule()
    def hand_off(self):
        self.on_the_way += self.world.hand_off()

    # what happens to the announcements

    @precondition(lambda self: self.on_the_way)
    @rule(count=st.integers(1, 10))
    def deliver_in_order(self, count):
        for event in self.on_the_way[:count]:
            self.deliver(event)
        del self.on_the_way[:count]

    @precondition(lambda self: self.on_the_way)
    @rule(
        place=st.integers(0, 10),
        fate=st.sampled_from(["lost", "early", "twice", "held up"]),
    )
    def deliver_badly(self, place, fate):
        place = min(place, len(self.on_the_way) - 1)
        if fate in ("early", "twice"):
            self.deliver(self.on_the_way[place])
        if fate == "held up":
            self.held_up.append(self.on_the_way[place])
        if fate != "twice":
            del self.on_the_way[place]

    @precondition(lambda self: self.held_up)
    @rule()
    def deliver_late(self):
        """As a network that was cut for a while may do, whatever came since."""
        self.deliver(self.held_up.pop(0))

    def deliver(self, event):
        """Do as the consumer does with an event."""
        sent = self.cursor.forward(event)
        if sent is None:
            sent = self.cursor.catch_up(self.world.read(self.cursor.seq))
        self.screen.apply(sent)

    # what the client does about it

    @rule(has_new_socket=st.booleans())
    def resume(self, has_new_socket):
        if has_new_socket:
            self.cursor = self.screen.connect(self.world)
        else:
            sent = self.cursor.catch_up(self.world.read(self.cursor.seq))
            self.screen.apply(sent)
        self.check_against_a_fresh_screen()

    def check_against_a_fresh_screen(self):
        fresh = Screen()
        fresh.connect(self.world)
        assert self.screen.visible == fresh.visible

    @invariant()
    def shows_only_what_was_written(self):
        for turn, text in self.screen.texts.items():
            attempt = self.screen.replies[turn].attempt
            assert self.world.texts.get((turn, attempt), "").startswith(text)

    @invariant()
    def a_client_that_lacks_a_reply_is_looked_after(self):
        assert self.cursor.has_open_turns or not self.screen.replies

    def teardown(self):
        self.resume(has_new_socket=False)
        while self.world.open_turns:
            self.world.finish("answered")
        self.resume(has_new_socket=False)
        assert self.screen.messages == {
            frame["message"]["seq"]: frame["message"] for frame in self.world.frames
        }
        assert self.screen.texts == {}


TestInterruptions = Interruptions.TestCase
TestInterruptions.settings = settings(
    max_examples=200, stateful_step_count=40, deadline=None
)
