#!/usr/bin/env python3
"""What AMD's compiler makes of our kernels, without a Radeon.

    isa.py [--family F,…] [--rows PATTERN] [--out DIR]  compile the rows' pipelines and print the table
    isa.py --record                                     the same, kept in benches/results/isa
    isa.py --check [--long]                             compile, compare with what is kept there, and find spills

Every pipeline of the rows is compiled with the tuning of a discrete GPU by Mesa's RADV, which needs no adapter. Needed
are a release build of `wgloss`, libvulkan and Mesa's radeon driver (Debian: libvulkan1, mesa-vulkan-drivers). README.md
beside this file tells how to read the table. --check ends with 0, with 1 where a figure is worse, and with 77 where the
driver, or the version of Mesa that the table was made with, is not on this machine.
"""
import argparse
import collections
import fnmatch
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import tempfile

sys.dont_write_bytecode = True  # nothing of ours lies beside the files

import disasm
import radv

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RESULTS = os.path.join(ROOT, "benches", "results", "isa")
# The table is of the first; no kernel may spill for any.
FAMILIES = ["gfx1100", "navi21", "vega10"]
UNAVAILABLE = 77
# A figure may grow by a tenth.
SLACK = 1.1
# f16 by integer arithmetic, read by the device's own conversion, and written by it, too.
DTYPES = {own: ["--dtype", own] for own in ["f32", "bf16", "f16"]}
DTYPES["f16-unpack"] = ["--dtype", "f16", "--f16", "unpack"]
DTYPES["f16-both"] = ["--dtype", "f16", "--f16", "both"]

# What each row is called, and the words of the command line that make it.
ROWS = [
    *[(f"cross_entropy {shape}", ["cross-entropy", "--shape", shape])
      for shape in ["8192x128256", "1024x32000", "8192x1000", "3276800x10", "8x21x512x512", "8x32000x128",
                    "4x1000000"]],
    *[(f"{loss} 33554432", [loss.replace("_", "-"), "--shape", "33554432", "--reduction", "mean"])
      for loss in ["bce_with_logits", "mse", "sigmoid_focal"]],
    ("mse 4096x8192, a target for each column", ["mse", "--shape", "4096x8192", "--target", "8192"]),
    ("mse 4096x8192, a target for each row", ["mse", "--shape", "4096x8192", "--target", "4096x1"]),
    ("reduce 33554432", ["reduce", "--shape", "33554432"]),
    ("adamw 100000000", ["adamw", "--shape", "100000000"]),
    ("linear_cross_entropy 8192x4096x32000", ["linear-cross-entropy", "--shape", "8192x4096x32000"]),
]
# What is asked for in mode fused beside the first gradient.
GRADS = {"linear_cross_entropy 8192x4096x32000": ["--grad-linear-weight"]}
# Those that --check takes without --long: a kernel of each kind, in the dtypes whose arithmetic differs the most.
SHORT = ["cross_entropy 8192x128256 *fused", "cross_entropy 8192x1000 *fused", "cross_entropy 3276800x10 f32 fused",
         "cross_entropy 8x21x512x512 f32 fused", "bce_with_logits 33554432 *fused", "mse *column f16 fused",
         "reduce 33554432 bf16 *", "adamw * bf16*"]


def calls():
    """The rows in each dtype and mode: a name and the words of the command line."""
    for name, words in ROWS:
        for dtype, more in DTYPES.items():
            of_dtype = words + more
            if words[0] == "adamw":
                yield f"{name} {dtype}", of_dtype + ["--steps", "1"]
                continue
            for mode in ["forward", "fused"]:
                # The third form of f16 differs in what is written alone.
                if dtype != "f16-both" or mode == "fused":
                    grads = GRADS.get(name, []) if mode == "fused" else []
                    yield f"{name} {dtype} {mode}", of_dtype + ["--mode", mode] + grads


