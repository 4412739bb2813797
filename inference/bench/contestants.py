"""Who is measured: the engine, what people use instead, and the ceiling.

Each loads its model when it is made and keeps it; only one is asked at a time.
"""

import json
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.backends.base import Backend
from inference.backends.llama_cpp import LlamaCppBackend
from inference.bench.measures import Answer, Run
from inference.bench.playing import play_workload
from inference.bench.workloads import Workload
from inference.engine.config import HostPolicy
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    Usage,
)

PATIENT = Deadlines(connect_s=600, first_token_s=600, gap_s=600, total_s=3600)

# A machine that is busy otherwise spoils the figures; it should not end the run.
PATIENT_HOST = HostPolicy(silence_s=300, step_s=300)

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class RawConfig:
    """How a contestant in `raw.py` is set up.

    `prefill_tokens` of prompts are computed in a step while an answer is written,
    `batch_tokens` while none is. `kv_type` is `f16` or `q8_0`.
    """

    model_path: str
    num_threads: int
    num_cells: int
    num_conversations: int = 64
    batch_tokens: int = 256
    prefill_tokens: int = 128
    kv_type: str = "f16"
    shortest_first: bool = False


class Contestant(ABC):
    """Something that answers workloads."""

    name: str

    @property
    def pid(self) -> int | None:
        """Return the id of the process that computes, None if it is not ours."""
        return None

    @abstractmethod
    def play(self, workload: Workload) -> Run:
        """Answer a workload and return what was measured."""

    @abstractmethod
    def close(self) -> None:
        """Free the model."""


class AskedContestant(Contestant):
    """One that is asked a question at a time, from many threads, and streams."""

    @abstractmethod
    def ask(
        self, messages: tuple[ChatMessage, ...], max_tokens: int
    ) -> Generator[str | Usage, None, None]:
        """Yield text as it comes, at last what was used if that is known."""

    def play(self, workload: Workload) -> Run:
        """Answer a workload and return what was measured."""
        return play_workload(self.ask, workload)


class BackendContestant(AskedContestant):
    """A backend of ours: the engine, or a server that speaks OpenAI's protocol.

    `pid` is the server's process if it runs on this machine.
    """

    def __init__(self, name: str, backend: Backend, pid: int | None = None) -> None:
        self.name = name
        self.backend = backend
        self._pid = pid

    @property
    def pid(self) -> int | None:
        """Return the id of the process that computes, None if it is elsewhere."""
        if isinstance(self.backend, LlamaCppBackend):
            return self.backend.host.pid
        return self._pid

    def ask(
        self, messages: tuple[ChatMessage, ...], max_tokens: int
    ) -> Generator[str | Usage, None, None]:
        """Yield text as it comes, at last what was used if that is known."""
        request = CompletionRequest(messages, max_tokens)
        stream = self.backend.stream(request, PATIENT, CancelToken())
        with closing(stream):
            for item in stream:
                if isinstance(item, Delta):
                    yield item.text
                elif isinstance(item, Completion) and item.usage is not None:
                    yield item.usage

    def close(self) -> None:
        """Free the model."""
        self.backend.close()


class _RawProcess:
    """A process of `raw.py`: a line of JSON in, lines of JSON out."""

    def __init__(self, kind: str, config: RawConfig) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [
                sys.executable,
                "-m",
                "inference.bench.raw",
                kind,
                json.dumps(asdict(config)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            text=True,
        )
        self.greeting = self.read()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def send(self, item: Mapping[str, Any]) -> None:
        """Give it work."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(item) + "\n")
        self._process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Return what it says next; raises RuntimeError if it ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a contestant ended with {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """Hang up, and kill it if it does not leave."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class LockContestant(AskedContestant):
    """`llama_cpp.Llama` as people serve it: its chat completion behind a lock."""

    def __init__(self, config: RawConfig, name: str = "lock") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._process = _RawProcess("lock", config)

    @property
    def pid(self) -> int | None:
        """Return the process id."""
        return self._process.pid

    def ask(
        self, messages: tuple[ChatMessage, ...], max_tokens: int
    ) -> Generator[str | Usage, None, None]:
        """Yield text as it comes; the library does not count tokens of a stream."""
        with self._lock:
            request = {
                "messages": [asdict(one) for one in messages],
                "max_tokens": max_tokens,
            }
            self._process.send(request)
            while text := self._process.read()["text"]:
                yield text

    def close(self) -> None:
        """End the process."""
        self._process.close()


class BareContestant(Contestant):
    """A loop over `llama_decode` in a process of its own that does nothing else."""

    def __init__(self, config: RawConfig, name: str = "bare") -> None:
        self.name = name
        self._process = _RawProcess("bare", config)

    @property
    def pid(self) -> int | None:
        """Return the process id."""
        return self._process.pid

    @property
    def native_bytes(self) -> int:
        """Return how much memory llama.cpp took, the model's file not counted."""
        return int(self._process.greeting["native_bytes"])

    def play(self, workload: Workload) -> Run:
        """Answer a workload and return what was measured."""
        self._process.send(asdict(workload))
        said = self._process.read()
        return Run([_decode_answer(fields) for fields in said["answers"]])

    def close(self) -> None:
        """End the process."""
        self._process.close()


def _decode_answer(fields: dict[str, Any]) -> Answer:
    pieces = [(time_s, number) for time_s, number in fields["pieces"]]
    usage = Usage(**fields["usage"])
    place = (fields["conversation"], fields["turn"])
    return Answer(*place, fields["asked_s"], pieces, usage)
