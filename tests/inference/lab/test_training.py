"""Training: packed rows, the optimizer, checkpoints. Needs requirements-train.txt."""

import random

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("gguf")

from inference.engine.marks import MARKS  # noqa: E402 - skipped without torch
from inference.lab.train import meanings  # noqa: E402
from inference.lab.train.batches import (  # noqa: E402
    ANSWER,
    CHOICE,
    NOTHING,
    TO_MARK,
    TO_OWN,
    TO_SOURCE,
    BatchWriter,
    Tokens,
    pack,
    split,
    stack,
)
from inference.lab.train.dialogues import DialogueWriter  # noqa: E402
from inference.lab.train.export import tensors  # noqa: E402
from inference.lab.train.loss import branch_mask, missed, spread  # noqa: E402
from inference.lab.train.model import (  # noqa: E402
    MOST_GROWTH,
    Decoder,
    Shape,
    rotations,
)
from inference.lab.train.optimizers import orthogonal  # noqa: E402
from inference.lab.train.prompt_form import (  # noqa: E402
    answer_text,
    opening,
    question_text,
)
from inference.lab.train.run import Plan, Run  # noqa: E402
from inference.lab.train.small_talk import load_small_talk  # noqa: E402
from inference.lab.train.tokenizer import train_tokenizer  # noqa: E402
from inference.lab.train.topics import load_topics  # noqa: E402
from inference.lab.train.words import find_words  # noqa: E402
from inference.word_vectors import read_words  # noqa: E402

pytestmark = pytest.mark.train
SMALL = Shape(vocabulary=600, width=64, layers=4, heads=2, feed_forward=128)


@pytest.fixture(scope="module")
def writer() -> DialogueWriter:
    return DialogueWriter(load_topics(), load_small_talk())


@pytest.fixture(scope="module")
def tokenizer(writer):
    rng = random.Random(2)
    texts = [opening(writer.write(rng, 1.0, 1)) for _ in range(200)]
    return train_tokenizer(texts, SMALL.vocabulary)


def logits_of(model, rows):
    ids, positions = torch.from_numpy(rows.ids), torch.from_numpy(rows.positions)
    mask = branch_mask(torch.from_numpy(rows.segments), torch.float32)
    with torch.no_grad():
        hidden, _ = model(ids, positions, mask)
        return model.logits(hidden)[0]


def test_a_branch_in_a_packed_row_is_scored_as_if_it_stood_alone():
    torch.manual_seed(1)
    model = Decoder(SMALL)
    beginning = [5, 6, 7, 8]
    branches = [Tokens([9, 10], [11, 12]), Tokens([13, 14, 15], [16])]
    packed = logits_of(model, stack([pack(beginning, branches, 20)], 20))
    alone = logits_of(model, stack([pack(beginning, branches[1:], 20)], 20))
    assert torch.allclose(packed[8:12], alone[4:8], atol=1e-5)


def test_what_does_not_fit_is_left_out():
    row = pack([1, 2, 3], [Tokens([4], [5] * 20), Tokens([6], [7])], 8)
    assert row.ids == [1, 2, 3, 6, 7]


def test_a_row_without_room_for_any_branch_is_dropped():
    assert pack([1, 2, 3], [Tokens([4], [5])], 4) is None


def test_every_answer_token_is_learned_once():
    row = pack([1, 2], [Tokens([3, 4], [5, 6, 7])], 10)
    roles = zip(row.targets, row.roles, strict=True)
    assert [target for target, role in roles if role >= ANSWER] == [5, 6, 7]


def test_the_first_token_of_an_answer_is_the_choice():
    roles = Tokens([1, 2], [3, 4, 5]).roles
    assert roles[1:] == [CHOICE, ANSWER, ANSWER, NOTHING]


def test_words_are_told_to_look_at_the_mark_of_their_sentence(writer, tokenizer):
    rows = BatchWriter(writer, tokenizer, 3).write(1, 1.0, 640)
    looks = [look for look in rows.looks[0, TO_MARK].tolist() if look[2]]
    marks = {tokenizer.id_to_token(rows.ids[0][start]) for _, start, _ in looks}
    assert len(marks) > 2
    assert {mark for mark in marks if not "Question".startswith(mark)} <= set(MARKS)
    assert all(start < at for at, start, _ in looks)


def test_words_gather_what_stands_before_them(writer, tokenizer):
    rows = BatchWriter(writer, tokenizer, 3).write(1, 1.0, 640)
    looks = [look for look in rows.looks[0, TO_OWN].tolist() if look[2]]
    assert looks
    assert all(start < end <= at for at, start, end in looks)


def test_questions_are_told_to_look_at_the_sentence_that_answers(writer, tokenizer):
    rows = BatchWriter(writer, tokenizer, 3).write(1, 0.0, 640)
    looks = [look for one in rows.looks[:, TO_SOURCE].tolist() for look in one]
    looks = [look for look in looks if look[2] > 2]
    assert looks
    assert all(start < end <= at for at, start, end in looks)


