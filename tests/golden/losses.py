"""Losses of elements and of classes, activations, focal losses."""
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from corpus import (CLASS_SHAPES, NEG_INF, REDUCTIONS, SHAPES, class_case, f32, ints, label, normal, probs, reduce,
                    sized, uniform)


def regression(c):
    kinds = [("l1", F.l1_loss, "", [None]), ("mse", F.mse_loss, "", [None]),
             ("smooth_l1", F.smooth_l1_loss, "beta", [1.0, 0.5, 0.0]),
             ("huber", F.huber_loss, "delta", [1.0, 0.3])]
    for (loss, fn, key, values), shape, red in itertools.product(kinds, SHAPES + [(0, 3)], REDUCTIONS):
        x, t = normal(f"reg-x{shape}", shape, 1.5), normal(f"reg-t{shape}", shape, 1.5)
        if x.numel() > 1:  # an exact zero difference, and one of exactly 1
            t.view(-1)[0] = x.view(-1)[0]
            x.view(-1)[1], t.view(-1)[1] = 0.25, -0.75
        for v in values:
            p = {"reduction": red} | ({key: v} if key else {})
            c.add(loss, f"{sized(shape)}-{label(**p)}", p, {"input": x, "target": t},
                  lambda input, target: fn(input, target, **p), ("input", "target"),
                  tags=() if x.numel() else ("empty",))


def bce(c):
    for shape, red, weighted in itertools.product([(), (6,), (4, 3), (2, 3, 4)], REDUCTIONS, (False, True)):
        p = {"reduction": red}
        w = uniform(f"bce-w{shape}", shape, 0.2, 2.0) if weighted else None
        for kind in ("hard", "soft"):
            t = uniform(f"bce-t{shape}", shape)
            c.add("bce", f"{sized(shape)}-{kind}-{label(**p, weight=weighted)}", p,
                  {"input": uniform(f"bce-x{shape}", shape, 0.01, 0.99),
                   "target": t.round() if kind == "hard" else t, "weight": w},
                  lambda input, target, weight=None: F.binary_cross_entropy(input, target, weight, **p))
    # exact 0 and 1 probabilities: torch clamps each log at -100
    grid = [(x, t) for x in (0.0, 1.0, 1e-30, 1e-7, 1 - 2.0**-24) for t in (0.0, 1.0, 0.3)]
    x, t = f32(np.array(grid)).unbind(1)
    for red in REDUCTIONS:
        p = {"reduction": red}
        c.add("bce", f"edge-{red}", p, {"input": x, "target": t},
              lambda input, target: F.binary_cross_entropy(input, target, **p), tags=("extreme",))


def bce_with_logits(c):
    def fn(p):
        return lambda input, target, weight=None, pos_weight=None: F.binary_cross_entropy_with_logits(
            input, target, weight, pos_weight=pos_weight, **p)

    for shape, red in itertools.product([(), (5,), (4, 3), (2, 3, 4, 2)], REDUCTIONS):
        p = {"reduction": red}
        x, t = normal(f"bcel-x{shape}", shape, 3), uniform(f"bcel-t{shape}", shape)
        weights = {"": None, "weight": uniform(f"bcel-w{shape}", shape, 0.2, 2)}
        cshape = () if not shape else (shape[1], 1, 1) if len(shape) == 4 else shape[-1:]
        if len(shape) == 2:
            weights["classweight"] = uniform("bcel-cw", cshape, 0.2, 2)
        for kind, (wname, w), pw in itertools.product(("hard", "soft"), weights.items(), (False, True)):
            pos = uniform(f"bcel-pw{shape}", cshape, 0.3, 4) if pw else None
            name = "-".join(filter(None, [sized(shape), kind, red, wname, "pos" if pw else ""]))
            c.add("bce_with_logits", name, p,
                  {"input": x, "target": t.round() if kind == "hard" else t, "weight": w, "pos_weight": pos}, fn(p))
    big = [0.0, -0.0, 20.0, -20.0, 88.0, -88.0, 100.0, -100.0, 1e4, -1e4]
    x, t = f32(np.array([(a, b) for a in big for b in (0.0, 1.0, 0.3)])).unbind(1)
    for red, pw in itertools.product(REDUCTIONS, (False, True)):
        p = {"reduction": red}
        c.add("bce_with_logits", f"extreme-{red}" + "-pos" * pw, p,
              {"input": x, "target": t, "pos_weight": f32([2.5]) if pw else None}, fn(p), tags=("extreme",))


# ---- activations ----

