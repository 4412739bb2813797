"""Takes the README's pictures from a running server: real questions, its own model.

python -m tests.browser.screenshots http://localhost:8000 docs/images
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.browser.chat import Chat
from tests.browser.conftest import FLAGS

QUESTIONS = ("How long do I have to return something?", "How much is a new zip?")
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


def take(browser: Browser, url: str, path: Path, **options: Any) -> None:
    """Ask the questions as a new visitor and keep what the screen shows."""
    context = browser.new_context(**({"locale": "en-GB"} | options))
    chat = Chat(context.new_page(), url).open()
    for question in QUESTIONS:
        chat.ask(question)
    chat.page.mouse.move(0, 0)
    chat.page.wait_for_timeout(500)
    chat.page.screenshot(path=path)
    context.close()


def main(url: str, folder: Path) -> None:
    """Write chat.png, chat-dark.png and chat-phone.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    executable = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        take(browser, url, folder / "chat.png", **DESKTOP)
        take(browser, url, folder / "chat-dark.png", color_scheme="dark", **DESKTOP)
        take(browser, url, folder / "chat-phone.png", **PHONE)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
