"""What orchestrators and Prometheus ask: `/livez`, `/readyz` and `/metrics`.

They are answered in front of all other middleware: a probe names the server by its
address, which is not among `ALLOWED_HOSTS`, and needs no session.
"""

import hmac
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from support.monitoring import exposition, health, metrics

View = Callable[[HttpRequest], HttpResponse]


def answer_probes(get_response: View) -> View:
    """Return the middleware that answers the probes and passes all else on."""
    metrics.watch_calls()

    def middleware(request: HttpRequest) -> HttpResponse:
        probe = PROBES.get(request.path_info)
        return probe(request) if probe else get_response(request)

    return middleware


@never_cache
@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Say that the process answers; touches nothing else."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Say whether messages will be answered: 200, or 503 with what is missing."""
    checks = health.check_readiness()
    is_ready = all(check.is_ok for check in checks)
    body = {
        "status": "ready" if is_ready else "not ready",
        "checks": {
            check.name: {"ok": check.is_ok, "detail": check.detail} for check in checks
        },
    }
    return JsonResponse(body, status=200 if is_ready else 503)


@never_cache
@require_safe
def read_metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics to those who may read them.

    Nobody may by default, and then there is no such page. `METRICS_TOKEN` and
    `METRICS_ALLOWED` each let somebody in.
    """
    if not settings.METRICS_TOKEN and not settings.METRICS_ALLOWED:
        return HttpResponseNotFound("not found\n", content_type="text/plain")
    if not (_has_token(request) or _has_address(request)):
        response = HttpResponse("not allowed\n", "text/plain", status=401)
        response["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return response
    return HttpResponse(exposition.build_exposition(), content_type=CONTENT_TYPE_LATEST)


PROBES: dict[str, View] = {
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": read_metrics,
}


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return (
        bool(settings.METRICS_TOKEN)
        and scheme.lower() == "bearer"
        and hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    )


def _has_address(request: HttpRequest) -> bool:
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in settings.METRICS_ALLOWED)
