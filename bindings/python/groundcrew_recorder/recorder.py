"""Talks to a running recorder: asks for a ring, or sends records; docs/internals/recorder-socket.md.

A ring never makes its producer wait and outlives it. Sending over the socket is for programs that
cannot map memory, or that would rather wait than lose a record.
"""

import json
import socket
import struct

SOCKET = "/run/groundcrew/recorder.sock"

_HEAD = struct.Struct("<HHIQQ")
_ANSWER_MAX = 1 << 16
_VERSION = 1


class Refused(Exception):
    """The recorder does not let this producer in, or closed the connection; it says why."""


def _hello(path, **said):
    visit = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        try:
            visit.connect(path)
        except OSError as error:
            # Where nobody listens is what a person has to know.
            raise OSError(error.errno, error.strerror, path) from None
        visit.send(json.dumps({"v": _VERSION, **said}).encode())
        return visit, _answer(visit)
    except BaseException:
        visit.close()
        raise


def _answer(visit):
    said = visit.recv(_ANSWER_MAX)
    if not said:
        raise Refused("the recorder is gone")
    answer = json.loads(said)
    if answer.get("error"):
        raise Refused(answer["error"])
    return answer


def ask_ring(name, size=1 << 20, critical=False, path=SOCKET):
    """The path of the shared ring of this name, made if it is not there; for `Producer`.

    `path` is that of the recorder's socket, where the run directory is not `/run/groundcrew`.
    An `OSError` says that no recorder listens there: a producer that is to fly without one goes on.
    """
    visit, answer = _hello(path, name=name, ring=True, bytes=size, critical=critical)
    visit.close()
    return answer["ring"]


class Sender:
    """Sends records over the socket. One thread at a time may send."""

    def __init__(self, name, critical=False, path=SOCKET):
        self._visit, _ = _hello(path, name=name, critical=critical)
        self.made = 0

    def send(self, kind, body, time_ns=0, wait=True):
        """Sends a record, made at `time_ns` of CLOCK_BOOTTIME or when it arrives; whether it was
        taken. One that is not, because it does not wait, is told as lost with the next that is."""
        number, self.made = self.made, self.made + 1
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            self._visit.send(_HEAD.pack(kind, 0, 0, time_ns, number) + body, flags)
        except BlockingIOError:
            return False
        except OSError as why:
            # Why it closed the connection is in what it said last.
            _answer(self._visit)
            raise Refused(str(why)) from why
        return True

    def close(self):
        """Says that this producer ends."""
        self._visit.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
