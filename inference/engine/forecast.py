"""When the first token of a request will come, by what is known of those before it.

Prompts are read one after the other, at the speed that the engine measures; a request
also needs one of the places in which replies are written. How wrong the forecasts of
late were, for waits as short or as long, corrects the next one.
"""

from dataclasses import dataclass

from inference.engine.prompt_memory import PromptMemory, PromptSize, render
from inference.engine.step_times import RunningMean
from inference.engine_stats import EngineStats
from inference.types import Completion, CompletionRequest

# What a first token takes beside the steps: both processes, the template, the tokens.
_OVERHEAD_S = 0.005
_MOST_WRONG = 3.0
# What was measured so long ago says nothing of an engine that has been idle since: else
# one that looks slow would be asked nothing, and measure nothing, for ever.
_STALE_S = 10.0


@dataclass(slots=True)
class _Pending:
    """A request that the engine has, and what was foretold of it."""

    text: str
    size: PromptSize
    began_s: float
    raw_s: float | None
    was_alone: bool
    is_read: bool = False


class Forecast:
    """Foresees first-token times. Not shared by threads; times are of one clock."""

    def __init__(self, max_sequences: int, num_cells: int) -> None:
        self._max_sequences = max_sequences
        self._memory = PromptMemory(num_cells)
        self._pending: dict[str, _Pending] = {}
        self._stats = EngineStats()
        self._running = RunningMean()
        self._read_by_s = 0.0
        self._last_s: float | None = None
        # in an idle engine, and in one with others
        self._wrong = (RunningMean(), RunningMean())

    def note_stats(self, stats: EngineStats) -> None:
        """Take over the speeds that the engine measured."""
        self._stats = stats

    def predict_s(self, request: CompletionRequest, now_s: float) -> float | None:
        """Return in how many seconds the first token would come; None if not known.

        Nor is it known of an engine that has had nothing to do for 10 s.
        """
        is_stale = self._last_s is not None and now_s - self._last_s > _STALE_S
        if is_stale and not self._pending:
            return None
        raw_s = self._predict_raw_s(self._memory.size_up(render(request)), now_s)
        return None if raw_s is None else self._correct_s(raw_s)

    def begin(self, key: str, request: CompletionRequest, now_s: float) -> float | None:
        """Note that a request goes to the engine; return what `predict_s` would."""
        text = render(request)
        size = self._memory.size_up(text)
        raw_s = self._predict_raw_s(size, now_s)
        predicted_s = None if raw_s is None else self._correct_s(raw_s)
        is_alone = not self._pending
        reading_s = size.num_left * self._choose_token_s()
        self._read_by_s = max(self._read_by_s, now_s) + reading_s
        self._memory.remember(text)
        self._last_s = now_s
        self._pending[key] = _Pending(text, size, now_s, raw_s, is_alone)
        return predicted_s

    def note_text(self, key: str, now_s: float) -> None:
        """Note that text has come; only the first one of a request tells anything."""
        pending = self._pending.get(key)
        if pending is None or pending.is_read:
            return
        pending.is_read = True
        if pending.raw_s:
            ratio = (now_s - pending.began_s) / pending.raw_s
            wrong = self._wrong[not pending.was_alone]
            wrong.add(min(max(ratio, 1 / _MOST_WRONG), _MOST_WRONG))
        self._plan(now_s)

    def end(self, key: str, now_s: float) -> None:
        """Note that a request is over."""
        self._last_s = now_s
        pending = self._pending.pop(key, None)
        if pending is not None and not pending.is_read:
            self._plan(now_s)

    def learn(self, key: str, now_s: float, completion: Completion, reply: str) -> None:
        """Take in what is known of a request that was answered, before its end."""
        pending, usage = self._pending.get(key), completion.usage
        if pending is None or usage is None or completion.engine is None:
            return
        self._memory.learn(pending.size, usage)
        self._memory.remember(f"{pending.text}assistant\n{reply}")
        waited_s = completion.engine.waiting_ms / 1000
        self._running.add(max(now_s - pending.began_s - waited_s, 0.0))

    def reset(self) -> None:
        """Begin anew with another process, which knows no prompt and has no request."""
        self._memory.forget()
        self._pending.clear()
        self._read_by_s = 0.0

    def _predict_raw_s(self, size: PromptSize, now_s: float) -> float | None:
        token_s = self._choose_token_s()
        if not token_s:
            return None
        wait_s = max(self._read_by_s - now_s, 0.0)
        num_over = len(self._pending) - self._max_sequences + 1
        if num_over > 0:
            free_s = self._running.value * num_over / self._max_sequences
            wait_s = max(wait_s, free_s)
        own_s = size.num_left * token_s + self._stats.mean_step_s
        return wait_s + own_s + _OVERHEAD_S

    def _choose_token_s(self) -> float:
        is_alone = not self._pending
        stats = self._stats
        return stats.prompt_token_s if is_alone else stats.beside_token_s

    def _correct_s(self, raw_s: float) -> float:
        return raw_s * (self._wrong[bool(self._pending)].value or 1.0)

    def _plan(self, now_s: float) -> None:
        """Work out when all prompts will be read, now that one of them is."""
        num_left = sum(p.size.num_left for p in self._pending.values() if not p.is_read)
        self._read_by_s = now_s + num_left * self._choose_token_s()
