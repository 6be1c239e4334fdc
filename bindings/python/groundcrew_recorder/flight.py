"""Reads the records of a flight; docs/internals/recorder-format.md has the format.

Nothing is believed without its check, and never more than a few MiB are held at once.
"""

import pathlib
import re
import struct
import zlib
from typing import NamedTuple

_SEGMENT = struct.Struct("<8sHHIII16s16sIIQQqII")
_FRAME = struct.Struct("<4sBBHHHIQQQ")
_BODY_MAX = 1 << 20
_FRAME_MAX = _FRAME.size + _BODY_MAX + 4
_TRAILER, _INDEX = 32, 0x00F0
_NAME = re.compile(r"seg_(\d{5,})\.bin(\.tmp)?")
_CHUNK = 4 << 20


class NotASegment(Exception):
    """The file is no segment that this reader knows."""


class Record(NamedTuple):
    """A record of a flight."""

    kind: int
    source: int
    time_ns: int
    source_seq: int
    seq: int
    body: bytes


class Flight:
    """A flight's directory, or that of its segments. Each pass gives every record once, in the
    order in which they were written; what was met beside them stands in `troubles` then."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        inside = directory / "segments"
        self.directory = inside if inside.is_dir() else directory
        self.troubles = []

    def segments(self):
        """The files of the segments, by number."""
        found = []
        for path in self.directory.iterdir():
            name = _NAME.fullmatch(path.name)
            if name and path.is_file() and not path.is_symlink():
                found.append((int(name[1]), path.name, path))
        return [path for _, _, path in sorted(found)]

    def __iter__(self):
        self.troubles = []
        next_seq = 0
        for path in self.segments():
            try:
                for record in self._records(path):
                    # Behind a segment that failed a record may stand twice.
                    if record.seq >= next_seq:
                        next_seq = record.seq + 1
                        yield record
            except (NotASegment, OSError) as why:
                self.troubles.append(f"{path.name}: {why}")

    def _records(self, path):
        with open(path, "rb") as file:
            data = file.read(_CHUNK)
            frames_at, seed = _segment(data)
            data, at, base, damage = data[frames_at:], 0, frames_at, None
            ended = False
            while True:
                if not ended and len(data) - at < _FRAME_MAX:
                    more = file.read(_CHUNK)
                    ended = not more
                    data, base, at = data[at:] + more, base + at, 0
                if at >= len(data):
                    break
                frame = _frame(data, at, seed)
                if frame is None and _is_trailer(data[max(at, len(data) - 33):], seed):
                    at = len(data)
                elif frame is None:
                    if damage is None:
                        damage = base + at
                    following = data.find(b"GFDR", at + 1)
                    # The first bytes of the next one may stand at the very end.
                    at = following if following >= 0 else max(at + 1, len(data) - 3)
                    continue
                if damage is not None:
                    self.troubles.append(f"{path.name}: no records from byte {damage} on")
                    damage = None
                if frame is not None:
                    at += _FRAME.size + len(frame.body) + 4
                    if frame.kind != _INDEX:
                        yield frame
            if damage is not None:
                self.troubles.append(f"{path.name}: no records from byte {damage} to its end")


def _segment(data):
    """Where the frames begin, and what their checks begin with."""
    if len(data) < _SEGMENT.size:
        raise NotASegment(f"{len(data)} bytes, a segment begins with {_SEGMENT.size}")
    magic, major, minor, frames_at, _, features, flight, _, number, *_, crc = _SEGMENT.unpack_from(data)
    if magic != b"GFDRSEG\0":
        raise NotASegment("it does not begin like a segment of a flight")
    if major != 1 or features:
        raise NotASegment(f"format {major}.{minor} with features {features:#x}, this reader knows 1.x")
    if crc != zlib.crc32(data[:92]) or not _SEGMENT.size <= frames_at <= 4096:
        raise NotASegment("its header is damaged")
    return frames_at, zlib.crc32(struct.pack("<I", number), zlib.crc32(flight))


def _frame(data, at, seed):
    """The record at an offset, or None."""
    if len(data) - at < _FRAME.size + 4:
        return None
    magic, version, _, kind, source, _, length, time_ns, source_seq, seq = _FRAME.unpack_from(data, at)
    end = at + _FRAME.size + length
    if magic != b"GFDR" or version != 1 or length > _BODY_MAX or end + 4 > len(data):
        return None
    if zlib.crc32(data[at:end], seed) != int.from_bytes(data[end:end + 4], "little"):
        return None
    return Record(kind, source, time_ns, source_seq, seq, data[at + _FRAME.size:end])


def _is_trailer(data, seed):
    """Whether the rest of a file is the trailer of a sealed segment."""
    crc = int.from_bytes(data[28:32], "little")
    return len(data) == _TRAILER and data[:8] == b"GFDREND\0" and zlib.crc32(data[:28], seed) == crc
