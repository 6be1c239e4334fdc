"""Pushes records whose bodies tell their number: PATH [COUNT], for ever without a count. Says how
many were made and refused."""

import sys

from groundcrew_recorder import USER_TYPES, Busy, NotUsable, Producer

try:
    ring = Producer(sys.argv[1])
except (Busy, NotUsable, OSError) as why:
    sys.exit(f"{type(why).__name__}: {why}")
refused = 0
with ring:
    while len(sys.argv) < 3 or ring.made < int(sys.argv[2]):
        number = ring.made
        body = (f"record {number} of Python " * (number % 7)).encode()
        refused += not ring.push(USER_TYPES + 7, body, number)
print(ring.made, refused)
