"""What the cases are made of: tensors drawn from seeds, and a corpus that holds cases with their tensors."""
import math
import zlib
from collections import defaultdict

import numpy as np
import torch
from safetensors.numpy import save_file

REDUCTIONS = ("none", "mean", "sum")
NEG_INF = -math.inf


# ---- inputs: every draw is seeded by its own name, so cases do not depend on their order ----

def rng(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def f32(a):
    return torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32).reshape(np.shape(a)))


def normal(name, shape, scale=1.0):
    return f32(np.asarray(rng(name).standard_normal(shape)) * scale)


def uniform(name, shape, low=0.0, high=1.0):
    return f32(np.asarray(rng(name).uniform(low, high, shape)))


def ints(name, shape, high, low=0):
    return torch.from_numpy(np.asarray(rng(name).integers(low, high, shape, dtype=np.int64)))


def signs(name, shape):
    return f32(np.asarray(ints(name, shape, 2)) * 2 - 1)


def probs(name, shape, dim):
    """Probability targets; their sums are 1 only up to float32 rounding."""
    return normal(name, shape).double().softmax(dim).float()


def label(**params):
    """'mean-ls0.1-weight' from parameters: the readable part of a case id."""
    out = []
    for k, v in params.items():
        if v is True or isinstance(v, torch.Tensor):
            out.append(k)
        elif isinstance(v, str):
            out.append(v)
        elif v is not None and v is not False:
            out.append(f"{k}{v}")
    return "-".join(out) or "plain"


def sized(shape):
    return "x".join(map(str, shape)) or "scalar"


# ---- the corpus ----

class Corpus:
    def __init__(self):
        self.cases = []
        self.tensors = defaultdict(dict)
        self.keys = {}

    def put(self, loss, key, t):
        """Store a tensor once per file; returns its manifest entry."""
        a = np.ascontiguousarray(t.detach().numpy()).reshape(tuple(t.shape))
        if (loss, key) in self.keys:
            raise ValueError(f"duplicate {key}")
        digest = (loss, a.dtype.str, a.shape, a.tobytes())
        key = self.keys.setdefault(digest, key)
        self.keys[loss, key] = digest
        self.tensors[loss][key] = a
        dtype = {"float32": "F32", "float64": "F64", "int64": "I64"}[a.dtype.name]
        return {"file": f"{loss}.safetensors", "key": key, "dtype": dtype, "shape": list(a.shape)}

    def add(self, loss, name, params, inputs, fn, wrt=("input",), out="loss", tags=()):
        """One case: fn(**inputs as float64) gives `out` (or a dict with it); gradients by autograd.

        A grad_output is drawn and stored unless the result is reduced to a scalar by
        reduction mean, sum or batchmean, where the upstream gradient is 1.
        """
        cid = f"{loss}/{name}"
        inputs = {k: v for k, v in inputs.items() if v is not None}
        x = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
        for k in wrt:
            x[k].requires_grad_()
        results = fn(**x)
        if not isinstance(results, dict):
            results = {out: results}
        y = results[out]
        if wrt:
            scalar = params.get("reduction", "none") != "none"
            seed = torch.ones(()) if scalar else normal(cid + ".grad_output", tuple(y.shape))
            if not scalar:
                inputs["grad_output"] = seed
            grads = torch.autograd.grad(y, [x[k] for k in wrt], seed.double())
            results |= {f"grad_{k}": g for k, g in zip(wrt, grads)}
        flat = torch.cat([r.detach().double().flatten() for r in results.values()])
        tags = list(tags) + ["nan"] * bool(flat.isnan().any()) + ["inf"] * bool(flat.isinf().any())
        case = {"id": cid, "loss": loss, "params": params}
        if tags:
            case["tags"] = tags
        case["inputs"] = {k: self.put(loss, f"{name}.{k}", v) for k, v in inputs.items()}
        case["expected"] = {k: self.put(loss, f"{name}.out.{k}", v) for k, v in results.items()}
        self.cases.append(case)

    def save(self, out):
        """The tensors, a file for each loss."""
        out.mkdir(parents=True, exist_ok=True)
        for loss, tensors in self.tensors.items():
            path = out / f"{loss}.safetensors"
            save_file(tensors, path)
            path.chmod(0o644)  # save_file leaves it private


def reduce(x, reduction, count=None):
    """mean divides by `count` when given, else by the number of elements."""
    if reduction == "none":
        return x
    return x.sum() / (x.numel() if count is None else count) if reduction == "mean" else x.sum()


SHAPES = [(), (7,), (3, 5), (2, 3, 4), (2, 3, 2, 5)]
CLASS_SHAPES = {"unbatched": (5,), "NC": (6, 5), "NCd1": (3, 5, 4), "NCd1d2": (2, 5, 3, 2)}


def class_case(kind, shape, ignore):
    """Logits and class indices of a shape; `ignore` says which targets are ignored."""
    x = normal(f"cls-x{shape}", shape, 2)
    t = ints(f"cls-t{shape}", shape[:1] * (len(shape) > 1) + shape[2:], shape[min(1, len(shape) - 1)])
    if t.dim() and ignore is not None:
        t.view(-1)[::3] = ignore
    return x, t
