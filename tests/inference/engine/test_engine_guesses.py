"""Whatever is guessed, the reply is what is written token by token.

The guesses here are of the worst kind: right for a while, then not; with tokens that
end a reply or are no text; for some replies of a step and not for others.
"""

import random
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine.config import EngineConfig
from inference.engine.speculation import Draft, Drafter
from inference.types import Quotable
from tests.inference.engine.fake_runner import NUM_VOCAB
from tests.inference.engine.reference import DicedRunner, write_alone
from tests.inference.engine.test_engine import Bench, ask


class KnowingDrafter:
    """Knows each reply, and lies: after some right tokens come any others."""

    def __init__(self, replies, seed):
        self.replies = replies
        self.dice = random.Random(seed)
        self.notes = []

    def draft(self, replies, num_others):
        drafts = {reply.key: self._guess(reply) for reply in replies}
        return {key: draft for key, draft in drafts.items() if draft.tokens}

    def note(self, draft, num_drafted, num_taken):
        self.notes.append((num_drafted, num_taken))

    def _guess(self, reply):
        known = self.replies[reply.key].tokens
        assert known[: len(reply.tokens)] == reply.tokens
        num_right = self.dice.choice([0, 0, 1, 3, 8])
        right = known[len(reply.tokens) :][:num_right]
        wrong = self.dice.choices(range(NUM_VOCAB), k=self.dice.randint(0, 4))
        return Draft((*right, *wrong)[: max(reply.limit, 0)])


samplings = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.7, 1.5]),
        "repetition_penalty": st.sampled_from([1.0, 1.4]),
        "seed": st.integers(0, 2**63 - 1),
    },
    optional={
        "top_p": st.just(0.9),
        "stop": st.just(("e", "a b")),
        "grammar": st.just("yes, but only boots"),
        "quotable": st.just((Quotable("Boots take 5.", 0.5),)),
    },
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(samplings, min_size=1, max_size=4),
    st.integers(0, 99),
    st.sampled_from([0, 15]),
    st.booleans(),
)
def test_no_guess_changes_a_reply(options, seed, end_every, is_small):
    runner = DicedRunner(160 if is_small else 600, end_every)
    bench = Bench(runner, quotes=True, max_batch_tokens=8 if is_small else 48)
    requests = {
        str(number): ask("Boots take 5.\nboots?", 40, **values)
        for number, values in enumerate(options)
    }
    replies = {
        key: write_alone(runner, EngineConfig("-", quotes=True), request)
        for key, request in requests.items()
    }
    drafter = KnowingDrafter(replies, seed)
    bench.engine._drafter = cast(Drafter, drafter)
    for key, request in requests.items():
        bench.submit(key, request)
    bench.run()
    assert bench.texts == {key: reply.text for key, reply in replies.items()}
    for key, reply in replies.items():
        assert bench.ends[key].finish_reason is reply.finish_reason
        assert bench.ends[key].usage.completion_tokens == reply.num_tokens
    assert all(0 <= taken <= drafted for drafted, taken in drafter.notes)


class Oracle(KnowingDrafter):
    """Guesses right, and as far as it may."""

    def _guess(self, reply):
        known = self.replies[reply.key].tokens
        return Draft(tuple(known[len(reply.tokens) :][: reply.limit]))


def test_right_guesses_are_all_taken():
    runner = DicedRunner(600, end_every=0)
    bench = Bench(runner, max_batch_tokens=64)
    request = ask("boots?", 40, temperature=1.0, seed=3)
    reply = write_alone(runner, EngineConfig("-"), request)
    bench.engine._drafter = cast(Drafter, Oracle({"a": reply}, 0))
    bench.submit("a", request).run()
    assert bench.texts["a"] == reply.text
    assert bench.engine.read_stats().num_accepted_tokens == 38  # but first and last
