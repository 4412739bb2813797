"""The HTTP calls that come before a socket: a site's texts, and sessions."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from support.management.loadtest.plan import Plan

_TIMEOUT_S = 30.0
_SPARE_S = 60.0


class Refused(Exception):  # noqa: N818 - says what happened
    """The server does not let the test in; the message says what to change."""


class Unreachable(Exception):  # noqa: N818 - says what happened
    """The server did not answer, or with a fault of its own; maybe it will again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One visitor's conversation, with a token until `renew_at_s` of the clock."""

    conversation: str
    token: str
    renewal: str
    renew_at_s: float

    @property
    def is_fresh(self) -> bool:
        """Return whether the token opens a socket for some time yet."""
        return time.monotonic() < self.renew_at_s


class Site:
    """The widget's calls to one site, each made in a thread."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.limits: dict[str, int] = {}

    async def read_config(self) -> None:
        """Learn the site's limits; raises Refused or Unreachable."""
        path = f"/widget/config?site={quote(self._plan.site)}"
        self.limits = (await self._call(path))["limits"]

    async def start_session(self) -> Session:
        """Begin a conversation; raises Refused or Unreachable."""
        return await self._open({"site": self._plan.site})

    async def renew(self, session: Session) -> Session:
        """Return the same conversation with a new token; raises as above."""
        return await self._open({"site": self._plan.site, "renewal": session.renewal})

    async def _open(self, body: dict[str, str]) -> Session:
        began_s = time.monotonic()
        answer = await self._call("/widget/session", body)
        lifetime_s = max(answer["expires_in_s"] - _SPARE_S, answer["expires_in_s"] / 2)
        return Session(
            answer["conversation"],
            answer["token"],
            answer["renewal"],
            began_s + lifetime_s,
        )

    async def _call(self, path: str, body: object = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._call_now, path, body)

    def _call_now(self, path: str, body: object) -> dict[str, Any]:
        url = self._plan.base_url + path
        headers = {"Origin": self._plan.page_origin, "Content-Type": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        request = Request(url, content, headers)  # noqa: S310 - Plan takes http(s) only
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
                self._check_address(response.url)
                answer = json.load(response)
        except HTTPError as error:
            raise self._explain(error) from error
        except ValueError as error:
            raise Refused(f"{url} answers, but not as a chat server does.") from error
        except OSError as error:
            raise Unreachable(f"{url} cannot be reached: {_reason(error)}") from error
        if not isinstance(answer, dict):
            raise Refused(f"{url} answers, but not as a chat server does.")
        return answer

    def _check_address(self, url: str) -> None:
        came, asked = urlsplit(url), urlsplit(self._plan.url)
        if (came.scheme, came.netloc) != (asked.scheme, asked.netloc):
            raise Refused(
                f"{self._plan.url} leads to {came.scheme}://{came.netloc}; give the "
                "test that address."
            )

    def _explain(self, error: HTTPError) -> Exception:
        """Return what an error status means for the test."""
        plan = self._plan
        answer = _read_error(error)
        message = answer.get("message", "")
        if error.code == 429:
            wait_s = -(-int(answer.get("retry_after_ms", 0)) // 1000)
            return Refused(
                "Rate limited: the server takes no more sessions from this address. "
                "Raise SESSIONS_PER_HOUR on the server (this test begins at least "
                f"{plan.num_chats + plan.num_idle}), or wait {wait_s} s."
            )
        if error.code == 403 and answer.get("code") == "origin":
            return Refused(
                f"The site {plan.site!r} refuses the origin {plan.page_origin}: add it "
                "to the site's origins in the admin, or give --origin one of them."
            )
        if error.code == 404 and answer.get("code") == "not_found":
            return Refused(f"There is no site {plan.site!r}; --site names another.")
        if error.code == 400 and not answer:
            host = urlsplit(plan.url).hostname
            return Refused(f"400 Bad Request: is {host} in the server's ALLOWED_HOSTS?")
        if error.code >= 500:
            return Unreachable(f"{error.url} answers {error.code}")
        return Refused(f"{error.url} answers {error.code}: {message or error.reason}")


def _read_error(error: HTTPError) -> dict[str, Any]:
    """Return the protocol's error object, empty if there is none."""
    try:
        answer = json.load(error)["error"]
    except (ValueError, LookupError, TypeError, OSError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(error).__name__
