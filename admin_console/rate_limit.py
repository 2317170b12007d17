"""How often one address may try what anybody can open: a bucket of turns for each, in memory.

The secrets behind these pages are too long to be guessed; what is spared is the work of looking many up. Each process
counts for itself.
"""

import ipaddress
import math
from collections import OrderedDict

from app_core import clock

BURST, PER_SECOND = 40, 0.5
"""Turns at once, and how fast others come: a company behind one address can start its accounts in one meeting."""
MOST = 20_000
"""How many addresses are remembered; beyond that, those that were quiet the longest begin anew."""


class Buckets:
    """The turns that addresses have left."""

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND, most: int = MOST) -> None:
        self.burst = burst
        self.per_second = per_second
        self.most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, address: str) -> int:
        """Take a turn of an address; give 0, or the whole seconds until there is one again."""
        now, key = clock.ticks(), network_of(address)
        left, seen = self._left.pop(key, (float(self.burst), now))
        left = min(self.burst, left + (now - seen) * self.per_second)
        granted = left >= 1
        self._left[key] = (left - granted, now)
        if len(self._left) > self.most:
            self._left.popitem(last=False)
        return 0 if granted else math.ceil((1 - left) / self.per_second)


def network_of(address: str) -> str:
    """Give what counts as one address: of IPv6 the /64, for a household has all of it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
