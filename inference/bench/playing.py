"""Plays a workload like customers do: as many threads as conversations at once."""

import threading
import time
from collections.abc import Callable, Generator

from inference.bench.measures import Answer, Run
from inference.bench.words import count_words
from inference.bench.workloads import Agenda, Workload
from inference.types import ChatMessage, Usage

# Yields text as it comes, at last what was used if that is known. Closing it gives up.
Ask = Callable[[tuple[ChatMessage, ...], int], Generator[str | Usage, None, None]]


class _Players:
    """The threads' shared state. The first error ends the run."""

    def __init__(self, ask: Ask, workload: Workload) -> None:
        self._ask = ask
        self._workload = workload
        self._agenda = Agenda(workload.order)
        self._changed = threading.Condition()
        self._texts: list[list[str]] = [[] for _ in workload.conversations]
        self.answers: list[Answer] = []
        self.error: Exception | None = None

    def play(self) -> None:
        """Take turns until there are none; for each of the threads."""
        while (number := self._take()) is not None:
            try:
                self._play_turn(number)
            except Exception as error:
                self.error = self.error or error
            with self._changed:
                self._agenda.finish(number)
                self._changed.notify_all()

    def _take(self) -> int | None:
        with self._changed:
            while not self._agenda.is_empty and self.error is None:
                number = self._agenda.take()
                if number is not None:
                    return number
                self._changed.wait()
        return None

    def _play_turn(self, number: int) -> None:
        texts = self._texts[number]
        messages = self._workload.conversations[number].build_messages(texts)
        answer, text = read_answer(
            self._ask, messages, self._workload.answer_tokens, (number, len(texts) + 1)
        )
        texts.append(text)
        self.answers.append(answer)


def play_workload(ask: Ask, workload: Workload) -> Run:
    """Return the measured answers; raises what `ask` raised."""
    players = _Players(ask, workload)
    threads = [
        threading.Thread(target=players.play) for _ in range(workload.num_parallel)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if players.error is not None:
        raise players.error
    return Run(players.answers)


def read_answer(
    ask: Ask,
    messages: tuple[ChatMessage, ...],
    max_tokens: int,
    place: tuple[int, int],
) -> tuple[Answer, str]:
    """Return one answer, measured from outside, and its text.

    `place` is the number of the conversation and of the turn.
    """
    texts = []
    answer = Answer(*place, asked_s=time.perf_counter())
    for item in ask(messages, max_tokens):
        if isinstance(item, Usage):
            answer.usage = item
        else:
            answer.pieces.append((time.perf_counter(), max(count_words(item), 1)))
            texts.append(item)
    return answer, "".join(texts)
