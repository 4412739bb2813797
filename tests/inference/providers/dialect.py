"""What the stand-in has to know of an API: its paths, its rules and its counts.

How it answers stands in the recordings.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.inference.providers.faults import Fault
from tests.inference.providers.tokens import ImplicitCache, MarkedCache, Prompt
from tests.inference.providers.wire import Request

Body = dict[str, Any]
CONTEXT_TOKENS = 128_000


class Refused(Exception):  # noqa: N818 - it says what happened
    """A request that the real API would not take; `fault` names the recording."""

    def __init__(self, fault: Fault, message: str, **values: object) -> None:
        super().__init__(message)
        self.fault = fault
        self.message = message
        self.values = values


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that is as it should be."""

    model: str
    prompt: Prompt
    max_tokens: int
    stops: tuple[str, ...] = ()
    thinks: bool = False
    wants_usage: bool = True


class Dialect(ABC):
    """One API."""

    name: ClassVar[str]
    base_path: ClassVar[str]  # what a backend's endpoint ends with
    id_prefix: ClassVar[str] = "req_"

    cache: ImplicitCache | MarkedCache

    @abstractmethod
    def find_model(self, request: Request, body: object) -> str:
        """Return the model that is asked for, empty if that cannot be told."""

    @abstractmethod
    def fits(self, request: Request) -> bool:
        """Return whether the path is this API's."""

    @abstractmethod
    def find_key(self, request: Request) -> str:
        """Return the key that was sent, empty without one."""

    @abstractmethod
    def refuse_key(self, key: str) -> Refused:
        """Return what is said to a wrong key, or to none."""

    @abstractmethod
    def read(self, request: Request, body: object) -> Wanted:
        """Return what is wanted; raises Refused."""

    @abstractmethod
    def end_word(self, reason: str) -> str:
        """Return this API's word for how a reply ended."""

    @abstractmethod
    def refuse_model(self, model: str) -> Refused:
        """Return what is said to a model that is not there."""

    @abstractmethod
    def refuse_length(self, num_tokens: int, limit_tokens: int) -> Refused:
        """Return what is said to a prompt that does not fit."""


def quote(text: str) -> str:
    """Return a text as it stands inside the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def check_number(
    body: Mapping[str, Any], name: str, lowest: float, highest: float
) -> bool:
    """Return whether a field is absent, null or a number in its range."""
    value = body.get(name)
    if value is None:
        return True
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and lowest <= value <= highest


def is_count(value: object) -> bool:
    """Return whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
