"""Distribution, margin and sequence losses, optimizers and reductions, and what came later (below `more/`)."""
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from corpus import NEG_INF, REDUCTIONS, class_case, f32, ints, label, normal, probs, reduce, rng, signs, sized, uniform


# ---- distribution, margin and sequence losses ----

def distributions(c):
    for shape, log_target, red in itertools.product([(), (5,), (4, 3), (2, 3, 4)], (False, True),
                                                    REDUCTIONS + ("batchmean",)):
        if red == "batchmean" and not shape:
            continue
        p = {"reduction": red, "log_target": log_target}
        dim = len(shape) - 1
        x = normal(f"kl-x{shape}", shape).double().log_softmax(dim).float() if shape else normal("kl-x", ())
        t = probs(f"kl-t{shape}", shape, dim) if shape else f32(0.7)
        if log_target:
            t = t.double().log().float()
        elif shape:
            t.view(-1)[0] = 0  # 0 log 0 is 0
        c.add("kl_div", f"{sized(shape)}-{label(reduction=red, log_target=log_target)}", p, {"input": x, "target": t},
              lambda input, target: F.kl_div(input, target, **p), ("input", "target") if log_target else ("input",))

    for shape, log_input, full, red in itertools.product([(), (6,), (4, 3)], (False, True), (False, True), REDUCTIONS):
        p = {"reduction": red, "log_input": log_input, "full": full, "eps": 1e-8}
        x = normal(f"po-x{shape}", shape) if log_input else uniform(f"po-x{shape}", shape, 0.05, 4)
        t = f32(np.asarray(rng(f"po-t{shape}").poisson(2.0, shape)))
        if shape:
            t.view(-1)[:3] = f32([0, 1, 2])
            if not log_input:
                x.view(-1)[0] = 0
        c.add("poisson_nll", f"{sized(shape)}-{label(reduction=red, log_input=log_input, full=full)}", p,
              {"input": x, "target": t}, lambda input, target: F.poisson_nll_loss(input, target, **p))

    variances = {"same": (4, 3), "column": (4, 1), "row": (4,)}
    for (kind, vshape), full, eps, red in itertools.product(variances.items(), (False, True), (1e-6, 0.5), REDUCTIONS):
        p = {"reduction": red, "full": full, "eps": eps}
        v = uniform("ga-v", vshape, 0.1, 2)
        v.view(-1)[0] = 0.0  # clamped to eps; the gradient passes through the clamp
        c.add("gaussian_nll", f"{kind}-{label(reduction=red, full=full, eps=eps)}", p,
              {"input": normal("ga-x", (4, 3)), "target": normal("ga-t", (4, 3)), "var": v},
              lambda input, target, var: F.gaussian_nll_loss(input, target, var, **p), ("input", "target", "var"))