def size_of(text, kind):
    """Bytes of a WGSL type, as far as arrays of storage are made of them."""
    kind = kind.strip()
    vector = re.fullmatch(r"vec([234])<\w+>", kind)
    if vector:
        return 16 if vector[1] == "3" else 4 * int(vector[1])
    own = re.search(rf"struct {kind} {{(.*?)\n}}", text, re.S)
    if not own:
        return 4
    fields = re.findall(r"^\s*\w+: ([\w<>]+),", own[1], re.M)
    sizes = [size_of(text, field) for field in fields]
    whole, most = 0, max(sizes, default=4)
    for size in sizes:
        whole = -(-whole // size) * size + size
    return max(-(-whole // most) * most, 4)


def bindings(pipeline):
    """What a pipeline binds, in order, and the kinds of it."""
    text, file, declared = pipeline["text"], "", {}
    for line in text.splitlines():
        heading = re.match(r"// shaders/(\S+):\d+", line)
        file = heading[1] if heading else file
        found = re.match(r"@group\(0\) @binding\((\d+)\) var<[\w, ]+> (\w+): (.*);", line)
        if not found:
            continue
        name, kind = found[2], found[3]
        element = re.sub(r"^array<(.*?)(, \w+)?>$", r"\1", kind)
        size = 2 if "half" in file else 4 if "f32" in file else size_of(text, re.sub(r"^atomic<(.*)>$", r"\1", element))
        declared[int(found[1])] = disasm.Bound(name, size, file.startswith("access/"))
    own = sorted(pipeline["bindings"], key=lambda one: one["binding"])
    return [declared[one["binding"]] for one in own], [one["kind"] for one in own]


class Pipeline:
    def __init__(self, label, path, bound, kinds):
        self.label, self.bound, self.rows = label, bound, []
        self.job = radv.Job(path, kinds)


def shader(wgloss, words, *more):
    command = [wgloss, "shader", *words, "--class", "discrete", "--json", *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
    return json.loads(done.stdout)["pipelines"]


def pipelines(wgloss, chosen, folder):
    """Every pipeline of the calls, each once, with the rows that run it."""
    found = {}
    for name, words in chosen:
        own = os.path.join(folder, re.sub(r"\W+", "-", name))
        os.makedirs(own, exist_ok=True)
        written = shader(wgloss, words, "--format", "spirv", "--out", own)
        for text, one in zip(shader(wgloss, words, "--format", "wgsl"), written):
            # The label does not tell how f16 is converted.
            ways = [way for way in ["unpack", "pack"] if re.search(rf"\b{way}2x16float\(", text["text"])]
            label = " ".join([text["label"], *ways])
            with open(one["file"], "rb") as file:
                key = (label, hashlib.sha256(file.read()).digest())
            if key not in found:
                found[key] = Pipeline(label, one["file"], *bindings(text))
            found[key].rows.append(name)
    # A label tells all but a few constants: those of one label are numbered in the order of the rows.
    count = collections.Counter()
    for own in found.values():
        count[own.label] += 1
        own.name = own.label if count[own.label] == 1 else f"{own.label} #{count[own.label]}"
    return list(found.values())


def measure(args, chosen, families):
    """The table: one row for each pipeline and family."""
    with tempfile.TemporaryDirectory() as folder:
        folder = args.out or folder
        own = pipelines(args.wgloss, chosen, folder)
        rows = []
        for family in families:
            logs = radv.compile_all(family, [one.job for one in own], args.workers)
            for one, log in zip(own, logs):
                if args.out:
                    with open(f"{one.job.path[:-4]}.{family}.s", "w") as file:
                        file.write(log.rsplit("disasm:", 1)[-1])
                rows.append({"family": family, "pipeline": one.name, "rows": one.rows, **disasm.stats(log),
                             "loops": disasm.table(log, one.bound)})
    return rows


def told(touched):
    return ", ".join(f"{name} {count:g}" for name, count in touched.items())


def text_of(record):
    """The table as Markdown."""
    out = [f"# What Mesa {record['mesa']} makes of our kernels", "",
           "Made by `benches/isa/isa.py --record`; [benches/isa](../../isa/README.md) tells how to read it.",
           "Instructions are those to sixteen columns or elements; of turns with less than four, as they are.", ""]
    head = ["all", "valu", "fma", "trans", "load", "store", "atomic", "lds", "scratch", "salu", "smem", "wait"]
    for row in record["pipelines"]:
        spills = f"{row['spilled_vgprs']} + {row['spilled_sgprs']} spilled, {row['scratch']} bytes of scratch"
        sizes = (f"{row['instructions']} instructions, {row['vgprs']} VGPRs, {spills}, "
                 f"{row['lds_bytes']} bytes of LDS, {row['waves']} waves to a SIMD.")
        out += [f"## {row['family']}: {row['pipeline']}", "",
                textwrap.fill(f"{sizes} {', '.join(row['rows'])}.", 120, break_on_hyphens=False), "",
                f"| code | a turn reads | writes | columns | {' | '.join(head)} |",
                "|---|---|---|---" + "|---" * len(head) + "|"]
        for own in row["loops"]:
            counts = own.get("to_16", own["turn"])
            cells = [f"{counts.get(kind, 0):g}" for kind in head]
            name = own["loop"] + (f", depth {own['depth']}" if own["depth"] > 1 else "")
            name += "" if "to_16" in own else ", a turn"
            out.append(f"| {name} | {told(own['reads'])} | {told(own['writes'])} | {own['columns']:g} | "
                       + " | ".join(cells) + " |")
        out.append("")
    return "\n".join(out)


def newest():
    """The table that is kept."""
    found = sorted(glob.glob(os.path.join(RESULTS, "mesa-*.json")))
    if not found:
        raise radv.Missing(f"no mesa-*.json in {RESULTS}")
    return found[-1]


def same(own):
    return (own["depth"], tuple(own["reads"]), tuple(own["writes"]))


def spills(own):
    """What a pipeline keeps in memory for want of registers, as sentences."""
    for name in ["spilled_vgprs", "spilled_sgprs", "scratch"]:
        if own[name] > 0:
            yield f"{name} {own[name]}, and none may be"


def worse(new, old):
    """What of a pipeline is worse than it was, as sentences."""
    yield from spills(new)
    if new["instructions"] > SLACK * old["instructions"]:
        yield f"{new['instructions']} instructions in place of {old['instructions']}"
    before = collections.defaultdict(list)
    for own in old["loops"]:
        before[same(own)].append(own)
    for own in new["loops"]:
        if "to_16" not in own:
            continue
        if not before[same(own)]:
            yield f"{own['loop']} (reads {told(own['reads'])}, writes {told(own['writes'])}) is not in the table"
            continue
        was = before[same(own)].pop(0)
        now, then = own["to_16"]["all"], was.get("to_16", was["turn"])["all"]
        if now > SLACK * then:
            yield f"{own['loop']} (reads {told(own['reads'])}, writes {told(own['writes'])}): " \
                  f"{now:g} instructions to sixteen in place of {then:g}"


def check(args, chosen):
    path = args.against or newest()
    try:
        with open(path) as file:
            record = json.load(file)
        kept = record["mesa"], record["pipelines"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        sys.exit(f"{path}: no table of isa.py: {error}")
    mesa = radv.version()
    if mesa != kept[0]:
        raise radv.Missing(f"Mesa {kept[0]}, which {os.path.basename(path)} was made with; here is {mesa}")
    old = {own["pipeline"]: own for own in kept[1] if own["family"] == FAMILIES[0]}
    every = measure(args, chosen, FAMILIES)
    new = [own for own in every if own["family"] == FAMILIES[0]]
    complaints = [f"{own['pipeline']} for {own['family']}: {what}"
                  for own in every if own["family"] != FAMILIES[0] for what in spills(own)]
    for own in new:
        if own["pipeline"] in old:
            complaints += [f"{own['pipeline']}: {what}" for what in worse(own, old[own["pipeline"]])]
        else:
            complaints.append(f"{own['pipeline']} is not in the table (of {own['rows'][0]})")
    names = {own["pipeline"] for own in new}
    wanted = {name for name, _ in chosen}
    for name, own in old.items():
        if name not in names and wanted & set(own["rows"]):
            print(f"gone since the table was made: {name}")
    print(f"{len(new)} pipelines of {len(chosen)} calls compiled by Mesa {mesa} for {', '.join(FAMILIES)}")
    for own in complaints:
        print(f"WORSE: {own}")
    if complaints:
        print("Where that is as it should be, benches/isa/isa.py --record makes the table anew.")
    return 1 if complaints else 0


def arguments():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--wgloss", default=os.path.join(ROOT, "target", "release", "wgloss"), metavar="FILE",
                      help="the release build [default: target/release/wgloss]")
    args.add_argument("--family", default=None, metavar="F,…", help=f"of {', '.join(FAMILIES)} [default: gfx1100]")
    args.add_argument("--rows", metavar="PATTERN", help="only calls whose name matches, as 'mse * bf16 fused'")
    args.add_argument("--out", metavar="DIR", help="keep SPIR-V and assembly in this folder")
    args.add_argument("--json", action="store_true", help="print the table as JSON")
    args.add_argument("--list", action="store_true", help="print the names of the calls and end")
    args.add_argument("--record", action="store_true", help="keep the table, in place of the last one")
    args.add_argument("--check", action="store_true", help="compare with the table that is kept")
    args.add_argument("--long", action="store_true", help="with --check: every call, not a part of each kind")
    args.add_argument("--against", metavar="FILE", help="with --check: another table")
    args.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="pipelines at a time")
    own = args.parse_args()
    own.families = own.family.split(",") if own.family else [FAMILIES[0]]
    unknown = [one for one in own.families if one not in FAMILIES]
    if unknown:
        args.error(f"--family: expected some of {', '.join(FAMILIES)}, got {', '.join(unknown)}")
    if own.record and (own.rows or own.check):
        args.error("--record: keeps all rows, so it goes with neither --rows nor --check")
    if own.family and (own.record or own.check):
        args.error(f"--family: the table that is kept is that of {FAMILIES[0]}, so it goes with neither --record nor "
                   "--check")
    if own.json and (own.record or own.check):
        args.error("--json: goes with neither --record nor --check")
    if (own.long or own.against) and not own.check:
        args.error("--long and --against: go with --check")
    if own.workers < 1:
        args.error(f"--workers: expected 1 or more, got {own.workers}")
    if not own.list and not os.access(own.wgloss, os.X_OK):
        args.error(f"--wgloss: {own.wgloss} is no program")
    return own


def main():
    args = arguments()
    is_short = args.check and not args.long
    patterns = [args.rows] if args.rows else SHORT if is_short else ["*"]
    chosen = [own for own in calls() if any(fnmatch.fnmatchcase(own[0], pattern) for pattern in patterns)]
    if args.list:
        print("\n".join(name for name, _ in chosen))
        return 0
    if not chosen:
        sys.exit(f"--rows {args.rows}: no call has such a name; --list has them all")
    try:
        if args.check:
            return check(args, chosen)
        record = {"mesa": radv.version(), "class": "discrete", "pipelines": measure(args, chosen, args.families)}
    except radv.Missing as what:
        print(f"not on this machine: {what}", file=sys.stderr)
        return UNAVAILABLE
    if args.record:
        for path in glob.glob(os.path.join(RESULTS, "mesa-*")):
            os.remove(path)
        os.makedirs(RESULTS, exist_ok=True)
        path = os.path.join(RESULTS, f"mesa-{record['mesa']}")
        with open(f"{path}.json", "w") as file:
            rows = ",\n".join(json.dumps(own) for own in record["pipelines"])
            file.write(f'{{"mesa": "{record["mesa"]}", "class": "discrete", "pipelines": [\n{rows}\n]}}\n')
        with open(f"{path}.md", "w") as file:
            file.write(text_of(record))
        print(f"{len(record['pipelines'])} pipelines in {path}.json and .md")
    else:
        print(json.dumps(record) if args.json else text_of(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
