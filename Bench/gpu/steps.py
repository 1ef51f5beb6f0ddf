"""The steps of Bench/gpu/run, in order of value: what each runs, for how long at most, and how its output is read."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent

SCALES = {
    # The sizes that the documents' targets are about.
    "full": {
        "gemm": "1024,4096,8192", "heads": 32, "kv_heads": 8, "head_dim": 128, "prefill": "2048,8192",
        "decode": "1x4096,32x4096", "encoder": "32x128", "rows": 8192, "width": 4096, "parameters": 50_000_000, "shape": "llama-8b",
        "prompt": 2048, "generate": 64, "decode_prompt": 512, "batch": "1,32", "step_tokens": 2048, "pairs": 128, "label_batch": 64,
        "max_tokens": 128, "train_steps": 50, "train_batch": 32, "train_length": 128,
        "models": ["smollm2-135m", "qwen2.5-coder-1.5b"], "check": [],
        "tune": ["--family", "matmul_mma,product_mma,product_wgmma,attention_mma,encoder_attention_", "--budget", 60],
    },
    # The same steps in seconds each, to rehearse the script on a processor.
    "small": {
        "gemm": "64,256", "heads": 4, "kv_heads": 2, "head_dim": 64, "prefill": "64", "decode": "2x64", "encoder": "2x32",
        "rows": 64, "width": 256, "parameters": 100_000, "shape": "tiny", "prompt": 64, "generate": 8, "decode_prompt": 16,
        "batch": "1,2", "step_tokens": 512, "pairs": 2, "label_batch": 2, "max_tokens": 24, "train_steps": 1, "train_batch": 2,
        "train_length": 16, "models": ["smollm2-135m"], "check": ["--operation", "rms_norm"],
        # What is found at a rehearsal is not kept.
        "tune": ["--family", "product.,elementwise", "--budget", 1, "--dry-run"],
    },
}


def model_cache():
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "retort" / "models"


def read_json(text):
    """The last line that is an object: libraries may print before it; or the whole text as one."""
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.startswith("{")]
        if not lines:
            raise
        return json.loads(lines[-1])


@dataclass
class Step:
    name: str
    side: str
    seconds: float
    command: Callable[[], list]
    read: Callable[[str], dict] = read_json
    needs: tuple = ()
    # Whether all else counts without it: its failure is told and the exit code stays 0.
    optional: bool = False
    # Files that must be there, with what to do where they are not.
    files: dict = field(default_factory=dict)
    prepare: Callable[[dict], None] = lambda records: None

    def missing(self, records):
        """Why the step cannot run, or None."""
        for path, remedy in self.files.items():
            if not Path(path).exists():
                return f"{path} is not there: {remedy}"
        for name in self.needs:
            record = records.get(name)
            if not record or "error" in record:
                return f"it needs the step {name}"
        return None


class Plan:
    def __init__(self, arguments, binary, output):
        self.arguments, self.binary, self.output = arguments, binary, output
        self.sizes = SCALES[arguments.scale]
        self.steps = []
        # A rehearsal runs on whatever OpenCL device there is.
        self.device = ["--backend", "opencl"] + (["--device", arguments.device] if arguments.device else [])

    def retort(self, name, seconds, *words, device=True, json_flag=True, **more):
        command = [self.binary, *map(str, words)] + (self.device if device else []) + (["--json"] if json_flag else [])
        self.steps.append(Step(name, "retort", seconds, lambda: command, **more))

    def torch(self, name, seconds, *words, **more):
        command = [self.arguments.python, str(HERE / "torch_side.py"), *map(str, words)]
        self.steps.append(Step(name, "torch", seconds, lambda: command, **more))

    def device_steps(self):
        number = ["--device", self.arguments.device] if self.arguments.device else []
        self.retort("devices", 30, "devices", "--probe", *number, device=False)
        # Before the check, so that it is what was found that is checked and measured.
        self.retort("tune", 110, "tune", *number, *self.sizes["tune"], device=False, optional=True)
        self.retort("check-device", 90, "check-device", *number, *self.sizes["check"], device=False)

    def kernel_steps(self):
        s = self.sizes
        for precision in ("bf16", "f32", "int8"):
            self.retort(f"gemm-{precision}-retort", 40, "bench", "gemm", "--sizes", s["gemm"], "--precision", precision)
        self.torch("gemm-torch", 40, "gemm", "--sizes", s["gemm"], "--precision", "bf16,f32")
        attention = ["--heads", s["heads"], "--kv-heads", s["kv_heads"], "--head-dim", s["head_dim"], "--prefill", s["prefill"],
                     "--decode", s["decode"], "--encoder", s["encoder"]]
        self.retort("attention-retort", 40, "bench", "attention", *attention)
        self.torch("attention-torch", 40, "attention", *attention)
        rows = ["--rows", s["rows"], "--width", s["width"], "--parameters", s["parameters"]]
        self.retort("rows-retort", 40, "bench", "rows", *rows)
        self.torch("rows-torch", 40, "rows", *rows)

    def model_steps(self):
        s = self.sizes
        sizes = ["--prompt-tokens", s["prompt"], "--generate-tokens", s["generate"], "--decode-prompt-tokens", s["decode_prompt"],
                 "--batch", s["batch"]]
        for name, mode in (("bf16", ["--weight-type", "bf16"]), ("q4_K", ["--weight-type", "q4_K"]),
                           ("int8", ["--weight-type", "bf16", "--compute", "int8"])):
            self.retort(f"decoder-{name}-retort", 60, "bench", "generate", "--random-weights", s["shape"], *mode, *sizes,
                        "--step-tokens", s["step_tokens"], "--repeats", 2)
        self.torch("decoder-torch", 60, "decoder", "--shape", s["shape"], *sizes)

    def training_steps(self):
        s, folder = self.sizes, self.output / "student"
        self.torch("student-weights", 30, "make-student", "--output", folder)
        sizes = ["--batch", s["train_batch"], "--length", s["train_length"], "--steps", s["train_steps"], "--compute", "bf16"]
        self.retort("train-retort", 40, "bench", "train", "--init", folder, *sizes, needs=("student-weights",))
        self.torch("train-torch", 40, "train", *sizes)

    def label_steps(self):
        s = self.sizes
        pairs = self.arguments.pairs or next((p for p in (HERE.parent.parent / "sample/pairs.jsonl", HERE.parent.parent / "Tools/sample/pairs.jsonl")
                                              if p.exists()), Path("pairs.jsonl"))
        again = []
        for model in s["models"]:
            path = self.arguments.models / model / "model.gguf"
            files = {path: f"fetch it with Tools/fetch-model {model}, or give --models", pairs: "give --pairs"}
            prompts = self.output / f"prompts-{model}.jsonl"
            work = ["--model", path, "--input", pairs, "--limit", s["pairs"]]
            label = ["bench", "label", *work, "--batch", s["label_batch"], "--max-tokens", s["max_tokens"], "--no-profile"]
            self.retort(f"label-{model}-retort", 75, *label, files=files)

            def save(text, prompts=prompts):
                lines = [json.loads(line)["tokens"] for line in text.splitlines()]
                prompts.write_text(text, encoding="utf-8")
                return {"prompts": len(lines), "tokens": sum(map(len, lines))}

            self.retort(f"prompts-{model}", 20, "prompts", *work, device=False, json_flag=False, read=save, files=files)
            command = [self.arguments.python, str(HERE / "torch_side.py"), "label", "--model", str(path), "--prompts", str(prompts),
                       "--batch", str(s["label_batch"]), "--new-tokens", str(s["max_tokens"])]

            def count(records, command=command, name=f"label-{model}-retort"):
                # As many new tokens as Retort's rationales had on average: answers of the same length.
                told = records[name]["result"]
                command[-1] = str(max(1, round(told["tokens"]["generated"] / max(1, told["pairs"]))))

            self.steps.append(Step(f"label-{model}-torch", "torch", 90, lambda command=command: command, files=files, prepare=count,
                                   needs=(f"label-{model}-retort", f"prompts-{model}")))
            again.append((f"label-{model}-int8-retort", [*label, "--compute", "int8"], files))
        # Last, where time is left.
        for name, words, files in again:
            self.retort(name, 75, *words, files=files)


def steps(arguments, binary, output):
    plan = Plan(arguments, binary, output)
    plan.device_steps()
    plan.kernel_steps()
    plan.model_steps()
    plan.training_steps()
    plan.label_steps()
    return plan.steps
