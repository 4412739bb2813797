"""What each way to choose a token costs, and whether seeds hold in company.

    python -m tests.development.sampling_cost [MODEL.gguf] [--replies 96]

First table: milliseconds a token for 151,936 logits, the median of 200, and the ratio
to greedy. Second: grammars, with a vocabulary of that size. Third: replies with a
seed, written among others and alone, by temperature: how many differ.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import llama_cpp
import numpy as np

from inference.bench.quick import BUNDLED, build_requests
from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.engine.engine import Engine
from inference.engine.grammar import LlamaGrammar, read_grammar
from inference.engine.operations import Truncate
from inference.engine.sampler import MAX_CANDIDATES, Sampler
from inference.engine.scheduler import Step
from inference.engine.vocabulary import Vocabulary
from inference.engine.wire import Text
from inference.types import ChatMessage, CompletionRequest, SamplingParams
from tests.inference.engine.sentencepiece_vocabulary import WORDS, write_vocabulary

NUM_VOCAB = 151_936
OPTIONS: dict[str, dict[str, float]] = {
    "greedy": {},
    "greedy, penalty 1.1": {"repetition_penalty": 1.1},
    "temperature 0.7": {"temperature": 0.7},
    "temperature 0.7, top-k 40": {"temperature": 0.7, "top_k": 40},
    "temperature 0.7, top-p 0.9": {"temperature": 0.7, "top_p": 0.9},
    "temperature 0.7, min-p 0.05": {"temperature": 0.7, "min_p": 0.05},
    "all of these": {
        "temperature": 0.7,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
    },
    "temperature 1": {"temperature": 1.0},
    "temperature 2": {"temperature": 2.0},
}
SCHEMA = {
    "type": "object",
    "properties": {"days": {"type": "integer"}, "kind": {"type": "string"}},
    "required": ["days", "kind"],
}


def measure_ms(work: Callable[[], object], times: int = 200) -> float:
    """Return the median of many calls."""
    spent = []
    for _ in range(times):
        started_s = time.perf_counter()
        work()
        spent.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(spent)


def build_logits() -> np.ndarray:
    """Return logits as a model has them: most near each other, a few far above."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2.5, NUM_VOCAB).astype(np.float32)
    logits[rng.integers(0, NUM_VOCAB, 30)] += rng.normal(14, 3, 30).astype(np.float32)
    return logits


def measure_options() -> Iterable[str]:
    """Yield the rows of the first table."""
    logits, tokens = build_logits(), list(range(500))
    greedy_ms = 0.0
    for label, values in OPTIONS.items():
        sampler = Sampler(SamplingParams(seed=1, **values))  # type: ignore[arg-type]
        spent_ms = measure_ms(partial(sampler.sample, logits, tokens))
        greedy_ms = greedy_ms or spent_ms
        yield f"| {label} | {spent_ms:.3f} | {spent_ms / greedy_ms:.0f} |"


def measure_grammar() -> Iterable[str]:
    """Yield the rows of the second table."""
    rng = np.random.default_rng(2)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = dict.fromkeys(
        "".join(rng.choice(letters, size)) for size in rng.integers(3, 9, 80_000)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        write_vocabulary(path, [*WORDS, *'{}":,', *words])
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        vocabulary = Vocabulary(model)
    logits = build_logits()[: vocabulary.num_tokens]
    request = CompletionRequest((ChatMessage("user", "?"),), 9, json_schema=SCHEMA)
    text = read_grammar(request)
    grammar = LlamaGrammar(vocabulary, text)
    brace = [t for t in range(vocabulary.num_tokens) if vocabulary.piece_of(t) == b"{"]
    likely, unlikely = logits.copy(), logits.copy()
    likely[brace], unlikely[brace] = logits.max() - 3, -99.0
    read_ms = measure_ms(lambda: read_grammar(request), 20)
    yield f"| schema to grammar | {read_ms:.2f} |"
    parse_ms = measure_ms(lambda: LlamaGrammar(vocabulary, text).close(), 20)
    yield f"| grammar read | {parse_ms:.2f} |"
    yield f"| a token that fits | {measure_ms(lambda: grammar.allows(brace[0])):.3f} |"
    spent_ms = measure_ms(lambda: grammar.mask(likely))
    yield f"| the {MAX_CANDIDATES} likeliest masked | {spent_ms:.2f} |"
    spent_ms = measure_ms(lambda: grammar.mask(unlikely), 20)
    yield f"| all {vocabulary.num_tokens} masked | {spent_ms:.1f} |"


def write(
    runner: LlamaRunner, requests: dict[str, CompletionRequest]
) -> dict[str, str]:
    """Return the replies that an engine of sixteen sequences writes."""
    slots = range(runner.num_slots)
    runner.compute(Step(tuple(Truncate(slot, 0) for slot in slots)))
    engine = Engine(runner, EngineConfig("-", num_cells=runner.num_cells))
    texts = dict.fromkeys(requests, "")
    for key, request in requests.items():
        engine.submit(key, request)
    while engine.has_work:
        for event in engine.step():
            if isinstance(event, Text):
                texts[event.key] += event.text
    return texts


def compare_seeds(model: str, num_replies: int) -> Iterable[str]:
    """Yield the rows of the third table."""
    runner = LlamaRunner(EngineConfig(model, num_threads=1))
    asked = [request.messages for request, _ in zip(
        build_requests(48), range(num_replies), strict=False
    )]  # fmt: skip
    for temperature in (0.7, 1.0, 1.5):
        requests = {
            str(n): CompletionRequest(messages, 48, temperature, 0.95, seed=n)
            for n, messages in enumerate(asked)
        }
        together = write(runner, requests)
        alone = {k: write(runner, {k: r})[k] for k, r in requests.items()}
        again = write(runner, requests)
        moved = sum(together[key] != alone[key] for key in requests)
        unlike = sum(together[key] != again[key] for key in requests)
        letters = sum(map(len, alone.values()))
        yield f"| {temperature} | {len(requests)} | {letters} | {moved} | {unlike} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.development.sampling_cost")
    parser.add_argument("model", nargs="?", default=str(BUNDLED))
    parser.add_argument("--replies", type=int, default=96)
    arguments = parser.parse_args()
    for head, rows in (
        ("| choice | ms | times greedy |", measure_options()),
        ("| grammar | ms |", measure_grammar()),
        ("| temperature | replies | letters | differ alone | differ again |",
         compare_seeds(arguments.model, arguments.replies)),
    ):  # fmt: skip
        sys.stdout.write(f"{head}\n|{'---|' * (head.count('|') - 1)}\n")
        for row in rows:
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