def activations(c):
    def rows(name, a, dim, tags=()):
        for loss, fn in (("softmax", torch.softmax), ("log_softmax", torch.log_softmax)):
            c.add(loss, f"{name}-dim{dim}", {"dim": dim}, {"input": a},
                  lambda input: fn(input, dim), out="output", tags=tags)

    for shape in [(5,), (1,), (4, 7), (3, 1), (2, 3, 4), (2, 3, 4, 5), (3, 1000)]:
        for dim in sorted({-1, 1 if len(shape) > 2 else -1, 0}):
            rows(sized(shape), normal(f"sm{shape}", shape, 2), dim)
    rows("large", f32([[1e4, -1e4, 0], [1e4, 1e4, 9999], [-1e4, -1e4, -1e4], [88, 89, 90], [-104, 0, 104]]),
         -1, ("extreme",))
    rows("neginf", f32([[0, NEG_INF, 1], [NEG_INF, NEG_INF, -3], [5, 4, NEG_INF]]), -1, ("extreme",))
    for loss, fn in (("sigmoid", torch.sigmoid), ("log_sigmoid", F.logsigmoid)):
        for shape in SHAPES + [(1025,)]:
            c.add(loss, sized(shape), {}, {"input": normal(f"sg{shape}", shape, 4)}, fn, out="output")
        x = f32([0.0, -0.0, 1e-6, 17, -17, 88, -88, 100, -100, 104, -104, 1e4, -1e4])
        c.add(loss, "extreme", {}, {"input": x}, fn, out="output", tags=("extreme",))


# ---- class losses ----

def nll(c):
    for (kind, shape), ig, weighted, red in itertools.product(
            CLASS_SHAPES.items(), (None, -100, 2, -1), (False, True), REDUCTIONS):
        x, t = class_case(kind, shape, ig)
        if kind == "unbatched" and ig is not None:
            t.fill_(ig)
        p = {"reduction": red, "ignore_index": -100 if ig is None else ig}
        x = F.log_softmax(x.double(), min(1, x.dim() - 1)).float()
        c.add("nll", f"{kind}-{label(reduction=red, ignore=ig, weight=weighted)}", p,
              {"input": x, "target": t, "weight": uniform("nll-w", (5,), 0.2, 2) if weighted else None},
              lambda input, target, weight=None: F.nll_loss(input, target, weight, **p))
    for red in REDUCTIONS:
        p = {"reduction": red, "ignore_index": -100}
        c.add("nll", f"all-ignored-{red}", p, {"input": normal("nll-ai", (3, 4)), "target": torch.full((3,), -100)},
              lambda input, target: F.nll_loss(input, target, **p))


