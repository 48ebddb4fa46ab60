"""What counts as one address, where so many from one of them are too many."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address


def place_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text means, maybe with a port; None: none.

    An IPv4 address that comes as one of IPv6 is what it is.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else found.ipv4_mapped or found


def network_of(place: IPv4Address | IPv6Address) -> str:
    """The address; of IPv6, what one customer gets."""
    if isinstance(place, IPv4Address):
        return str(place)
    return str(IPv6Network((int(place), 64), strict=False))
