"""How long an engine may take to start, and that it is not confused with hanging."""

from dataclasses import replace

import pytest

from inference.engine.host import HostState
from tests.inference.conftest import QUICK, wait_until

SLOW = replace(QUICK, module="tests.inference.engine.slow_child")


def test_a_slow_start_is_waited_for(start_host, monkeypatch):
    monkeypatch.setenv("SLOW_CHILD", "imports 2")
    host = start_host(policy=replace(SLOW, silence_s=1.0, start_s=60), wait=False)
    assert host.wait_until_ready(60)
    assert host.num_starts == 1


@pytest.mark.faults
def test_a_load_that_computes_takes_as_long_as_it_takes(start_host, monkeypatch):
    monkeypatch.setenv("SLOW_CHILD", "load 25")
    host = start_host(policy=replace(SLOW, start_s=12), wait=False)
    assert host.wait_until_ready(90)
    assert host.num_starts == 1


@pytest.mark.faults
def test_a_load_that_does_not_get_on_is_given_up(start_host, monkeypatch):
    monkeypatch.setenv("SLOW_CHILD", "disk 60")
    host = start_host(policy=replace(SLOW, start_s=8), wait=False)
    wait_until(lambda: host.num_starts >= 2, timeout_s=50)
    assert host.state is HostState.LOADING


def test_an_engine_that_cannot_be_started_is_tried_again(start_host, tmp_path):
    host = start_host(
        policy=replace(QUICK, module="tests.inference.no_such_module"), wait=False
    )
    wait_until(lambda: host.num_starts >= 3)
    assert host.state is HostState.LOADING
