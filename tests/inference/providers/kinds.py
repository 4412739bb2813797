"""The kinds of backends that ask a provider, each as it asks the stand-in."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from inference.backends import anthropic, gemini, openai, openai_compatible
from inference.backends.base import Backend, BackendSettings
from tests.inference.providers.faults import Fault
from tests.inference.providers.provider import KEY, Provider


@dataclass(frozen=True)
class Kind:
    """A kind, the dialect that it speaks, and a model to ask for."""

    name: str
    module: ModuleType
    dialect: str
    model: str

    def __str__(self) -> str:
        return self.name

    def build_settings(
        self, stand_in: Provider, fault: Fault = Fault.NONE
    ) -> BackendSettings:
        """Return the settings of a backend at the stand-in, or at a broken address."""
        endpoint = stand_in.url(self.dialect, fault)
        return BackendSettings("cloud", self.model, {}, endpoint, KEY, ("127.0.0.1",))

    @contextmanager
    def connected(
        self, stand_in: Provider, fault: Fault = Fault.NONE
    ) -> Generator[Backend, None, None]:
        """Lend a backend that asks the stand-in."""
        backend = self.module.build_backend(self.build_settings(stand_in, fault))
        try:
            yield backend
        finally:
            backend.close()


KINDS = (
    Kind("openai", openai, "openai", "gpt-4.1-mini"),
    Kind("anthropic", anthropic, "anthropic", "claude-sonnet-5-5"),
    Kind("gemini", gemini, "gemini", "gemini-3.8-flash"),
    Kind("openai_compatible", openai_compatible, "openai", "fine-1b"),
)
