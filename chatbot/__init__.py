"""The Django project: settings, URLs, servers and workers are wired up here."""

from chatbot.celery import app as celery_app

__all__ = ["celery_app"]
