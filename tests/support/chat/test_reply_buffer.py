"""What a reply buffer promises, in this process and in Redis."""

import threading
from uuid import uuid4

import pytest

from inference.redis_link import RedisLink
from support.chat.reply_buffer import (
    BufferedText,
    MemoryReplyBuffer,
    RedisReplyBuffer,
)
from tests.ports import free_port


@pytest.fixture(params=["memory", "redis"])
def buffer(request):
    if request.param == "memory":
        yield MemoryReplyBuffer()
        return
    buffer = RedisReplyBuffer(RedisLink(request.getfixturevalue("redis_url")))
    buffer.clear()
    yield buffer
    buffer.clear()


@pytest.fixture
def turn_id():
    return uuid4()


def test_text_is_added_by_offset(buffer, turn_id):
    buffer.start(turn_id, 1)
    assert buffer.append(turn_id, 1, 0, "Grüße ")
    assert buffer.append(turn_id, 1, 6, "🏕️\u0000")
    assert buffer.read(turn_id) == BufferedText(1, "Grüße 🏕️\u0000")


def test_a_started_reply_is_empty_and_an_unknown_one_is_none(buffer, turn_id):
    buffer.start(turn_id, 1)
    assert buffer.read(turn_id) == BufferedText(1, "")
    assert buffer.read(uuid4()) is None


def test_the_beginning_needs_no_start(buffer, turn_id):
    assert buffer.append(turn_id, 1, 0, "one ")
    assert buffer.append(turn_id, 1, 4, "two")
    assert buffer.read(turn_id) == BufferedText(1, "one two")


def test_the_middle_of_an_unknown_reply_is_refused(buffer, turn_id):
    assert not buffer.append(turn_id, 1, 4, "two")
    assert buffer.read(turn_id) is None


def test_a_buffer_of_one_process_has_nobody_to_publish_to(turn_id):
    with pytest.raises(ValueError, match="publishes nothing"):
        MemoryReplyBuffer().append(turn_id, 1, 0, "text", ("channel", b"message"))


@pytest.mark.parametrize("offset", [0, 4, 6, 100])
def test_text_that_does_not_join_is_refused(buffer, turn_id, offset):
    buffer.start(turn_id, 1)
    buffer.append(turn_id, 1, 0, "12345")
    assert not buffer.append(turn_id, 1, offset, "abc")
    assert buffer.read(turn_id).text == "12345"


def test_the_same_command_again_adds_nothing(buffer, turn_id):
    buffer.start(turn_id, 1)
    buffer.append(turn_id, 1, 0, "one ")
    assert buffer.append(turn_id, 1, 4, "two")
    assert buffer.append(turn_id, 1, 4, "two")
    assert not buffer.append(turn_id, 1, 4, "owt")
    assert buffer.read(turn_id).text == "one two"


def test_nothing_can_be_added_as_nothing(buffer, turn_id):
    buffer.start(turn_id, 1)
    assert buffer.append(turn_id, 1, 0, "")
    assert not buffer.append(turn_id, 1, 3, "")


@pytest.mark.parametrize("attempt", [1, 3])
def test_another_attempt_adds_nothing(buffer, turn_id, attempt):
    buffer.start(turn_id, 2)
    assert not buffer.append(turn_id, attempt, 0, "late")
    assert buffer.read(turn_id) == BufferedText(2, "")


def test_a_newer_attempt_begins_empty(buffer, turn_id):
    buffer.start(turn_id, 9)
    buffer.append(turn_id, 9, 0, "old")
    buffer.start(turn_id, 10)
    assert buffer.read(turn_id) == BufferedText(10, "")


@pytest.mark.parametrize("attempt", [1, 2])
def test_starting_an_attempt_late_or_twice_changes_nothing(buffer, turn_id, attempt):
    buffer.start(turn_id, 2)
    buffer.append(turn_id, 2, 0, "text")
    buffer.start(turn_id, attempt)
    assert buffer.read(turn_id) == BufferedText(2, "text")


def test_a_lost_text_is_restored_and_goes_on(buffer, turn_id):
    assert not buffer.append(turn_id, 2, 10, "more")
    buffer.restore(turn_id, 2, "0123456789more")
    assert buffer.append(turn_id, 2, 14, "!")
    assert buffer.read(turn_id) == BufferedText(2, "0123456789more!")


def test_a_replaced_worker_restores_nothing(buffer, turn_id):
    buffer.start(turn_id, 3)
    buffer.restore(turn_id, 2, "of another worker")
    assert buffer.read(turn_id) == BufferedText(3, "")


def test_what_is_discarded_is_gone(buffer, turn_id):
    buffer.start(turn_id, 1)
    buffer.discard(turn_id)
    assert buffer.read(turn_id) is None
    assert not buffer.append(turn_id, 1, 3, "late")


def test_of_two_writers_one_wins_at_each_offset(buffer, turn_id):
    buffer.start(turn_id, 1)

    def write(letter: str) -> None:
        for offset in range(100):
            buffer.append(turn_id, 1, offset, letter)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = buffer.read(turn_id).text
    assert 100 >= len(text) > 0
    assert set(text) <= set("abcd")


class TestInRedis:
    @pytest.fixture
    def link(self, redis_url):
        return RedisLink(redis_url)

    def test_another_process_reads_it(self, link, redis_url, turn_id):
        RedisReplyBuffer(link).start(turn_id, 1)
        other = RedisReplyBuffer(RedisLink(redis_url))
        assert other.read(turn_id) == BufferedText(1, "")

    def test_it_ends_by_itself(self, link, turn_id):
        buffer = RedisReplyBuffer(link)
        buffer.start(turn_id, 1)
        buffer.append(turn_id, 1, 0, "text")
        assert 0 < link.client.ttl(buffer._key(turn_id)) <= 3600

    def test_a_hundred_deltas_need_one_connection(self, link, turn_id):
        buffer = RedisReplyBuffer(link)
        buffer.start(turn_id, 1)
        before = link.client.info("stats")["total_connections_received"]
        for offset in range(100):
            buffer.append(turn_id, 1, offset, "x")
        after = link.client.info("stats")["total_connections_received"]
        assert after == before

    def test_what_fitted_is_published_in_the_same_step(self, link, turn_id):
        buffer, channel = RedisReplyBuffer(link), f"news-{turn_id}"
        buffer.start(turn_id, 1)
        with link.client.pubsub(ignore_subscribe_messages=True) as listener:
            listener.subscribe(channel)
            listener.get_message(timeout=5)  # the answer to that
            assert buffer.append(turn_id, 1, 0, "text", (channel, b"it grew"))
            assert not buffer.append(turn_id, 1, 9, "gap", (channel, b"it did not"))
            assert not buffer.append(turn_id, 2, 4, "next", (channel, b"nor this"))
            link.client.publish(channel, "the end")
            heard = [listener.get_message(timeout=5)["data"] for _ in range(2)]
        assert heard == ["it grew", "the end"]

    def test_without_redis_nothing_is_kept_and_nothing_raised(self, turn_id):
        link = RedisLink(f"redis://127.0.0.1:{free_port()}/0")
        buffer = RedisReplyBuffer(link)
        buffer.start(turn_id, 1)
        buffer.restore(turn_id, 1, "text")
        buffer.discard(turn_id)
        buffer.clear()
        assert not buffer.append(turn_id, 1, 0, "text")
        assert buffer.read(turn_id) is None
