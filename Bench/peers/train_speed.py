"""Times training steps (forward, backward, clipping, AdamW) of PyTorch, and of `retort bench train` beside it, in one run.

Two workloads: `full`, batches in which every sequence has --length tokens, and with --input `ragged`, real pairs in the
file's order shuffled once, a batch padded to its longest sequence in PyTorch. Tokens are real ones: padding is not
counted. The interaction student on hard labels, weights from --init. PyTorch draws dropout slowly on a processor; --dropout 0
times both sides without. Its AdamW is the fused one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers

import reference
import students
import training_data


class FullBatches:
    """Random tokens, every sequence of the same length."""

    def __init__(self, config, batch, length, labels):
        random = torch.Generator().manual_seed(1)
        ids = torch.randint(1, config.vocab_size, (batch, length), generator=random)
        types = (torch.arange(length) >= length // 4).long().expand(batch, length).contiguous()
        self.inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": torch.ones_like(ids)}
        self.targets = students.Targets(torch.randint(labels, (batch,), generator=random), torch.full((batch, labels), -1.0),
                                        torch.zeros(batch, 0, dtype=torch.long))

    def take(self, _):
        return self.inputs, self.targets, self.inputs["input_ids"].numel()


class RaggedBatches:
    """Pairs of a file, `batch` a step, each padded to the step's longest."""

    def __init__(self, path, tokenizer, batch, max_length, steps, names):
        rows = training_data.read_pairs(path)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1)).tolist()
        rows = [rows[i] for i in order[:batch * steps]]
        self.rows = rows
        self.data = training_data.Dataset(rows, names, tokenizer, max_length)
        self.batches = [list(range(i, min(i + batch, len(rows)))) for i in range(0, len(rows), batch)]

    def take(self, step):
        chosen = self.batches[step % len(self.batches)]
        return self.data.inputs(chosen)[0], self.data.targets(chosen), self.data.tokens(chosen)


def time_torch(folder, batches, labels, steps, warm, autocast, dropout):
    torch.manual_seed(1)
    config = transformers.BertConfig.from_pretrained(folder, num_labels=labels)
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = dropout, 0.0
    model = students.Interaction.from_pretrained(folder, config=config, dtype=torch.float32).train()
    recipe = students.Recipe(weights={"hard": 1.0})
    optimiser = students.Optimiser(model, config.num_hidden_layers, steps + warm, recipe, fused=True)
    tokens = padded = pairs = 0
    for step in range(-warm, steps):
        if step == 0:
            start = time.perf_counter()
        inputs, targets, real = batches.take(max(step, 0))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            outputs = model(inputs)
        outputs["logits"] = outputs["logits"].float()
        students.total(model.losses(outputs, targets, recipe), recipe.weights).backward()
        optimiser.step()
        if step >= 0:
            tokens, padded, pairs = tokens + real, padded + inputs["input_ids"].numel(), pairs + len(targets.label)
    seconds = time.perf_counter() - start
    return {"steps_per_second": steps / seconds, "tokens_per_second": tokens / seconds, "pairs_per_second": pairs / seconds,
            "seconds_per_step": seconds / steps, "tokens_per_step": tokens / steps, "padded_tokens_per_step": padded / steps}


def time_retort(binary, folder, work, compute, arguments, pairs):
    """Runs `retort bench train --json`; a message where it cannot be had."""
    command = [binary, "bench", "train", "--init", str(folder), "--batch", str(arguments.batch), "--compute", compute,
               "--threads", str(arguments.threads), "--steps", str(arguments.steps), "--json"]
    if arguments.dropout != 0.1:
        command += ["--dropout", str(arguments.dropout)]
    command += ["--length", str(arguments.length)] if work == "full" else [
        "--input", str(pairs), "--max-length", str(arguments.max_length)]
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        return None, f"cannot run {binary}: {error.strerror}"
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        detail = next((line for line in lines if line.lower().startswith("error")), lines[0] if lines else "no message")
        return None, f"'{binary} bench train' failed with exit code {result.returncode} ({detail})"
    try:
        told = json.loads(result.stdout)
        rates = {k: float(told[k]) for k in told if k.endswith("_per_second")}
        return rates | {"tokens_per_second": rates["tokens_per_second"], "seconds_per_step": 1 / rates["steps_per_second"]}, None
    except (ValueError, TypeError, KeyError, ZeroDivisionError) as error:
        return None, f"'{binary} bench train --json' printed no rates ({error!r})"


