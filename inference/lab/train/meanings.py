"""What words mean, from a bag-of-words matcher: the embeddings a model starts with.

Texts about the same fact, whether they ask or state it, are drawn together, those
about others are pushed apart (contrastive learning with the other facts of a batch as
negatives), and questions that no fact answers are pushed away from all. It takes a
minute or two on one core and finds the right sentence of a prompt for 86 % of the
held-out questions.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.topics import is_unseen

NUM_STEPS = 1500
NUM_FACTS = 256  # in a batch
NUM_VARIANTS = 200  # of every fact
NUM_NEAR_MISSES = 64  # in a batch
NEAR_MISS_WEIGHT = 0.15
DROPPED_WORDS = 0.3
LEARNING_RATE = 0.01
# A question and a statement are drawn together most often, sometimes two of a kind.
SAME_KIND_SHARE = 0.1

Text = list[int]


class Matcher(nn.Module):
    """Texts as directions: weighted sums of what their tokens mean."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.meaning = nn.Embedding(vocabulary, width)
        self.weight = nn.Embedding(vocabulary, 1)
        self.sharpness = nn.Parameter(torch.tensor(3.0))
        # As close as this is no closer than nothing.
        self.nothing = nn.Parameter(torch.tensor(0.4))
        nn.init.normal_(self.meaning.weight, std=0.1)
        nn.init.zeros_(self.weight.weight)

    def forward(self, texts: list[Text]) -> Tensor:
        """Return (texts, width), each of length 1."""
        ids = torch.tensor([token for text in texts for token in text])
        owner = torch.tensor([i for i, text in enumerate(texts) for _ in text])
        sums = torch.zeros(len(texts), self.meaning.embedding_dim)
        summed = sums.index_add(0, owner, self.weighted(ids))
        return functional.normalize(summed, dim=-1)

    def compare(self, texts: Tensor, others: Tensor) -> Tensor:
        """Return (texts, others + 1): logits of each other text and of none of them."""
        nothing = self.nothing.expand(len(texts), 1)
        return torch.cat([texts @ others.T, nothing], 1) * self.sharpness.exp()

    def weighted(self, ids: Tensor) -> Tensor:
        """Return what tokens mean, longer the more they tell."""
        meaning: Tensor = self.meaning(ids) * self.weight(ids).exp()
        return meaning


def learn_meanings(
    writer: DialogueWriter,
    encode: Callable[[str], Text],
    vocabulary: int,
    width: int,
    num_steps: int = NUM_STEPS,
) -> Tensor:
    """Return (vocabulary, width): meanings of all tokens, 1 long on average.

    `encode` turns a text into tokens below `vocabulary`: pieces or whole words.
    """
    rng = random.Random(5)
    torch.manual_seed(5)
    facts = _write_texts(writer, encode, rng)
    near_misses = [encode(text) for text in writer.write_near_misses(rng)]
    matcher = Matcher(vocabulary, width)
    optimizer = torch.optim.Adam(matcher.parameters(), lr=LEARNING_RATE)
    for step in range(num_steps):
        factor = min(1.0, (num_steps - step) / (0.6 * num_steps))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * factor
        loss = _loss(matcher, facts, near_misses, rng)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        meanings = matcher.weighted(torch.arange(vocabulary))
    return meanings / meanings.norm(dim=-1).mean()


def _loss(
    matcher: Matcher,
    facts: list[list[tuple[Text, ...]]],
    near_misses: list[Text],
    rng: random.Random,
) -> Tensor:
    """Return the loss of one batch: every text must find its partner, if it has one."""
    chosen = rng.sample(facts, min(NUM_FACTS, len(facts)))
    variants = [rng.choice(fact) for fact in chosen]
    pair = (0, 1)
    if rng.random() < SAME_KIND_SHARE:
        pair = rng.choice(((0, 2), (1, 3)))
    asked, told = (matcher([_drop(v[side], rng) for v in variants]) for side in pair)
    partners = torch.arange(len(variants))
    forth = functional.cross_entropy(matcher.compare(asked, told), partners)
    missed = rng.sample(near_misses, min(NUM_NEAR_MISSES, len(near_misses)))
    if not missed:
        back = functional.cross_entropy(matcher.compare(told, asked), partners)
        return (forth + back) / 2
    missing = matcher([_drop(text, rng) for text in missed])
    everything = torch.cat([asked, missing])
    back = functional.cross_entropy(matcher.compare(told, everything), partners)
    none = torch.full((len(missed),), len(told))
    nowhere = functional.cross_entropy(matcher.compare(missing, told), none)
    return (forth + back) / 2 + NEAR_MISS_WEIGHT * nowhere


def _drop(text: Text, rng: random.Random) -> Text:
    return [token for token in text if rng.random() > DROPPED_WORDS] or text


def _write_texts(
    writer: DialogueWriter, encode: Callable[[str], Text], rng: random.Random
) -> list[list[tuple[Text, ...]]]:
    """Return variants of every fact: a question, a statement, and another of each."""
    return [
        [
            tuple(encode(text) for text in writer.write_alike(topic, fact, rng))
            for _ in range(NUM_VARIANTS)
        ]
        for topic in writer.topics
        for fact in topic.facts
        if not is_unseen(topic, fact)
    ]
