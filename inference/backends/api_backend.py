"""What the backends of all APIs share: the way of a call, whoever's SDK makes it.

Each dialect says how a request is put (`_open`), what its events mean (an `Answer`),
and what its errors do (`_translate`). Here is the rest: a line of its own for each
call, hanging up, one kind of error, and the end.
"""

import traceback
from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import httpx2

from inference.backends.api_answer import Answer
from inference.backends.base import Backend, BackendSettings
from inference.backends.connection import Line, LineTransport
from inference.backends.endpoints import check_endpoint, read_private_hosts
from inference.backends.rate_limits import RateWatch, read_rate_limits
from inference.backends.statuses import (
    ContentRefused,
    error_of_status,
    quote,
    read_wait,
)
from inference.errors import (
    BackendError,
    Interrupted,
    InvalidResponse,
    Unavailable,
)
from inference.types import (
    CancelToken,
    CompletionRequest,
    Deadlines,
    Delta,
    FinishReason,
    RateLimits,
    StreamItem,
    Usage,
)


class ApiBackend(Backend):
    """One model behind one base URL.

    A cancel ends a call at once, also while it is being connected; only the system's
    name resolution is waited for, no longer than may be taken to connect.
    """

    # What ends a call: our own errors, and what comes out of the SDK and the layers
    # below it when a provider misbehaves; all after the first three when what it sent
    # is no JSON, no UTF-8, or of another shape.
    foreign: ClassVar[tuple[type[Exception], ...]] = (
        BackendError,
        httpx2.HTTPError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        RuntimeError,
    )
    # What the SDK makes of every failure below it; the cause says more.
    wrapping: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, settings: BackendSettings, headers: Mapping[str, str]) -> None:
        self.name = settings.name
        self.model = settings.model
        self._key = settings.key
        private_hosts = read_private_hosts(settings.private_hosts)
        self._transport = LineTransport(headers, private_hosts)
        self._http = httpx2.Client(
            transport=self._transport, trust_env=False, follow_redirects=False
        )
        self._watch = RateWatch()

    @abstractmethod
    def _open(self, request: CompletionRequest) -> Iterable[object]:
        """Send a request and return the events of its answer."""

    @abstractmethod
    def _begin(self, request: CompletionRequest) -> Answer:
        """Return the answer to a request before anything came of it."""

    @abstractmethod
    def _translate_own(
        self, error: Exception, headers: Mapping[str, str]
    ) -> BackendError | None:
        """Return what an error of the SDK's own says; None for those of others.

        `headers` are those of the answer, empty if there is none.
        """

    def stream(
        self, request: CompletionRequest, deadlines: Deadlines, cancel: CancelToken
    ) -> Generator[StreamItem, None, None]:
        """Yield the provider's text as deltas, then its completion."""
        answer = self._begin(request)
        try:
            yield from self._deltas(request, deadlines, cancel, answer)
            completion = None if cancel.is_cancelled else answer.build_completion()
        except BackendError as error:
            if not cancel.is_cancelled:
                error.usage = answer.usage_so_far
                error.request_id = answer.request_id
                error.model = answer.model
                raise
            completion = None
        self._watch.learn_usage(answer.usage)
        yield completion or answer.build_cancelled()

    def is_full(self) -> bool:
        """Return whether the provider has said that it would refuse a call now."""
        return self._watch.is_full()

    def read_rate_limits(self) -> RateLimits | None:
        """Return how much more the provider said it takes; None if it says nothing."""
        return self._watch.read()

    def close(self) -> None:
        """Hang up all calls and refuse further ones."""
        self._http.close()

    def _deltas(
        self,
        request: CompletionRequest,
        deadlines: Deadlines,
        cancel: CancelToken,
        answer: Answer,
    ) -> Generator[Delta | Usage, None, None]:
        """Make the call and yield what comes of it; ends in any way when cancelled."""
        with self._transport.open_line(_build_timeout(deadlines)) as line:
            forget = cancel.on_cancel(line.hang_up)
            try:
                for event in self._events(request, line, answer):
                    counted = answer.usage
                    if text := answer.take(event):
                        yield Delta(text)
                    if cancel.is_cancelled or answer.is_stopped:
                        return
                    if answer.finish_reason is None and answer.usage != counted:
                        yield from filter(None, [answer.usage_so_far])
            except self.foreign as error:
                # After the finish reason only the usage can be lost, no text.
                if answer.finish_reason is None:
                    self._fail(error, answer, line)
            finally:
                forget()
        if text := answer.finish():
            yield Delta(text)

    def _events(
        self, request: CompletionRequest, line: Line, answer: Answer
    ) -> Iterable[object]:
        """Return the events of the answer, whose head is read."""
        self._watch.start_call()
        try:
            with self._transport.calling_on(line):
                return self._open(request)
        finally:
            headers = _headers_of(line)
            self._watch.learn(read_rate_limits(headers))
            answer.request_id = self._quote(_find_request_id(headers))

    def _fail(self, error: Exception, answer: Answer, line: Line) -> None:
        """Raise the error of a call; returns if it is a refusal to answer.

        A filter that holds back the prompt is the provider's answer.
        """
        is_clean = _remove_secret(error, self._key)
        translated = self._translate(error, answer, line)
        if line.response is not None:
            translated.was_accepted = line.is_accepted
        if isinstance(translated, ContentRefused):
            answer.finish_reason = FinishReason.CONTENT_FILTER
        elif translated is error:
            raise error
        else:
            raise translated from (error if is_clean else None)

    def _translate(self, error: Exception, answer: Answer, line: Line) -> BackendError:
        """Return what an error that came out of a call means."""
        is_wrapped = isinstance(error, self.wrapping) and error.__cause__ is not None
        cause = error.__cause__ if is_wrapped else error
        if isinstance(cause, BackendError) and not line.is_refused:
            return cause
        if own := self._translate_own(error, _headers_of(line)):
            # a failure that is told in the stream broke it
            is_broken = line.is_accepted and isinstance(own, Unavailable)
            return Interrupted(str(own)) if is_broken else own
        if isinstance(cause, httpx2.TimeoutException):
            return answer.build_timeout(isinstance(cause, httpx2.ConnectTimeout))
        words = self._quote(str(cause) or type(cause).__name__)
        if line.response is not None and line.is_refused:
            # what the body says cannot be had, but the head says enough
            status, wait_s = line.response.status_code, read_wait(line.response.headers)
            return error_of_status(status, f"status {status}: {words}", wait_s)
        return _error_of_line(cause, words, line)

    def _quote(self, text: str) -> str:
        """Return words of others as an operator may read them: without the key."""
        return quote(text, self._key)


