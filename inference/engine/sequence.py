"""One request inside the engine: its tokens, and how many of them are computed."""

from collections.abc import Iterable
from enum import Enum


class SequenceState(Enum):
    """Where a sequence is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class Sequence:
    """The tokens of one request, prompt first, then what was generated.

    The keys and values of the first `num_computed` tokens are in the cache under
    `slot`; the rest is pending. While it runs at least one token is pending: the
    logits behind the last one are what the next token is sampled from. Where the
    first `snapshot_at` tokens are computed, a copy is kept for others. `arrived_at` and
    `turn` are the scheduler's, see there. Illegal transitions raise RuntimeError.
    """

    def __init__(self, key: str, prompt: Iterable[int]) -> None:
        self.key = key
        self.tokens = list(prompt)
        self.num_prompt_tokens = len(self.tokens)
        if not self.tokens:
            raise ValueError("a sequence needs at least one token")
        self.state = SequenceState.WAITING
        self.slot: int | None = None
        self.num_computed = 0
        self.num_cached: int | None = None
        self.snapshot_at: int | None = None
        self.arrived_at = 0
        self.turn = 0

    def __repr__(self) -> str:
        return (
            f"<Sequence {self.key} {self.state.value} slot={self.slot}"
            f" {self.num_computed}/{len(self.tokens)}>"
        )

    @property
    def num_pending(self) -> int:
        """Return how many tokens are not computed yet."""
        return len(self.tokens) - self.num_computed

    @property
    def num_generated(self) -> int:
        """Return how many tokens were sampled."""
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def is_decoding(self) -> bool:
        """Return whether one token is all that a step can compute."""
        return self.state is SequenceState.RUNNING and self.num_pending == 1

    def start(self, slot: int, num_cached: int) -> None:
        """Run in `slot`, whose first `num_cached` tokens are computed already.

        The first start decides what counts as cached: a sequence that starts again
        after a preemption only gets back what it had paid for.
        """
        self._expect(SequenceState.WAITING)
        if not 0 <= num_cached < len(self.tokens):
            raise ValueError(f"{self!r} cannot have {num_cached} cached tokens")
        self.state = SequenceState.RUNNING
        self.slot = slot
        self.num_computed = num_cached
        if self.num_cached is None:
            self.num_cached = num_cached

    def advance(self, num_tokens: int) -> None:
        """Count `num_tokens` pending tokens as computed."""
        self._expect(SequenceState.RUNNING)
        if not 0 < num_tokens <= self.num_pending:
            raise ValueError(f"{self!r} cannot advance by {num_tokens}")
        self.num_computed += num_tokens

    def append(self, token: int) -> None:
        """Add the token that was sampled behind the last one."""
        self._expect(SequenceState.RUNNING)
        if self.num_pending:
            raise RuntimeError(f"{self!r} has pending tokens")
        self.tokens.append(token)

    def preempt(self) -> None:
        """Wait again, with nothing computed."""
        self._expect(SequenceState.RUNNING)
        self.state = SequenceState.WAITING
        self.slot = None
        self.num_computed = 0

    def finish(self) -> None:
        """End, from whatever state."""
        if self.state is SequenceState.FINISHED:
            raise RuntimeError(f"{self!r} is finished already")
        self.state = SequenceState.FINISHED
        self.slot = None

    def _expect(self, state: SequenceState) -> None:
        if self.state is not state:
            raise RuntimeError(f"{self!r} should be {state.value}")
