"""Compares greedy generation by retort and by transformers (float32 on the dequantised weights).

For each prompt of parity_prompts.json the tokens must be equal, except where the reference's two best
log-probabilities are closer than --margin (the comparison of that prompt ends there), and the log-probability
of each chosen token must agree within --tolerance. Prompt token ids must be equal too. The reference's results
are cached. Prints a table; exits 1 if a prompt differs.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import reference

ENDS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>")


def reference_results(model_path, prompts, max_tokens):
    """Prompt ids, greedy tokens, their log-probabilities and the top-two margins, for each prompt."""
    import torch
    tokenizer, model, results = reference.load_tokenizer(model_path), reference.load_model(model_path), []
    ends = {tokenizer.token_to_id(t) for t in ENDS} - {None}
    for number, prompt in enumerate(prompts, 1):
        ids = tokenizer.encode(prompt["text"]).ids
        result = {"prompt_ids": ids, "tokens": [], "logprobs": [], "margins": [], "ended": False}
        step, cache = torch.tensor([ids]), None
        with torch.no_grad():
            while len(result["tokens"]) < max_tokens:
                output = model(step, past_key_values=cache, use_cache=True)
                cache = output.past_key_values
                best = torch.log_softmax(output.logits[0, -1].double(), -1).topk(2)
                token = best.indices[0].item()
                result["logprobs"].append(best.values[0].item())
                result["margins"].append((best.values[0] - best.values[1]).item())
                if token in ends:
                    result["ended"] = True
                    break
                result["tokens"].append(token)
                step = torch.tensor([[token]])
        results.append(result)
        print(f"\rreference: {number} of {len(prompts)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return results


def compare(expected, found, ends, arguments):
    """(problem or None, tokens compared, largest log-probability difference, note)."""
    prompt = found["prompt_tokens"]
    if prompt not in (len(expected["prompt_ids"]), expected["prompt_ids"]):
        return f"{prompt} prompt tokens, expected {len(expected['prompt_ids'])}", 0, 0.0, ""
    # The end token may be listed or not: compare without it.
    tokens = found["tokens"][:-1] if found["tokens"] and found["tokens"][-1] in ends else found["tokens"]
    if len(found["logprobs"]) < len(tokens):
        return f"{len(found['logprobs'])} log-probabilities for {len(tokens)} tokens", 0, 0.0, ""
    worst = 0.0
    for position in range(max(len(tokens), len(expected["tokens"]))):
        here = tokens[position] if position < len(tokens) else None
        there = expected["tokens"][position] if position < len(expected["tokens"]) else None
        if here != there:
            margin = expected["margins"][position] if position < len(expected["margins"]) else float("inf")
            if margin < arguments.margin:
                return None, position, worst, f"token {position} differs at margin {margin:.4f}: allowed"
            return f"token {position} is {here}, expected {there} (margin {margin:.3f})", position, worst, ""
        difference = abs(found["logprobs"][position] - expected["logprobs"][position])
        worst = max(worst, difference)
        if not difference <= arguments.tolerance:
            return f"log-probability {position} differs by {difference:.4f}", position, worst, ""
    return None, len(tokens), worst, "ended" if expected["ended"] else ""


def main():
    parser = argparse.ArgumentParser(prog="Bench/peers/parity_generate", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="a GGUF, or a name of Tools/fetch-model")
    parser.add_argument("--backend", default="cpu", help="cpu or opencl")
    parser.add_argument("--device", help="the OpenCL device's number")
    parser.add_argument("--compute", default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--margin", type=float, default=0.02, help="a reference margin below this may be lost")
    parser.add_argument("--tolerance", type=float, default=0.02, help="log-probability difference allowed")
    parser.add_argument("--limit", type=int, help="only the first prompts")
    parser.add_argument("--retort", help="the binary (default: build it)")
    parser.add_argument("--reference-only", action="store_true", help="compute and cache the reference")
    arguments = parser.parse_args()
    path = reference.find_model(arguments.model)
    prompts_path = Path(__file__).with_name("parity_prompts.json")
    prompts = json.loads(prompts_path.read_text(encoding="utf-8"))
    key = f"{reference.file_key(path, prompts_path)}-{arguments.max_tokens}"
    cache = reference.cache_folder() / "peers" / "reference" / f"generate-{key}.json"
    expected = reference.cached_json(cache, lambda: reference_results(path, prompts, arguments.max_tokens))
    if arguments.reference_only:
        print(f"reference for {len(expected)} prompts in {cache}")
        return 0
    tokenizer = reference.load_tokenizer(path)
    ends = {tokenizer.token_to_id(t) for t in ENDS} - {None}
    binary = reference.retort_binary(arguments.retort)
    failures, worst_of_all, total = 0, 0.0, 0
    print(f"{'prompt':22} {'prompt tokens':>13} {'equal':>6} {'worst diff':>10}  result")
    for prompt, wanted in list(zip(prompts, expected))[:arguments.limit]:
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="") as file:
            file.write(prompt["text"])
            file.flush()
            options = ["--device", arguments.device] if arguments.device else []
            output = reference.run_retort(binary, [
                "generate", "--model", path, "--prompt-file", file.name, "--max-tokens", arguments.max_tokens,
                "--temperature", 0, "--logprobs", 1, "--compute", arguments.compute, "--backend",
                arguments.backend, "--threads", arguments.threads, "--json", *options])
        problem, count, worst, note = compare(wanted, json.loads(output), ends, arguments)
        failures, worst_of_all, total = failures + bool(problem), max(worst_of_all, worst), total + count
        print(f"{prompt['name']:22} {len(wanted['prompt_ids']):13} {count:6} {worst:10.5f}  "
              f"{'FAIL: ' + problem if problem else 'ok ' + note}", flush=True)
    checked = len(expected[:arguments.limit])
    print(f"{arguments.model}, {arguments.backend}, {arguments.compute}: {checked - failures} of {checked} prompts agree, "
          f"{total} tokens equal, largest log-probability difference {worst_of_all:.5f}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
