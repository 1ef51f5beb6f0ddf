"""Compares embeddings of retort with transformers on the queries and titles of a file of pairs, and times both.

The reference is transformers' BERT in float32 on the same folder, one text at a time for the values (so that padding
has no say), and in padded batches for the speed. Mean or [CLS] pooling and normalisation follow the folder's modules.
Prints the largest difference of an element for each mode; exits 1 where one is over its bound.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch
import transformers

import reference

BOUNDS = {"f32": 1e-5, "bf16": 1e-2, "int8": 2e-2}


class Peer:
    def __init__(self, folder):
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        limits = folder / "sentence_bert_config.json"
        self.length = json.loads(limits.read_text())["max_seq_length"] if limits.is_file() else 512
        modules = json.loads((folder / "modules.json").read_text()) if (folder / "modules.json").is_file() else []
        kinds = {module["type"].split(".")[-1]: module["path"] for module in modules}
        self.unit = "Normalize" in kinds
        pooling = json.loads((folder / kinds["Pooling"] / "config.json").read_text()) if "Pooling" in kinds else {}
        self.cls = bool(pooling.get("pooling_mode_cls_token"))

    @torch.no_grad()
    def embed(self, texts, batch, autocast=False):
        """Padded batches in the order given."""
        out = []
        for start in range(0, len(texts), batch):
            inputs = self.tokenizer(texts[start:start + batch], padding=True, truncation=True, max_length=self.length,
                                    return_tensors="pt")
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                hidden = self.model(**inputs).last_hidden_state.float()
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            pooled = hidden[:, 0] if self.cls else (hidden * mask).sum(1) / mask.sum(1)
            out.append(torch.nn.functional.normalize(pooled, dim=-1) if self.unit else pooled)
        return torch.cat(out).numpy()


def retort_embed(binary, folder, pairs, field, compute, threads):
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "out.npy"
        told = json.loads(reference.run_retort(binary, [
            "embed", "--model", folder, "--input", pairs, "--field", field, "--output", output, "--compute", compute,
            "--backend", "cpu", "--threads", threads, "--json"]))
        ids = [json.loads(line) for line in (Path(temporary) / "out.npy.ids.jsonl").read_text().splitlines()]
        return numpy.load(output), ids, told


def distinct(rows, field):
    key = "item_id" if field == "title" else "query_id"
    found = {}
    for number, row in enumerate(rows, 1):
        found.setdefault(str(row.get(key) or row.get("pair_id") or f"row-{number}"), row[field])
    return found


def compare_values(binary, folder, pairs, rows, threads):
    peer, bad = Peer(folder), 0
    for field in ("query", "title"):
        texts = distinct(rows, field)
        expected = peer.embed(list(texts.values()), 1)
        for compute, bound in BOUNDS.items():
            found, ids, _ = retort_embed(binary, folder, pairs, field, compute, threads)
            assert ids == list(texts), f"{field}: the ids differ"
            worst = float(numpy.abs(found - expected).max())
            cosine = (found * expected).sum(1) / numpy.linalg.norm(found, axis=1) / numpy.linalg.norm(expected, axis=1)
            verdict = "ok" if worst <= bound else "OVER THE BOUND"
            print(f"{field}, {compute}: {len(ids)} vectors, largest difference {worst:.2e} (bound {bound:.0e}), "
                  f"least cosine {cosine.min():.6f}: {verdict}")
            bad += worst > bound
    return bad


def compare_speed(binary, folder, pairs, rows, threads):
    peer, texts = Peer(folder), list(distinct(rows, "title").values())
    by_length = sorted(texts, key=len)
    print(f"{len(texts)} titles, {threads} threads")
    for name, ordered, autocast in [("f32, input order", texts, False), ("f32, sorted by length", by_length, False),
                                    ("bf16 autocast, sorted by length", by_length, True)]:
        peer.embed(ordered[:64], 32, autocast)
        start = time.perf_counter()
        peer.embed(ordered, 32, autocast)
        print(f"transformers {name}: {len(texts) / (time.perf_counter() - start):.0f} texts/s")
    for compute in BOUNDS:
        told = max((retort_embed(binary, folder, pairs, "title", compute, threads)[2] for _ in range(2)),
                   key=lambda t: t["texts_per_second"])
        print(f"retort {compute}: {told['texts_per_second']:.0f} texts/s, {told['tokens']} tokens")


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/parity_encoder", description=__doc__)
    parser.add_argument("--model", default="minilm-l6", help="an encoder's folder, or a name of Tools/fetch-model")
    parser.add_argument("--input", type=Path, default=reference.ROOT / "Tools" / "sample" / "pairs.jsonl",
                        help="pairs as JSON Lines")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="time both sides instead of comparing values")
    parser.add_argument("--retort", help="the binary (default: build it)")
    arguments = parser.parse_args()
    folder = reference.model_folder(arguments.model)
    if folder is None:
        sys.exit(f"error: {arguments.model} is no encoder's folder; fetch one with Tools/fetch-model minilm-l6")
    torch.set_num_threads(arguments.threads)
    lines = arguments.input.read_text().splitlines()[:arguments.limit]
    rows, binary = [json.loads(line) for line in lines], reference.retort_binary(arguments.retort)
    with tempfile.TemporaryDirectory() as temporary:
        pairs = Path(temporary) / "pairs.jsonl"
        pairs.write_text("".join(line + "\n" for line in lines))
        work = compare_speed if arguments.speed else compare_values
        return 1 if work(binary, folder, pairs, rows, arguments.threads) else 0


if __name__ == "__main__":
    sys.exit(main())
