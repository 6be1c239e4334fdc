"""Reads a flight: prints a line per record, then the troubles."""

import sys
import zlib

from groundcrew_recorder import Flight

flight = Flight(sys.argv[1])
for record in flight:
    print(*record[:5], len(record.body), zlib.crc32(record.body))
for trouble in flight.troubles:
    print("trouble", trouble)
