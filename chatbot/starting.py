"""What every process does before it serves anybody."""

import logging
import sys

from django.core.checks import run_checks

logger = logging.getLogger(__name__)

# the groups of checks.py
SETTINGS, SERVICES = "chat_settings", "chat_services"


def check_start() -> None:
    """Run the checks: log what is unwise, exit with what is wrong."""
    found = run_checks(tags=[SETTINGS, SERVICES], include_deployment_checks=True)
    errors = [message for message in found if message.is_serious()]
    for message in found:
        if message not in errors:
            logger.warning("%s", message)
    if errors:
        sys.exit("\n".join(map(str, errors)))
