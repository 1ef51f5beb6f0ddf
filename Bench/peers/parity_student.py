"""Compares what retort and the wider ecosystem make of the same student's folder, pair by pair.

An interaction student is loaded by transformers (AutoModelForSequenceClassification), a representation student by
sentence-transformers (SentenceTransformer); both in float32, one text at a time so that padding has no say. `retort
score --compute f32` scores the same pairs; probabilities of the labels and, for the towers, cosines must agree. The
towers' probabilities come from the cosine of sentence-transformers through the ordinal head's formula in
docs/method.md, written here anew. Exits 1 where a difference is over the bound.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from safetensors.numpy import load_file

import reference


def retort_scores(binary, folder, pairs, threads):
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "scores.jsonl"
        reference.run_retort(binary, ["score", "--student", folder, "--input", pairs, "--output", output, "--compute",
                                      "f32", "--backend", "cpu", "--threads", threads, "--json"])
        return [json.loads(line) for line in output.read_text().splitlines()]


@torch.no_grad()
def interaction(folder, rows, about):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    assert names == [label["name"] for label in about["labels"]], "the labels of config.json are others"
    found = []
    for row in rows:
        inputs = tokenizer(row["query"], row["title"], truncation=True, max_length=about["max_length"],
                           return_tensors="pt")
        found.append(model(**inputs).logits[0].double().softmax(-1).numpy())
    return numpy.array(found), None


def representation(folder, rows, about):
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(str(folder), device="cpu")
    assert model.max_seq_length == about["max_length"], "the longest text is another"
    query, title = (numpy.array([model.encode([row[field]], convert_to_numpy=True)[0] for row in rows], numpy.float64)
                    for field in ("query", "title"))
    cosines = (query * title).sum(1)
    ordinal = load_file(folder / "retort_heads.safetensors")["ordinal"].astype(numpy.float64)
    thresholds = ordinal[1] + numpy.concatenate([[0], numpy.cumsum(numpy.exp(ordinal[2:]))])
    above = 1 / (1 + numpy.exp(-numpy.exp(ordinal[0]) * (cosines[:, None] - thresholds)))
    bounded = numpy.concatenate([numpy.ones((len(rows), 1)), above, numpy.zeros((len(rows), 1))], 1)
    ranks = bounded[:, :-1] - bounded[:, 1:]
    gains = [label["gain"] for label in about["labels"]]
    return (ranks if gains[-1] > gains[0] else ranks[:, ::-1]), cosines


def compare(binary, folder, rows, pairs, threads, bound):
    about = json.loads((folder / "retort.json").read_text())
    expected, cosines = (interaction if about["student"] == "interaction" else representation)(folder, rows, about)
    records = retort_scores(binary, folder, pairs, threads)
    names = [label["name"] for label in about["labels"]]
    assert len(records) == len(rows), "retort scored another number of pairs"
    found = numpy.array([[record["probabilities"][name] for name in names] for record in records])
    worst = {"probability": float(numpy.abs(found - expected).max())}
    if cosines is not None:
        worst["cosine"] = float(numpy.abs(numpy.array([record["cosine"] for record in records]) - cosines).max())
    bad = max(worst.values()) > bound
    told = ", ".join(f"largest difference of a {name} {value:.2e}" for name, value in worst.items())
    spread = found.max(0) - found.min(0)
    print(f"{folder}: {about['student']}, {len(rows)} pairs, {told} (bound {bound:.0e}; probabilities range over "
          f"{spread.max():.3f}): {'OVER THE BOUND' if bad else 'ok'}")
    return bad


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/parity_student", description=__doc__)
    parser.add_argument("students", nargs="+", type=Path, help="folders that 'retort distill' has written")
    parser.add_argument("--input", type=Path, default=reference.ROOT / "Tools" / "sample" / "pairs.jsonl",
                        help="pairs as JSON Lines")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bound", type=float, default=1e-4)
    parser.add_argument("--retort", help="the binary (default: build it)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = arguments.input.read_text().splitlines()[:arguments.limit]
    rows, binary = [json.loads(line) for line in lines], reference.retort_binary(arguments.retort)
    with tempfile.TemporaryDirectory() as temporary:
        pairs = Path(temporary) / "pairs.jsonl"
        pairs.write_text("".join(line + "\n" for line in lines))
        bad = [compare(binary, folder, rows, pairs, arguments.threads, arguments.bound)
               for folder in arguments.students]
    return 1 if any(bad) else 0


if __name__ == "__main__":
    sys.exit(main())
