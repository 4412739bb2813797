from datetime import UTC, datetime

import pytest

from inference.backends.statuses import quote, read_retry_after


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-7", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("Sun, 22 Nov " + "9" * 20 + " 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:30 +" + "9" * 14, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_reads_retry_after(header, seconds):
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert read_retry_after(header, now) == seconds


def test_quotes_on_one_line_without_the_secret():
    assert quote("  the key\n abc  is wrong", "abc") == "the key [key] is wrong"
    assert quote("kept", "") == "kept"
    assert quote("a\0b\ud83c \x1b[31mred", "") == "ab [31mred"
