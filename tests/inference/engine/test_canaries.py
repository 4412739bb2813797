"""No reply holds what only another conversation was told.

Every conversation has a secret of its own in its help articles, in the form that the
bundled model was trained to copy from; that is done by the model, from what its cache
holds, and not by the engine's own quotations, which know their texts. Customers talk,
hang up in the middle and come back; the cache is too small for them, and the engine is
killed. What a customer reads is then searched for the secrets of all others.
"""

import os
import random
import re
import signal
import threading
from dataclasses import dataclass, field

import pytest

from inference.bench.quick import BUNDLED, SYSTEM
from inference.engine.config import HostPolicy
from inference.engine.wire import Finished
from inference.errors import BackendError
from inference.types import ChatMessage, CompletionRequest, FinishReason
from tests.inference.engine.reference import DicedRunner
from tests.inference.engine.test_engine import Bench, ask

# on a busy machine nothing but the test ends the engine
PATIENT = HostPolicy(silence_s=60.0, pause_s=0.1, max_pause_s=0.5)

QUESTIONS = (
    "What is the code of my order?",
    "when does the parcel come",
    "and the code?",
)


@dataclass
class Customer:
    """A conversation with a secret, and the replies that it got."""

    number: int
    secret: str
    messages: list[ChatMessage] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    num_whole: int = 0
    num_broken: int = 0

    def build_request(self, turn):
        lines = [
            f"[1] Order {self.secret}",
            f"a) The code of your order is {self.secret}.",
            f"b) Parcel {self.secret} comes within two days.",
        ]
        block = "Help articles:\n\n" + "\n".join(lines)
        question = ChatMessage("user", f"{block}\n\nQuestion: {QUESTIONS[turn % 3]}")
        messages = (ChatMessage("system", SYSTEM), *self.messages[-2:], question)
        is_hot = self.number % 5 == 0  # its own words, as wild as they come
        temperature = 1.0 if is_hot else 0.0
        return CompletionRequest(messages, 24, temperature, seed=self.number)

    def note(self, turn, reply):
        self.replies.append(reply)
        self.messages += [
            ChatMessage("user", QUESTIONS[turn % 3]),
            ChatMessage("assistant", reply or "..."),
        ]


def build_customers(count):
    """Return customers with a secret of eight digits each."""
    numbers = random.Random(4).sample(range(10**7, 10**8), count)
    return [Customer(n, str(number)) for n, number in enumerate(numbers)]


def find_leaks(customers):
    """Return who read most of another's secret, and whose."""
    owners = {}
    for customer in customers:
        for part in (customer.secret[:7], customer.secret[1:]):
            owners.setdefault(part, set()).add(customer.number)
    leaks = []
    for customer in customers:
        digits = "".join(re.findall(r"\d{7,}", " ".join(customer.replies)))
        parts = {digits[n : n + 7] for n in range(len(digits))}
        for part in parts & owners.keys():
            leaks += [(customer.number, n) for n in owners[part] - {customer.number}]
    return leaks


class Shop:
    """Customers who talk at once, from threads of their own."""

    def __init__(self, host, customers, num_turns):
        self.host = host
        self.todo = [(c, turn) for turn in range(num_turns) for c in customers]
        self.todo.reverse()
        self.dice = random.Random(7)
        self.num_asked = 0

    def serve(self, num_threads, kill_at=()):
        """Answer all; the engine is killed when so many questions were asked."""
        self.kill_at = set(kill_at)
        self.failures = []
        threads = [threading.Thread(target=self._work) for _ in range(num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert self.failures == []
        assert not self.todo

    def _work(self):
        try:
            while self.todo:
                self._talk(*self.todo.pop())
        except Exception as error:  # a thread's failure is the test's
            self.failures.append(repr(error))

    def _talk(self, customer, turn):
        self.num_asked += 1
        if self.num_asked in self.kill_at:
            os.kill(self.host.pid, signal.SIGKILL)
        hangs_up = self.dice.random() < 0.25
        text = ""
        try:
            ticket = self.host.submit(customer.build_request(turn))
            while not isinstance(event := ticket.take(), Finished):
                text += event.text
                if hangs_up:
                    ticket.cancel()
            reason = event.completion.finish_reason
            customer.num_whole += reason is not FinishReason.CANCELLED
        except BackendError:
            customer.num_broken += 1
            assert self.host.wait_until_ready(60)
        customer.note(turn, text)


def talk(start_host, num_customers, num_turns, kill_at):
    host = start_host(
        str(BUNDLED),
        num_cells=1024,
        max_sequences=8,
        policy=PATIENT,
    )
    customers = build_customers(num_customers)
    Shop(host, customers, num_turns).serve(12, kill_at)
    assert host.num_starts == len(kill_at) + 1
    assert find_leaks(customers) == []
    own = [any(c.secret in reply for reply in c.replies) for c in customers]
    assert sum(own) > num_customers / 2  # so secrets are told to those who own them
    assert any(customer.num_broken for customer in customers)
    return customers


def test_sixty_customers_read_no_secret_of_another(start_host):
    talk(start_host, num_customers=60, num_turns=2, kill_at=[50])


@pytest.mark.faults
def test_hundreds_of_customers_read_no_secret_of_another(start_host):
    talk(start_host, 500, 4, kill_at=[300, 310, 900, 1500])


def test_the_search_finds_a_secret_in_the_wrong_place():
    one, other, third = build_customers(3)
    one.replies = [f"Your code is {one.secret}."]
    other.replies = ["Hello!", f"It is {one.secret[1:]} or {third.secret[:7]}"]
    assert sorted(find_leaks([one, other, third])) == [(1, 0), (1, 2)]


@pytest.mark.parametrize("can_cut", [True, False], ids=["cells", "states"])
def test_no_sequence_ever_sees_a_cell_of_another(can_cut):
    """The runner looks at each cell; the marks make every conversation different."""
    runner = DicedRunner(300, end_every=8, can_cut=can_cut)
    bench = Bench(runner, max_sequences=6)
    dice = random.Random(5)
    for number in range(200):
        bench.submit(f"{number}", ask(f"{number % 7} mark {number}?", 20, seed=number))
        bench.run(dice.randint(1, 4))
        if dice.random() < 0.3:
            bench.engine.cancel_soon(f"{dice.randint(0, number)}")
    bench.run()
    assert len(bench.ends) == 200
