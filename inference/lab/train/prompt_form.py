"""The run-time prompt: ChatML, passages with the question in the last user message."""

from __future__ import annotations

from inference.lab.train.blocks import Block, Branch
from inference.types import ChatMessage

START, END = "<|im_start|>", "<|im_end|>"


def opening(block: Block) -> str:
    """Return what the questions of a block share: system prompt, turns, passages."""
    turns = [f"{START}system\n{block.system}{END}\n"]
    for question, answer in block.history:
        turns.append(f"{START}user\n{question}{END}\n{START}assistant\n{answer}{END}\n")
    return "".join(turns) + f"{START}user\n{_passages(block)}"


def question_text(branch: Branch) -> str:
    """Return the end of a prompt, from the question to where the answer starts."""
    return f"\n\nQuestion: {branch.question}{END}\n{START}assistant\n"


def answer_text(branch: Branch) -> str:
    """Return what the model must write, with the token that ends it."""
    return branch.answer + END


def messages(block: Block, branch: Branch) -> tuple[ChatMessage, ...]:
    """Return the same prompt as the application sends it."""
    said = [ChatMessage("system", block.system)]
    for question, answer in block.history:
        said += [ChatMessage("user", question), ChatMessage("assistant", answer)]
    asked = f"{_passages(block)}\n\nQuestion: {branch.question}"
    return (*said, ChatMessage("user", asked))


def _passages(block: Block) -> str:
    numbered = enumerate(block.passages, start=1)
    passages = [f"\n\n[{i}] {p.title}\n{p.text}" for i, p in numbered]
    return "Help articles:" + ("".join(passages) or " none")
