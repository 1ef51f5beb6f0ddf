"""Pairs with labels and teacher records as batches for the students of students.py."""

import json
import sys

import torch

import students


def label_set(path):
    """Names in the file's order, gains by name."""
    with open(path, encoding="utf-8") as file:
        labels = json.load(file)["labels"]
    return [entry["name"] for entry in labels], [entry["gain"] for entry in labels]


def read_pairs(path, limit=None):
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if limit is not None and len(rows) >= limit:
                break
            if line.strip():
                row = json.loads(line)
                row.setdefault("pair_id", f"row-{number}")
                rows.append(row)
    if not rows:
        sys.exit(f"error: {path} has no pairs")
    return rows


def read_teacher(path, names):
    """Probabilities in label-set order and verdicts by pair_id, from records of `retort label`."""
    records = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            records[str(record["pair_id"])] = ([record["probabilities"][name] for name in names], record.get("verdicts") or {})
    return records


class Dataset:
    """Token ids and targets of pairs, made once."""

    def __init__(self, rows, names, tokenizer, max_length, fields=("title",), teacher=None, aspects=(), towers=False):
        self.rows, self.names, self.aspects, self.towers = rows, names, list(aspects), towers
        queries = [row["query"] for row in rows]
        items = [" ".join(str(row[f]) for f in fields if row.get(f)) for row in rows]
        if towers:
            self.encodings = [self.encode(tokenizer, max_length, texts, None) for texts in (queries, items)]
        else:
            self.encodings = [self.encode(tokenizer, max_length, queries, items)]
        unknown = sorted({row["label"] for row in rows if row.get("label")} - set(names))
        if unknown:
            sys.exit(f"error: labels outside the set: {', '.join(map(str, unknown))}")
        self.teacher = teacher or {}
        self.matched = sum(str(row["pair_id"]) in self.teacher for row in rows)

    @staticmethod
    def encode(tokenizer, max_length, texts, pairs):
        backend = tokenizer.backend_tokenizer
        backend.no_padding()
        backend.enable_truncation(max_length, strategy="longest_first")
        return [(e.ids, e.type_ids) for e in backend.encode_batch(texts if pairs is None else list(zip(texts, pairs)))]

    def __len__(self):
        return len(self.rows)

    def tokens(self, indices):
        return sum(len(e[i][0]) for e in self.encodings for i in indices)

    def inputs(self, indices):
        """A padded batch for each text a row has (one for pairs, two for towers)."""
        result = []
        for encodings in self.encodings:
            chosen = [encodings[i] for i in indices]
            ids, types, mask = (torch.zeros(len(chosen), max(len(c[0]) for c in chosen), dtype=torch.long) for _ in range(3))
            for row, (tokens, segments) in enumerate(chosen):
                ids[row, :len(tokens)] = torch.tensor(tokens)
                types[row, :len(tokens)] = torch.tensor(segments)
                mask[row, :len(tokens)] = 1
            result.append({"input_ids": ids, "token_type_ids": types, "attention_mask": mask})
        return result

    def targets(self, indices):
        label, teacher, verdict = [], [], []
        for row in (self.rows[i] for i in indices):
            probabilities, verdicts = self.teacher.get(str(row["pair_id"]), ([-1.0] * len(self.names), {}))
            label.append(self.names.index(row["label"]) if row.get("label") else -1)
            teacher.append(probabilities)
            verdict.append([students.VERDICTS.index(verdicts[a]) if verdicts.get(a) else -1 for a in self.aspects])
        return students.Targets(torch.tensor(label), torch.tensor(teacher),
                                torch.tensor(verdict, dtype=torch.long).reshape(len(label), len(self.aspects)))


def by_length(dataset, size):
    """Batches of like lengths, for prediction."""
    order = sorted(range(len(dataset)), key=lambda i: sum(len(e[i][0]) for e in dataset.encodings))
    return [order[i:i + size] for i in range(0, len(order), size)]
