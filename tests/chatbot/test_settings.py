"""The settings, .env.example and the README name the same things with one default."""

import ast
import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from chatbot.settings import env

ROOT = Path(__file__).resolve().parents[2]


def read_rows(path: str, pattern: str) -> dict[str, str]:
    text = (ROOT / path).read_text()
    return dict(re.findall(pattern, text, re.MULTILINE))


def spell(value: object) -> str:
    """Return a default as one writes it into .env."""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def defaults() -> dict[str, str]:
    """The default of each `env.type("NAME", default=...)`."""
    tree = ast.parse((ROOT / "chatbot/settings.py").read_text())
    return {
        str(node.args[0].value): spell(eval(ast.unparse(node.keywords[0].value)))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("env.")
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    """The default of each setting as the README's table has it."""
    return read_rows("README.md", r"^\| `([A-Z_]+)` \| ?(.*?) ?\|")


def test_a_malformed_value_names_its_setting(monkeypatch):
    monkeypatch.setenv("TURN_DEADLINE_S", "soon")
    with pytest.raises(ImproperlyConfigured, match=r"TURN_DEADLINE_S: .*'soon'"):
        env.int("TURN_DEADLINE_S", default=60)


def test_the_example_file_has_every_setting_with_its_default(defaults):
    assert read_rows(".env.example", r"^([A-Z_]+)=(.*)$") == defaults


def test_every_group_of_the_example_file_begins_with_a_comment():
    blocks = re.split(r"\n\n", (ROOT / ".env.example").read_text())
    starts = [block for block in blocks if not block.startswith("#")]
    assert starts == []


def test_the_readme_has_a_row_for_every_setting(defaults, rows):
    assert rows.keys() == defaults.keys()


def test_the_readme_has_the_defaults(defaults, rows):
    written = {name: f"`{value}`" for name, value in defaults.items() if value}
    assert {name: rows[name] for name in written} == written


def test_what_is_empty_is_explained_or_empty_in_the_readme(defaults, rows):
    empty = [rows[name] for name, value in defaults.items() if not value]
    explained = r"(made in `var/\w+`|SQLite in `var/`|`var/models`)?"
    assert all(re.fullmatch(explained, x) for x in empty)


def test_every_setting_says_what_it_means_in_the_readme():
    meanings = read_rows("README.md", r"^\| `([A-Z_]+)` \|.*\| (.*?) ?\|$")
    assert all(meanings.values())
