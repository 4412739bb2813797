"""Engines are told how conversations begin, also when a prompt was changed."""

import threading

import pytest

from inference import registry
from inference.backends.scripted import ScriptedBackend
from inference.types import ChatMessage
from support.chat import prompts, warmth
from support.chat.warmth import Warmth, read_openings
from support.models import store_prompt
from tests.factories import make_backend, make_site

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_opening_begins_as_first_questions_do():
    openings = prompts.build_openings("Be kind.")
    asked = [
        prompts.build_request("Be kind.", [], passages, "Is it open?", 9).messages
        for passages in ([], [])
    ]
    for opening, messages in zip(openings, asked, strict=True):
        assert opening[0] == messages[0] == ChatMessage("system", "Be kind.")
    assert asked[0][1].content.startswith(openings[0][1].content)


def test_only_the_active_prompts_count(django_assert_num_queries):
    site = make_site()
    store_prompt(site, "Old.")
    store_prompt(site, "New.")
    with django_assert_num_queries(1):
        openings = read_openings()
    assert {opening[0].content for opening in openings} == {"New."}


def test_a_changed_prompt_reaches_the_engines(monkeypatch):
    monkeypatch.setattr(warmth, "LOOK_S", 0.02)
    told, texts = threading.Event(), []

    class Engine(ScriptedBackend):
        def warm(self, openings):
            texts.extend(opening[0].content for opening in openings)
            told.set()

    make_backend()
    monkeypatch.setattr(registry, "build_backend", lambda row: Engine("scripted"))
    registry.warm_up()
    told.clear()
    store_prompt(make_site(), "Be brief.")
    helper = Warmth()
    helper.start()
    assert told.wait(10)
    told.clear()
    assert not told.wait(0.2)
    helper.stop()
    registry.close()
    assert set(texts) == {"Be brief."}