def margins(c):
    for shape, red in itertools.product([(), (7,), (3, 4), (2, 3, 4)], REDUCTIONS):
        x, y, s = normal(f"mg-x{shape}", shape, 1.5), normal(f"mg-y{shape}", shape, 1.5), signs(f"mg-s{shape}", shape)
        for margin in (1.0, 0.5):
            p = {"reduction": red, "margin": margin}
            c.add("hinge_embedding", f"{sized(shape)}-{label(**p)}", p, {"input": x, "target": s},
                  lambda input, target: F.hinge_embedding_loss(input, target, **p))
        for margin in (0.0, 0.5):
            p = {"reduction": red, "margin": margin}
            c.add("margin_ranking", f"{sized(shape)}-{label(**p)}", p, {"input1": x, "input2": y, "target": s},
                  lambda input1, input2, target: F.margin_ranking_loss(input1, input2, target, **p),
                  ("input1", "input2"))
        p = {"reduction": red}
        c.add("soft_margin", f"{sized(shape)}-{red}", p, {"input": x, "target": s},
              lambda input, target: F.soft_margin_loss(input, target, **p))
    for red in REDUCTIONS:
        p = {"reduction": red}
        c.add("soft_margin", f"extreme-{red}", p,
              {"input": f32([80, -80, 100, -100, 0]), "target": f32([1, 1, -1, -1, 1])},
              lambda input, target: F.soft_margin_loss(input, target, **p), tags=("extreme",))

    for shape, margin, red in itertools.product([(6, 5), (5,)], (0.0, 0.3), REDUCTIONS):
        p = {"reduction": red, "margin": margin}
        c.add("cosine_embedding", f"{sized(shape)}-{label(**p)}", p,
              {"input1": normal(f"co-x{shape}", shape), "input2": normal(f"co-y{shape}", shape),
               "target": signs(f"co-s{shape}", shape[:-1])},
              lambda input1, input2, target: F.cosine_embedding_loss(input1, input2, target, **p),
              ("input1", "input2"))
    for shape, margin, swap, red in itertools.product([(6, 5), (5,), (2, 3, 4)], (1.0, 0.3), (False, True), REDUCTIONS):
        p = {"reduction": red, "margin": margin, "p": 2.0, "eps": 1e-6, "swap": swap}
        names = ("anchor", "positive", "negative")
        c.add("triplet_margin", f"{sized(shape)}-{label(reduction=red, margin=margin, swap=swap)}", p,
              {k: normal(f"tr-{k}{shape}", shape) for k in names},
              lambda anchor, positive, negative: F.triplet_margin_loss(anchor, positive, negative, **p), names)

    for shape, power, margin, weighted, red in itertools.product([(6, 5), (5,)], (1, 2), (1.0, 0.4),
                                                                 (False, True), REDUCTIONS):
        p = {"reduction": red, "p": power, "margin": margin}
        c.add("multi_margin", f"{sized(shape)}-{label(**p, weight=weighted)}", p,
              {"input": normal(f"mm-x{shape}", shape), "target": ints(f"mm-t{shape}", shape[:-1], 5),
               "weight": uniform("mm-w", (5,), 0.2, 2) if weighted else None},
              lambda input, target, weight=None: F.multi_margin_loss(input, target, weight=weight, **p))
    labels = torch.tensor([[3, 0, -1, 1, 2], [-1, 0, 1, 2, 3], [4, 3, 2, 1, 0], [2, -1, 2, -1, 2]])
    for red in REDUCTIONS:
        p = {"reduction": red}
        for name, t in (("4x5", labels), ("5", labels[0].clone())):
            x = normal(f"ml-x{name}", tuple(t.shape))
            c.add("multilabel_margin", f"{name}-{red}", p, {"input": x, "target": t},
                  lambda input, target: F.multilabel_margin_loss(input, target, **p))
            for weighted in (False, True):
                c.add("multilabel_soft_margin", f"{name}-{label(reduction=red, weight=weighted)}", p,
                      {"input": x, "target": uniform(f"ms-t{name}", tuple(t.shape)).round(),
                       "weight": uniform("ms-w", (5,), 0.2, 2) if weighted else None},
                      lambda input, target, weight=None: F.multilabel_soft_margin_loss(input, target, weight, **p))


def ctc(c):
    """Inputs are logits (T, N, C): torch's CTC gradient only makes sense through log_softmax."""
    def add(name, p, x, t, il, tl):
        def run(input, target, input_lengths, target_lengths):
            return F.ctc_loss(F.log_softmax(input, -1), target, input_lengths, target_lengths, **p)
        c.add("ctc", name, p, {"input": x, "target": t, "input_lengths": torch.tensor(il),
                               "target_lengths": torch.tensor(tl)}, run)

    for red, zero, blank in itertools.product(REDUCTIONS, (False, True), (0, 4)):
        p = {"reduction": red, "zero_infinity": zero, "blank": blank}
        tail = label(**p)
        x, t = normal("ctc-x", (12, 3, 5)), ints("ctc-t", (3, 4), 4) + (blank == 0)
        t[0, :2] = 1 + (blank == 0)  # a repeated label
        add(f"padded-{tail}", p, x, t, [12, 10, 8], [4, 3, 0])
        add(f"joined-{tail}", p, x, t.flatten()[:8].clone(), [12, 10, 8], [4, 3, 1])
        add(f"infeasible-{tail}", p, x, t, [12, 3, 8], [4, 4, 2])
        add(f"unbatched-{tail}", p, x[:, 0].clone(), t[0].clone(), 12, 4)


