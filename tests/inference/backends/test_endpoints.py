"""Which base URLs an operator may enter, in whatever spelling."""

from ipaddress import ip_address

import pytest

from inference.backends.addresses import find_rule
from inference.backends.endpoints import (
    check_endpoint,
    normalise_host,
    read_private_hosts,
    refuse,
)

NONE = read_private_hosts([])


@pytest.mark.parametrize(
    ("rule", "addresses"),
    [
        ("loopback", ["127.0.0.1", "127.8.9.10", "::1"]),
        ("unspecified", ["0.0.0.0", "0.1.2.3", "::"]),
        ("private", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"]),
        ("private", ["fc00::1", "fd12:3456::1", "fec0::1"]),
        ("link-local", ["169.254.0.1", "fe80::1"]),
        ("metadata", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254"]),
        ("metadata", ["192.0.0.192", "100.100.100.200", "168.63.129.16"]),
        ("carrier-grade NAT", ["100.64.0.1", "100.127.255.254"]),
        ("multicast", ["224.0.0.1", "239.255.255.250", "ff02::1"]),
        ("reserved", ["192.0.2.1", "198.18.0.1", "203.0.113.9", "240.0.0.1"]),
        ("reserved", ["255.255.255.255", "192.88.99.1", "64:ff9b:1::1", "100::1"]),
        ("reserved", ["2001:db8::1", "3fff::1", "5f00::1", "4000::1", "e000::1"]),
        # the same inside of other addresses: v4-mapped, v4-compatible, NAT64, 6to4
        ("loopback", ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"]),
        ("private", ["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1"]),
        ("metadata", ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]),
        ("metadata", ["2002:a9fe:a9fe::", "::ffff:168.63.129.16"]),
        # Teredo: the server's address, and the client's with all bits turned
        ("private", ["2001:0:0a00:0001::", "2001:0:5db8:d822:0:0:f5ff:fffe"]),
        ("", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1"]),
        ("", ["64:ff9b::1.1.1.1", "2002:0101:0101::1", "172.32.0.1", "100.128.0.1"]),
    ],
)
def test_knows_what_is_public(rule, addresses):
    found = {address: find_rule(ip_address(address)) for address in addresses}
    assert found == dict.fromkeys(addresses, rule)


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("127.0.0.1", "loopback"),
        ("127.0.0.1.", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f000001", "loopback"),
        ("0x7f.1", "loopback"),
        ("0177.1", "loopback"),
        ("127.1", "loopback"),
        ("127。0。0。1", "loopback"),
        ("[::1]", "loopback"),
        ("[0:0:0:0:0:0:0:1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[::1%lo]", "loopback"),
        ("0", "unspecified"),
        ("2852039166", "metadata"),
        ("0xa9fea9fe", "metadata"),
        ("0251.0376.43518", "metadata"),
        ("169.254.43518", "metadata"),
        ("[fd00:ec2::254]", "metadata"),
        ("10.1", "private"),
        ("192.168.257", "private"),
    ],
)
def test_refuses_inner_addresses_in_any_spelling(host, rule):
    with pytest.raises(ValueError, match=rf"no public address \({rule}\)"):
        check_endpoint(f"https://{host}/v1", NONE)


@pytest.mark.parametrize("host", ["0177.0.0.1", "0251.0376.0251.0376"])
def test_some_spellings_are_no_url_at_all(host):
    with pytest.raises(ValueError, match="is not a URL"):
        check_endpoint(f"https://{host}/v1", NONE)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.openai.com/v1",
        "https://api.openai.com:8443/v1/",
        "https://API.OpenAI.com./v1",
        "https://1.1.1.1/v1",
        "https://[2606:4700::1111]/v1",
        "https://müller.example/v1",
        "https://localhost.example.com",
    ],
)
def test_accepts_public_ones(endpoint):
    """By https, which is what is wrong with the same one by http."""
    check_endpoint(endpoint, NONE)
    with pytest.raises(ValueError, match="must begin with https://"):
        check_endpoint(endpoint.replace("https:", "http:"), NONE)


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("http://ollama:11434/v1", "ollama"),
        ("http://ollama:11434/v1", "ollama:11434"),
        ("http://OLLAMA.:11434/v1", "Ollama"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://127.1:8000", "127.0.0.1"),
        ("http://[::1]:8000", "::1"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://10.0.0.7/v1", "10.0.0.7:443"),
        ("http://gpu.lan/v1", "gpu.lan:80"),
    ],
)
def test_accepts_the_hosts_of_the_deployment(endpoint, allowed):
    check_endpoint(endpoint, read_private_hosts([allowed]))
    with pytest.raises(ValueError, match="PRIVATE_ENDPOINTS="):
        check_endpoint(endpoint, NONE)


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("http://ollama:11434", "ollama:8000"),
        ("http://ollama.evil.example", "ollama"),
        ("http://10.0.0.8", "10.0.0.7"),
        ("http://api.example.com/v1", "ollama"),
    ],
)
def test_another_host_is_not_allowed_with_it(endpoint, allowed):
    with pytest.raises(ValueError, match="must begin with https://"):
        check_endpoint(endpoint, read_private_hosts([allowed]))


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "224.0.0.1"])
def test_no_list_allows_metadata_and_such(host):
    with pytest.raises(ValueError, match="nobody serves a model there"):
        check_endpoint(f"http://{host}/v1", read_private_hosts([host]))


def test_the_words_name_the_rule_and_the_remedy():
    reason = refuse(ip_address("10.0.0.5"), "gpu.example.com", 8000, NONE)
    assert reason == (
        "gpu.example.com leads to 10.0.0.5, which is no public address (private); if "
        "it is a server of your own, whoever runs this installation allows it by "
        "PRIVATE_ENDPOINTS=gpu.example.com:8000"
    )


@pytest.mark.parametrize(
    ("host", "spelling"),
    [
        ("Ollama.", "ollama"),
        ("0x7f.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[0::1]", "::1"),
        ("MÜLLER.example", "xn--mller-kva.example"),
    ],
)
def test_a_host_has_one_spelling(host, spelling):
    assert normalise_host(host) == spelling


@pytest.mark.parametrize("entry", ["", "http://a", "a/b", "*", "a b", "me@a", "a:b"])
def test_says_which_entry_is_no_host(entry):
    with pytest.raises(ValueError, match="is no host"):
        read_private_hosts(["ollama", entry])
