"""From the operator's rows to a routed call.

The one place where code is found by name: a backend's module, with its SDK or
engine, is imported when a row first asks for it. So the web process, which routes
nothing, loads no model.
"""

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import cast

from django.conf import settings
from django.db.models import Subquery

from inference.backends.base import Backend, BackendSettings
from inference.engine_stats import EngineStats
from inference.models import Backend as BackendRow
from inference.models import BackendKind, Queue, build_deadlines
from inference.pricing import build_cost
from inference.routing.router import OnAttempt, Router
from inference.types import (
    AttemptReport,
    CancelToken,
    ChatMessage,
    CompletionRequest,
    RoutedItem,
)

logger = logging.getLogger(__name__)

Build = Callable[[BackendSettings], Backend]
Check = Callable[[BackendSettings], None]
Describe = Callable[[BackendSettings], tuple[bool, str]]

# each has `build_backend(settings)` and `check_settings(settings)`
_MODULES = {
    BackendKind.LLAMA_CPP: "inference.backends.llama_cpp",
    BackendKind.OPENAI: "inference.backends.openai",
    BackendKind.ANTHROPIC: "inference.backends.anthropic",
    BackendKind.GEMINI: "inference.backends.gemini",
    BackendKind.OPENAI_COMPATIBLE: "inference.backends.openai_compatible",
    BackendKind.SCRIPTED: "inference.backends.scripted",
}


@dataclass(frozen=True, slots=True)
class _Built:
    """A backend and the row it was made from."""

    row: BackendRow
    settings: BackendSettings
    backend: Backend

    def is_made_from(self, row: BackendRow) -> bool:
        """Return whether the row still asks for this backend; its order may change."""
        return self.row.kind == row.kind and self.settings == settings_of(row)


