"""`manage.py fakeprovider`: a provider to try backends, faults and bills on."""

import os
import sys
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

_MODULE = "tests.inference.providers"


class Command(BaseCommand):
    """Runs the tests' stand-in for providers; docs/providers.md says more."""

    help = (
        "Runs a stand-in for OpenAI, Anthropic and Google on 127.0.0.1 that fails on "
        "order, and says how to add backends for it. It is part of the tests: "
        "fakeprovider --help names its options."
    )
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Pass what stands after the command's name on as it is."""
        self.execute(options=argv[2:], force_color=False, no_color=False)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what the stand-in takes."""
        parser.add_argument("options", nargs=REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """Become the stand-in, which ends by Ctrl-C."""
        folder = settings.BASE_DIR.joinpath(*_MODULE.split("."))
        if not (folder / "__main__.py").is_file():
            raise CommandError(
                f"The stand-in is part of the tests, and {folder} is not there. "
                "An installation without tests/ cannot run it; a checkout can."
            )
        paths = [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-m", _MODULE, *options["options"]]
        os.execve(sys.executable, command, environment)  # noqa: S606 - in our place
