"""The schedule of chaos: decided by its seed, and never two faults of one target."""

from contextlib import nullcontext
from itertools import pairwise

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.chaos import Conductor, Planned, build_schedule
from tests.faults.system import System


class Untouched(System):
    """A system of which nothing is asked but who has died."""

    def __init__(self):
        pass

    def find_dead(self):
        return []

    def start_dead(self):
        pass


def test_the_same_seed_gives_the_same_schedule():
    first = build_schedule("7", 10, FAULTS)
    assert first == build_schedule("7", 10, dict(reversed(FAULTS.items())))
    assert first != build_schedule("8", 10, FAULTS)


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_a_target_has_one_fault_at_a_time(seed):
    by_target = {}
    for planned in build_schedule(seed, 20, FAULTS):
        by_target.setdefault(FAULTS[planned.fault].target, []).append(planned)
    assert len(by_target) > 1
    for own in by_target.values():
        assert all(one.ends_s < later.begins_s for one, later in pairwise(own))


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_faults_of_different_targets_overlap_and_end_in_time(seed):
    schedule = build_schedule(seed, 10, FAULTS)
    assert any(later.begins_s < one.ends_s for one, later in pairwise(schedule))
    assert max(planned.begins_s for planned in schedule) < 600


def test_the_conductor_injects_and_heals_in_the_order_of_time(monkeypatch):
    happened = []

    class Noted(nullcontext):
        def __exit__(self, *error):
            happened.append(f"{self.enter_result} over")

    class Fake:
        def __init__(self, name):
            self.name = self.title = name

        def inject(self, system, dice):
            happened.append(self.name)
            return Noted(self.name)

    names = {name: Fake(name) for name in ("A", "B", "C")}
    monkeypatch.setattr("tests.faults.chaos.FAULTS", names)
    planned = [("A", 0.0, 0.3), ("B", 0.1, 0.2), ("C", 0.25, 0.4)]
    schedule = [Planned(*each) for each in planned]
    conductor = Conductor(Untouched(), schedule, "1")
    conductor.conduct()
    assert happened == ["A", "B", "B over", "C", "A over", "C over"]
    assert conductor.num_overlaps == 2
