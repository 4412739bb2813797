"""Turns a message's text into HTML that is safe in any page."""

import nh3
from django.utils.html import escape
from markdown_it import MarkdownIt

from support.models import Message, Role

_TAGS = {
    "p", "br", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "a", "h3", "h4", "hr", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_ATTRIBUTES = {"a": {"href"}, "ol": {"start"}}
_markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)


def render_markdown(text: str) -> str:
    """Return sanitised HTML of Markdown; no raw HTML, images, styles or scripts."""
    return nh3.clean(
        _markdown.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer nofollow ugc",
    )


def render_html(message: Message) -> str:
    """Return the HTML of a message: Markdown for ours, plain text for a visitor's."""
    if message.role == Role.USER:
        return "<p>" + escape(message.content).replace("\n", "<br>") + "</p>"
    return render_markdown(message.content)
