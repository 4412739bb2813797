"""Settings of the tests: the project's own, with nothing kept on disk."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "a key for tests only, not used anywhere else")
os.environ["FIELD_ENCRYPTION_KEYS"] = "dGVzdHMgb25seSwgdGVzdHMgb25seSwgdGVzdHMgISE="
os.environ["EMBEDDED_WORKER"] = "false"
# what is in .env is not for tests; what is in the environment is
os.environ.setdefault("DATABASE_URL", "")
# stand-ins of providers listen here
os.environ["PRIVATE_ENDPOINTS"] = "127.0.0.1"
# the tests that need a Redis take its address from here themselves
for _name in ("REDIS_URL", "CHANNEL_LAYER_URL", "REPLY_BUFFER_URL", "CELERY_BROKER_URL",
              "RATE_LIMIT_STORAGE_URL"):  # fmt: skip
    os.environ[f"TEST_{_name}"] = os.environ.get(_name, "")
    os.environ[_name] = ""

from chatbot.settings import *  # noqa: E402, F403  after the environment is set

# a file, not memory: threads of a test share it, as in embedded mode
_FOLDER = tempfile.mkdtemp(prefix="chatbot-tests-")
if not os.environ["DATABASE_URL"]:
    DATABASES["default"] |= {  # noqa: F405
        "NAME": f"{_FOLDER}/main.sqlite3",
        "TEST": {"NAME": f"{_FOLDER}/test.sqlite3"},
    }
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING["root"]["level"] = "WARNING"  # type: ignore[index]  # noqa: F405
