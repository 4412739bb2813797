"""The operator's rows and what is built of them."""

import logging

import pytest
from cryptography.fernet import Fernet

from inference import registry, routes
from inference.models import Backend, build_deadlines
from inference.registry import Registry, settings_of
from inference.routing.plan import Errand
from inference.rules import read_rules
from inference.types import (
    AttemptReport,
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
)
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

REQUEST = CompletionRequest((ChatMessage("user", "Is it open?"),), max_tokens=9)


@pytest.fixture
def own():
    registry = Registry()
    yield registry
    registry.close()


def use(own: Registry) -> list:
    return own.use(list(Backend.objects.filter(is_enabled=True)))


def change(**values) -> None:
    row = Backend.objects.get()
    for name, value in values.items():
        setattr(row, name, value)
    row.save()


def test_settings_carry_endpoint_and_key_and_do_not_show_the_key():
    row = make_backend(endpoint="https://api.example.com/v1", key="sk-secret")
    settings = settings_of(row)
    assert (settings.endpoint, settings.key) == (row.endpoint, "sk-secret")
    assert "sk-secret" not in repr(settings)


def test_an_unchanged_row_keeps_its_backend(own):
    make_backend(key="sk-secret")
    first = use(own)
    Backend.objects.get().save()  # encrypts the same key anew
    assert use(own) == first


@pytest.mark.parametrize(
    "values",
    [
        {"key": "sk-new"},
        {"key": ""},
        {"endpoint": "https://other.example.com/v1"},
        {"model": "other"},
        {"options": {"scripts": ["say hi"]}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_changed_row_is_in_force_with_the_next_use(own, values):
    make_backend(key="sk-old", endpoint="https://api.example.com/v1")
    first = use(own)
    change(**values)
    assert use(own) != first


@pytest.mark.parametrize("values", [{"position": 99}, {"gap_s": 3.0}])
def test_order_and_patience_change_without_a_new_backend(own, values):
    make_backend(key="sk-old")
    first = use(own)
    change(**values)
    assert use(own) == first


def test_backends_come_in_the_operators_order(own):
    make_backend(name="first", position=20)
    make_backend(name="second", position=10)
    assert [backend.name for backend in use(own)] == ["second", "first"]


def test_each_backend_has_the_patience_of_its_own_row():
    rows = [
        make_backend(name="local", first_token_s=3, gap_s=2),
        make_backend(name="cloud", first_token_s=30, gap_s=20),
    ]
    deadlines = build_deadlines(rows, total_s=60)
    assert deadlines == {
        "local": Deadlines(first_token_s=3, gap_s=2, total_s=60),
        "cloud": Deadlines(first_token_s=30, gap_s=20, total_s=60),
    }


def test_a_slow_backend_is_left_by_its_own_row():
    make_backend("hang", name="local", position=1, first_token_s=0.1)
    make_backend("say Yes", name="cloud", position=2, first_token_s=30)
    reports: list[AttemptReport] = []
    errand = Errand(REQUEST, CancelToken(), reports.append)
    items = list(routes.route(errand, read_rules(), total_s=9))
    assert items[-1].text == "Yes"
    assert reports[0].error_detail == "first_token deadline passed after 0.1 s"


def test_a_disabled_row_is_not_used(own):
    make_backend()
    use(own)
    change(is_enabled=False)
    assert use(own) == []


def test_a_key_that_cannot_be_read_stops_only_its_own_row(own, settings, caplog):
    make_backend(name="locked", key="sk-secret", position=1)
    make_backend(name="open", position=2)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with caplog.at_level(logging.ERROR):
        assert [backend.name for backend in use(own)] == ["open"]
    assert "backend=locked cannot be used" in caplog.text
    assert "sk-secret" not in caplog.text


def test_a_backend_whose_key_became_unreadable_is_not_used_on(own, settings):
    make_backend(key="sk-secret")
    assert len(use(own)) == 1
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert use(own) == []


def test_a_kind_whose_packages_are_missing_is_left_out(own, monkeypatch, caplog):
    monkeypatch.setitem(registry._MODULES, "scripted", "inference.backends.missing")
    make_backend()
    assert use(own) == []
    assert "No module named" in caplog.text
