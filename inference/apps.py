"""The Django app of the models: backends and how to reach them."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class InferenceConfig(AppConfig):
    """Backends, routing and the engine."""

    name = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        """Keep the history of the operator's rows; reads models, so not before now."""
        autodiscover_modules("changes")
