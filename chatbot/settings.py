"""Settings of every mode; the environment gives the values (see .env.example).

The same file runs embedded, in compose and in a cluster. A malformed value stops the
start-up and names itself. Secrets may come from a file: `SECRET_KEY_FILE=/run/...`.
"""

import os
import secrets
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from environ import FileAwareEnv
from environ.fileaware_mapping import FileAwareMapping
from kombu.entity import Queue

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"


class _Variables(FileAwareMapping):  # type: ignore[misc]  # environ has no types
    """Variables, and the files of NAME_FILE without the line end that editors add."""

    def __getitem__(self, key: str) -> str:
        value: str = super().__getitem__(key)
        return value.rstrip("\r\n") if self.env.get(f"{key}_FILE") else value


class _Env(FileAwareEnv):  # type: ignore[misc]  # as above
    """An environment whose malformed values are named in the error."""

    ENVIRON = _Variables()

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except (ValueError, OSError) as error:  # OSError: the file of NAME_FILE
            raise ImproperlyConfigured(f"{var}: {error}") from error


env = _Env()
if (BASE_DIR / ".env").exists():
    env.read_env(BASE_DIR / ".env")


def _random_text() -> str:
    return secrets.token_urlsafe(50)


def _random_fernet_key() -> str:
    return Fernet.generate_key().decode()


# the secrets that are not set but kept in var/; checks.py says where that will not do
MADE_SECRETS: list[str] = []


def _local_secret(name: str, path: Path, make: Callable[[], str]) -> str:
    """Return the secret `name` kept in `path`; write a new one on the first call.

    Of two processes that start at once, one writes.
    """
    MADE_SECRETS.append(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with open(descriptor, "w") as file:
        file.write(make())
    return path.read_text().strip()


def _check_fernet_keys(keys: list[str]) -> list[str]:
    """Return the keys; raises ImproperlyConfigured, which does not show them."""
    for number, key in enumerate(keys, start=1):
        try:
            Fernet(key)
            is_good = len(key) == 44  # base64 ignores what follows its "="
        except ValueError:
            is_good = False
        if not is_good:
            raise ImproperlyConfigured(
                f"FIELD_ENCRYPTION_KEYS: number {number} is not 32 bytes in base64; "
                "make one with `openssl rand -base64 32`"
            )
    return keys


def _read_networks(name: str, texts: list[str]) -> list[IPv4Network | IPv6Network]:
    """Return addresses and networks; raises ImproperlyConfigured for anything else."""
    try:
        return [ip_network(text.strip()) for text in texts if text.strip()]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


# Django

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _local_secret(
    "SECRET_KEY", VAR_DIR / "secret_key", _random_text
)
# the first encrypts the keys of backends, all decrypt
FIELD_ENCRYPTION_KEYS = _check_fernet_keys(
    [key.strip() for key in env.list("FIELD_ENCRYPTION_KEYS", default=[])]
    or [
        _local_secret(
            "FIELD_ENCRYPTION_KEYS",
            VAR_DIR / "field_encryption_key",
            _random_fernet_key,
        )
    ]
)
DOMAIN = env.str("DOMAIN", default="")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
ALLOWED_HOSTS += [DOMAIN] if DOMAIN else []
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    *(["daphne"] if DEBUG else []),  # gives `runserver` websockets and autoreload
    "chatbot.apps.ChatbotAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "auditlog",
    "inference",
    "support",
    "chatbot.apps.ChatbotConfig",
]

MIDDLEWARE = [
    "support.monitoring.probes.answer_probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "chatbot.urls"
ASGI_APPLICATION = "chatbot.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "support" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASE_CONNECTIONS = env.int("DATABASE_CONNECTIONS", default=24)
DATABASE_PREPARES = env.bool("DATABASE_PREPARES", default=True)
DATABASE_URL = (
    env.str("DATABASE_URL", default="") or f"sqlite:///{VAR_DIR}/chatbot.sqlite3"
)
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL and IMMEDIATE only work together: of 900 read-then-write transactions by six
    # processes 251 failed with the defaults, 746 with WAL alone, none with both.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # What the address sets goes first. Nothing may wait for ever: a frame that cannot
    # be stored is refused and sent again.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 3,
        "options": "-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s",
        # The pool tries for 2 s, then again with the next thread that asks. By default
        # its pauses double: a Postgres that was away for 40 s was found 19 s late.
        "pool": {
            "min_size": 1,
            "max_size": DATABASE_CONNECTIONS,
            "timeout": 5.0,
            "reconnect_timeout": 2.0,
        },
        "server_side_binding": DATABASE_PREPARES,
        "prepare_threshold": 5 if DATABASE_PREPARES else None,
    } | DATABASES["default"].get("OPTIONS", {})

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns if it is missing
WHITENOISE_USE_FINDERS = True  # no collectstatic step in embedded mode

# The history of operators' rows (inference/changes.py): not of what is loaded from a
# dump, and without addresses.
AUDITLOG_DISABLE_ON_RAW_SAVE = True
AUDITLOG_DISABLE_REMOTE_ADDR = True

# Browser security. Pages hold no inline script or style, so that these stay strict.

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = env.bool("HTTPS_ONLY", default=False) or bool(DOMAIN)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],  # sockets too; Safari since 15.4
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# Where `python -m chatbot` listens

HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
WEB_PROCESSES = env.int("WEB_PROCESSES", default=1)
FORWARDED_ALLOW_IPS = _read_networks(
    "FORWARDED_ALLOW_IPS", env.list("FORWARDED_ALLOW_IPS", default=["127.0.0.1"])
)

# Between processes. REDIS_URL turns it all on; each may be set alone. In memory it
# reaches no other process, which is for the embedded worker.

