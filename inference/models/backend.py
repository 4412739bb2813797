"""The operator's choice of backends."""

from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from inference.fields import EncryptedTextField
from inference.types import Deadlines


class BackendKind(models.TextChoices):
    """The APIs that there is code for; registry.py names the code."""

    LLAMA_CPP = "llama_cpp", "llama.cpp, in this installation"
    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    GEMINI = "gemini", "Google Gemini"
    OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible API"
    SCRIPTED = "scripted", "scripted (for tests and drills)"


# they run in our own processes
_KINDS_HERE = {BackendKind.LLAMA_CPP, BackendKind.SCRIPTED}


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
        help_text="The base URL of an API, such as https://api.groq.com/openai/v1 or "
        "that of your own vLLM or llama-server. Empty: the provider's own, and for "
        "models in this installation.",
    )
    key = EncryptedTextField(
        blank=True, default="", editable=False, help_text="What the API asks for."
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text="llama.cpp: num_cells, max_sequences, max_waiting, num_threads, "
        "num_gpu_layers, template, thinking, quotes, quote_lean, quote_doubt, "
        "quote_also_from. An API: omit, extra_body; OpenAI-compatible: "
        "max_tokens_field, dialect; OpenAI, Anthropic and Gemini: thinking_tokens and "
        "more (docs/backends.md). Both: temperature, top_p, top_k, min_p, "
        "repetition_penalty, repetition_window, seed. Scripted: scripts.",
    )
    is_in_house = models.BooleanField(
        "runs in our house",
        default=False,
        help_text="What visitors write may be sent there though it is private: a "
        "server of your own. Models in this installation always are.",
    )
    region = models.CharField(
        max_length=50,
        blank=True,
        help_text="Where it computes, in your words, such as EU; stored with replies.",
    )
    is_enabled = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=10)
    weight = models.PositiveSmallIntegerField(
        default=1,
        help_text="Backends at the same position share new conversations by weight.",
    )
    connect_s = models.FloatField(
        "connect (s)", default=3.0, validators=[MinValueValidator(0.1)]
    )
    first_token_s = models.FloatField(
        "first token (s)", default=15.0, validators=[MinValueValidator(0.1)]
    )
    gap_s = models.FloatField(
        "gap between deltas (s)", default=15.0, validators=[MinValueValidator(0.1)]
    )
    target_ttft_s = models.FloatField(
        "target for the first token (s)",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1)],
        help_text="While it is foreseen to come later, replies go to the next backend. "
        "Empty: they wait.",
    )
    max_requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    max_tokens_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of prompts and replies together."
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

    @property
    def leaves_house(self) -> bool:
        """Return whether a call brings what visitors write out of our house."""
        return self.kind not in _KINDS_HERE and not self.is_in_house

    def clean(self) -> None:
        """Raise ValidationError if the options are not an object."""
        if not isinstance(self.options, Mapping):
            raise ValidationError({"options": "Write a JSON object, such as {}."})


def build_deadlines(rows: Iterable[Backend], total_s: float) -> dict[str, Deadlines]:
    """Return the deadlines of a request to `rows`, by the name of the backend."""
    return {
        row.name: Deadlines(
            connect_s=row.connect_s,
            first_token_s=row.first_token_s,
            gap_s=row.gap_s,
            total_s=total_s,
        )
        for row in rows
    }
