"""How numbers are written: short, with their unit, and never more than is known."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.utils import timezone

from support.monitoring.periods import Period

NONE = "-"  # as the rest of the admin shows what is not there
_SMALLEST = Decimal("0.00000001")


def count(value: float | None) -> str:
    """Return a whole number with its thousands apart."""
    return NONE if value is None else f"{round(value):,}"


def number_of(value: int, thing: str) -> str:
    """Return how many things there are, in words."""
    return f"{count(value)} {thing}{'' if value == 1 else 's'}"


def milliseconds(value: float | None) -> str:
    """Return a time as it is measured, without its unit."""
    return count(value)


def duration(value_ms: float | None) -> str:
    """Return a time with the unit that it is best read in."""
    if value_ms is None:
        return NONE
    if round(value_ms) < 1000:
        return f"{round(value_ms)} ms"
    if value_ms < 99_500:
        return f"{value_ms / 1000:.3g} s"
    return f"{value_ms / 60_000:.3g} min"


def rate(value: float | None) -> str:
    """Return a number per second, with three digits where it is small."""
    if value is None:
        return NONE
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 or value == 0 else f"{value:.2f}"


def decimal(value: float | None) -> str:
    """Return a number with three digits, more where it is large."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.3g}"


def size(value: float | None) -> str:
    """Return a number of bytes with the unit that it is best read in."""
    if value is None:
        return NONE
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{decimal(value)} {unit}"
        value /= 1000
    return f"{decimal(value)} GB"


def usd(value: Decimal | None) -> str:
    """Return a cost in US dollars; to the cent, below a dollar to three digits."""
    if value is None:
        return NONE
    if value == 0:
        return "$0"
    places = Decimal("0.01")
    if value < 1:
        places = max(Decimal(1).scaleb(value.adjusted() - 2), _SMALLEST)
    return f"${value.quantize(places, ROUND_HALF_UP):,f}"


def short_usd(value: float) -> str:
    """Return a round sum of US dollars, without zeros that say nothing."""
    text = usd(Decimal(f"{value:.8f}"))
    whole, point, cents = text.partition(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')}" if point else whole


def short_rate(value: float) -> str:
    """Return a round number per second."""
    return f"{value:,.10g}"


def share(part: int, whole: int) -> str:
    """Return a part as a percentage of the whole."""
    if not whole:
        return NONE
    percent = part / whole * 100
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def step_label(start: datetime, period: Period) -> str:
    """Return the beginning of a step, short enough for an axis."""
    local = timezone.localtime(start)
    return f"{local:%-d %b}" if period.is_by_day else f"{local:%H:%M}"


def step_name(start: datetime, period: Period) -> str:
    """Return a step in full: its day, or its day, beginning and end."""
    local = timezone.localtime(start)
    if period.is_by_day:
        return f"{local:%a %-d %b}"
    until = timezone.localtime(start + period.step)
    return f"{local:%a %H:%M} to {until:%H:%M}"
