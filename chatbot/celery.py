"""The Celery application; every option is a `CELERY_` setting in settings.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")

app = Celery("chatbot")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["support.chat"])
app.autodiscover_tasks(["support.chat"], related_name="worker")
