"""The run-time prompt: ChatML, passages with the question in the last user message."""

from __future__ import annotations

from inference.engine.marks import AFTER_MARK, MARKS, mark_sentences
from inference.lab.train.blocks import Block, Branch
from inference.types import ChatMessage, CompletionRequest, Quotable

START, END = "<|im_start|>", "<|im_end|>"
MOST_ANSWER_TOKENS = 200


def opening(block: Block) -> str:
    """Return what the questions of a block share: system prompt, turns, passages."""
    turns = [f"{START}system\n{block.system}{END}\n"]
    for question, answer in block.history:
        turns.append(f"{START}user\n{question}{END}\n{START}assistant\n{answer}{END}\n")
    marked, _ = mark_sentences(_passages(block), _quotable(block))
    return "".join(turns) + f"{START}user\n{marked}"


def question_text(branch: Branch) -> str:
    """Return the end of a prompt, from the question to where the answer starts."""
    return f"\n\nQuestion: {branch.question}{END}\n{START}assistant\n"


def answer_text(block: Block, branch: Branch) -> str:
    """Return what the model must write, with the token that ends it."""
    if not branch.quoted:
        return branch.says + END
    marks = [MARKS[block.sentences.index(sentence)] for sentence in branch.quoted]
    words = [f"{branch.says} {branch.quoted[0]}".strip(), *branch.quoted[1:]]
    lines = [f"{m}{AFTER_MARK} {w}" for m, w in zip(marks, words, strict=True)]
    return "\n".join(lines) + END


def request(block: Block, branch: Branch) -> CompletionRequest:
    """Return the same prompt as the application sends it, before it is marked."""
    said = [ChatMessage("system", block.system)]
    for question, answer in block.history:
        said += [ChatMessage("user", question), ChatMessage("assistant", answer)]
    asked = f"{_passages(block)}\n\nQuestion: {branch.question}"
    return CompletionRequest(
        (*said, ChatMessage("user", asked)),
        max_tokens=MOST_ANSWER_TOKENS,
        quotable=_quotable(block),
    )


def _quotable(block: Block) -> tuple[Quotable, ...]:
    return tuple(Quotable(sentence) for sentence in block.sentences)


def _passages(block: Block) -> str:
    numbered = enumerate(block.passages, start=1)
    passages = [f"\n\n[{i}] {p.title}\n{p.text}" for i, p in numbered]
    return "Help articles:" + ("".join(passages) or " none")
