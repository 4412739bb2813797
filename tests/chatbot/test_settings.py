"""The settings, .env.example and the README name the same things with one default."""

import ast
import re
import runpy
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


def read_settings(monkeypatch, **variables: str) -> dict:
    """Return what settings.py makes of an environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "chatbot/settings.py"))


def test_a_domain_is_an_allowed_host_with_cookies_over_https_only(monkeypatch):
    read = read_settings(monkeypatch, DOMAIN="chat.example.com")
    assert read["ALLOWED_HOSTS"][-1] == "chat.example.com"
    assert read["SESSION_COOKIE_SECURE"]
    assert read["CSRF_COOKIE_SECURE"]


def test_without_a_domain_cookies_work_over_plain_http(monkeypatch):
    assert not read_settings(monkeypatch)["SESSION_COOKIE_SECURE"]


def test_a_proxy_that_is_no_address_stops_the_start(monkeypatch):
    with pytest.raises(ImproperlyConfigured, match=r"FORWARDED_ALLOW_IPS: .*proxy"):
        read_settings(monkeypatch, FORWARDED_ALLOW_IPS="10.0.0.1,proxy")


def test_the_line_end_of_a_secret_file_is_not_part_of_the_secret(monkeypatch, tmp_path):
    (tmp_path / "redis_url").write_text("redis://redis:6379/0\n")
    path = str(tmp_path / "redis_url")
    read = read_settings(monkeypatch, REDIS_URL_FILE=path)
    assert read["REDIS_URL"] == "redis://redis:6379/0"