def test_attention_that_misses_its_span_costs_more():
    spans = torch.tensor([[[2, 0, 1]]])
    hit = torch.tensor([[[0.8, 0.1, 0.1]]]).log()
    missing = torch.tensor([[[0.1, 0.8, 0.1]]]).log()
    assert missed(hit, spans) < missed(missing, spans)


def test_attention_that_is_not_spread_costs_more():
    spans = torch.tensor([[[3, 0, 2]]])
    even = torch.tensor([[[0.5, 0.5, 1e-9]]]).log()
    uneven = torch.tensor([[[0.9, 0.1, 1e-9]]]).log()
    assert spread(even, spans).item() == pytest.approx(0.0, abs=1e-6)
    assert spread(uneven, spans) > 0.4


def test_meanings_find_the_sentence_that_answers(writer, monkeypatch):
    monkeypatch.setattr(meanings, "NUM_VARIANTS", 10)
    words = {word: row for row, word in enumerate(find_words(writer.topics))}

    def encode(text):
        return [words[word] for word in read_words(text) if word in words] or [0]

    learned = meanings.learn_meanings(writer, encode, len(words), 64, num_steps=400)
    rng = random.Random(4)
    facts = [(t, f) for t in writer.topics[:6] for f in t.facts]
    texts = [writer.write_alike(topic, fact, rng) for topic, fact in facts]
    asked, told = (
        torch.stack([learned[encode(one[side])].sum(0) for one in texts])
        for side in (0, 1)
    )
    found = (asked @ torch.nn.functional.normalize(told, dim=-1).T).argmax(-1)
    assert len(facts) > 20
    assert (found == torch.arange(len(facts))).float().mean() > 0.3


def test_a_model_that_adopts_meanings_looks_at_words_that_mean_the_same():
    torch.manual_seed(1)
    model = Decoder(SMALL)
    meanings = torch.nn.functional.normalize(torch.randn(SMALL.vocabulary, 32), dim=-1)
    meanings[20] = meanings[10]
    model.adopt(meanings)
    room = slice(32, 64)
    x = torch.zeros(1, 3, SMALL.width)
    x[0, :, room] = model.embedding.weight[[10, 11, 20], :32]
    rotation = rotations(torch.arange(3)[None], SMALL)
    looks = model.blocks[2].watch(
        x, rotation, torch.zeros(1, 1, 3, 3), torch.tensor([[2]]), 0
    )
    assert looks[0, 0, 0] > looks[0, 0, 1] + 1


def test_heads_are_kept_from_growing():
    model = Decoder(SMALL)
    block = model.blocks[0]
    with torch.no_grad():
        block.query_key_value.weight.mul_(50)
    block.limit_heads()
    heads = block.query_key_value.weight[: 2 * SMALL.width]
    norms = heads.view(-1, SMALL.head_width, SMALL.width).norm(dim=(1, 2))
    assert norms.max() <= MOST_GROWTH * SMALL.head_width**0.5 + 1e-3


def test_the_same_step_writes_the_same_batch(writer, tokenizer):
    batches = [BatchWriter(writer, tokenizer, 3).write(7, 0.5, 2000) for _ in range(2)]
    assert (batches[0].ids == batches[1].ids).all()


def test_split_keeps_every_row(writer, tokenizer):
    rows = BatchWriter(writer, tokenizer, 3).write(1, 0.0, 2000)
    assert sum(len(part.ids) for part in split(rows, 2)) == len(rows.ids)


def test_prompt_and_answer_are_tokenized_alike_in_pieces_and_as_a_whole(
    writer, tokenizer
):
    block = writer.write(random.Random(9), 1.0, 3)
    parts = [
        opening(block),
        question_text(block.branches[0]),
        answer_text(block, block.branches[0]),
    ]
    pieces = [number for part in parts for number in tokenizer.encode(part).ids]
    assert tokenizer.encode("".join(parts)).ids == pieces


def test_orthogonal_brings_singular_values_near_one():
    torch.manual_seed(4)
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 48, 96)).float())
    assert values.min() > 0.4
    assert values.max() < 1.5


def test_learning_lowers_the_loss(writer, tokenizer, tmp_path):
    run = Run(Plan(tmp_path, threads=1), SMALL)
    rows = BatchWriter(writer, tokenizer, 3).write(1, 0.0, 640)
    losses = [run.train_step(rows).answer for _ in range(40)]
    assert losses[-1] < losses[0] - 0.3


def test_a_run_goes_on_where_it_was_saved(writer, tokenizer, tmp_path):
    plan = Plan(tmp_path, threads=1)
    rows = BatchWriter(writer, tokenizer, 3).write(1, 0.0, 640)
    first = Run(plan, SMALL)
    first.train_step(rows)
    first.save()
    second = Run(plan, SMALL)
    assert second.resume()
    expected = first.train_step(rows).answer
    assert second.train_step(rows).answer == pytest.approx(expected, abs=1e-4)
    assert second.step == first.step == 2


def test_a_fresh_folder_has_nothing_to_resume(tmp_path):
    assert not Run(Plan(tmp_path, threads=1), SMALL).resume()


def test_every_weight_is_exported():
    model = Decoder(SMALL)
    exported = sum(array.size for array in tensors(model).values())
    assert exported == sum(p.numel() for p in model.parameters())
