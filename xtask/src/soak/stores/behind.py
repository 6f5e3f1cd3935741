"""Looks behind a store: python3 behind.py gcs|azure ENDPOINT SECRET create|truncate|sign ...

    create CONTAINER           makes a container (Azure alone)
    sign CONTAINER PERMISSIONS a shared access signature of an hour (Azure alone)
    truncate BUCKET PREFIX     halves the first part of the oldest run; prints its id

Of Google's server SECRET is the token for whoever looks behind the scene; of Azure ACCOUNT:KEY.
"""

import base64
import datetime
import hashlib
import hmac
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree

kind, endpoint, secret, action, *arguments = sys.argv[1:]
endpoint = endpoint.rstrip("/")
# Nothing here goes through a proxy.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
VERSION = "2021-12-02"


def digest(key, text):
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()


def signed(method, address, body, headers):
    """The headers of a request with a key of the account, as
    https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key has it."""
    account, key = secret.split(":", 1)
    parts = urllib.parse.urlsplit(address)
    headers = dict(headers)
    headers["x-ms-date"] = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers["x-ms-version"] = VERSION
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
    query = sorted(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    resource = f"/{account}{parts.path}" + "".join(f"\n{name}:{value}" for name, value in query)
    length = str(len(body)) if body else ""
    typed = headers.get("Content-Type", "")
    text = "\n".join([method, "", "", length, "", typed, "", "", "", "", "", ""]) + "\n" + own + resource
    headers["Authorization"] = f"SharedKey {account}:{digest(key, text)}"
    return headers


def ask(method, path, query=None, body=None, headers=None):
    address = f"{endpoint}/{urllib.parse.quote(path)}" + ("?" + urllib.parse.urlencode(query) if query else "")
    headers = dict(headers or {})
    if body is not None:
        # urllib would name another one by itself.
        headers["Content-Type"] = "application/octet-stream"
    if kind == "gcs":
        headers["Authorization"] = f"Bearer {secret}"
    else:
        headers = signed(method, address, body, headers)
    request = urllib.request.Request(address, data=body, headers=headers, method=method)
    with opener.open(request, timeout=30) as answer:
        return answer.read()


def keys(bucket, prefix):
    if kind == "gcs":
        text = ask("GET", bucket, {"list-type": "2", "prefix": prefix})
        name = "Key"
    else:
        text = ask("GET", bucket, {"restype": "container", "comp": "list", "prefix": prefix})
        name = "Name"
    found = [element.text for element in xml.etree.ElementTree.fromstring(text).iter() if element.tag.endswith(name)]
    return sorted(key for key in found if key and key.startswith(prefix))


def truncate(bucket, prefix):
    parts = [key for key in keys(bucket, f"{prefix}/runs/") if "/data/" in key]
    first = parts[0]
    content = ask("GET", f"{bucket}/{first}")
    headers = {} if kind == "gcs" else {"x-ms-blob-type": "BlockBlob"}
    ask("PUT", f"{bucket}/{first}", body=content[: len(content) // 2], headers=headers)
    print(first[len(prefix) + len("/runs/") :].split("/", 1)[0])


def sign(container, permissions):
    """As https://learn.microsoft.com/rest/api/storageservices/create-service-sas has it."""
    account, key = secret.split(":", 1)
    ends = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    ends = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = [permissions, "", ends, f"/blob/{account}/{container}", "", "", "", VERSION, "c", "", "", "", "", "", "", ""]
    signature = digest(key, "\n".join(fields))
    print(urllib.parse.urlencode({"sv": VERSION, "sr": "c", "se": ends, "sp": permissions, "sig": signature}))


if action == "create":
    ask("PUT", arguments[0], {"restype": "container"}, body=b"")
elif action == "sign":
    sign(*arguments)
else:
    truncate(*arguments)
