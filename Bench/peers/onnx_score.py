"""Scores pairs with one cross-encoder in ONNX Runtime and in retort, in turns, and prints pairs a second and AUC.

ONNX Runtime gets the student by torch.onnx.export, in float32 and with quantize_dynamic's int8 weights; batches of
--batch pairs are padded to their longest, in the input's order and sorted by length. retort reads the same pairs and
packs them by itself. The best of --rounds counts for each. Tokenising is left out of both sides in the first column
and part of both in the second. AUC is of the expected gain against labels above the lowest gain.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy
import onnxruntime
import torch
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

import onnx_student
import reference


def export(folder):
    """The student's ONNX files, made once for each state of the folder."""
    key = reference.file_key(folder / "model.safetensors", folder / "config.json")
    target = reference.cache_folder() / "peers" / "onnx" / key
    files = {"fp32": target / "fp32.onnx", "int8": target / "int8.onnx"}
    if all(path.is_file() for path in files.values()):
        return files
    target.mkdir(parents=True, exist_ok=True)
    # Eager attention exports to plain products, which ONNX Runtime quantises and runs faster than the fused one.
    model = transformers.BertForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32).eval()
    ids = torch.ones(2, 8, dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(model, (ids, torch.ones_like(ids), torch.zeros_like(ids)), str(files["fp32"]), input_names=names,
                      output_names=["logits"], dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
                      opset_version=17, dynamo=False)
    quantize_dynamic(str(files["fp32"]), str(files["int8"]), weight_type=QuantType.QInt8)
    return files


class Peer:
    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(self, encoded, batch, by_length):
        ids, types = encoded
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i])) if by_length else range(len(ids))
        logits = [None] * len(ids)
        for start in range(0, len(ids), batch):
            group = order[start:start + batch]
            inputs = numpy.zeros((3, len(group), max(len(ids[i]) for i in group)), numpy.int64)
            for row, i in enumerate(group):
                length = len(ids[i])
                inputs[0, row, :length], inputs[1, row, :length], inputs[2, row, :length] = ids[i], 1, types[i]
            result = self.session.run(None, {"input_ids": inputs[0], "attention_mask": inputs[1],
                                             "token_type_ids": inputs[2]})[0]
            for row, i in enumerate(group):
                logits[i] = result[row]
        return numpy.stack(logits)


def tokens(tokenizer, rows, length):
    encoded = tokenizer([r["query"] for r in rows], [r["title"] for r in rows], truncation=True, max_length=length)
    return encoded["input_ids"], encoded["token_type_ids"]


def area(scores, relevant):
    """The Mann-Whitney statistic, ties counting half."""
    if relevant.all() or not relevant.any():
        return None
    _, group, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
    ends = numpy.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[group]
    positive = relevant.sum()
    return float((ranks[relevant].sum() - positive * (positive + 1) / 2) / (positive * (len(scores) - positive)))


def measure_peers(files, tokenizer, rows, arguments, best, logits):
    for name, path in files.items():
        peer = Peer(path, arguments.threads)
        warm = tokens(tokenizer, rows[:64], arguments.max_length)
        for by_length in (False, True):
            peer.run(warm, arguments.batch, by_length)
            begin = time.perf_counter()
            encoded = tokens(tokenizer, rows, arguments.max_length)
            middle = time.perf_counter()
            key = f"onnxruntime {name}, {'sorted by length' if by_length else 'input order'}"
            logits[key] = peer.run(encoded, arguments.batch, by_length)
            end = time.perf_counter()
            found = (len(rows) / (end - middle), len(rows) / (end - begin))
            best[key] = tuple(map(max, found, best.get(key, (0, 0))))


def measure_retort(binary, folder, pairs, rows, arguments, best):
    for compute in arguments.compute:
        told = json.loads(reference.run_retort(binary, [
            "bench", "score", "--student", folder, "--input", pairs, "--limit", len(rows), "--compute", compute,
            "--threads", arguments.threads, "--backend", "cpu", "--max-length", arguments.max_length, "--repeats", 1,
            "--json"]))
        found = (told["forward_pairs_per_second"], told["pairs_per_second"])
        best[f"retort {compute}"] = tuple(map(max, found, best.get(f"retort {compute}", (0, 0))))


def retort_scores(binary, folder, pairs, compute, arguments):
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "scores.jsonl"
        reference.run_retort(binary, [
            "score", "--student", folder, "--input", pairs, "--labels", arguments.labels, "--output", output, "--compute",
            compute, "--threads", arguments.threads, "--backend", "cpu", "--max-length", arguments.max_length, "--json"])
        return [json.loads(line) for line in output.read_text().splitlines()]


