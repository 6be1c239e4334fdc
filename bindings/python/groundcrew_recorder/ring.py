"""Pushes records into a ring that the recorder made; docs/internals/recorder-ring.md has its layout.

A push copies the record and publishes it; it waits for nobody. A ring that is full refuses, and
the recorder tells exactly what was refused. What was pushed outlives this process.
"""

import fcntl
import mmap
import os
import platform
import stat
import struct
import threading
import time
import zlib

BODY_MAX = 1 << 20
USER_TYPES = 0x8000

_HEADER = 256
_CAPACITIES = range(1 << 12, (1 << 26) + 1)
_NUMBER_MAX = 1 << 56
# Places of words in the header.
_HEAD, _MADE, _REFUSED, _PID, _START, _STATE = 8, 9, 10, 11, 12, 13
_TAIL, _TAIL_CHECK, _CLOSED = 16, 17, 19
_ATTACHED, _DETACHED = 1, 2
_MASK = (1 << 64) - 1

_FIXED = struct.Struct("<8sHHIQI")
_SEED = struct.Struct("<IQ")
_ENTRY = struct.Struct("<IHHIQQ")  # what follows the check
_CRC = struct.Struct("<I")


class NotUsable(Exception):
    """The file is no ring, or one that was damaged."""


class Busy(Exception):
    """The ring has a producer."""


def now_ns():
    """The time now, as records carry it: nanoseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _started():
    """When this process was started, clock ticks since boot."""
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


class Producer:
    """The only producer of a ring. One thread at a time may push."""

    def __init__(self, path):
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        self._file = os.open(path, flags)
        self._words = None
        try:
            self._attach(path)
        except BaseException:
            os.close(self._file)
            raise

    def _attach(self, path):
        found = os.fstat(self._file)
        if not stat.S_ISREG(found.st_mode) or found.st_size - _HEADER not in _CAPACITIES:
            raise NotUsable(f"{path} is no ring")
        try:
            # It goes with the process, however that ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"the ring {path} has a producer") from None
        memory = mmap.mmap(self._file, found.st_size)
        magic, version, _flags, generation, capacity, crc = _FIXED.unpack_from(memory)
        if (
            crc != zlib.crc32(memory[:24])
            or (magic, version) != (b"GFDRRING", 1)
            or capacity != found.st_size - _HEADER
            or capacity & (capacity - 1)
            or generation == 0
        ):
            raise NotUsable(f"{path} is no ring of this version")
        words = memoryview(memory).cast("Q")
        head, tail, made = words[_HEAD], words[_TAIL], words[_MADE]
        if (
            words[_TAIL_CHECK] != tail ^ _MASK
            or not tail <= head <= tail + capacity
            or (head | tail) % 8
            or max(head, made) >= _NUMBER_MAX
        ):
            raise NotUsable(f"{path}: head {head} and tail {tail} do not fit its capacity {capacity}")
        self._memory, self._capacity, self._generation = memory, capacity, generation
        self._head, self._tail, self._made = head, tail, made
        words[_PID], words[_START] = os.getpid(), _started()
        self._fence()
        words[_STATE] = _ATTACHED
        self._words = words

    @property
    def made(self):
        """Records that were made, those that were refused among them."""
        return self._made

    def push(self, kind, body=b"", time_ns=None):
        """Hands a record over; whether there was room. One that is refused has used up its
        number."""
        words, number = self._words, self._made
        self._made = words[_MADE] = number + 1
        length = 32 + (len(body) + 7) // 8 * 8
        if len(body) > BODY_MAX or not self._has_room(length):
            self._fence()
            words[_REFUSED] = self._made
            return False
        if time_ns is None:
            time_ns = now_ns()
        checked = _ENTRY.pack(len(body), kind, 0, 0, time_ns, number)
        crc = zlib.crc32(_SEED.pack(self._generation, self._head))
        crc = zlib.crc32(body, zlib.crc32(checked, crc))
        entry = b"".join((_CRC.pack(crc), checked, body, bytes(-len(body) % 8)))
        at = self._head & (self._capacity - 1)
        first = min(length, self._capacity - at)
        self._memory[_HEADER + at:_HEADER + at + first] = entry[:first]
        self._memory[_HEADER:_HEADER + length - first] = entry[first:]
        self._head += length
        self._fence()
        words[_HEAD] = self._head
        return True

    def _has_room(self, length):
        words = self._words
        if words[_CLOSED] or self._made >= _NUMBER_MAX:
            return False
        if self._head - self._tail + length <= self._capacity:
            return True
        tail = words[_TAIL]
        self._fence()
        # A tail that is half written is not the one to go by.
        if words[_TAIL_CHECK] == tail ^ _MASK and tail % 8 == 0 and self._tail <= tail <= self._head:
            self._tail = tail
        return self._head - self._tail + length <= self._capacity

    _lock = threading.Lock()

    if platform.machine() in ("x86_64", "AMD64"):

        def _fence(self):
            """What was stored before is seen before what is stored later: always so here."""

    else:

        def _fence(self):
            """What was stored before is seen before what is stored later.

            Nothing moves behind the first release nor before the second acquisition, and the two
            stay in order."""
            for _ in range(2):
                self._lock.acquire()
                self._lock.release()

    def close(self):
        """Says that this producer ends."""
        if self._words is not None:
            self._fence()
            self._words[_STATE] = _DETACHED
            self._words.release()
            self._words = None
            self._memory.close()
            os.close(self._file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
