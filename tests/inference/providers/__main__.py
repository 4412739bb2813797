"""Runs the stand-in by itself: `manage.py fakeprovider`, docs/providers.md."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from tests.inference.providers.faults import LINE_FAULTS, Fault, parse_order
from tests.inference.providers.provider import DIALECTS, KEY, REPLY, Provider

_MODELS = {
    "openai": "gpt-4.1-mini",
    "anthropic": "claude-sonnet-5-5",
    "gemini": "gemini-3.8-flash",
}


def main(arguments: list[str]) -> int:
    """Serve until a signal; return the exit status."""
    options = _read(arguments)
    try:
        stand_in = Provider(options.reply, options.key, options.port, options.ledger)
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {options.port}: {error}\n")
        return 1
    stand_in.reasoning_tokens = options.reasoning_tokens
    if options.slow:
        stand_in.stand(f"slow:{options.slow}")
    if options.fault:
        stand_in.stand(options.fault[-1])
        stand_in.queue(options.fault[:-1])
    sys.stdout.write(_describe(stand_in))
    sys.stdout.flush()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    stand_in.close()
    return 0


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("fakeprovider", description=_HELP)
    parser.add_argument("--port", type=int, default=8399, help="default 8399; 0: any")
    parser.add_argument("--key", default=KEY, help=f"what opens it; default {KEY}")
    parser.add_argument("--reply", default=REPLY, help="what it says to everything")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_check,
        metavar="FAULT",
        help="what goes wrong; more than one: one a call, the last one for ever",
    )
    parser.add_argument(
        "--slow", type=float, default=0.0, metavar="S", help="pause before each piece"
    )
    parser.add_argument(
        "--reasoning-tokens", type=int, default=0, metavar="N", help="thought before"
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="FILE", help="a JSON line for each call"
    )
    return parser.parse_args(arguments)


def _check(words: str) -> str:
    try:
        order = parse_order(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if order.fault in LINE_FAULTS:
        raise argparse.ArgumentTypeError(
            f"{order.fault} is a base URL of its own, which is printed at the start"
        )
    return words


def _describe(stand_in: Provider) -> str:
    """Return how to use it, as text for a terminal."""
    lines = [
        f"A stand-in for providers is at 127.0.0.1:{stand_in.port}; Ctrl-C ends it.",
        "",
        "Start the project with PRIVATE_ENDPOINTS=127.0.0.1 (it is no public address),",
        f"and add backends in the admin with the key {stand_in.key}:",
        "",
        *[
            f"  {name:<18} endpoint {stand_in.url(name):<28} model {_MODELS[name]}"
            for name in DIALECTS
        ],
        f"  {'openai_compatible':<18} endpoint {stand_in.url('openai'):<28} any model",
        "",
        "Addresses that fail before anything is said (add /v1 for openai):",
        "",
        *[f"  {fault:<18} {stand_in.url('anthropic', fault)}" for fault in LINE_FAULTS],
        "",
        "While it runs:",
        "",
        f"  curl -d 429:30 http://127.0.0.1:{stand_in.port}/_fault",
        f'  curl -d "500 500 none" http://127.0.0.1:{stand_in.port}/_fault?dialect=openai',
        f"  curl http://127.0.0.1:{stand_in.port}/_ledger",
        "",
    ]
    return "\n".join(lines) + "\n"


_ANSWERED = ", ".join(fault for fault in Fault if fault not in LINE_FAULTS)
_HELP = (
    "OpenAI, Anthropic and Google on 127.0.0.1, as strict as they are, failing on "
    f"order. Faults: {_ANSWERED}. 429 and 529 take the seconds to wait (429:30), slow "
    "the pause before each piece (slow:0.5)."
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
