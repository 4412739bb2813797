"""What a process does for itself before it serves."""

import subprocess
import sys

SHOW = """
import resource
from chatbot.starting import allow_many_sockets
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_many_sockets()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits_after(soft: int, hard: int) -> str:
    """Return the limits of a process that began with these: they only go down."""
    code = SHOW.format(soft=soft, hard=hard)
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, text=True).strip()


def test_a_server_may_open_as_many_sockets_as_the_system_lets_it():
    assert limits_after(100, 500) == "(500, 500)"


def test_a_limit_that_is_reached_already_stays():
    assert limits_after(400, 400) == "(400, 400)"
