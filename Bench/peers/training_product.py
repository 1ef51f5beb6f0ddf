"""Times the matrix products of a training step beside torch, in one process and in turn.

Both multiply the same Float32 matrices. torch in bfloat16 is timed on operands that are bfloat16 already
("torch bf16") and with the casts that Float32 operands and a Float32 result need ("+ casts"), which is what
Retort's figure includes.
"""

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ["training_gemm.c", "training_pack.c", "thread_pool.c", "processor.c", "rows.c"]

# m, n, k, transposed: forward x Wt, gradient of x (dY W), gradient of W (dYt x, added).
SHAPES = [
    (4096, 1152, 384, "NT"), (4096, 384, 384, "NT"), (4096, 1536, 384, "NT"), (4096, 384, 1536, "NT"),
    (4096, 384, 1152, "NN"), (4096, 384, 384, "NN"), (4096, 384, 1536, "NN"), (4096, 1536, 384, "NN"),
    (1152, 384, 4096, "TN"), (384, 384, 4096, "TN"), (1536, 384, 4096, "TN"), (384, 1536, 4096, "TN"),
    (731, 1536, 384, "NT"), (1500, 384, 1536, "NN"), (1536, 384, 731, "TN"),
    (32, 4, 384, "NT"), (4, 384, 32, "TN"),
    (512, 49152, 576, "NT"), (512, 576, 49152, "NN"), (49152, 576, 512, "TN"),
]  # fmt: skip


class Product(ctypes.Structure):
    """rk_product of ckernels.h."""

    _fields_ = (
        [(name, ctypes.c_int) for name in ("m", "n", "k")]
        + [(name, ctypes.c_void_p) for name in ("a", "b", "bias")]
        + [(name, ctypes.c_size_t) for name in ("a_stride", "b_stride", "c_stride")]
        + [("c", ctypes.c_void_p)]
        + [(name, ctypes.c_int) for name in ("a_transposed", "b_transposed", "accumulate", "narrow")]
        + [("plan", ctypes.c_byte * 256)]
    )


def library() -> ctypes.CDLL:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "retort/peers"
    cache.mkdir(parents=True, exist_ok=True)
    kernels, target = ROOT / "Sources/CKernels", cache / f"training_product-{os.getpid()}.so"
    files = [str(kernels / name) for name in SOURCES] + [str(Path(__file__).with_suffix(".c"))]
    subprocess.run(
        ["clang", "-O2", "-shared", "-fPIC", f"-I{kernels}/include", f"-I{kernels}", *files]
        + ["-o", str(target), "-lpthread", "-ldl", "-lm"],
        check=True,
    )
    loaded = ctypes.CDLL(str(target))
    target.unlink()
    loaded.rk_pool_create.restype = ctypes.c_void_p
    loaded.bench_plan.restype = ctypes.c_size_t
    return loaded


class Retort:
    def __init__(self, threads: int):
        self.library = library()
        self.pool = ctypes.c_void_p(self.library.rk_pool_create(threads))

    def product(self, a, b, c, ta: bool, tb: bool, narrow: bool):
        """A function that runs c (+)= op(a) op(b)."""
        work = Product(
            m=c.shape[0], n=c.shape[1], k=a.shape[0] if ta else a.shape[1], a=a.data_ptr(), b=b.data_ptr(),
            c=c.data_ptr(), a_stride=a.shape[1], b_stride=b.shape[1], c_stride=c.shape[1], a_transposed=ta,
            b_transposed=tb, accumulate=ta, narrow=narrow,
        )  # fmt: skip
        scratch = torch.empty(self.library.bench_plan(self.pool, ctypes.byref(work)) + 64, dtype=torch.uint8)
        start = (scratch.data_ptr() + 63) // 64 * 64
        return lambda: (self.library.bench_run(self.pool, ctypes.byref(work), ctypes.c_void_p(start)), scratch)


def torch_product(a, b, c, ta: bool, tb: bool, casts: bool):
    def run():
        x, y = (a.bfloat16(), b.bfloat16()) if casts else (a, b)
        z = torch.matmul(x.t() if ta else x, y.t() if tb else y)
        if casts:
            c.add_(z) if ta else c.copy_(z)

    return run


def measure(sides: dict, flops: float, rounds: int, batch: int) -> dict:
    """GFLOP/s of the best and of the median run of every side; they take turns."""
    times = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            # The other side's threads go to sleep before the clock starts.
            time.sleep(0.02)
            run()
            for _ in range(batch):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {
        name: (flops / min(values) / 1e9, flops / statistics.median(values) / 1e9)
        for name, values in times.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of shapes, from 0")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    retort = Retort(options.threads)
    print("GFLOP/s, best (median)")
    wrong = 0
    for index, (m, n, k, op) in enumerate(SHAPES):
        if options.only is not None and index not in options.only:
            continue
        ta, tb = op[0] == "T", op[1] == "T"
        a = torch.rand((k, m) if ta else (m, k)) - 0.5
        b = torch.rand((n, k) if tb else (k, n)) - 0.5
        c = torch.zeros(m, n)
        flops = 2.0 * m * n * k
        for narrow in (True, False):
            c.zero_()
            retort.product(a, b, c, ta, tb, narrow)()
            exact = torch.matmul((a.t() if ta else a)[:64].double(), (b.t() if tb else b).double())
            error = ((c[:64] - exact).abs().max() / exact.abs().max()).item()
            if error > (1e-2 if narrow else 1e-5):
                print(f"  off by {error:.2g} of the largest number")
                wrong += 1
            sides = {"retort": retort.product(a, b, c, ta, tb, narrow)}
            if narrow:
                sides["torch"] = torch_product(a.bfloat16(), b.bfloat16(), c, ta, tb, False)
                sides["+ casts"] = torch_product(a, b, c, ta, tb, True)
            else:
                sides["torch"] = torch_product(a, b, c, ta, tb, False)
            rates = measure(sides, flops, options.rounds, 2 if flops > 1e10 else 3 if flops > 1e6 else 100)
            line = ", ".join(f"{name} {best:6.1f} ({median:6.1f})" for name, (best, median) in rates.items())
            print(f"{m:5} {n:5} {k:5} {op} {'bf16' if narrow else 'f32 '} {line}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
