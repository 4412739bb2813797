"""How a model wants a conversation written down.

A prompt is a list of segments. Only markup, which is ours, is tokenized with the
special tokens switched on; what people wrote is plain text, so `<|im_end|>` in a
message ends nothing.

These are templates of our own for common families of models. A GGUF carries its
template as a program, which own_template.py runs; ours are for files without one,
with one that cannot be used, or that writes the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from inference.engine.reasoning import THINK, Tags
from inference.errors import ModelError
from inference.types import ChatMessage, Role


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt: `is_markup` if special tokens are to be recognised."""

    text: str
    is_markup: bool


class Template(Protocol):
    """What writes a conversation down as a model wants it.

    Text that looks like one of the `markers` ends a reply, for models that spell their
    special tokens out. `reasoning_tags` are what the model thinks between.
    """

    @property
    def name(self) -> str:
        """The word by which logs name it."""

    @property
    def markers(self) -> tuple[str, ...]:
        """Its special tokens."""

    @property
    def reasoning_tags(self) -> tuple[Tags, ...]:
        """Opening and closing tags of reasoning sections."""

    def render(self, messages: Iterable[ChatMessage]) -> list[Segment]:
        """Return the conversation up to where the assistant's next words begin."""


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """The markup of one family of models.

    `header` contains `{role}`. `markers` are the special tokens it relies on; a model
    without them cannot use it. Their text also ends a reply, for models that spell
    it out. `roles` gives the model's words for ours; a family without a word for the
    system gets its text before the first user message.
    """

    name: str
    header: str
    footer: str
    markers: tuple[str, ...]
    roles: dict[Role, str]
    strips_content: bool = False
    reasoning_tags: tuple[Tags, ...] = (THINK,)

    def render(self, messages: Iterable[ChatMessage]) -> list[Segment]:
        """Return the conversation up to where the assistant's next words begin."""
        segments = []
        for message in self._shape(list(messages)):
            content = message.content
            if self.strips_content:
                content = content.strip()
            segments.append(self._build_header(message.role))
            segments.append(Segment(content, is_markup=False))
            segments.append(Segment(self.footer, is_markup=True))
        segments.append(self._build_header("assistant"))
        return join_markup(segments)

    def _build_header(self, role: Role) -> Segment:
        header = self.header.format(role=self.roles[role])
        return Segment(header, is_markup=True)

    def _shape(self, messages: list[ChatMessage]) -> list[ChatMessage]:
        return messages if "system" in self.roles else fold_system(messages)


def fold_system(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Return messages with the system's text before the first user message."""
    system = "\n\n".join(m.content for m in messages if m.role == "system")
    others = [message for message in messages if message.role != "system"]
    if not system:
        return others
    if not others or others[0].role != "user":
        return [ChatMessage("user", system), *others]
    first = ChatMessage("user", f"{system}\n\n{others[0].content}")
    return [first, *others[1:]]


_OUR_ROLES: dict[Role, str] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}

CHATML = ChatTemplate(
    name="chatml",
    header="<|im_start|>{role}\n",
    footer="<|im_end|>\n",
    markers=("<|im_start|>", "<|im_end|>"),
    roles=_OUR_ROLES,
)

LLAMA_3 = ChatTemplate(
    name="llama-3",
    header="<|start_header_id|>{role}<|end_header_id|>\n\n",
    footer="<|eot_id|>",
    markers=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    roles=_OUR_ROLES,
    strips_content=True,
)

GEMMA = ChatTemplate(
    name="gemma",
    header="<start_of_turn>{role}\n",
    footer="<end_of_turn>\n",
    markers=("<start_of_turn>", "<end_of_turn>"),
    roles={"user": "user", "assistant": "model"},
    strips_content=True,
)

TEMPLATES = {template.name: template for template in (CHATML, LLAMA_3, GEMMA)}


def find_template(name: str | None, program: str | None) -> ChatTemplate:
    """Return the template called `name`, or the one that the model's program writes.

    Raises ModelError when neither leads anywhere.
    """
    known = ", ".join(TEMPLATES)
    if name is not None:
        if name not in TEMPLATES:
            raise ModelError(f"no chat template is called {name!r}; known: {known}")
        return TEMPLATES[name]
    if not program:
        raise ModelError(f"the model names no chat template; choose one of: {known}")
    for template in TEMPLATES.values():
        if template.markers[0] in program:
            return template
    raise ModelError(f"the model's chat template is not one of: {known}")


def join_markup(segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments with neighbouring markup in one, so that it merges as one."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and joined[-1].is_markup and segment.is_markup:
            joined[-1] = Segment(joined[-1].text + segment.text, is_markup=True)
        elif segment.text:
            joined.append(segment)
    return joined
