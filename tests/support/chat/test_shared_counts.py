"""What several processes count together, and what each goes on with alone."""

import atexit
import time

import pytest
from django.test import override_settings

from inference.redis_link import RedisGone, RedisLink
from support.chat import rate_limits, sockets
from support.chat.sockets import ProcessSocketCount, SharedSocketCount
from tests.ports import free_port


@pytest.fixture
def make_count(redis_url, redis_client):
    """Return a maker of counts, each of a process of its own."""
    redis_client.flushdb()
    counts: list[SharedSocketCount] = []

    def make(link: RedisLink | None = None) -> SharedSocketCount:
        counts.append(SharedSocketCount(link or RedisLink(redis_url)))
        return counts[-1]

    yield make
    for count in counts:
        count.close()


@pytest.fixture
def gone():
    return RedisLink(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.2)


def wait_until_taken(count, key: str, limit: int) -> None:
    until_s = time.monotonic() + 5
    while not count.take(key, limit):
        assert time.monotonic() < until_s
        time.sleep(0.02)


class TestSockets:
    @pytest.fixture(autouse=True)
    def _no_goodbye(self, monkeypatch):
        """These processes do not end when this one does."""
        monkeypatch.setattr(atexit, "register", lambda function: function)

    def test_two_processes_share_one_limit(self, make_count):
        one, other = make_count(), make_count()
        assert [one.take("a", 3), other.take("a", 3), one.take("a", 3)] == [True] * 3
        assert not one.take("a", 3)
        assert not other.take("a", 3)
        assert other.take("b", 3)

    def test_a_closed_socket_makes_room_in_the_other_process(self, make_count):
        one, other = make_count(), make_count()
        one.take("a", 1)
        assert not other.take("a", 1)
        one.give_back("a")
        wait_until_taken(other, "a", 1)

    def test_a_refused_socket_is_not_counted(self, make_count):
        one, other = make_count(), make_count()
        one.take("a", 2)
        one.take("a", 2)
        assert not other.take("a", 2)
        assert len(other) == 0

    def test_a_killed_process_holds_nothing(self, make_count, redis_client):
        killed, other = make_count(), make_count()
        killed.take("a", 1)
        key = f"{killed.PREFIX}process:{killed._process}"
        assert 0 < redis_client.ttl(key) <= sockets.LIFETIME_S
        redis_client.delete(key)  # as after 15 s without a word
        assert other.take("a", 1)

    def test_redis_that_forgot_all_is_told_again(self, make_count, redis_client):
        one, other = make_count(), make_count()
        one.take("a", 1)
        redis_client.flushdb()
        one.tell()
        assert not other.take("a", 1)

    def test_without_redis_each_process_counts_its_own(self, make_count, gone):
        count = make_count(gone)
        assert count.take("a", 1)
        assert not count.take("a", 1)
        count.give_back("a")
        assert count.take("a", 1)

    def test_what_was_counted_without_redis_is_told_later(self, make_count):
        one, other = make_count(), make_count()
        one._link._paused_until_s = time.monotonic() + 60
        one.take("a", 1)
        one._link._paused_until_s = 0.0
        one.tell()
        assert not other.take("a", 1)

    def test_one_process_needs_no_redis(self):
        count = ProcessSocketCount()
        assert count.take("a", 1)
        assert not count.take("a", 1)


class TestRateLimits:
    @pytest.fixture(autouse=True)
    def _fresh(self, redis_client):
        redis_client.flushdb()
        rate_limits._shared_limiter.cache_clear()
        yield
        rate_limits._shared_limiter.cache_clear()

    def test_two_processes_count_together(self, redis_url):
        with override_settings(RATE_LIMIT_STORAGE_URL=redis_url, SESSIONS_PER_HOUR=2):
            rate_limits.check_sessions("10.0.0.1")
            rate_limits._shared_limiter.cache_clear()  # as another process has its own
            rate_limits._process_limiter.cache_clear()
            rate_limits.check_sessions("10.0.0.1")
            with pytest.raises(rate_limits.RateLimited):
                rate_limits.check_sessions("10.0.0.1")

    def test_without_redis_this_process_counts(self):
        url = f"redis://127.0.0.1:{free_port()}/0"
        with override_settings(RATE_LIMIT_STORAGE_URL=url, SESSIONS_PER_HOUR=1):
            rate_limits.check_sessions("10.0.0.1")
            with pytest.raises(rate_limits.RateLimited):
                rate_limits.check_sessions("10.0.0.1")


class TestLink:
    def test_a_failure_is_followed_by_a_pause(self, gone):
        with pytest.raises(RedisGone):
            gone.ask(gone.client.ping)
        asked = []
        with pytest.raises(RedisGone):
            gone.ask(lambda: asked.append(1))
        assert asked == []

    def test_it_is_asked_again_after_the_pause(self, redis_url):
        link = RedisLink(redis_url)
        link._paused_until_s = time.monotonic() - 0.01
        assert link.ask(link.client.ping)

    def test_a_connection_that_was_cut_is_made_again(self, redis_url, redis_client):
        link = RedisLink(redis_url)
        link.ask(link.client.ping)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert link.ask(link.client.ping)
