"""The periods that the monitoring page looks back on, cut into equal steps."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from django.utils import timezone

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """How far to look back; `step` is 1 day or divides an hour."""

    key: str
    name: str
    num_steps: int
    step: timedelta
    step_name: str

    @property
    def is_by_day(self) -> bool:
        """Return whether a step is a day of the calendar."""
        return self.step == _DAY


PERIODS = {
    period.key: period
    for period in (
        Period("hour", "Last hour", 12, timedelta(minutes=5), "5 minutes"),
        Period("day", "24 hours", 24, timedelta(hours=1), "hour"),
        Period("week", "7 days", 7, _DAY, "day"),
        Period("month", "30 days", 30, _DAY, "day"),
    )
}
DEFAULT_PERIOD = PERIODS["day"]


@dataclass(frozen=True, slots=True)
class Window:
    """A period that ends now: the step that is running and those before it.

    `starts` are the beginnings of the steps, ascending; the last one ends at `end`.
    """

    period: Period
    starts: tuple[datetime, ...]
    end: datetime

    @property
    def start(self) -> datetime:
        """Return the beginning of the first step."""
        return self.starts[0]

    def step_s(self, index: int) -> float:
        """Return how long a step is so far, in seconds; days of clock changes differ.

        At least 1 s, so that what is counted in it can be divided by it.
        """
        ends = (*self.starts[1:], self.end)
        return max((ends[index] - self.starts[index]).total_seconds(), 1.0)


def build_window(period: Period, now: datetime) -> Window:
    """Return the window that ends at `now`; hours and days are those of `TIME_ZONE`."""
    zone = timezone.get_current_timezone()
    build = _days if period.is_by_day else _parts_of_hours
    starts = build(period, now.astimezone(zone), zone)
    # in UTC: the difference of two local times leaves out a change of the clock
    return Window(period, tuple(start.astimezone(UTC) for start in starts), now)


def _days(period: Period, now: datetime, zone: tzinfo) -> list[datetime]:
    first = now.date() - timedelta(days=period.num_steps - 1)
    dates = [first + timedelta(days=number) for number in range(period.num_steps)]
    return [datetime.combine(date, time.min, tzinfo=zone) for date in dates]


def _parts_of_hours(period: Period, now: datetime, zone: tzinfo) -> list[datetime]:
    step_minutes = int(period.step.total_seconds()) // 60
    minute = now.minute - now.minute % step_minutes
    last = now.replace(minute=minute, second=0, microsecond=0)
    # counted in UTC: on a day of a clock change, local hours are skipped or doubled
    utc = last.astimezone(UTC)
    return [utc - number * period.step for number in reversed(range(period.num_steps))]
