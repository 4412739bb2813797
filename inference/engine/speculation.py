"""Guesses what a reply goes on with, so that one step can compute several tokens.

Prompt lookup: a grounded answer copies from the passages in its prompt, so the words
that followed the last few tokens there are proposed as the next ones (Saxena: Prompt
Lookup Decoding, 2023). The model computes them all in one step and takes what it
would have written anyway; the rest is dropped. So the text is the same, only sooner.

A draft that is refused costs time. How much a token more costs is measured
(`StepCosts`), how likely one is to be taken is counted (`Acceptance`), and
`choose_lengths` weighs the two for all replies of a step together.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

from inference.engine.prefix_tree import count_shared
from inference.engine.step_costs import StepCosts

# Shorter matches say too little, longer ones no more.
MIN_MATCH = 2
MAX_MATCH = 6

# How much of what was seen counts for the next draft.
_FADING = 0.9
# What a draft is worth before any was seen, as if so many tokens had been; one with a
# longer match is worth as much as one with a shorter.
_PRIOR_SHARE = 0.6
_PRIOR_TOKENS = 4.0


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens that may follow; `match` is how many tokens before them were found.

    `is_certain` where nothing else can follow, as within a quotation.
    """

    tokens: tuple[int, ...]
    match: int = 0
    is_certain: bool = False

    def cut(self, length: int) -> "Draft":
        """Return the first `length` tokens of it."""
        return Draft(self.tokens[:length], self.match, self.is_certain)


NO_DRAFT = Draft(())


class PromptLookup:
    """Finds in one sequence what followed its last tokens before.

    Reads each token once; the memory is a number for each.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}
        self._num_read = 0
        # A draft that was too dear to compute, and the place it was meant for.
        self.watched: tuple[Draft, int] | None = None

    def propose(self, tokens: Sequence[int], limit: int) -> Draft:
        """Return at most `limit` tokens that followed the longest known ending.

        `tokens` are those of the last call and more. Of several places the latest
        counts.
        """
        self._read(tokens)
        place = self._ends.get(tuple(tokens[-MIN_MATCH:]))
        if place is None or limit < 1:
            return NO_DRAFT
        match = MIN_MATCH
        while (
            match < MAX_MATCH
            and match < place
            and tokens[place - match - 1] == tokens[len(tokens) - match - 1]
        ):
            match += 1
        return Draft(tuple(tokens[place : place + limit]), match)

    def _read(self, tokens: Sequence[int]) -> None:
        """Note where each pair ends, but for the last one, which is what is asked."""
        for end in range(max(self._num_read, MIN_MATCH), len(tokens)):
            self._ends[tuple(tokens[end - MIN_MATCH : end])] = end
        self._num_read = max(self._num_read, len(tokens))


class Acceptance:
    """How many drafted tokens were taken lately, by the match and their place.

    One for the whole engine: what copies in one conversation copies in the next. By
    the place, since what is copied has a length: a sentence ends, and with it the luck.
    """

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[int, int | None], float] = defaultdict(float)
        self._tried: defaultdict[tuple[int, int | None], float] = defaultdict(float)

    def share(self, match: int) -> float:
        """Return how likely a token of a draft is taken if those before it are."""
        prior = self.share(match - 1) if match > MIN_MATCH else _PRIOR_SHARE
        return self._weigh((match, None), prior)

    def chances(self, draft: Draft) -> list[float]:
        """Return for each token how likely it and all before it are taken."""
        if draft.is_certain:
            return [1.0] * len(draft.tokens)
        prior = self.share(draft.match)
        places = range(len(draft.tokens))
        shares = (self._weigh((draft.match, place), prior) for place in places)
        return list(accumulate(shares, mul))

    def _weigh(self, key: tuple[int, int | None], prior: float) -> float:
        """Return what was seen, with what was expected where little was."""
        taken = self._taken[key] + prior * _PRIOR_TOKENS
        return taken / (self._tried[key] + _PRIOR_TOKENS)

    def note(self, match: int, num_drafted: int, num_taken: int) -> None:
        """Note a draft. What stands behind the first refused token was not judged."""
        num_tried = min(num_taken + 1, num_drafted)
        self._add((match, None), num_tried, num_taken)
        for place in range(num_tried):
            self._add((match, place), 1, int(place < num_taken))

    def _add(self, key: tuple[int, int | None], num_tried: int, num_taken: int) -> None:
        self._taken[key] = self._taken[key] * _FADING + num_taken
        self._tried[key] = self._tried[key] * _FADING + num_tried


def choose_lengths(
    drafts: Sequence[Sequence[float]],
    num_others: int,
    room: int,
    read_cost: Callable[[int], float],
) -> list[int]:
    """Return how many tokens of each draft to compute, so that most text comes soonest.

    Of each draft the chances are given that a token and all before it are taken, which
    is what it is worth. `num_others` tokens are computed anyway, one for each reply
    that is written and those of prompts; at most `room` may be added. The most
    valuable go first, and of all numbers of them that one is chosen where tokens
    gained by time are the most. `read_cost` returns the seconds of a step.
    """
    ranked = sorted(
        (
            (-chance, place, number)
            for number, chances in enumerate(drafts)
            for place, chance in enumerate(chances)
        ),
    )[: max(room, 0)]
    gained = float(len(drafts))
    best, best_speed = 0, gained / read_cost(max(num_others, 1))
    for count, (worth, _, _) in enumerate(ranked, start=1):
        gained -= worth
        speed = gained / read_cost(num_others + count)
        if speed > best_speed:
            best, best_speed = count, speed
    lengths = [0] * len(drafts)
    for _, _, number in ranked[:best]:
        lengths[number] += 1
    return lengths


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A reply that goes on: its tokens so far, and how many more it may have.

    `expected` are tokens that must follow, if there are any.
    """

    key: str
    tokens: Sequence[int]
    limit: int
    lookup: PromptLookup
    expected: tuple[int, ...] = ()


