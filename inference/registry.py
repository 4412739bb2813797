"""From the operator's rows to a routed call.

The one place where code is found by name: a backend's module, with its SDK or
engine, is imported when a row first asks for it. So the web process, which routes
nothing, loads no model.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import cast

from django.conf import settings

from inference.backends.base import Backend, BackendSettings
from inference.candidates import build_candidate, version_of
from inference.engine_stats import EngineStats
from inference.hourly import build_share
from inference.models import Backend as BackendRow
from inference.models import BackendKind, Queue
from inference.pricing import build_cost
from inference.routing.breakers import Standing
from inference.routing.order import Rules
from inference.routing.plan import Candidate
from inference.routing.router import Router
from inference.routing.spill import Spill
from inference.routing_state import open_breakers, open_spill_board, open_spills
from inference.rules import check_may_leave, read_rules
from inference.types import (
    AttemptReport,
    ChatMessage,
    CompletionRequest,
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

    @property
    def version(self) -> str:
        """Return what tells these settings from others."""
        return version_of(self.row.kind, self.settings)

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
        self._openings: tuple[tuple[ChatMessage, ...], ...] = ()
        self._last_request: CompletionRequest | None = None
        # which jobs this worker takes; one without `local` loads no model
        self.queues: Collection[str] = frozenset(Queue.values)
        self.begin_again()

    def begin_again(self) -> None:
        """Forget how backends behaved; what workers share is kept where it is."""
        self.board = open_spill_board()
        self.router = Router(breakers=open_breakers(), spills=open_spills(), bill=bill)

    @property
    def loads_models(self) -> bool:
        """Return whether this process may load models."""
        return Queue.LOCAL in self.queues

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
            self.router.spills.forget(built.row.name)
            built.backend.close()
        return backends

    def line_up(self, rows: Sequence[BackendRow], total_s: float) -> list[Candidate]:
        """Return the candidates of the rows, in their order, and close all others."""
        backends = {backend.name: backend for backend in self.use(rows)}
        with self._lock:
            versions = {name: built.version for name, built in self._built.items()}
        return [
            build_candidate(
                row,
                backends[row.name],
                versions.get(row.name, ""),
                total_s,
                "" if row.queue in self.queues else row.queue,
            )
            for row in rows
            if row.name in backends
        ]

    def remember(self, request: CompletionRequest) -> None:
        """Keep a request, for `look_ahead` to foresee others by."""
        self._last_request = request

    def look_ahead(self) -> dict[str, Spill]:
        """Foresee the last request anew; return the spills of those with a target."""
        with self._lock:
            built, request = list(self._built.values()), self._last_request
        spills = {}
        for one in built:
            name, target_s = one.row.name, one.row.target_ttft_s
            if target_s is None:
                self.router.spills.forget(name)
            elif request is not None:
                foreseen_s = one.backend.predict_ttft_s(request)
                spills[name] = self.router.spills.look(name, foreseen_s, target_s)
        return spills

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
        if built is not None and row.updated_at < built.row.updated_at:
            return []
        if built is not None and built.is_made_from(row):
            self._built[row.name] = replace(built, row=row)
            return []
        backend = build_backend(row)
        backend.warm(self._openings)
        self._built[row.name] = _Built(row, settings_of(row), backend)
        return [built] if built else []


def build_backend(row: BackendRow) -> Backend:
    """Return a backend made from a row.

    Raises ValueError if the row is wrong, or leaves the house while nothing may.
    """
    check_may_leave(row)
    module = import_module(_MODULES[BackendKind(row.kind)])
    build = cast("Build", module.build_backend)
    return build(settings_of(row))


def bill(report: AttemptReport) -> AttemptReport:
    """Return the report of a call with what it cost, which is fixed by that.

    None where no price is known. Two queries: the backend's row, by name, and the
    operator's price; a third for the hour of an engine of our own. Never raises: a
    cost that cannot be worked out is logged and unknown, as the call's other
    measurements must not be lost with it.
    """
    try:
        row = BackendRow.objects.filter(name=report.backend).defer("key").first()
        cost_usd = build_cost(report, row)
        hardware_usd = None
        if row is not None and report.engine is not None:
            busy_ms = report.engine.busy_ms
            hardware_usd = build_share(busy_ms, row, report.started_at)
    except Exception:  # a price list of others', and a ledger that must be written
        logger.exception("backend=%s model=%s unpriced", report.backend, report.model)
        return replace(report, cost_usd=None, hardware_usd=None)
    return replace(report, cost_usd=cost_usd, hardware_usd=hardware_usd)


registry = Registry()


def read_enabled() -> list[BackendRow]:
    """Return the enabled rows in the operator's order. One query."""
    return list(BackendRow.objects.filter(is_enabled=True))


def find_usable(rules: Rules, rows: Sequence[BackendRow]) -> list[BackendRow]:
    """Return the rows that this process makes backends of.

    Those of models only where they may be loaded, and none that leaves the house while
    nothing may: it is not even made.
    """
    return [
        row
        for row in rows
        if (registry.loads_models or row.queue == Queue.CLOUD)
        and not (row.leaves_house and rules.is_cloud_off)
    ]


def read_breakers(names: Collection[str]) -> Mapping[str, Standing]:
    """Return how the breakers of backends stand, as all workers know them."""
    return registry.router.breakers.read(names)


def reset_breaker(name: str) -> None:
    """Trust a backend again, in all workers."""
    registry.router.breakers.reset(name)


def read_spilling(names: Collection[str]) -> set[str]:
    """Return which backends spill in all their workers."""
    return registry.board.read(names)


def warm_up(openings: Sequence[tuple[ChatMessage, ...]] = ()) -> None:
    """Build and start the enabled backends, for the first visitor's sake.

    `openings` are what conversations begin with, which engines then know already.
    """
    registry.warm(openings)
    rows = find_usable(read_rules(), read_enabled())
    for backend in registry.use(rows):
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

    Looks at the settings only: nothing is loaded, called or looked up, so that a row
    can be set up also while nothing may leave the house.
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
