"""Producer and reader of Groundcrew's flight recorder, with nothing but the standard library.

    from groundcrew_recorder import Producer, USER_TYPES, ask_ring
    with Producer(ask_ring("app")) as ring:
        ring.push(USER_TYPES + 1, b"something happened")

    from groundcrew_recorder import Flight
    for record in Flight("/var/lib/groundcrew/recordings/<flight id>"):
        print(record.kind, record.body)
"""

from .flight import Flight, NotASegment, Record
from .recorder import SOCKET, Refused, Sender, ask_ring
from .ring import BODY_MAX, USER_TYPES, Busy, NotUsable, Producer, now_ns

__all__ = [
    "BODY_MAX",
    "USER_TYPES",
    "Busy",
    "Flight",
    "NotASegment",
    "NotUsable",
    "Producer",
    "Record",
    "Refused",
    "SOCKET",
    "Sender",
    "ask_ring",
    "now_ns",
]
