"""The page that operators see."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User

from support.models import AttemptOutcome
from tests.chatbot.test_csp import POLICY, Blocked, policy
from tests.factories import make_attempt, make_backend, make_turn, past

pytestmark = pytest.mark.django_db

URL = "/admin/monitoring/"


@pytest.fixture
def read(admin_client):
    def get(**query: str) -> str:
        response = admin_client.get(URL, query)
        assert response.status_code == 200
        return response.content.decode()

    return get


@pytest.fixture
def calls():
    """A reply of the local model, and one of the cloud after it had failed."""
    make_attempt(
        make_turn(), ttft_ms=200, duration_ms=1200, queue_ms=11, cost_usd=0,
        prompt_tokens=300, completion_tokens=21, started_at=past(60),
    )  # fmt: skip
    turn = make_turn()
    make_attempt(
        turn, outcome=AttemptOutcome.FAILED, error="Timeout", duration_ms=3000,
        queue_ms=13, started_at=past(50),
    )  # fmt: skip
    make_attempt(
        turn, backend="cloud", ttft_ms=400, duration_ms=2400, queue_ms=3013,
        prompt_tokens=500, completion_tokens=41, cost_usd="0.0042", started_at=past(40),
    )  # fmt: skip


def tiles(page: str) -> dict[str, str]:
    """Return each tile's text by its title."""
    found = re.findall(r'<div class="tile">\s*<dt>(.*?)</dt>(.*?)</div>', page, re.S)
    return {title: text_of(rest) for title, rest in found}


def text_of(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def table(page: str, name: str) -> list[list[str]]:
    """Return the rows of a table, by its caption."""
    caption = f'<caption class="visually-hidden">{name}</caption>'
    [part] = re.findall(rf"{caption}(.*?)</table>", page, re.S)
    rows = re.findall(r"<tr>(.*?)</tr>", part.partition("<tbody>")[2], re.S)
    return [
        [text_of(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.S)]
        for row in rows
    ]


def test_sums_up_the_period(read, calls):
    found = tiles(read())
    assert found["Replies"] == "2 3 calls to models 0 questions unanswered"
    assert found["Time to first token"] == "300 ms median p95 390 ms p99 398 ms"
    assert found["Duration"] == "1.8 s median p95 2.34 s p99 2.39 s"
    assert found["Queue time"] == "12 ms median p95 13 ms p99 13 ms"
    assert found["Cost"] == "$0.00420 2 calls with a price + 1 call unpriced, not in it"
    assert found["Failures"] == "1 33.3 % of the calls"
    assert found["Fallbacks"] == "1 50.0 % of the replies"
    assert "62 tokens in the period 20.0 while" in found["Tokens per second"]


def test_compares_the_backends(read, calls):
    rows = {row[0]: row[1:] for row in table(read(), "Backends")}
    assert rows["local"][:8] == ["2", "1", "1", "0", "200", "200", "200", "1,200"]
    assert rows["cloud"][:5] == ["1", "1", "0", "1", "400"]
    assert rows["cloud"][-2:] == ["$0.00420", "0"]
    assert rows["All"][:4] == ["3", "2", "1", "1"]


def test_looks_at_one_backend(read, calls):
    page = read(backend="cloud")
    assert tiles(page)["Replies"] == "1 1 call to models"
    assert [row[0] for row in table(page, "Backends")] == ["cloud"]
    assert "Unanswered" not in page


def test_every_chart_has_its_table_with_a_row_for_each_step(read, calls):
    page = read(period="month")
    names = re.findall(r'<svg class="plot" role="img" aria-label="(.*?), a chart', page)
    assert len(names) == 7
    assert {len(table(page, name)) for name in names} == {30}


@pytest.mark.parametrize(
    ("period", "rows"), [("hour", 12), ("day", 24), ("week", 7), ("month", 30)]
)
def test_offers_four_periods(read, period, rows):
    page = read(period=period)
    assert len(table(page, "Replies")) == rows
    assert re.search(rf'period={period}" aria-current="true"', page)


def test_an_empty_period_is_no_error(read):
    page = read()
    assert page.count("Nothing in this period") == 7
    assert (tiles(page)["Cost"], tiles(page)["Failures"]) == ("-", "0")
    assert tiles(page)["Duration"] == "- nothing measured"


def test_unpriced_calls_are_said_and_not_drawn(read):
    make_attempt(make_turn(), cost_usd=None, started_at=past(60))
    page = read()
    assert "Not in the columns: 1 call without a known price." in page
    assert tiles(page)["Cost"] == "unpriced 1 call"
    assert ["unpriced", "1"] in [row[1:] for row in table(page, "Cost")]


@pytest.mark.parametrize("query", [{"period": "aeon"}, {"backend": "nobody'<b>"}])
def test_what_is_unknown_counts_as_not_asked_for(read, calls, query):
    assert tiles(read(**query)) == tiles(read())


def test_names_of_backends_are_text(read):
    make_attempt(make_turn(), backend="<b onclick=x>&", started_at=past(60))
    page = read(backend="<b onclick=x>&")
    assert "<b onclick" not in page
    assert "backend=%3Cb%20onclick%3Dx%3E%26" in page


def test_nothing_on_it_is_blocked_by_the_policy(admin_client, calls):
    response = admin_client.get(URL)
    blocked = Blocked(response.content.decode())
    assert policy(response) == POLICY
    assert blocked.found == []
    assert blocked.num_tags > 300


def test_numbers_in_the_drawing_are_no_words_of_a_language(read, calls, settings):
    settings.LANGUAGE_CODE = "de"
    settings.USE_THOUSAND_SEPARATOR = True
    assert re.findall(r' (?:x|y|cx|cy|x1|width)="\d+,', read()) == []


def test_more_backends_cost_no_more_queries(
    admin_client, calls, django_assert_max_num_queries
):
    for number in range(5):
        make_backend(name=f"idle-{number}")
    with django_assert_max_num_queries(14):  # two of them for the session
        admin_client.get(URL)


class TestWhoMaySeeIt:
    @pytest.fixture
    def log_in(self, client):
        def make(**values) -> User:
            user = User.objects.create_user("kim", password="kim", **values)
            client.force_login(user)
            return user

        return make

    def test_nobody_without_a_login(self, client):
        assert client.get(URL).url.startswith("/admin/login/")

    def test_no_one_who_is_not_staff(self, client, log_in):
        log_in()
        assert client.get(URL).status_code == 302

    def test_no_staff_without_the_permission(self, client, log_in):
        log_in(is_staff=True)
        assert client.get(URL).status_code == 403
        assert URL not in client.get("/admin/").content.decode()

    def test_staff_with_the_permission(self, client, log_in):
        user = log_in(is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="view_attempt"))
        assert client.get(URL).status_code == 200
        assert f'href="{URL}"' in client.get("/admin/").content.decode()

    def test_it_is_read_only(self, admin_client):
        assert admin_client.post(URL).status_code == 405
