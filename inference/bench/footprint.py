"""What the engine takes of the machine: cells of the cache, and memory."""

import time
from dataclasses import replace

from inference.backends.llama_cpp import LlamaCppBackend
from inference.bench.contestants import (
    PATIENT_HOST,
    BackendContestant,
    BareContestant,
    RawConfig,
)
from inference.bench.measures import read_private_bytes
from inference.bench.workloads import build_support
from inference.engine.config import EngineConfig

# The engine says how many cells it uses about once a second.
_STATS_S = 2.5


def measure_footprint(
    config: EngineConfig, raw: RawConfig, num_conversations: int
) -> dict[str, float]:
    """Return cells and memory after conversations with one system prompt.

    The engine's own memory is what its process takes beyond what llama.cpp takes for
    a context of the same sizes in the bare loop: the interpreter is counted, the
    weights, which are the file's, and the cache are not.
    """
    workload = build_support(1, 1, num_conversations, 1)
    # What is parked is in no cell, so nothing is.
    config = replace(config, max_parked_bytes=0)
    backend = LlamaCppBackend("footprint", config, PATIENT_HOST)
    contestant = BackendContestant("footprint", backend)
    try:
        run = contestant.play(workload)
        time.sleep(_STATS_S)
        stats = backend.host.read_stats()
        pid = backend.host.pid
        engine_bytes = read_private_bytes(str(pid))
    finally:
        contestant.close()
    bare = BareContestant(replace(raw, num_conversations=config.num_slots - 1))
    native_bytes = bare.native_bytes
    bare.close()
    usages = [answer.usage for answer in run.answers if answer.usage]
    separate = sum(one.prompt_tokens + one.completion_tokens for one in usages)
    return {
        "cells": stats.num_used_cells,
        "separate_cells": separate,
        "cells_ratio": stats.num_used_cells / separate,
        "process_mb": engine_bytes / 1e6,
        "native_mb": native_bytes / 1e6,
        "own_mb": (engine_bytes - native_bytes) / 1e6,
    }
