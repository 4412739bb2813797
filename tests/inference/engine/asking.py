"""What tests of the host ask, and how they wait for it."""

from inference.engine.wire import Finished, Text
from inference.types import ChatMessage, CompletionRequest


def ask(question="Where is my tent?", max_tokens=20, **options):
    return CompletionRequest((ChatMessage("user", question),), max_tokens, **options)


def endless(number=1):
    question = f"Tell me everything, and that {number} times."
    return ask(question, max_tokens=1500, temperature=2.0, seed=number)


def finish(ticket):
    while not isinstance(event := ticket.take(), Finished):
        pass
    return event.completion


def start_talking(host, request=None):
    ticket = host.submit(request or endless())
    assert isinstance(ticket.take(), Text)
    return ticket
