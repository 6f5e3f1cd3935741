"""Does one kind of damage to the oldest run of a store whose parts are gzipped JSON Lines; prints the run's id."""
import gzip
import hashlib
import json
import pathlib
import shutil
import sys

root, damage = pathlib.Path(sys.argv[1]), sys.argv[2]
folders = sorted(path for path in (root / "runs").iterdir() if (path / "manifest.json").exists())
run = folders[0]
manifest_path = run / "manifest.json"
manifest = json.loads(manifest_path.read_text())
collection = "Tenanted" if damage == "missing tenant" else "Articles"
note = next(note for note in manifest["collections"] if note["name"] == collection)


def place(key):
    """Keys are told from the run's folder or from the store's."""
    path = run / key
    return path if path.exists() else root / key


def write(path, data):
    """In place: the server keeps what it knows of an object in the file's attributes."""
    with open(path, "r+b") as file:
        file.seek(0)
        file.write(data)
        file.truncate()


def described(entry, data):
    entry["bytes"] = len(data)
    entry["sha256"] = hashlib.sha256(data).hexdigest()


index_path = place(note["index"]["key"])
index = json.loads(index_path.read_text())
part = index["parts"][0]
part_path = place(part["key"])
data = part_path.read_bytes()


def chain():
    """Makes every hash right again, as somebody does who may write everything."""
    text = json.dumps(index).encode()
    write(index_path, text)
    described(note["index"], text)
    write(manifest_path, json.dumps(manifest).encode())


if damage == "truncated part":
    write(part_path, data[:-7])
elif damage == "missing part":
    part_path.unlink()
elif damage == "flipped bit":
    middle = len(data) // 2
    write(part_path, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:])
elif damage == "swapped vectors":
    lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    key = "vector" if "vector" in lines[0] else "vectors"
    lines[0][key], lines[1][key] = lines[1][key], lines[0][key]
    changed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    write(part_path, changed)
    described(part, changed)
    chain()
elif damage == "wrong manifest":
    write(manifest_path, (folders[1] / "manifest.json").read_bytes())
elif damage == "missing tenant":
    gone = index["tenants"][0]["name"]
    index["tenants"] = [tenant for tenant in index["tenants"] if tenant["name"] != gone]
    index["parts"] = [part for part in index["parts"] if part.get("tenant") != gone]
    chain()
else:
    sys.exit(f"no damage `{damage}`")
print(run.name)
