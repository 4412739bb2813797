"""How a backend samples where a request says nothing: options of the operator's row."""

from collections.abc import Mapping

from inference.types import SAMPLING_NAMES, SamplingParams


def read_sampling(options: Mapping[str, object]) -> SamplingParams:
    """Return the row's sampling values, ours where it has none; raises ValueError."""
    values = {name: options[name] for name in SAMPLING_NAMES if name in options}
    return SamplingParams(**values)  # type: ignore[arg-type]  # checked by itself
