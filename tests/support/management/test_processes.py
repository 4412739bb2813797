"""What processes use."""

import os
from pathlib import Path

import pytest

from support.management.loadtest import processes
from support.management.loadtest.processes import parse_cpu_time, read_usage


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:07", 7),
        ("01:02:03", 3723),
        ("2-00:00:01", 172_801),
        ("3:04.50", 184.5),
    ],
)
def test_reads_processor_times_of_linux_and_macos(text, seconds):
    assert parse_cpu_time(text) == seconds


def test_a_strange_processor_time_is_an_error():
    with pytest.raises(ValueError, match="no processor time"):
        parse_cpu_time("soon")


@pytest.mark.parametrize("folder", ["/proc/self", "/nowhere/at/all"])
def test_reads_this_process(folder, monkeypatch):
    monkeypatch.setattr(processes, "_PROC", Path(folder))
    usage = read_usage([os.getpid()])
    assert usage.memory_bytes > 10_000_000
    assert usage.cpu_s > 0


def test_adds_processes_up():
    one, two = read_usage([os.getpid()]), read_usage([os.getpid(), os.getpid()])
    assert two.memory_bytes == pytest.approx(2 * one.memory_bytes, rel=0.1)


def test_no_process_uses_nothing():
    assert read_usage([]).memory_bytes == 0


@pytest.mark.parametrize("folder", ["/proc/self", "/nowhere/at/all"])
def test_says_which_process_is_not_there(folder, monkeypatch):
    monkeypatch.setattr(processes, "_PROC", Path(folder))
    with pytest.raises(ValueError, match="no process 999999999"):
        read_usage([999_999_999])
