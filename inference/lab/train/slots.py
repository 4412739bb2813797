"""Values for the slots of facts: random, so that copying is learned, not knowledge."""

from __future__ import annotations

import random
from collections.abc import Callable

from inference.lab.train.topics import SLOT, Topic, share_of

# One name in this many is held out: it occurs in the evaluation only.
HELD_OUT_SHARE = 12
MOST_TRIES = 500

# Split strings and not lists: forty words in quotes are hard to read.
_ONSETS = """
    b br c cl d dr f fl g gr h j k kl l m n p pr qu r s sk sl st t th tr v w z
""".split()  # noqa: SIM905
_VOWELS = "a e i o u ai ea ee oo ou".split()  # noqa: SIM905
_CODAS = "b ck d ft g l lm ln m n nd nt r rk rn s sk st t x".split()  # noqa: SIM905
_WORDS = """
    one two three four five six seven eight nine ten twelve fourteen twenty thirty
""".split()  # noqa: SIM905
_WEEKDAYS = """
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday
""".split()  # noqa: SIM905
_MONTHS = """
    January February March April May June July August September October November
    December
""".split()  # noqa: SIM905
_FIRST = """
    Ada Ali Amir Ana Ben Bo Carl Cleo Dana Dev Eda Eli Emma Finn Gia Hana Hugo Ida
    Ines Ivo Jan Jo Kai Kim Lars Lena Leo Lou Mara Mei Milo Nadia Nils Noor Olga Omar
    Otto Pia Ravi Rosa Sam Sara Tess Theo Uma Vera Will Yara Zoe
""".split()  # noqa: SIM905
_COUNTRIES = """
    Austria Belgium Brazil Canada Chile China Croatia Cyprus Denmark Egypt Estonia
    Finland France Germany Greece Hungary Iceland India Ireland Israel Italy Japan
    Kenya Latvia Malta Mexico Morocco Norway Peru Poland Portugal Romania Serbia
    Slovenia Spain Sweden Switzerland Tunisia Turkey Ukraine Uruguay Vietnam
""".split()  # noqa: SIM905
_CITY_ENDS = """
    ton ford by ham burg stad wick mouth field port dale ville
""".split()  # noqa: SIM905
_STREET_ENDS = "Street Road Lane Avenue Way Row Square".split()  # noqa: SIM905
_FIRMS = """
    Outfitters Supply Sports Outdoors Gear Store Co. Works Trading Bikes
""".split()  # noqa: SIM905
_DOMAINS = "com org net example shop co.uk eu".split()  # noqa: SIM905
_MAILBOXES = """
    help hello support orders service care returns team contact info
""".split()  # noqa: SIM905
_CURRENCIES = ("${}", "€{}", "£{}", "{} €", "{} dollars", "{} euros")


def draw(topic: Topic, slot: str, rng: random.Random, held_out: bool) -> str:
    """Return a value for a slot such as `days` or `carrier2`.

    Names are drawn from the training part or, with `held_out`, from the part that
    training never shows.
    Raises KeyError for a slot that is neither built in nor defined by the topic.
    """
    kind = slot.rstrip("0123456789")
    values = topic.slots.get(slot) or topic.slots.get(kind)
    if values:
        chosen = [value for value in values if _is_held_out(value) == held_out]
        return rng.choice(chosen or values)
    generate = GENERATORS[kind]
    for _ in range(MOST_TRIES):
        value = generate(rng)
        if kind not in NAMES or _is_held_out(value) == held_out:
            break
    return value


def draw_all(
    topic: Topic, texts: list[str], rng: random.Random, held_out: bool = False
) -> dict[str, str]:
    """Return a value for every slot of some texts."""
    return {name: draw(topic, name, rng, held_out) for name in slots_in(texts)}


def fill(text: str, values: dict[str, str]) -> str:
    """Return the text with its slots replaced; one at the start gets a capital."""
    filled = SLOT.sub(lambda match: values[match[1] + match[2]], text)
    return filled[:1].upper() + filled[1:] if text.startswith("{") else filled


def slots_in(texts: list[str]) -> list[str]:
    """Return the names of all slots of some texts, sorted."""
    return sorted(
        {name + digits for text in texts for name, digits in SLOT.findall(text)}
    )


def _is_held_out(value: str) -> bool:
    return share_of(value.lower(), HELD_OUT_SHARE) == 0


def _syllables(rng: random.Random, low: int = 1, high: int = 3) -> str:
    count = rng.randint(low, high)
    body = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count))
    return body + (rng.choice(_CODAS) if rng.random() < 0.7 else "")


def _name(rng: random.Random) -> str:
    return _syllables(rng).capitalize()


