"""What every process does before it serves anybody."""

import logging
import resource
import sys
from contextlib import suppress

from django.core.checks import run_checks

logger = logging.getLogger(__name__)

# the groups of checks.py
SETTINGS, SERVICES = "chat_settings", "chat_services"

_FILES = 65536


def check_start() -> None:
    """Run the checks: log what is unwise, exit with what is wrong."""
    found = run_checks(tags=[SETTINGS, SERVICES], include_deployment_checks=True)
    errors = [message for message in found if message.is_serious()]
    for message in found:
        if message not in errors:
            logger.warning("%s", message)
    if errors:
        sys.exit("\n".join(map(str, errors)))


def allow_many_sockets() -> None:
    """Raise this process's soft limit of open files: each socket is one.

    Most systems and containers begin with 1,024 and let a process have far more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if wanted > soft != resource.RLIM_INFINITY:
        with suppress(ValueError, OSError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
