"""`manage.py rotate_keys`: encrypts the keys of backends with the newest key."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.rotation import rotate_keys


class Command(BaseCommand):
    """Moves all stored keys to the first of FIELD_ENCRYPTION_KEYS."""

    help = (
        "Put a new key before the old ones in FIELD_ENCRYPTION_KEYS, restart, run "
        "this, then take the old ones out. Safe to run again, also after it was "
        "interrupted. Exit status 1 if a key can be read by none: enter it again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--batch", type=int, default=100, help="rows at a time")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate, and say how many."""
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1")
        rotated = rotate_keys(options["batch"])
        self.stdout.write(
            f"{rotated.num_moved} encrypted anew, {rotated.num_current} were already"
        )
        if rotated.unreadable:
            names = ", ".join(rotated.unreadable)
            raise CommandError(
                f"none of FIELD_ENCRYPTION_KEYS reads the key of {names}: bring the "
                "old one back, or enter the key again"
            )
