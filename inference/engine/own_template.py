"""Runs the chat template that a GGUF carries: a Jinja program in a sandbox.

Such a program returns one string in which text and markup look alike. So it never
sees what people wrote: it is given unguessable place-holders, and its output is cut
at them into markup, which is the model's, and text, which is people's. Space around a
text stays, so that a program that strips it does; what a program looks for inside a
text it does not find.

The program is a stranger's. The sandbox keeps it from our objects, a leash bounds its
lines, and the operations that make much of little are bounded or taken away.
"""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inference.engine.chat_template import (
    TEMPLATES,
    Segment,
    Template,
    find_template,
    fold_system,
    join_markup,
)
from inference.engine.leash import LeashEnded, leash
from inference.engine.reasoning import KNOWN_TAGS, THINK, Tags
from inference.errors import ModelError, RequestRejected
from inference.types import ChatMessage

logger = logging.getLogger(__name__)

MAX_PROGRAM_CHARACTERS = 131_072
MAX_MARKUP_CHARACTERS = 131_072
MAX_LINES = 200_000

# What a program raises that does not like its values, or that was stopped.
_PROGRAM_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    LeashEnded,
)

_MARKER = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<\uff5c[^\uff5c<>]{1,40}\uff5c>|<\w+_of_turn>|\[/INST\]"
)

# A program has to write all of this, in whatever shape, to be used at all.
_PROBE = (
    ChatMessage("system", "Be kind."),
    ChatMessage("user", " Hello?\n"),
    ChatMessage("assistant", "Hi!"),
    ChatMessage("user", "Tents?"),
)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """What a program may ask about the vocabulary.

    `is_bos_added` when prompts begin with `bos` in any case. `is_special` tells whether
    a text is one special token.
    """

    bos: str
    eos: str
    is_bos_added: bool
    is_special: Callable[[str], bool]


