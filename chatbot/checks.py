"""What must be right before anybody is served; each message names its setting.

Django runs the first group with every command, `check --deploy` the second too, which
asks Redis and the database. Both run when a web process or a worker starts: errors
end it, warnings are logged.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError, connection
from redis import Redis
from redis.exceptions import RedisError

from chatbot.starting import SERVICES, SETTINGS
from inference.models import Backend
from inference.registry import check_private_endpoints, settings_of
from support.chat.threads import NUM_THREADS

OLDEST_REDIS = (6, 2)
_SHARED = {
    "CELERY_BROKER_URL": "the queue of jobs",
    "CHANNEL_LAYER_URL": "announcements",
    "REPLY_BUFFER_URL": "unfinished replies",
}
_SHORTEST_SECRET = 24
# and a page, the reaper, the watch, the canaries
_FEWEST_CONNECTIONS = NUM_THREADS + 4
_WELL_KNOWN = (
    "change",
    "django-insecure",
    "secret",
    "example",
    "insecure",
    "password",
    "test",
    "dummy",
)
_DEFAULT_PASSWORDS = {"", "postgres", "password", "chatbot", "redis", "secret", "admin"}
_OWN_HOSTS = {"", None, "localhost", "127.0.0.1", "::1"}


def has_several_processes() -> bool:
    """Return whether replies are written elsewhere than where they are read."""
    return not settings.EMBEDDED_WORKER or settings.WEB_PROCESSES > 1


@register(SETTINGS)
def check_shared(**_: Any) -> list[CheckMessage]:
    """Find what processes must share and is kept in the memory of one."""
    if not has_several_processes():
        return []
    found: list[CheckMessage] = [
        Error(
            f"{name}: {what} would be in the memory of one process, but there are "
            f"several (EMBEDDED_WORKER={settings.EMBEDDED_WORKER}, "
            f"WEB_PROCESSES={settings.WEB_PROCESSES}).",
            hint=f"Set REDIS_URL, or {name}.",
            id="chatbot.E001",
        )
        for name, what in _SHARED.items()
        if getattr(settings, name).startswith("memory:")
    ]
    if settings.RATE_LIMIT_STORAGE_URL.startswith("memory:"):
        found.append(
            Warning(
                "RATE_LIMIT_STORAGE_URL: each process counts messages, sessions and "
                "sockets alone, so a visitor may use each one's limit.",
                hint="Set REDIS_URL, or RATE_LIMIT_STORAGE_URL.",
                id="chatbot.W002",
            )
        )
    if settings.ROUTING_STATE_URL.startswith("memory:"):
        found.append(
            Warning(
                "ROUTING_STATE_URL: each worker finds out alone which backends fail, "
                "and the admin sees none of it.",
                hint="Set REDIS_URL, or ROUTING_STATE_URL.",
                id="chatbot.W016",
            )
        )
    if settings.EMBEDDED_WORKER and settings.WEB_PROCESSES > 1:
        found.append(
            Error(
                "WEB_PROCESSES: each of them would run a worker and load the models.",
                hint="Set EMBEDDED_WORKER=false and start workers.",
                id="chatbot.E003",
            )
        )
    return found


@register(SETTINGS)
def check_secrets(**_: Any) -> list[CheckMessage]:
    """Find secrets that others know, or that other machines do not have."""
    found: list[CheckMessage] = []
    secret = settings.SECRET_KEY
    if len(secret) < _SHORTEST_SECRET or secret.lower().startswith(_WELL_KNOWN):
        found.append(
            Error(
                "SECRET_KEY is short or a well-known default: with it anybody can "
                "sign a visitor's token or a session.",
                hint="Set it to the output of `openssl rand -base64 48`.",
                id="chatbot.E004",
            )
        )
    if has_several_processes() and settings.MADE_SECRETS:
        found.append(
            Warning(
                f"{' and '.join(settings.MADE_SECRETS)} came from var/ of this "
                "machine; processes elsewhere would make others and refuse the "
                "tokens and keys of this one.",
                hint="Set them, the same for all processes.",
                id="chatbot.W005",
            )
        )
    return found + [
        Warning(
            f"{name} has no password of its own for {urlsplit(url).hostname}.",
            hint="Give the service a random password.",
            id="chatbot.W006",
        )
        for name, url in _read_addresses()
        if urlsplit(url).hostname not in _OWN_HOSTS
        and (urlsplit(url).password or "") in _DEFAULT_PASSWORDS
    ]


@register(SETTINGS)
def check_endpoints(**_: Any) -> list[CheckMessage]:
    """Find entries of the list of private hosts that are none."""
    try:
        check_private_endpoints()
    except ValueError as error:
        return [
            Error(
                f"PRIVATE_ENDPOINTS: {error}.",
                hint="Write hosts, some with a port: PRIVATE_ENDPOINTS=ollama:11434.",
                id="chatbot.E016",
            )
        ]
    return []


@register(SETTINGS)
def check_database_kind(**_: Any) -> list[CheckMessage]:
    """Find a database that passages cannot be searched in."""
    kind = settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]
    if kind in ("sqlite3", "postgresql"):
        return []
    return [
        Error(
            f"DATABASE_URL names a database of the kind {kind}.",
            hint="Use SQLite or Postgres.",
            id="chatbot.E015",
        )
    ]


@register(SETTINGS)
def check_connections(**_: Any) -> list[CheckMessage]:
    """Find a pool of database connections that a process' threads would fight for."""
    is_postgres = "postgresql" in settings.DATABASES["default"]["ENGINE"]
    if not is_postgres or settings.DATABASE_CONNECTIONS >= _FEWEST_CONNECTIONS:
        return []
    return [
        Error(
            f"DATABASE_CONNECTIONS is {settings.DATABASE_CONNECTIONS}, but the sockets "
            f"of a web process and what watches need {_FEWEST_CONNECTIONS}.",
            hint=f"Set DATABASE_CONNECTIONS to {_FEWEST_CONNECTIONS} or more.",
            id="chatbot.E007",
        )
    ]