# ---- optimizers and reductions ----

def optimizers(c):
    configs = {"sgd": (torch.optim.SGD, [{}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.1},
                                         {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.05},
                                         {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.05},
                                         {"momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
                                         {"momentum": 0.9, "maximize": True}])}
    adam = [dict(zip(("betas", "eps", "weight_decay", "amsgrad"), v)) for v in itertools.product(
        ([0.9, 0.999], [0.8, 0.95]), (1e-8, 1e-3), (0.0, 0.05), (False, True))] + [{"maximize": True}]
    configs |= {"adam": (torch.optim.Adam, adam), "adamw": (torch.optim.AdamW, adam)}
    configs["adagrad"] = (torch.optim.Adagrad, [
        {}, {"lr_decay": 0.1}, {"weight_decay": 0.05}, {"initial_accumulator_value": 0.5}, {"eps": 1e-3},
        {"maximize": True}, {"lr_decay": 0.1, "weight_decay": 0.05, "initial_accumulator_value": 0.1}])
    for loss, (cls, variants) in configs.items():
        for i, v in enumerate(variants):
            lr = 0.1 if loss in ("sgd", "adagrad") else 0.01
            defaults = {"betas": [0.9, 0.999], "eps": 1e-8, "amsgrad": False}
            if loss == "sgd":
                defaults = {"momentum": 0.0, "dampening": 0.0, "nesterov": False}
            elif loss == "adagrad":
                defaults = {"lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10}
            p = {"lr": lr, "weight_decay": 0.0, "maximize": False} | defaults | v
            grads = normal("opt-g", (5, 3, 4))
            grads[1] *= 10  # so that amsgrad's maximum matters
            grads[:, 0, 0] = 0

            def run(param, grads):
                w = param.clone().requires_grad_()
                opt = cls([w], foreach=False, **{k: tuple(x) if k == "betas" else x for k, x in p.items()})
                steps = []
                for g in grads:
                    w.grad = g.clone()
                    opt.step()
                    steps.append(w.detach().clone())
                return {"params": torch.stack(steps)}
            c.add(loss, f"{i:02d}-{label(**{k: x for k, x in v.items() if k != 'betas'})}", p,
                  {"param": normal("opt-p", (3, 4)), "grads": grads}, run, wrt=(), out="params")


def reductions(c):
    ops = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin, "argmax": torch.argmax,
           "logsumexp": torch.logsumexp}

    def add(op, name, x, dim, tags=()):
        def run(input):
            if dim is not None:
                return ops[op](input, dim)
            return torch.logsumexp(input, tuple(range(input.dim()))) if op == "logsumexp" else ops[op](input)
        where = "all" if dim is None else f"dim{dim}"
        c.add("reduce", f"{op}-{name}-{where}", {"op": op, "dim": dim}, {"input": x}, run,
              wrt=() if op == "argmax" else ("input",), out="output", tags=tags)

    shapes = [(), (1,), (7,), (4, 5), (2, 3, 4), (2, 3, 4, 5), (3, 1025), (10007,)]
    for op, shape in itertools.product(ops, shapes):
        for dim in [None] + ([] if len(shape) < 2 else list(range(len(shape)))):
            add(op, sized(shape), normal(f"re{shape}", shape, 2), dim)
    holes = f32([[1e4, NEG_INF, 9999], [NEG_INF, -1e4, NEG_INF], [3, 1, 2]])
    for op in ("max", "min", "argmax", "logsumexp"):
        add(op, "extreme", holes, 1, ("extreme",))
    add("logsumexp", "allneginf", torch.full((2, 3), NEG_INF), 1, ("extreme",))
    add("argmax", "ties", f32([[1, 3, 3, 2], [5, 5, 5, 5], [-1, -2, -1, -1]]), 1)
    add("argmax", "ties", f32([1, 3, 3, 2]), None)


# ---- the second part of the corpus: what the first left out ----

