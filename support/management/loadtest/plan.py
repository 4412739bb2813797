"""What a load test is to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

QUESTIONS = (
    "How long do I have to return something?",
    "What does delivery cost?",
    "Can I change the address of an order that I placed yesterday?",
    "My parcel has not arrived, what now?",
    "Do you repair a broken zip?",
    "Which ways to pay do you take?",
    "Is there a shop that I can visit?",
    "The jacket is too small, can I swap it?",
    "How do I reset my password?",
    "When will I get my money back?",
    "Do you deliver to other countries?",
    "How do I wash a rain jacket?",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A load test: who is visited by how many visitors, and what they do.

    Raises ValueError, which says what is wrong in words for the command line.
    """

    url: str
    run: str
    site: str = "demo"
    origin: str = ""
    num_chats: int = 20
    num_messages: int = 3
    ramp_up_s: float = 5.0
    think_s: float = 2.0
    duration_s: float = 0.0
    wait_s: float = 120.0
    drop_share: float = 0.0
    words_per_s: float = 0.0
    num_idle: int = 0
    idle_s: float = 10.0
    seed: int = 1
    questions: Sequence[str] = QUESTIONS
    server_pids: Sequence[int] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{self.url!r} is no address like http://localhost:8000")
        if self.num_chats < 0 or self.num_idle < 0:
            raise ValueError("there cannot be less than no chats or idle sockets")
        if not self.num_chats and not self.num_idle:
            raise ValueError("nothing to do: no chats and no idle sockets")
        if self.num_messages < 1:
            raise ValueError("a conversation needs at least one message")
        seconds = (self.ramp_up_s, self.think_s, self.duration_s, self.idle_s)
        if min(seconds) < 0 or self.wait_s <= 0 or self.words_per_s < 0:
            raise ValueError("times and rates cannot be negative")
        if not 0 <= self.drop_share <= 1:
            raise ValueError("the share of dropped connections is from 0 to 1")
        if not self.questions:
            raise ValueError("there is no question to ask")

    @property
    def base_url(self) -> str:
        """Return the address that paths are put behind."""
        return self.url.rstrip("/")

    @property
    def socket_url(self) -> str:
        """Return the address of the chat's websocket."""
        return f"ws{self.base_url.removeprefix('http')}/ws/chat/"

    @property
    def page_origin(self) -> str:
        """Return the origin of the page that the visitors look at."""
        parts = urlsplit(self.url)
        return self.origin or f"{parts.scheme}://{parts.netloc}"
