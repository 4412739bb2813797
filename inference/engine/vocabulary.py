"""A model's tokens and the text they stand for; part of the binding."""

import ctypes
from collections.abc import Iterable

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from inference.engine.chat_template import Segment

# What is no word of a language: markers, and tokens that their publisher added.
_SPECIAL = (
    llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
    | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
)


class Vocabulary:
    """The tokens of a loaded model."""

    def __init__(self, model: llama_cpp.llama_model_p) -> None:
        self.pointer = llama_cpp.llama_model_get_vocab(model)
        self.num_tokens = int(llama_cpp.llama_vocab_n_tokens(self.pointer))
        self.is_bos_added = bool(llama_cpp.llama_vocab_get_add_bos(self.pointer))
        self.bos = self._name(llama_cpp.llama_vocab_bos(self.pointer))
        self.eos = self._name(llama_cpp.llama_vocab_eos(self.pointer))
        self._pieces: dict[int, bytes] = {}
        self._silent: NDArray[np.bool_] | None = None
        # Older tokenizers (SentencePiece) put a space before every piece of text that
        # they are given: right at the beginning of a text, wrong in its middle.
        self._adds_space = self._join(self._tokenize("a", False)).startswith(b" ")

    def tokenize(self, segments: Iterable[Segment]) -> list[int]:
        """Return the tokens of a prompt: those that it would have in one piece.

        But for special tokens, which are recognised in markup only. Raises
        UnicodeEncodeError on surrogates.
        """
        tokens = []
        if self.is_bos_added:
            tokens.append(int(llama_cpp.llama_vocab_bos(self.pointer)))
        for segment in segments:
            if self._adds_space and tokens and not self._is_special(tokens[-1]):
                tokens += self._go_on(segment)
            else:
                tokens += self._tokenize(segment.text, segment.is_markup)
        return tokens

    def piece_of(self, token: int) -> bytes:
        """Return the bytes of a token, none for a special one."""
        if token not in self._pieces:
            self._pieces[token] = self._read_piece(token)
        return self._pieces[token]

    def is_end(self, token: int) -> bool:
        """Return whether the model ends its turn with this token."""
        return bool(llama_cpp.llama_vocab_is_eog(self.pointer, token))

    def is_one_token(self, markup: str) -> bool:
        """Return whether a text is one token when special ones are recognised."""
        return len(self._tokenize(markup, True)) == 1

    def find_silent(self) -> NDArray[np.bool_]:
        """Return for each token whether it is special and does not end a turn.

        Such tokens have names that a grammar would read as text.
        """
        if self._silent is None:
            self._silent = np.fromiter(
                (
                    llama_cpp.llama_vocab_is_control(self.pointer, token)
                    and not llama_cpp.llama_vocab_is_eog(self.pointer, token)
                    for token in range(self.num_tokens)
                ),
                np.bool_,
                self.num_tokens,
            )
        return self._silent

    def _go_on(self, segment: Segment) -> list[int]:
        """Return the tokens of a segment behind other text, without a space before."""
        before = self._tokenize("\n", False)
        tokens = self._tokenize(f"\n{segment.text}", segment.is_markup)
        if tokens[: len(before)] != before:
            return self._tokenize(segment.text, segment.is_markup)
        return tokens[len(before) :]

    def _is_special(self, token: int) -> bool:
        attributes = llama_cpp.llama_vocab_get_attr(self.pointer, token)
        return bool(attributes & _SPECIAL)

    def _name(self, token: int) -> str:
        """Return a special token as templates write it; empty if there is none."""
        if token < 0:
            return ""
        name: bytes = llama_cpp.llama_vocab_get_text(self.pointer, token) or b""
        return name.decode(errors="replace")

    def _join(self, tokens: Iterable[int]) -> bytes:
        return b"".join(map(self.piece_of, tokens))

    def _tokenize(self, text: str, parse_special: bool) -> list[int]:
        encoded = text.encode()
        size = len(encoded) + 8
        while True:
            buffer = (llama_cpp.llama_token * size)()
            count = llama_cpp.llama_tokenize(
                self.pointer, encoded, len(encoded), buffer, size, False, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            size = -count

    def _read_piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(
                self.pointer, token, buffer, size, 0, False
            )
            if count >= 0:
                return buffer.raw[:count]
            size = -count
