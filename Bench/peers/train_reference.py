"""Trains a student with PyTorch and transformers by the recipe of docs/method.md, and reports its metrics on --dev.

The reference for `retort distill`: the same students, losses, optimiser and defaults, none of the code. With human labels
alone unless --teacher gives records of `retort label`. Each seed is a run; with --output each writes
DIR/seed-N.jsonl, which `retort eval --predictions` reads.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy
import torch
import transformers

import reference
import students
import training_data


def ranks(values):
    """From 1, ties sharing their mean."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    return (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]


def correlation(a, b):
    a, b = ranks(a), ranks(b)
    return float(numpy.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None


def metrics(probabilities, gold, gains):
    """As docs/method.md, "Evaluation": AUC of relevant (a gain above the lowest) against not, Spearman with the gain."""
    gains = numpy.array(gains, dtype=numpy.float64)
    predicted, scores, relevant = probabilities.argmax(1), probabilities @ gains, gains[gold] > gains.min()
    f1 = []
    for label in range(len(gains)):
        both = int(((gold == label) & (predicted == label)).sum())
        either = int((gold == label).sum() + (predicted == label).sum())
        if either:
            f1.append(2 * both / either)
    positive, negative = int(relevant.sum()), int((~relevant).sum())
    auc = None
    if positive and negative:
        auc = float((ranks(scores)[relevant].sum() - positive * (positive + 1) / 2) / (positive * negative))
    return {"accuracy": float((predicted == gold).mean()), "macro_f1": float(numpy.mean(f1)), "auc": auc,
            "spearman": correlation(scores, gains[gold])}


def make_student(arguments, folder, names, gains, aspects, recipe):
    config = transformers.BertConfig.from_pretrained(folder, num_labels=len(names))
    config.hidden_dropout_prob, config.attention_probs_dropout_prob = arguments.dropout, 0.0
    config.retort_aspects = len(aspects)
    if arguments.student == "interaction":
        return students.Interaction.from_pretrained(folder, config=config, dtype=torch.float32), config
    encoder = transformers.BertModel.from_pretrained(folder, config=config, add_pooling_layer=False, dtype=torch.float32)
    return students.Representation(encoder, len(names), len(aspects), recipe.slot, best_first=gains[0] > gains[-1]), config


def moved(value, device):
    if isinstance(value, students.Targets):
        return students.Targets(*(t.to(device) for t in (value.label, value.teacher, value.verdict)))
    return [{k: t.to(device) for k, t in inputs.items()} for inputs in value]


def outputs_of(model, inputs, arguments):
    with torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=arguments.compute == "bf16"):
        outputs = model(*inputs)
    return {k: None if v is None else v.float() for k, v in outputs.items()}


@torch.no_grad()
def predict(model, data, arguments):
    """Probabilities in float32, whatever training computes in."""
    model.eval()
    result = numpy.zeros((len(data), len(data.names)))
    for chosen in training_data.by_length(data, 64):
        logits = model(*moved(data.inputs(chosen), arguments.device))["logits"]
        result[chosen] = torch.softmax(logits.double(), -1).cpu().numpy()
    return result


