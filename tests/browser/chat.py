"""The widget as a visitor sees it."""

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

expect.set_options(timeout=20_000)
# the network is cut, or a limit met, on purpose in some tests; all else is a fault
EXPECTED = (
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
    "status of 429",
)


class Chat:
    """One tab with the widget; `problems` are errors that the browser reported."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(
            word in message.text for word in EXPECTED
        ):
            self.problems.append(message.text)

    def find(self, selector: str) -> Locator:
        return self.page.locator(f"support-chat {selector}")

    @property
    def launcher(self) -> Locator:
        return self.find(".launcher")

    @property
    def panel(self) -> Locator:
        return self.find(".panel")

    @property
    def field(self) -> Locator:
        return self.find("textarea")

    @property
    def rows(self) -> Locator:
        return self.find(".row .text")

    @property
    def streaming(self) -> Locator:
        return self.find(".row[data-state=streaming] .text")

    @property
    def answers(self) -> Locator:
        """The finished answers, without the greeting."""
        return self.find(".row[data-role=assistant]:has(time:not(:empty)) .text")

    @property
    def banner(self) -> Locator:
        return self.find(".banner")

    def open(self) -> "Chat":
        self.launcher.click()
        expect(self.panel).to_be_visible()
        return self

    def say(self, text: str) -> None:
        self.field.fill(text)
        self.field.press("Enter")

    def ask(self, text: str) -> str:
        """Say something; return the finished answer."""
        before = self.answers.count()
        self.say(text)
        expect(self.answers).to_have_count(before + 1)
        return str(self.answers.last.inner_text())

    def transcript(self) -> list[str]:
        return list(self.rows.all_inner_texts())

    def announced(self) -> str:
        return " ".join(self.find("[aria-live=polite] p").all_inner_texts())
