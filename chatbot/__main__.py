"""`python -m chatbot`: serves everything on one port, in one command.

The web process runs here; with EMBEDDED_WORKER the worker runs in a thread of it,
and the model in a child process of that. `--setup` runs `manage.py setup` before, in
the same process, which saves a start of Django.
"""

import argparse
import os
import sys

import django
import uvicorn
from django.conf import settings
from django.core.management import call_command

from chatbot.embedded import stop_worker
from chatbot.serving import build_options
from chatbot.starting import allow_many_sockets, check_start

ADDRESSES = """
  Shop with the chat   http://localhost:{port}/
  Help articles        http://localhost:{port}/help/
  Admin                http://localhost:{port}/admin/
  Ctrl-C stops.

"""


def main() -> None:
    """Serve until Ctrl-C or SIGTERM, then stop the worker and the engine."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
    arguments = read_arguments()
    django.setup()
    if arguments.setup:
        call_command("setup")
        sys.stdout.write(ADDRESSES.format(port=arguments.port))
        sys.stdout.flush()
    check_start()
    allow_many_sockets()
    try:
        serve(arguments.host, arguments.port)
    finally:
        stop_worker()


def read_arguments() -> argparse.Namespace:
    """Return the command line's options; settings are the defaults."""
    parser = argparse.ArgumentParser(prog="python -m chatbot", description=__doc__)
    parser.add_argument("--setup", action="store_true")
    parser.add_argument("--host", default=settings.HOST)
    parser.add_argument("--port", type=int, default=settings.PORT)
    return parser.parse_args()


def serve(host: str, port: int) -> None:
    """Run the server; importing the application starts the embedded worker."""
    uvicorn.run("chatbot.asgi:application", **build_options(host, port))


if __name__ == "__main__":
    main()
