"""`manage.py measure_answers`: how often a backend answers right."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference import registry
from inference.backends.base import Backend
from inference.errors import BackendError
from inference.models import Backend as BackendRow
from inference.types import (
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
    Delta,
)
from support.chat import prompts
from support.knowledge import citations, retrieval
from support.knowledge.importing import ImportFailed
from support.knowledge.measuring import Labelled, read_questions
from support.models import SystemPrompt

# loading a model is part of the first answer
_DEADLINES = Deadlines(connect_s=30, first_token_s=60, gap_s=30, total_s=120)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, its reply, and what can be said of it without a person."""

    question: str
    reply: str
    facts: Sequence[str]
    is_fact_given: bool  # a passage in the prompt holds all facts
    is_right: bool  # the reply holds all facts; with none to hold, it cites nothing
    is_cited: bool  # a passage supports the reply
    is_invented: bool  # a number or address that was never given


class Command(BaseCommand):
    """Asks a backend labelled questions with the stored articles and prompt."""

    help = (
        "Measure answers: questions from a .jsonl file with question, article, fact "
        "and maybe history, asked of one backend with retrieval, prompt and settings "
        "as in the chat. Right is a reply that holds every fact; for questions that "
        "no article answers, one that cites nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("questions", type=Path)
        parser.add_argument("--backend", help="its name; else the first enabled one")
        parser.add_argument("--site", default="demo", help="whose prompt is used")
        parser.add_argument("--output", type=Path, help="write the replies as .jsonl")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, score, print the wrong replies and the totals."""
        try:
            questions = read_questions(options["questions"])
        except ImportFailed as error:
            raise CommandError(str(error)) from error
        backend = registry.build_backend(_find_backend(options["backend"]))
        prompt = SystemPrompt.objects.filter(
            site__key=options["site"], is_active=True
        ).first()
        if prompt is None:
            raise CommandError(f"no active prompt for site {options['site']!r}")
        with closing(backend):
            backend.start()
            answers = [ask(backend, prompt.content, item) for item in questions]
        for answer in answers:
            if not answer.is_right:
                self.stdout.write(f"wrong: {answer.question}\n    {answer.reply}")
        self._print_totals(answers)
        if options["output"]:
            lines = [json.dumps(asdict(answer)) + "\n" for answer in answers]
            options["output"].write_text("".join(lines), encoding="utf-8")

    def _print_totals(self, answers: Sequence[Answered]) -> None:
        asked = [answer for answer in answers if answer.facts]
        given = [answer for answer in asked if answer.is_fact_given]
        unanswerable = [answer for answer in answers if not answer.facts]
        rows = {
            "right": (sum(answer.is_right for answer in asked), asked),
            "fact was in the prompt": (len(given), asked),
            "right where it was": (sum(answer.is_right for answer in given), given),
            "right and cited": (
                sum(answer.is_right and answer.is_cited for answer in asked),
                asked,
            ),
            "refused what nothing answers": (
                sum(answer.is_right for answer in unanswerable),
                unanswerable,
            ),
            "invented a number or address": (
                sum(answer.is_invented for answer in answers),
                answers,
            ),
        }
        for name, (count, group) in rows.items():
            share = f"{count / len(group):.0%}" if group else "-"
            self.stdout.write(f"{name:30} {count} of {len(group)} ({share})")


def ask(backend: Backend, prompt: str, labelled: Labelled) -> Answered:
    """Return the scored reply; the questions before it are asked first.

    Raises CommandError if the backend fails.
    """
    history: list[ChatMessage] = []
    earlier: list[str] = []
    for question in [*labelled.earlier, labelled.question]:
        passages = retrieval.retrieve(question, earlier)
        request = prompts.build_request(
            prompt, history, passages, question, settings.REPLY_MAX_TOKENS
        )
        reply = _complete(backend, request)
        history += [ChatMessage("user", question), ChatMessage("assistant", reply)]
        earlier.append(question)
    is_cited = bool(citations.verify_citations(reply, passages))
    texts = [message.content for message in request.messages]
    facts = labelled.facts
    return Answered(
        question=labelled.question,
        reply=reply,
        facts=facts,
        is_fact_given=any(all(f in item.text for f in facts) for item in passages),
        is_right=all(fact in reply for fact in facts) if facts else not is_cited,
        is_cited=is_cited,
        is_invented=bool(citations.find_invented(reply, texts)),
    )


def _find_backend(name: str | None) -> BackendRow:
    rows = BackendRow.objects.filter(is_enabled=True)
    row = BackendRow.objects.filter(name=name).first() if name else rows.first()
    if row is None:
        raise CommandError(f"no backend {name or 'is enabled'!r}")
    return row


def _complete(backend: Backend, request: CompletionRequest) -> str:
    try:
        with closing(backend.stream(request, _DEADLINES, CancelToken())) as items:
            return "".join(
                item.text for item in items if isinstance(item, Delta)
            ).strip()
    except BackendError as error:
        raise CommandError(f"{backend.name}: {error!r}") from error
