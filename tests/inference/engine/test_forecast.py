"""First-token times foreseen from speeds, queue and cache; without an engine."""

import contextlib

import pytest

from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.forecast import Forecast
from inference.engine.prompt_memory import PromptMemory, render
from inference.engine.reception import Reception
from inference.engine.step_times import RunningMean, StepTimes
from inference.engine_stats import EngineStats
from inference.errors import Overloaded
from inference.types import (
    ChatMessage,
    Completion,
    CompletionRequest,
    EngineTimings,
    FinishReason,
    Usage,
)

SYSTEM = "You answer questions of customers from the help articles. " * 20
SPEEDS = EngineStats(prompt_token_s=0.01, beside_token_s=0.02, mean_step_s=0.01)


def ask(question, system=SYSTEM):
    messages = (ChatMessage("system", system), ChatMessage("user", question))
    return CompletionRequest(messages, 30)


def build_forecast(stats=SPEEDS, max_sequences=4):
    forecast = Forecast(max_sequences, num_cells=4096)
    forecast.note_stats(stats)
    return forecast


def play(forecast, key, request, now_s, ttft_s, usage=None):
    """Let a request run alone, with its first token after `ttft_s`."""
    usage = usage or Usage(400, 30, 390)
    timings = EngineTimings(waiting_ms=round(ttft_s * 500), itl_ms=10)
    completion = Completion(FinishReason.STOP, usage, "fern", timings)
    forecast.begin(key, request, now_s)
    forecast.note_text(key, now_s + ttft_s)
    forecast.learn(key, now_s + ttft_s + 1, completion, "Yes.")
    forecast.end(key, now_s + ttft_s + 1)


def test_nothing_is_foreseen_before_a_speed_is_known():
    assert build_forecast(EngineStats()).predict_s(ask("Hi"), 0.0) is None


def test_a_longer_prompt_takes_longer():
    forecast = build_forecast()
    short = forecast.predict_s(ask("Hi", "Be kind."), 0.0)
    assert forecast.predict_s(ask("Hi " * 500, "Be kind."), 0.0) > 10 * short


def test_what_was_read_lately_is_not_read_again():
    forecast = build_forecast()
    first = forecast.predict_s(ask("Where is my tent?"), 0.0)
    play(forecast, "1", ask("Where is my tent?"), 0.0, first)
    assert forecast.predict_s(ask("How are you?"), 9.0) < first / 4


def test_a_new_process_knows_no_prompt():
    forecast = build_forecast()
    first = forecast.predict_s(ask("Hi"), 0.0)
    forecast.begin("1", ask("Hi"), 0.0)
    forecast.end("1", 1.0)
    assert forecast.predict_s(ask("Hi"), 2.0) < first / 2
    forecast.reset()
    assert forecast.predict_s(ask("Hi"), 9.0) == pytest.approx(first)


def test_prompts_that_came_before_are_waited_for():
    forecast = build_forecast()
    alone = forecast.predict_s(ask("Hi", "a " * 900), 0.0)
    for number, letter in enumerate("bcd"):
        forecast.begin(str(number), ask("Hi", f"{letter} " * 900), 0.0)
    behind = forecast.predict_s(ask("Hi", "a " * 900), 0.0)
    assert behind > 3 * alone
    # as time goes by they are read
    assert forecast.predict_s(ask("Hi", "a " * 900), 5.0) < behind - 4.5


def test_a_prompt_that_was_read_is_not_waited_for():
    forecast = build_forecast()
    forecast.begin("1", ask("Hi", "b " * 900), 0.0)
    before = forecast.predict_s(ask("Hi", "a " * 900), 0.0)
    forecast.end("1", 0.0)
    assert forecast.predict_s(ask("Hi", "a " * 900), 0.0) < before


def test_with_all_places_taken_one_has_to_become_free():
    forecast = build_forecast(max_sequences=2)
    for number in range(3):
        play(forecast, f"old {number}", ask("Hi"), 10.0 * number, 0.1)
    idle = forecast.predict_s(ask("Hi"), 30.0)
    for number in range(2):
        forecast.begin(str(number), ask("Hi"), 50.0)
        forecast.note_text(str(number), 50.0 + idle)
    assert forecast.predict_s(ask("Hi"), 51.0) > 2 * idle


def test_nothing_is_foreseen_of_an_engine_that_was_idle_for_long():
    forecast = build_forecast()
    play(forecast, "1", ask("Hi"), 0.0, 4.0)
    assert forecast.predict_s(ask("Hi"), 14.0) is not None
    assert forecast.predict_s(ask("Hi"), 16.0) is None
    forecast.begin("2", ask("Hi"), 16.0)
    assert forecast.predict_s(ask("Hi"), 60.0) is not None


