"""The operator's pages of backends in a browser: alive, and no wider than a phone."""

import sqlite3
from contextlib import closing

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import expect

from tests.browser.test_access import PHONE

PHONE_PX = 390
WIDTH = "document.documentElement.scrollWidth"


@pytest.fixture
def open_backend(server, open_chat, script):
    """Return a maker of logged-in pages at the one backend, which is scripted."""
    script("say Hello there.")
    with closing(sqlite3.connect(server.database, timeout=20)) as database:
        password = PBKDF2PasswordHasher().encode("open sesame", "salt")
        database.execute("UPDATE auth_user SET password = ?", [password])
        database.commit()

    def make(**options):
        page = open_chat("/admin/login/?next=/admin/", **options).page
        page.get_by_label("Username").fill("staff")
        page.get_by_label("Password").fill("open sesame")
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{server.url}/admin/inference/backend/")
        page.locator("#result_list tbody th a").first.click()
        return page

    return make


def test_a_test_shows_its_end_without_a_reload(open_backend):
    page = open_backend()
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.locator("[data-tests] tr").first).to_contain_text("Hello there.")
    expect(page.locator("[data-tests] .is-passed").first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_scrolls_down_only(open_backend, theme):
    size = {"width": PHONE_PX, "height": 844}
    page = open_backend(**PHONE | {"viewport": size, "color_scheme": theme})
    expect(page.get_by_role("heading", name="Fire drill")).to_be_visible()
    assert page.evaluate(WIDTH) == PHONE_PX


def test_switching_off_is_asked_about(open_backend, server):
    page = open_backend()
    page.goto(f"{server.url}/admin/inference/backend/")
    page.locator("input[name=form-0-is_enabled]").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Switch all off?")
    page.get_by_role("link", name="Leave it as it is").click()
    expect(page.locator("input[name=form-0-is_enabled]")).to_be_checked()