def _error_of_line(cause: BaseException | None, words: str, line: Line) -> BackendError:
    """Return what an error of the connection, or of what came over it, means."""
    if isinstance(cause, httpx2.ConnectError):
        return Unavailable(f"no connection: {words}")
    if isinstance(cause, httpx2.HTTPError | OSError):
        if line.is_accepted:
            return Interrupted(f"the stream broke: {words}")
        return Unavailable(f"the connection ended before an answer: {words}")
    if isinstance(cause, RuntimeError):
        return Unavailable(f"the call could not go on: {words}")
    if line.is_read:
        return Interrupted("the stream was cut in the middle of an event")
    return InvalidResponse(f"the answer cannot be read: {words}")


def _build_timeout(deadlines: Deadlines) -> httpx2.Timeout:
    """Return the bounds of single waits; the router keeps the finer deadlines."""
    longest_s = max(deadlines.first_token_s, deadlines.gap_s)
    return httpx2.Timeout(longest_s, connect=deadlines.connect_s)


def fill_endpoint(settings: BackendSettings, home: str) -> BackendSettings:
    """Return the settings with a provider's own address where they name none."""
    return replace(settings, endpoint=settings.endpoint or home)


def check_key(settings: BackendSettings, home: str, page: str) -> None:
    """Raise ValueError, with the page that sells keys, if home is asked without one."""
    if settings.endpoint.rstrip("/") == home and not settings.key:
        raise ValueError(f"a key is needed: {page}")


def check_access(settings: BackendSettings) -> None:
    """Raise ValueError unless there are a model, a good endpoint and a fitting key."""
    if not settings.model.strip():
        raise ValueError("a model is needed: the name that the server knows it by")
    key = settings.key
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key must be one line of ASCII without spaces")
    check_endpoint(settings.endpoint, read_private_hosts(settings.private_hosts))


def _find_request_id(headers: Mapping[str, str]) -> str:
    """Return what a provider calls a call, empty if it has no name for it."""
    for name in ("x-request-id", "request-id", "apim-request-id"):
        if found := headers.get(name, ""):
            return found
    return ""


def _headers_of(line: Line) -> Mapping[str, str]:
    return {} if line.response is None else line.response.headers


def _remove_secret(error: BaseException | None, key: str) -> bool:
    """Take the key out of what a traceback would print: servers echo wrong keys.

    Error trackers send the locals too, in which SDKs keep the answer. Returns whether
    it is out: some errors are not made of their arguments, and quote the answer.
    """
    is_clean = True
    while error is not None and key:
        traceback.clear_frames(error.__traceback__)
        if key in str(error):
            error.args = tuple(str(part).replace(key, "[key]") for part in error.args)
            is_clean = is_clean and key not in str(error)
        error = error.__cause__ or error.__context__
    return is_clean
