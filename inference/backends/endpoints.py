"""The base URLs of APIs: what may stand in one, and which hosts it may name.

https to public addresses only, but for the hosts that the deployment allows
(PRIVATE_ENDPOINTS in the environment, never a setting in the admin: who may edit a
backend could otherwise read the inside of the network by it).
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx2

from inference.backends.addresses import Address, find_rule, is_never_allowed

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class PrivateHosts:
    """The hosts that may have private addresses and be asked without TLS.

    Each is a host, "ollama", or one port of it, "10.0.0.7:8000".
    """

    names: frozenset[str] = frozenset()

    def holds(self, host: str, port: int) -> bool:
        """Return whether a host is among them, however its name is spelt."""
        name = normalise_host(host)
        return name in self.names or join(name, port) in self.names


def read_private_hosts(texts: Collection[str]) -> PrivateHosts:
    """Return the hosts of a list such as ("ollama", "10.0.0.7:8000", "[::1]:11434").

    Raises ValueError with the entry that is none.
    """
    return PrivateHosts(frozenset(_read_private_host(text.strip()) for text in texts))


def _read_private_host(text: str) -> str:
    is_bare_v6 = text.count(":") > 1 and not text.startswith("[")
    try:
        parts = urlsplit(f"//[{text}]" if is_bare_v6 else f"//{text}")
        host, port = parts.hostname or "", parts.port
        name = normalise_host(host)
    except ValueError:
        name = ""
    if not name or any(c in "/@*?#\\" or c.isspace() for c in text):
        raise ValueError(f"{text!r} is no host, and no host and port like ollama:11434")
    return name if port is None else join(name, port)


def normalise_host(host: str) -> str:
    """Return the one spelling of a host: lower case, ASCII, no brackets or last dot.

    An address is written as usual, whatever the spelling. Raises ValueError for what
    is no name.
    """
    try:
        ascii_host = httpx2.URL(scheme="https", host=host).raw_host.decode("ascii")
    except httpx2.InvalidURL as error:
        raise ValueError(f"{host!r} is no name of a host") from error
    address = read_address(ascii_host)
    return ascii_host.lower().rstrip(".") if address is None else str(address)


def read_address(host: str) -> Address | None:
    """Return the address that a host spells, None if it is a name.

    Also in the spellings that the system's resolver takes: 2130706433, 0x7f.1, 127.1.
    """
    bare = host.strip("[]").rstrip(".")
    try:
        return ip_address(bare)
    except ValueError:
        pass
    try:
        return ip_address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


def check_endpoint(endpoint: str, private_hosts: PrivateHosts) -> None:
    """Raise ValueError unless an endpoint may be asked; resolves no name.

    What a name comes to is looked at before each connection.
    """
    url = _read_url(endpoint)
    host, port = url.raw_host.decode("ascii"), find_port(url)
    if url.scheme != "https" and not private_hosts.holds(host, port):
        remedy = _build_remedy(host, port)
        raise ValueError(f"the endpoint must begin with https://; {remedy}")
    address = read_address(host)
    if address is not None and (reason := refuse(address, host, port, private_hosts)):
        raise ValueError(reason)


def find_port(url: httpx2.URL) -> int:
    """Return the port that a URL of a known scheme names or means."""
    return url.port or _DEFAULT_PORTS[url.scheme]


def refuse(address: Address, host: str, port: int, private_hosts: PrivateHosts) -> str:
    """Return why an address that a host came to is not asked, empty if it may be.

    The words are the operator's: the rule, and what can be done.
    """
    rule = find_rule(address)
    if not rule:
        return ""
    leads = "is" if address == read_address(host) else f"leads to {address}, which is"
    reason = f"{host} {leads} no public address ({rule})"
    if is_never_allowed(rule):
        return f"{reason}, and nobody serves a model there"
    if private_hosts.holds(host, port):
        return ""
    return f"{reason}; {_build_remedy(host, port)}"


def join(host: str, port: int) -> str:
    """Return a host and port as one text."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _build_remedy(host: str, port: int) -> str:
    return (
        "if it is a server of your own, whoever runs this installation allows it by "
        f"PRIVATE_ENDPOINTS={join(normalise_host(host), port)}"
    )


def _read_url(endpoint: str) -> httpx2.URL:
    """Return a base URL; raises ValueError for what is none."""
    try:
        parts = urlsplit(endpoint)
        url = httpx2.URL(endpoint)
        _ = parts.port  # raises ValueError out of range
    except (ValueError, httpx2.InvalidURL):
        raise ValueError("the endpoint is not a URL") from None
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host:
        raise ValueError("the endpoint must begin with https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the endpoint must not hold a user or password; use the key")
    if "?" in endpoint or "#" in endpoint or any(c.isspace() for c in endpoint):
        raise ValueError("the endpoint must not hold a query, fragment or space")
    if "\\" in endpoint or not endpoint.isprintable():
        raise ValueError("the endpoint is not a URL")
    return url
