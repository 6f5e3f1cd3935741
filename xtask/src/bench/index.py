"""Indexes a feed of adds as a person would with the official client, and prints what it took.

Arguments: FILE COLLECTION MODE REST_PORT GRPC_PORT, where MODE is `dynamic`, `fixed:SIZE:REQUESTS`, or
`stream:REQUESTS` (the call `BatchStream` of servers from 1.36 on).
The clock starts when the client is connected: the start of the interpreter is not counted.
"""

import json
import sys
import time
import uuid

import weaviate
from weaviate.classes.config import ConsistencyLevel

file, name, mode, rest, grpc = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
client = weaviate.connect_to_custom(
    http_host="127.0.0.1", http_port=rest, http_secure=False,
    grpc_host="127.0.0.1", grpc_port=grpc, grpc_secure=False, skip_init_checks=True,
)
if mode == "dynamic":
    batching = client.batch.dynamic(consistency_level=ConsistencyLevel.QUORUM)
elif mode.startswith("stream"):
    _, requests = mode.split(":")
    batching = client.batch.stream(concurrency=int(requests), consistency_level=ConsistencyLevel.QUORUM)
else:
    _, size, requests = mode.split(":")
    batching = client.batch.fixed_size(
        batch_size=int(size), concurrent_requests=int(requests), consistency_level=ConsistencyLevel.QUORUM,
    )
objects = 0
started, processor = time.monotonic(), time.process_time()
with open(file, encoding="utf-8") as lines, batching as batch:
    for line in lines:
        change = json.loads(line)
        repo, path = change["repo"], change["path"]
        properties = {"repo": repo, "path": path, "content": change["content"], **change.get("metadata", {})}
        batch.add_object(
            collection=name,
            properties=properties,
            uuid=uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}{repo}:{path}"),
            vector=change.get("vector"),
        )
        objects += 1
figures = {
    "seconds": time.monotonic() - started,
    "processor": time.process_time() - processor,
    "objects": objects - len(client.batch.failed_objects),
}
client.close()
print(json.dumps(figures))
