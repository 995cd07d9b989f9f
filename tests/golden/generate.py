#!/usr/bin/env python3
"""Make the golden cases: float32 inputs, and what PyTorch computes of them in float64.

    python generate.py --out CORPUS      all cases: manifest.json, .safetensors files by loss; a second part in more/
    python generate.py --check CORPUS    reload a corpus, check it and print the counts
    python generate.py --select CORPUS   the cases that the tests read: data/, optimizers.json, clips.json

README.md says what a case looks like. --out needs torch, torchvision, numpy and safetensors, --check the last two,
--select nothing. Every draw has a seed of its own: inputs are the same bytes each time, and so are results but for the
last digits of their float64, which are the processor's.
"""
import argparse
import json
import pathlib
import shutil
import warnings
from collections import Counter, defaultdict

# Of the first part, what the library has no loss for yet; the optimizers' cases have a manifest of their own.
LEFT_OUT = {"ctc"}
OPTIMIZERS = {"sgd", "adam", "adamw", "adagrad"}
CLIPS = {"clip_grad_norm", "clip_grad_value"}
# Of the second part, what it has.
FROM_MORE = CLIPS | {
    "reduce_dims", "gaussian_nll_var", "cross_entropy_statistics", "linear_cross_entropy_more", "adagrad",
}


def write_manifest(path, torch, cases):
    """One case a line."""
    lines = ",\n".join(json.dumps(case, allow_nan=False) for case in cases)
    head = json.dumps({"schema": 1, "torch": torch})[:-1]
    path.write_text(f'{head}, "cases": [\n{lines}\n]}}\n')


def generate(out):
    import torch

    import losses
    import others
    from corpus import Corpus

    parts = {"": (losses.regression, losses.bce, losses.bce_with_logits, losses.activations, losses.nll,
                  losses.cross_entropy, losses.cross_entropy_extras, losses.linear_cross_entropy, losses.focal,
                  others.distributions, others.margins, others.ctc, others.optimizers, others.reductions),
             "more": (others.reductions_over_dims, others.variances, others.statistics,
                      others.linear_cross_entropy_more, others.adagrad, others.clipping)}
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="reduction: 'mean' divides")
    for part, sections in parts.items():
        corpus = Corpus()
        for section in sections:
            section(corpus)
        corpus.save(out / part)
        write_manifest(out / part / "manifest.json", torch.__version__.split("+")[0], corpus.cases)


def select(corpus, to):
    """The files of the selected cases are copied whole."""
    first, more = (json.loads((corpus / part / "manifest.json").read_text()) for part in ("", "more"))
    data = to / "data"
    data.mkdir(parents=True, exist_ok=True)
    optimizers = [case for case in first["cases"] + more["cases"] if case["loss"] in OPTIMIZERS]
    clips = [case for case in more["cases"] if case["loss"] in CLIPS]
    cases = [case for case in first["cases"] if case["loss"] not in LEFT_OUT | OPTIMIZERS]
    cases += [case for case in more["cases"] if case["loss"] in FROM_MORE - OPTIMIZERS - CLIPS]
    for loss in sorted({case["loss"] for case in cases + optimizers + clips}):
        part = "more" if loss in FROM_MORE else ""
        shutil.copyfile(corpus / part / f"{loss}.safetensors", data / f"{loss}.safetensors")
    write_manifest(data / "manifest.json", first["torch"], cases)
    write_manifest(to / "optimizers.json", first["torch"], optimizers)
    write_manifest(to / "clips.json", first["torch"], clips)
    print(f"{len(cases)} cases of losses, {len(optimizers)} of optimizers, {len(clips)} of clipping")


def check(folder):
    """Reloads a corpus: every case has its tensors, every tensor a case, and tags say what is in them."""
    import numpy as np
    from safetensors.numpy import load_file

    manifest = json.loads((folder / "manifest.json").read_text())
    files = {p.name: load_file(p) for p in folder.glob("*.safetensors")}
    used, ids, tags = set(), set(), defaultdict(Counter)
    for case in manifest["cases"]:
        assert case["id"] not in ids, case["id"]
        ids.add(case["id"])
        bad = set()
        for side in ("inputs", "expected"):
            for name, e in case[side].items():
                a = files[e["file"]][e["key"]]
                used.add((e["file"], e["key"]))
                assert list(a.shape) == e["shape"], (case["id"], name)
                assert {"F32": "float32", "F64": "float64", "I64": "int64"}[e["dtype"]] == a.dtype.name
                if side == "inputs":
                    assert not np.isnan(a).any(), case["id"]
                else:
                    assert a.dtype != np.float32, case["id"]
                    bad |= {t for t, m in (("nan", np.isnan(a)), ("inf", np.isinf(a))) if m.any()}
        assert bad == {"nan", "inf"} & set(case.get("tags", ())), case["id"]
        tags[case["loss"]].update(["cases", *case.get("tags", ())])
    assert used == {(f, k) for f, ts in files.items() for k in ts}, "unused tensors"
    for loss, n in sorted(tags.items()):
        print(f"{loss:24} {n.pop('cases'):5}  {dict(n) or ''}")
    size = sum(p.stat().st_size for p in folder.iterdir())
    print(f"{len(ids)} cases, {len(used)} tensors, {size / 1e6:.2f} MB")

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways = ap.add_mutually_exclusive_group(required=True)
    ways.add_argument("--out", type=pathlib.Path, metavar="CORPUS", help="folder to write")
    ways.add_argument("--check", type=pathlib.Path, metavar="CORPUS", help="folder to check")
    ways.add_argument("--select", type=pathlib.Path, metavar="CORPUS", help="folder to select from")
    ap.add_argument("--to", type=pathlib.Path, default=pathlib.Path(__file__).parent, help="where --select writes")
    args = ap.parse_args()
    if args.select:
        select(args.select, args.to)
        return
    if args.out:
        generate(args.out)
    for part in ("", "more"):
        check((args.out or args.check) / part)


if __name__ == "__main__":
    main()
