"""Records through a running recorder: SOCKET. Some over the socket, some into a ring, some wrong."""

import sys

from groundcrew_recorder import USER_TYPES, Producer, Refused, Sender, ask_ring

path = sys.argv[1]
kind = USER_TYPES + 7

with Sender("sender", path=path) as sender:
    for number in range(1000):
        body = f"record {number} over the socket".encode() * (number % 50 + 1)
        assert sender.send(kind, body, time_ns=number + 1)
    sender.made += 3  # as if they had not fitted
    assert sender.send(kind, b"the last")

ring = ask_ring("ringer", size=1 << 16, path=path)
assert ask_ring("ringer", path=path) == ring
with Producer(ring) as producer:
    for number in range(10):
        assert producer.push(kind, f"record {number} through the ring".encode())

for name in ["", "../etc", "a" * 65]:
    try:
        ask_ring(name, path=path)
    except Refused as why:
        print(why)
    else:
        sys.exit(f"{name!r} is no name")

with Sender("liar", path=path) as sender:
    sender.send(kind, b"")
    sender.made = 0
    try:
        for _ in range(10_000):
            sender.send(kind, b"")
            sender.made = 0
    except Refused as why:
        print(why)
    else:
        sys.exit("a number that was used is refused")
