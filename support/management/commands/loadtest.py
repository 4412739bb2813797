"""`manage.py loadtest`: visitors on real websockets, timed, and checked for losses."""

import asyncio
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from support.management.loadtest.marks import choose_run
from support.management.loadtest.plan import QUESTIONS, Plan
from support.management.loadtest.play import play
from support.management.loadtest.report import build_report, format_report
from support.management.loadtest.site import Refused

_BAD_INPUT, _BROKEN = 2, 1


class Command(BaseCommand):
    """Plays visitors against a running server, of which it knows the address only."""

    help = (
        "Play conversations against a running server over real websockets; every one "
        "has a word of its own in its messages, so that foreign text is seen. Prints "
        "times, speed, errors, and what was lost, doubled, out of order or mixed. "
        "Exits with 1 if anything was, with 2 if the server does not let the test in. "
        "docs/loadtest.md says what each number means."
    )
    requires_system_checks = ()  # it is a client: its own database is not used

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options; they are fields of `Plan`."""
        parser.add_argument("url", help="such as http://localhost:8000")
        add = parser.add_argument
        add("--site", default="demo", help="the site's key")
        add("--origin", default="", help="of the page; else the server's own")
        add("--chats", type=int, default=20, help="conversations at once")
        add("--messages", type=int, default=3, help="in each conversation")
        add("--ramp-up-s", type=float, default=5, help="until all chats have begun")
        add("--think-s", type=float, default=2, help="mean pause after a reply")
        add(
            "--duration-s",
            type=float,
            default=0,
            help="begin new conversations for so long; else each chat has one",
        )
        add("--wait-s", type=float, default=120, help="longest wait for a reply")
        add(
            "--drop",
            type=float,
            default=0,
            metavar="SHARE",
            help="of the replies during which the connection is cut, 0 to 1",
        )
        add(
            "--pace",
            type=float,
            default=0,
            help="words a second of the server's backend, if it is known",
        )
        add("--idle", type=int, default=0, help="sockets that say nothing")
        add("--idle-s", type=float, default=10, help="how long to look at those")
        add("--questions", type=Path, help="a file with one question a line")
        add("--seed", type=int, default=1, help="of pauses, questions and cuts")
        add(
            "--server-pid",
            type=int,
            action="append",
            default=[],
            help="a process of the server on this machine, to measure; may be repeated",
        )
        add("--json", type=Path, metavar="FILE", help="write the report there too")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play, print, write."""
        try:
            plan = build_plan(options)
            played = asyncio.run(play(plan, self._tell))
        except (ValueError, OSError, Refused) as error:
            raise CommandError(str(error), returncode=_BAD_INPUT) from error
        report = build_report(played)
        if options["json"]:
            text = json.dumps(report, indent=1, ensure_ascii=False)
            options["json"].write_text(text + "\n", encoding="utf-8")
        self.stdout.write(format_report(report))
        if report["violations"]:
            num_broken = len(report["violations"])
            raise CommandError(f"{num_broken} promises broken", returncode=_BROKEN)

    def _tell(self, line: str) -> None:
        self.stderr.write(line, str)


def build_plan(options: dict[str, Any]) -> Plan:
    """Return the plan of the command line's options; raises ValueError, OSError."""
    questions = QUESTIONS
    if options["questions"]:
        lines = options["questions"].read_text(encoding="utf-8").splitlines()
        questions = tuple(line.strip() for line in lines if line.strip())
    return Plan(
        url=options["url"],
        run=choose_run(),
        site=options["site"],
        origin=options["origin"],
        num_chats=options["chats"],
        num_messages=options["messages"],
        ramp_up_s=options["ramp_up_s"],
        think_s=options["think_s"],
        duration_s=options["duration_s"],
        wait_s=options["wait_s"],
        drop_share=options["drop"],
        words_per_s=options["pace"],
        num_idle=options["idle"],
        idle_s=options["idle_s"],
        seed=options["seed"],
        questions=questions,
        server_pids=tuple(options["server_pid"]),
    )
