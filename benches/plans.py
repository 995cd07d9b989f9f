#!/usr/bin/env python3
"""The plans of the benchmarks' rows, by the tunings of GPUs; no adapter is needed. Prints a table;
`benches/plans.py WGLOSS >benches/results/plans.txt` makes the committed one again.

WGLOSS: the program, as target/release/wgloss. After it, words that a row's line has to contain. Submissions and waits
are those of a call of which nothing is known, on a device of 1 TB/s, or, integrated, of 50 GB/s. `moved`: bytes read
and written, in units of the least, every operand read once and every result written once. `fewest`: workgroups of the
smallest dispatch that moves 16 MiB or more, which has work for 512."""

import json
import os
import sys

sys.dont_write_bytecode = True  # nothing of ours lies beside the files

from sectors import calls, plan_of

LARGE = 16 << 20
PACE = {"discrete": "1000", "integrated": "50"}
HEADER = (
    f"{'row':28} {'dtype':5} {'mode':8} {'class':10} {'dispatches':>10} {'workgroups':>10} {'fewest':>7} "
    f"{'submissions':>11} {'waits':>5} {'moved':>6}"
)


def moved_by(own):
    return own["read_bytes"] + own["written_bytes"]


def fewest(plan):
    """Workgroups of the smallest dispatch that has work for many."""
    own = [step for step in plan["steps"] if "workgroups" in step and moved_by(step) >= LARGE]
    return min((step["workgroups"][0] * step["workgroups"][1] for step in own), default="-")


def line_of(program, call, kind):
    loss, shape, dtype, mode = call
    line = f"{loss + ' ' + shape:28} {dtype:5} {mode:8} {kind:10}"
    done = plan_of(program, call, ["--class", kind, "--pace", PACE[kind]])
    if done.returncode:
        sys.exit(f"plans.py: {line.strip()}: {done.stderr.strip()}")
    plan = json.loads(done.stdout)
    moved = moved_by(plan) / moved_by(plan["least"])
    return (
        f"{line} {plan['dispatches']:10} {plan['workgroups']:10} {fewest(plan):>7} {plan['submissions']:11} "
        f"{plan['waits']:5} {moved:6.3f}"
    )


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, words = sys.argv[1], sys.argv[2:]
    if not os.access(program, os.X_OK):
        sys.exit(f"plans.py: {program} is no program")
    print(HEADER)
    chosen = [(call, kind) for call in calls() for kind in PACE]
    chosen = [own for own in chosen if all(word in " ".join([*own[0], own[1]]) for word in words)]
    for call, kind in chosen:
        print(line_of(program, call, kind), flush=True)
    if not chosen:
        sys.exit(f"plans.py: no row has {' and '.join(words)}")


if __name__ == "__main__":
    main()
