"""What the engine needs of a loaded model; `binding.py` has the one for llama.cpp."""

from collections.abc import Iterable
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import Segment, Template
from inference.engine.scheduler import Step
from inference.types import CompletionRequest


class Outcome(Enum):
    """What became of a step that did not fail for good."""

    COMPUTED = "computed"
    NO_ROOM = "no room"
    ABORTED = "aborted"


class Grammar(Protocol):
    """What a reply may consist of, at the place where its tokens so far have led."""

    def allows(self, token: int) -> bool:
        """Return whether `token` may come next; cheap."""

    def mask(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with -inf where a token may not come next.

        Of those that may, as many of the likeliest are kept as a sampler looks at.
        """

    def accept(self, token: int) -> None:
        """Go on behind `token`, which is allowed and does not end the reply."""

    def close(self) -> None:
        """Free it; nothing else may be called after it."""


class Runner(Protocol):
    """A loaded model with its cache. One thread at a time, but for `abort`.

    `limit_tokens` is the longest sequence that the model and the cache can hold,
    `num_cells` the size of the cache, and each of its cells takes `cell_bytes`. A token
    costs `depth_cost` times more for each token before it. Unless
    `can_cut`, what a slot holds can only be continued, copied as a whole, or dropped
    (state_cache.py); if `can_park` it can be moved out of the cells (kv_cache.py).
    """

    model: str
    limit_tokens: int
    num_cells: int
    cell_bytes: int
    depth_cost: float
    can_cut: bool
    can_park: bool

    @property
    def template(self) -> Template:
        """What writes conversations down for the model."""

    def tokenize(self, segments: Iterable[Segment]) -> list[int]:
        """Return the tokens of a prompt; raises UnicodeEncodeError on surrogates."""

    def build_grammar(self, request: CompletionRequest) -> Grammar:
        """Return the grammar of a constrained request; raises RequestRejected."""

    def piece_of(self, token: int) -> bytes:
        """Return the bytes of a token, none for a special one."""

    def is_end(self, token: int) -> bool:
        """Return whether the model ends its turn with this token."""

    def compute(self, step: Step) -> Outcome:
        """Carry out the operations of a step, then compute its tokens.

        Unless computed, the chunks' positions must be truncated before a next try.
        """

    def logits_of(self, chunk_number: int, place: int = 0) -> NDArray[np.float32]:
        """Return logits of a last chunk of the step computed just now.

        Those behind its guess number `place`, counted from 1, or before the first
        one. Shape (n_vocab,); a view that the next `compute` overwrites.
        """

    def measure_steps(
        self, sizes: Iterable[int], has_logits: bool = True
    ) -> dict[int, float]:
        """Return the seconds of a step by its number of tokens; empties the cache.

        With logits behind all tokens, or behind the last one only.
        """

    def abort(self) -> None:
        """Make the `compute` in progress return soon; any thread may call this."""
