"""Whether `retort distill` reaches what the same recipe reaches in PyTorch: some seeds of each, one table.

Both sides train on human labels with the defaults of docs/method.md and keep the weights of the last step. `retort eval`
measures all of them on --dev. A metric's interval is that of the mean over seeds (Student's t, 95 %); beside it stands
the interval over queries, the mean of the seeds' bootstrap bounds. Runs that --output holds already are not run again.
Exits 1 where the intervals over seeds of a metric do not overlap.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy

import reference

# Student's t, 97.5 %, by the number of seeds.
QUANTILES = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
METRICS = ["auc", "macro_f1", "spearman", "accuracy", "ndcg_at_10", "ece"]


def retort_run(binary, arguments, seed):
    folder = arguments.output / f"retort-seed-{seed}"
    if not (folder / "evaluation.json").exists():
        # One evaluation, after the last step: both sides keep the last weights.
        command = ["distill", "--student", arguments.student, "--init", arguments.init, "--train", arguments.train,
                   "--dev", arguments.dev, "--labels", arguments.labels, "--losses", "hard", "--epochs",
                   arguments.epochs, "--seed", seed, "--evaluate-every", 10**9, "--threads", arguments.threads,
                   "--output", folder, "--resume", "--json"]
        reference.run_retort(binary, command)
    return folder / "dev_predictions.jsonl"


def torch_run(arguments, seed):
    predictions = arguments.output / "pytorch" / f"seed-{seed}.jsonl"
    if not predictions.exists():
        command = [sys.executable, Path(__file__).parent / "train_reference.py", "--student", arguments.student, "--init",
                   arguments.init, "--train", arguments.train, "--dev", arguments.dev, "--labels", arguments.labels,
                   "--epochs", arguments.epochs, "--seeds", seed, "--threads", arguments.threads, "--output",
                   arguments.output / "pytorch"]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"error: PyTorch's run with seed {seed} ended with {done.returncode}")
    return predictions


def measure(binary, arguments, predictions):
    out = reference.run_retort(binary, ["eval", "--predictions", predictions, "--input", arguments.dev, "--labels",
                                        arguments.labels, "--json"])
    found = json.loads(out)
    return {name: [found[name][key] for key in ("value", "low", "high")] for name in METRICS}


def summarise(runs, name):
    values = numpy.array([run[name] for run in runs], float)
    means = values[:, 0]
    half = QUANTILES[len(means)] * means.std(ddof=1) / len(means) ** 0.5
    return {"mean": means.mean(), "seeds": [means.mean() - half, means.mean() + half],
            "queries": values[:, 1:].mean(0).tolist(), "values": means.tolist()}


def parse():
    parser = argparse.ArgumentParser(prog="Bench/peers/train_quality", description=__doc__, epilog="example: "
                                     "Bench/peers/train_quality --train train.jsonl --dev dev.jsonl --labels labels.json "
                                     "--output quality")
    add = parser.add_argument
    add("--student", choices=["interaction", "representation"], default="interaction")
    add("--init", default="minilm-l6", help="an encoder's folder, or a name of Tools/fetch-model")
    add("--train", type=Path, required=True, help="pairs as JSON Lines")
    add("--dev", type=Path, required=True, help="pairs with labels as JSON Lines")
    add("--labels", type=Path, required=True, help="the label set")
    add("--output", type=Path, required=True, help="the folder that runs are kept in")
    add("--epochs", type=int, default=3)
    add("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[1, 2, 3])
    add("--threads", type=int, default=2)
    add("--retort", help="the binary (default: build it)")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    if len(arguments.seeds) not in QUANTILES:
        parser.error(f"--seeds takes 2 to {max(QUANTILES)} seeds")
    return arguments


def main():
    arguments = parse()
    if reference.model_folder(arguments.init) is None:
        sys.exit(f"error: {arguments.init} is no encoder's folder; fetch one with Tools/fetch-model minilm-l6")
    binary = reference.retort_binary(arguments.retort)
    arguments.output.mkdir(parents=True, exist_ok=True)
    sides = {"retort": [], "PyTorch": []}
    for seed in arguments.seeds:
        sides["retort"].append(measure(binary, arguments, retort_run(binary, arguments, seed)))
        sides["PyTorch"].append(measure(binary, arguments, torch_run(arguments, seed)))
        print(f"seed {seed}: " + ", ".join(f"{side} auc {runs[-1]['auc'][0]:.4f}" for side, runs in sides.items()),
              file=sys.stderr)
    table = {name: {side: summarise(runs, name) for side, runs in sides.items()} for name in METRICS}
    for row in table.values():
        ours, theirs = row["retort"]["seeds"], row["PyTorch"]["seeds"]
        row["overlap"] = bool(ours[0] <= theirs[1] and theirs[0] <= ours[1])
    if arguments.json:
        print(json.dumps(table, indent=1))
    else:
        print(f"{arguments.student}, {arguments.epochs} epochs, seeds {arguments.seeds}")
        print(f"{'metric':11} {'side':8} {'mean':>7}  {'95 % over seeds':18} {'95 % over queries':18} overlap")
        for name, row in table.items():
            for side in sides:
                s = row[side]
                print(f"{name if side == 'retort' else '':11} {side:8} {s['mean']:7.4f}  "
                      f"[{s['seeds'][0]:7.4f},{s['seeds'][1]:7.4f}] [{s['queries'][0]:7.4f},{s['queries'][1]:7.4f}] "
                      + ("" if side == "retort" else "yes" if row["overlap"] else "NO"))
    return 0 if all(row["overlap"] for row in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
