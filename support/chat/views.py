"""HTTP of the widget: its script, a site's public texts, and sessions."""

import json
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import (
    conditional_page,
    require_GET,
    require_http_methods,
)

from support.chat import rate_limits, visitors
from support.models import Site

logger = logging.getLogger(__name__)

RETRY_AFTER_MS = 3000


class RequestRefused(Exception):  # noqa: N818 - says what happened
    """The call cannot be answered; carries the protocol's error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def _error(status: int, code: str, message: str, **more: int) -> JsonResponse:
    return JsonResponse(
        {"error": {"code": code, "message": message, **more}}, status=status
    )


def for_sites(
    view: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Give a view CORS for the origins that the site allows, and errors as JSON.

    The view raises RequestRefused; it sets `request.site` through `find_site`.
    """

    @csrf_exempt  # no cookie is read: the renewal secret is in the body
    @wraps(view)
    def wrapped(request: HttpRequest) -> HttpResponse:
        origin = request.headers.get("Origin", "")
        if request.method == "OPTIONS":
            response = HttpResponse(status=204)
            response["Access-Control-Allow-Methods"] = "GET, POST"
            response["Access-Control-Allow-Headers"] = "Content-Type"
            response["Access-Control-Max-Age"] = "600"
            response["Access-Control-Allow-Origin"] = origin or "null"
            return response
        response = _answer(view, request)
        if origin:
            # whoever may not use the site got an error above, and may read it
            response["Access-Control-Allow-Origin"] = origin
        response["Vary"] = "Origin"
        response["Cache-Control"] = "no-store"
        return response

    return wrapped


def _answer(
    view: Callable[[HttpRequest], HttpResponse], request: HttpRequest
) -> HttpResponse:
    """Return the view's response, or what was wrong."""
    try:
        return view(request)
    except RequestRefused as refused:
        return _error(refused.status, refused.code, str(refused))
    except rate_limits.RateLimited as error:
        return _try_again(429, "rate_limited", str(error), error.retry_after_ms)
    except DatabaseError as error:
        is_gone = isinstance(error, OperationalError)
        logger.error("%s: %s", request.path, error, exc_info=not is_gone)
        return _try_again(503, "unavailable", "Try again in a moment.", RETRY_AFTER_MS)


def _try_again(status: int, code: str, message: str, after_ms: int) -> JsonResponse:
    response = _error(status, code, message, retry_after_ms=after_ms)
    response["Retry-After"] = str(-(-after_ms // 1000))
    return response


def find_site(request: HttpRequest, key: object) -> Site:
    """Return the site of `key` that the request's origin may use.

    A page of this server sends no Origin with a GET, but says so in Sec-Fetch-Site.
    Raises RequestRefused. One query.
    """
    site = Site.objects.filter(key=key, is_active=True).first()
    if not isinstance(key, str) or site is None:
        raise RequestRefused(404, "not_found", "There is no such site.")
    is_own_page = (
        request.method == "GET"
        and request.headers.get("Sec-Fetch-Site") == "same-origin"
    )
    origin = request.headers.get("Origin", "")
    if not is_own_page and not visitors.is_allowed_origin(
        site, origin, request.get_host()
    ):
        raise RequestRefused(403, "origin", "This page may not use this site.")
    return site


@require_GET
@cache_control(max_age=300, public=True)
@conditional_page
def widget_script(request: HttpRequest) -> HttpResponse:
    """Return the widget under an address that never changes."""
    path = finders.find("support/widget.js")
    if path is None:
        raise Http404("widget.js is not installed")
    response = HttpResponse(Path(path).read_bytes(), content_type="text/javascript")
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@for_sites
@require_http_methods(["GET", "OPTIONS"])
def widget_config(request: HttpRequest) -> JsonResponse:
    """Return the public texts of `?site=`."""
    site = find_site(request, request.GET.get("site", ""))
    return JsonResponse(
        {
            "site": site.key,
            "name": site.name,
            "bot_name": site.bot_name,
            "greeting": site.greeting,
            "suggested_questions": site.questions,
            "accent_color": site.accent_color,
            "limits": rate_limits.describe_limits(),
        }
    )


@for_sites
@require_http_methods(["POST", "OPTIONS"])
def widget_session(request: HttpRequest) -> JsonResponse:
    """Start a conversation, or renew the token of the one that `renewal` opens."""
    body = _read_body(request)
    site = find_site(request, body.get("site", ""))
    address = rate_limits.address_key((request.META.get("REMOTE_ADDR", ""),))
    renewal = body.get("renewal")
    if renewal is None:
        rate_limits.check_sessions(address)
        session = visitors.start_session(site)
    elif isinstance(renewal, str):
        rate_limits.check_renewals(address)
        try:
            session = visitors.renew_session(site, renewal)
        except PermissionDenied as error:
            raise RequestRefused(401, "renewal", str(error)) from error
    else:
        raise RequestRefused(400, "bad_request", "renewal must be a text.")
    return JsonResponse(
        {
            "token": session.token,
            "expires_in_s": settings.TOKEN_LIFETIME_S,
            "renewal": session.renewal,
            "conversation": str(session.conversation.id),
        }
    )


def _read_body(request: HttpRequest) -> dict[str, object]:
    try:
        body = json.loads(request.body)
        json.dumps(
            body, ensure_ascii=False
        ).encode()  # JSON can escape what no encoder takes
    except (ValueError, RecursionError) as error:
        raise RequestRefused(400, "bad_request", "The body must be JSON.") from error
    if not isinstance(body, dict):
        raise RequestRefused(400, "bad_request", "The body must be a JSON object.")
    return body
