"""Settings of every mode; the environment gives the values (see .env.example).

The same file runs embedded, in compose and in a cluster. A malformed value stops the
start-up and names itself. Secrets may come from a file: `SECRET_KEY_FILE=/run/...`.
"""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from environ import FileAwareEnv

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"


class _Env(FileAwareEnv):  # type: ignore[misc]  # environ has no types
    """An environment whose malformed values are named in the error."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var}: {error}") from error


env = _Env()
if (BASE_DIR / ".env").exists():
    env.read_env(BASE_DIR / ".env")


def _random_text() -> str:
    return secrets.token_urlsafe(50)


def _random_fernet_key() -> str:
    return Fernet.generate_key().decode()


def _local_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret kept in `path`; write a new one on the first call.

    Of two processes that start at once, one writes.
    """
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


# Django

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or _local_secret(
    VAR_DIR / "secret_key", _random_text
)
# the first encrypts the keys of backends, all decrypt
FIELD_ENCRYPTION_KEYS = _check_fernet_keys(
    [key.strip() for key in env.list("FIELD_ENCRYPTION_KEYS", default=[])]
    or [_local_secret(VAR_DIR / "field_encryption_key", _random_fernet_key)]
)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    *(["daphne"] if DEBUG else []),  # gives `runserver` websockets and autoreload
    "chatbot.admin_apps.ChatbotAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "inference",
    "support",
]

MIDDLEWARE = [
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

DATABASES = {
    "default": env.db_url_config(
        env.str("DATABASE_URL", default="") or f"sqlite:///{VAR_DIR}/chatbot.sqlite3"
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL and IMMEDIATE only work together: of 900 read-then-write transactions by six
    # processes 251 failed with the defaults, 746 with WAL alone, none with both.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;",
    }

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
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns if it is missing
WHITENOISE_USE_FINDERS = True  # no collectstatic step in embedded mode

# Browser security. Pages hold no inline script or style, so that these stay strict.

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = env.bool("HTTPS_ONLY", default=False)
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

# Channels and Celery

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "support.chat.memory_layer.MemoryChannelLayer",
        # the default of 100 drops frames of a fast model without an error
        "CONFIG": {"capacity": 5000},
    }
}

EMBEDDED_WORKER = env.bool("EMBEDDED_WORKER", default=True)
WORKER_THREADS = env.int("WORKER_THREADS", default=16)
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="memory://localhost//")
# at the default polling interval the in-memory broker needs 4.4 s for a job
CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.02}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
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
RATE_LIMIT_STORAGE_URL = env.str("RATE_LIMIT_STORAGE_URL", default="memory://")
TURN_DEADLINE_S = env.int("TURN_DEADLINE_S", default=60)
TURN_LEASE_S = env.int("TURN_LEASE_S", default=15)
REAPER_INTERVAL_S = env.float("REAPER_INTERVAL_S", default=2.0)
REPLY_MAX_TOKENS = env.int("REPLY_MAX_TOKENS", default=256)

# The model that the first set-up makes a backend of

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
    },
}
