"""A server that we did not write: llama-cpp-python's own, on the bundled model.

Asked as any other server that speaks OpenAI's protocol.
"""

import importlib.util
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

import inference
from inference.backends.base import BackendSettings
from inference.backends.openai_compatible import build_backend
from inference.errors import AuthenticationFailed, Interrupted
from inference.types import (
    CancelToken,
    ChatMessage,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
)
from tests.ports import free_port

MODEL = next((Path(inference.__file__).parent / "bundled").glob("*.gguf"))
EXTRAS = ("fastapi", "uvicorn", "sse_starlette", "starlette_context")
MISSING = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
KEY = "sk-of-the-llama-server"
PATIENT = Deadlines(connect_s=10, first_token_s=60, gap_s=60, total_s=120)
REQUEST = CompletionRequest(
    (ChatMessage("user", "How long do I have to return something?"),), max_tokens=12
)

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"llama_cpp.server needs {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """The base URL of a running server."""
    port = free_port()
    command = [
        sys.executable, "-W", "ignore", "-m", "llama_cpp.server", "--model", str(MODEL),
        "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512",
        "--n_threads", "1", "--api_key", KEY, "--model_alias", "bundled",
        "--interrupt_requests", "false",
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("llama") / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(command, stdout=file, stderr=file) as process,
    ):
        try:
            _wait_until_up(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def _wait_until_up(process, port, log):
    limit_s = time.monotonic() + 60
    while time.monotonic() < limit_s:
        assert process.poll() is None, log.read_text()[-2000:]
        with suppress(urllib.error.HTTPError):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/docs", timeout=5)
            except (urllib.error.URLError, ConnectionError) as error:
                if not isinstance(error, urllib.error.HTTPError):
                    time.sleep(0.1)
                    continue
        return
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture
def backend(endpoint):
    settings = BackendSettings("llama", "bundled", {}, endpoint, KEY, ("127.0.0.1",))
    built = build_backend(settings)
    yield built
    built.close()


def read(backend, request=REQUEST, cancel=None):
    return list(backend.stream(request, PATIENT, cancel or CancelToken()))


def test_streams_an_answer(backend):
    *deltas, completion = read(backend)
    assert len(deltas) > 1
    assert {type(delta) for delta in deltas} == {Delta}
    assert isinstance(completion, Completion)
    assert completion.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}
    assert completion.model == "bundled"


def test_ends_at_the_limit_of_tokens(backend):
    request = CompletionRequest(REQUEST.messages, max_tokens=2)
    assert read(backend, request)[-1].finish_reason is FinishReason.LENGTH


def test_a_cancel_ends_it_and_leaves_it_usable(backend):
    cancel = CancelToken()
    items = []
    for item in backend.stream(REQUEST, PATIENT, cancel):
        items.append(item)
        cancel.cancel()
    assert items[-1].finish_reason is FinishReason.CANCELLED
    assert read(backend)[-1].finish_reason is not FinishReason.CANCELLED


def test_a_cancel_wakes_it_while_it_waits(backend):
    cancel = CancelToken()
    threading.Timer(0.005, cancel.cancel).start()
    assert read(backend, cancel=cancel)[-1].finish_reason is FinishReason.CANCELLED


def test_a_stream_of_it_counts_no_tokens(backend):
    assert read(backend)[-1].usage is None  # so the ledger has to estimate


def test_a_wrong_key_is_refused(endpoint):
    settings = BackendSettings("llama", "bundled", {}, endpoint, "no", ("127.0.0.1",))
    with pytest.raises(AuthenticationFailed, match="Invalid API key"):
        read(build_backend(settings))


def test_a_prompt_that_does_not_fit_is_an_interruption(backend):
    long = (ChatMessage("user", "Where is my tent? " * 500),)
    with pytest.raises(Interrupted):  # the server accepts it and says nothing more
        read(backend, CompletionRequest(long, max_tokens=5))
