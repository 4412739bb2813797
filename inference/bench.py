"""Measures the local engine: `python -m inference.bench [MODEL.gguf]`.

Asks questions over help articles from 1, 4, 8 and 16 threads at once, with and
without prefix reuse, and prints a Markdown table. Every thread asks its questions
one after another. Prompts are as different as those of real visitors: they share the
system prompt, and the articles behind it differ.
"""

import argparse
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.backends.llama_cpp import LlamaCppBackend
from inference.engine.config import EngineConfig
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
)

BUNDLED = Path(__file__).parent / "bundled" / "fern.gguf"

PATIENT = Deadlines(connect_s=600, first_token_s=600, gap_s=600, total_s=3600)

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


def measure(config: EngineConfig, arguments: argparse.Namespace) -> list[Run]:
    """Start an engine and run every degree of parallelism on it."""
    backend = LlamaCppBackend("bench", config)
    try:
        requests = build_requests(arguments.max_tokens)
        ask(backend, next(requests))
        return [
            run(backend, requests, num_parallel, arguments.each)
            for num_parallel in arguments.parallel
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


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m inference.bench")
    parser.add_argument("model", nargs="?", default=str(BUNDLED), help="a GGUF file")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--each", type=int, default=8, help="questions per thread")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=None, help="default: by model")
    parser.add_argument("--batch", type=int, default=256, help="tokens per step")
    parser.add_argument("--gpu-layers", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    arguments = parse_arguments()
    sys.stdout.write(
        "| prefix reuse | parallel | requests | tokens/s | times one stream"
        " | first token, median ms | worst ms | reply, median ms | cached |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    for reuse in (True, False):
        config = EngineConfig(
            arguments.model,
            num_threads=arguments.threads,
            max_sequences=max(arguments.parallel),
            max_batch_tokens=arguments.batch,
            num_gpu_layers=arguments.gpu_layers,
            reuse_prefixes=reuse,
        )
        for row in format_rows(measure(config, arguments), "on" if reuse else "off"):
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
