"""Keeps what a model thinks before it answers out of its reply.

    <think>Two days, says passage 1.</think>

    It takes two days.

A section stands at the beginning of a reply, where its opening tag may already be
the prompt's last word; the same tag in the middle of a reply is text. Several
sections may follow each other.
"""

from collections.abc import Iterable
from enum import Enum, auto

Tags = tuple[str, str]

THINK: Tags = ("<think>", "</think>")

# The pairs that models in use write; a template names those of its own.
KNOWN_TAGS: tuple[Tags, ...] = (
    THINK,
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
)


class _Phase(Enum):
    BEFORE = auto()  # nothing but space, or a tag that has begun
    INSIDE = auto()
    ANSWERING = auto()


class Reasoning:
    """Watches the text of one reply. `num_tokens` counts those of sections, with tags.

    `closing` is the tag that ends a section which the prompt has opened. Without
    `keeps_rest`, what stands behind a closing tag in the same token is dropped.
    """

    def __init__(
        self,
        tags: Iterable[Tags],
        closing: str | None = None,
        keeps_rest: bool = True,
    ) -> None:
        self._tags = tuple(tags)
        self._closing = closing or ""
        self._keeps_rest = keeps_rest
        self._phase = _Phase.INSIDE if closing else _Phase.BEFORE
        self._had_section = bool(closing)
        self._held = ""
        self._num_held_tokens = 0
        self.num_tokens = 0

    @property
    def is_open(self) -> bool:
        """Return whether what comes next belongs to a section."""
        return self._phase is _Phase.INSIDE

    @property
    def _is_answering(self) -> bool:
        return self._phase is _Phase.ANSWERING

    def take(self, text: str) -> str:
        """Return what a token's text adds to the reply; once for each token."""
        self._num_held_tokens += 1
        if self._is_answering:
            return text
        self._held += text
        while self._advance():
            pass
        return self._release() if self._is_answering else ""

    def finish(self) -> str:
        """Return what was held back, now that no token follows."""
        return "" if self.is_open else self._release()

    def _advance(self) -> bool:
        """Go on to the next phase if the held text says so; return whether it did."""
        match self._phase:
            case _Phase.BEFORE:
                return self._open_or_answer()
            case _Phase.INSIDE:
                return self._close()
            case _Phase.ANSWERING:
                return False

    def _open_or_answer(self) -> bool:
        begun = self._held.lstrip()
        for opening, closing in self._tags:
            if begun.startswith(opening):
                self._held = begun[len(opening) :]
                self._closing = closing
                self._phase = _Phase.INSIDE
                self._had_section = True
                return True
        if any(opening.startswith(begun) for opening, _ in self._tags):
            return False
        self._phase = _Phase.ANSWERING
        return True

    def _close(self) -> bool:
        self.num_tokens += self._num_held_tokens
        self._num_held_tokens = 0
        _, closing, rest = self._held.partition(self._closing)
        if not closing:
            self._held = self._held[-len(self._closing) :]
            return False
        self._held = rest if self._keeps_rest else ""
        self._phase = _Phase.BEFORE
        return True

    def _release(self) -> str:
        text, self._held = self._held, ""
        return text.lstrip() if self._had_section else text
