"""PyTorch's own sample inputs of linear_cross_entropy, through `wgloss compute` on the GPU and on the processor.

    python benches/peers/torch_samples.py [--wgloss FILE] [--backend gpu …] [--part ops …] [--seed 0 …] [--bound NAME]

The samples are those that PyTorch tests itself with: of the three variants of the function (`ops`, from its OpInfo) and
of the module, whose parameters are drawn as the module draws them (`modules`, from its ModuleInfo), all in f32. What is
expected is PyTorch's in f64 of these operands: the loss, and the gradients of input, matrix, bias and probability
target under a random upstream gradient. PyTorch has no gradient of the target where it goes through the batch in
chunks: there it is that of the same call without `options`, which choose among ways to compute the same.

A sample holds where every element of every result does, and the shapes are the same; NaN equals NaN, and infinities
their own. Printed are a line for each sample that fails, and how many hold each bound. The samples that PyTorch refuses
stand apart, each with what is said of it here. Ends with 1 where a sample fails.
"""

import argparse
import collections
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

NAME = "nn.functional.linear_cross_entropy"
GRADS = {"input": "grad", "linear_weight": "grad-linear-weight", "linear_bias": "grad-linear-bias",
         "target": "grad-target"}

# What |got - want| may be, of what is wanted and the largest of its tensor.
BOUNDS = {
    "1e-5": lambda want, largest: 1e-5 * np.maximum(1, want),
    # torch.testing.assert_close, of f32.
    "torch.testing": lambda want, largest: 1e-5 + 1.3e-6 * want,
    # Never more than that of this project's tests, which add the two.
    "scaled": lambda want, largest: 1e-5 * np.maximum(min(1, largest), want),
}

Sample = collections.namedtuple("Sample", ["name", "tensors", "options"])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wgloss", metavar="FILE", default="wgloss", help="the command line [default: that in PATH]")
    parser.add_argument("--backend", choices=["gpu", "cpu"], action="append", help="may be repeated [default: both]")
    parser.add_argument("--part", choices=["ops", "modules"], action="append", help="may be repeated [default: both]")
    parser.add_argument("--seed", type=int, action="append", help="may be repeated [default: 0]")
    parser.add_argument("--bound", choices=list(BOUNDS), default="1e-5", help="what has to hold [default: 1e-5]")
    return parser.parse_args()


def of_call(name, input, linear_weight, target, linear_bias=None, weight=None, **options):
    """A sample with its tensors by name, those that are not there left out."""
    tensors = {"input": input, "linear_weight": linear_weight, "target": target, "linear_bias": linear_bias,
               "weight": weight}
    return Sample(name, {key: t.detach() for key, t in tensors.items() if t is not None}, options)


def of_module(name, case):
    """A sample of the module. Where its constructor refuses its arguments, they are the function's."""
    (features, classes), made = case.constructor_input.args, dict(case.constructor_input.kwargs)
    try:
        linear = torch.nn.LinearCrossEntropyLoss(features, classes, **made).linear
    except RuntimeError:
        linear = torch.nn.Linear(features, classes, bias=made.get("bias", False))
    shape = (classes, *made.pop("out_features", ()))
    bias = None if linear.bias is None else linear.bias.reshape(shape)
    for word in ("device", "dtype", "bias"):
        made.pop(word, None)
    input, target = case.forward_input.args
    return of_call(name, input, linear.weight.reshape(*shape, features), target, bias, **made)


def samples(part, seed):
    """Those of a part: what PyTorch computes, and what it refuses."""
    torch.manual_seed(seed)
    random.seed(seed)
    good, bad = [], []
    for info in op_db if part == "ops" else module_db:
        if part == "modules" and info.module_cls is torch.nn.LinearCrossEntropyLoss:
            for i, case in enumerate(info.module_inputs_func(info, "cpu", torch.float32, True, True)):
                good.append(of_module(f"module {i} of seed {seed}", case))
            for i, case in enumerate(info.module_error_inputs_func(info, "cpu", torch.float32, True, True)):
                bad.append(of_module(f"module's error {i} ({case.error_regex})", case.module_error_input))
        if part == "ops" and info.name == NAME:
            variant = info.variant_test_name or "plain"
            for i, case in enumerate(info.sample_inputs("cpu", torch.float32, requires_grad=True, set_seed=False)):
                good.append(of_call(f"{variant} {i} of seed {seed}", case.input, *case.args, **case.kwargs))
            # The variants share them. Seeds set there would be those of the next variant, too.
            for i, case in enumerate(info.error_inputs("cpu", set_seed=False) if variant == "plain" else []):
                own = case.sample_input
                bad.append(of_call(f"op's error {i} ({case.error_regex})", own.input, *own.args, **own.kwargs))
    return good, bad


