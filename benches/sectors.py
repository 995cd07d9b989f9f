#!/usr/bin/env python3
"""Sector efficiency of the benchmarks' rows, by the tuning of a discrete GPU, on whatever adapter there is: no GPU is
needed. Prints a table; `benches/sectors.py WGLOSS >benches/results/sectors.txt` makes the committed one again.

WGLOSS: the program, as target/release/wgloss. After it, words that a row's line has to contain."""

import json
import os
import subprocess
import sys

ROWS = [
    ("cross-entropy", "8192x128256"),
    ("cross-entropy", "1024x32000"),
    ("cross-entropy", "8192x1000"),
    ("cross-entropy", "3276800x10"),
    ("cross-entropy", "8x21x512x512"),
    ("cross-entropy", "8x32000x128"),
    ("cross-entropy", "4x1000000"),
    ("bce-with-logits", "33554432"),
    ("mse", "33554432"),
    ("sigmoid-focal", "33554432"),
    ("sum", "33554432"),
    ("adamw", "100000000"),
]
HEADER = (
    f"{'row':36} {'dtype':5} {'mode':8} {'read':>6} {'written':>8}  "
    "below 0.9, of what is a hundredth of the call's\n"
)


def calls():
    """The rows in each dtype and mode."""
    for loss, shape in ROWS:
        for dtype in ["f32", "bf16", "f16"]:
            for mode in ["step"] if loss == "adamw" else ["forward", "fused"]:
                yield loss, shape, dtype, mode


def plan_of(program, call, more):
    """What `wgloss plan` says of a call, as JSON."""
    loss, shape, dtype, mode = call
    command = [program, "plan", loss, "--shape", f"{shape}:{dtype}", "--json", *more]
    command += ["--steps", "1"] if mode == "step" else ["--mode", mode]
    # torchvision's own is none; `bench` takes the mean of every loss.
    command += ["--reduction", "mean"] if loss == "sigmoid-focal" else []
    return subprocess.run(command, capture_output=True, text=True)


def share(tally):
    return "-" if tally["efficiency"] is None else f"{tally['efficiency']:.3f}"


def weak(plan):
    """Operands of steps that fall short, with more than a hundredth of the call's sectors."""
    all_of, found = 0, []
    for step in plan["steps"]:
        if "sectors" not in step:
            continue
        groups = step["workgroups"][0] * step["workgroups"][1]
        for own in step["sectors"]["bindings"]:
            sectors = own["sectors"] * groups
            all_of += sectors
            if own["efficiency"] is not None and own["efficiency"] < 0.9:
                way = "written" if own["is_written"] else "read"
                found.append((sectors, f"{own['slot']} {own['efficiency']:.3f} {way}"))
    told = [text for sectors, text in found if 100 * sectors > all_of]
    return ", ".join(dict.fromkeys(told))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, words = sys.argv[1], sys.argv[2:]
    if not os.access(program, os.X_OK):
        sys.exit(f"sectors.py: {program} is no program")
    print(HEADER, end="")
    rows, failed = 0, 0
    for call in calls():
        loss, shape, dtype, mode = call
        line = f"{loss + ' ' + shape:36} {dtype:5} {mode:8}"
        if not all(word in line for word in words):
            continue
        done = plan_of(program, call, ["--sectors"])
        rows += 1
        try:
            plan = json.loads(done.stdout)
            own = plan["sectors"]["operands"]
        except (ValueError, TypeError, KeyError):
            failed += 1
            print(f"{line} {done.stderr.strip() or 'no plan with sectors'}", flush=True)
            continue
        print(f"{line} {share(own['read']):>6} {share(own['written']):>8}  {weak(plan)}".rstrip(), flush=True)
    if rows == 0:
        sys.exit(f"sectors.py: no row has {' and '.join(words)}")
    if failed:
        sys.exit(f"sectors.py: {failed} of {rows} rows failed")


if __name__ == "__main__":
    main()