def reductions_over_dims(c):
    ops = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin, "logsumexp": torch.logsumexp}
    for (op, fn), (shape, dims), keep in itertools.product(ops.items(), (
            ((4, 5), (0, 1)), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 0)), ((2, 3, 4, 5), (1, 3)),
            ((2, 3, 4, 5), (3, 0, 1)), ((3, 1, 7), (1, 2))), (False, True)):
        c.add("reduce_dims", f"{op}-{sized(shape)}-dims{'_'.join(map(str, dims))}{'-keepdim' * keep}",
              {"op": op, "dim": list(dims), "keepdim": keep}, {"input": normal(f"re{shape}", shape, 2)},
              lambda input: fn(input, dims, keep), out="output")


def variances(c):
    for shape, vshape in (((5, 2), ()), ((4, 3, 2, 2), (4, 3, 1, 1)), ((4, 3, 2, 2), (1, 3, 1, 1)), ((4, 4), (4,))):
        for red in REDUCTIONS:
            # PyTorch's own forms first: without the last dimension, one variance to a row.
            per_row = vshape == shape[:-1]
            p = {"reduction": red, "full": False, "eps": 1e-6}
            c.add("gaussian_nll_var", f"{sized(shape)}-var{sized(vshape)}-{red}", p,
                  {"input": normal(f"gv-x{shape}", shape), "target": normal(f"gv-t{shape}", shape),
                   "var": uniform(f"gv-v{shape}{vshape}", vshape, 0.1, 2)},
                  lambda input, target, var: F.gaussian_nll_loss(
                      input, target, (var.unsqueeze(-1) if per_row else var).expand(shape), **p),
                  ("input", "target", "var"))


def statistics(c):
    """Cross-entropy with upstream gradients of a row's log-sum-exp and entropy beside that of its loss."""
    for (kind, shape), ls, cap, ig in itertools.product((("NC", (6, 5)), ("NCd1", (3, 5, 4)), ("wide", (4, 1003))),
                                                        (0.0, 0.1), (0.0, 5.0), (-100, 2)):
        x, t = class_case(kind, shape, ig) if kind != "wide" else (normal("st-x", shape, 3), ints("st-t", (4,), 1003))
        p = {"reduction": "none", "label_smoothing": ls, "softcap": cap, "ignore_index": ig}
        rows = tuple(t.shape)
        up = {f"grad_{k}": normal(f"st-{k}{rows}", rows) for k in ("output", "lse", "entropy")}

        def run(input, target, grad_output, grad_lse, grad_entropy):
            x = cap * torch.tanh(input / cap) if cap else input
            loss = F.cross_entropy(x, target, reduction="none", ignore_index=ig, label_smoothing=ls)
            lse, logp = torch.logsumexp(x, 1), F.log_softmax(x, 1)
            entropy = -(logp.exp() * logp).sum(1)
            total = (loss * grad_output + lse * grad_lse + entropy * grad_entropy).sum()
            grad, = torch.autograd.grad(total, input)
            return {"loss": loss, "lse": lse, "entropy": entropy, "grad_input": grad}

        def leaf(input, **rest):
            return run(input.clone().requires_grad_(), **rest)
        c.add("cross_entropy_statistics", f"{kind}-{label(ls=ls, cap=cap, ignore=ig)}", p,
              {"input": x, "target": t} | up, leaf, wrt=())


