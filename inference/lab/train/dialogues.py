"""Synthetic dialogues: a block of passages and several questions about it.

All questions of a block share its beginning (system prompt, history, passages), which
makes training on two cores possible: it is computed once for five or six answers.
"""

from __future__ import annotations

import random

from inference.lab.train import slots
from inference.lab.train.blocks import Block, Branch, Statement
from inference.lab.train.passages import PassageWriter, Split
from inference.lab.train.questions import dress, keyword_share, keywords
from inference.lab.train.small_talk import Group, SmallTalk, choose_answer
from inference.lab.train.topics import Fact, Topic

# Where retrieval put the right passage on the questions tried: first, second, third.
RANK_WEIGHTS = (0.70, 0.18, 0.12)
REFUSAL_SHARE = 0.24
# Of the refusals: questions written as near misses of the topic, and, of the others,
# those that name another thing than the passages do. What is "drilled" is learned
# last, so that training has more of it than the evaluation.
NEAR_MISS_SHARE = 0.35
OTHER_ENTITY_SHARE = 0.3
DRILLED_OTHER_ENTITY_SHARE = 0.6
SMALL_TALK_SHARE = 0.09
DRILLED_SMALL_TALK_SHARE = 0.13
TWO_FACTS_SHARE = 0.05


class DialogueWriter:
    """Writes blocks, from difficulty 0 (one passage of one fact) to 1 (as at run time).

    The split decides which wordings, names and facts are used: those of the training,
    held out wordings of known facts, or facts that training never shows.
    """

    def __init__(
        self, topics: list[Topic], talk: SmallTalk, split: Split = "train"
    ) -> None:
        self.talk = talk
        self.split = split
        self.held_out = split != "train"
        self.facts = PassageWriter(topics, split)
        self.topics = [
            t for t in topics if any(self.facts.is_asked(t, f) for f in t.facts)
        ]
        self.weights = [len(t.facts) for t in self.topics]
        self.all_topics = topics

    def write(self, rng: random.Random, difficulty: float, num_branches: int) -> Block:
        """Return a block with up to `num_branches` questions."""
        topic = rng.choices(self.topics, self.weights)[0]
        names = {
            kind: slots.draw(topic, kind, rng, self.held_out)
            for kind in ("person", "shop")
        }
        if rng.random() < 0.7:
            names["person"] = names["person"].split(" ")[0]
        block = Block(self._system(rng, names, difficulty), [], [])
        if rng.random() >= 0.05 * difficulty:
            block.passages = self.facts.write(topic, rng, difficulty)
        follow_up = None
        if rng.random() < 0.2 * min(1.0, difficulty * 2):
            follow_up = self._add_history(block, topic, rng)
        for _ in range(num_branches):
            branch = None
            if follow_up and rng.random() < 0.6:
                branch = self._follow_up(block, follow_up, rng)
            branch = branch or self._branch(block, topic, names, rng, difficulty)
            if branch.question not in {b.question for b in block.branches}:
                block.branches.append(branch)
        return block

    def write_alike(self, topic: Topic, fact: Fact, rng: random.Random) -> list[str]:
        """Return a question, a statement, another question and another statement."""
        statement = self.facts.state(topic, fact, rng)
        wordings = [rng.choice(fact.questions) for _ in range(2)]
        questions = [slots.fill(wording, statement.values) for wording in wordings]
        other = slots.fill(rng.choice(fact.statements), statement.values)
        asked = dress(questions[0], rng, 0.7).text
        return [asked, statement.text, questions[1], other]

    def write_near_misses(self, rng: random.Random) -> list[str]:
        """Return the near misses of all topics for training, with values filled in."""
        return [
            slots.fill(line, slots.draw_all(topic, [line], rng))
            for topic in self.all_topics
            for line in topic.near_misses
        ]

    # --- the block ---

    def _system(
        self, rng: random.Random, names: dict[str, str], difficulty: float
    ) -> str:
        first = rng.choice(self.talk.systems)
        if rng.random() < 0.35:
            first = self.talk.systems[0]
        text = slots.fill(first, names)
        if rng.random() < 0.12 * difficulty:
            fillers = [
                f
                for t in rng.choices(self.all_topics, k=rng.randint(1, 3))
                for f in t.filler
            ]
            text += " " + " ".join(
                rng.sample(fillers, min(len(fillers), rng.randint(1, 6)))
            )
        return text

    # --- questions and answers ---

    def _branch(
        self,
        block: Block,
        topic: Topic,
        names: dict[str, str],
        rng: random.Random,
        difficulty: float,
    ) -> Branch:
        ease = min(1.0, max(0.1, (difficulty - 0.4) / 0.3))
        share = SMALL_TALK_SHARE if self.held_out else DRILLED_SMALL_TALK_SHARE
        small_talk, refusals = share * ease, REFUSAL_SHARE * ease
        kind = rng.random()
        if kind < small_talk:
            return self._small_talk(names, rng, difficulty)
        if kind < small_talk + refusals or not block.passages:
            return self._refusal(block, topic, rng, difficulty)
        passage = rng.choices(block.passages, RANK_WEIGHTS[: len(block.passages)])[0]
        asked = [s for s in passage.statements if self.facts.is_asked(s.topic, s.fact)]
        if not asked:
            return self._refusal(block, topic, rng, difficulty)
        statement = rng.choice(asked)
        if kind > 1 - TWO_FACTS_SHARE * difficulty:
            branch = self._two_facts(block, statement, rng, difficulty)
            if branch:
                return branch
        return self._answered(block, statement, rng, difficulty)

    def _answered(
        self, block: Block, statement: Statement, rng: random.Random, difficulty: float
    ) -> Branch:
        asked = dress(
            self._question(block, statement, rng, difficulty), rng, difficulty
        )
        rank = next(
            i for i, p in enumerate(block.passages, 1) if statement in p.statements
        )
        return Branch(
            asked.text, "fact", asked.lead, (statement.text,), (statement.id,), rank
        )

    def _question(
        self, block: Block, statement: Statement, rng: random.Random, difficulty: float
    ) -> str:
        """Return a question; it names the entity if the fact is told of several."""
        fact = statement.fact
        if not self.held_out and rng.random() < keyword_share(difficulty):
            told = [s for p in block.passages for s in p.statements]
            others = [s.text for s in told if s is not statement]
            words = keywords(statement.text, " ".join(others), rng)
            if words:
                return words
        several = sum(s.fact is fact for p in block.passages for s in p.statements) > 1
        wordings = fact.held_out_questions if self.held_out else fact.questions
        if several:
            naming = [q for q in wordings if slots.slots_in([q])]
            if not naming:
                naming = [q for q in fact.questions if slots.slots_in([q])]
            wordings = naming or wordings
        return slots.fill(rng.choice(wordings), statement.values)

    def _two_facts(
        self, block: Block, first: Statement, rng: random.Random, difficulty: float
    ) -> Branch | None:
        others = [
            s
            for p in block.passages
            for s in p.statements
            if s.fact is not first.fact and self.facts.is_asked(s.topic, s.fact)
        ]
        if not others:
            return None
        second = rng.choice(others)
        questions = [self._question(block, s, rng, difficulty) for s in (first, second)]
        joint = rng.choice((" and ", "? And ", ". also, ", "? Also ", " and also "))
        asked = dress(
            questions[0].rstrip("?.!") + joint + questions[1], rng, difficulty
        )
        quoted, facts = (first.text, second.text), (first.id, second.id)
        return Branch(asked.text, "two facts", asked.lead, quoted, facts)

    def _refusal(
        self, block: Block, topic: Topic, rng: random.Random, difficulty: float
    ) -> Branch:
        """Return a question without an answer, mostly about the passages' subject."""
        told = [s for p in block.passages for s in p.statements]
        share = OTHER_ENTITY_SHARE if self.held_out else DRILLED_OTHER_ENTITY_SHARE
        branch = None
        if rng.random() < NEAR_MISS_SHARE * difficulty:
            branch = self._near_miss(block, topic, rng, difficulty)
        elif rng.random() < share * difficulty:
            branch = self._other_entity(told, rng, difficulty)
        return branch or self._other_fact(block, told, topic, rng, difficulty)

    def _near_miss(
        self, block: Block, topic: Topic, rng: random.Random, difficulty: float
    ) -> Branch | None:
        """Return a question on the topic that none of its facts answers."""
        lines = topic.held_out_near_misses if self.held_out else topic.near_misses
        if not lines or not block.passages:
            return None
        line = rng.choice(lines)
        values = slots.draw_all(topic, [line], rng, self.held_out)
        asked = dress(slots.fill(line, values), rng, difficulty)
        return Branch(asked.text, "refusal: near miss", self.talk.refusal)

    def _other_entity(
        self, told: list[Statement], rng: random.Random, difficulty: float
    ) -> Branch | None:
        """Return a question for a fact that is told, but of something else."""
        twins = [
            s
            for s in told
            if s.fact.asked_slots and self.facts.is_asked(s.topic, s.fact)
        ]
        twin = self.facts.twin(rng.choice(twins), told, rng) if twins else None
        naming = [q for q in twin.fact.questions if slots.slots_in([q])] if twin else []
        if twin is None or not naming:
            return None
        text = slots.fill(rng.choice(naming), twin.values)
        asked = dress(text, rng, difficulty)
        return Branch(asked.text, "refusal: other entity", self.talk.refusal)

    def _other_fact(
        self,
        block: Block,
        told: list[Statement],
        topic: Topic,
        rng: random.Random,
        difficulty: float,
    ) -> Branch:
        """Return a question about a fact that no passage tells."""
        near = (
            topic if rng.random() < 0.65 else rng.choices(self.topics, self.weights)[0]
        )
        taken = {id(s.fact) for s in told}
        facts = [
            f for f in near.facts if id(f) not in taken and self.facts.is_asked(near, f)
        ]
        if not facts:
            other = rng.choice(self.topics)
            return self._refusal(block, other, rng, difficulty)
        statement = self.facts.state(near, rng.choice(facts), rng)
        asked = dress(
            self._question(block, statement, rng, difficulty), rng, difficulty
        )
        kind = "refusal: no passage"
        if block.passages:
            kind = "refusal: same topic" if near is topic else "refusal: other topic"
        return Branch(asked.text, kind, self.talk.refusal, facts=(statement.id,))

    def _small_talk(
        self, names: dict[str, str], rng: random.Random, difficulty: float
    ) -> Branch:
        group: Group = rng.choice(self.talk.groups)
        line = rng.choice(group.held_out_lines if self.held_out else group.lines)
        text = slots.fill(line, names)
        if rng.random() < 0.3 * difficulty:
            text = text.lower()
        answer = slots.fill(choose_answer(group, rng), names)
        return Branch(text, f"small talk: {group.name}", answer)

    # --- history ---

    def _add_history(
        self, block: Block, topic: Topic, rng: random.Random
    ) -> Statement | None:
        """Put one or two earlier turns before the block; return the last fact told."""
        last = None
        told = [s for p in block.passages for s in p.statements]
        for _ in range(rng.choice((1, 1, 2))):
            if told and rng.random() < 0.5:
                last = rng.choice(told)
            else:
                facts = [f for f in topic.facts if self.facts.is_told(topic, f)]
                last = self.facts.state(topic, rng.choice(facts), rng)
            wordings = (
                last.fact.held_out_questions if self.held_out else last.fact.questions
            )
            asked = dress(slots.fill(rng.choice(wordings), last.values), rng, 1.0)
            answer = f"{asked.lead} {last.text}".strip()
            if rng.random() < 0.1:
                answer = self.talk.refusal
            block.history.append((asked.text, answer))
        return last

    def _follow_up(
        self, block: Block, earlier: Statement, rng: random.Random
    ) -> Branch | None:
        """Return a question that leans on the earlier turn, about another entity."""
        names = sorted(earlier.fact.asked_slots)
        twins = [
            (rank, s)
            for rank, p in enumerate(block.passages, 1)
            for s in p.statements
            if s.fact is earlier.fact and s.asked_values != earlier.asked_values
        ]
        if (
            not names
            or not twins
            or not self.facts.is_asked(earlier.topic, earlier.fact)
        ):
            return None
        rank, twin = rng.choice(twins)
        shape = rng.choice(
            (
                "and {}?",
                "what about {}?",
                "And for {}?",
                "how about {}",
                "and {}",
                "ok, and {}?",
                "same for {}?",
            )
        )
        question = shape.format(twin.values[names[0]])
        return Branch(question, "follow-up", "", (twin.text,), (twin.id,), rank)
