"""Compares perplexity by retort and by transformers (float32 on the dequantised weights).

The text is the first 4,000 characters of --input; the first --tokens tokens of it count, the first of them
only as context. Prints both, and exits 1 if they differ by more than --tolerance (relative).
"""

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

import reference


def reference_perplexity(model_path, text, tokens):
    import torch
    ids = reference.load_tokenizer(model_path).encode(text).ids[:tokens]
    model = reference.load_model(model_path)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1].double()
    chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:])[:, None])
    return {"perplexity": math.exp(-chosen.mean().item()), "tokens": len(ids)}


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/parity_perplexity", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a GGUF, or a name of Tools/fetch-model")
    parser.add_argument("--input", type=Path, required=True, help="a UTF-8 text file")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--compute", default="f32")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=0.001, help="relative difference allowed")
    parser.add_argument("--retort", help="the binary (default: build it)")
    parser.add_argument("--reference-only", action="store_true")
    arguments = parser.parse_args()
    path = reference.find_model(arguments.model)
    text = arguments.input.read_text(encoding="utf-8")[:4000]
    key = reference.file_key(path, arguments.input)
    cache = reference.cache_folder() / "peers" / "reference" / f"perplexity-{key}-{arguments.tokens}.json"
    expected = reference.cached_json(cache, lambda: reference_perplexity(path, text, arguments.tokens))
    print(f"transformers: {expected['perplexity']:.4f} over {expected['tokens']} tokens")
    if arguments.reference_only:
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        output = reference.run_retort(reference.retort_binary(arguments.retort), [
            "perplexity", "--model", path, "--input", file.name, "--tokens", arguments.tokens, "--compute",
            arguments.compute, "--backend", arguments.backend, "--threads", arguments.threads, "--json"])
    found = json.loads(output)
    difference = found["perplexity"] / expected["perplexity"] - 1
    print(f"retort:       {found['perplexity']:.4f} over {found['tokens']} tokens "
          f"({arguments.backend}, {arguments.compute}); difference {difference * 100:+.4f} %")
    return 0 if abs(difference) <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
