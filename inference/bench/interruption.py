"""What a long prompt does to answers that are being written beside it."""

import threading
from collections.abc import Generator, Sequence
from contextlib import closing

from inference.bench.measures import Answer, find_percentile
from inference.bench.playing import Ask, read_answer
from inference.bench.workloads import Conversation, build_long_prompt, build_support
from inference.types import ChatMessage, Usage

# A running answer is ended as soon as the prompt is read; this is never enough.
ENDLESS_TOKENS = 1500

_LONG = -1


class _Streams:
    """Answers that are written until they are told to end, each read by a thread."""

    def __init__(self, ask: Ask, quiet_pieces: int) -> None:
        self._ask = ask
        self._quiet_pieces = quiet_pieces
        self._far = threading.Semaphore(0)
        self._is_over = threading.Event()
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
        """Wait until the quiet pieces of every answer are there."""
        for _ in range(num_streams):
            self._far.acquire()

    def end(self) -> None:
        """Let every answer end with its next piece."""
        self._is_over.set()

    def _read_one(self, number: int, conversation: Conversation) -> None:
        messages = conversation.build_messages([])
        try:
            answer, _ = read_answer(
                self._ask_until_over, messages, ENDLESS_TOKENS, (number, 1)
            )
            self.answers.append(answer)
        finally:
            self._far.release()  # so that nobody waits for one that failed

    def _ask_until_over(
        self, messages: tuple[ChatMessage, ...], max_tokens: int
    ) -> Generator[str | Usage, None, None]:
        with closing(self._ask(messages, max_tokens)) as items:
            for num_pieces, item in enumerate(items, start=1):
                yield item
                if num_pieces == self._quiet_pieces:
                    self._far.release()
                if self._is_over.is_set():
                    return


def measure_interruption(
    ask: Ask, seed: int, num_streams: int, quiet_pieces: int
) -> dict[str, float] | None:
    """Return the gaps of running answers before and while a long prompt is read.

    None if a running answer ended by itself before: then there was nothing to disturb.
    """
    streams = _Streams(ask, quiet_pieces)
    running = build_support(-seed, -seed, num_streams, 1).conversations
    threads = streams.read(running)
    try:
        streams.wait_until_far(num_streams)
        messages = build_long_prompt(seed).build_messages([])
        long, _ = read_answer(ask, messages, 1, (_LONG, 1))
    finally:
        streams.end()
        for thread in threads:
            thread.join()
    if len(streams.answers) < num_streams:
        raise RuntimeError("a running answer failed")
    return compare_gaps(streams.answers, long)


def compare_gaps(running: Sequence[Answer], long: Answer) -> dict[str, float] | None:
    """Return the 95th percentiles of the running answers' gaps, and their ratio.

    None if one of them ended before the long prompt was read.
    """
    all_begun_s = max(answer.asked_s + answer.ttft_s for answer in running)
    read_s = long.asked_s + long.ttft_s
    if min(answer.ended_s for answer in running) < read_s:
        return None
    gaps = [gap for answer in running for gap in answer.gaps]
    quiet = [
        late - early
        for early, late in gaps
        if all_begun_s <= early and late <= long.asked_s
    ]
    disturbed = [
        late - early for early, late in gaps if early < read_s and late > long.asked_s
    ]
    figures = {
        "quiet_gap_p95_s": find_percentile(quiet, 0.95),
        "disturbed_gap_p95_s": find_percentile(disturbed, 0.95),
        "disturbed_gap_worst_s": max(disturbed),
        "long_ttft_s": long.ttft_s,
    }
    ratio = figures["disturbed_gap_p95_s"] / figures["quiet_gap_p95_s"]
    return {**figures, "ratio": ratio}