REDIS_URL = env.str("REDIS_URL", default="")
CHANNEL_LAYER_URL = env.str("CHANNEL_LAYER_URL", default="") or REDIS_URL or "memory://"
REPLY_BUFFER_URL = env.str("REPLY_BUFFER_URL", default="") or REDIS_URL or "memory://"
RATE_LIMIT_STORAGE_URL = (
    env.str("RATE_LIMIT_STORAGE_URL", default="") or REDIS_URL or "memory://"
)
ROUTING_STATE_URL = env.str("ROUTING_STATE_URL", default="") or REDIS_URL or "memory://"
CELERY_BROKER_URL = (
    env.str("CELERY_BROKER_URL", default="") or REDIS_URL or "memory://localhost//"
)

if CHANNEL_LAYER_URL.startswith("memory:"):
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "support.chat.memory_layer.MemoryChannelLayer",
            # the default of 100 drops frames of a fast model without an error
            "CONFIG": {"capacity": 5000},
        }
    }
else:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "support.chat.layer.PatientLayer",
            "CONFIG": {
                "hosts": [
                    {
                        "address": CHANNEL_LAYER_URL,
                        "socket_timeout": 2,
                        "socket_connect_timeout": 1,
                        "socket_keepalive": True,
                    }
                ]
            },
        }
    }

TURN_DEADLINE_S = env.int("TURN_DEADLINE_S", default=60)
EMBEDDED_WORKER = env.bool("EMBEDDED_WORKER", default=True)
WORKER_THREADS = env.int("WORKER_THREADS", default=16)
SHUTDOWN_GRACE_S = env.float("SHUTDOWN_GRACE_S", default=6.0)
ALIVE_PATH = env.str("ALIVE_PATH", default="")
if CELERY_BROKER_URL.startswith("memory:"):
    # at the default polling interval the in-memory broker needs 4.4 s for a job
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {"polling_interval": 0.02}
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # Taking a job is one answer of Redis. By default it is five: notes about jobs
        # that are not acknowledged, which leases and the reaper make needless.
        # A worker that wrote 60 replies at once took five jobs a second with them, and
        # first words came after 6.2 s; without, after 0.2 s.
        "ack_emulation": False,
        # A connection that is half open is found after 30 s; by default never.
        "health_check_interval": 5,
        "socket_timeout": 15,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
    }
    # jobs that no thread is free for are left to other workers
    CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_QUEUES = [Queue("local"), Queue("cloud")]  # type: ignore[no-untyped-call]
CELERY_TASK_DEFAULT_QUEUE = "local"
CELERY_TASK_IGNORE_RESULT = True
# A job is gone when a worker takes it: the turn is in the database, and its lease and
# the reaper see to it that somebody answers.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_CONSUMER = "chatbot.consumer:Consumer"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# replies wait for models: threads, which share one engine and one registry
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = WORKER_THREADS
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# The chat

SITE_NAME = env.str("SITE_NAME", default="Fernhill Outfitters")
TOKEN_LIFETIME_S = env.int("TOKEN_LIFETIME_S", default=15 * 60)
RENEWAL_LIFETIME_DAYS = env.int("RENEWAL_LIFETIME_DAYS", default=30)
MESSAGE_CHARACTERS = env.int("MESSAGE_CHARACTERS", default=2000)
FRAME_BYTES = env.int("FRAME_BYTES", default=32768)
FRAMES_PER_MINUTE = env.int("FRAMES_PER_MINUTE", default=120)
MESSAGES_PER_MINUTE = env.int("MESSAGES_PER_MINUTE", default=10)
SESSIONS_PER_HOUR = env.int("SESSIONS_PER_HOUR", default=60)
SOCKETS_PER_CONVERSATION = env.int("SOCKETS_PER_CONVERSATION", default=8)
SOCKETS_PER_ADDRESS = env.int("SOCKETS_PER_ADDRESS", default=50)
WS_PING_S = env.float("WS_PING_S", default=20.0)
TURN_LEASE_S = env.int("TURN_LEASE_S", default=15)
REAPER_INTERVAL_S = env.float("REAPER_INTERVAL_S", default=2.0)
REPLY_MAX_TOKENS = env.int("REPLY_MAX_TOKENS", default=256)

# Nothing that visitors write leaves the house, whatever the admin says.

CLOUD_OFF = env.bool("CLOUD_OFF", default=False)

# Metrics for Prometheus: nobody may read them until one of the first two says so.

METRICS_ALLOWED = _read_networks(
    "METRICS_ALLOWED", env.list("METRICS_ALLOWED", default=[])
)
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", default="")
if PROMETHEUS_MULTIPROC_DIR:
    Path(PROMETHEUS_MULTIPROC_DIR).mkdir(parents=True, exist_ok=True)
else:
    # prometheus_client asks only whether the variable is there
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

# The hosts that backends may be at though they are private, or without TLS

PRIVATE_ENDPOINTS = env.list("PRIVATE_ENDPOINTS", default=[])

# The model that the first set-up makes a backend of

MODELS_DIR = Path(env.str("MODELS_DIR", default="") or VAR_DIR / "models")
HF_ENDPOINT = env.str("HF_ENDPOINT", default="https://huggingface.co")
HF_TOKEN = env.str("HF_TOKEN", default="")
BUNDLED_MODEL_PATH = BASE_DIR / "inference" / "bundled" / "fern.gguf"
BUNDLED_WORDS_PATH = BASE_DIR / "inference" / "bundled" / "words.npz"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},  # a line for every call to a provider
        # whole requests at DEBUG: what visitors write is in no log
        "openai": {"level": "INFO"},
        "anthropic._base_client": {"level": "INFO"},  # ANTHROPIC_LOG sets its parent's
        "google_genai": {"level": "INFO"},
    },
}
