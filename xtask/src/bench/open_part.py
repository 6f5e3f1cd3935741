"""Opens a run of Parquet as a person with notebooks would, by pandas and by DuckDB, and compares it with the feed that
it was made of: columns and their types, the number of rows, and every value and vector.

Arguments: RUNS FEED. Says what differs and fails, or prints what was opened.
"""

import collections
import json
import pathlib
import sys

import duckdb
import numpy as np
import pandas as pd

runs, feed = pathlib.Path(sys.argv[1]), sys.argv[2]


def wrong(message):
    sys.exit(f"what pandas and DuckDB read is not what was backed up: {message}")


wanted = {}
with open(feed, encoding="utf-8") as lines:
    for line in lines:
        line = json.loads(line)
        properties = {**line["metadata"], **{name: line[name] for name in ("repo", "path", "content")}}
        wanted[line["path"]] = (properties, np.array(line["vector"], dtype=np.float32))
properties = sorted(next(iter(wanted.values()))[0])
columns = ["id", *properties, "vector", "_rest"]
parts = sorted(str(part) for part in runs.rglob("*.parquet"))
if not parts:
    wrong(f"no part below {runs}")

# pandas: each part by itself, and all of them as one frame.
frames = [pd.read_parquet(part) for part in parts]
frame = pd.concat(frames)
if sorted(frame.columns) != sorted(columns):
    wrong(f"pandas: columns {sorted(frame.columns)} instead of {sorted(columns)}")
if len(frame) != len(wanted) or frame["id"].nunique() != len(wanted):
    wrong(f"pandas: {len(frame)} rows with {frame['id'].nunique()} ids instead of {len(wanted)}")
if frame["lines"].dtype != np.int64:
    wrong(f"pandas: lines are {frame['lines'].dtype} and not int64")
for part in frames:
    if not part["id"].is_monotonic_increasing:
        wrong("pandas: a part is not sorted by id")
for row in frame.to_dict("records"):
    expected, vector = wanted[row["path"]]
    found = {name: row[name] for name in properties}
    if found != expected:
        wrong(f"pandas: {found} instead of {expected}")
    if row["vector"].dtype != np.float32 or not np.array_equal(row["vector"], vector):
        wrong(f"pandas: the vector of {row['path']} is {row['vector'].dtype}, and not the same numbers")

# DuckDB: by SQL over all parts at once.
duck = duckdb.connect()
table = f"read_parquet({parts!r})"
types = dict(row[:2] for row in duck.execute(f"describe select * from {table}").fetchall())
expected = {"id": "VARCHAR", "content": "VARCHAR", "lines": "BIGINT", "vector": "FLOAT[]"}
if sorted(types) != sorted(columns) or any(types[name] != kind for name, kind in expected.items()):
    wrong(f"DuckDB: columns {types}")
rows, ids, lines = duck.execute(f"select count(*), count(distinct id), sum(lines) from {table}").fetchone()
total = sum(found["lines"] for found, _ in wanted.values())
if (rows, ids, lines) != (len(wanted), len(wanted), total):
    wrong(f"DuckDB: {rows} rows, {ids} ids, {lines} lines instead of {len(wanted)}, {len(wanted)}, {total}")
repos = dict(duck.execute(f"select repo, count(*) from {table} group by repo").fetchall())
if repos != collections.Counter(found["repo"] for found, _ in wanted.values()):
    wrong(f"DuckDB: objects by repo are {repos}")
for path, content, vector in duck.execute(f"select path, content, vector from {table}").fetchall():
    found, numbers = wanted[path]
    if content != found["content"] or not np.array_equal(np.array(vector, dtype=np.float32), numbers):
        wrong(f"DuckDB: {path} is not the same")

print(json.dumps({
    "pandas": pd.__version__,
    "duckdb": duckdb.__version__,
    "parts": len(parts),
    "rows": rows,
    "columns": columns,
}))
