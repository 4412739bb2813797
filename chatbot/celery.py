"""The Celery application; every option is a `CELERY_` setting in settings.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")

app = Celery("chatbot")
# else threads, such as those of requests, fall back to another app
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["support.chat", "support.monitoring"])
app.autodiscover_tasks(["support.chat", "support.monitoring"], related_name="worker")
