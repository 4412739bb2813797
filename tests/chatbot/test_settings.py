"""The settings, .env.example and the README name the same things."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def read_names(path: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE))


@pytest.fixture
def names() -> set[str]:
    return read_names("chatbot/settings.py", r'env\.\w+\(\s*"([A-Z_]+)"')


def test_every_setting_is_in_the_example_file(names):
    assert read_names(".env.example", r"^([A-Z_]+)=") == names


def test_every_setting_has_a_row_in_the_readme(names):
    assert names <= read_names("README.md", r"^\| `([A-Z_]+)` \|")
