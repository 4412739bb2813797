"""Which addresses a backend may connect to: public ones, in whatever spelling.

An address of the inside (this machine, the network it stands in, the metadata service
of its cloud) can be written in many ways, and a name may stand for several. So what is
judged is always the number that a name came to, with what is wrapped in it taken out.
"""

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The services by which clouds tell a machine its own secrets, where a rule below would
# not say so: AWS, Oracle, Alibaba, and Azure, whose address is a public one.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "192.0.0.192",
        "100.100.100.200",
        "168.63.129.16",
    )
)

# The first that holds an address names the rule. By IANA's registries of special
# purpose addresses; `ipaddress` follows them with a delay of years.
_RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unspecified", ("0.0.0.0/8", "::/128")),
    ("loopback", ("127.0.0.0/8", "::1/128")),
    ("link-local", ("169.254.0.0/16", "fe80::/10")),
    ("multicast", ("224.0.0.0/4", "ff00::/8")),
    (
        "private",
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    ),
    ("carrier-grade NAT", ("100.64.0.0/10",)),
    (
        "reserved",
        (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "64:ff9b:1::/48",
            "100::/64",
            "2001::/23",
            "2001:db8::/32",
            "3fff::/20",
            "5f00::/16",
        ),
    ),
)
_NETWORKS: tuple[tuple[str, tuple[Network, ...]], ...] = tuple(
    (rule, tuple(ip_network(text) for text in texts)) for rule, texts in _RULES
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = IPv6Network("::/96")

# Nobody's server is here, also where the deployment allows a private host.
_NEVER = frozenset({"metadata", "link-local", "multicast", "unspecified"})


def find_rule(address: Address) -> str:
    """Return why an address is not public, such as "loopback"; empty if it is."""
    if address in _METADATA:
        return "metadata"
    inner = _unwrap(address)
    if inner:
        return next(filter(None, map(find_rule, inner)), "")
    for rule, networks in _NETWORKS:
        if any(address in network for network in networks):
            return rule
    if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
        return "reserved"
    return "" if address.is_global else "reserved"


def is_never_allowed(rule: str) -> bool:
    """Return whether no list of private hosts makes up for this rule."""
    return rule in _NEVER


def _unwrap(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 addresses that an IPv6 one leads to, none if it is its own."""
    if isinstance(address, IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    is_wrapped = address in _NAT64 or (
        address in _V4_COMPATIBLE and int(address) > 0xFFFF  # ::1 and :: are their own
    )
    return (IPv4Address(int(address) & 0xFFFFFFFF),) if is_wrapped else ()
