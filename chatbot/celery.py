"""The Celery application; every option is a `CELERY_` setting in settings.py."""

import os

from celery import Celery
from celery.signals import setup_logging, worker_init

from chatbot.starting import check_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")


@setup_logging.connect
def leave_logging_alone(**_: object) -> None:
    """Keep Django's logging: Celery's own would hide all INFO lines."""


@worker_init.connect
def check(**_: object) -> None:
    """Check the settings before a worker of its own process starts."""
    check_start()


app = Celery("chatbot")
# else threads, such as those of requests, fall back to another app
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["support.chat", "support.monitoring"])
app.autodiscover_tasks(["support.chat", "support.monitoring"], related_name="worker")
