#!/usr/bin/env python3
"""The PyTorch half of Bench/gpu: each subcommand measures one thing and prints one JSON object.

It runs on CUDA where there is a device and on the CPU elsewhere. Sizes come from the command line, so that both halves
measure the same ones. A figure is the fastest of several rounds; a round is as many calls as fill a tenth of a second,
with one wait at its end. Only `label` needs transformers (and gguf and accelerate, to read the model's file).
"""

import argparse
import ctypes
import json
import math
import struct
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def measure(body, budget=0.6, rounds=5):
    """Seconds of one call."""
    def timed(calls):
        start = time.perf_counter()
        for _ in range(calls):
            body()
        wait()
        return (time.perf_counter() - start) / calls

    with torch.no_grad():
        body()
        wait()
        once = timed(1)
        calls = max(1, min(500, int(budget / rounds / max(once, 1e-6))))
        return min([once] + [timed(calls) for _ in range(1 if once > budget else rounds)])


def rates(seconds, flops=0, size=0):
    return {"seconds": seconds, "gflops": flops / seconds / 1e9, "gigabytes_per_second": size / seconds / 1e9}


def normal(*shape, dtype=torch.float32):
    return torch.randn(*shape, device=DEVICE, dtype=dtype)


def gemm(arguments):
    torch.backends.cuda.matmul.allow_tf32 = False
    cases = []
    for precision in arguments.precision.split(","):
        dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[precision]
        for text in arguments.sizes.split(","):
            n = int(text)
            a, b = normal(n, n, dtype=dtype), normal(n, n, dtype=dtype)
            seconds = measure(lambda: torch.matmul(a, b.T))
            cases.append({"precision": precision, "size": n, **rates(seconds, 2 * n ** 3, 0)})
    return {"cases": cases}


def pairs(text):
    return [tuple(int(x) for x in part.split("x")) for part in text.split(",") if part]


def attention(arguments):
    heads, key_heads, dim = arguments.heads, arguments.kv_heads, arguments.head_dim
    dtype, cases = torch.bfloat16, []

    def grouped(query, key, value, causal):
        group = query.shape[1] // key.shape[1]
        try:
            return F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=group > 1)
        except TypeError:  # before PyTorch 2.5
            return F.scaled_dot_product_attention(query, key.repeat_interleave(group, 1), value.repeat_interleave(group, 1),
                                                  is_causal=causal)

    for (length,) in pairs(arguments.prefill):
        query, key, value = normal(1, heads, length, dim, dtype=dtype), *(normal(1, key_heads, length, dim, dtype=dtype) for _ in "kv")
        seconds = measure(lambda: grouped(query, key, value, True))
        flops = 2 * length * (length + 1) * heads * dim
        cases.append({"kind": "prefill", "sequences": 1, "length": length, **rates(seconds, flops, 0)})
    for sequences, length in pairs(arguments.decode):
        query = normal(sequences, heads, 1, dim, dtype=dtype)
        key, value = (normal(sequences, key_heads, length, dim, dtype=dtype) for _ in "kv")
        seconds = measure(lambda: grouped(query, key, value, False))
        size = sequences * length * key_heads * dim * 4
        cases.append({"kind": "decode", "sequences": sequences, "length": length,
                      **rates(seconds, 4 * sequences * length * heads * dim, size)})
    for sequences, length in pairs(arguments.encoder):
        query, key, value = (normal(sequences, 12, length, 32, dtype=dtype) for _ in "qkv")
        flops = 4 * sequences * length * length * 384
        seconds = measure(lambda: F.scaled_dot_product_attention(query, key, value))
        cases.append({"kind": "encoder", "sequences": sequences, "length": length, **rates(seconds, flops, 0)})
        operands = [x.requires_grad_() for x in (query, key, value)]
        with torch.enable_grad():
            output = F.scaled_dot_product_attention(*operands)
            slope = torch.ones_like(output)
            seconds = measure(lambda: torch.autograd.grad(output, operands, slope, retain_graph=True))
        cases.append({"kind": "encoder gradient", "sequences": sequences, "length": length, **rates(seconds, 2.5 * flops, 0)})
    return {"cases": cases}