def report(rows, names, gains, best, logits, records, arguments):
    gold = numpy.array([gains.get(r.get("label"), numpy.nan) for r in rows])
    known = ~numpy.isnan(gold)
    relevant, weights = gold[known] > min(gains.values()), numpy.array([gains[n] for n in names])
    table = {}
    reference_logits = logits["onnxruntime fp32, input order"]
    for key, (forward, whole) in best.items():
        if key in logits:
            p = numpy.exp(logits[key] - logits[key].max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
        else:
            p = numpy.array([[r["probabilities"][n] for n in names] for r in records[key]])
        exact = numpy.exp(reference_logits - reference_logits.max(1, keepdims=True))
        table[key] = {"pairs_per_second": forward, "pairs_per_second_with_tokenising": whole,
                      "auc": area((p @ weights)[known], relevant),
                      "largest_probability_difference": float(numpy.abs(p - exact / exact.sum(1, keepdims=True)).max())}
    ours, theirs = table[f"retort {arguments.compute[0]}"], "onnxruntime int8, "
    ratios = {f"{order}{suffix}": ours[column] / table[theirs + order][column] for order in
              ("input order", "sorted by length") for suffix, column in
              (("", "pairs_per_second"), (", with tokenising", "pairs_per_second_with_tokenising"))}
    if arguments.json:
        print(json.dumps({"pairs": len(rows), "threads": arguments.threads, "batch": arguments.batch, "results": table,
                          "ratio_to_onnxruntime_int8": ratios, "onnxruntime": onnxruntime.__version__}))
        return
    print(f"{len(rows)} pairs, {arguments.threads} threads, ONNX Runtime {onnxruntime.__version__}\n")
    print(f"{'':40}  pairs/s  with tokenising     AUC   difference of p")
    for key, row in table.items():
        auc = "     -" if row["auc"] is None else f"{row['auc']:.4f}"
        print(f"{key:40} {row['pairs_per_second']:8.0f} {row['pairs_per_second_with_tokenising']:16.0f}  {auc}  "
              f"{row['largest_probability_difference']:16.1e}")
    print(f"\nretort {arguments.compute[0]} over onnxruntime int8: "
          + "; ".join(f"{name} {value:.2f}" for name, value in ratios.items()))


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/onnx_score", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="minilm-l6-ce", help="a cross-encoder's folder, or a name in the cache")
    parser.add_argument("--input", type=Path, default=reference.ROOT / "Tools" / "sample" / "pairs.jsonl")
    parser.add_argument("--labels", type=Path, default=reference.ROOT / "Tools" / "sample" / "labels.json")
    parser.add_argument("--limit", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="pairs in a batch of ONNX Runtime")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compute", type=lambda t: t.split(","), default=["int8", "bf16"],
                        help="retort's modes; the first is compared")
    parser.add_argument("--retort", help="the binary (default: build it)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--make-student", type=Path, metavar="DIR", help="train a student on --input into DIR and stop")
    parser.add_argument("--init", default="minilm-l6", help="what --make-student starts from")
    parser.add_argument("--steps", type=int, default=400, help="steps of --make-student, 64 pairs each")
    parser.add_argument("--seconds", type=float, default=1e9,
                        help="--make-student stops after so many; run it again to go on")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.make_student:
        base = reference.model_folder(arguments.init)
        if base is None:
            sys.exit(f"error: {arguments.init} is no encoder's folder; fetch one with Tools/fetch-model minilm-l6")
        done = onnx_student.make(base, arguments.make_student, arguments.input, arguments.labels, arguments.steps,
                                 arguments.seconds)
        print(f"{done} of {arguments.steps} steps done")
        return 0 if done == arguments.steps else 3
    folder = reference.model_folder(arguments.student)
    if folder is None:
        sys.exit(f"error: {arguments.student} is no student's folder; make one with --make-student")
    binary, lines = reference.retort_binary(arguments.retort), arguments.input.read_text().splitlines()[:arguments.limit]
    rows = [json.loads(line) for line in lines]
    labels = json.loads(arguments.labels.read_text())["labels"]
    gains = {label["name"]: label["gain"] for label in labels}
    names = [name for _, name in sorted(
        (int(i), n) for i, n in json.loads((folder / "config.json").read_text())["id2label"].items())]
    tokenizer, files, best, logits = transformers.AutoTokenizer.from_pretrained(folder), export(folder), {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        pairs = Path(temporary) / "pairs.jsonl"
        pairs.write_text("".join(line + "\n" for line in lines))
        for _ in range(arguments.rounds):
            measure_peers(files, tokenizer, rows, arguments, best, logits)
            measure_retort(binary, folder, pairs, rows, arguments, best)
        records = {f"retort {c}": retort_scores(binary, folder, pairs, c, arguments) for c in arguments.compute}
    report(rows, names, gains, best, logits, records, arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
