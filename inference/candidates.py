"""What the router is told of a backend beside the backend itself, from its row."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.utils.crypto import salted_hmac

from inference.backends import homes
from inference.backends.base import Backend, BackendSettings
from inference.models import Backend as BackendRow
from inference.models import BackendKind, build_deadlines
from inference.routing.plan import Candidate

# where those compute that need no address
_HOMES = {
    BackendKind.OPENAI: homes.OPENAI,
    BackendKind.ANTHROPIC: homes.ANTHROPIC,
    BackendKind.GEMINI: homes.GEMINI,
}


def build_candidate(
    row: BackendRow, backend: Backend, version: str, total_s: float, elsewhere: str = ""
) -> Candidate:
    """Return the candidate of a row, which may take `total_s` for a reply."""
    return Candidate(
        backend=backend,
        deadlines=build_deadlines([row], total_s)[row.name],
        leaves_house=row.leaves_house,
        host=host_of(row),
        region=row.region,
        position=row.position,
        weight=row.weight,
        target_ttft_s=row.target_ttft_s,
        version=version,
        elsewhere=elsewhere,
    )


def host_of(row: BackendRow) -> str:
    """Return the host that computes, empty for a process of ours."""
    endpoint = row.endpoint or _HOMES.get(BackendKind(row.kind), "")
    return urlsplit(endpoint).hostname or ""


def version_of(kind: str, settings: BackendSettings) -> str:
    """Return what tells settings from others; the key cannot be guessed from it."""
    options = sorted(settings.options.items())
    parts = (kind, settings.model, settings.endpoint, settings.key, options)
    return salted_hmac("inference.version", repr(parts)).hexdigest()[:16]


def find_names(rows: Iterable[BackendRow], queue: str) -> frozenset[str]:
    """Return the backends of a queue, by name."""
    return frozenset(row.name for row in rows if row.queue == queue)
