"""What staff see of conversations and turns, and that they cannot change it."""

import re
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from support.admin.turns import describe_cost
from support.models import Attempt, AttemptOutcome
from tests.factories import (
    contents,
    make_attempt,
    make_conversation,
    make_site,
    make_turn,
)

pytestmark = pytest.mark.django_db

TURNS = "/admin/support/turn/"


def read_cells(page: str, *columns: str) -> list[list[str]]:
    """Return the text of the columns, row by row, of a list or of an inline."""
    rows = []
    for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        cells = [
            re.search(
                rf'<t[dh] class="field-{name}[^"]*">(.*?)</t[dh]>', row, re.DOTALL
            )
            for name in columns
        ]
        if all(cells):
            rows.append(
                [unescape(re.sub("<.*?>", "", c[1])).strip() for c in cells if c]
            )
    return rows


@pytest.fixture
def read(admin_client):
    def get(path: str, **query: str) -> str:
        response = admin_client.get(path, query)
        assert response.status_code == 200
        return response.content.decode()

    return get


@pytest.fixture
def read_conversation(read):
    return lambda row: read(f"/admin/support/conversation/{row.pk}/change/")


def make_answered(conversation=None, content="hello"):
    """A turn that the cloud answered after the local model had failed."""
    turn = make_turn(conversation, content=content)
    make_attempt(
        turn, backend="local", outcome=AttemptOutcome.FAILED, error="Timeout",
        cost_usd=0, duration_ms=3000,
    )  # fmt: skip
    make_attempt(
        turn, backend="cloud", model="gpt-x", prompt_tokens=400, cached_tokens=300,
        completion_tokens=25, ttft_ms=210, duration_ms=1250, cost_usd="0.00042",
    )  # fmt: skip
    return turn


class TestConversationPage:
    def test_shows_the_turns_with_their_calls(self, read_conversation):
        turn = make_answered(content="Is it open?")
        page = read_conversation(turn.conversation)
        columns = ["question_text", "state", "backends", "total_tokens", "total_ms"]
        assert read_cells(page, *columns, "cost") == [
            ["Is it open?", "queued", "local → cloud", "425", "4250", "$0.00042"]
        ]

    def test_shows_a_turn_that_nobody_took_yet(self, read_conversation):
        page = read_conversation(make_turn().conversation)
        columns = ["backends", "total_tokens", "total_ms", "cost"]
        assert read_cells(page, *columns) == [["-", "-", "-", "-"]]

    def test_leads_to_each_turn(self, read_conversation, read):
        turn = make_answered(content="Is it open?")
        page = read_conversation(turn.conversation)
        assert f'href="{TURNS}{turn.pk}/change/"' in page
        assert read_cells(
            read(f"{TURNS}{turn.pk}/change/"),
            "number", "backend", "model", "outcome", "error", "prompt_tokens",
            "cached_tokens", "completion_tokens", "ttft_ms", "duration_ms", "cost",
        ) == [
            ["1", "local", "-", "failed", "Timeout", *"----", "3000", "free"],
            ["2", "cloud", "gpt-x", "completed", "-", "400", "300", "25", "210",
             "1250", "$0.00042"],
        ]  # fmt: skip

    def test_messages_and_turns_are_in_order(self, read_conversation):
        conversation = make_conversation()
        for content in ("first", "second", "third"):
            make_turn(conversation, content=content)
        page = read_conversation(conversation)
        texts = [["1", "first"], ["2", "second"], ["3", "third"]]
        assert read_cells(page, "seq", "text") == texts
        questions = [["first"], ["second"], ["third"]]
        assert read_cells(page, "question_text") == questions

    def test_markup_of_a_visitor_is_text(self, read_conversation):
        turn = make_turn(content="<img src=x onerror=alert(1)>")
        page = read_conversation(turn.conversation)
        assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 2
        assert "<img src=x" not in page

    def test_nobody_can_change_what_was_said(self, admin_client):
        turn = make_turn(content="hello")
        url = f"/admin/support/conversation/{turn.conversation_id}/change/"
        assert admin_client.post(url, {}).status_code == 403
        assert contents(turn.conversation) == [(1, "user", "hello")]

    def test_more_turns_cost_no_more_queries(self, read_conversation):
        few, many = make_conversation(), make_conversation()
        for conversation, number in ((few, 2), (many, 9)):
            for _ in range(number):
                make_answered(conversation)
        read_conversation(few)  # what is cached for all pages
        with CaptureQueriesContext(
            connection,
        ) as few_queries:
            read_conversation(few)
        with CaptureQueriesContext(connection) as many_queries:
            assert len(read_cells(read_conversation(many), "question_text")) == 9
        assert len(many_queries) == len(few_queries)


