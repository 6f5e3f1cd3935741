"""Reads every object of one collection, or of one tenant, with all its vectors, by REST and without any code of ours.

Standard input: {"nodes": {NAME: ADDRESS}, "class": NAME, "tenant": NAME or null, "named": BOOLEAN}
Standard output: {"texts": {ID: TEXT}, "told": {NAME: {ID: DIGEST}}}

`told` is what each node says at its own address: its list says which objects there are, and each of them is then asked for
by itself, because a list leaves named vectors out of objects whose shard the node does not hold (1.38.2). Where every node
holds every shard (`named`) the replica is asked by its node's name; where not, with consistency ONE, which is the node's own
replica if it has one. Neither repairs anything. `texts` are the objects in the form of which the digest is taken. Every
number is a double as it was written, of vectors the four bytes that the server keeps; times of creation and of the last
change are left out, because no server takes them back.
"""
import hashlib
import http.client
import json
import struct
import sys
import urllib.parse

# Objects in one page of a list, which has no vectors.
PAGE = 500
# Seconds in which a server answers, or never will.
PATIENCE = 30


class Node:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(address).netloc, timeout=PATIENCE)

    def get(self, path, **query):
        query = {key: value for key, value in query.items() if value is not None}
        self.connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def numbers(vector):
    """The bytes of a vector, or of each of a list of vectors."""
    if vector and isinstance(vector[0], list):
        return [numbers(one) for one in vector]
    return struct.pack(f"<{len(vector)}f", *vector).hex()


def exact(value):
    """A double as text that names that one double."""
    if isinstance(value, float):
        return {"double": value.hex()}
    if isinstance(value, list):
        return [exact(one) for one in value]
    if isinstance(value, dict):
        return {key: exact(one) for key, one in value.items()}
    return value


def text(thing):
    # What is null at the top is absent: the servers do not tell the two apart.
    properties = {key: value for key, value in (thing.get("properties") or {}).items() if value is not None}
    vectors = {name: numbers(vector) for name, vector in (thing.get("vectors") or {}).items() if vector}
    if thing.get("vector"):
        vectors[""] = numbers(thing["vector"])
    whole = {"id": thing["id"], "properties": exact(properties), "vectors": vectors}
    return json.dumps(whole, sort_keys=True, ensure_ascii=False)


def digest(of):
    return hashlib.sha256(of.encode("utf-8", "surrogatepass")).hexdigest()


def parsed(body):
    return json.loads(body, parse_int=float)


def listed(node, order):
    ids, after = [], ""
    while True:
        status, body = node.get(
            "/v1/objects", **{"class": order["class"], "tenant": order["tenant"], "limit": PAGE, "after": after}
        )
        if status != 200:
            sys.exit(f"{order['class']}: the list was answered by {status} {body[:400]}")
        page = [thing["id"] for thing in parsed(body)["objects"]]
        if not page:
            break
        ids += page
        after = page[-1]
    if len(set(ids)) != len(ids):
        sys.exit(f"{order['class']}: an object was listed twice")
    return ids


def told(node, name, order, texts):
    out = {}
    how = {"node_name": name} if order["named"] else {"consistency_level": "ONE"}
    for one in listed(node, order):
        path = f"/v1/objects/{order['class']}/{one}"
        status, body = node.get(path, tenant=order["tenant"], include="vector", **how)
        # Listed by the node, and not in its replica.
        if status == 404:
            continue
        if status != 200:
            sys.exit(f"{path} at {name}: {status} {body[:400]}")
        words = text(parsed(body))
        texts.setdefault(one, words)
        out[one] = digest(words)
    return out


def main():
    order = json.load(sys.stdin)
    texts = {}
    nodes = {name: told(Node(address), name, order, texts) for name, address in order["nodes"].items()}
    json.dump({"texts": texts, "told": nodes}, sys.stdout)


main()
