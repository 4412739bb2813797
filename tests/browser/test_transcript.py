"""What the widget knows after any interruption is what it would know without one."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WIDGET = Path(__file__).parents[2] / "support/static/support/widget.js"
TURN = str(UUID(int=1))
QUESTION = {"seq": 1, "role": "user", "content": "?", "client_id": "client-1"}

# letters of one, two and four bytes, and a family of seven code points
PIECES = st.lists(st.sampled_from(["a", "é", " ", "🏕", "👩‍👩‍👧‍👦", "سلام"]), min_size=1)
OUTCOMES = st.sampled_from(["answered", "stopped", "failed"])
ATTEMPTS = st.lists(st.lists(PIECES.map("".join), max_size=5), min_size=1, max_size=3)


@dataclass
class Story:
    """A question and its answer, which may have begun anew, as frames in order."""

    attempts: list[list[str]]
    outcome: str = "answered"

    @property
    def frames(self) -> list[dict]:
        frames = [{"type": "message", "message": QUESTION}, self.turn("queued", 0)]
        for number, chunks in enumerate(self.attempts, start=1):
            kind = "reset" if number > 1 else "turn"
            frames.append(self.turn("running", number) | {"type": kind})
            offset = 0
            for chunk in chunks:
                frames.append(self.delta(number, offset, chunk))
                offset += len(chunk)
        return [*frames, self.done]

    @property
    def done(self) -> dict:
        content = "".join(self.attempts[-1])
        message = {"seq": 2, "role": "assistant", "content": content, "turn": TURN}
        message["state"] = self.outcome
        return {
            "type": "done",
            "turn": TURN,
            "attempt": len(self.attempts),
            "state": self.outcome,
            "message": message,
        }

    def turn(self, state: str, attempt: int) -> dict:
        ids = {"turn": TURN, "question_seq": 1}
        return {"type": "turn", "state": state, "attempt": attempt} | ids

    def delta(self, attempt: int, offset: int, text: str) -> dict:
        place = {"turn": TURN, "attempt": attempt, "offset": offset}
        return {"type": "delta", "text": text} | place

    def replay(self, position: dict, moment: int) -> list[dict]:
        """Return what a server that has sent `moment` frames answers to a hello."""
        past = self.frames[:moment]
        messages = [
            {"type": "message", "message": frame["message"]}
            for frame in past
            if "message" in frame and frame["message"]["seq"] > position["last_seq"]
        ]
        welcome = {"type": "welcome", "status": "bot", "has_more": False}
        last_seq = sum("message" in frame for frame in past)
        frames = [welcome | {"last_seq": last_seq}, *messages]
        if last_seq == 1 and past[-1]["type"] != "message":
            frames += self.replay_turn(position, past)
        return [*frames, {"type": "replay_done"}]

    def replay_turn(self, position: dict, past: list[dict]) -> list[dict]:
        attempt = max(frame.get("attempt", 0) for frame in past)
        deltas = [f for f in past if f["type"] == "delta" and f["attempt"] == attempt]
        text = "".join(frame["text"] for frame in deltas)
        frames = [self.turn("running" if attempt else "queued", attempt)]
        is_same = position.get("attempt") == attempt
        offset = position["offset"] if is_same else 0
        if "attempt" in position and not is_same:
            frames.append(self.turn("running", attempt) | {"type": "reset"})
        return [*frames, self.delta(attempt, offset, text[offset:])][
            : 3 if attempt else 1
        ]


@pytest.fixture(scope="module")
def transcripts(browser):
    """A page that has the widget's Transcript and nothing else of it."""
    page = browser.new_page()
    source = WIDGET.read_text()
    begin = source.index("  class Transcript {")
    source = source[begin : source.index("  // --- the wire", begin)]
    page.evaluate(f"() => {{ {source}; window.Transcript = Transcript; }}")
    yield page
    page.close()


@pytest.fixture(scope="module")
def pauses(browser):
    """A page that has the widget's pauseAfter and nothing else of it."""
    page = browser.new_page()
    source = WIDGET.read_text()
    begin = source.index("  function pauseAfter")
    source = source[begin : source.index("\n  }\n", begin) + 4]
    page.evaluate(f"() => {{ {source}; window.pauseAfter = pauseAfter; }}")
    yield page
    page.close()


# after a lost connection, the first time and later; a slow reader; too many tabs
@pytest.mark.parametrize(
    ("code", "failures", "least_ms", "most_ms"),
    [
        (1006, 0, 250, 500),
        (1006, 3, 2000, 4000),
        (1006, 50, 15_000, 30_000),
        (1013, 0, 5250, 5500),
        (4408, 6, 20_000, 35_000),
        (4429, 0, 60_250, 60_500),
    ],
)
def test_the_pause_before_a_reconnect(pauses, code, failures, least_ms, most_ms):
    draw = f"Array.from({{length: 500}}, () => pauseAfter({code}, {failures}))"
    drawn = pauses.evaluate(draw)
    spread_ms = most_ms - least_ms
    assert least_ms <= min(drawn) < least_ms + spread_ms / 10
    assert most_ms - spread_ms / 10 < max(drawn) <= most_ms


STATE = """frames => {
  const transcript = new Transcript();
  for (const frame of frames) transcript.apply(frame);
  const texts = transcript.ordered.map((message) => message.content);
  const states = transcript.ordered.map((message) => message.state || null);
  const running = [...transcript.turns.values()].map((turn) => turn.text);
  return {texts, states, running, position: transcript.position};
}"""


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data(), st.builds(Story, ATTEMPTS, OUTCOMES))
def test_stale_state_and_a_replay_are_the_fresh_state(transcripts, data, story):
    frames = story.frames
    lost_at = data.draw(st.integers(0, len(frames)), "lost at")
    back_at = data.draw(st.integers(lost_at, len(frames)), "back at")
    repeats = data.draw(st.integers(0, min(3, back_at)), "frames that come twice")
    seen = frames[:lost_at]
    position = transcripts.evaluate(STATE, seen)["position"]
    later = story.replay(position, back_at) + frames[back_at - repeats : back_at]
    now = transcripts.evaluate(STATE, seen + later)
    assert now == transcripts.evaluate(STATE, frames[:back_at])
    end = transcripts.evaluate(STATE, seen + later + frames[back_at:])
    assert end["texts"] == ["?", "".join(story.attempts[-1])]
    assert end["states"] == [None, story.outcome]


def test_older_messages_say_how_they_ended(transcripts):
    older = Story([["half"]], "stopped").done["message"]
    newer = {"seq": 3, "role": "user", "content": "!", "client_id": "client-2"}
    frames = [
        {"type": "welcome", "status": "bot", "has_more": True, "last_seq": 3},
        {"type": "message", "message": newer},
        {"type": "replay_done"},
        {"type": "history", "messages": [QUESTION, older], "has_more": False},
    ]
    state = transcripts.evaluate(STATE, frames)
    assert state["states"] == [None, "stopped", None]