def retort_beside(binary, folder, work, compute, arguments, batches):
    """On the very pairs that PyTorch saw, in the same order."""
    with tempfile.TemporaryDirectory() as temporary:
        pairs = Path(temporary) / "pairs.jsonl"
        if work == "ragged":
            pairs.write_text("".join(json.dumps(row) + "\n" for row in batches.rows), encoding="utf-8")
        return time_retort(binary, folder, work, compute, arguments, pairs)


def keep_best(entry, side, told):
    if side not in entry or told["steps_per_second"] > entry[side]["steps_per_second"]:
        entry[side] = told


def measure(arguments, folder, binary):
    names = ["irrelevant", "partial", "exact"]
    if arguments.labels:
        names, _ = training_data.label_set(arguments.labels)
    config = transformers.BertConfig.from_pretrained(folder)
    work = {"full": FullBatches(config, arguments.batch, arguments.length, len(names))}
    if arguments.input:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        work["ragged"] = RaggedBatches(arguments.input, tokenizer, arguments.batch, arguments.max_length, arguments.steps, names)
    result, problems = {}, []
    for name, batches in work.items():
        for compute in arguments.compute:
            entry = result[f"{name} {compute}"] = {}
            for _ in range(arguments.repeat):
                keep_best(entry, "pytorch", time_torch(folder, batches, len(names), arguments.steps, arguments.warm,
                                                       compute == "bf16", arguments.dropout))
                if not binary or problems:
                    continue
                told, problem = retort_beside(binary, folder, name, compute, arguments, batches)
                if problem:
                    problems.append(problem)
                else:
                    keep_best(entry, "retort", told)
            if "retort" in entry:
                entry["ratio"] = entry["retort"]["steps_per_second"] / entry["pytorch"]["steps_per_second"]
    return result, problems


def print_table(result):
    print(f"{'':14}{'':10}{'steps/s':>9}{'s/step':>9}{'tokens/s':>11}{'pairs/s':>9}")
    for name, entry in result.items():
        for side in ("pytorch", "retort"):
            if entry.get(side):
                e = entry[side]
                pairs = f"{e['pairs_per_second']:.1f}" if "pairs_per_second" in e else ""
                print(f"{name:14}{side:10}{e['steps_per_second']:9.3f}{e['seconds_per_step']:9.3f}{e['tokens_per_second']:11.0f}{pairs:>9}")
        if "ratio" in entry:
            print(f"{name:14}retort / pytorch: {entry['ratio']:.2f}")


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/train_speed", description=__doc__,
                                     epilog="example: Bench/peers/train_speed --input pairs.jsonl --steps 20")
    parser.add_argument("--init", default="minilm-l6", help="an encoder's folder, or a name of Tools/fetch-model")
    parser.add_argument("--input", type=Path, help="pairs with labels as JSON Lines, for the ragged workload")
    parser.add_argument("--labels", type=Path, help="the label set (default: irrelevant, partial, exact)")
    parser.add_argument("--batch", type=int, default=32, help="pairs a step")
    parser.add_argument("--length", type=int, default=128, help="tokens of each sequence, full workload")
    parser.add_argument("--max-length", type=int, default=128, help="tokens that pairs are cut to, ragged workload")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm", type=int, default=2, help="steps before the clock starts, PyTorch")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each side in turn; the fastest counts")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--compute", type=lambda t: t.split(","), default=["bf16"], help="bf16 (autocast), f32, or bf16,f32")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--retort", help="the binary (default: build it)")
    parser.add_argument("--only-pytorch", action="store_true", help="leave retort out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    if set(arguments.compute) - {"bf16", "f32"} or min(arguments.batch, arguments.steps, arguments.length, arguments.repeat) < 1:
        parser.error("--compute takes bf16 and f32; sizes are at least 1")
    folder = reference.model_folder(arguments.init)
    if folder is None:
        sys.exit(f"error: {arguments.init} is no encoder's folder; fetch one with Tools/fetch-model minilm-l6")
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    binary = None if arguments.only_pytorch else reference.retort_binary(arguments.retort)
    result, problems = measure(arguments, folder, binary)
    if arguments.json:
        print(json.dumps({"threads": arguments.threads, "torch": torch.__version__, "batch": arguments.batch, "dropout": arguments.dropout,
                          "results": result}, indent=1))
    else:
        print(f"PyTorch {torch.__version__}, {arguments.threads} threads, {arguments.batch} pairs a step, dropout {arguments.dropout}")
        print_table(result)
    for problem in problems:
        print(f"error: retort was not measured: {problem}; PyTorch's figures stand alone", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
