"""Addresses of the chat: the widget's calls and the demo page that carries it."""

from django.urls import path

from support.chat import demo, views

urlpatterns = [
    path("", demo.shop, name="shop"),
    path("widget.js", views.widget_script, name="widget-script"),
    path("widget/config", views.widget_config, name="widget-config"),
    path("widget/session", views.widget_session, name="widget-session"),
]
