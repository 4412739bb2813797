"""`manage.py drill`: rehearses a failure and says whether the fallback fired."""

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.backends.faulty import MEANINGS, Fault
from inference.models import Drill
from support.chat import drills, fire_drills

_POLL_S = 0.2
# until the reaper of some worker finds the question, and the reply is stored
_GRACE_S = 20
_NOT_PROVEN, _NOBODY_THERE = 1, 2


class Command(BaseCommand):
    """Asks one question in which a backend fails, and waits for what becomes of it."""

    help = (
        "Put a fault in front of a backend for one synthetic conversation, which a "
        "running worker answers, and say who answered instead, in how long, and what "
        "a customer would have seen. The failure calls nobody; the fallback's call is "
        "real and costs what it costs. Exit status 1: no other backend answered; 2: "
        "no worker took the question."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        lines = [f"  {fault.value:14}{MEANINGS[fault]}" for fault in Fault]
        parser.epilog = "\n".join(["faults:", *lines])
        parser.add_argument("backend", metavar="BACKEND")
        parser.add_argument(
            "fault", metavar="FAULT", choices=[fault.value for fault in Fault]
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Begin a drill, wait, print what was written down."""
        try:
            drill = fire_drills.begin(
                options["backend"], Fault(options["fault"]), "manage.py"
            )
        except fire_drills.DrillRefused as error:
            raise CommandError(str(error)) from error
        self._wait(drill)
        for line in describe(drill):
            self.stdout.write(line)
        if not drill.is_proven:
            raise CommandError("The fallback is not proven.", returncode=_NOT_PROVEN)

    def _wait(self, drill: Drill) -> None:
        """Wait until the drill is over; ends it if nobody took it in time."""
        until_s = time.monotonic() + settings.TURN_DEADLINE_S + _GRACE_S
        while drill.is_proven is None and time.monotonic() < until_s:
            time.sleep(_POLL_S)
            drill.refresh_from_db()
        if drill.is_proven is None and drill.conversation is not None:
            drills.give_up(drill.conversation, "No worker answered the question.")
            raise CommandError(
                "No worker answered the question. Does one run?",
                returncode=_NOBODY_THERE,
            )


def describe(drill: Drill) -> list[str]:
    """Return how a drill ended, a line for each thing to say."""
    took_s = (drill.took_ms or 0) / 1000
    verdict = f"not proven, after {took_s:.1f} s"
    if drill.is_proven and drill.fallback_ms is not None:
        first_s = drill.fallback_ms / 1000
        verdict = (
            f"proven: {drill.answered_by} answered, first word after {first_s:.1f} s, "
            f"all of it after {took_s:.1f} s"
        )
    cost = "unknown" if drill.cost_usd is None else f"${drill.cost_usd.normalize():f}"
    return [
        f"{drill.backend}, {drill.fault}: {verdict}",
        "",
        "What a customer would have seen:",
        *(f"  {line}" for line in drill.shown.splitlines()),
        "",
        "What was decided:",
        *(f"  {line}" for line in drill.report.splitlines()),
        "",
        f"The fallback's cost: {cost}",
    ]
