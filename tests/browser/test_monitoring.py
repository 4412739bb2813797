"""The monitoring page in a browser: nothing blocked, nothing wider than the screen."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import expect

from tests.browser.test_access import PHONE

PHONE_PX = 390
WIDTH = "document.documentElement.scrollWidth"
FILL = "node => getComputedStyle(node).fill"


@pytest.fixture
def open_monitoring(server, open_chat):
    """Return a maker of logged-in pages at the monitoring page."""
    with closing(sqlite3.connect(server.database, timeout=20)) as database:
        password = PBKDF2PasswordHasher().encode("open sesame", "salt")
        database.execute("UPDATE auth_user SET password = ?", [password])
        database.commit()

    def make(query: str = "", **options):
        page = open_chat("/admin/login/?next=/admin/", **options).page
        page.get_by_label("Username").fill("staff")
        page.get_by_label("Password").fill("open sesame")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Monitoring").click()
        expect(page.locator("h1")).to_have_text("Monitoring")
        if query:
            page.goto(f"{server.url}/admin/monitoring/{query}")
        return page

    return make


@pytest.fixture
def reply(script, open_chat):
    """One answered question, so that there is something to draw."""
    script("say Good evening.")
    open_chat("/help/").open().ask("Hello?")


def test_shows_charts_in_both_themes(reply, open_monitoring):
    fills = set()
    for theme in ("light", "dark"):
        page = open_monitoring(color_scheme=theme)
        bar = page.locator(".plot .bar").first
        expect(bar).to_be_visible()
        fills.add(bar.evaluate(FILL))
    assert len(fills) == 2
    assert "rgb(0, 0, 0)" not in fills  # what a shape has without a style sheet


def test_a_phone_scrolls_down_only(reply, open_monitoring):
    size = {"width": PHONE_PX, "height": 844}
    page = open_monitoring("?period=month", **PHONE | {"viewport": size})
    assert page.evaluate(WIDTH) == PHONE_PX
    for chart in page.locator(".plot").all():
        box = chart.bounding_box()
        assert box["x"] + box["width"] <= PHONE_PX


def test_periods_and_backends_are_links(reply, open_monitoring):
    page = open_monitoring()
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("link", name="7 days")).to_have_attribute(
        "aria-current", "true"
    )
    page.get_by_role("navigation", name="Backend").get_by_role("link").nth(1).click()
    year = datetime.now(UTC).year
    expect(page.locator(".monitoring-window")).to_contain_text(str(year))
    expect(page.get_by_role("link", name="7 days")).to_have_attribute(
        "aria-current", "true"
    )


def test_a_table_is_reached_by_keyboard(open_monitoring):
    page = open_monitoring()
    table = page.get_by_role("region", name="Replies: numbers")
    table.focus()
    expect(table).to_be_focused()
    expect(table.get_by_role("columnheader").first).to_have_text("Hour")
