"""What stops a start, and what is only unwise; each names the setting to change."""

import os
import subprocess
import sys

import pytest
from django.core.checks import run_checks
from django.db import connection

from chatbot.checks import check_keys, check_redis
from chatbot.starting import SETTINGS, check_start
from tests.factories import make_backend
from tests.ports import free_port

REDIS = "redis://127.0.0.1:6379/0"
IN_MEMORY = ("CELERY_BROKER_URL", "CHANNEL_LAYER_URL", "REPLY_BUFFER_URL")
UNWISE = {"RATE_LIMIT_STORAGE_URL": "chatbot.W002", "ROUTING_STATE_URL": "chatbot.W016"}
ALL_SHARED = dict.fromkeys([*IN_MEMORY, *UNWISE], REDIS)


@pytest.fixture
def find(settings):
    """Return a function that changes settings and returns what the checks find."""
    settings.EMBEDDED_WORKER = True
    settings.MADE_SECRETS = []

    def run(**values) -> dict[str, str]:
        for name, value in values.items():
            setattr(settings, name, value)
        return {
            str(message.id): str(message) for message in run_checks(tags=[SETTINGS])
        }

    return run


def test_embedded_mode_is_right_as_it_is(find):
    assert find(MADE_SECRETS=["SECRET_KEY"]) == {}


def test_shared_services_are_right_for_several_processes(find):
    assert find(EMBEDDED_WORKER=False, WEB_PROCESSES=4, **ALL_SHARED) == {}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_what_workers_must_share_is_not_kept_in_memory(find, name):
    found = find(EMBEDDED_WORKER=False, **ALL_SHARED | {name: "memory://"})
    assert list(found) == ["chatbot.E001"]
    assert name in found["chatbot.E001"]


@pytest.mark.parametrize(("name", "expected"), UNWISE.items())
def test_what_one_process_learns_is_unwise_beside_others(find, name, expected):
    found = find(EMBEDDED_WORKER=False, **ALL_SHARED | {name: "memory://"})
    assert list(found) == [expected]


def test_several_web_processes_with_a_worker_each_are_refused(find):
    assert list(find(WEB_PROCESSES=2, **ALL_SHARED)) == ["chatbot.E003"]


@pytest.mark.parametrize(
    "secret", ["short", "django-insecure-" + "x" * 40, "change-me" * 9]
)
def test_a_known_secret_is_refused(find, secret):
    assert list(find(SECRET_KEY=secret)) == ["chatbot.E004"]


def test_secrets_made_here_are_unwise_beside_other_processes(find):
    made = ["SECRET_KEY", "FIELD_ENCRYPTION_KEYS"]
    found = find(EMBEDDED_WORKER=False, MADE_SECRETS=made, **ALL_SHARED)
    assert "SECRET_KEY and FIELD_ENCRYPTION_KEYS" in found["chatbot.W005"]


@pytest.mark.parametrize("password", ["", ":password@", "postgres:postgres@"])
def test_a_default_password_of_another_host_is_unwise(find, password):
    found = find(DATABASE_URL=f"postgres://{password}db.example/chat")
    assert list(found) == ["chatbot.W006"]
    assert "DATABASE_URL" in found["chatbot.W006"]


def test_no_warning_shows_a_password(find):
    found = find(REDIS_URL="redis://:secret@redis.example/0")
    assert "secret" not in found["chatbot.W006"].replace("SECRET", "")


def test_another_database_is_refused(find, settings, monkeypatch):
    database = settings.DATABASES["default"]
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.mysql")
    assert "mysql" in find()["chatbot.E015"]


def test_a_process_needs_connections_for_its_sockets(find, settings, monkeypatch):
    database = settings.DATABASES["default"]
    monkeypatch.setitem(database, "ENGINE", "django.db.backends.postgresql")
    assert find(DATABASE_CONNECTIONS=12) == {}
    assert list(find(DATABASE_CONNECTIONS=11)) == ["chatbot.E007"]


@pytest.mark.django_db
def test_an_error_ends_the_start_and_names_the_setting(find):
    find(EMBEDDED_WORKER=False)
    with pytest.raises(SystemExit, match="CHANNEL_LAYER_URL"):
        check_start()


class TestRedis:
    @pytest.fixture(autouse=True)
    def _alone(self, settings, redis_url):
        settings.REDIS_URL = redis_url

    def find(self) -> list[str]:
        return [str(message.id) for message in check_redis()]

    @pytest.mark.parametrize(
        ("option", "value", "found"),
        [
            ("appendonly", "no", "chatbot.W011"),
            ("maxmemory-policy", "allkeys-lru", "chatbot.W010"),
        ],
    )
    def test_one_that_loses_jobs_is_unwise(self, redis_client, option, value, found):
        before = redis_client.config_get(option)
        redis_client.config_set(option, value)
        assert found in self.find()
        redis_client.config_set(option, before[option])

    def test_one_that_is_too_old_is_refused(self, monkeypatch):
        monkeypatch.setattr("chatbot.checks.OLDEST_REDIS", (99, 0))
        assert "chatbot.E009" in self.find()

    def test_one_that_is_not_there_does_not_stop_the_start(self, settings):
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        assert self.find() == ["chatbot.W008"]


def test_a_postgres_that_loses_commits_is_unwise(postgres_url):
    """The tests' own is one: it does not wait for the disk."""
    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        env=os.environ | {"DATABASE_URL": postgres_url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "chatbot.W014" in checked.stderr
    assert "fsync, full_page_writes, synchronous_commit off" in checked.stderr


@pytest.mark.django_db
class TestKeys:
    def test_a_readable_key_is_right(self):
        make_backend(key="sk-secret")
        assert check_keys() == []

    def test_one_of_another_installation_is_refused(self):
        make_backend(key="sk-secret", name="elsewhere")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE inference_backend SET key = 'fernet:other'")
        [found] = check_keys()
        assert found.id == "chatbot.E013"
        assert "elsewhere" in str(found)
        assert "FIELD_ENCRYPTION_KEYS" in str(found)


@pytest.mark.parametrize("entry", ["http://ollama", "ollama/v1", "*", "10.0.0.0/8"])
def test_a_private_endpoint_is_a_host(find, entry):
    assert list(find(PRIVATE_ENDPOINTS=[entry])) == ["chatbot.E016"]


def test_hosts_with_and_without_a_port_are_right(find):
    hosts = ["ollama", "gpu.lan:8000", "10.0.0.7", "[::1]:11434", "fd00::7"]
    assert find(PRIVATE_ENDPOINTS=hosts) == {}
