"""Makes rows for tests; each takes what matters and fills in the rest."""

from datetime import timedelta
from itertools import count

from django.utils import timezone

from inference.models import Backend, BackendKind
from support.chat import services, visitors
from support.models import (
    Attempt,
    AttemptOutcome,
    Conversation,
    Message,
    Site,
    SystemPrompt,
    Turn,
)

_numbers = count(1)


def make_site(**values) -> Site:
    number = next(_numbers)
    values = {"key": f"site-{number}", "name": f"Site {number}"} | values
    site = Site.objects.create(**values)
    SystemPrompt.objects.create(
        site=site, version=1, content="Answer from the articles.", is_active=True
    )
    return site


def make_conversation(site: Site | None = None) -> Conversation:
    return visitors.start_session(site or make_site()).conversation


def make_turn(conversation: Conversation | None = None, content: str = "hello") -> Turn:
    conversation = conversation or make_conversation()
    client_id = f"client-{next(_numbers):06}"
    accepted = services.post_message(conversation.id, content, client_id, "10.0.0.1")
    return accepted.turn


def make_backend(*scripts: str, name: str = "scripted", **values) -> Backend:
    return Backend.objects.create(
        name=name,
        kind=BackendKind.SCRIPTED,
        options={"scripts": list(scripts) or ["echo"]},
        **values,
    )


def make_attempt(turn: Turn, **values) -> Attempt:
    now = timezone.now()
    values = {
        "number": turn.attempts.count() + 1, "turn_attempt": 1, "backend": "local",
        "outcome": AttemptOutcome.COMPLETED, "queue_ms": 5, "started_at": now,
        "finished_at": now,
    } | values  # fmt: skip
    return Attempt.objects.create(turn=turn, **values)


def change_turn(turn: Turn, **values) -> Turn:
    Turn.objects.filter(pk=turn.pk).update(**values)
    return Turn.objects.get(pk=turn.pk)


def past(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


def contents(conversation: Conversation) -> list[tuple[int, str, str]]:
    messages = Message.objects.filter(conversation=conversation).order_by("seq")
    return [(m.seq, m.role, m.content) for m in messages]
