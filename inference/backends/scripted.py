"""A backend that plays a script: for tests, demos, and rehearsing failures.

A script is a few lines, one step each:

    say <text>         one delta; a JSON string keeps spaces and line breaks
    echo               the words of the last user message, a delta each
    nonce              a word of letters that is another one in each call
    pause <seconds>    wait; ends early when cancelled
    pace <seconds>     from here on a delta every so often, as a model writes
    hang               wait until cancelled
    freeze <seconds>   wait and notice nothing, like stuck native code
    fail <error>       raise the error of that name from `inference.errors`
    finish <reason>    end now with that finish reason
    cut                end without a completion, as a broken provider does

What follows the last step is a completion with finish reason `stop`. Tokens are
counted as words.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from inference import errors
from inference.backends.base import Backend, BackendSettings
from inference.types import (
    CancelToken,
    Completion,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    StreamItem,
    Usage,
)

ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a script: a verb and what it takes, empty for some verbs."""

    verb: str
    value: str = ""


Script = tuple[Step, ...]


def parse_script(text: str) -> Script:
    """Return the steps of a script; raises ValueError naming the line at fault."""
    steps = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        verb, _, value = line.strip().partition(" ")
        step = Step(verb, _unquote(value))
        try:
            _check_step(step)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        steps.append(step)
    return tuple(steps)


class ScriptedBackend(Backend):
    """Plays `scripts` in turn, one for each call, the last one for ever after.

    `requests` keeps what it was asked, in order; `num_closed_early` counts streams
    that were closed before their end.
    """

    def __init__(
        self, name: str, scripts: Sequence[Script | str] = (ECHO,), model: str = ""
    ) -> None:
        if not scripts:
            raise ValueError("a scripted backend needs a script")
        self.name = name
        self.model = model or "script"
        self._scripts = [
            parse_script(script) if isinstance(script, str) else script
            for script in scripts
        ]
        self._lock = threading.Lock()
        self.requests: list[CompletionRequest] = []
        self.num_closed_early = 0

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Play the next script."""
        with self._lock:
            script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
            self.requests.append(request)
        performance = _Performance(request, cancel)
        try:
            for step in script:
                yield from performance.play(step)
                if performance.is_over:
                    break
        except GeneratorExit:
            with self._lock:
                self.num_closed_early += 1
            raise
        if not performance.is_cut:
            yield performance.build_completion(self.model)


class _Performance:
    """One script being played for one request."""

    def __init__(self, request: CompletionRequest, cancel: CancelToken) -> None:
        self._request = request
        self._cancel = cancel
        # no digits, which the chat would take for an invented number
        self._nonce = "".join(secrets.choice(ascii_lowercase) for _ in range(12))
        self._num_words = 0
        self._reason: FinishReason | None = None
        self._interval_s = 0.0
        self._due_s = 0.0
        self.is_cut = False

    @property
    def is_over(self) -> bool:
        return self.is_cut or self._reason is not None

    def play(self, step: Step) -> Generator[Delta, None, None]:
        if self._must_end():
            return
        for text in _VERBS[step.verb](self, step.value):
            self._keep_pace()
            if self._must_end():
                return
            self._num_words += len(text.split())
            yield Delta(text)

    def _keep_pace(self) -> None:
        """Wait for the next delta's time; a late one does not delay what follows."""
        if self._interval_s:
            self._due_s += self._interval_s
            self._cancel.wait(max(self._due_s - time.monotonic(), 0))

    def _must_end(self) -> bool:
        if self._cancel.is_cancelled:
            self._reason = FinishReason.CANCELLED
        elif self._num_words >= self._request.max_tokens:
            self._reason = FinishReason.LENGTH
        return self.is_over

    def build_completion(self, model: str) -> Completion:
        prompt_words = sum(len(m.content.split()) for m in self._request.messages)
        usage = Usage(prompt_words, self._num_words)
        return Completion(self._reason or FinishReason.STOP, usage, model)

    def say(self, text: str) -> Sequence[str]:
        return [text]

    def echo(self, _: str) -> Sequence[str]:
        first, *rest = self._request.messages[-1].content.split() or ["(nothing)"]
        return [first, *(f" {word}" for word in rest)]

    def nonce(self, _: str) -> Sequence[str]:
        return [f" {self._nonce} "]

    def pause(self, seconds: str) -> Sequence[str]:
        if self._cancel.wait(float(seconds)):
            self._reason = FinishReason.CANCELLED
        self._due_s = time.monotonic()
        return []

    def pace(self, seconds: str) -> Sequence[str]:
        self._interval_s, self._due_s = float(seconds), time.monotonic()
        return []

    def hang(self, _: str) -> Sequence[str]:
        while not self._cancel.wait(60.0):
            pass
        self._reason = FinishReason.CANCELLED
        return []

    def freeze(self, seconds: str) -> Sequence[str]:
        time.sleep(float(seconds))
        return []

    def fail(self, name: str) -> Sequence[str]:
        raise build_error(name)

    def finish(self, reason: str) -> Sequence[str]:
        self._reason = FinishReason(reason)
        return []

    def cut(self, _: str) -> Sequence[str]:
        self.is_cut = True
        return []


