"""Fine-tunes an encoder into a cross-encoder with PyTorch, so that onnx_score has a student whose AUC means something."""

import json
import random
import shutil
import time

import torch
import transformers

BATCH, LENGTH, RATE = 64, 128, 1e-4


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def batches(rows, tokenizer, names, steps):
    """The same batches every time, each of pairs of like length, in random order."""
    rng = random.Random(1)
    chosen = rng.choices(rows, k=steps * BATCH)
    result = []
    for start in range(0, len(chosen), 32 * BATCH):
        window = sorted(chosen[start:start + 32 * BATCH], key=lambda r: len(r["query"]) + len(r["title"]))
        group = [window[at:at + BATCH] for at in range(0, len(window), BATCH)]
        rng.shuffle(group)
        result += group
    for batch in result:
        inputs = tokenizer([r["query"] for r in batch], [r["title"] for r in batch], padding=True, truncation=True,
                           max_length=LENGTH, return_tensors="pt")
        yield inputs, torch.tensor([names.index(r["label"]) for r in batch])


def make(base, folder, train, labels, steps, seconds):
    """Trains for at most `seconds` and returns the steps done in all; call it again to go on."""
    names = [label["name"] for label in json.loads(labels.read_text())["labels"]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    torch.manual_seed(1)
    model = transformers.BertForSequenceClassification.from_pretrained(
        base, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
        dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    state, first, begin = folder / "training.pt", 0, time.monotonic()
    if state.is_file():
        kept = torch.load(state)
        first = kept["step"]
        for part, key in ((model, "model"), (optimizer, "optimizer"), (schedule, "schedule")):
            part.load_state_dict(kept[key])
    step = first
    for number, (inputs, gold) in enumerate(batches(rows_of(train), tokenizer, names, steps)):
        if number < first:
            continue
        if time.monotonic() - begin > seconds:
            break
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(**inputs).logits.float(), gold)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        step = number + 1
        if step % 20 == 0:
            print(f"step {step} of {steps}, loss {loss.item():.4f}, {time.monotonic() - begin:.0f} s", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    if step < steps:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict()}, state)
        return step
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (base / name).is_file():
            shutil.copy(base / name, folder)
    state.unlink(missing_ok=True)
    return step
