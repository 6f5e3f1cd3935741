"""Creates, changes or deletes collections as a person would with the official client, and prints the seconds it took."""

import json
import os
import sys
import time

import weaviate
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.init import Auth

operation, prefix, count, factor = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
host = os.environ["WEAVIATE_HOST"]
client = weaviate.connect_to_custom(
    http_host=host, http_port=8080, http_secure=False, grpc_host=host, grpc_port=50051, grpc_secure=False,
    auth_credentials=Auth.api_key(os.environ["WEAVIATE_API_KEY"]),
)
names = [f"{prefix}{number}" for number in range(count)]
started = time.monotonic()
for name in names:
    if operation == "create":
        client.collections.create(
            name,
            description="made",
            properties=[Property(name="title", data_type=DataType.TEXT), Property(name="year", data_type=DataType.INT)],
            sharding_config=Configure.sharding(desired_count=1),
            replication_config=Configure.replication(factor=factor),
        )
    elif operation == "change":
        client.collections.get(name).config.update(description="changed")
    else:
        client.collections.delete(name)
seconds = time.monotonic() - started
client.close()
print(json.dumps({"seconds": seconds}))
