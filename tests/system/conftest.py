"""Servers: one for each test, or one for all tests of a file."""

import os
import random
from urllib.parse import urlsplit

import pytest
from redis import Redis

from tests.services import TestRedis, running
from tests.system.server import Server, Visitor
from tests.system.stack import Stack, create_database


@pytest.fixture(scope="session")
def set_up_server(tmp_path_factory):
    """A server that is set up, without articles, and never started."""
    server = Server(tmp_path_factory.mktemp("set-up"))
    server.set_up()
    return server


@pytest.fixture
def server(tmp_path, set_up_server):
    """A server that is set up, without articles, and not started yet."""
    server = Server(tmp_path)
    server.set_up_like(set_up_server)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scripted_server(tmp_path_factory, set_up_server):
    """A running server for all tests of a file: starting takes seconds."""
    settings = {"WORKER_THREADS": "32"}  # that nobody waits for a free one
    server = Server(tmp_path_factory.mktemp("scripted"), settings)
    server.set_up_like(set_up_server)
    server.use_scripts("say fine")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def set_up_database(postgres_url, redis_url, tmp_path_factory):
    """The name of a Postgres database that is set up, without articles."""
    url = create_database(postgres_url)
    folder = tmp_path_factory.mktemp("set-up-database")
    Stack(folder, database_url=url, redis_url=redis_url).set_up()
    return urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="module")
def redis():
    """A Redis of a file's own: it may be killed."""
    with running(TestRedis) as redis:
        yield redis


@pytest.fixture(scope="module")
def new_stack(postgres_url, set_up_database, redis, tmp_path_factory):
    """Return a maker of web and workers on a database of their own, none started."""
    stacks = []

    def make(**settings: str) -> Stack:
        url = create_database(postgres_url, set_up_database)
        Redis.from_url(redis.url).flushall()
        folder = tmp_path_factory.mktemp("stack")
        stacks.append(Stack(folder, settings, database_url=url, redis_url=redis.url))
        return stacks[-1]

    yield make
    for stack in stacks:
        stack.kill()


@pytest.fixture
def visitor(server):
    """Return a maker of visitors; their sockets are closed at the end."""
    visitors = []

    def make() -> Visitor:
        visitors.append(Visitor(server))
        visitors[-1].connect()
        return visitors[-1]

    yield make
    for one in visitors:
        one.disconnect()


@pytest.fixture
def dice():
    """Return random dice; their seed is printed when a test fails, to repeat it."""
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**6))
    print(f"TEST_SEED={seed}")  # noqa: T201
    return random.Random(seed)
