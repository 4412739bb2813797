"""What runs where a browser has been needs no event loop: see conftest.py."""

import re

import pytest

from tests.conftest import WITHOUT_LOOP

# Django's database refuses to work in a thread that has one
NEEDS_A_LOOP = re.compile(r"\b(async def|asyncio|asgiref|django_db|transactional_db)\b")


@pytest.mark.parametrize("folder", WITHOUT_LOOP, ids=lambda folder: folder.name)
def test_no_file_needs_an_event_loop_or_the_database(folder):
    files = sorted(folder.rglob("*.py"))
    assert files
    assert [file for file in files if NEEDS_A_LOOP.search(file.read_text())] == []


@pytest.mark.parametrize("line", ["async def test_it():", "import asyncio"])
def test_a_file_that_does_is_seen(line):
    assert NEEDS_A_LOOP.search(line)