def test_it_learns_from_being_wrong():
    forecast = build_forecast()
    for number in range(10):
        first = forecast.predict_s(ask("Hi", f"{number} " * 900), 10.0 * number)
        play(forecast, str(number), ask("Hi", f"{number} " * 900), 10.0 * number, 4.0)
    assert forecast.predict_s(ask("Hi", "x " * 900), 96.0) == pytest.approx(4, rel=0.3)
    assert first == pytest.approx(4, rel=0.3)


def test_characters_of_a_token_and_the_cache_are_learned():
    memory = PromptMemory(4096)
    text = render(ask("Where is my tent?"))
    for _ in range(8):
        memory.learn(memory.size_up(text), Usage(len(text) // 5, 3, cached_tokens=0))
    assert memory.size_up(text).num_left == pytest.approx(len(text) / 5, rel=0.05)


def test_only_as_much_is_remembered_as_the_cache_holds():
    memory = PromptMemory(num_cells=100)
    memory.remember("a" * 200)
    memory.remember("b" * 5000)
    assert memory.size_up("a" * 200).num_left_characters == 200
    assert memory.size_up("b" * 5000).num_left_characters > 4000


def test_the_beginning_is_forgotten_last():
    memory = PromptMemory(num_cells=100)
    memory.remember("b" * 5000)
    assert memory.size_up("b" * 128).num_left_characters == 0


def test_a_running_mean_begins_at_its_first_value_and_forgets():
    mean = RunningMean()
    assert mean.value == 0.0
    mean.add(4.0)
    assert mean.value == 4.0
    for _ in range(200):
        mean.add(1.0)
    assert mean.value == pytest.approx(1.0, abs=0.01)


def test_step_times_tell_reading_alone_from_reading_beside():
    times = StepTimes()
    times.add(0.64, num_reading=64, num_writing=0)
    times.add(0.64, num_reading=32, num_writing=8)
    times.add(0.05, num_reading=0, num_writing=8)
    assert times.prompt_token_s == pytest.approx(0.01)
    assert times.beside_token_s == pytest.approx(0.02)
    assert times.last_s == 0.05


@pytest.mark.parametrize("num_before", [1, 2, 5, 10, 100])
def test_a_machine_that_paused_hardly_changes_what_is_foreseen(num_before):
    times = StepTimes()
    for _ in range(num_before):
        times.add(0.3, num_reading=43, num_writing=4)
    times.add(30.0, num_reading=43, num_writing=4)
    for _ in range(5):
        times.add(0.3, num_reading=43, num_writing=4)
    assert times.beside_token_s < 2 * 0.3 / 43


def test_a_lasting_slowdown_is_learned():
    times = StepTimes()
    for slower, num_steps in ((1, 200), (20, 60)):
        for _ in range(num_steps):
            times.add(0.1 * slower, num_reading=43, num_writing=4)
    assert times.beside_token_s == pytest.approx(2.0 / 43, rel=0.1)


class TestRoom:
    @pytest.fixture
    def now_s(self):
        return [100.0]

    @pytest.fixture
    def reception(self, now_s):
        """Of an engine that looks hopelessly slow beside a request that runs."""
        reception = Reception(EngineConfig("-"), HostPolicy(), lambda: now_s[0])
        slow = EngineStats(prompt_token_s=0.5, beside_token_s=0.5, mean_step_s=0.5)
        reception.forecast.note_stats(slow)
        reception.admit(ask("first"), 15.0, print)
        return reception

    def test_who_would_come_late_is_refused(self, reception, now_s):
        for _ in range(9):
            now_s[0] += 1
            with pytest.raises(Overloaded, match="would come after"):
                reception.admit(ask("second"), 15.0, print)

    def test_one_in_ten_seconds_is_let_in_to_learn_from(self, reception, now_s):
        num_let_in = 0
        for _ in range(100):
            now_s[0] += 1
            with contextlib.suppress(Overloaded):
                reception.admit(ask("second"), 15.0, print)
                num_let_in += 1
        assert num_let_in == 9

    def test_a_full_queue_lets_nobody_in(self, now_s):
        config = EngineConfig("-", max_sequences=1, max_waiting=0)
        reception = Reception(config, HostPolicy(), lambda: now_s[0])
        reception.admit(ask("first"), None, print)
        now_s[0] += 60
        with pytest.raises(Overloaded):
            reception.admit(ask("second"), None, print)