def rows(arguments):
    x, y, w = normal(arguments.rows, arguments.width), normal(arguments.rows, arguments.width), normal(arguments.width)
    count, width = x.numel(), (arguments.width,)

    def rms_norm():
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, width, w, 1e-5)
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w

    bodies = {"rms_norm": (rms_norm, 8), "layer_norm": (lambda: F.layer_norm(x, width, w, w, 1e-5), 8),
              "softmax": (lambda: F.softmax(x, -1), 8), "add": (lambda: x + y, 12),
              "silu_mul": (lambda: F.silu(x) * y, 12), "gelu": (lambda: F.gelu(x), 8)}
    cases = [{"operation": name, **rates(measure(body), 0, size * count)} for name, (body, size) in bodies.items()]
    if arguments.parameters:
        parameter = torch.nn.Parameter(normal(arguments.parameters))
        parameter.grad = normal(arguments.parameters)
        step = torch.optim.AdamW([parameter], lr=1e-5, weight_decay=0.01, fused=True).step
        cases.append({"operation": "adamw", **rates(measure(step), 0, 28 * arguments.parameters)})
    return {"cases": cases}


SHAPES = {  # layers, hidden, heads, key heads, head size, intermediate, vocabulary: those of `--random-weights`
    "tiny": (2, 256, 4, 2, 64, 512, 1024), "smollm2-135m": (30, 576, 9, 3, 64, 1536, 49152),
    "qwen2-1.5b": (28, 1536, 12, 2, 128, 8960, 151936), "qwen2-7b": (28, 3584, 28, 4, 128, 18944, 152064),
    "llama-8b": (32, 4096, 32, 8, 128, 14336, 128256),
}


class Decoder:
    """A llama-shaped decoder in bfloat16 with random weights and a static cache."""

    def __init__(self, shape, batch, context):
        layers, hidden, self.heads, self.key_heads, self.dim, inner, vocabulary = SHAPES[shape]
        joint = (self.heads + 2 * self.key_heads) * self.dim

        def weight(out, width):
            return torch.randn(out, width, device=DEVICE, dtype=torch.bfloat16) / math.sqrt(width)

        self.layers = [(weight(joint, hidden), weight(hidden, self.heads * self.dim), weight(2 * inner, hidden), weight(hidden, inner))
                       for _ in range(layers)]
        self.table, self.output = weight(vocabulary, hidden), weight(vocabulary, hidden)
        self.norm = torch.ones(hidden, device=DEVICE, dtype=torch.bfloat16)
        self.batch, self.context = batch, context
        self.cache = torch.zeros(layers, 2, batch, self.key_heads, context, self.dim, device=DEVICE, dtype=torch.bfloat16)
        angles = torch.arange(context)[:, None] * 10000.0 ** (-torch.arange(0, self.dim, 2) / self.dim)
        self.turn = torch.cat([angles, angles], -1).to(DEVICE)
        self.places = torch.arange(context, device=DEVICE)

    def rope(self, x, turn):
        a, b = x.chunk(2, -1)
        return (x * turn.cos() + torch.cat([-b, a], -1) * turn.sin()).to(torch.bfloat16)

    def rms(self, x):
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype) * self.norm

    def step(self, ids, position, whole):
        """Logits of the last token of each row. `position` are the tokens' places; `whole` says that they are a whole prompt."""
        batch, length = ids.shape
        turn = self.turn[position]
        mask = None if whole else (self.places[None] <= position[:, None])
        group = self.heads // self.key_heads
        x = self.table[ids]
        for layer, (joint, out, up, down) in enumerate(self.layers):
            parts = (self.rms(x) @ joint.T).view(batch, length, -1, self.dim).transpose(1, 2)
            query, key, value = parts.split([self.heads, self.key_heads, self.key_heads], 1)
            query, key = self.rope(query, turn), self.rope(key, turn)
            self.cache[layer, 0, :batch].index_copy_(2, position, key)
            self.cache[layer, 1, :batch].index_copy_(2, position, value)
            if not whole:
                key, value = self.cache[layer, 0, :batch], self.cache[layer, 1, :batch]
            y = F.scaled_dot_product_attention(query, key.repeat_interleave(group, 1), value.repeat_interleave(group, 1),
                                               attn_mask=mask, is_causal=whole)
            x = x + y.transpose(1, 2).reshape(batch, length, -1) @ out.T
            gate, inner = (self.rms(x) @ up.T).chunk(2, -1)
            x = x + (F.silu(gate) * inner) @ down.T
        return self.rms(x[:, -1]) @ self.output.T


