"""Our own pages, and the widget on somebody else's, under a strict policy."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, expect

from tests.system.server import Server

POLICY = (
    "default-src 'none'; script-src {server}; connect-src {server} {socket}; "
    "require-trusted-types-for 'script'; trusted-types support-chat"
)


@pytest.fixture
def other_website(server):
    """Serve a page of another origin that carries the widget; return its address."""
    script = f'<script async src="{server.url}/widget.js" data-site="demo"></script>'
    page = f"<!doctype html><title>Other</title><h1>Other</h1>{script}"
    policy = POLICY.format(server=server.url, socket=server.url.replace("http", "ws"))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    website = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=website.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{website.server_port}"
    website.shutdown()
    website.server_close()


def allow(server: Server, origin: str) -> None:
    server.query(f"Site.objects.update(allowed_origins={origin!r})")


def test_works_on_another_website_under_a_strict_policy(
    server, script, open_chat, other_website
):
    allow(server, other_website)
    script("say **Hello** from afar.")
    chat = open_chat(other_website).open()
    assert chat.ask("Hello?") == "Hello from afar."
    expect(chat.answers.locator("strong")).to_have_text("Hello")


def test_stays_away_from_a_website_that_is_not_allowed(
    server: Server, browser: Browser, other_website: str
) -> None:
    allow(server, "")
    page = browser.new_page()
    with page.expect_response("**/widget/config*") as response:
        page.goto(other_website)
    page.wait_for_timeout(300)
    assert response.value.status == 403
    assert page.locator("support-chat").count() == 0
    page.close()


@pytest.mark.parametrize(
    "path", ["/", "/help/", "/help/repairs/", "/help/?q=tent+poles", "/admin/login/"]
)
def test_pages_load_without_an_error(open_chat, path):
    chat = open_chat(path)
    chat.page.wait_for_load_state("networkidle")
    assert chat.page.locator("h1, #site-name").first.is_visible()


def test_search_finds_the_section(open_chat):
    page = open_chat("/help/").page
    page.get_by_role("searchbox").fill("what does a new zip cost?")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".result").first).to_contain_text("zip $38")
    page.locator(".result a").first.click()
    expect(page.locator("h1")).to_have_text("Repairs")


def test_search_says_when_there_is_nothing(open_chat):
    page = open_chat("/help/?q=%3Cb%3Exylophone%3C/b%3E").page
    expect(page.locator("h1")).to_contain_text("Nothing found for “<b>xylophone</b>”")


def test_an_unknown_page_leads_back(open_chat):
    chat = open_chat("/help/no-such-article/")
    expect(chat.page.locator("h1")).to_have_text("This path ends here")
    chat.problems.clear()  # the browser reports the 404 itself
