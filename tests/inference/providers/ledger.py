"""What the stand-in has billed: the other side of our own ledger."""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass
class Call:
    """One request and what came of it. Token counts are what the provider bills.

    They follow `inference.types.Usage`: cached and written tokens are parts of the
    prompt's, thoughts are part of the completion's. `told_*` is what the client was
    told last, None if it left or was cut off before; where they are equal to what is
    billed, its ledger can be exact. `saw_end` says that all was sent and taken.
    """

    number: int
    dialect: str
    model: str
    request_id: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    key_end: str = ""
    status: int = 0
    fault: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    told_prompt_tokens: int | None = None
    told_completion_tokens: int | None = None
    saw_end: bool = False
    duration_ms: int = 0

    @property
    def is_billed(self) -> bool:
        """Return whether this call costs something."""
        return self.prompt_tokens + self.completion_tokens > 0

    @property
    def is_told_exactly(self) -> bool:
        """Return whether the client knows all that it is billed."""
        told = (self.told_prompt_tokens or 0, self.told_completion_tokens or 0)
        return told == (self.prompt_tokens, self.completion_tokens)


class Ledger:
    """The calls in the order they came; threads share it.

    With a path, each call is also written there when it is over: one JSON object a
    line.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._num_over = 0

    @property
    def calls(self) -> Sequence[Call]:
        """Return all calls, also those under way."""
        with self._changed:
            return list(self._calls)

    def open(self, dialect: str, model: str, prefix: str) -> Call:
        """Return the entry of a call that begins; its id begins with the prefix."""
        with self._changed:
            number = len(self._calls) + 1
            call = Call(number, dialect, model, f"{prefix}{number:012d}")
            self._calls.append(call)
        return call

    def close(self, call: Call) -> None:
        """Note that a call is over."""
        with self._changed:
            self._num_over += 1
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(call)) + "\n")
            self._changed.notify_all()

    def wait_until_over(self, num: int, timeout_s: float = 5.0) -> Sequence[Call]:
        """Return all calls once `num` of them are over; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._num_over >= num, timeout_s):
                raise TimeoutError(f"{self._num_over} of {num} calls are over")
            return list(self._calls)
