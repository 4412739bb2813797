"""The one command of the recipe: `python -m inference.lab.train all --out var/lab`."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from inference.lab.quantize import quantize_gguf
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.export import load_checkpoint, write_gguf
from inference.lab.train.model import Shape
from inference.lab.train.prompt_form import answer_text, opening, question_text
from inference.lab.train.run import CHECKPOINT, Plan
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.tokenizer import load_tokenizer, train_tokenizer
from inference.lab.train.topics import load_topics
from inference.lab.train.train import train
from inference.lab.train.words import write_words

NUM_TOKENIZER_BLOCKS = 12_000
LICENSE = "MIT"


def main() -> None:
    """Parse the command line and run one stage, or all of them."""
    arguments = _parser().parse_args()
    out, stage = arguments.out, arguments.stage
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if stage in ("words", "all"):
        write_words(out / "words.npz")
    if stage in ("tokenizer", "all"):
        write_tokenizer(out / "tokenizer.json")
    if stage in ("train", "all"):
        plan = Plan(
            folder=out,
            minutes=arguments.minutes,
            tokens_per_step=arguments.tokens_per_step,
            matrix_lr=arguments.lr,
            other_lr=arguments.other_lr,
            threads=arguments.threads,
        )
        shape = Shape(layers=arguments.layers, heads=arguments.heads)
        if not train(plan, shape):
            return
    if stage in ("export", "all"):
        write_files(out)


def write_files(folder: Path) -> None:
    """Write a folder's checkpoint as `fern-f16.gguf` and, quantized, `fern.gguf`."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    model = load_checkpoint(folder / CHECKPOINT)
    write_gguf(model, tokenizer, folder / "fern-f16.gguf", LICENSE)
    quantize_gguf(folder / "fern-f16.gguf", folder / "fern.gguf", "Q4_K_M")
    print(f"model: {folder / 'fern.gguf'}", flush=True)


def write_tokenizer(path: Path) -> None:
    """Train the tokenizer, unless the folder has one: a run keeps its own."""
    if path.exists():
        return
    writer = DialogueWriter(load_topics(), load_small_talk())
    rng = random.Random(7)
    blocks = (writer.write(rng, 1.0, 6) for _ in range(NUM_TOKENIZER_BLOCKS))
    texts = (
        opening(b) + "".join(question_text(x) + answer_text(b, x) for x in b.branches)
        for b in blocks
    )
    train_tokenizer(texts).save(str(path))
    print(f"tokenizer: {path}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference.lab.train", description=__doc__
    )
    parser.add_argument(
        "stage", choices=("words", "tokenizer", "train", "export", "all")
    )
    parser.add_argument("--out", type=Path, default=Path("var/lab"))
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--tokens-per-step", type=int, default=4096)
    parser.add_argument("--lr", type=float, default=0.004)
    parser.add_argument("--other-lr", type=float, default=0.002)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
