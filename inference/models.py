"""The operator's choice of backends, and what they cost."""

from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from inference.fields import EncryptedTextField
from inference.types import Deadlines


class BackendKind(models.TextChoices):
    """The APIs that there is code for; registry.py names the code."""

    LLAMA_CPP = "llama_cpp", "llama.cpp, in this installation"
    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible API"
    SCRIPTED = "scripted", "scripted (for tests and drills)"


class Queue(models.TextChoices):
    """The queues of replies, by where their model runs."""

    LOCAL = "local", "a model in this installation"
    CLOUD = "cloud", "an API"


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
        help_text="llama.cpp: the path of a GGUF file; empty means the bundled model. "
        "An API: the name it knows the model by, such as gpt-5-mini.",
    )
    endpoint = models.CharField(
        max_length=300,
        blank=True,
        help_text="The base URL of an API, such as https://api.openai.com/v1 or that "
        "of your own vLLM or llama-server. Empty for models in this installation.",
    )
    key = EncryptedTextField(
        blank=True, default="", editable=False, help_text="What the API asks for."
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="llama.cpp: num_cells, max_sequences, max_waiting, num_threads, "
        "num_gpu_layers, template, thinking, quotes, quote_lean, quote_doubt, "
        "quote_also_from. An API: max_tokens_field, dialect, omit, extra_body. Both: "
        "temperature, top_p, top_k, min_p, repetition_penalty, repetition_window, "
        "seed. Scripted: scripts.",
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

    @property
    def queue(self) -> Queue:
        """Return which workers it runs in: those that load models, or the others."""
        is_local = self.kind == BackendKind.LLAMA_CPP
        return Queue.LOCAL if is_local else Queue.CLOUD

    def clean(self) -> None:
        """Raise ValidationError if the options are not an object."""
        if not isinstance(self.options, Mapping):
            raise ValidationError({"options": "Write a JSON object, such as {}."})


class Price(models.Model):
    """What an operator knows tokens to cost; goes before the prices that ship with us.

    A row counts for one backend, one model, or one model on one backend, from
    `valid_from` on. Of the rows that fit a call, one for its backend goes before one
    for any, then one for its model, then the newest.
    """

    backend = models.ForeignKey(
        Backend,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="prices",
        help_text="Empty means every backend that runs the model.",
    )
    model = models.CharField(
        max_length=200,
        blank=True,
        help_text="As the backend or its API names it. Empty means every model of the "
        "backend.",
    )
    input_usd_per_mtok = models.DecimalField(
        "input, $ per million tokens",
        max_digits=12,
        decimal_places=6,
        validators=[MinValueValidator(0)],
    )
    cached_input_usd_per_mtok = models.DecimalField(
        "cached input, $ per million tokens",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Empty means the same as other input.",
    )
    output_usd_per_mtok = models.DecimalField(
        "output, $ per million tokens",
        max_digits=12,
        decimal_places=6,
        validators=[MinValueValidator(0)],
    )
    valid_from = models.DateTimeField(
        default=timezone.now,
        help_text="Calls that began earlier keep their cost. A new price is a new row.",
    )

    class Meta:
        ordering = ["-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(backend__isnull=False) | ~Q(model=""),
                name="price_of_something",
                violation_error_message="Choose a backend, name a model, or both.",
            ),
            models.CheckConstraint(
                condition=Q(input_usd_per_mtok__gte=0)
                & Q(output_usd_per_mtok__gte=0)
                & (
                    Q(cached_input_usd_per_mtok__isnull=True)
                    | Q(cached_input_usd_per_mtok__gte=0)
                ),
                name="price_not_negative",
            ),
            models.UniqueConstraint(
                fields=["backend", "model", "valid_from"], name="price_once_a_time"
            ),
        ]

    def __str__(self) -> str:
        return " on ".join(filter(None, [self.model, str(self.backend or "")]))


def build_deadlines(rows: Iterable[Backend], total_s: float) -> dict[str, Deadlines]:
    """Return the deadlines of a request to `rows`, by the name of the backend."""
    return {
        row.name: Deadlines(
            first_token_s=row.first_token_s, gap_s=row.gap_s, total_s=total_s
        )
        for row in rows
    }
