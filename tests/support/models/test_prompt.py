"""Versions of a system prompt: numbered by site, one of them active."""

import pytest

from support.models import SystemPrompt, activate_prompt, store_prompt
from tests.factories import make_site

pytestmark = pytest.mark.django_db


def versions(site):
    """Return (version, is active) of each, oldest first."""
    rows = SystemPrompt.objects.filter(site=site).order_by("version")
    return list(rows.values_list("version", "is_active"))


def test_a_stored_prompt_is_the_next_version_and_in_use():
    site = make_site()
    prompt = store_prompt(site, "Be brief.", "shorter")
    assert (prompt.version, prompt.content, prompt.comment) == (
        2,
        "Be brief.",
        "shorter",
    )
    assert versions(site) == [(1, False), (2, True)]


def test_the_versions_of_another_site_stay():
    site, other = make_site(), make_site()
    store_prompt(site, "Be brief.")
    assert versions(other) == [(1, True)]


def test_an_old_version_is_used_again():
    site = make_site()
    first = SystemPrompt.objects.get(site=site)
    store_prompt(site, "Be brief.")
    activate_prompt(first)
    assert versions(site) == [(1, True), (2, False)]


def test_the_next_number_follows_the_highest_not_the_active_one():
    site = make_site()
    first = SystemPrompt.objects.get(site=site)
    store_prompt(site, "Be brief.")
    activate_prompt(first)
    assert store_prompt(site, "Be kind.").version == 3


def test_the_numbers_of_queries(django_assert_num_queries):
    site = make_site()
    with django_assert_num_queries(6):  # four, in a savepoint
        prompt = store_prompt(site, "Be brief.")
    with django_assert_num_queries(5):  # three, in a savepoint
        activate_prompt(prompt)
