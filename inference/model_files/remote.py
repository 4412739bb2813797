"""Files on Hugging Face, or a mirror that speaks like it, over plain HTTP.

With urllib, as nothing else of the installation may speak to hosts from here. A token
is sent to the endpoint itself and never on to where it redirects. Protocol: the
`resolve` addresses of huggingface.co, whose first answer names the SHA-256 of a large
file (`x-linked-etag`), seen in November 2026.
"""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any

from inference.errors import DownloadFailed

MAX_REDIRECTS = 8

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")
_PART = re.compile(r"[A-Za-z0-9_][\w .+()\[\]-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REDIRECTS = {301, 302, 303, 307, 308}


class ShortAnswer(DownloadFailed):
    """A connection broke, or the server is busy: it is worth to try again."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a repository at a revision. Raises ValueError on odd names."""

    repo: str
    name: str
    revision: str = "main"
    endpoint: str = "https://huggingface.co"
    token: str = field(default="", repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not _REPO.fullmatch(self.repo) or ".." in self.repo:
            raise ValueError(f"a repository is named OWNER/NAME, not {self.repo!r}")
        parts = self.name.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"not the name of a file in a repository: {self.name!r}")
        if not self.name.endswith(".gguf"):
            raise ValueError(f"{self.name} is not named like a GGUF file")
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise ValueError(f"not a branch, tag or commit: {self.revision!r}")
        if urllib.parse.urlsplit(self.endpoint).scheme not in {"http", "https"}:
            raise ValueError(f"not an http address: {self.endpoint!r}")

    @property
    def url(self) -> str:
        """Return the address that resolves to the file."""
        quote = urllib.parse.quote
        return (
            f"{self.endpoint.rstrip('/')}/{self.repo}/resolve/"
            f"{quote(self.revision, safe='')}/{quote(self.name)}"
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of a file before it is read; None where it does not say."""

    num_bytes: int | None
    sha256: str | None
    tag: str | None


@dataclass(slots=True)
class Answer:
    """A body to read, and from which byte on it is; closing it hangs up."""

    response: HTTPResponse
    start: int
    facts: Facts


def ask_facts(file: RemoteFile) -> Facts:
    """Return what the server says of a file; raises DownloadFailed.

    Does not follow to another host: addresses there are signed for reading alone.
    """
    response, seen = _open(file, "HEAD", {})
    response.close()
    return _read_facts(seen, response.headers, 0)


def open_file(file: RemoteFile, start: int) -> Answer:
    """Return the file's body from byte `start`, or from 0 if the server wants so.

    Raises DownloadFailed, ShortAnswer where another try may do better.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    response, seen = _open(file, "GET", headers)
    begins = _read_start(response) if response.status == 206 else 0
    if begins not in {0, start}:
        response.close()
        raise DownloadFailed(f"the server sent bytes from {begins}, not from {start}")
    return Answer(response, begins, _read_facts(seen, response.headers, begins))


def _open(
    file: RemoteFile, method: str, headers: Mapping[str, str]
) -> tuple[HTTPResponse, dict[str, str]]:
    """Follow redirects; return the answer and the `x-linked` headers on the way."""
    url = file.url
    seen: dict[str, str] = {}
    for _ in range(MAX_REDIRECTS):
        sent = {"User-Agent": "support-chatbot", "Accept-Encoding": "identity"}
        sent |= headers
        if file.token and _host_of(url) == _host_of(file.url):
            sent["Authorization"] = f"Bearer {file.token}"
        response = _send(url, method, sent, file)
        for name in ("x-linked-etag", "x-linked-size"):
            if response.headers.get(name):
                seen.setdefault(name, response.headers[name])
        if response.status not in _REDIRECTS:
            return response, seen
        target = urllib.parse.urljoin(url, response.headers.get("Location", ""))
        if method == "HEAD" and _host_of(target) != _host_of(url):
            return response, seen
        response.close()
        url = _check_redirect(url, target)
    raise DownloadFailed(f"{file.url} is redirected more than {MAX_REDIRECTS} times")


def _check_redirect(source: str, target: str) -> str:
    schemes = [urllib.parse.urlsplit(url).scheme for url in (source, target)]
    if schemes[1] not in {"http", "https"} or schemes == ["https", "http"]:
        raise DownloadFailed(f"{_host_of(source)[1]} redirects to an unsafe address")
    return target


def _host_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects are followed by `_open`, which minds the token."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request."""


def _send(
    url: str, method: str, headers: Mapping[str, str], file: RemoteFile
) -> HTTPResponse:
    """Return an answer that is good or a redirect; raises DownloadFailed."""
    request = urllib.request.Request(url, method=method)  # noqa: S310 - http, checked
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        response: HTTPResponse = opener.open(request, timeout=file.timeout_s)
    except urllib.error.HTTPError as error:
        if error.code in _REDIRECTS:
            return error  # type: ignore[return-value]  # has what we read of one
        error.close()
        raise _explain(error.code, file) from error
    except (OSError, HTTPException) as error:
        host = urllib.parse.urlsplit(url).netloc
        reason = getattr(error, "reason", error)
        raise ShortAnswer(f"{host} cannot be reached: {reason}") from error
    return response


def _explain(status: int, file: RemoteFile) -> DownloadFailed:
    if status in {401, 403}:
        said = "the token in HF_TOKEN is not allowed to" if file.token else "needs"
        need = "read it" if file.token else "a token: set HF_TOKEN"
        return DownloadFailed(
            f"{file.repo} {said} {need}; a gated repository's terms are accepted on "
            "its page first (or there is no such repository)"
        )
    if status == 404:
        return DownloadFailed(
            f"there is no {file.name} in {file.repo} at {file.revision}"
        )
    kind = ShortAnswer if status == 429 or status >= 500 else DownloadFailed
    return kind(f"the server answered {status} for {file.name}")


def _read_start(response: HTTPResponse) -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else 0


def _read_facts(seen: Mapping[str, str], headers: HTTPMessage, start: int) -> Facts:
    tag = (seen.get("x-linked-etag") or headers.get("ETag") or "").strip('W/"') or None
    length = seen.get("x-linked-size")
    num_bytes = int(length) if length and length.isdigit() else None
    is_content = not headers.get("Location")
    if num_bytes is None and is_content and headers.get("Content-Length", "").isdigit():
        num_bytes = int(headers["Content-Length"]) + start
    sha256 = tag if tag and _SHA256.fullmatch(tag) else None
    return Facts(num_bytes, sha256, tag)
