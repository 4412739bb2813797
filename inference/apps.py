"""The Django app of the models: backends and how to reach them."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """Backends, routing and the engine."""

    name = "inference"
    verbose_name = "Inference"
