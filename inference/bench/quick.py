"""The workload "quick": one model, ours alone, a table in a minute.

Asks questions over help articles from 1, 4, 8 and 16 threads at once, with and
without prefix reuse, and prints a Markdown table. Every thread asks its questions
one after another. Prompts are as different as those of real visitors: they share the
system prompt, and the articles behind it differ.
"""

import itertools
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.backends.llama_cpp import LlamaCppBackend
from inference.bench.contestants import PATIENT, PATIENT_HOST
from inference.engine.config import EngineConfig
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
)

BUNDLED = Path(__file__).parents[1] / "bundled" / "fern.gguf"

SYSTEM = (
    "You are Fern, the assistant of Fernhill Outfitters. Answer from the help articles."
    " If they do not answer the question, say so and offer a person."
)

ARTICLES = (
    "Repairs\nWe mend tents, packs and boots in our own workshop. Bring the item to any"
    " shop or post it to us. A repair takes nine days on average.",
    "Kayak rental\nA kayak can be rented from April to October. The deposit is 80 euros"
    " and comes back within two days of the return.",
    "Delivery\nParcels leave the warehouse before noon. Delivery within the country"
    " takes two working days, abroad five to eight.",
    "Returns\nUnused items can be sent back within 45 days. The label lies in the box,"
    " and the money is back within a week.",
    "Bike service\nA small service costs 49 euros and a large one 95. Please book a"
    " date, as the bench is full on most weekends.",
)

QUESTIONS = (
    "how long does a repair take",
    "What is the deposit for a kayak?",
    "when will my parcel be here?",
    "How many days do I have to send something back?",
    "What does a large bike service cost",
)


@dataclass(frozen=True, slots=True)
class QuickSetting:
    """Which model is asked how; `each` is the number of questions per thread."""

    model: str = str(BUNDLED)
    parallel: Sequence[int] = (1, 4, 8, 16)
    each: int = 8
    max_tokens: int = 64
    num_threads: int | None = None
    max_batch_tokens: int = 256
    num_gpu_layers: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One measured call."""

    completion: Completion
    ttft_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Run:
    """All calls of one setting, and how long they took together."""

    num_parallel: int
    answers: Sequence[Answer]
    wall_s: float

    @property
    def tokens_per_s(self) -> float:
        """Return the completion tokens per second over all calls."""
        return self._sum("completion_tokens") / self.wall_s

    @property
    def cached_share(self) -> float:
        """Return the share of the prompt tokens that were not computed again."""
        return self._sum("cached_tokens") / max(self._sum("prompt_tokens"), 1)

    def _sum(self, field: str) -> int:
        return sum(getattr(answer.completion.usage, field) for answer in self.answers)


def build_requests(max_tokens: int) -> Iterator[CompletionRequest]:
    """Yield requests without end, in the form of the application's prompts."""
    for number in itertools.count():
        articles = [ARTICLES[(number + step) % len(ARTICLES)] for step in range(3)]
        passages = "\n\n".join(
            f"[{place}] Shop {number}: {text}"
            for place, text in enumerate(articles, start=1)
        )
        question = QUESTIONS[number % len(QUESTIONS)]
        text = f"Help articles:\n\n{passages}\n\nQuestion: {question}"
        messages = (ChatMessage("system", SYSTEM), ChatMessage("user", text))
        yield CompletionRequest(messages, max_tokens)


def ask(backend: LlamaCppBackend, request: CompletionRequest) -> Answer:
    """Return one call, measured from the outside."""
    started_s = time.perf_counter()
    ttft_s: float | None = None
    for item in backend.stream(request, PATIENT, CancelToken()):
        now_s = time.perf_counter()
        ttft_s = now_s - started_s if ttft_s is None else ttft_s
        if isinstance(item, Completion):
            return Answer(item, ttft_s, now_s - started_s)
    raise RuntimeError("the backend ended without a completion")


def run(
    backend: LlamaCppBackend,
    requests: Iterator[CompletionRequest],
    num_parallel: int,
    num_each: int,
) -> Run:
    """Ask from `num_parallel` threads, `num_each` questions one after another."""
    work = [list(itertools.islice(requests, num_each)) for _ in range(num_parallel)]
    answers: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda mine=mine: answers.extend(ask(backend, one) for one in mine)
        )
        for mine in work
    ]
    started_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Run(num_parallel, answers, time.perf_counter() - started_s)


def measure(config: EngineConfig, setting: QuickSetting) -> list[Run]:
    """Start an engine and run every degree of parallelism on it."""
    backend = LlamaCppBackend("bench", config, PATIENT_HOST)
    try:
        requests = build_requests(setting.max_tokens)
        ask(backend, next(requests))
        return [
            run(backend, requests, num_parallel, setting.each)
            for num_parallel in setting.parallel
        ]
    finally:
        backend.close()


def format_rows(runs: Sequence[Run], label: str) -> Iterator[str]:
    """Yield the table rows of one engine; the first run is the measure of the rest."""
    for one in runs:
        first_ms = [answer.ttft_s * 1000 for answer in one.answers]
        whole_ms = [answer.duration_s * 1000 for answer in one.answers]
        cells = [
            label,
            f"{one.num_parallel}",
            f"{len(one.answers)}",
            f"{one.tokens_per_s:.0f}",
            f"{one.tokens_per_s / runs[0].tokens_per_s:.2f}",
            f"{statistics.median(first_ms):.0f}",
            f"{max(first_ms):.0f}",
            f"{statistics.median(whole_ms):.0f}",
            f"{one.cached_share:.0%}",
        ]
        yield f"| {' | '.join(cells)} |"


def measure_quickly(setting: QuickSetting) -> Iterator[str]:
    """Yield the lines of the table as they are measured."""
    yield (
        "| prefix reuse | parallel | requests | tokens/s | times one stream"
        " | first token, median ms | worst ms | reply, median ms | cached |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for reuse in (True, False):
        config = EngineConfig(
            setting.model,
            num_threads=setting.num_threads,
            max_sequences=max(setting.parallel),
            max_batch_tokens=setting.max_batch_tokens,
            num_gpu_layers=setting.num_gpu_layers,
            reuse_prefixes=reuse,
        )
        yield from format_rows(measure(config, setting), "on" if reuse else "off")