def train(arguments, folder, data, dev, gold, names, gains, aspects, seed):
    """One run; its metrics after each epoch and its last predictions."""
    torch.manual_seed(seed)
    recipe = students.Recipe(rate=arguments.lr, head_factor=arguments.head_factor, warmup=arguments.warmup,
                             decay=arguments.weight_decay, layer_decay=arguments.layer_decay, clip=arguments.clip,
                             weights=dict(zip(("hard", "score", "reasoning"), arguments.weights)),
                             temperature=arguments.temperature, slot=arguments.slot)
    recipe.weights = {k: v if k in arguments.losses else 0.0 for k, v in recipe.weights.items()}
    model, config = make_student(arguments, folder, names, gains, aspects, recipe)
    model = model.to(arguments.device)
    per_epoch = -(-len(data) // arguments.batch)
    steps = per_epoch * arguments.epochs
    optimiser = students.Optimiser(model, config.num_hidden_layers, steps, recipe, fused=True)
    shuffle, epochs, start, losses = torch.Generator().manual_seed(seed), [], time.perf_counter(), []
    for epoch in range(1, arguments.epochs + 1):
        model.train()
        order = torch.randperm(len(data), generator=shuffle).tolist()
        for begin in range(0, len(order), arguments.batch):
            chosen = order[begin:begin + arguments.batch]
            outputs = outputs_of(model, moved(data.inputs(chosen), arguments.device), arguments)
            loss = students.total(model.losses(outputs, moved(data.targets(chosen), arguments.device), recipe), recipe.weights)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if len(losses) % 50 == 0:
                rate = arguments.batch * len(losses) / (time.perf_counter() - start)
                print(f"\rseed {seed}: step {len(losses)}/{steps}, loss {numpy.mean(losses[-50:]):.4f}, {rate:.0f} pairs/s ",
                      end="", file=sys.stderr)
        probabilities = predict(model, dev, arguments)
        epochs.append({"epoch": epoch, "loss": float(numpy.mean(losses[-per_epoch:]))} | metrics(probabilities, gold, gains))
        print(f"\rseed {seed}, epoch {epoch}: {describe(epochs[-1])}", file=sys.stderr)
    return {"seed": seed, "seconds": time.perf_counter() - start, "steps": steps, "epochs": epochs} | {
        k: epochs[-1][k] for k in ("accuracy", "macro_f1", "auc", "spearman")}, probabilities


def describe(result):
    return ", ".join(f"{k} {result[k]:.4f}" if result[k] is not None else f"{k} -"
                     for k in ("loss", "accuracy", "macro_f1", "auc", "spearman") if k in result)


def write_predictions(path, rows, names, probabilities):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for row, p in zip(rows, probabilities):
            file.write(json.dumps({"pair_id": row["pair_id"], "label": names[int(p.argmax())],
                                   "probabilities": dict(zip(names, p.tolist()))}) + "\n")


def numbers(kind):
    return lambda text: [kind(x) for x in text.split(",")]


def parse():
    recipe = students.Recipe()
    parser = argparse.ArgumentParser(prog="Bench/peers/train_reference", description=__doc__, epilog="example: "
                                     "Bench/peers/train_reference --train train.jsonl --dev dev.jsonl --labels labels.json")
    add = parser.add_argument
    add("--student", choices=["interaction", "representation"], default="interaction")
    add("--init", default="minilm-l6", help="an encoder's folder, or a name of Tools/fetch-model")
    add("--train", type=Path, required=True, help="pairs as JSON Lines")
    add("--dev", type=Path, required=True, help="pairs with labels as JSON Lines")
    add("--labels", type=Path, required=True, help="the label set")
    add("--teacher", type=Path, help="records of 'retort label', joined by pair_id")
    add("--losses", type=lambda t: t.split(","), help="of hard,score,reasoning (default: hard, with --teacher all)")
    add("--weights", type=numbers(float), default=list(recipe.weights.values()), help="of the three losses")
    add("--temperature", type=float, default=recipe.temperature)
    add("--slot", type=int, default=recipe.slot, help="width of an aspect slot")
    add("--fields", type=lambda t: t.split(","), default=["title"], help="fields that make the item's text")
    add("--lr", type=float, default=recipe.rate)
    add("--head-factor", type=float, default=recipe.head_factor)
    add("--batch", type=int, default=32, help="pairs a step")
    add("--max-length", type=int, default=128)
    add("--epochs", type=int, default=3)
    add("--warmup", type=float, default=recipe.warmup, help="share of the steps")
    add("--weight-decay", type=float, default=recipe.decay)
    add("--layer-decay", type=float, default=recipe.layer_decay)
    add("--dropout", type=float, default=0.1)
    add("--clip", type=float, default=recipe.clip)
    add("--seeds", type=numbers(int), default=[1], help="one run each")
    add("--limit", type=int, help="train on the first so many pairs")
    add("--limit-dev", type=int)
    add("--compute", choices=["bf16", "f32"], default="bf16", help="bf16 is autocast; weights are float32")
    add("--device", default="cpu", help="a PyTorch device")
    add("--threads", type=int, default=min(2, os.cpu_count() or 1))
    add("--output", type=Path, help="folder for predictions, seed-N.jsonl")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args()
    arguments.losses = arguments.losses or (["hard", "score", "reasoning"] if arguments.teacher else ["hard"])
    if set(arguments.losses) - {"hard", "score", "reasoning"} or len(arguments.weights) != 3:
        parser.error("--losses takes hard, score, reasoning; --weights three numbers")
    if not arguments.teacher and arguments.losses != ["hard"]:
        parser.error("score and reasoning need --teacher")
    return arguments


def main():
    arguments = parse()
    folder = reference.model_folder(arguments.init)
    if folder is None:
        sys.exit(f"error: {arguments.init} is no encoder's folder; fetch one with Tools/fetch-model minilm-l6")
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    names, gains = training_data.label_set(arguments.labels)
    teacher = training_data.read_teacher(arguments.teacher, names) if arguments.teacher else {}
    aspects = sorted({a for _, v in teacher.values() for a in v}) if "reasoning" in arguments.losses else []
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    towers = arguments.student == "representation"
    rows = training_data.read_pairs(arguments.train, arguments.limit)
    use = [r for r in rows if ("hard" in arguments.losses and r.get("label")) or
           (set(arguments.losses) != {"hard"} and str(r["pair_id"]) in teacher)]
    if not use:
        sys.exit("error: no pair has a label or a record that the losses need")
    data = training_data.Dataset(use, names, tokenizer, arguments.max_length, arguments.fields, teacher, aspects, towers)
    dev_rows = [r for r in training_data.read_pairs(arguments.dev, arguments.limit_dev) if r.get("label")]
    dev = training_data.Dataset(dev_rows, names, tokenizer, arguments.max_length, arguments.fields, towers=towers)
    gold = numpy.array([names.index(row["label"]) for row in dev_rows])
    runs = []
    for seed in arguments.seeds:
        run, probabilities = train(arguments, folder, data, dev, gold, names, gains, aspects, seed)
        runs.append(run)
        if arguments.output:
            write_predictions(arguments.output / f"seed-{seed}.jsonl", dev_rows, names, probabilities)
    mean = {k: float(numpy.mean([r[k] for r in runs])) if all(r[k] is not None for r in runs) else None
            for k in ("accuracy", "macro_f1", "auc", "spearman")}
    if arguments.json:
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items()}
        print(json.dumps({"pairs": len(use), "teacher_pairs": data.matched, "dev_pairs": len(dev_rows), "runs": runs,
                          "mean": mean, "torch": torch.__version__, "settings": settings}, indent=1))
    else:
        print(f"{arguments.student}, {'+'.join(arguments.losses)}: {len(use)} pairs, {data.matched} with a teacher, "
              f"{len(dev_rows)} dev pairs")
        for run in runs:
            print(f"seed {run['seed']}: {describe(run)}, {run['seconds']:.0f} s")
        if len(runs) > 1:
            print(f"mean: {describe(mean)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