def linear_cross_entropy_more(c):
    def logits(input, weight, bias):
        """(N, H) by (C, d1, ..., H) is (N, C, d1, ...)."""
        z = torch.tensordot(input, weight, ([-1], [-1]))
        return z if bias is None else z + bias
    cases = {"unbatched": ((5,), (7, 5), ()), "unbatched-prob": ((5,), (7, 5), None),
             "prob": ((6, 5), (7, 5), None), "head2": ((6, 5), (7, 3, 5), (6, 3)),
             "head2-prob": ((6, 5), (7, 3, 5), None), "head3": ((4, 5), (7, 2, 3, 5), (4, 2, 3))}
    for (name, (xs, ws, ts)), bias, ls, red in itertools.product(cases.items(), (False, True), (0.0, 0.1), REDUCTIONS):
        p = {"reduction": red, "ignore_index": -100, "label_smoothing": ls}
        batched, k = len(xs) == 2, ws[0]
        zs = (xs[:-1] + ws[:-1]) if batched else ws[:-1]
        target = ints(f"lm-t{name}", ts, k) if ts is not None else probs(f"lm-t{name}", zs, 1 if batched else 0)
        inputs = {"input": normal(f"lm-x{name}", xs), "linear_weight": normal(f"lm-w{name}", ws, xs[-1] ** -0.5),
                  "linear_bias": normal(f"lm-b{name}", ws[:-1], 0.5) if bias else None, "target": target}
        wrt = ("input", "linear_weight") + ("linear_bias",) * bias + ("target",) * (ts is None)
        c.add("linear_cross_entropy_more", f"{name}-{label(reduction=red, ls=ls, bias=bias)}", p, inputs,
              lambda input, linear_weight, target, linear_bias=None: F.cross_entropy(
                  logits(input, linear_weight, linear_bias), target, **p), wrt)
    for z, cap, eps in ((1e-2, 0.0, 0), (0.0, 2.5, 0), (1e-2, 2.5, 0)):
        for red in REDUCTIONS:
            p = {"reduction": red, "ignore_index": 2, "label_smoothing": 0.1, "z_loss": z, "softcap": cap}

            def run(input, linear_weight, target):
                x = logits(input, linear_weight, None)
                x = cap * torch.tanh(x / cap) if cap else x
                keep = target != 2
                ce = F.cross_entropy(x, target, reduction=red, ignore_index=2, label_smoothing=0.1)
                return ce + reduce(z * torch.logsumexp(x, 1).square() * keep, red, keep.sum())
            t = ints("lm-zt", (9,), 7)
            t[::4] = 2
            c.add("linear_cross_entropy_more", f"extras-{label(reduction=red, z=z, cap=cap)}", p,
                  {"input": normal("lm-zx", (9, 5)), "linear_weight": normal("lm-zw", (7, 5)), "target": t}, run,
                  ("input", "linear_weight"))


def adagrad(c):
    for i, v in enumerate(({}, {"lr_decay": 0.1}, {"weight_decay": 0.05}, {"initial_accumulator_value": 0.5},
                           {"eps": 1e-3}, {"maximize": True},
                           {"lr_decay": 0.1, "weight_decay": 0.05, "initial_accumulator_value": 0.1})):
        p = {"lr": 0.1, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10,
             "maximize": False} | v
        grads = normal("opt-g", (5, 3, 4))
        grads[:, 0, 0] = 0

        def run(param, grads):
            w = param.clone().requires_grad_()
            opt, steps = torch.optim.Adagrad([w], foreach=False, **p), []
            for g in grads:
                w.grad = g.clone()
                opt.step()
                steps.append(w.detach().clone())
            return {"params": torch.stack(steps)}
        c.add("adagrad", f"{i:02d}-{label(**v)}", p, {"param": normal("opt-p", (3, 4)), "grads": grads}, run, wrt=(),
              out="params")


def clipping(c):
    """clip_grad_norm_ over three tensors together, clip_grad_value_ of each."""
    shapes = {"g0": (3, 4), "g1": (17,), "g2": (2, 2, 2)}
    for norm, most, scale in itertools.product((1.0, 2.0, 3.0, math.inf), (0.5, 100.0), (1.0, 1e3)):
        grads = {k: normal(f"clip-{k}", s, scale) for k, s in shapes.items()}

        def run(**grads):
            leaves = [torch.zeros_like(g).requires_grad_() for g in grads.values()]
            for leaf, g in zip(leaves, grads.values()):
                leaf.grad = g.clone()
            total = torch.nn.utils.clip_grad_norm_(leaves, most, norm)
            return {"total_norm": total} | {f"clipped_{k}": leaf.grad for k, leaf in zip(grads, leaves)}
        c.add("clip_grad_norm", f"norm{norm}-max{most}-scale{scale}",
              {"max_norm": most, "norm_type": "inf" if norm == math.inf else norm}, grads, run, wrt=(),
              out="total_norm")
    c.add("clip_grad_value", "half", {"clip_value": 0.5}, {"g0": normal("clip-g0", (3, 4))},
          lambda g0: {"clipped_g0": g0.clamp(-0.5, 0.5)}, wrt=(), out="clipped_g0")
