"""The kinds of backends behind APIs, from the operator's row to the wire."""

import logging
import subprocess
import sys

import pytest

from inference.candidates import host_of
from inference.models import Backend, BackendKind
from inference.registry import build_backend, check_backend
from inference.types import (
    CancelToken,
    ChatMessage,
    CompletionRequest,
    Deadlines,
    Delta,
)
from tests.inference.backends import anthropic_events, gemini_events, openai_stand_in

pytestmark = pytest.mark.django_db

SECRET = "my parcel is lost"
REQUEST = CompletionRequest((ChatMessage("user", SECRET),), max_tokens=9)
DEADLINES = Deadlines(connect_s=2, first_token_s=5, gap_s=5)
KINDS = {
    BackendKind.OPENAI: ("/v1", openai_stand_in.WHOLE),
    BackendKind.OPENAI_COMPATIBLE: ("/v1", openai_stand_in.WHOLE),
    BackendKind.ANTHROPIC: ("", anthropic_events.WHOLE),
    BackendKind.GEMINI: ("", gemini_events.WHOLE),
}
PUBLIC = "https://api.example.com"


def row_of(kind, endpoint=PUBLIC, **values):
    return Backend(name="cloud", kind=kind, model="m", endpoint=endpoint, **values)


@pytest.fixture(params=KINDS, ids=str)
def told(request, provider):
    """A row of each kind at a stand-in, and the stand-in."""
    path, provider.answer = KINDS[request.param]
    return row_of(request.param, provider.origin + path, key="sk-1"), provider


def ask(row):
    backend = build_backend(row)
    try:
        items = list(backend.stream(REQUEST, DEADLINES, CancelToken()))
    finally:
        backend.close()
    return "".join(item.text for item in items if isinstance(item, Delta))


def test_a_row_of_each_kind_answers(told):
    row, _ = told
    assert ask(row) == "Hello there"


def test_no_log_holds_what_visitors_write(told, caplog):
    """Not at the lowest level that an operator can turn on: SDKs log whole requests.

    LOG_LEVEL is the root's; OPENAI_LOG and ANTHROPIC_LOG set those of the two.
    """
    row, provider = told
    for name in ("", "openai", "anthropic"):
        caplog.set_level(logging.DEBUG, name)
    ask(row)
    assert SECRET in str(provider.asked[0].body)
    assert SECRET not in caplog.text
    assert "sk-1" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://api.example.com", "must begin with https://"),
        ("https://10.0.0.7", r"no public address \(private\)"),
        ("https://2852039166", r"no public address \(metadata\)"),
        ("https://[::ffff:127.0.0.1]", r"no public address \(loopback\)"),
    ],
)
def test_no_row_points_inside(kind, endpoint, reason, settings):
    settings.PRIVATE_ENDPOINTS = []
    with pytest.raises(ValueError, match=reason):
        check_backend(row_of(kind, endpoint))


@pytest.mark.parametrize("kind", KINDS)
def test_the_deployment_allows_hosts_of_its_own(kind, settings):
    settings.PRIVATE_ENDPOINTS = ["gpu.lan:8000"]
    check_backend(row_of(kind, "http://gpu.lan:8000"))
    with pytest.raises(ValueError, match=r"PRIVATE_ENDPOINTS=gpu\.lan:9000"):
        check_backend(row_of(kind, "http://gpu.lan:9000"))


@pytest.mark.parametrize(
    ("kind", "host"),
    [
        (BackendKind.OPENAI, "api.openai.com"),
        (BackendKind.ANTHROPIC, "api.anthropic.com"),
        (BackendKind.GEMINI, "generativelanguage.googleapis.com"),
    ],
)
def test_a_row_without_an_endpoint_is_asked_at_its_providers_own(kind, host):
    row = row_of(kind, endpoint="", key="sk-1")
    check_backend(row)
    assert host_of(row) == host


@pytest.mark.django_db
def test_the_form_says_why_an_endpoint_is_refused(admin_client, settings):
    settings.PRIVATE_ENDPOINTS = []
    data = {
        "name": "own", "kind": "openai_compatible", "model": "llama",
        "endpoint": "http://ollama:11434/v1", "options": "{}", "position": 10,
        "first_token_s": 15, "gap_s": 15, "connect_s": 3, "weight": 1,
    }  # fmt: skip
    page = admin_client.post("/admin/inference/backend/add/", data).content.decode()
    assert "PRIVATE_ENDPOINTS=ollama:11434" in page
    assert not Backend.objects.exists()


def test_sdks_are_imported_when_a_row_asks_for_them():
    code = (
        "import sys, django; django.setup(); import inference.registry;"
        "import inference.admin;"
        "print(sorted({'openai', 'anthropic', 'google.genai', 'llama_cpp'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
