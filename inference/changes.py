"""Which rows have a history: who changed what, before and after.

Kept by django-auditlog. A key is left out altogether: its field decrypts when it is
read, and the library masks only the first half of a secret, or the plain text of it.
What is kept of a key is its end, as the pages show it. Rows that workers change by
compare-and-swap, such as a trial that is rolled back, have their own events.
"""

from auditlog.registry import auditlog
from django.db.models import Model

from inference.models import Backend, Budget, Canary, HourlyCost, Price, RoutingPolicy

TRACKED: tuple[type[Model], ...] = (
    Backend, Price, HourlyCost, Budget, RoutingPolicy, Canary,
)  # fmt: skip
# written by machines, or not to be written down
LEFT_OUT = frozenset(
    {"id", "key", "updated_at", "drilled_on", "alerted_for", "spent_for"}
)


def tracked_fields(model: type[Model]) -> list[str]:
    """Return the columns of a model whose changes are kept."""
    names = (field.name for field in model._meta.concrete_fields)
    return [name for name in names if name not in LEFT_OUT]


for _model in TRACKED:
    auditlog.register(_model, include_fields=tracked_fields(_model))
