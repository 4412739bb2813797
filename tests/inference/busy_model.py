"""Stands in for the code of local models: plays scripts, foresees what it is told."""

from inference.backends.base import BackendSettings
from inference.backends.scripted import ScriptedBackend

# the seconds to the first token, by the backend's name
foreseen_s: dict[str, float] = {}


class BusyModel(ScriptedBackend):
    """A scripted backend that looks ahead."""

    def predict_ttft_s(self, request):
        return foreseen_s.get(self.name)


def build_backend(settings: BackendSettings) -> BusyModel:
    scripts = settings.options.get("scripts", ["say from here"])
    assert isinstance(scripts, list)
    return BusyModel(settings.name, scripts)


def check_settings(settings: BackendSettings) -> None:
    return
