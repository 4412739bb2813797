"""The widget, which cannot load tokens.css, has the same colours by hand."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "support" / "static" / "support"
TOKENS = (STATIC / "tokens.css").read_text()
WIDGET = (STATIC / "widget.js").read_text()
COLOR = r"light-dark\(#[0-9a-f]+, #[0-9a-f]+\)|#[0-9a-f]{3,8}\b"

# the widget's word for a token, where it is not the token's own
NAMES = {"bad": "clay-fill"}
SHARED = (
    "accent", "on-accent", "surface", "paper", "ink", "ink-soft", "line",
    "line-strong", "danger", "focus", "bad",
)  # fmt: skip


def find(pattern: str, source: str) -> str:
    """Return what the first group matches."""
    match = re.search(pattern, source, re.MULTILINE)
    assert match is not None, pattern
    return match[1]


def spell_out(color: str) -> str:
    """Return a colour as (light, dark) with six digits each: #fff is two #ffffff."""
    digits = [
        "".join(digit * (2 if len(number) == 3 else 1) for digit in number)
        for number in re.findall(r"#([0-9a-f]+)", color)
    ]
    return f"light-dark(#{digits[0]}, #{digits[-1]})"


def color_of(source: str, name: str) -> str:
    """Return the colour that a custom property ends with, behind its overrides."""
    return spell_out(find(f"({COLOR})", find(rf"^\s*--{name}: (.*);$", source)))


@pytest.mark.parametrize("name", SHARED)
def test_a_colour_is_the_one_of_its_token(name):
    token = color_of(TOKENS, f"color-{NAMES.get(name, name)}")
    assert color_of(WIDGET, name) == token


def test_every_colour_of_the_widget_is_a_token():
    tokens = {spell_out(color) for color in re.findall(COLOR, TOKENS)}
    styles = WIDGET[WIDGET.index("// --- styles") :]
    used = {spell_out(color) for color in re.findall(COLOR, styles)}
    assert used <= tokens
    assert len(used) >= len(SHARED)


@pytest.mark.parametrize(
    ("token", "pattern"),
    [
        ("font-text", r"var\(--support-chat-font, (.*)\);$"),
        ("ease", r"--ease: (.*);$"),
    ],
)
def test_type_and_motion_are_the_same(token, pattern):
    assert find(pattern, WIDGET) == find(rf"--{token}: (.*);$", TOKENS)
