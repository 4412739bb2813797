"""`manage.py measure_stack`: a model through the whole stack, and the model alone."""

import json
from argparse import ArgumentParser
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from inference import registry
from inference.backends.base import Backend
from inference.errors import BackendError
from inference.models import Backend as BackendRow
from inference.models import BackendKind
from support.management.commands.setup import BUNDLED_OPTIONS
from support.management.loadtest.connection import SocketLost
from support.management.loadtest.plan import Plan
from support.management.loadtest.site import Refused, Unreachable
from support.management.stack.alone import ask_alone, build_requests
from support.management.stack.figures import (
    Level,
    build_figures,
    format_figures,
    read_ledger,
)
from support.management.stack.serving import NotServed, serving
from support.management.stack.talking import NoReply, talk
from support.models import OPEN_STATES, Conversation, Turn

_ROW = "measured"
# a person does not answer within milliseconds; many together leave no pause
_LONE_PAUSE_S = 0.3
# a large model on few processors, with many who wait
_PATIENCE_S = 600
_FAILURES = (NotServed, NoReply, Refused, Unreachable, SocketLost, BackendError)


class Command(BaseCommand):
    """Starts web and worker, talks to them, and asks the model the same again."""

    help = (
        "Measure what the stack costs: conversations from websocket to websocket "
        "through one web process, Celery, Redis and one worker, and the same requests "
        "asked of the model alone, in turn. Prints tokens a second and the time to "
        "the first text of both. It needs REDIS_URL and a database of its own, which "
        "it fills: `make bench-stack` starts both."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--model", default="", help="a GGUF file; default: the bundled model")
        add("--options", type=json.loads, help="of the backend's row, JSON")
        add("--kind", default=BackendKind.LLAMA_CPP, choices=BackendKind.values)
        add("--chats", type=int, nargs="+", default=[1, 16], help="at once, each")
        add("--messages", type=int, default=3, help="in each conversation")
        add("--lone-messages", type=int, default=20, help="the same for one chat")
        add("--rounds", type=int, default=3, help="of stack and model, in turn")
        add("--max-tokens", type=int, default=48, help="of a reply")
        add("--json", type=Path, metavar="FILE", help="write the figures there too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up, measure, print, write."""
        if not settings.REDIS_URL:
            raise CommandError("REDIS_URL is not set: see `make bench-stack`.")
        call_command("setup", stdout=self.stderr)
        row = self._store_row(options)
        levels = [
            Level(number, *_choose_pace(number, options)) for number in options["chats"]
        ]
        try:
            self._measure(levels, row, options)
        except _FAILURES as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        figures = [
            build_figures(
                level, read_ledger(one for talked, _ in level.rounds for one in talked)
            )
            for level in levels
        ]
        if options["json"]:
            options["json"].write_text(json.dumps(figures, indent=1) + "\n")
        self.stdout.write(format_figures(figures))

    def _store_row(self, options: dict[str, Any]) -> BackendRow:
        """Make one backend of the model, the only one that is enabled."""
        is_ours = BackendRow.objects.filter(name=_ROW).exists()
        if Conversation.objects.exists() and not is_ours:
            raise CommandError("The database has conversations: take an empty one.")
        # of a run that was cut short: a worker would answer them now
        Turn.objects.filter(state__in=OPEN_STATES).delete()
        given = options["options"]
        default = {} if options["model"] else BUNDLED_OPTIONS
        BackendRow.objects.update(is_enabled=False)
        row, _ = BackendRow.objects.update_or_create(
            name=_ROW,
            defaults={
                "kind": options["kind"],
                "model": options["model"],
                "options": default if given is None else given,
                "is_enabled": True,
                "first_token_s": _PATIENCE_S,
                "gap_s": _PATIENCE_S,
            },
        )
        registry.check_backend(row)
        return row

    def _measure(
        self, levels: list[Level], row: BackendRow, options: dict[str, Any]
    ) -> None:
        """Play all rounds; a first conversation that does not count warms both up."""
        num_chats = max(level.num_chats for level in levels)
        environment = {
            "TURN_DEADLINE_S": str(_PATIENCE_S),
            "REPLY_MAX_TOKENS": str(options["max_tokens"]),
            "WORKER_THREADS": str(max(num_chats, settings.WORKER_THREADS)),
        }
        with ExitStack() as stack:
            folder = settings.VAR_DIR / "measure_stack"
            url = stack.enter_context(serving(folder, environment))
            backend = stack.enter_context(closing(registry.build_backend(row)))
            backend.start()
            plan = Plan(url=url, run=_ROW)
            _play_round(Level(1, 2, 0.0), plan, backend, options["max_tokens"])
            for number in range(1, options["rounds"] + 1):
                for level in levels:
                    self.stderr.write(f"round {number}, {level.num_chats} at once")
                    _play_round(level, plan, backend, options["max_tokens"])


def _choose_pace(num_chats: int, options: dict[str, Any]) -> tuple[int, float]:
    """Return how many messages a conversation has, and the pause before each."""
    if num_chats == 1:
        return options["lone_messages"], _LONE_PAUSE_S
    return options["messages"], 0.0


def _play_round(level: Level, plan: Plan, backend: Backend, max_tokens: int) -> None:
    """Talk to the stack, then ask the model alone the same."""
    exchanges = talk(plan, level.num_chats, level.num_messages, level.pause_s)
    requests = build_requests(exchanges, max_tokens)
    answers = ask_alone(backend, requests, level.pause_s)
    level.rounds.append((exchanges, answers))