class TestTurnList:
    def test_shows_what_each_turn_took(self, read):
        make_answered(content="Is it open?")
        columns = ["question_text", "backends", "total_tokens", "total_ms", "cost"]
        assert read_cells(read(TURNS), *columns) == [
            ["Is it open?", "local → cloud", "425", "4250", "$0.00042"]
        ]

    @pytest.mark.parametrize(
        ("query", "questions"),
        [
            ({"backend": "cloud"}, ["fell over"]),
            ({"backend": "local"}, ["local only", "fell over"]),
            ({"outcome": "failed"}, ["fell over"]),
            ({"backend": "local", "outcome": "failed"}, ["fell over"]),
            ({"backend": "cloud", "outcome": "failed"}, []),
            ({"backend": "nobody"}, []),
            ({}, ["waiting", "local only", "fell over"]),
        ],
    )
    def test_is_filtered_by_one_call(self, read, query, questions):
        make_answered(content="fell over")
        make_attempt(make_turn(content="local only"), backend="local")
        make_turn(content="waiting")
        rows = read_cells(read(TURNS, **query), "question_text")
        assert rows == [[question] for question in questions]

    def test_offers_the_backends_of_the_ledger(self, read):
        make_answered()
        page = read(TURNS)
        assert re.findall(r'href="\?backend=(\w+)"', page) == ["cloud", "local"]

    def test_is_filtered_by_site(self, read):
        site = make_site()
        make_turn(make_conversation(site), content="here")
        make_turn(content="there")
        page = read(TURNS, conversation__site__id__exact=str(site.pk))
        assert read_cells(page, "question_text") == [["here"]]

    def test_has_a_bar_of_dates(self, read):
        turn = make_turn(content="now")
        year = turn.created_at.year
        assert read_cells(read(TURNS, created_at__year=year), "question_text")
        assert not read_cells(read(TURNS, created_at__year=year - 1), "question_text")
        assert 'class="toplinks"' in read(TURNS)

    def test_more_turns_cost_no_more_queries(self, read):
        for _ in range(3):
            make_answered()
        read(TURNS)  # what is cached for all pages
        with CaptureQueriesContext(connection) as few_queries:
            read(TURNS)
        for _ in range(9):
            make_answered()
        with CaptureQueriesContext(connection) as many_queries:
            assert len(read_cells(read(TURNS), "question_text")) == 12
        assert len(many_queries) == len(few_queries)


def call(cost_usd: str | None, finished_at: str | None = "2026-11-01") -> Attempt:
    cost = None if cost_usd is None else Decimal(cost_usd)
    return Attempt(cost_usd=cost, finished_at=finished_at)


@pytest.mark.parametrize(
    ("calls", "text"),
    [
        ([], "-"),
        ([call("0")], "free"),
        ([call(None)], "unpriced"),
        ([call(None, finished_at=None)], "not yet known"),
        ([call("0.00000120")], "$0.0000012"),
        ([call("10")], "$10"),
        ([call("0"), call("0.5")], "$0.5"),
        ([call("0"), call(None)], "unpriced"),
        ([call("0.5"), call(None)], "$0.5 and unpriced"),
    ],
)
def test_unpriced_is_not_free(calls, text):
    assert describe_cost(calls) == text
