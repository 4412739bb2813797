"""The model that tests of the real engine run on."""

import os
import time
from pathlib import Path

import pytest

from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.host import EngineHost

# An early checkpoint of the bundled model and not the model itself: these tests need
# long replies and decided ones, whatever the next training brings.
CHECKPOINT = Path(__file__).parent / "checkpoint.gguf"

QUICK = HostPolicy(silence_s=4.0, pause_s=0.1, max_pause_s=0.5, apart_s=0.5)


@pytest.fixture(scope="session")
def model_path():
    return os.environ.get("TEST_MODEL_PATH") or str(CHECKPOINT)


@pytest.fixture
def start_host(model_path):
    """Start hosts that are closed after the test; `wait=False` does not await them."""
    hosts = []

    def start(path=model_path, wait=True, policy=QUICK, **values):
        config = EngineConfig(path, **({"num_cells": 4096, "num_threads": 1} | values))
        hosts.append(EngineHost(config, policy))
        hosts[-1].start()
        assert not wait or hosts[-1].wait_until_ready(30)
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()


def wait_until(condition, timeout_s=20.0):
    limit_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit_s, "waited too long"
        time.sleep(0.02)
