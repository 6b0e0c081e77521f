"""PyTorch as a peer: reads a shape and a residency, or `time`, on each line of standard input."""

import os
import sys
import time

import torch
import torch.nn.functional as F

POOL_BYTES = 256 << 20
TURN_S = 0.08
torch.set_grad_enabled(False)
assert torch.get_num_threads() == int(os.environ["OMP_NUM_THREADS"])


def prepared(shape, residency):
    kind, sizes, _ = shape.split(":")
    sizes = [int(n) for n in sizes.split("x")]
    copies = lambda size: 1 if residency == "cache" else POOL_BYTES // (4 * size) + 1
    if kind in ("gemm", "gemv"):
        m, n, k = sizes if kind == "gemm" else (1, *sizes)
        x = torch.randn(m, k) if kind == "gemm" else torch.randn(k)
        weights = [torch.randn(n, k) for _ in range(copies(n * k))]
        return lambda i: F.linear(x, weights[i % len(weights)])
    rows = [torch.randn(*sizes) for _ in range(copies(2 * sizes[0] * sizes[1]))]
    gain = torch.ones(sizes[1])
    if kind == "softmax":
        return lambda i: F.softmax(rows[i % len(rows)], -1)
    if kind == "rmsnorm":
        return lambda i: F.rms_norm(rows[i % len(rows)], (sizes[1],), gain)
    return None


def timed(call):
    times, begin, i = [], time.perf_counter(), 0
    while len(times) < 3 or time.perf_counter() - begin < TURN_S:
        start = time.perf_counter()
        call(i)
        times.append((time.perf_counter() - start) * 1e6)
        i += 1
    return sorted(times)[len(times) // 2]


call = None
for line in sys.stdin:
    answer = None
    if line.strip() != "time":
        call = prepared(*line.split())
    elif call:
        timed(call)
        answer = timed(call)
    print("none" if answer is None else answer, flush=True)
