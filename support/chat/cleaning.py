"""Makes text that strangers typed fit for the database, the model and the screen."""

import re
import unicodedata

# NUL breaks Postgres, lone surrogates every encoder; the other controls, the
# bidirectional overrides and the invisible tag characters only serve to deceive.
_UNWANTED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\ufeff\U000e0000-\U000e007f]"
)


def clean_text(text: str) -> str:
    """Return `text` in NFC with Unix line ends, without control characters or edges."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWANTED.sub("", unicodedata.normalize("NFC", text)).strip()
