import os

import pytest

from inference.engine.cpus import choose_num_threads, count_usable_cpus


@pytest.fixture
def quota_file(tmp_path):
    return tmp_path / "cpu.max"


def test_obeys_the_quota_of_its_container(quota_file):
    quota_file.write_text("100000 100000\n")
    assert count_usable_cpus(quota_file) == 1


@pytest.mark.parametrize("content", ["max 100000\n", "", "nonsense\n"])
def test_without_a_quota_every_processor_counts(quota_file, content):
    quota_file.write_text(content)
    assert count_usable_cpus(quota_file) == len(os.sched_getaffinity(0))


def test_a_small_quota_is_still_one(quota_file):
    quota_file.write_text("20000 100000\n")
    assert count_usable_cpus(quota_file) == 1


def test_a_system_without_cgroups_has_no_quota(quota_file):
    assert count_usable_cpus(quota_file) >= 1


@pytest.mark.parametrize(
    ("num_parameters", "num_cpus", "num_threads"),
    [(4_000_000, 16, 1), (500_000_000, 16, 15), (500_000_000, 1, 1)],
)
def test_leaves_a_processor_to_the_others(num_parameters, num_cpus, num_threads):
    assert choose_num_threads(num_parameters, num_cpus) == num_threads
