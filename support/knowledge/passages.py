"""Articles are cut into the passages that a prompt can hold."""

from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it.token import Token

from support.knowledge.markdown import parse_markdown, plain_text
from support.knowledge.sentences import CLOSING_MARKS, split_sentences
from support.models.article import PASSAGE_CHARACTERS

_HEADING_CHARACTERS = 200
_SENTENCE_ENDS = ".!?…:;,。！？"  # noqa: RUF001 - full-width marks are meant


@dataclass(frozen=True)
class CutPassage:
    """One passage as it is cut, before it is a row."""

    heading: str
    anchor: str
    text: str


@dataclass(frozen=True)
class _Section:
    heading: str
    anchor: str
    blocks: list[str]


def cut_passages(body: str) -> list[CutPassage]:
    """Return the passages of a Markdown text, in order.

    A section is one passage. A longer one is cut between sentences into parts of at
    most PASSAGE_CHARACTERS that are about equally long. Marks are removed; items and
    table rows become sentences of their own. Sections without text are left out.
    """
    passages = []
    for section in _sections(parse_markdown(body)):
        for text in _pack(split_sentences(" ".join(section.blocks))):
            passages.append(CutPassage(section.heading, section.anchor, text))
    return passages


def _sections(tokens: list[Token]) -> Iterator[_Section]:
    section = _Section("", "", [])
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            yield section
            heading = plain_text(tokens[index + 1])[:_HEADING_CHARACTERS]
            section = _Section(heading, str(token.attrGet("id") or ""), [])
        elif token.type == "tr_open":
            row = _row(tokens, index)
            section.blocks.append(_as_sentence(row))
        elif _is_text(tokens, index):
            text = token.content if token.type != "inline" else plain_text(token)
            section.blocks.append(_as_sentence(" ".join(text.split())))
    yield section


def _is_text(tokens: list[Token], index: int) -> bool:
    """Return whether the token is text of a block: headings and cells are not."""
    if tokens[index].type in ("fence", "code_block"):
        return bool(tokens[index].content.strip())
    if tokens[index].type != "inline" or not tokens[index].content.strip():
        return False
    return tokens[index - 1].type not in ("heading_open", "th_open", "td_open")


def _row(tokens: list[Token], start: int) -> str:
    """Return the cells of the table row that opens at `start`, as one sentence."""
    cells = []
    for token in tokens[start:]:
        if token.type == "tr_close":
            break
        if token.type == "inline":
            cells.append(plain_text(token))
    return ", ".join(cell for cell in cells if cell)


def _as_sentence(text: str) -> str:
    ends = text.rstrip(CLOSING_MARKS)[-1:]
    return text if not text or ends in _SENTENCE_ENDS else f"{text}."


def _pack(sentences: list[str]) -> Iterator[str]:
    """Yield texts of whole sentences, each within the limit and about equally long."""
    pieces = [piece for sentence in sentences for piece in _cut_long(sentence)]
    total = sum(len(piece) + 1 for piece in pieces)
    num_parts = -(-total // PASSAGE_CHARACTERS)
    target = total / num_parts if num_parts else 0
    text = ""
    for piece in pieces:
        joined = f"{text} {piece}".strip()
        is_full = len(joined) > PASSAGE_CHARACTERS or len(text) + 1 >= target
        if text and is_full:
            yield text
            joined = piece
        text = joined
    if text:
        yield text


def _cut_long(sentence: str) -> Iterator[str]:
    """Yield the sentence, cut between words where it is longer than a passage."""
    while len(sentence) > PASSAGE_CHARACTERS:
        space = sentence.rfind(" ", 0, PASSAGE_CHARACTERS + 1)
        end = space if space > 0 else PASSAGE_CHARACTERS
        yield sentence[:end].rstrip()
        sentence = sentence[end:].lstrip()
    yield sentence
