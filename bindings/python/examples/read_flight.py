"""Reads the records of a flight with nothing but the standard library.

    python3 read_flight.py recordings/<flight id>

prints how many records of each type there are, and a digest of all of them. As a module,
records(directory) gives them one by one. The format: docs/internals/recorder-format.md.
"""

import pathlib
import struct
import sys
import zlib

SEGMENT = struct.Struct("<8sHHIII16s16sIIQQqII")  # the header of a segment, 96 bytes
FRAME = struct.Struct("<4sBBHHHIQQQ")  # the header of a record, 40 bytes
DIGEST = struct.Struct("<HHQQQ")
INDEX, BODY_MAX, TRAILER_LEN = 0x00F0, 1 << 20, 32


def read_segment(data):
    """Gives (type, source, time_ns, source_seq, seq, body) of each intact record, and None where
    bytes are no record."""
    if len(data) < SEGMENT.size:
        raise ValueError("shorter than the header of a segment")
    (magic, major, minor, frames_at, _, features, flight, _boot, number, _, _first_seq, _time_ns,
     _utc_ns, _, crc) = SEGMENT.unpack_from(data)
    if magic != b"GFDRSEG\0" or major != 1 or features != 0:
        raise ValueError(f"no segment that can be read: {magic!r}, format {major}.{minor}, {features:#x}")
    if crc != zlib.crc32(data[:92]):
        raise ValueError("the header is damaged")
    seed = zlib.crc32(struct.pack("<I", number), zlib.crc32(flight))
    at, told = frames_at, False
    while at < len(data):
        trailer = data[at:at + TRAILER_LEN]
        if len(data) - at == TRAILER_LEN and trailer[:8] == b"GFDREND\0":
            if zlib.crc32(trailer[:28], seed) == struct.unpack_from("<I", trailer, 28)[0]:
                return
        if len(data) - at >= FRAME.size + 4:
            magic, version, _, kind, source, _, length, time_ns, source_seq, seq = FRAME.unpack_from(data, at)
            end = at + FRAME.size + length
            if magic == b"GFDR" and version == 1 and length <= BODY_MAX and end + 4 <= len(data):
                if zlib.crc32(data[at:end], seed) == struct.unpack_from("<I", data, end)[0]:
                    if kind != INDEX:
                        yield kind, source, time_ns, source_seq, seq, data[at + FRAME.size:end]
                    at, told = end + 4, False
                    continue
        if not told:  # damage: go on at whatever may be the next record
            yield None
        at = data.find(b"GFDR", at + 1) if data.find(b"GFDR", at + 1) >= 0 else len(data)
        told = True


def records(directory):
    """Gives each record of a flight once, in the order in which it was written."""
    files = (pathlib.Path(directory) / "segments").glob("seg_*.bin*")
    next_seq = 0
    for path in sorted(files, key=lambda path: (int(path.name[4:].split(".")[0]), path.name)):
        try:
            for record in read_segment(path.read_bytes()):
                if record is None:
                    print(f"{path.name}: some bytes are no record", file=sys.stderr)
                elif record[4] >= next_seq:  # behind a failed segment a record may stand twice
                    next_seq = record[4] + 1
                    yield record
        except ValueError as why:
            print(f"{path.name}: {why}", file=sys.stderr)


if __name__ == "__main__":
    counts, digest = {}, 0
    for kind, source, time_ns, source_seq, seq, body in records(sys.argv[1]):
        counts[kind] = counts.get(kind, 0) + 1
        digest = zlib.crc32(body, zlib.crc32(DIGEST.pack(kind, source, time_ns, source_seq, seq), digest))
    for kind, count in sorted(counts.items()):
        print(f"{kind:#06x} {count}")
    print(f"records {sum(counts.values())} digest {digest:08x}")
