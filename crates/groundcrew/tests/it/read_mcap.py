"""Reads an MCAP file with the library of the format's makers and prints what is in it as JSON."""

import json
import sys

from mcap.reader import make_reader

with open(sys.argv[1], "rb") as file:
    reader = make_reader(file, validate_crcs=True)
    summary = reader.get_summary()
    messages = [
        {"topic": channel.topic, "schema": schema.name, "encoding": [schema.encoding, channel.message_encoding],
         "log_time": message.log_time, "publish_time": message.publish_time, "sequence": message.sequence,
         "payload": json.loads(message.data), "properties": sorted(json.loads(schema.data)["properties"])}
        for schema, channel, message in reader.iter_messages(log_time_order=False)
    ]
    counts = {summary.channels[id].topic: count for id, count in summary.statistics.channel_message_counts.items()}
    json.dump({"messages": messages, "counts": counts}, sys.stdout)
