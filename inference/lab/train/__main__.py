"""The one command of the recipe: `python -m inference.lab.train all --out var/lab`."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.model import Shape
from inference.lab.train.prompt_form import answer_text, opening, question_text
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.tokenizer import train_tokenizer
from inference.lab.train.topics import load_topics
from inference.lab.train.train import Plan, train

NUM_TOKENIZER_BLOCKS = 12_000


def main() -> None:
    """Parse the command line and run one stage, or all of them."""
    arguments = _parser().parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if arguments.stage in ("tokenizer", "all"):
        write_tokenizer(arguments.out / "tokenizer.json")
    if arguments.stage in ("train", "all"):
        plan = Plan(
            folder=arguments.out,
            minutes=arguments.minutes,
            tokens_per_step=arguments.tokens_per_step,
            matrix_lr=arguments.lr,
            threads=arguments.threads,
        )
        train(plan, Shape(layers=arguments.layers, heads=arguments.heads))


def write_tokenizer(path: Path) -> None:
    """Train the tokenizer on generated dialogues, unless the folder has one: a run must keep its own."""
    if path.exists():
        return
    writer = DialogueWriter(load_topics(), load_small_talk())
    rng = random.Random(7)
    blocks = (writer.write(rng, 1.0, 6) for _ in range(NUM_TOKENIZER_BLOCKS))
    texts = (
        opening(b) + "".join(question_text(x) + answer_text(x) for x in b.branches) for b in blocks
    )
    train_tokenizer(texts).save(str(path))
    print(f"tokenizer: {path}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.lab.train", description=__doc__)
    parser.add_argument("stage", choices=("tokenizer", "train", "all"))
    parser.add_argument("--out", type=Path, default=Path("var/lab"))
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
