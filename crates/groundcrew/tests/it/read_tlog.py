"""Reads a telemetry log with the library of MAVLink's makers and prints what is in it as JSON."""

import json
import sys

from pymavlink import mavutil

log = mavutil.mavlink_connection(sys.argv[1], dialect="common")
messages = []
while (message := log.recv_match()) is not None:
    messages.append(
        {"type": message.get_type(), "time": message._timestamp, "seq": message.get_seq(),
         "frame": bytes(message.get_msgbuf()).hex()}
    )
json.dump(messages, sys.stdout)
