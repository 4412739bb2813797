"""A hundred calls at once against a budget of ten, on SQLite and on Postgres."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from uuid import uuid4

import environ
import psycopg
import pytest
from auditlog.context import disable_auditlog
from django.db import connection, connections
from django.utils import timezone
from psycopg import sql

from inference import routes, spends
from inference.budgets import BudgetGate
from inference.models import (
    Backend,
    BackendEvent,
    Budget,
    Price,
    Reservation,
    Spend,
)
from inference.routing.gates import Refused
from inference.routing.plan import Asker, Errand
from inference.rules import read_rules
from inference.types import (
    AttemptOutcome,
    AttemptReport,
    CancelToken,
    ChatMessage,
    CompletionRequest,
)
from tests.factories import make_backend

NUM_CALLS = 100
LIMIT = Decimal(10)
# at most $1, as in test_budgets.py
REQUEST = CompletionRequest((ChatMessage("user", "x" * 84),), max_tokens=100)
TABLES = (Backend, Price, Budget, Spend, Reservation, BackendEvent)


@contextmanager
def on_postgres(url: str) -> Iterator[None]:
    """Have threads that begin now use a schema of their own there."""
    schema = f"races_{uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as direct:
        direct.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    config = environ.Env.db_url_config(url)
    before = connections.databases["default"]
    options = {
        "options": f"-c search_path={schema} -c statement_timeout=5s",
        "pool": {"min_size": 1, "max_size": 24, "timeout": 20.0},
    }
    connections.databases["default"] = before | config | {"OPTIONS": options}
    try:
        yield
    finally:
        connections.databases["default"] = before


BOTH = pytest.mark.parametrize("run", ["sqlite", "postgres"], indirect=True)
POSTGRES = pytest.mark.parametrize("run", ["postgres"], indirect=True)


@pytest.fixture
def run(request, transactional_db):
    """Return a function that runs another one in a thread, on an empty database.

    SQLite lets one thread write at a time: a hundred take seconds there.
    """
    if request.param == "sqlite":
        yield from _use_threads()
        return
    with on_postgres(request.getfixturevalue("postgres_url")):
        yield from _use_threads(has_tables=False)


def _use_threads(has_tables: bool = True) -> Iterator:
    with ThreadPoolExecutor(NUM_CALLS, initializer=_forget_connection) as threads:

        def in_thread(function, *args):
            return threads.submit(_and_give_back, function, *args)

        if not has_tables:
            in_thread(_create_tables).result()
        yield in_thread
        in_thread(_close_pool).result()


def _forget_connection() -> None:
    connection.close()


def _and_give_back(function, *args):
    try:
        return function(*args)
    finally:
        connection.close()


def _create_tables() -> None:
    with connection.schema_editor() as editor:
        for table in TABLES:
            editor.create_model(table)


def _close_pool() -> None:
    close = getattr(connection, "close_pool", None)  # SQLite has none
    if close is not None:
        close()


def set_up(**budget) -> BudgetGate:
    with disable_auditlog():  # its tables are not there
        return _set_up(**budget)


def _set_up(**budget) -> BudgetGate:
    row = make_backend("say " + "word " * 100, name="cloud")
    Price.objects.create(backend=row, input_usd_per_mtok=1000, output_usd_per_mtok=9000)
    values = {"backend": row, "limit_usd": LIMIT} | budget
    Budget.objects.bulk_create([Budget(**values)])  # sends no signals to the ledger
    return BudgetGate(
        lambda name: Backend.objects.get(name=name),
        lambda name, request: request.max_tokens,
    )


def report(cost_usd: Decimal) -> AttemptReport:
    done, now = AttemptOutcome.COMPLETED, timezone.now()
    return AttemptReport("cloud", "m", 1, done, now, 900, cost_usd=cost_usd)


class Crowd:
    """Many calls that begin at once; notes how many were let pass together."""

    def __init__(self, gate: BudgetGate, cost_usd: str, asker: Asker) -> None:
        self.gate, self.asker = gate, asker
        self.cost_usd = Decimal(cost_usd)
        self.start = threading.Barrier(NUM_CALLS)
        self.pause = threading.Event()

    def call(self) -> bool:
        """Make one call that takes a while; return whether it was let pass."""
        self.start.wait()
        try:
            leave = self.gate.admit("cloud", REQUEST, self.asker)
        except Refused:
            return False
        self.pause.wait(0.02)
        leave.settle(report(self.cost_usd))
        return True

    def rush(self, run) -> int:
        """Return how many of the calls were let pass."""
        calls = [run(self.call) for _ in range(NUM_CALLS)]
        return sum(call.result() for call in calls)


def read_sums() -> tuple[Decimal, int]:
    spend = Spend.objects.get(visitor="")
    return spend.usd, Reservation.objects.count()


@BOTH
def test_a_hundred_calls_at_their_highest_cost_are_ten(run):
    gate = run(lambda: set_up(period="month")).result()
    assert Crowd(gate, "1", Asker()).rush(run) == 10
    assert run(read_sums).result() == (LIMIT, 0)
    kinds = run(lambda: set(BackendEvent.objects.values_list("kind", "backend")))
    assert {("budget_alert", "cloud")} <= kinds.result()


@POSTGRES
def test_cheaper_calls_are_more_and_never_too_many(run):
    gate = run(set_up).result()
    num_passed = Crowd(gate, "0.3", Asker()).rush(run)
    usd, num_open = run(read_sums).result()
    assert num_passed >= 10
    assert usd == num_passed * Decimal("0.3")
    assert (usd <= LIMIT, num_open) == (True, 0)


@POSTGRES
def test_one_visitors_calls_are_ten(run):
    gate = run(lambda: set_up(backend=None, is_per_visitor=True)).result()
    assert Crowd(gate, "1", Asker(visitor="ann")).rush(run) == 10


@pytest.mark.parametrize("run", ["sqlite"], indirect=True)
def test_a_hundred_requests_are_answered_and_the_budget_is_kept(run):
    """With the registry and the router: who is refused is answered by the next one."""
    run(set_up).result()
    run(lambda: make_backend("echo", name="free", position=20)).result()
    reports: list[AttemptReport] = []

    def ask() -> str:
        errand = Errand(REQUEST, CancelToken(), on_attempt=reports.append)
        *_, last = routes.route(errand, read_rules(), total_s=60)
        return last.attempts[-1].backend

    answered = Counter(call.result() for call in [run(ask) for _ in range(NUM_CALLS)])
    assert answered == {"cloud": 10, "free": 90}
    assert len(reports) == NUM_CALLS
    # a word of prompt and a hundred of reply: ten calls leave less than one may cost
    cost_usd = Decimal("0.001") + 100 * Decimal("0.009")
    billed = [report.cost_usd or Decimal(0) for report in reports]
    assert sum(billed) == 10 * cost_usd
    assert run(read_sums).result() == (10 * cost_usd, 0)


@BOTH
def test_a_sweep_and_a_late_end_book_once(run):
    gate = run(set_up).result()
    leave = run(lambda: gate.admit("cloud", REQUEST, Asker())).result()
    run(lambda: Reservation.objects.update(created_at=timezone.now().replace(2020)))
    ends = [run(leave.settle, report(Decimal("0.25")))]
    ends += [run(spends.sweep) for _ in range(5)]
    for end in ends:
        end.result()
    assert run(read_sums).result() == (Decimal("0.25"), 0)
