"""The model that tests of the real engine run on."""

import os
import time
from pathlib import Path

import pytest

from inference.engine.config import EngineConfig, HostPolicy
from inference.engine.host import EngineHost

BUNDLED = Path(__file__).parents[2] / "inference" / "bundled" / "fern.gguf"

QUICK = HostPolicy(silence_s=4.0, pause_s=0.1, max_pause_s=0.5)


@pytest.fixture(scope="session")
def model_path():
    path = Path(os.environ.get("TEST_MODEL_PATH") or BUNDLED)
    if not path.is_file():
        pytest.skip(f"no model at {path}; set TEST_MODEL_PATH")
    return str(path)


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
