"""Reads a collection into a file, or writes it back, as a person would by hand with the official client.

Arguments: read|write FILE COLLECTION REST_PORT GRPC_PORT. The clock starts when the client is connected: the start of
the interpreter is not counted. The file is one JSON object a line, written as Python writes it.
"""

import json
import sys
import time

import weaviate
from weaviate.classes.config import ConsistencyLevel

what, file, name, rest, grpc = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
client = weaviate.connect_to_custom(
    http_host="127.0.0.1", http_port=rest, http_secure=False,
    grpc_host="127.0.0.1", grpc_port=grpc, grpc_secure=False, skip_init_checks=True,
)
objects = 0
started, processor = time.monotonic(), time.process_time()
if what == "read":
    with open(file, "w", encoding="utf-8") as out:
        for item in client.collections.get(name).iterator(include_vector=True, cache_size=1000):
            line = {"id": str(item.uuid), "properties": item.properties, "vector": item.vector.get("default")}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")
            objects += 1
else:
    batching = client.batch.fixed_size(
        batch_size=1000, concurrent_requests=4, consistency_level=ConsistencyLevel.QUORUM,
    )
    with open(file, encoding="utf-8") as lines, batching as batch:
        for line in lines:
            item = json.loads(line)
            batch.add_object(
                collection=name, properties=item["properties"], uuid=item["id"], vector=item["vector"],
            )
            objects += 1
    objects -= len(client.batch.failed_objects)
figures = {
    "seconds": time.monotonic() - started,
    "processor": time.process_time() - processor,
    "objects": objects,
}
client.close()
print(json.dumps(figures))
