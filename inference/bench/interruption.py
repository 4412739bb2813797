"""What a long prompt does to answers that are being written beside it."""

import threading
from collections.abc import Iterator, Sequence

from inference.bench.measures import Answer, find_percentile
from inference.bench.playing import Ask, read_answer
from inference.bench.workloads import Conversation, build_long_prompt, build_support
from inference.types import ChatMessage, Usage

# The part of the running answers that comes before the long prompt does.
QUIET_SHARE = 0.4

_LONG = -1


class _Streams:
    """Answers that are being written, each by a thread."""

    def __init__(self, ask: Ask, num_tokens: int) -> None:
        self._ask = ask
        self._num_tokens = num_tokens
        self._far = threading.Semaphore(0)
        self.answers: list[Answer] = []

    def read(self, conversations: Sequence[Conversation]) -> list[threading.Thread]:
        """Begin to read an answer for each conversation."""
        threads = [
            threading.Thread(target=self._read_one, args=[number, conversation])
            for number, conversation in enumerate(conversations)
        ]
        for thread in threads:
            thread.start()
        return threads

    def wait_until_far(self, num_streams: int) -> None:
        """Wait until the quiet share of every answer is there."""
        for _ in range(num_streams):
            self._far.acquire()

    def _read_one(self, number: int, conversation: Conversation) -> None:
        messages = conversation.build_messages([])
        try:
            answer, _ = read_answer(
                self._ask_noting, messages, self._num_tokens, (number, 1)
            )
            self.answers.append(answer)
        finally:
            self._far.release()  # so that nobody waits for one that failed

    def _ask_noting(
        self, messages: tuple[ChatMessage, ...], max_tokens: int
    ) -> Iterator[str | Usage]:
        """Ask, and tell when the quiet share has come."""
        for num_pieces, item in enumerate(self._ask(messages, max_tokens), start=1):
            yield item
            if num_pieces == round(QUIET_SHARE * max_tokens):
                self._far.release()


def measure_interruption(
    ask: Ask, seed: int, num_streams: int, num_tokens: int
) -> dict[str, float]:
    """Return the gaps of running answers before and while a long prompt is read.

    Raises RuntimeError if a running answer ended before the prompt was read: then
    there was nothing to disturb.
    """
    streams = _Streams(ask, num_tokens)
    running = build_support(-seed, -seed, num_streams, 1).conversations
    threads = streams.read(running)
    streams.wait_until_far(num_streams)
    long, _ = read_answer(
        ask, build_long_prompt(seed).build_messages([]), 1, (_LONG, 1)
    )
    for thread in threads:
        thread.join()
    if len(streams.answers) < num_streams:
        raise RuntimeError("a running answer failed")
    return compare_gaps(streams.answers, long)


def compare_gaps(running: Sequence[Answer], long: Answer) -> dict[str, float]:
    """Return the 95th percentiles of the running answers' gaps, and their ratio."""
    all_begun_s = max(answer.asked_s + answer.ttft_s for answer in running)
    read_s = long.asked_s + long.ttft_s
    if min(answer.ended_s for answer in running) < long.asked_s:
        raise RuntimeError("a running answer ended before the long prompt came")
    quiet = [
        gap
        for answer in running
        for gap in answer.gaps_between(all_begun_s, long.asked_s)
    ]
    disturbed = [
        gap for answer in running for gap in answer.gaps_between(long.asked_s, read_s)
    ]
    figures = {
        "quiet_gap_p95_s": find_percentile(quiet, 0.95),
        "disturbed_gap_p95_s": find_percentile(disturbed, 0.95),
        "disturbed_gap_worst_s": max(disturbed),
        "long_ttft_s": long.ttft_s,
    }
    ratio = figures["disturbed_gap_p95_s"] / figures["quiet_gap_p95_s"]
    return {**figures, "ratio": ratio}
