"""Reads the Parquet files of a directory with DuckDB and prints columns, types and rows as JSON."""

import json
import pathlib
import sys

import duckdb

tables = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    relation = duckdb.read_parquet(str(path))
    types = dict(zip(relation.columns, map(str, relation.types)))
    # As a number: Python's own moments have no nanoseconds.
    columns = "* REPLACE (epoch_ns(utc::TIMESTAMP_NS) AS utc)"
    rows = [dict(zip(relation.columns, row)) for row in relation.order("seq").project(columns).fetchall()]
    tables[path.name] = {"types": types, "rows": rows}
json.dump(tables, sys.stdout, default=lambda value: value.hex())