def cross_entropy(c):
    def add(name, p, inputs, tags=()):
        wrt = ("input", "target") if inputs["target"].is_floating_point() else ("input",)
        c.add("cross_entropy", name, p, inputs,
              lambda input, target, weight=None: F.cross_entropy(input, target, weight, **p), wrt, tags=tags)

    def params(red, ls=0.0, ig=-100):
        return {"reduction": red, "ignore_index": ig, "label_smoothing": ls}

    combos = list(itertools.product((False, True), (0.0, 0.1, 0.5), REDUCTIONS))
    for (kind, shape), (weighted, ls, red) in itertools.product(CLASS_SHAPES.items(), combos):
        w = uniform("ce-w", (5,), 0.2, 2) if weighted else None
        for ig in (None, -100, 2):
            if kind == "unbatched" and ig == -100:
                continue
            x, t = class_case(kind, shape, ig)
            add(f"{kind}-index-{label(reduction=red, ls=ls, ignore=ig, weight=weighted)}",
                params(red, ls, -100 if ig is None else ig), {"input": x, "target": t, "weight": w})
        t = probs(f"ce-p{shape}", shape, min(1, len(shape) - 1))
        add(f"{kind}-prob-{label(reduction=red, ls=ls, weight=weighted)}", params(red, ls),
            {"input": x, "target": t, "weight": w})

    x, t = class_case("NC", (6, 5), None)
    for red, ls in itertools.product(REDUCTIONS, (0.0, 0.1)):
        tail = label(reduction=red, ls=ls)
        p = params(red, ls)
        w = uniform("ce-w", (5,), 0.2, 2)
        none_left = {"input": x, "target": torch.full((6,), -100)}
        add(f"all-ignored-{tail}", p, none_left)
        add(f"all-ignored-{tail}-weight", p, none_left | {"weight": w})
        add(f"unbatched-ignored-{tail}", p, {"input": x[0].clone(), "target": torch.tensor(-100)})
        add(f"zero-weight-{tail}", p, {"input": x[:2].clone(), "target": torch.tensor([0, 1]),
                                       "weight": f32([0, 0, 1, 1, 1])})
        add(f"empty-{tail}", p, {"input": torch.zeros(0, 5), "target": torch.zeros(0, dtype=torch.int64)}, ("empty",))
        add(f"prob-unnormalized-{tail}", p, {"input": x, "target": uniform("ce-un", (6, 5), 0, 2)})
        add(f"prob-onehot-{tail}", p, {"input": x, "target": F.one_hot(t, 5).float()})
        big = f32([[1e4, -1e4, 0, 5], [-1e4, -1e4, -1e4, -1e4], [1e4, 1e4, 9999, 0], [-104, 0, 104, 88]])
        add(f"large-index-{tail}", p, {"input": big, "target": torch.tensor([1, 2, 0, 3])}, ("extreme",))
        add(f"large-prob-{tail}", p, {"input": big, "target": probs("ce-lp", (4, 4), 1)}, ("extreme",))
        holes = f32([[0, NEG_INF, 1, 2], [NEG_INF, NEG_INF, -3, 1], [5, 4, 3, NEG_INF]])
        add(f"neginf-index-{tail}", p, {"input": holes, "target": torch.tensor([2, 3, 0])}, ("extreme",))
        add(f"neginf-prob-{tail}", p, {"input": holes, "target": f32([[.5, 0, .5, 0], [0, 0, 1, 0], [1, 0, 0, 0]])},
            ("extreme",))
        for C in (1, 2):
            xc, tc = normal(f"ce-C{C}", (4, C)), ints(f"ce-tC{C}", (4,), C)
            add(f"C{C}-index-{tail}", p, {"input": xc, "target": tc})
            add(f"C{C}-prob-{tail}", p, {"input": xc, "target": probs(f"ce-pC{C}", (4, C), 1)})
        tk = ints("ce-tk", (6,), 1000)
        tk[4] = -100
        add(f"C1000-index-{tail}", p, {"input": normal("ce-xk", (6, 1000), 3), "target": tk})
    add("C1000-index-mean-ls0.1-weight", params("mean", 0.1),
        {"input": normal("ce-xk", (6, 1000), 3), "target": tk, "weight": uniform("ce-wk", (1000,), 0.2, 2)})
    add("C1000-prob-mean", params("mean"),
        {"input": normal("ce-xk", (6, 1000), 3), "target": probs("ce-pk", (6, 1000), 1)})
    add("C32003-index-mean-ls0.1", params("mean", 0.1),
        {"input": normal("ce-xv", (2, 32003), 3), "target": torch.tensor([32002, 17])})


def cross_entropy_extras(c):
    """Logit soft-capping and z-loss, from their formulas.

    x = cap * tanh(input / cap); z_i = s * logsumexp(x_i)^2, 0 where ignored, mean over the kept
    rows; loss = cross_entropy(x, target) + reduced z.
    """
    def fn(p):
        def run(input, target):
            s, cap, ig = p["z_loss"], p["softcap"], p["ignore_index"]
            x = cap * torch.tanh(input / cap) if cap else input
            ce = F.cross_entropy(x, target, reduction=p["reduction"], ignore_index=ig,
                                 label_smoothing=p["label_smoothing"])
            keep = target != ig
            z = reduce(s * torch.logsumexp(x, 1).square() * keep, p["reduction"], keep.sum())
            return {"loss": ce + z, "z_loss": z} if s else ce
        return run

    for loss, z, cap in (("cross_entropy_z_loss", 1e-4, 0.0), ("cross_entropy_z_loss", 1e-2, 0.0),
                         ("cross_entropy_softcap", 0.0, 30.0), ("cross_entropy_softcap", 0.0, 2.5),
                         ("cross_entropy_softcap", 1e-4, 30.0)):
        for red, ls, ig in itertools.product(REDUCTIONS, (0.0, 0.1), (-100, 2)):
            p = {"reduction": red, "label_smoothing": ls, "ignore_index": ig, "z_loss": z, "softcap": cap}
            tail = label(reduction=red, z=z, cap=cap, ls=ls, ignore=ig)
            for kind, shape in (("NC", (6, 5)), ("NCd1", (3, 5, 4))):
                x, t = class_case(kind, shape, ig)
                c.add(loss, f"{kind}-{tail}", p, {"input": x * 5, "target": t}, fn(p))
            c.add(loss, f"large-{tail}", p, {"input": normal("x-l", (4, 9), 200), "target": ints("x-t", (4,), 9)},
                  fn(p), tags=("extreme",))


