"""PyTorch's times for rows of `wgloss bench`: run both in one session and compare medians.

    python benches/peers/torch_losses.py [RUNS] [--device cuda] [--dtype bf16 …] [--scale small] [--json FILE]

Eager, torch.compile and, of cross_entropy on CUDA, Liger's kernel where it is installed; forward, and forward with
backward; of AdamW one step. Milliseconds: median (least, most), on CUDA by events around each run, else by the clock on
the wall. A gradient is written into fresh memory, as autograd does; Liger writes over its input, which is copied anew
before each run, outside of what is timed.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=int, default=9)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=list(DTYPES), action="append", help="may be repeated [default: f32]")
    parser.add_argument("--scale", choices=["full", "small"], default="full", help="small: rows of a thousandth or so")
    parser.add_argument("--kind", choices=["eager", "compiled", "liger"], action="append", help="[default: all]")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no row after so many")
    parser.add_argument("--json", metavar="FILE", help="write what was measured here, row by row")
    return parser.parse_args()


OWN = arguments()
RUNS, ON_CUDA = OWN.runs, OWN.device == "cuda"


def cross_entropy(*shape):
    def make(dtype):
        x = torch.randn(*shape, device=OWN.device).to(dtype)
        t = torch.randint(shape[1], (shape[0], *shape[2:]), device=OWN.device)
        return (lambda x: F.cross_entropy(x, t)), x, t

    return "cross_entropy", shape, make


def elements(name, loss, count):
    def make(dtype):
        x, t = (torch.randn(count, device=OWN.device).to(dtype), torch.rand(count, device=OWN.device).to(dtype))
        return (lambda x: loss(x, t)), x, None

    return name, (count,), make


def total(count):
    return "sum", (count,), lambda dtype: (torch.sum, torch.randn(count, device=OWN.device).to(dtype), None)


def adamw(count):
    return "adamw", (count,), None


def focal(x, t, gamma=2.0, alpha=0.25):
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    p_t = p * t + (1 - p) * (1 - t)
    return ((alpha * t + (1 - alpha) * (1 - t)) * ce * (1 - p_t) ** gamma).mean()


ELEMENTS = [
    ("bce_with_logits", F.binary_cross_entropy_with_logits),
    ("sigmoid_focal", focal),
    ("mse", F.mse_loss),
]

FULL = [
    cross_entropy(1024, 32000),
    cross_entropy(8192, 1000),
    cross_entropy(3276800, 10),
    cross_entropy(8, 21, 512, 512),
    cross_entropy(2, 150, 256, 256),
    cross_entropy(8, 32_000, 128),
    cross_entropy(4, 1_000_000),
    *(elements(name, loss, 33_554_432) for name, loss in ELEMENTS),
    total(33_554_432),
    adamw(100_000_000),
    # The largest last: where the time is short the others are there.
    cross_entropy(8192, 128_256),
]

SMALL = [
    cross_entropy(64, 8000),
    cross_entropy(1024, 1000),
    cross_entropy(51200, 10),
    cross_entropy(2, 21, 64, 64),
    cross_entropy(2, 1000, 32),
    cross_entropy(2, 100_000),
    *(elements(name, loss, 524_288) for name, loss in ELEMENTS),
    total(524_288),
    adamw(1_048_576),
    cross_entropy(64, 16_032),
]


def once(run, prepare):
    given = prepare()
    if not ON_CUDA:
        start = time.perf_counter()
        run(given)
        return 1e3 * (time.perf_counter() - start)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run(given)
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def timed(run, prepare=lambda: None):
    for _ in range(2):
        once(run, prepare)
    times = [once(run, prepare) for _ in range(RUNS)]
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def of_loss(loss, x):
    """Forward, and forward with backward, of a loss that leaves its input alone."""
    leaf = x.clone().requires_grad_()

    def forward(_):
        with torch.no_grad():
            loss(x)

    def fused(_):
        leaf.grad = None
        loss(leaf).backward()

    return {"forward": timed(forward), "fused": timed(fused)}


def liger(x, t):
    """Liger's cross-entropy, which writes the gradient over its input."""
    from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss

    loss = LigerCrossEntropyLoss()

    return {"fused": timed(lambda own: loss(own, t).backward(), lambda: x.clone().requires_grad_())}


def of_adamw(count, dtype, kind):
    param = torch.ones(count, device=OWN.device, dtype=dtype, requires_grad=True)
    param.grad = torch.full_like(param, 0.5)
    # Eager: the one kernel that PyTorch has for it, where it has one.
    optimizer = torch.optim.AdamW([param], **({"fused": True} if kind == "eager" else {"foreach": False}))
    step = torch.compile(optimizer.step) if kind == "compiled" else optimizer.step
    return {"step": timed(lambda _: step())}


def measured(name, shape, make, dtype, kind):
    if name == "adamw":
        return None if kind == "liger" else of_adamw(shape[0], dtype, kind)
    loss, x, t = make(dtype)
    if kind != "liger":
        return of_loss(torch.compile(loss) if kind == "compiled" else loss, x)
    if name != "cross_entropy" or len(shape) != 2:
        return None
    return liger(x, t)


def missing():
    """Peers that are not here, each with the reason, told and passed over."""
    absent = {}
    if not ON_CUDA:
        absent["liger"] = "it computes on CUDA alone"
    else:
        try:
            import liger_kernel  # noqa: F401
        except ImportError as error:
            absent["liger"] = f"not installed ({error})"
    return absent


def main():
    if ON_CUDA and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device: nothing is measured")
    absent = missing()
    where = torch.cuda.get_device_name() if ON_CUDA else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}, {RUNS} runs, ms: median (least, most)", flush=True)
    kinds = OWN.kind or ["eager", "compiled", "liger"]
    for kind in kinds:
        if kind in absent:
            print(f"{kind} is left out: {absent[kind]}", flush=True)
    begun = time.monotonic()
    rows = []
    for name, shape, make in FULL if OWN.scale == "full" else SMALL:
        for word in OWN.dtype or ["f32"]:
            for kind in kinds:
                if kind in absent:
                    continue
                title = f"{name} {'x'.join(map(str, shape))} {word}"
                if time.monotonic() - begun > OWN.seconds:
                    print(f"{title:44} {kind:9} left out: {OWN.seconds:.0f} s are over", flush=True)
                    continue
                torch._dynamo.reset()
                try:
                    times = measured(name, shape, make, DTYPES[word], kind)
                # A peer that cannot do a row, or has no memory for it, does not keep the others from theirs.
                except Exception as error:
                    print(f"{title:44} {kind:9} failed: {str(error).splitlines()[0]}", flush=True)
                    times = None
                if ON_CUDA:
                    torch.cuda.empty_cache()
                if times is None:
                    continue
                told = [f"{mode} {t['median']:8.3f} ({t['min']:.3f}, {t['max']:.3f})" for mode, t in times.items()]
                print(f"{title:44} {kind:9} {'   '.join(told)}", flush=True)
                for mode, ms in times.items():
                    row = {"loss": name, "shape": list(shape), "dtype": word, "kind": kind, "mode": mode, "ms": ms}
                    rows.append(row)
                if OWN.json:
                    record = {"torch": torch.__version__, "device": where, "runs": RUNS, "absent": absent, "rows": rows}
                    with open(OWN.json, "w", encoding="utf-8") as file:
                        json.dump(record, file, indent=1)


main()