class Registry:
    """The backends of this process, by name; built when first used or changed.

    Threads may share it. What is replaced, disabled or deleted is closed: calls in
    flight on it fail over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[str, _Built] = {}
        self.router = Router()
        # false in a worker for APIs alone, which must not need a model's memory
        self.loads_models = True
        self._openings: tuple[tuple[ChatMessage, ...], ...] = ()

    def use(self, rows: Sequence[BackendRow]) -> list[Backend]:
        """Return the backends of the rows, in their order, and close all others.

        A row that no backend can be made from is logged and left out.
        """
        with self._lock:
            names = {row.name for row in rows}
            closing = [
                self._built.pop(name) for name in list(self._built) if name not in names
            ]
            backends = []
            for row in rows:
                try:
                    closing += self._build(row)
                except (ValueError, ImportError, OSError):
                    logger.exception("backend=%s cannot be used", row.name)
                else:
                    backends.append(self._built[row.name].backend)
        for built in closing:
            self.router.forget(built.row.name)
            built.backend.close()
        return backends

    def warm(self, openings: Sequence[tuple[ChatMessage, ...]]) -> None:
        """Tell all backends, also those to come, how conversations begin."""
        with self._lock:
            is_new = self._openings != tuple(openings)
            self._openings = tuple(openings)
            built = [*self._built.values()] if is_new else []
        for one in built:
            one.backend.warm(self._openings)

    def read_engines(self) -> dict[str, EngineStats]:
        """Return how the engines of this process are doing, by backend."""
        with self._lock:
            built = dict(self._built)
        stats = {name: one.backend.read_engine() for name, one in built.items()}
        return {name: each for name, each in stats.items() if each is not None}

    def close(self) -> None:
        """Close all backends."""
        self.use([])

    def _build(self, row: BackendRow) -> list[_Built]:
        """Make the backend of a row unless it is there; return what it replaces.

        A row read before another thread's newer one does not bring the old back.
        """
        built = self._built.get(row.name)
        if built is not None and (
            built.is_made_from(row) or row.updated_at < built.row.updated_at
        ):
            return []
        backend = build_backend(row)
        backend.warm(self._openings)
        self._built[row.name] = _Built(row, settings_of(row), backend)
        return [built] if built else []


def build_backend(row: BackendRow) -> Backend:
    """Return a backend made from a row; raises ValueError if the row is wrong."""
    module = import_module(_MODULES[BackendKind(row.kind)])
    build = cast("Build", module.build_backend)
    return build(settings_of(row))


registry = Registry()


def route(
    request: CompletionRequest,
    cancel: CancelToken,
    on_attempt: OnAttempt,
    total_s: float,
    only: Queue | None = None,
) -> Generator[RoutedItem, None, None]:
    """Send a request to the enabled backends in the operator's order.

    `only` leaves out those of the other queue. Like `Router.route`. One query.
    """
    rows = _read_usable()
    names = {row.name for row in rows if only in (None, row.queue)}
    backends = [backend for backend in registry.use(rows) if backend.name in names]
    deadlines = build_deadlines(rows, total_s)
    return registry.router.route(request, backends, deadlines, cancel, on_attempt)


def _read_usable() -> list[BackendRow]:
    """Return the enabled rows that this process makes backends of. One query."""
    rows = BackendRow.objects.filter(is_enabled=True)
    return [row for row in rows if registry.loads_models or row.queue == Queue.CLOUD]


def has_more_elsewhere() -> bool:
    """Return whether other workers have models that this one does not load.

    One query in a worker for APIs, none in others.
    """
    if registry.loads_models:
        return False
    rows = BackendRow.objects.filter(is_enabled=True)
    return any(row.queue == Queue.LOCAL for row in rows)


def first_queue() -> Queue:
    """Return the queue of the backend that is asked first. One query."""
    enabled = BackendRow.objects.filter(is_enabled=True)
    return queue_of(enabled.values_list("kind", flat=True).first())


def first_kind() -> Subquery:
    """Return the kind of the backend that is asked first, to annotate a query with."""
    return Subquery(BackendRow.objects.filter(is_enabled=True).values("kind")[:1])


def queue_of(kind: str | None) -> Queue:
    """Return where the jobs go while this kind of backend is asked first, None if none.

    Without a backend they go where models are, as the next one may be.
    """
    return Queue.LOCAL if kind is None else BackendRow(kind=kind).queue


def price(report: AttemptReport) -> Decimal | None:
    """Return what a call cost in US dollars, None if that is not known.

    Two queries: the backend's row, by name, and the operator's price. Never raises: a
    cost that cannot be worked out is logged and unknown, as the call's other
    measurements must not be lost with it.
    """
    try:
        row = BackendRow.objects.filter(name=report.backend).defer("key").first()
        return build_cost(report, row)
    except Exception:  # a price list of others', and a ledger that must be written
        logger.exception("backend=%s model=%s unpriced", report.backend, report.model)
        return None


def warm_up(openings: Sequence[tuple[ChatMessage, ...]] = ()) -> None:
    """Build and start the enabled backends, for the first visitor's sake.

    `openings` are what conversations begin with, which engines then know already.
    """
    registry.warm(openings)
    for backend in registry.use(_read_usable()):
        backend.start()


def warm(openings: Sequence[tuple[ChatMessage, ...]]) -> None:
    """Tell the backends of this process how conversations begin from now on."""
    registry.warm(openings)


def read_engines() -> dict[str, EngineStats]:
    """Return how the engines of this process are doing, by backend."""
    return registry.read_engines()


def close() -> None:
    """Close all backends of this process."""
    registry.close()


def check_backend(row: BackendRow) -> None:
    """Raise ValueError or OSError if no backend can be made from a row.

    Looks at the settings only; nothing is loaded or called.
    """
    module = import_module(_MODULES[BackendKind(row.kind)])
    check = cast("Check", module.check_settings)
    check(settings_of(row))


def check_private_endpoints() -> None:
    """Raise ValueError if an entry of PRIVATE_ENDPOINTS is no host."""
    if settings.PRIVATE_ENDPOINTS:
        endpoints = import_module("inference.backends.endpoints")
        endpoints.read_private_hosts(settings.PRIVATE_ENDPOINTS)


def describe_need(row: BackendRow) -> tuple[bool, str]:
    """Return whether a row's model fits this machine's memory, and a sentence why.

    True and nothing to say for models that run elsewhere. Raises like `check_backend`.
    """
    if row.queue != Queue.LOCAL:
        return True, ""
    module = import_module(_MODULES[BackendKind(row.kind)])
    describe = cast("Describe", module.describe_need)
    return describe(settings_of(row))


def settings_of(row: BackendRow) -> BackendSettings:
    """Return what a row says, with the bundled model where it names none.

    Raises UnreadableSecret, a ValueError, if the row's key cannot be decrypted.
    """
    is_bundled = row.kind == BackendKind.LLAMA_CPP and not row.model
    model = str(settings.BUNDLED_MODEL_PATH) if is_bundled else row.model
    return BackendSettings(
        row.name,
        model,
        row.options,
        row.endpoint,
        row.key,
        tuple(settings.PRIVATE_ENDPOINTS),
    )
