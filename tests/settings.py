"""Settings of the tests: the project's own, with nothing kept on disk."""

import os
import tempfile

os.environ.setdefault("SECRET_KEY", "a key for tests only, not used anywhere else")
os.environ["FIELD_ENCRYPTION_KEYS"] = "dGVzdHMgb25seSwgdGVzdHMgb25seSwgdGVzdHMgISE="
os.environ["EMBEDDED_WORKER"] = "false"

from chatbot.settings import *  # noqa: F403  after the environment is set

# a file, not memory: threads of a test share it, as in embedded mode
_FOLDER = tempfile.mkdtemp(prefix="chatbot-tests-")
DATABASES["default"] |= {  # noqa: F405
    "NAME": f"{_FOLDER}/main.sqlite3",
    "TEST": {"NAME": f"{_FOLDER}/test.sqlite3"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING["root"]["level"] = "WARNING"  # type: ignore[index]  # noqa: F405
