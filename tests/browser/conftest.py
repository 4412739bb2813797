"""Chromium, a running server, and visitors who use the widget with both."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.chat import Chat
from tests.system.server import Server

# Two pages that no test sees, in every window: without them a tab costs 0.35 s of
# processor time, with them 0.75 s (Chromium 156, two cores).
UNSEEN = ["WebUIOmniboxPopup", "WebUIOmniboxAimPopup"]
# The last --disable-features counts: this repeats what Playwright 1.65 has in its own.
UNWANTED = [
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints",
    "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "PaintHolding", "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
]  # fmt: skip
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    f"--disable-features={','.join(UNSEEN + UNWANTED)}",
]  # fmt: skip
# the first is the same browser without a window's parts: a fifth less processor time
NAMES = (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
    "google-chrome-stable",
)  # fmt: skip
INSTALL = "no Chromium found: apt-get install chromium, or set CHROMIUM to its path"


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder."""
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests; skips without one unless REQUIRE_BROWSER is set."""
    if os.environ.get("SKIP_BROWSER"):
        pytest.skip("SKIP_BROWSER is set")
    path = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), None
    )
    if path is None and os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(INSTALL)
    if path is None:
        pytest.skip(INSTALL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory):
    """The real server with the sample articles, for all tests of this folder."""
    server = Server(tmp_path_factory.mktemp("browser"))
    server.manage("setup")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def script(server: Server) -> Callable[..., None]:
    """Return a function that sets what the model says, line by line.

    It writes the row itself: `manage.py shell` takes seconds.
    """

    def use(*lines: str) -> None:
        options = json.dumps({"scripts": ["\n".join(lines)]})
        changed_at = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
        with closing(sqlite3.connect(server.folder / "system.sqlite3")) as database:
            database.execute(
                "UPDATE inference_backend SET kind='scripted', options=?, updated_at=?",
                (options, changed_at),
            )
            database.commit()

    return use


@pytest.fixture
def open_chat(browser: Browser, server: Server) -> Iterator[Callable[..., Chat]]:
    """Return a maker of visitors; at the end none of them may have seen an error.

    Each looks at a page in a browser context of its own, unless it is given one.
    """
    contexts: list[BrowserContext] = []
    chats: list[Chat] = []

    def make(
        path: str = "/", context: BrowserContext | None = None, **options: Any
    ) -> Chat:
        if context is None:
            size = {"width": 1280, "height": 800}
            options = {"viewport": size, "locale": "en-GB"} | options
            context = browser.new_context(**options)
            contexts.append(context)
        url = path if path.startswith("http") else server.url + path
        chats.append(Chat(context.new_page(), url))
        return chats[-1]

    yield make
    problems = [problem for chat in chats for problem in chat.problems]
    for context in contexts:
        context.close()
    assert problems == []
