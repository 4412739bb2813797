"""The colours: those of the widget are the tokens by hand; charts can be read."""

import re
from pathlib import Path

import pytest

from support.monitoring.panels import NUM_COLORS

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


def luminance(color: str) -> float:
    """Return the relative luminance of #rrggbb, as WCAG 2.2 defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", [*(f"chart-{n}" for n in range(1, 7)), "color-danger"])
def test_a_series_of_a_chart_stands_out(name, theme):
    color, surface = (
        re.findall(r"#\w{6}", color_of(TOKENS, token))[theme]
        for token in (name, "color-surface")
    )
    assert contrast(color, surface) >= 3


def test_every_style_of_the_charts_has_a_colour():
    styles = (STATIC / "monitoring.css").read_text()
    named = set(re.findall(r"\.([\w-]+)(?=[^{}]*\{ --series)", styles))
    assert named == {
        *(f"color-{number}" for number in range(1, NUM_COLORS + 1)),
        *("p50", "p95", "p99", "failed", "lost", "fallback", "unanswered"),
    }
