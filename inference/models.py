"""The operator's choice of backends."""

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from inference.types import Deadlines


class BackendKind(models.TextChoices):
    """The APIs that there is code for; registry.py names the code."""

    LLAMA_CPP = "llama_cpp", "llama.cpp, in this installation"
    SCRIPTED = "scripted", "scripted (for tests and drills)"


class Backend(models.Model):
    """One model behind one API; workers read the enabled ones for every reply.

    They are tried in the order of `position`. A change takes effect with the next
    reply, in every worker, without a restart.
    """

    name = models.SlugField(unique=True)
    kind = models.CharField(max_length=20, choices=BackendKind.choices)
    model = models.CharField(
        max_length=300,
        blank=True,
        help_text="llama.cpp: the path of a GGUF file; empty means the bundled model.",
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="llama.cpp: num_cells, max_sequences, max_waiting, num_threads, "
        "num_gpu_layers, template, quotes, quote_lean, quote_also_from. "
        "Scripted: scripts.",
    )
    is_enabled = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=10)
    first_token_s = models.FloatField(
        "first token (s)", default=15.0, validators=[MinValueValidator(0.1)]
    )
    gap_s = models.FloatField(
        "gap between deltas (s)", default=15.0, validators=[MinValueValidator(0.1)]
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError if the options are not an object."""
        if not isinstance(self.options, Mapping):
            raise ValidationError({"options": "Write a JSON object, such as {}."})


def build_deadlines(rows: list[Backend], total_s: float) -> Deadlines:
    """Return the deadlines of a request to `rows`: the most patient of them."""
    return Deadlines(
        first_token_s=max((row.first_token_s for row in rows), default=15.0),
        gap_s=max((row.gap_s for row in rows), default=15.0),
        total_s=total_s,
    )
