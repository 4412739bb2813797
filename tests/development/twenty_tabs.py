"""Twenty visitors in twenty browser contexts ask at once: who waits how long.

    python -m tests.development.twenty_tabs http://localhost:8000 [--database FILE]

Each asks with a word of its own in the question and must get one whole answer; no
page may show another one's word. Prints the seconds to the first text and to the end,
and, given the server's SQLite file, tokens and calls from its ledger. The server wants
SESSIONS_PER_HOUR=1000 and MESSAGES_PER_MINUTE=1000. Exits with 1 if a promise broke.
"""

import argparse
import os
import shutil
import sqlite3
import statistics
import sys
from contextlib import closing
from datetime import UTC, datetime

from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUESTION = "How long do I have to return something? My name is {nonce}."
# letters only, and all of one length: none is a part of another
NONCES = [f"Tab{a}{b}qx" for a in "bdfgk" for b in "aeio"]

ANSWER = ".row[data-role=assistant]:has(time:not(:empty)) .text"
# What the page notes by itself; asking twenty pages in turn would measure the asking.
WATCH = """(done) => {
    const root = document.querySelector("support-chat");
    const scope = root.shadowRoot || root;
    const growing = ".row[data-state=streaming] .text";
    const before = scope.querySelectorAll(done).length;
    window.seen = {};
    const look = () => {
        const text = scope.querySelector(growing)?.textContent;
        const answers = scope.querySelectorAll(done);
        if ((text || answers.length > before) && !window.seen.first)
            window.seen.first = Date.now();
        if (answers.length > before && !window.seen.end) {
            window.seen.end = Date.now();
            window.seen.answer = answers[answers.length - 1].innerText;
        }
    };
    new MutationObserver(look).observe(
        scope, {subtree: true, childList: true, characterData: true, attributes: true});
}"""

SEND = """(at) => {
    const chat = document.querySelector("support-chat");
    const form = (chat.shadowRoot || chat).querySelector("form.composer");
    setTimeout(() => {
        window.seen.asked = Date.now();
        form.requestSubmit();
    }, at - Date.now());
}"""


def open_tab(browser: Browser, url: str, wait_s: float) -> Page:
    """Return a page of a new visitor with the chat open and watched."""
    context = browser.new_context(locale="en-GB")
    context.set_default_timeout(wait_s * 1000)
    page = context.new_page()
    page.goto(url)
    page.locator("support-chat .launcher").click()
    page.locator("support-chat textarea").wait_for()
    page.evaluate(WATCH, ANSWER)
    return page


def ask_at_once(pages: list[Page], pause_s: float) -> None:
    """Fill in all questions; all pages send theirs at one time, after the pause."""
    for page, nonce in zip(pages, NONCES, strict=False):
        page.locator("support-chat textarea").fill(QUESTION.format(nonce=nonce))
    at_ms = datetime.now(UTC).timestamp() * 1000 + pause_s * 1000
    for page in pages:
        page.evaluate(SEND, at_ms)


def find_faults(pages: list[Page]) -> list[str]:
    """Return what is wrong on the pages: another one's word, or an apology."""
    faults = []
    for page, nonce in zip(pages, NONCES, strict=False):
        text = " ".join(page.locator("support-chat .row .text").all_inner_texts())
        others = [other for other in NONCES if other != nonce and other in text]
        if nonce not in text:
            faults.append(f"{nonce}: its own question is gone")
        if others:
            faults.append(f"{nonce}: shows {others}")
        if "could not answer this just now" in text:
            faults.append(f"{nonce}: an apology")
    return faults


def read_ledger(path: str, since: datetime) -> str:
    """Return a line about the calls since then."""
    with closing(sqlite3.connect(path)) as database:
        calls, tokens, seconds, first, queue = database.execute(
            "SELECT count(*), sum(completion_tokens),"
            " (julianday(max(finished_at)) - julianday(min(started_at))) * 86400,"
            " avg(ttft_ms), avg(queue_ms) FROM support_attempt"
            " WHERE outcome = 'completed' AND started_at >= ?",
            [since.replace(tzinfo=None).isoformat(" ")],
        ).fetchone()
    if not calls or not seconds:
        return "ledger: no completed calls"
    return (
        f"ledger: {calls} calls, {tokens} tokens in {seconds:.2f} s,"
        f" {tokens / seconds:.0f} tokens/s, mean first token {first:.0f} ms,"
        f" mean queue {queue:.0f} ms"
    )


def describe(name: str, seconds: list[float]) -> str:
    return (
        f"{name}: fastest {min(seconds):.2f} s, median"
        f" {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--tabs", type=int, default=20, choices=range(1, 21))
    parser.add_argument("--database", help="the server's SQLite file")
    parser.add_argument("--pause-s", type=float, default=3, help="before all ask")
    parser.add_argument("--wait-s", type=float, default=120)
    arguments = parser.parse_args()
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        pages = [
            open_tab(browser, arguments.url, arguments.wait_s)
            for _ in range(arguments.tabs)
        ]
        since = datetime.now(UTC)
        ask_at_once(pages, arguments.pause_s)
        for page in pages:
            page.locator(f"support-chat {ANSWER}").first.wait_for()
        seen = [page.evaluate("seen") for page in pages]
        faults = find_faults(pages)
        browser.close()
    elapsed_s = (max(s["end"] for s in seen) - min(s["asked"] for s in seen)) / 1000
    sys.stdout.write(f"{len(seen)} of {arguments.tabs} answered in {elapsed_s:.2f} s\n")
    for name, key in (("first text", "first"), ("whole answer", "end")):
        seconds = [(one[key] - one["asked"]) / 1000 for one in seen]
        sys.stdout.write(describe(name, seconds) + "\n")
    if arguments.database:
        sys.stdout.write(read_ledger(arguments.database, since) + "\n")
    words = sum(len(one["answer"].split()) for one in seen)
    spread_ms = max(one["asked"] for one in seen) - min(one["asked"] for one in seen)
    sys.stdout.write(f"{words} words; asked within {spread_ms} ms of each other\n")
    sys.stdout.write("".join(f"FAULT {fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