def linear_cross_entropy(c):
    sizes = {"small": (6, 5, 7), "medium": (16, 33, 50), "wide": (9, 16, 1000)}
    for (size, (n, h, k)), bias, weighted, ls, ig, red in itertools.product(
            sizes.items(), (False, True), (False, True), (0.0, 0.1), (None, -100, 2), REDUCTIONS):
        if size != "small" and (weighted != bias or ig == 2):
            continue
        if size == "wide" and (ig is None or ls == 0):
            continue
        p = {"reduction": red, "ignore_index": -100 if ig is None else ig, "label_smoothing": ls}
        t = ints(f"lce-t{size}", (n,), k)
        if ig is not None:
            t[::3] = ig
        inputs = {"input": normal(f"lce-x{size}", (n, h)), "linear_weight": normal(f"lce-w{size}", (k, h), h**-0.5),
                  "linear_bias": normal(f"lce-b{size}", (k,), 0.5) if bias else None, "target": t,
                  "weight": uniform(f"lce-cw{size}", (k,), 0.2, 2) if weighted else None}
        wrt = ("input", "linear_weight") + (("linear_bias",) if bias else ())
        c.add("linear_cross_entropy", f"{size}-{label(reduction=red, ls=ls, ignore=ig, bias=bias, weight=weighted)}", p,
              inputs, lambda input, linear_weight, target, linear_bias=None, weight=None: F.cross_entropy(
                  F.linear(input, linear_weight, linear_bias), target, weight, **p), wrt)
    for red in REDUCTIONS:
        p = {"reduction": red, "ignore_index": -100, "label_smoothing": 0.0}
        c.add("linear_cross_entropy", f"all-ignored-{red}", p,
              {"input": normal("lce-ai", (3, 4)), "linear_weight": normal("lce-aw", (6, 4)),
               "target": torch.full((3,), -100)},
              lambda input, linear_weight, target: F.cross_entropy(F.linear(input, linear_weight), target, **p),
              ("input", "linear_weight"))


# ---- focal losses ----

def focal(c):
    for alpha, gamma, red in itertools.product((-1.0, 0.25, 0.75), (0.0, 0.5, 1.0, 2.0, 5.0), REDUCTIONS):
        p = {"reduction": red, "alpha": alpha, "gamma": gamma}
        run = lambda input, target: sigmoid_focal_loss(input, target, **p)  # noqa: E731
        for shape in ((), (6,), (4, 3), (2, 3, 4)):
            t = uniform(f"sf-t{shape}", shape)
            soft = len(shape) == 3
            c.add("sigmoid_focal", f"{sized(shape)}-{'soft' if soft else 'hard'}-{red}-alpha{alpha}-gamma{gamma}", p,
                  {"input": normal(f"sf-x{shape}", shape, 2), "target": t if soft else t.round()}, run)
        if gamma != 0.5:  # autograd of pow gives NaN there once 1 - p_t rounds to 0
            x, t = f32([(a, b) for a in (15.0, -15.0, 100.0, -100.0, 1e4, -1e4) for b in (0.0, 1.0)]).unbind(1)
            c.add("sigmoid_focal", f"extreme-{red}-alpha{alpha}-gamma{gamma}", p, {"input": x, "target": t}, run,
                  tags=("extreme",))

    def softmax_focal(p):
        def run(input, target, alpha=None):
            keep = target != p["ignore_index"]
            t = target.where(keep, 0)
            logp = F.log_softmax(input, 1).gather(1, t.unsqueeze(1)).squeeze(1)
            loss = -(-torch.expm1(logp)) ** p["gamma"] * logp
            if alpha is not None:
                loss = loss * alpha[t]
            return reduce(loss.where(keep, 0), p["reduction"], keep.sum())
        return run

    for (kind, shape), gamma, weighted, ig, red in itertools.product(
            list(CLASS_SHAPES.items())[1:], (0.0, 0.5, 1.0, 2.0, 5.0), (False, True), (None, 2), REDUCTIONS):
        x, t = class_case(kind, shape, ig)
        p = {"reduction": red, "gamma": gamma, "ignore_index": -100 if ig is None else ig}
        c.add("softmax_focal", f"{kind}-{label(reduction=red, ignore=ig, alpha=weighted)}-gamma{gamma}", p,
              {"input": x, "target": t, "alpha": uniform("mf-a", (5,), 0.1, 1) if weighted else None}, softmax_focal(p))