@register(SERVICES, deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    """Ask each Redis for its version and whether it keeps what it is given."""
    urls: dict[str, str] = {}
    for name, url in _read_addresses():
        if url.startswith("redis"):
            urls.setdefault(url, name)
    found: list[CheckMessage] = []
    for url, name in urls.items():
        with Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            try:
                found += _check_one_redis(name, client)
            except RedisError as error:
                found.append(
                    Warning(
                        f"{name}: Redis cannot be asked: {error}",
                        hint="Replies wait until it is there; messages are accepted.",
                        id="chatbot.W008",
                    )
                )
    return found


def _check_one_redis(name: str, client: Redis) -> Iterable[CheckMessage]:
    about = cast("dict[str, Any]", client.info())
    version = str(about["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < OLDEST_REDIS:
        oldest = ".".join(map(str, OLDEST_REDIS))
        yield Error(
            f"{name}: Redis {version} is too old.",
            hint=f"Redis {oldest} or newer is needed.",
            id="chatbot.E009",
        )
    if about.get("maxmemory_policy", "noeviction") != "noeviction":
        yield Warning(
            f"{name}: Redis evicts keys when it is full "
            f"(maxmemory-policy {about['maxmemory_policy']}), jobs among them.",
            hint="Set maxmemory-policy noeviction in redis.conf.",
            id="chatbot.W010",
        )
    if not about.get("aof_enabled"):
        yield Warning(
            f"{name}: Redis forgets the queue when it restarts; each waiting question "
            "then takes some seconds longer.",
            hint="Set appendonly yes and appendfsync everysec in redis.conf.",
            id="chatbot.W011",
        )


@register(SERVICES, deploy=True)
def check_keys(**_: Any) -> list[CheckMessage]:
    """Find backends whose key cannot be decrypted."""
    found: list[CheckMessage] = []
    try:
        rows = list(Backend.objects.filter(is_enabled=True))
    except DatabaseError as error:
        return [
            Warning(
                f"DATABASE_URL: the database cannot be read: {error}",
                hint="Is it there, and was `manage.py migrate` run?",
                id="chatbot.W012",
            )
        ]
    for row in rows:
        try:
            settings_of(row)
        except ValueError as error:
            found.append(
                Error(
                    f"FIELD_ENCRYPTION_KEYS: the key of backend {row.name} cannot be "
                    f"read: {error}",
                    hint="Add the key that it was saved with, or enter it again.",
                    id="chatbot.E013",
                )
            )
    return found


@register(SERVICES, deploy=True)
def check_commits(**_: Any) -> list[CheckMessage]:
    """Ask Postgres whether what it has committed survives its death."""
    if connection.vendor != "postgresql":
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM pg_settings WHERE setting = 'off' AND name IN"
                " ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name"
            )
            names = [name for (name,) in cursor.fetchall()]
    except DatabaseError:
        return []  # check_keys says so
    if not names:
        return []
    return [
        Warning(
            f"DATABASE_URL: Postgres has {', '.join(names)} off and may lose messages "
            "that were acknowledged.",
            hint="Set them on in postgresql.conf, as they are by default.",
            id="chatbot.W014",
        )
    ]


def _read_addresses() -> Sequence[tuple[str, str]]:
    """Return the settings that are addresses of services, REDIS_URL first."""
    others = ("RATE_LIMIT_STORAGE_URL", "ROUTING_STATE_URL", "DATABASE_URL")
    names = ("REDIS_URL", *_SHARED, *others)
    return [
        (name, getattr(settings, name)) for name in names if getattr(settings, name)
    ]
