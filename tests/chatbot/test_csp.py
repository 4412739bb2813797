"""No page of the admin holds what the strict policy would block."""

from html.parser import HTMLParser

import pytest
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.urls import reverse

from inference.models import (
    Backend,
    BackendEvent,
    BackendTest,
    Budget,
    Canary,
    Drill,
    EventKind,
    HourlyCost,
    Price,
    RoutingPolicy,
)
from support.admin.read_only import ReadOnly
from support.knowledge.articles import save_article
from support.models import Article, Conversation, Site, SystemPrompt, Turn
from tests.factories import make_attempt, make_backend, make_turn

pytestmark = pytest.mark.django_db

POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
MODELS = (
    Article, Backend, Budget, Canary, Conversation, Drill, Group, HourlyCost,
    LogEntry, Price, RoutingPolicy, Site, SystemPrompt, Turn, User,
)  # fmt: skip
PAGES = [
    (model, page)
    for model in MODELS
    for page in ("changelist", "add", "change", "history", "delete")
    if not (
        page in ("add", "delete") and isinstance(admin.site._registry[model], ReadOnly)
    )
    and (model, page)
    not in {
        (SystemPrompt, "delete"),
        (Canary, "delete"),
        (RoutingPolicy, "delete"),
        (RoutingPolicy, "add"),
        (RoutingPolicy, "changelist"),
    }
]


class Blocked(HTMLParser):
    """Collects the inline scripts, styles and handlers of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.num_tags = 0
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.num_tags += 1
        self._inside = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.found.append(f'<{tag} {name}="{value}">')
            if (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"<{tag} {name}={value}>")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside and data.strip():
            self.found.append(f"<{self._inside}>{data.strip()[:80]}")


@pytest.fixture
def rows(admin_user):
    """One row of every model that the admin knows, with rows that belong to it."""
    save_article(Article(title="Returns", slug="returns", body="Within 30 days."))
    backend = make_backend(endpoint="https://api.example.com/v1", key="sk-secret")
    Canary.objects.create(candidate=backend)
    RoutingPolicy.load().save()
    Drill.objects.create(backend=backend.name, fault="cut", is_proven=True, took_ms=9)
    BackendTest.objects.create(backend=backend.name, is_passed=True, text="Yes.")
    BackendEvent.objects.create(backend=backend.name, kind=EventKind.SPILL_BEGAN)
    Price.objects.create(backend=backend, input_usd_per_mtok=1, output_usd_per_mtok=2)
    Budget.objects.create(backend=backend, limit_usd=5)
    HourlyCost.objects.create(backend=backend, hardware_usd=1)
    Group.objects.create(name="staff")
    LogEntry.objects.exclude(pk=LogEntry.objects.latest("pk").pk).delete()
    turn = make_turn(content="Is *it* <b style='color:red'>open</b>?")
    make_attempt(turn)
    turn.used_passages.create(rank=1, title="Returns", text="x", url="/", score=1)


@pytest.fixture
def read(admin_client, rows):
    def get(url: str):
        response = admin_client.get(url)
        assert response.status_code == 200
        return response

    return get


def address(model, page: str) -> str:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
    is_of_row = page not in ("changelist", "add")
    return reverse(name, args=[model.objects.get().pk] if is_of_row else [])


def policy(response) -> dict[str, str]:
    directives = response["Content-Security-Policy"].split(";")
    return dict(directive.strip().split(" ", 1) for directive in directives)


def test_every_registered_model_is_looked_at():
    assert set(MODELS) == set(admin.site._registry)


@pytest.mark.parametrize(
    ("model", "page"), PAGES, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_page_of_the_admin_is_clean(model, page, read):
    response = read(address(model, page))
    blocked = Blocked(response.content.decode())
    assert policy(response) == POLICY
    assert blocked.found == []
    assert blocked.num_tags > 30


@pytest.mark.parametrize(
    "url", ["/admin/", "/admin/support/", "/admin/password_change/"]
)
def test_a_page_around_them_is_clean(url, read):
    response = read(url)
    assert policy(response) == POLICY
    assert Blocked(response.content.decode()).found == []


def test_the_switch_card_is_clean(read):
    place = f"{Backend.objects.get().pk}:20:0"
    response = read(f"{reverse('admin:inference_backend_switch')}?set={place}")
    assert policy(response) == POLICY
    assert Blocked(response.content.decode()).found == []


def test_the_login_page_is_clean(client):
    response = client.get("/admin/login/")
    assert policy(response) == POLICY
    assert Blocked(response.content.decode()).found == []


@pytest.mark.parametrize("url", ["/", "/help/", "/help/returns/", "/nothing-here"])
def test_a_public_page_is_clean(url, client, rows):
    response = client.get(url)
    assert policy(response) == POLICY
    assert Blocked(response.content.decode()).found == []


@pytest.mark.parametrize(
    "page",
    [
        "<script>start()</script>",
        '<style type="text/css">p { color: red }</style>',
        '<p style="color: red">',
        '<button onclick="go()">',
        '<a href=" JavaScript:go()">',
    ],
)
def test_the_parser_finds_what_would_be_blocked(page):
    assert Blocked(page).found != []


def test_the_parser_lets_files_and_text_pass():
    page = '<script src="/a.js"></script><link rel="stylesheet" href="/a.css"><p>on</p>'
    assert Blocked(page).found == []
