"""Asks a running recorder for rings: SOCKET NAME [BYTES]. Prints where it is, or why there is none."""

import sys

from groundcrew_recorder import Refused, ask_ring

path, name, *size = sys.argv[1:]
try:
    print(ask_ring(name, *map(int, size), path=path))
except Refused as why:
    print(why)
