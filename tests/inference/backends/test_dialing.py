"""What a call connects to: the address that was judged, and no other."""

import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx2
import pytest

from inference.backends.connection import LineTransport
from inference.backends.endpoints import read_private_hosts
from inference.errors import Misconfigured
from tests.inference.backends.openai_stand_in import KEY, OpenAIStandIn, head
from tests.inference.conftest import wait_until

PATIENT = httpx2.Timeout(5.0)


class Names:
    """Resolves any name to what it is told, in turn, and counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host, port):
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET6 if ":" in number else socket.AF_INET, (number, port))
            for number in answer
        ]


class StuckNames(Names):
    """Resolves nothing until it is released, then as told."""

    def __init__(self, *answers):
        super().__init__(*answers)
        self.release = threading.Event()
        self.error = None

    def __call__(self, host, port):
        found = super().__call__(host, port)
        self.release.wait(30)
        if self.error:
            raise self.error
        return found


@pytest.fixture
def stuck():
    names = StuckNames(["127.0.0.1"])
    yield names
    names.release.set()


@contextmanager
def dialled(names, allowed=(), timeout=PATIENT):
    """Return a function that gets a URL over a line of its own."""
    transport = LineTransport({}, read_private_hosts(allowed), names)
    client = httpx2.Client(transport=transport, trust_env=False)

    def get(url, on_line=lambda line: None):
        with transport.open_line(timeout) as line, transport.calling_on(line):
            on_line(line)
            return client.get(url).status_code

    yield get
    client.close()


@pytest.fixture
def full():
    """The port of a listener that takes no more connections: to connect hangs."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_name_is_resolved_once_for_each_connection(provider):
    provider.answer = [head()]
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    with dialled(names, ["gpu.lan"]) as get:
        assert get(f"http://gpu.lan:{provider.port}/") == 200
    assert names.asked == ["gpu.lan"]


def test_the_host_header_names_the_name(provider):
    provider.answer = [head()]
    with dialled(Names(["127.0.0.1"]), ["gpu.lan"]) as get:
        get(f"http://gpu.lan:{provider.port}/")
    assert provider.asked[0].headers["host"] == f"gpu.lan:{provider.port}"


def test_a_name_that_turns_inside_is_not_followed(provider):
    """Public when the row was saved, ours when it is called."""
    names = Names(["127.0.0.1"])
    with (
        dialled(names) as get,
        pytest.raises(Misconfigured, match=r"leads to 127.0.0.1.*\(loopback\)"),
    ):
        get(f"https://rebinding.example.com:{provider.port}/")
    assert provider.asked == []


@pytest.mark.parametrize("inside", ["10.0.0.1", "fd00:ec2::254", "::ffff:127.0.0.1"])
def test_one_inner_address_among_public_ones_is_enough(inside):
    names = Names(["93.184.216.34", inside])
    with dialled(names) as get, pytest.raises(Misconfigured):
        get("https://mixed.example.com/")


def test_an_allowed_name_does_not_lead_to_metadata():
    names = Names(["169.254.169.254"])
    with (
        dialled(names, ["gpu.lan"]) as get,
        pytest.raises(Misconfigured, match="metadata"),
    ):
        get("http://gpu.lan/")


def test_no_plain_request_leaves_for_a_public_host():
    with dialled(Names(["93.184.216.34"])) as get, pytest.raises(Misconfigured):
        get("http://api.example.com/")


def test_the_next_address_is_tried(provider):
    provider.answer = [head()]
    names = Names(["127.9.9.9", "127.0.0.1"])  # nobody listens on the first
    with dialled(names, ["gpu.lan"]) as get:
        assert get(f"http://gpu.lan:{provider.port}/") == 200


def test_all_addresses_share_one_deadline(full):
    names = Names(["127.0.0.1"] * 4)
    timeout = httpx2.Timeout(5.0, connect=0.2)
    started_s = time.monotonic()
    with (
        dialled(names, ["gpu.lan"], timeout) as get,
        pytest.raises(httpx2.ConnectTimeout),
    ):
        get(f"http://gpu.lan:{full}/")
    assert 0.15 < time.monotonic() - started_s < 0.8


def test_a_resolver_that_hangs_is_left(stuck):
    timeout = httpx2.Timeout(5.0, connect=0.2)
    started_s = time.monotonic()
    with dialled(stuck, timeout=timeout) as get, pytest.raises(httpx2.ConnectTimeout):
        get("https://lost.example.com/")
    assert time.monotonic() - started_s < 2


def test_a_resolver_that_hangs_keeps_one_thread(stuck):
    """Of a name, whatever the number of calls; the next one after it asks anew."""
    timeout = httpx2.Timeout(5.0, connect=0.2)
    with dialled(stuck, timeout=timeout) as get, ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(get, "https://lost.example.com/") for _ in range(16)]
        assert {type(call.exception()) for call in calls} == {httpx2.ConnectTimeout}
        assert stuck.asked == ["lost.example.com"]
        stuck.release.set()
        wait_until(lambda: "resolve-lost.example.com" not in threads())
        with pytest.raises(Misconfigured):
            get("https://lost.example.com/")
    assert len(stuck.asked) == 2


def threads():
    return [thread.name for thread in threading.enumerate()]


def test_all_who_ask_for_an_unknown_name_are_told(stuck):
    stuck.error = socket.gaierror("no such name")
    with dialled(stuck) as get, ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(get, "https://lost.example.com/") for _ in range(2)]
        wait_until(lambda: stuck.asked)
        stuck.release.set()
        for call in calls:
            assert "no such name" in str(call.exception())


def test_a_call_that_connects_can_be_hung_up(full):
    with dialled(Names(["127.0.0.1"]), ["gpu.lan"]) as get:
        started_s = time.monotonic()
        with pytest.raises(httpx2.ConnectError):
            get(
                f"http://gpu.lan:{full}/",
                lambda line: threading.Timer(0.1, line.hang_up).start(),
            )
        assert time.monotonic() - started_s < 2


def test_a_second_request_of_one_call_is_none_of_ours(provider):
    provider.answer = [head()]
    transport = LineTransport({}, read_private_hosts(["127.0.0.1"]))
    client = httpx2.Client(transport=transport, trust_env=False)
    with transport.open_line(PATIENT) as line, transport.calling_on(line):
        client.get(provider.url)
        with pytest.raises(RuntimeError, match="of its own"):
            client.get(provider.url)
    with pytest.raises(RuntimeError, match="of its own"):
        client.get(provider.url)
    client.close()
    assert len(provider.asked) == 1


def test_tls_speaks_of_the_name_and_verifies_it(certificate):
    """The server's certificate is its own: the handshake shows the name and fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names_seen = []
    context.sni_callback = lambda _socket, name, _context: names_seen.append(name)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=[listener, context])
        thread.start()
        url = f"https://gpu.lan:{listener.getsockname()[1]}/"
        with (
            dialled(Names(["127.0.0.1"]), ["gpu.lan"]) as get,
            pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            get(url)
        thread.join(5)
    assert names_seen == ["gpu.lan"]


def greet(listener, context):
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        context.wrap_socket(connection, server_side=True)


def test_the_key_goes_to_no_host_that_a_redirect_names(provider):
    target = OpenAIStandIn()
    provider.answer = [head(302, location=f"{target.url}/steal")]
    transport = LineTransport({"x-key": KEY}, read_private_hosts(["127.0.0.1"]))
    client = httpx2.Client(transport=transport, follow_redirects=False)
    with transport.open_line(PATIENT) as line, transport.calling_on(line):
        assert client.get(provider.url).status_code == 302
    client.close()
    target.close()
    assert target.asked == []
