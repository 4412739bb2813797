"""From the operator's rows to a routed call.

The one place where code is found by name: a backend's module, with its SDK or
engine, is imported when a row first asks for it. So the web process, which routes
nothing, loads no model.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from importlib import import_module
from typing import cast

from django.conf import settings

from inference.backends.base import Backend
from inference.models import Backend as BackendRow
from inference.models import BackendKind, build_deadlines
from inference.routing.router import OnAttempt, Router
from inference.types import CancelToken, CompletionRequest, RoutedItem

Build = Callable[[str, str, Mapping[str, object]], Backend]

# each has `build_backend(name, model, options)` and `check_options(model, options)`
_MODULES = {
    BackendKind.LLAMA_CPP: "inference.backends.llama_cpp",
    BackendKind.SCRIPTED: "inference.backends.scripted",
}


class Registry:
    """The backends of this process, by name; built when first used or changed.

    Threads may share it. A backend that is replaced is closed when its row changes:
    calls in flight on it fail over.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._built: dict[str, tuple[datetime, Backend]] = {}
        self.router = Router()

    def backend(self, row: BackendRow) -> Backend:
        """Return the backend of a row, as the row is now."""
        with self._lock:
            built_at, backend = self._built.get(row.name, (None, None))
            if backend is not None and built_at == row.updated_at:
                return backend
            if backend is not None:
                backend.close()
                self.router.forget(row.name)
            backend = build_backend(row)
            self._built[row.name] = (row.updated_at, backend)
            return backend

    def close(self) -> None:
        """Close all backends."""
        with self._lock:
            for _, backend in self._built.values():
                backend.close()
            self._built.clear()


def build_backend(row: BackendRow) -> Backend:
    """Return a backend made from a row; raises ValueError if the row is wrong."""
    module = import_module(_MODULES[BackendKind(row.kind)])
    build = cast("Build", module.build_backend)
    return build(row.name, _model_of(row), row.options)


registry = Registry()


def route(
    request: CompletionRequest,
    cancel: CancelToken,
    on_attempt: OnAttempt,
    total_s: float,
) -> Generator[RoutedItem, None, None]:
    """Send a request to the enabled backends in the operator's order.

    Like `Router.route`. One query.
    """
    rows = list(BackendRow.objects.filter(is_enabled=True))
    backends = [registry.backend(row) for row in rows]
    deadlines = build_deadlines(rows, total_s)
    return registry.router.route(request, backends, deadlines, cancel, on_attempt)


def warm_up() -> None:
    """Build and start the enabled backends, for the first visitor's sake."""
    for row in BackendRow.objects.filter(is_enabled=True):
        registry.backend(row).start()


def close() -> None:
    """Close all backends of this process."""
    registry.close()


def check_backend(row: BackendRow) -> None:
    """Raise ValueError or OSError if no backend can be made from a row.

    Looks at the settings only; nothing is loaded or called.
    """
    module = import_module(_MODULES[BackendKind(row.kind)])
    check = cast("Callable[[str, Mapping[str, object]], None]", module.check_options)
    check(_model_of(row), row.options)


def _model_of(row: BackendRow) -> str:
    is_bundled = row.kind == BackendKind.LLAMA_CPP and not row.model
    return str(settings.BUNDLED_MODEL_PATH) if is_bundled else row.model
