"""The reference: transformers models and tokenizers built from a GGUF file's own weights and vocabulary.

Weights are dequantised to float32 with the `gguf` package and mapped onto transformers' modules here, so
the reference shares no code with Retort and none with transformers' own GGUF loader. Run the scripts of
this folder with Bench/peers/python, which builds the environment on first use.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# Pre-tokenisers by the GGUF name, as the published tokenizer.json files have them.
QWEN2_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
               r"\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "retort"


def find_model(name):
    """The GGUF file of a path or of a name that Tools/fetch-model knows."""
    path = Path(name)
    if path.is_file():
        return path
    if not path.is_dir():
        fetch = subprocess.run([str(ROOT / "Tools" / "fetch-model"), name], stdout=subprocess.PIPE, text=True)
        if fetch.returncode != 0:
            sys.exit(fetch.returncode)
        path = Path(fetch.stdout.strip())
    if not (path / "model.gguf").is_file():
        sys.exit(f"error: {path} holds no model.gguf")
    return path / "model.gguf"


def model_folder(name):
    """The folder of an encoder by path or by a name that Tools/fetch-model knows, or None where it is a GGUF."""
    path = Path(name)
    if not path.exists():
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        path = Path(cache) / "retort" / "models" / name
    return path if (path / "tokenizer.json").is_file() and not (path / "model.gguf").is_file() else None


def retort_binary(given=None):
    """The release binary, built unless a path is given."""
    if given:
        return given
    subprocess.run(["swift", "build", "-c", "release", "--product", "retort"], cwd=ROOT, check=True, stdout=sys.stderr)
    return str(ROOT / ".build" / "release" / "retort")


def run_retort(binary, arguments):
    """Runs retort and returns its standard output; ends the program with its message if it fails."""
    try:
        result = subprocess.run([binary, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        sys.exit(f"error: {binary} does not start: {error.strerror}; build it with: swift build -c release --product retort")
    if result.returncode != 0:
        sys.exit(f"error: retort {' '.join(map(str, arguments))} ended with {result.returncode}:\n"
                 f"{result.stderr.decode(errors='replace')[-2000:]}")
    return result.stdout.decode()


def file_key(*paths):
    """A short key for cached results: contents of small files, place, size and time of large ones."""
    digest = hashlib.sha256()
    for path in paths:
        state = os.stat(path)
        small = state.st_size < 4_000_000
        digest.update(Path(path).read_bytes() if small else
                      f"{Path(path).resolve()}:{state.st_size}:{state.st_mtime_ns}".encode())
        digest.update(b"|")
    return digest.hexdigest()[:16]


class Reader:
    """A GGUF file's metadata and dequantised tensors."""

    def __init__(self, path):
        from gguf import GGUFReader
        self.path = Path(path)
        self.reader = GGUFReader(str(path))

    def get(self, key, default=None):
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def arch(self, key, default=None):
        return self.get(f"{self.get('general.architecture')}.{key}", default)

    def tensors(self):
        """Name and float32 array [rows, columns] of each tensor."""
        import numpy
        from gguf.quants import dequantize
        for tensor in self.reader.tensors:
            yield tensor.name, numpy.array(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)


NAMES = {
    "attn_norm.weight": "input_layernorm.weight", "ffn_norm.weight": "post_attention_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight", "attn_q.bias": "self_attn.q_proj.bias",
    "attn_k.weight": "self_attn.k_proj.weight", "attn_k.bias": "self_attn.k_proj.bias",
    "attn_v.weight": "self_attn.v_proj.weight", "attn_v.bias": "self_attn.v_proj.bias",
    "attn_output.weight": "self_attn.o_proj.weight", "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight", "ffn_down.weight": "mlp.down_proj.weight",
}


def to_halves(array, heads):
    """Undoes GGUF llama's row order (RoPE on neighbouring pairs) to transformers' (RoPE on halves)."""
    rows = array.shape[0]
    return array.reshape(heads, rows // heads // 2, 2, -1).swapaxes(1, 2).reshape(array.shape)


def load_model(path):
    """A float32 LlamaForCausalLM or Qwen2ForCausalLM with the file's dequantised weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
    reader = Reader(path)
    architecture = reader.get("general.architecture")
    kinds = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
    if architecture not in kinds:
        sys.exit(f"error: {path}: no reference for architecture {architecture}; known: {', '.join(kinds)}")
    heads = reader.arch("attention.head_count")
    kv_heads = reader.arch("attention.head_count_kv", heads)
    state = {}
    for name, array in reader.tensors():
        if architecture == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
            array = to_halves(array, heads if "attn_q" in name else kv_heads)
        if name.startswith("blk."):
            _, layer, rest = name.split(".", 2)
            target = f"model.layers.{layer}.{NAMES[rest]}"
        else:
            target = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                      "output.weight": "lm_head.weight"}[name]
        state[target] = torch.from_numpy(array)
    tied = "lm_head.weight" not in state
    configuration, kind = kinds[architecture]
    embedding = state["model.embed_tokens.weight"]
    config = configuration(
        vocab_size=embedding.shape[0], hidden_size=embedding.shape[1],
        intermediate_size=reader.arch("feed_forward_length"), num_hidden_layers=reader.arch("block_count"),
        num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=reader.arch("attention.key_length", embedding.shape[1] // heads),
        max_position_embeddings=reader.arch("context_length"),
        rms_norm_eps=reader.arch("attention.layer_norm_rms_epsilon"), tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": reader.arch("rope.freq_base", 10000.0)},
        attn_implementation="eager")
    with torch.device("meta"):
        model = kind(config)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    if [m for m in missing if not (tied and m == "lm_head.weight")] or unexpected:
        sys.exit(f"error: {path}: tensors missing {missing}, unexpected {unexpected}")
    if tied:
        model.tie_weights()
    # The rotary table is computed, not loaded: build it again off the meta device.
    rotary = type(model.model.rotary_emb)(config=config)
    model.model.rotary_emb = rotary
    return model.eval().requires_grad_(False)


def load_tokenizer(path):
    """A `tokenizers.Tokenizer` of the published design with the file's vocabulary, merges and special tokens."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    reader = Reader(path)
    if reader.get("tokenizer.ggml.model") != "gpt2":
        sys.exit(f"error: {path}: no reference for tokenizer model {reader.get('tokenizer.ggml.model')}")
    tokens, types = reader.get("tokenizer.ggml.tokens"), reader.get("tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ", 1)) for m in reader.get("tokenizer.ggml.merges")]
    # Types: 1 normal, 3 control, 4 user defined, 5 unused.
    vocabulary = {t: i for i, t in enumerate(tokens) if types[i] != 5}
    pre = reader.get("tokenizer.ggml.pre")
    split = {"qwen2": QWEN2_SPLIT, "llama-bpe": LLAMA3_SPLIT}.get(pre)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    if split:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        if pre == "qwen2":
            tokenizer.normalizer = normalizers.NFC()
    elif pre == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    elif pre in ("gpt-2", "default"):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        sys.exit(f"error: {path}: no reference for pre-tokenizer {pre}")
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(t, special=types[i] == 3, normalized=False) for i, t in enumerate(tokens) if types[i] in (3, 4)]
    tokenizer.add_tokens(added)
    return tokenizer


def cached_json(path, compute):
    """The JSON at `path`, computed and written once."""
    if path.is_file():
        return json.loads(path.read_text())
    value = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)
    return value