_VERBS: dict[str, Callable[[_Performance, str], Sequence[str]]] = {
    "say": _Performance.say,
    ECHO: _Performance.echo,
    "nonce": _Performance.nonce,
    "pause": _Performance.pause,
    "pace": _Performance.pace,
    "hang": _Performance.hang,
    "freeze": _Performance.freeze,
    "fail": _Performance.fail,
    "finish": _Performance.finish,
    "cut": _Performance.cut,
}

_ERRORS: dict[str, Callable[[str], errors.BackendError]] = {
    "Unavailable": errors.Unavailable,
    "Overloaded": errors.Overloaded,
    "Interrupted": errors.Interrupted,
    "InvalidResponse": errors.InvalidResponse,
    "AuthenticationFailed": errors.AuthenticationFailed,
    "AccountExhausted": errors.AccountExhausted,
    "Misconfigured": errors.Misconfigured,
    "RequestRejected": errors.RequestRejected,
}


def build_error(name: str) -> errors.BackendError:
    """Return the error of that name; raises ValueError for one that has no script."""
    if name not in _ERRORS:
        raise ValueError(f"no error {name!r}; one of {', '.join(_ERRORS)}")
    return _ERRORS[name]("the script says so")


def _check_step(step: Step) -> None:
    if step.verb not in _VERBS:
        raise ValueError(f"no verb {step.verb!r}; one of {', '.join(_VERBS)}")
    if step.verb == "say" and not step.value:
        raise ValueError("say needs a text")
    if step.verb in {"pause", "pace", "freeze"} and float(step.value) < 0:
        raise ValueError(f"{step.verb} needs seconds, not {step.value!r}")
    if step.verb == "fail":
        build_error(step.value)
    if step.verb == "finish":
        FinishReason(step.value)


def _unquote(value: str) -> str:
    """Return what a JSON string stands for, or the value as it is."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return str(json.loads(value))
    return value


def check_settings(settings: BackendSettings) -> None:
    """Raise ValueError unless the options are empty or `{"scripts": [text, ...]}`."""
    unknown = set(settings.options) - {"scripts"}
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    for script in _scripts_of(settings):
        parse_script(script)


def build_backend(settings: BackendSettings) -> ScriptedBackend:
    """Return the backend that an operator's settings describe; raises ValueError."""
    check_settings(settings)
    return ScriptedBackend(settings.name, _scripts_of(settings), settings.model)


def _scripts_of(settings: BackendSettings) -> list[str]:
    scripts = settings.options.get("scripts", [ECHO])
    if not isinstance(scripts, list) or not scripts:
        raise ValueError("scripts must be a list of at least one script")
    return [str(script) for script in scripts]
