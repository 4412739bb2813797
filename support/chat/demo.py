"""The front page of an imaginary shop that carries the widget: the demo of the chat.

What it says agrees with the sample articles, so that the assistant can be tried on it.
"""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from support.knowledge.pages import page_site


@dataclass(frozen=True)
class Product:
    """One card of the window; `slug` is the help article that advises on it."""

    name: str
    kind: str
    text: str
    price: int
    picture: str
    alt: str
    slug: str
    advice: str

    @property
    def image(self) -> str:
        """Return the static path of the drawing."""
        return f"support/images/{self.picture}.svg"


@dataclass(frozen=True)
class Pointer:
    """A short text that leads to a help article."""

    title: str
    text: str
    slug: str


@dataclass(frozen=True)
class Store:
    """One of the shop's stores."""

    name: str
    address: str
    text: str


PRODUCTS = (
    Product(
        "Lark 2",
        "Tent for two",
        "1.9 kg, three seasons, and packed no bigger than a loaf of bread.",
        289,
        "tent",
        "A green tent for two with a cream door",
        "choosing-a-tent",
        "Which tent?",
    ),
    Product(
        "Cairn Mid",
        "Hiking boot",
        "Waxed leather and a sole that grips wet rock. Wear it 30 days before you "
        "decide.",
        179,
        "boot",
        "A brown leather boot with light laces",
        "boot-promise",
        "The Boot Promise",
    ),
    Product(
        "Wren 35",
        "Backpack",
        "For a night in a hut, and small enough for the cabin of a plane.",
        129,
        "pack",
        "A green backpack with a clay-red lid and a rolled mat",
        "backpack-fit",
        "Find your size",
    ),
    Product(
        "Otter",
        "Kayak",
        "Short and steady, for lakes and slow rivers. The one for your first season.",
        649,
        "kayak",
        "A clay-red kayak with a paddle on calm water",
        "kayaks",
        "Which kayak?",
    ),
    Product(
        "Spark",
        "Gas stove",
        "Boils a litre before the rain finds you. Takes any screw cartridge.",
        59,
        "stove",
        "A gas stove burning on a green cartridge",
        "stoves-and-fuel",
        "About fuel",
    ),
    Product(
        "Glow",
        "Lantern",
        "Warm light for a tent or a long table. Charges by day, lasts four evenings.",
        45,
        "lamp",
        "A copper-red lantern shining in the dark",
        "warranty",
        "Our warranty",
    ),
)

PROMISES = (
    Pointer("Free delivery", "for orders of $60 or more", "delivery-times-and-costs"),
    Pointer("60 days", "to change your mind", "returning-an-item"),
    Pointer("The Boot Promise", "walk in them first, then decide", "boot-promise"),
    Pointer("A workshop of our own", "mending instead of replacing", "repairs"),
)

SERVICES = (
    Pointer(
        "Repairs",
        "Torn flysheets, broken zips, tired soles, bikes that creak. Our workshop "
        "mends what we sold you, and most of what others did.",
        "repairs",
    ),
    Pointer(
        "Rental",
        "Tents, packs, child carriers, bikes and kayaks by the day. The third day "
        "costs half.",
        "rental",
    ),
    Pointer(
        "Second Trail",
        "Our used-gear corner: bring what you have outgrown, take what somebody "
        "else has looked after.",
        "second-trail",
    ),
)

STORES = (
    Store(
        "Alderford",
        "12 Mill Lane",
        "The old weaving mill, with the workshop and all the bikes.",
    ),
    Store(
        "Kestwick",
        "4 Station Road",
        "Two minutes from the train, with twelve tents pitched in the attic.",
    ),
    Store(
        "Port Marren",
        "1 Old Quay",
        "On the water, with a jetty of its own: paddle before you buy.",
    ),
)


@require_safe
def shop(request: HttpRequest) -> HttpResponse:
    """Show the shop's front page. One query."""
    context = {
        "site": page_site(),
        "products": PRODUCTS,
        "promises": PROMISES,
        "services": SERVICES,
        "stores": STORES,
    }
    return render(request, "support/shop.html", context)
