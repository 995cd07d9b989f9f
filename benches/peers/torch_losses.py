"""PyTorch's times for rows of `wgloss bench`, on the processor: run both in one session and compare medians.

    python benches/peers/torch_losses.py [runs]

Eager and torch.compile, forward and forward with backward, in milliseconds: median (least, most). A gradient is written
into fresh memory, as autograd does.
"""

import statistics
import sys
import time

import torch
import torch.nn.functional as F

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9


def cross_entropy(*shape):
    x = torch.randn(*shape)
    t = torch.randint(shape[1], (shape[0], *shape[2:]))
    return f"cross_entropy {'x'.join(map(str, shape))}", lambda x: F.cross_entropy(x, t), x


def elements(name, loss, count):
    x, t = torch.randn(count), torch.rand(count)
    return f"{name} {count}", lambda x: loss(x, t), x


def focal(x, t, gamma=2.0, alpha=0.25):
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    p_t = p * t + (1 - p) * (1 - t)
    return ((alpha * t + (1 - alpha) * (1 - t)) * ce * (1 - p_t) ** gamma).mean()


ROWS = [
    lambda: cross_entropy(1024, 32000),
    lambda: cross_entropy(8192, 1000),
    lambda: cross_entropy(3276800, 10),
    lambda: cross_entropy(8, 21, 512, 512),
    lambda: cross_entropy(2, 150, 256, 256),
    lambda: cross_entropy(8, 32_000, 128),
    lambda: elements("bce_with_logits", F.binary_cross_entropy_with_logits, 32_768_000),
    lambda: elements("sigmoid_focal", focal, 32_768_000),
    lambda: elements("mse", F.mse_loss, 32_768_000),
]


def timed(run):
    run()
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return f"{statistics.median(times):8.1f} ({min(times):.1f}, {max(times):.1f})"


print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {RUNS} runs")
for make in ROWS:
    name, loss, x = make()
    for kind in ("eager", "compiled"):
        torch._dynamo.reset()
        own = torch.compile(loss) if kind == "compiled" else loss
        leaf = x.clone().requires_grad_()

        def forward():
            with torch.no_grad():
                own(x)

        def fused():
            leaf.grad = None
            own(leaf).backward()

        print(f"{name:34} {kind:9} forward {timed(forward)}   forward+backward {timed(fused)}", flush=True)
