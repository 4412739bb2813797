"""Synthetic dialogues: every answer stands in the block, every refusal is right."""

import random
from itertools import chain

import pytest

from inference.engine.marks import mark_messages
from inference.lab.train.blocks import Block, Branch
from inference.lab.train.dialogues import DialogueWriter
from inference.lab.train.passages import MAX_PASSAGE_CHARS, Split
from inference.lab.train.prompt_form import (
    answer_text,
    opening,
    question_text,
    request,
)
from inference.lab.train.small_talk import load_small_talk
from inference.lab.train.topics import Fact, Topic, is_unseen, load_topics

TOPICS, TALK = load_topics(), load_small_talk()
UNSEEN = {f"{t.id}/{f.id}" for t in TOPICS for f in t.facts if is_unseen(t, f)}


def write(difficulty: float, split: Split = "train", number: int = 150) -> list[Block]:
    writer, rng = DialogueWriter(TOPICS, TALK, split), random.Random(11)
    return [writer.write(rng, difficulty, 5) for _ in range(number)]


BLOCKS = write(1.0)
ASKED = [(block, branch) for block in BLOCKS for branch in block.branches]


def of_kind(prefix: str) -> list[tuple[Block, Branch]]:
    return [(k, b) for k, b in ASKED if b.kind.startswith(prefix)]


def test_the_sentence_of_an_answer_stands_in_its_passage():
    for block, branch in of_kind("fact"):
        assert branch.quoted[0] in block.passages[branch.rank - 1].sentences
        assert branch.answer.endswith(branch.quoted[0])


def test_an_answer_begins_with_the_mark_of_its_sentence():
    for block, branch in of_kind("fact"):
        mark, words = answer_text(block, branch).split(") ", 1)
        assert f"\n{mark}) {branch.quoted[0]}" in opening(block)
        assert words == branch.answer + "<|im_end|>"


def test_an_answer_of_two_facts_has_two_marks():
    for block, branch in of_kind("two facts"):
        second = answer_text(block, branch).split("\n")[1].removesuffix("<|im_end|>")
        assert second[1:] == f") {branch.quoted[1]}"
        assert f"\n{second}" in opening(block)


def test_what_is_refused_is_told_nowhere():
    refused = [(k, b) for k, b in of_kind("refusal") if b.facts]
    told = [{s.id for p in k.passages for s in p.statements} for k, _ in refused]
    assert refused
    assert not any(set(b.facts) & t for (_, b), t in zip(refused, told, strict=True))


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_near_misses_are_refused_in_words_of_their_split(split: Split):
    topic = Topic("wifi", ["Stores"], ["Come in."])
    hours = Fact("hours", ["We open at {time}."], ["From {time}."], ["when"], ["hours"])
    topic.facts = [hours]
    topic.near_misses, topic.held_out_near_misses = ["is there wifi"], ["got internet"]
    writer, rng = DialogueWriter([topic], TALK, split), random.Random(3)
    blocks = [writer.write(rng, 1.0, 4) for _ in range(200)]
    asked = {
        branch.question.lower().strip("?!. ")
        for block in blocks
        for branch in block.branches
        if branch.kind == "refusal: near miss" and branch.answer == TALK.refusal
    }
    assert ("is there wifi" in asked) is (split == "train")
    assert ("got internet" in asked) is (split == "held_out")


def test_all_near_misses_of_training_can_be_written_out():
    writer = DialogueWriter(TOPICS, TALK)
    texts = writer.write_near_misses(random.Random(1))
    assert len(texts) == sum(len(t.near_misses) for t in TOPICS) > 1000
    assert not any("{" in text for text in texts)


def test_every_refusal_is_the_same_sentence():
    assert {b.answer for _, b in of_kind("refusal")} == {TALK.refusal}


def test_follow_ups_lean_on_an_earlier_turn():
    asked = of_kind("follow-up")
    assert asked
    assert all(block.history for block, _ in asked)


def test_passages_keep_to_their_size():
    texts = [p.text for block in BLOCKS for p in block.passages]
    assert max(map(len, texts)) <= MAX_PASSAGE_CHARS
    assert all(1 <= len(block.passages) <= 3 for block in BLOCKS if block.passages)


def test_the_easiest_block_is_one_passage_of_one_fact():
    blocks = write(0.0)
    assert {len(block.passages) for block in blocks} == {1}
    assert {len(p.statements) for b in blocks for p in b.passages} == {1}
    assert not any(block.history for block in blocks)


def test_training_never_sees_an_unseen_fact():
    told = chain.from_iterable(p.statements for b in BLOCKS for p in b.passages)
    asked = chain.from_iterable(b.facts for _, b in ASKED)
    assert not UNSEEN & ({s.id for s in told} | set(asked))


def test_the_evaluation_of_unseen_facts_asks_about_nothing_else():
    blocks = write(1.0, "unseen_facts", 60)
    asked = {f for k in blocks for b in k.branches for f in b.facts}
    assert asked
    assert asked <= UNSEEN


def test_held_out_questions_are_not_those_of_the_training():
    trained = {q for t in TOPICS for f in t.facts for q in f.questions if "{" not in q}
    blocks = write(1.0, "held_out")
    facts = [b for k in blocks for b in k.branches if b.kind == "fact"]
    assert not {b.question for b in facts} & trained


def test_the_same_seed_writes_the_same_dialogue():
    assert opening(write(1.0, number=3)[2]) == opening(write(1.0, number=3)[2])


def test_the_engine_makes_the_prompt_that_training_saw():
    block, branch = next((k, b) for k, b in ASKED if k.history and k.passages)
    sent = request(block, branch)
    marked, _ = mark_messages(sent.messages, sent.quotable)
    rendered = "".join(f"<|im_start|>{m.role}\n{m.content}<|im_end|>\n" for m in marked)
    expected = opening(block) + question_text(branch)
    assert rendered + "<|im_start|>assistant\n" == expected


@pytest.mark.parametrize("kind", ["greeting", "thanks", "bye"])
def test_small_talk_has_held_out_lines(kind: str):
    group = next(g for g in TALK.groups if g.name == kind)
    assert group.held_out_lines
    assert not set(group.held_out_lines) & set(group.lines)