class Drafter:
    """Drafts for all replies of a step; at most `max_tokens` together."""

    def __init__(
        self, costs: StepCosts, max_tokens: int, depth_cost: float = 0.0
    ) -> None:
        self._costs = costs
        self._depth_cost = depth_cost
        self._max_tokens = max_tokens
        self._acceptance = Acceptance()

    def draft(self, replies: Sequence[Unwritten], num_others: int) -> dict[str, Draft]:
        """Return the drafts that are worth their time, by key.

        `num_others` are the tokens of prompts in the same step.
        """
        for reply in replies:
            self._judge(reply)
        found = [self._propose(reply) for reply in replies]
        lengths = choose_lengths(
            [self._acceptance.chances(draft) for draft in found],
            len(replies) + num_others,
            self._max_tokens,
            self._build_cost(replies),
        )
        for reply, draft, length in zip(replies, found, lengths, strict=True):
            if draft.tokens and not length and reply.lookup.watched is None:
                reply.lookup.watched = draft, len(reply.tokens)
        return {
            reply.key: draft.cut(length)
            for reply, draft, length in zip(replies, found, lengths, strict=True)
            if length
        }

    def note(self, draft: Draft, num_drafted: int, num_taken: int) -> None:
        """Note how many tokens of a draft were taken of those that were computed."""
        if not draft.is_certain:
            self._acceptance.note(draft.match, num_drafted, num_taken)

    def _judge(self, reply: Unwritten) -> None:
        """Note whether a draft that was not computed would have been taken.

        It costs nothing to see what the reply went on with, and without it nobody
        would learn what drafts are worth where they are dear.
        """
        if reply.lookup.watched is None:
            return
        draft, place = reply.lookup.watched
        written = tuple(reply.tokens[place : place + len(draft.tokens)])
        num_taken = count_shared(written, draft.tokens)
        if num_taken == len(written) < len(draft.tokens):
            return
        self.note(draft, len(draft.tokens), num_taken)
        reply.lookup.watched = None

    def _propose(self, reply: Unwritten) -> Draft:
        limit = min(reply.limit, self._max_tokens)
        if reply.expected:
            return Draft(reply.expected[: max(limit, 0)], is_certain=True)
        return reply.lookup.propose(reply.tokens, limit)

    def _build_cost(self, replies: Sequence[Unwritten]) -> Callable[[int], float]:
        """Return what says how long a step takes behind so long conversations."""
        num_before = sum(len(reply.tokens) for reply in replies) / max(len(replies), 1)
        deeper_s = num_before * self._depth_cost * self._costs.prompt_token_s

        def read_cost(num_tokens: int) -> float:
            return self._costs.read(num_tokens) + num_tokens * deeper_s

        return read_cost