class OwnTemplate:
    """The template of a model file; raises ModelError if it cannot be used.

    A conversation that the program refuses, or of which it leaves something out, is
    given another shape: one system text, turns that alternate, at last no system text
    but a longer first question. Threads may share it.
    """

    name = "own"

    def __init__(
        self,
        program: str,
        specials: SpecialTokens,
        thinking: bool = False,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._specials = specials
        self._thinking = thinking
        self._clock = clock
        self._program = _compile(program)
        named = [tags for tags in KNOWN_TAGS if tags != THINK and tags[1] in program]
        self.reasoning_tags: tuple[Tags, ...] = (THINK, *named)
        tags = {tag for pair in self.reasoning_tags for tag in pair}
        found = [m for m in dict.fromkeys(_MARKER.findall(program)) if m not in tags]
        self.markers = tuple(filter(specials.is_special, found))
        try:
            self.render(_PROBE)
        except RequestRejected as error:
            raise ModelError(
                f"the model's chat template cannot be used: {error}"
            ) from error

    def render(self, messages: Iterable[ChatMessage]) -> list[Segment]:
        """Return the conversation up to where the assistant's next words begin.

        Raises RequestRejected if the program writes it in no shape.
        """
        reasons = []
        for shape in _shapes(list(messages)):
            try:
                return self._render(shape)
            except _PROGRAM_ERRORS as error:
                reasons.append(str(error) or type(error).__name__)
        raise RequestRejected(f"the chat template refuses this: {reasons[-1]}")

    def _render(self, messages: list[ChatMessage]) -> list[Segment]:
        holders = _Holders(messages)
        written = self._run(holders.messages)
        bos = self._specials.bos
        if self._specials.is_bos_added and bos:
            written = written.removeprefix(bos)
        return holders.cut(written)

    def _run(self, messages: list[dict[str, str]]) -> str:
        """Return what the program writes; raises one of its errors."""
        size, parts = 0, []
        values = {
            "messages": messages,
            "add_generation_prompt": True,
            "bos_token": self._specials.bos,
            "eos_token": self._specials.eos,
            "enable_thinking": self._thinking,
            "thinking": self._thinking,
            "tools": None,
            "documents": None,
            "raise_exception": _raise_exception,
            "strftime_now": lambda form: self._clock().strftime(form),
        }
        with leash(MAX_LINES):
            for part in self._program.generate(values):
                size += len(part)
                if size > MAX_MARKUP_CHARACTERS:
                    raise SecurityError("it writes without end")
                parts.append(part)
        return "".join(parts)


def choose_template(
    name: str | None, program: str | None, specials: SpecialTokens, thinking: bool
) -> Template:
    """Return the template called `name`, or the model's own.

    One of ours goes before a program that writes the same, and comes in where the
    program cannot be used. Raises ModelError when nothing is left.
    """
    if name is not None or not program:
        return find_template(name, program)
    try:
        own = OwnTemplate(program, specials, thinking)
    except ModelError as error:
        logger.warning("%s; one of ours is used", error)
        return find_template(None, program)
    return next((ours for ours in TEMPLATES.values() if _write_same(own, ours)), own)


def _write_same(own: OwnTemplate, ours: Template) -> bool:
    """Return whether two templates write the same, with and without a system text."""
    for conversation in (_PROBE, _PROBE[1:]):
        try:
            theirs = own.render(conversation)
        except RequestRejected:
            return False
        if _join(theirs) != _join(ours.render(conversation)):
            return False
    return own.reasoning_tags == ours.reasoning_tags


def _join(segments: Iterable[Segment]) -> str:
    return "".join(segment.text for segment in segments)


class _Holders:
    """Place-holders for the texts of a conversation; space around a text stays.

    `messages` is what a program is shown.
    """

    def __init__(self, messages: list[ChatMessage]) -> None:
        self._secret = secrets.token_hex(16)
        self._texts = [message.content for message in messages]
        self.messages = [
            {"role": message.role, "content": self._hold(number, message.content)}
            for number, message in enumerate(messages)
        ]

    def cut(self, written: str) -> list[Segment]:
        """Return what a program wrote, with the texts in their places.

        Raises ValueError unless it wrote each place-holder once.
        """
        parts = re.split(f"x{self._secret}n([0-9]+)x", written)
        numbers = [int(number) for number in parts[1::2]]
        if sorted(numbers) != list(range(len(self._texts))):
            raise ValueError(f"it writes texts {numbers} of {len(self._texts)}")
        segments = [Segment(parts[0], is_markup=True)]
        for number, after in zip(numbers, parts[2::2], strict=True):
            lead, text, trail = _split_space(self._texts[number])
            before = segments.pop().text
            if before.endswith(lead):
                before, text = before[: len(before) - len(lead)], lead + text
            if after.startswith(trail):
                text, after = text + trail, after[len(trail) :]
            segments += [
                Segment(before, is_markup=True),
                Segment(text, is_markup=False),
                Segment(after, is_markup=True),
            ]
        return join_markup(segments)

    def _hold(self, number: int, text: str) -> str:
        lead, _, trail = _split_space(text)
        return f"{lead}x{self._secret}n{number}x{trail}"


def _split_space(text: str) -> tuple[str, str, str]:
    """Return the space before a text, the text, and the space behind it."""
    begun = text.lstrip()
    core = begun.rstrip()
    return text[: len(text) - len(begun)], core, begun[len(core) :]


def _shapes(messages: list[ChatMessage]) -> Iterator[list[ChatMessage]]:
    """Yield a conversation as it is, then in shapes that more programs accept."""
    yield messages
    systems = [message.content for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    first = [ChatMessage("system", "\n\n".join(systems))] if systems else []
    yield [*first, *_alternate(turns)]
    yield _alternate(fold_system([*first, *turns]))


def _alternate(turns: list[ChatMessage]) -> list[ChatMessage]:
    """Return turns with neighbours of one role as one, beginning with a user's."""
    joined: list[ChatMessage] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role:
            turn = ChatMessage(turn.role, f"{joined.pop().content}\n\n{turn.content}")
        joined.append(turn)
    if joined and joined[0].role != "user":
        joined.insert(0, ChatMessage("user", ""))
    return joined


class _GenerationTag(Extension):
    """Passes over `{% generation %}`, which marks what a model is trained on."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[Node]:
        """Return what stands between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja as transformers sets it up, without what makes much of little."""

    intercepted_binops = frozenset({"*", "**", "%"})
    _padding: ClassVar[set[str]] = {
        "center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill"
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_GenerationTag, loopcontrols],
        )
        self.filters["tojson"] = _to_json
        for name in ("center", "format", "indent", "urlize", "wordwrap", "xmlattr"):
            del self.filters[name]
        del self.globals["lipsum"]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Return whether a program may use an attribute."""
        if isinstance(obj, str) and attr in self._padding:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Return no stand-in for `str.format`, so that it is an unsafe attribute."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return a product; raises SecurityError unless of two small numbers."""
        numbers = [value for value in (left, right) if isinstance(value, int | float)]
        limit = 8 if operator == "**" else 1_000_000
        if len(numbers) < 2 or any(abs(number) > limit for number in numbers):
            raise SecurityError(f"{operator} is for small numbers")
        return super().call_binop(context, operator, left, right)


def _compile(program: str) -> jinja2.Template:
    if len(program) > MAX_PROGRAM_CHARACTERS:
        raise ModelError("the model's chat template is too long")
    try:
        return _Sandbox().from_string(program)
    except _PROGRAM_ERRORS as error:
        raise ModelError(
            f"the model's chat template cannot be read: {error}"
        ) from error


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=min(indent or 0, 8) or None)