def _span(unit: str, high: int) -> Callable[[random.Random], str]:
    """Return a generator of durations such as "1 day", "14 days" or "three days"."""

    def generate(rng: random.Random) -> str:
        if rng.random() < 0.2:
            return f"{rng.choice(_WORDS[1:])} {unit}s"
        number = rng.randint(1, high)
        return f"{number} {unit}" + ("s" if number > 1 else "")

    return generate


def _days(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.15:
        return _span("week", 12)(rng)
    if kind < 0.3:
        return _span("working day", 15)(rng)
    return _span("day", 120)(rng)


def _money(rng: random.Random) -> str:
    amount = rng.choice(
        (rng.randint(1, 99), rng.randint(1, 99), rng.randint(100, 1500))
    )
    cents = rng.choice((".50", ".99", ".95", f".{rng.randint(10, 99)}"))
    return rng.choice(_CURRENCIES).format(
        f"{amount}{cents if rng.random() < 0.35 else ''}"
    )


def _time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    minutes = rng.choice(("", "", "", ":30", ":15", ":45"))
    if rng.random() < 0.25:
        return f"{rng.randint(0, 23)}:{rng.choice(('00', '30', '15', '45'))}"
    return f"{hour}{minutes} {rng.choice(('am', 'pm'))}"


def _time_range(rng: random.Random) -> str:
    if rng.random() < 0.3:
        halves = rng.choices(("00", "30"), k=2)
        return f"{rng.randint(6, 11)}:{halves[0]} to {rng.randint(13, 22)}:{halves[1]}"
    return f"{rng.randint(6, 11)} am to {rng.randint(1, 11)} pm"


def _mailbox(rng: random.Random) -> str:
    return rng.choice((*_MAILBOXES, _syllables(rng)))


def _domain(rng: random.Random) -> str:
    return f"{_syllables(rng, 2)}.{rng.choice(_DOMAINS)}"


def _phone(rng: random.Random) -> str:
    groups = [
        str(rng.randint(10 ** (n - 1), 10**n - 1)) for n in rng.choices((2, 3, 4), k=3)
    ]
    return rng.choice(("0", "+4", "+", "")) + rng.choice((" ", "-")).join(groups)


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ", k=rng.randint(1, 4)))
    return letters + rng.choice(("-", "", "-")) + str(rng.randint(10, 9999))


def _date(rng: random.Random) -> str:
    day, month = rng.randint(1, 28), rng.choice(_MONTHS)
    return rng.choice((f"{day} {month}", f"{month} {day}"))


def _product(rng: random.Random) -> str:
    suffix = rng.choice(
        (
            "",
            "",
            f" {rng.randint(1, 90)}",
            " " + rng.choice(("Pro", "Lite", "XL", "Trail", "Plus")),
        )
    )
    return _name(rng) + suffix


def _person(rng: random.Random) -> str:
    first = rng.choice(_FIRST)
    return first if rng.random() < 0.3 else f"{first} {_name(rng)}"


def _decimal(unit: str, high: int) -> Callable[[random.Random], str]:
    def generate(rng: random.Random) -> str:
        whole = rng.randint(1, high)
        return (
            f"{whole}.{rng.randint(1, 9)} {unit}"
            if rng.random() < 0.4
            else f"{whole} {unit}"
        )

    return generate


GENERATORS: dict[str, Callable[[random.Random], str]] = {
    "days": _days,
    "hours": _span("hour", 96),
    "minutes": _span("minute", 90),
    "months": _span("month", 36),
    "years": _span("year", 25),
    "n": lambda rng: str(rng.randint(2, 99)),
    "money": _money,
    "percent": lambda rng: rng.choice(("{} %", "{}%", "{} percent")).format(
        rng.randint(1, 95)
    ),
    "email": lambda rng: f"{_mailbox(rng)}@{_domain(rng)}",
    "phone": _phone,
    "url": lambda rng: f"{_domain(rng)}/{_mailbox(rng)}",
    "code": _code,
    "weekday": lambda rng: rng.choice(_WEEKDAYS),
    "time": _time,
    "timerange": _time_range,
    "date": _date,
    "person": _person,
    "city": lambda rng: _syllables(rng, 1, 2).capitalize() + rng.choice(_CITY_ENDS),
    "country": lambda rng: rng.choice(_COUNTRIES),
    "street": lambda rng: (
        f"{rng.randint(1, 299)} {_name(rng)} {rng.choice(_STREET_ENDS)}"
    ),
    "product": _product,
    "kg": _decimal("kg", 40),
    "cm": _decimal("cm", 220),
    "litres": _decimal("litres", 90),
    "temp": lambda rng: f"{rng.randint(-30, 60)} °C",
    "brand": _name,
    "shop": lambda rng: f"{_name(rng)} {rng.choice(_FIRMS)}",
    "size": lambda rng: rng.choice(
        ("XS", "S", "M", "L", "XL", "XXL", str(rng.randint(28, 50)))
    ),
}
NAMES = frozenset({"person", "city", "country", "product", "brand", "shop", "code"})
