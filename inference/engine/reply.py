"""One request's reply inside the engine: its tokens are chosen, then become text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import Segment
from inference.engine.config import EngineConfig
from inference.engine.detokenizer import Detokenizer
from inference.engine.marks import AFTER_MARK, mark_messages
from inference.engine.quoter import QuotePolicy, Quoter, Source
from inference.engine.reasoning import Reasoning
from inference.engine.runner import Grammar, Runner
from inference.engine.sampler import NotANumber, Sampler
from inference.errors import InvalidResponse, RequestRejected
from inference.types import ChatMessage, CompletionRequest, Quotable


@dataclass(slots=True)
class Reply:
    """What chooses the tokens of one reply, and what makes text of them.

    A grammar holds for the answer, not for what is thought before it. `tag_tokens` are
    the bytes of reasoning tags that are single tokens, which may be special ones.
    """

    sampler: Sampler
    detokenizer: Detokenizer
    reasoning: Reasoning
    tag_tokens: Mapping[int, bytes]
    quoter: Quoter | None = None
    grammar: Grammar | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether the text has ended, whatever the model would go on to."""
        is_quoted = self.quoter is not None and self.quoter.is_done
        return is_quoted or self.detokenizer.is_stopped

    @property
    def expected(self) -> tuple[int, ...]:
        """Return the tokens that must follow, none where there is a choice."""
        return () if self.quoter is None else self.quoter.expected()

    def choose(self, logits: NDArray[np.float32], tokens: Sequence[int]) -> int:
        """Return the token that follows `tokens`, by the logits behind them.

        Raises InvalidResponse when the logits are no numbers, RequestRejected when the
        grammar leaves no token.
        """
        if self.quoter is not None:
            logits = self.quoter.restrict(logits)
        logits = self.sampler.penalise(logits, tokens)
        try:
            token = self.sampler.choose(logits)
        except NotANumber as error:
            raise InvalidResponse(f"the model is broken: {error}") from error
        grammar = self.grammar
        if grammar is None or self.reasoning.is_open or grammar.allows(token):
            return token
        try:
            return self.sampler.choose(grammar.mask(logits))
        except NotANumber as error:
            reason = "no token of this model continues the grammar"
            raise RequestRejected(reason) from error

    def take(self, token: int, piece: bytes) -> str:
        """Note the token that was chosen; return the text that became certain."""
        if self.grammar is not None and not self.reasoning.is_open:
            self.grammar.accept(token)
        piece = self.tag_tokens.get(token, piece)
        if self.quoter is not None:
            piece = self.quoter.take(token, piece)
        return self.detokenizer.push(piece)

    def finish(self) -> str:
        """Return the text that was held back, now that no token follows."""
        return self.detokenizer.finish()

    def close(self) -> None:
        """Free what the reply holds; nothing else may be called after it."""
        if self.grammar is not None:
            self.grammar.close()


class ReplyBuilder:
    """Makes prompts and replies of requests, for one model."""

    def __init__(self, runner: Runner, config: EngineConfig) -> None:
        self._runner = runner
        self._config = config
        self._num_opening = len(runner.tokenize([]))
        self._tag_tokens = self._find_tag_tokens()

    def build(self, request: CompletionRequest) -> tuple[list[int], Reply]:
        """Return a request's prompt as tokens, and its reply yet to be written.

        Raises RequestRejected when it can never be answered.
        """
        messages, marked = self._mark(request)
        try:
            segments = self._runner.template.render(messages)
            prompt = self._runner.tokenize(segments)
            quoter = self._build_quoter(marked)
        except UnicodeEncodeError as error:
            raise RequestRejected(f"not valid text: {error.reason}") from error
        grammar = (
            self._runner.build_grammar(request) if request.is_constrained else None
        )
        tags = self._runner.template.reasoning_tags
        reasoning = Reasoning(tags, self._find_open(segments), grammar is None)
        stop = (*request.stop, *self._runner.template.markers)
        reply = Reply(
            sampler=Sampler(request.choose_sampling(self._config.sampling)),
            detokenizer=Detokenizer(stop, reasoning),
            reasoning=reasoning,
            tag_tokens=self._tag_tokens,
            quoter=quoter,
            grammar=grammar,
        )
        return prompt, reply

    def _mark(
        self, request: CompletionRequest
    ) -> tuple[tuple[ChatMessage, ...], dict[str, Quotable]]:
        """Return the messages as the model reads them, and what the marks mean."""
        can_quote = self._config.quotes and not request.is_constrained
        if not can_quote or not request.quotable:
            return request.messages, {}
        return mark_messages(request.messages, request.quotable)

    def _build_quoter(self, marked: Mapping[str, Quotable]) -> Quoter | None:
        """Return what keeps a reply to its sources, None where there are none."""
        if not marked:
            return None
        sources = []
        for mark, item in marked.items():
            label = f"{mark}{AFTER_MARK}"
            num_silent = len(self._tokenize_text(label))
            tokens = self._tokenize_text(f"{label} {item.text}")
            sources.append(Source(tuple(tokens), num_silent, item.weight))
        policy = QuotePolicy(
            self._config.quote_lean,
            self._config.quote_doubt,
            self._config.quote_also_from,
        )
        return Quoter(sources, self._tokenize_text("\n")[-1], policy)

    def _find_open(self, segments: Sequence[Segment]) -> str | None:
        """Return the closing tag of the section that a prompt ends in, if any."""
        ending = segments[-1].text if segments and segments[-1].is_markup else ""
        for opening, closing in self._runner.template.reasoning_tags:
            if ending.rfind(opening) > ending.rfind(closing):
                return closing
        return None

    def _find_tag_tokens(self) -> dict[int, bytes]:
        found = {}
        for tags in self._runner.template.reasoning_tags:
            for tag in tags:
                tokens = self._tokenize_text(tag, is_markup=True)
                if len(tokens) == 1:
                    found[tokens[0]] = tag.encode()
        return found

    def _tokenize_text(self, text: str, is_markup: bool = False) -> list[int]:
        """Return tokens of text inside a prompt, without those that begin one."""
        tokens = self._runner.tokenize([Segment(text, is_markup)])
        return tokens[self._num_opening :]
