"""The run-time prompt as text: ChatML, passages with the question in the last user message."""

from __future__ import annotations

from inference.lab.train.dialogues import Block, Branch

START, END = "<|im_start|>", "<|im_end|>"


def opening(block: Block) -> str:
    """Return what all questions of a block share: system prompt, earlier turns, passages."""
    turns = [f"{START}system\n{block.system}{END}\n"]
    for question, answer in block.history:
        turns.append(f"{START}user\n{question}{END}\n{START}assistant\n{answer}{END}\n")
    passages = [f"\n\n[{i}] {p.title}\n{p.text}" for i, p in enumerate(block.passages, 1)]
    return "".join(turns) + f"{START}user\nHelp articles:" + ("".join(passages) or " none")


def question_text(branch: Branch) -> str:
    """Return the end of a prompt, from the question to where the answer starts."""
    return f"\n\nQuestion: {branch.question}{END}\n{START}assistant\n"


def answer_text(branch: Branch) -> str:
    """Return what the model must write, with the token that ends it."""
    return branch.answer + END
