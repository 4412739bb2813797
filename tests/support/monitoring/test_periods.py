"""Windows begin and end where a clock on the wall would say."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from support.monitoring.periods import PERIODS, build_window

NOW = datetime(2026, 11, 22, 15, 37, 20, tzinfo=UTC)


def starts(key: str, now: datetime = NOW, zone: str = "UTC") -> list[str]:
    with timezone.override(ZoneInfo(zone)):
        window = build_window(PERIODS[key], now)
        return [f"{timezone.localtime(start):%d %H:%M}" for start in window.starts]


@pytest.mark.parametrize(
    ("key", "number", "first", "last"),
    [
        ("hour", 12, "22 14:40", "22 15:35"),
        ("day", 24, "21 16:00", "22 15:00"),
        ("week", 7, "16 00:00", "22 00:00"),
        ("month", 30, "24 00:00", "22 00:00"),
    ],
)
def test_ends_with_the_running_step(key, number, first, last):
    found = starts(key)
    assert (len(found), found[0], found[-1]) == (number, first, last)


def test_days_begin_at_midnight_of_the_time_zone():
    assert starts("week", zone="Asia/Kolkata")[-1] == "22 00:00"
    with timezone.override(ZoneInfo("Asia/Kolkata")):
        window = build_window(PERIODS["week"], NOW)
    assert window.starts[-1] == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)


def test_hours_begin_on_the_hour_of_the_time_zone():
    assert starts("day", zone="Asia/Kolkata")[-1] == "22 21:00"


def test_a_day_of_a_clock_change_has_another_length():
    after = datetime(2026, 10, 26, 12, tzinfo=UTC)
    with timezone.override(ZoneInfo("Europe/Berlin")):
        window = build_window(PERIODS["week"], after)
    lengths = [window.step_s(number) / 3600 for number in range(6)]
    assert lengths == [24, 24, 24, 24, 24, 25]


def test_hours_of_a_clock_change_are_neither_lost_nor_doubled():
    after = datetime(2026, 10, 25, 4, 10, tzinfo=UTC)
    with timezone.override(ZoneInfo("Europe/Berlin")):
        window = build_window(PERIODS["day"], after)
    gaps = {after - before for before, after in pairwise(window.starts)}
    assert gaps == {timedelta(hours=1)}


def test_the_running_step_is_as_long_as_it_has_been():
    window = build_window(PERIODS["day"], NOW)
    assert window.step_s(23) == 37 * 60 + 20
    assert window.step_s(22) == 3600


def test_a_step_that_has_just_begun_can_be_divided_by():
    window = build_window(PERIODS["day"], NOW.replace(minute=0, second=0))
    assert window.step_s(23) == 1
