"""Requests of all kinds for a real model, in the form of the application's prompts."""

import re

from inference.bench.quick import ARTICLES, QUESTIONS, SYSTEM
from inference.types import ChatMessage, CompletionRequest, Quotable

GRAMMARS = (
    'root ::= ("Yes" | "No") ", " [a-z ]+ "."',
    'root ::= "It takes " [0-9]+ " days."',
)
KINDS = ("quoting", "quoting", "free", "stopped", "constrained", "seeded", "hot")


def build_load(dice, count):
    """Return requests by key, each of them different; some continue another."""
    requests = {}
    for number in range(count):
        earlier = dice.choice([None, *requests.values()]) if requests else None
        kind = dice.choice(KINDS)
        requests[f"{number} {kind}"] = build_request(dice, number, kind, earlier)
    return requests


def build_request(dice, number, kind, earlier=None):
    """Return a request that may go on with the conversation of an earlier one."""
    articles = dice.sample(ARTICLES, dice.randint(1, 2))
    passages = [f"[{n}] Shop {number}: {text}" for n, text in enumerate(articles, 1)]
    block = "\n\n".join(["Help articles:", *passages])
    question = ChatMessage("user", f"{block}\n\nQuestion: {dice.choice(QUESTIONS)}")
    history = (ChatMessage("system", SYSTEM),)
    if earlier is not None and dice.random() < 0.5:
        said = ChatMessage("assistant", dice.choice(ARTICLES).partition("\n")[2])
        history = (*earlier.messages[:2], said)
    options = {
        "quoting": {"quotable": _list_sentences(passages)},
        "free": {"repetition_penalty": dice.choice([1.0, 1.2])},
        "stopped": {"stop": ("days", "er ")},
        "constrained": {"grammar": dice.choice(GRAMMARS)},
        "seeded": {"temperature": 0.7, "seed": number, "top_p": 0.95},
        "hot": {"temperature": 1.0, "seed": number, "min_p": 0.05},
    }[kind]
    max_tokens = dice.choice([1, 12, 40])
    return CompletionRequest((*history, question), max_tokens, **options)


def _list_sentences(passages):
    texts = [re.findall(r"[^\n]+?\.(?=\s|$)", text) for text in passages]
    return tuple(Quotable(text.strip(), 0.2) for texts_ in texts for text in texts_)
