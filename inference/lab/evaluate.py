"""How well a model answers dialogues that training never showed.

`python -m inference.lab.evaluate --model FILE` asks in held-out wordings, about
held-out names, and, in a second part, about facts that were left out of training as a
whole. A question counts as answered when the right sentence is in the answer word for
word.

With `--words FILE --lean L --doubt D` every sentence comes with a weight, as retrieval
gives one at run time: here how close it is to the question by the word vectors of the
file. Without, the model is on its own.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from inference.lab.reader import Reader, open_reader
from inference.lab.train.blocks import Block, Branch
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.passages import Split
from inference.lab.train.prompt_form import request
from inference.lab.train.small_talk import SmallTalk, load_small_talk
from inference.lab.train.topics import load_topics
from inference.types import CompletionRequest, Quotable
from inference.word_vectors import WordVectors, load_word_vectors

QUESTIONS_PER_BLOCK = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, what was expected and what came back."""

    group: str
    passages: int
    rank: int
    question: str
    expected: str
    answer: str
    refused: bool
    correct: bool


def build_dialogues(split: Split, number: int, seed: int) -> list[tuple[Block, Branch]]:
    """Return full-difficulty blocks with one question each; a seed fixes them."""
    writer = DialogueWriter(load_topics(), load_small_talk(), split)
    rng = random.Random(seed)
    dialogues: list[tuple[Block, Branch]] = []
    while len(dialogues) < number:
        block = writer.write(rng, 1.0, QUESTIONS_PER_BLOCK)
        dialogues += [(block, branch) for branch in block.branches]
    return dialogues[:number]


def measure(
    read: Reader,
    dialogues: list[tuple[Block, Branch]],
    talk: SmallTalk,
    vectors: WordVectors | None = None,
) -> list[Outcome]:
    """Return the outcome of every dialogue, with weights if there are vectors."""
    requests = [request(block, branch) for block, branch in dialogues]
    if vectors:
        asked = (branch.question for _, branch in dialogues)
        pairs = zip(requests, asked, strict=True)
        requests = [weigh(one, question, vectors) for one, question in pairs]
    answers = read(requests)
    return [
        judge(block, branch, answer, talk)
        for (block, branch), answer in zip(dialogues, answers, strict=True)
    ]


def weigh(
    request: CompletionRequest, question: str, vectors: WordVectors
) -> CompletionRequest:
    """Return the request with the closeness of its sentences as their weights."""
    texts = [sentence.text for sentence in request.quotable]
    close = vectors.closeness(question, texts)
    weighed = (Quotable(text, one) for text, one in zip(texts, close, strict=True))
    return replace(request, quotable=tuple(weighed))


def judge(block: Block, branch: Branch, answer: str, talk: SmallTalk) -> Outcome:
    """Return whether an answer is right.

    A fact: its sentence word for word. A refusal: one of the refusals. Small talk:
    an answer of the right group.
    """
    answer = answer.strip()
    refused = any(refusal in answer for refusal in talk.refusals)
    if branch.quoted:
        correct = all(sentence in answer for sentence in branch.quoted)
    elif branch.kind.startswith("refusal"):
        correct = refused
    else:
        correct = _in_group(answer, branch, talk)
    return Outcome(
        branch.kind,
        len(block.passages),
        branch.rank,
        branch.question,
        branch.answer,
        answer,
        refused,
        correct,
    )


def _in_group(answer: str, branch: Branch, talk: SmallTalk) -> bool:
    """Return whether an answer begins and ends like one of its group.

    The names in between come from the system prompt.
    """
    name = branch.kind.removeprefix("small talk: ")
    answers = next(group.answers for group in talk.groups if group.name == name)
    patterns = [(a.split("{")[0], a.split("}")[-1]) for a in answers]
    return any(
        answer.startswith(start) and answer.endswith(end) for start, end in patterns
    )


def summarise(outcomes: list[Outcome]) -> list[tuple[str, int, int]]:
    """Return rows of a report: what, how many were right, how many there were."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for outcome in outcomes:
        for row in _rows_of(outcome):
            total[row] += 1
            right[row] += outcome.correct
        if outcome.rank or outcome.group == "two facts":
            total["false refusals"] += 1
            right["false refusals"] += outcome.refused
    return [(row, right[row], total[row]) for row in sorted(total)]


def _rows_of(outcome: Outcome) -> list[str]:
    kind = outcome.group.split(":")[0]
    rows = [kind, outcome.group] if ":" in outcome.group else [kind]
    if outcome.rank:
        rows += [
            f"fact, {outcome.passages} passages",
            f"fact, passage number {outcome.rank}",
        ]
        rows.append(f"fact, {_form_of(outcome)}")
    return rows


def _form_of(outcome: Outcome) -> str:
    """Return the form of a question, by its first word."""
    words = outcome.question.lower().split()
    if words and words[0] in {
        "can",
        "do",
        "does",
        "is",
        "are",
        "will",
        "may",
        "am",
        "did",
        "has",
        "have",
        "would",
    }:
        return "yes or no"
    wh_words = {
        "how",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "what's",
        "whats",
        "until",
    }
    return "wh-question" if words and words[0] in wh_words else "keywords or story"


def print_report(title: str, outcomes: list[Outcome]) -> None:
    """Print a Markdown table."""
    print(
        f"\n### {title}: {len(outcomes)} dialogues\n\n"
        "| | right | of | share |\n|---|---|---|---|"
    )
    for row, right, total in summarise(outcomes):
        print(f"| {row} | {right} | {total} | {100 * right / total:.1f} % |")


def main() -> None:
    """Measure the model named on the command line and print two tables."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.lab.evaluate", description=__doc__
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dialogues", type=int, default=600)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--words", type=Path, help="word vectors to weigh with")
    parser.add_argument("--lean", type=float, default=0.0)
    parser.add_argument("--doubt", type=float, default=0.0)
    parser.add_argument(
        "--outcomes",
        type=Path,
        help="write every question and answer here, as JSON lines",
    )
    arguments = parser.parse_args()
    read = open_reader(
        arguments.model, arguments.threads, arguments.lean, arguments.doubt
    )
    talk = load_small_talk()
    vectors = load_word_vectors(arguments.words) if arguments.words else None
    everything: list[Outcome] = []
    parts: tuple[tuple[Split, str, int], ...] = (
        ("held_out", "Known facts in unseen words", arguments.dialogues),
        ("unseen_facts", "Unseen facts", arguments.dialogues // 2),
    )
    for split, title, number in parts:
        dialogues = build_dialogues(split, number, arguments.seed)
        outcomes = measure(read, dialogues, talk, vectors)
        print_report(title, outcomes)
        everything += outcomes
    if arguments.outcomes:
        lines = [
            json.dumps(asdict(outcome), ensure_ascii=False) for outcome in everything
        ]
        arguments.outcomes.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