def decode_rate(model, batch, start, steps):
    """Tokens a second of greedy decode, run by the host step by step, and replayed as one graph where CUDA has it."""
    ids = torch.zeros(batch, 1, dtype=torch.long, device=DEVICE)
    position = torch.tensor([start], device=DEVICE)

    def step():
        ids.copy_(model.step(ids, position, False).argmax(-1, keepdim=True))
        position.add_(1)

    def timed(body):
        position.fill_(start)
        body()
        wait()
        begin = time.perf_counter()
        for _ in range(steps - 1):
            body()
        wait()
        return batch * (steps - 1) / (time.perf_counter() - begin)

    result = {"eager_tokens_per_second": timed(step)}
    if DEVICE.type == "cuda":
        try:
            position.fill_(start)
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                step()
            wait()
            graph = torch.cuda.CUDAGraph()
            position.fill_(start)
            with torch.cuda.graph(graph):
                step()
            result["graph_tokens_per_second"] = timed(graph.replay)
        except RuntimeError as error:
            result["graph_problem"] = str(error)[:200]
    result["tokens_per_second"] = max(v for k, v in result.items() if k.endswith("per_second"))
    return result


def decoder(arguments):
    batches = [int(x) for x in arguments.batch.split(",")]
    context = max(arguments.prompt_tokens, arguments.decode_prompt_tokens + arguments.generate_tokens + 1)
    with torch.no_grad():
        model = Decoder(arguments.shape, max(batches), context)
        ids = torch.randint(0, 1000, (1, arguments.prompt_tokens), device=DEVICE)
        places = torch.arange(arguments.prompt_tokens, device=DEVICE)
        prefill = arguments.prompt_tokens / measure(lambda: model.step(ids, places, True))
        decode = [{"batch": b, **decode_rate(model, b, arguments.decode_prompt_tokens, arguments.generate_tokens)} for b in batches]
    return {"shape": arguments.shape, "prefill": [{"batch": 1, "prompt_tokens": arguments.prompt_tokens, "tokens_per_second": prefill}],
            "decode": decode}


def label(arguments):
    """transformers' generate in static batches, on the prompts that `retort prompts` prints."""
    import transformers
    path = Path(arguments.model)
    prompts = [json.loads(line)["tokens"] for line in Path(arguments.prompts).read_text(encoding="utf-8").splitlines()]
    # Few processors multiply bfloat16; there, at a rehearsal, it would take minutes.
    dtype = torch.bfloat16 if DEVICE.type == "cuda" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=dtype).to(DEVICE).eval()
    batch, total = arguments.batch, 0
    # One batch that is not timed: it warms up the kernels and the allocator.
    for first in [-1] + list(range(0, len(prompts), batch)):
        rows = prompts[:batch] if first < 0 else prompts[first:first + batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(r)) + r for r in rows], device=DEVICE)
        mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows], device=DEVICE)
        if first == 0:
            wait()
            start = time.perf_counter()
        with torch.no_grad():
            model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=4 if first < 0 else arguments.new_tokens,
                           min_new_tokens=4 if first < 0 else arguments.new_tokens, pad_token_id=0)
        total += 0 if first < 0 else len(rows)
    wait()
    seconds = time.perf_counter() - start
    return {"transformers": transformers.__version__, "pairs": total, "seconds": seconds, "pairs_per_second": total / seconds,
            "batch": batch, "new_tokens": arguments.new_tokens}


