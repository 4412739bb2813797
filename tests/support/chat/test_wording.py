"""The widget's texts: complete in each language, and in English the server's own."""

import json
import re
from pathlib import Path

import pytest

from support.chat import answering, ladder, services
from support.models import Notice

WIDGET = Path(__file__).parents[3] / "support/static/support/widget.js"
_LANGUAGE = re.compile(r"^    (\w+): \{\n(.*?)^    \},$", re.DOTALL | re.MULTILINE)
_TEXT = re.compile(r'(\w+): ("(?:[^"\\]|\\.)*")')


def read_catalogue() -> dict[str, dict[str, str]]:
    source = WIDGET.read_text()
    source = source[source.index("const CATALOGUE = {") :]
    source = source[: source.index("\n  };")]
    return {
        locale: {key: json.loads(text) for key, text in _TEXT.findall(texts)}
        for locale, texts in _LANGUAGE.findall(source)
    }


CATALOGUE = read_catalogue()
ENGLISH = CATALOGUE["en"]
others = pytest.mark.parametrize("locale", ["de", "ar"])


def blanks(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


def test_there_are_three_languages():
    assert list(CATALOGUE) == ["en", "de", "ar"]


@others
def test_every_text_is_in_each_language(locale):
    assert list(CATALOGUE[locale]) == list(ENGLISH)


@others
def test_the_same_values_are_filled_in(locale):
    found = {key: blanks(text) for key, text in CATALOGUE[locale].items()}
    assert found == {key: blanks(text) for key, text in ENGLISH.items()}


def test_every_text_that_the_widget_asks_for_exists():
    asked = set(re.findall(r'\btexts\("(\w+)"', WIDGET.read_text()))
    assert asked - set(ENGLISH) == set()


@pytest.mark.parametrize("notice", Notice.values)
def test_every_notice_has_a_text(notice):
    assert ENGLISH[f"notice_{notice}"]


def test_the_server_asks_for_a_person_in_the_same_words():
    assert ENGLISH["notice_handoff_requested"] == services.HANDOFF_TEXT


def test_the_server_is_unsure_in_the_same_words():
    assert ENGLISH["notice_reply_unsure"] == answering.UNSURE


def test_the_server_quotes_in_the_same_words():
    assert ENGLISH["notice_reply_excerpt"] == ladder.EXCERPT
