"""The Markdown of articles: one parser, rendered and sanitised in one place."""

import re
import unicodedata
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

# html=False shows tags as text; nh3 stands behind it should a rule ever let one pass.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")

_TAGS = {
    *("a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6"),
    *("hr", "img", "li", "ol", "p", "pre", "strong"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    **{f"h{level}": {"id"} for level in range(1, 7)},
}


def parse_markdown(body: str) -> list[Token]:
    """Return the block tokens; headings carry their anchor in the attribute `id`.

    Anchors are unique within `body`: the second "Prices" is `prices-2`.
    """
    tokens = _PARSER.parse(body)
    used: set[str] = set()
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(plain_text(following), used))
    return tokens


def render_markdown(body: str) -> str:
    """Return sanitised HTML, with an `id` on each heading."""
    html = _PARSER.renderer.render(parse_markdown(body), _PARSER.options, {})
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer nofollow",
    )


def plain_text(inline: Token) -> str:
    """Return the text of an inline token, without marks; line breaks are spaces."""
    parts = []
    for child in inline.children or []:
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        else:
            parts.append(child.content)
    return " ".join("".join(parts).split())


def _anchor(heading: str, used: set[str]) -> str:
    letters = unicodedata.normalize("NFKC", heading).lower()
    stem = re.sub(r"[^\w]+", "-", letters).strip("-")[:200] or "section"
    anchor, count = stem, 1
    while anchor in used:
        count += 1
        anchor = f"{stem}-{count}"
    used.add(anchor)
    return anchor