def in_f64(sample, wrt, grad_output, **options):
    """PyTorch's loss, and its gradients."""
    tensors = {key: t.double() if t.is_floating_point() else t for key, t in sample.tensors.items()}
    for key in wrt:
        tensors[key] = tensors[key].clone().requires_grad_()
    args = [tensors.pop(key) for key in ("input", "linear_weight", "target")]
    loss = F.linear_cross_entropy(*args, **tensors, **options)
    leaves = dict(zip(("input", "linear_weight", "target"), args)) | tensors
    upstream = grad_output(loss.shape).double()
    grads = torch.autograd.grad(loss, [leaves[key] for key in wrt], upstream)
    return loss.detach(), dict(zip(wrt, grads)), upstream


def expected(sample):
    """What each result has to be, and the upstream gradient that makes it."""
    wrt = [key for key in ("input", "linear_weight", "linear_bias") if key in sample.tensors]
    loss, grads, upstream = in_f64(sample, wrt, torch.randn, **sample.options)
    if sample.tensors["target"].is_floating_point():
        whole = sample.options | {"options": None}
        grads |= in_f64(sample, ["target"], lambda shape: upstream, **whole)[1]
    want = {"out": loss} | {GRADS[key]: grad for key, grad in grads.items()}
    return {key: t.numpy() for key, t in want.items()}, upstream.float()


def computed(wgloss, backend, sample, folder, outputs, upstream=None):
    """The results of `wgloss compute`, by option, or what it says where it ends with an error."""
    files = dict(sample.tensors) if upstream is None else sample.tensors | {"grad_output": upstream}
    for key, tensor in files.items():
        np.save(folder / f"{key}.npy", tensor.contiguous().numpy())
    command = [wgloss, "compute", "linear-cross-entropy", "--backend", backend]
    for key in ("linear_bias", "weight", "grad_output"):
        if key in files:
            command.append(f"--{key.replace('_', '-')}={folder / key}.npy")
    for key in ("reduction", "ignore_index", "label_smoothing"):
        if sample.options.get(key) is not None:
            command.append(f"--{key.replace('_', '-')}={sample.options[key]}")
    for key in outputs:
        (folder / f"{key}.npy").unlink(missing_ok=True)
        command.append(f"--{key}={folder / key}.npy")
    command += [folder / f"{key}.npy" for key in ("input", "linear_weight", "target")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        return None, f"ends with {run.returncode}: {run.stderr.strip()}"
    return {key: np.load(folder / f"{key}.npy") for key in outputs}, None


def beyond(name, got, want, bound):
    """What is wrong with a result, if anything."""
    if got.shape != want.shape or got.dtype != np.float32:
        return f"{name}: {got.dtype}{got.shape} instead of {want.shape}"
    got, finite = got.astype(np.float64), np.isfinite(want)
    largest = np.abs(want[finite]).max(initial=0)
    near = np.abs(got - np.where(finite, want, 0)) <= bound(np.where(finite, np.abs(want), 0), largest)
    wrong = np.argwhere(np.where(finite, near, (got == want) | (np.isnan(got) & np.isnan(want))) == 0)
    if len(wrong) == 0:
        return None
    at = tuple(wrong[0])
    where = f"{len(wrong)} of {want.size}, first at {list(map(int, at))}"
    return f"{name}: {where}: {got[at]:.9g} instead of {want[at]:.9g}"


def told(sample, backend, wrong):
    shapes = {key: tuple(t.shape) for key, t in sample.tensors.items()}
    print(f"{sample.name}, {backend}: {'; '.join(wrong)}; {shapes} {sample.options}", flush=True)


def check(sample, want, upstream, own, folder, holds):
    """Counts the bounds that a sample holds on each backend, and says whether the one asked for is held on all."""
    passed = True
    for backend in own.backend:
        got, error = computed(own.wgloss, backend, sample, folder, list(want), upstream)
        for title, bound in BOUNDS.items():
            wrong = [error] if error else [beyond(key, got[key], want[key], bound) for key in want]
            wrong = [text for text in wrong if text]
            holds[backend, title] += not wrong
            if wrong and title == own.bound:
                passed = False
                told(sample, backend, wrong)
    return passed


def main():
    own = arguments()
    own.backend, own.part, own.seed = own.backend or ["gpu", "cpu"], own.part or ["ops", "modules"], own.seed or [0]
    # PyTorch says where its options change nothing.
    warnings.filterwarnings("ignore", message=".*linear_cross_entropy.*")
    print(f"torch {torch.__version__}", flush=True)
    passed, refused = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in own.part:
            count, holds = 0, collections.Counter()
            for seed in own.seed:
                good, bad = samples(part, seed)
                refused += bad if seed == own.seed[0] else []
                for sample in good:
                    try:
                        want, upstream = expected(sample)
                    except (RuntimeError, ValueError) as error:
                        refused.append(sample._replace(name=f"{sample.name} ({error})"))
                        continue
                    passed.append(check(sample, want, upstream, own, folder, holds))
                    count += 1
            for (backend, title), held in holds.items():
                print(f"{part}, {backend}: {held} of {count} hold {title}", flush=True)
        for sample in refused:
            for backend in own.backend:
                error = computed(own.wgloss, backend, sample, folder, ["out"])[1]
                print(f"PyTorch refuses {sample.name}; {backend}: {error or 'computed'}")
    sys.exit(not passed or not all(passed))


main()
