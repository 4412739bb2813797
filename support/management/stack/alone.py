"""The model alone: the requests of a stack's turns, asked of a backend again."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

from inference.backends.base import Backend
from inference.types import CancelToken, Completion, CompletionRequest, Deadlines, Delta
from support.chat.answering import build_question
from support.chat.turns import with_all_for_a_reply
from support.management.stack.talking import Exchange, NoReply

_DEADLINES = Deadlines(first_token_s=120, gap_s=60, total_s=600)


@dataclass(frozen=True, slots=True)
class Answer:
    """A request and its reply; seconds of `time.perf_counter`."""

    turn: UUID
    asked_s: float
    first_s: float
    done_s: float
    num_tokens: int


def build_requests(
    exchanges: Sequence[Exchange], max_tokens: int
) -> list[list[tuple[UUID, CompletionRequest]]]:
    """Return by conversation what a worker asked of the model, with the turns' ids.

    Made again from what is stored, by the same code: the prompts are the same.
    """
    turns = with_all_for_a_reply().in_bulk([exchange.turn for exchange in exchanges])
    ordered = sorted(exchanges, key=lambda exchange: (exchange.chat, exchange.number))
    return [
        [
            (
                exchange.turn,
                replace(
                    build_question(turns[exchange.turn]).request, max_tokens=max_tokens
                ),
            )
            for exchange in chat
        ]
        for _, chat in groupby(ordered, key=lambda exchange: exchange.chat)
    ]


def ask_alone(
    backend: Backend,
    chats: Sequence[Sequence[tuple[UUID, CompletionRequest]]],
    pause_s: float,
) -> list[Answer]:
    """Return the answers to the requests, asked in the same manner as `talk` does.

    A thread for each conversation. Raises NoReply, BackendError.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def hold(chat: Sequence[tuple[UUID, CompletionRequest]]) -> None:
        try:
            for turn, request in chat:
                time.sleep(pause_s)
                answers.append(_ask(backend, turn, request))
        except Exception as error:  # the edge of a thread: raised in the caller's
            errors.append(error)

    threads = [threading.Thread(target=hold, args=[chat]) for chat in chats]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers


def _ask(backend: Backend, turn: UUID, request: CompletionRequest) -> Answer:
    asked_s = time.perf_counter()
    first_s: float | None = None
    completion: Completion | None = None
    for item in backend.stream(request, _DEADLINES, CancelToken()):
        if isinstance(item, Delta):
            first_s = first_s or time.perf_counter()
        elif isinstance(item, Completion):
            completion = item
    if first_s is None or completion is None or completion.usage is None:
        raise NoReply(f"{backend.name} said nothing to {request.messages[-1]}")
    num_tokens = completion.usage.completion_tokens
    return Answer(turn, asked_s, first_s, time.perf_counter(), num_tokens)