STUDENT = {"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536,
           "max_position_embeddings": 512, "vocab_size": 30522, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
           "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "architectures": ["BertModel"]}


def student_weights():
    """An encoder of MiniLM's shape under Hugging Face's names."""
    hidden, inner = STUDENT["hidden_size"], STUDENT["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": (STUDENT["vocab_size"], hidden), "embeddings.position_embeddings.weight": (512, hidden),
              "embeddings.token_type_embeddings.weight": (2, hidden)}

    def linear(name, out, width):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, width), (out,)

    def norm(name):
        shapes[f"{name}.LayerNorm.weight"], shapes[f"{name}.LayerNorm.bias"] = (hidden,), (hidden,)

    norm("embeddings")
    for layer in range(STUDENT["num_hidden_layers"]):
        base = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{base}.attention.self.{part}", hidden, hidden)
        linear(f"{base}.attention.output.dense", hidden, hidden)
        norm(f"{base}.attention.output")
        linear(f"{base}.intermediate.dense", inner, hidden)
        linear(f"{base}.output.dense", hidden, inner)
        norm(f"{base}.output")
    linear("pooler.dense", hidden, hidden)
    random = torch.Generator().manual_seed(1)
    return {name: torch.ones(shape) if "LayerNorm.weight" in name else torch.randn(shape, generator=random) * 0.02
            for name, shape in shapes.items()}


def make_student(arguments):
    """Writes the encoder as a folder that `retort bench train --init` reads."""
    folder = Path(arguments.output)
    folder.mkdir(parents=True, exist_ok=True)
    weights, header, place = student_weights(), {}, 0
    for name, tensor in weights.items():
        size = tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in weights.values():
            file.write(ctypes.string_at(tensor.contiguous().data_ptr(), tensor.numel() * 4))
    (folder / "config.json").write_text(json.dumps(STUDENT, indent=1), encoding="utf-8")
    return {"folder": str(folder), "bytes": place}


class Student(torch.nn.Module):
    """BERT with a classifier of three labels on [CLS], in plain PyTorch."""

    def __init__(self, dropout):
        super().__init__()
        hidden = STUDENT["hidden_size"]
        self.words, self.places = torch.nn.Embedding(STUDENT["vocab_size"], hidden), torch.nn.Embedding(512, hidden)
        self.norm, self.dropout = torch.nn.LayerNorm(hidden, 1e-12), torch.nn.Dropout(dropout)
        layer = torch.nn.TransformerEncoderLayer(hidden, 12, STUDENT["intermediate_size"], dropout, "gelu", 1e-12, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, STUDENT["num_hidden_layers"], enable_nested_tensor=False)
        self.head = torch.nn.Linear(hidden, 3)

    def forward(self, ids):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.encoder(self.dropout(self.norm(x)))[:, 0])


def train(arguments):
    torch.manual_seed(1)
    model = Student(arguments.dropout).to(DEVICE).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01, fused=True)
    ids = torch.randint(1, STUDENT["vocab_size"], (arguments.batch, arguments.length), device=DEVICE)
    targets = torch.randint(3, (arguments.batch,), device=DEVICE)
    for step in range(-3, arguments.steps):
        if step == 0:
            wait()
            start = time.perf_counter()
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=arguments.compute == "bf16"):
            loss = F.cross_entropy(model(ids).float(), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    wait()
    rate = arguments.steps / (time.perf_counter() - start)
    return {"steps_per_second": rate, "pairs_per_second": rate * arguments.batch,
            "tokens_per_second": rate * arguments.batch * arguments.length}


def parser():
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)

    def command(function, *options):
        sub = commands.add_parser(function.__name__.replace("_", "-"), help=(function.__doc__ or "").splitlines()[0] if function.__doc__ else None)
        sub.set_defaults(function=function)
        for name, default in options:
            kind = str if default is None else type(default)
            sub.add_argument(f"--{name}", type=kind, default=default, required=default is None)

    command(gemm, ("sizes", "4096"), ("precision", "bf16,f32"))
    command(attention, ("heads", 32), ("kv-heads", 8), ("head-dim", 128), ("prefill", "2048"), ("decode", "32x2048"), ("encoder", "32x128"))
    command(rows, ("rows", 8192), ("width", 4096), ("parameters", 50_000_000))
    command(decoder, ("shape", "llama-8b"), ("prompt-tokens", 512), ("generate-tokens", 64), ("decode-prompt-tokens", 128), ("batch", "1,32"))
    command(label, ("model", None), ("prompts", None), ("batch", 32), ("new-tokens", 100))
    command(make_student, ("output", None))
    command(train, ("batch", 32), ("length", 128), ("steps", 20), ("compute", "bf16"), ("dropout", 0.1))
    return top


def main():
    arguments = parser().parse_args()
    result = arguments.function(arguments)
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    print(json.dumps({"torch": torch.__version__, "device": name, **result}))


if __name__ == "__main__":
    sys.exit(main())
