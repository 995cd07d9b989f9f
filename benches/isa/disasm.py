"""What a disassembled shader is made of: registers, and the work of its loops by kind.

A loop is found by the jump back to its head; its own code is that of its blocks without those of loops within, which
have rows of their own. Counted is one turn on the heaviest way that a lane can go: the one that touches the most
elements, and of such ways the longest. So remainders that most turns pass by are counted with them where they stand in
the same loop, and of the sides of an `if` one is (where lanes disagree, the hardware runs both). Scalar instructions
that only change sides, for no lane, are left out.

A turn's columns (or elements) are those of the operand that it reads the most of: bytes that its loads bring each
lane, over the bytes of an element; of 16-bit operands, each load of a word or less is an element. A turn that reads no
operand is measured by what it writes. A block that is written out four times has four times as many. Turns of less than
four columns (those of a row, say, with its label) are told as they are, not to sixteen.
"""
import collections
import re

# The first pattern that matches names the kind. `valu` has all vector arithmetic, so `fma` and `trans` are parts of it.
KINDS = [
    ("fma", r"v_(dual_)?(pk_)?(fma|fmac|fmaak|fmamk|mac|mad|madak|madmk)_(legacy_)?(f16|f32)"),
    ("trans", r"v_(exp|log|rcp|rsq|sqrt|sin|cos)_"),
    ("valu", r"v_"),
    ("load", r"(buffer|global|flat)_load"),
    ("store", r"(buffer|global|flat)_store"),
    ("atomic", r"(buffer|global|flat)_atomic"),
    ("lds", r"ds_"),
    ("scratch", r"scratch_"),
    ("barrier", r"s_barrier"),
    ("wait", r"s_(waitcnt|clause|delay_alu|nop|sleep)"),
    ("smem", r"s_(buffer_)?load"),
    ("salu", r"s_"),
]
PATTERNS = [(kind, re.compile(pattern)) for kind, pattern in KINDS]

STATS = {
    "VGPRs": "vgprs", "SGPRs": "sgprs", "Spilled VGPRs": "spilled_vgprs", "Spilled SGPRs": "spilled_sgprs",
    "Scratch size": "scratch", "LDS size": "lds_bytes", "Subgroups per SIMD": "waves", "Instructions": "instructions",
    "Code size": "code_bytes",
}

# Bytes of an access to a buffer by the ending of its name, in the words of GFX 11 and of those before.
BYTES = {"b32": 4, "b64": 8, "b96": 12, "b128": 16, "u8": 1, "i8": 1, "b8": 1, "u16": 2, "i16": 2, "b16": 2,
         "dword": 4, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16, "ubyte": 1, "sbyte": 1, "byte": 1, "ushort": 2,
         "sshort": 2, "short": 2}
ACCESS = re.compile(r"buffer_(load|store)_(?:d16_)?(?:hi_)?(?:format_)?(\w+?)(?:_d16)?(?:_hi)?\b.* s\[(\d+):(\d+)\]")
DESCRIPTORS = re.compile(r"s_load_(?:b|dwordx)(\d+) s\[(\d+):\d+\], s\[\d+:\d+\], (\w+)")
WRITES = re.compile(r"\w+ s(?:\[(\d+):(\d+)\]|(\d+))")
MOVES = re.compile(r"s_mov_b(32|64) s\[?(\d+)(?::\d+\])?, s\[?(\d+)(?::\d+\])?$")

# A binding as the shader declares it: the operand's name, bytes of an element, and whether it is an operand of the call
# (and not a label, a state or a record).
Bound = collections.namedtuple("Bound", "name size operand")


class Block:
    """`next` is the way of the hardware, `lanes` that of a lane."""

    def __init__(self, name):
        self.name, self.lines, self.next, self.lanes, self.touched = name, [], [], [], collections.Counter()


def kind(line):
    return next((own for own, pattern in PATTERNS if pattern.match(line)), "other")


def stats(log):
    """Registers and sizes as the driver tells them."""
    found = dict(re.findall(r"^([A-Z][A-Za-z -]+): (\d+)$", log, re.M))
    if "Spilled VGPRs" not in found:
        raise RuntimeError(f"the driver told no figures: {log.strip()[-300:]}")
    return {own: int(found.get(name, 0)) for name, own in STATS.items()}


def blocks(log):
    """The blocks of a shader: ways between them from the compiler's last print of its own form, lines from the code."""
    form, _, code = log.rpartition("disasm:")
    form, code = form.rsplit("After RA:", 1)[-1], code.split("*** SHADER STATS", 1)[0]
    heads = re.findall(r"^(BB\d+)\n/\* logical preds: (.*?)/ linear preds: (.*?)/ kind", form, re.M)
    found = {name: Block(name) for name, _, _ in heads}
    for name, logical, linear in heads:
        for before in re.findall(r"BB\d+", logical):
            found[before].lanes.append(found[name])
        for before in re.findall(r"BB\d+", linear):
            found[before].next.append(found[name])
    own = None
    for line in code.splitlines():
        if re.match(r"BB\d+:", line):
            own = found.get(line.split(":")[0])
            if own is None:
                raise RuntimeError(f"{line} is no block that the compiler told of; this version of Mesa is not known")
        elif line.startswith("\t") and own:
            own.lines.append(line.split(";")[0].strip())
    if own is None:
        raise RuntimeError("the driver printed no code; this version of Mesa is not known")
    return list(found.values())


def moved(known, line):
    """Which binding's descriptor each scalar register holds a word of, after a line."""
    match = DESCRIPTORS.match(line)
    if match:
        width, first, place = int(match[1]), int(match[2]), match[3]
        words = width // 32 if width >= 32 else width
        offset = int(place, 0) if place != "null" else 0
        for word in range(words):
            known[first + word] = ((offset + 4 * word) // 16, word % 4) if words >= 4 else None
        return
    match = MOVES.match(line)
    if match:
        for word in range(int(match[1]) // 32):
            known[int(match[2]) + word] = known.get(int(match[3]) + word)
        return
    match = WRITES.match(line)
    if match and not line.startswith(("s_cmp", "s_cbranch", "s_bitcmp")):
        first = int(match[1] or match[3])
        for own in range(first, int(match[2] or match[3]) + 1):
            known.pop(own, None)


def elements(access, of):
    count = BYTES.get(access[2], 4) / of.size
    # A 16-bit element by itself is loaded with the other half of its word.
    return 1 if access[1] == "load" and of.size == 2 and count <= 2 else count


def trace(found, bound):
    """Fills in which bindings each block touches: elements read and written, by name."""
    entering = {found[0].name: {}}
    work = [found[0]]
    while work:
        own = work.pop()
        known = dict(entering[own.name])
        for line in own.lines:
            moved(known, line)
        for after in own.next:
            old = entering.get(after.name)
            new = known if old is None else {at: held for at, held in old.items() if known.get(at) == held}
            if new != old:
                entering[after.name] = dict(new)
                work.append(after)
    for own in found:
        known = dict(entering.get(own.name, {}))
        for line in own.lines:
            match = ACCESS.match(line)
            if match:
                held = known.get(int(match[3]))
                of = bound[held[0]] if held and held[0] < len(bound) else Bound("?", 4, False)
                own.touched["reads" if match[1] == "load" else "writes", of] += elements(match, of)
            moved(known, line)


def dominators(found):
    before = {own: [] for own in found}
    for own in found:
        for after in own.next:
            before[after].append(own)
    over = {own: set(found) for own in found}
    over[found[0]] = {found[0]}
    changed = True
    while changed:
        changed = False
        for own in found[1:]:
            sets = [over[one] for one in before[own]]
            new = (set.intersection(*sets) if sets else set()) | {own}
            if new != over[own]:
                over[own], changed = new, True
    return before, over


def loops(found):
    """Heads and bodies, outer ones first."""
    before, over = dominators(found)
    bodies = {}
    for own in found:
        for head in own.next:
            if head in over[own]:
                body = bodies.setdefault(head, {head})
                work = [own]
                while work:
                    one = work.pop()
                    if one not in body:
                        body.add(one)
                        work += before[one]
    order = {own: at for at, own in enumerate(found)}
    return sorted(bodies.items(), key=lambda own: (order[own[0]], -len(own[1])))


def heaviest(order, head, body, inner):
    """The blocks of a turn: the heaviest way from the head, through loops within as if they were nothing."""
    inside = {}  # the loop within that a block belongs to, the outermost
    for own_head, own_body in inner:
        for own in own_body:
            inside.setdefault(own, (own_head, own_body))

    def after(own):
        if own in inside:
            within = inside[own][1]
            leaving = [one for each in order if each in within for one in each.lanes if one not in within]
            return [one for one in leaving if one in body]
        return [one for one in own.lanes if one in body]

    def weight(own):
        if own in inside:
            return (0, 0, 0)
        of_operands = sum(count for (_, of), count in own.touched.items() if of.operand)
        return (of_operands, sum(own.touched.values()), len(own.lines))

    best, way = {}, {}
    stack = [(head, False)]
    while stack:  # depth first; a jump back to a head ends a way
        own, is_done = stack.pop()
        if is_done:
            choices = [one for one in after(own) if one != head and one in best]
            chosen = max(choices, key=lambda one: best[one], default=None)
            rest = best[chosen] if chosen else (0, 0, 0)
            best[own], way[own] = tuple(a + b for a, b in zip(weight(own), rest)), chosen
        elif own not in way:
            way[own] = None
            stack.append((own, True))
            stack += [(one, False) for one in after(own) if one != head and one not in way]
    own, path = head, []
    while own:
        path += [] if own in inside else [own]
        own = way[own]
    return path


def work(path):
    kinds, touched = collections.Counter(), collections.Counter()
    for own in path:
        kinds.update(kind(line) for line in own.lines)
        touched.update(own.touched)
    kinds["valu"] += kinds["fma"] + kinds["trans"]
    kinds["all"] = sum(len(own.lines) for own in path)
    return kinds, touched


def measured(name, depth, path):
    """A loop's row of the table."""
    kinds, touched = work(path)
    reads = {of: count for (way, of), count in touched.items() if way == "reads"}
    writes = {of: count for (way, of), count in touched.items() if way == "writes"}
    columns = 0
    for of_way in [reads, writes]:
        for is_operand in [True, False]:
            columns = columns or max((n for of, n in of_way.items() if of.operand == is_operand), default=0)
    row = {
        "loop": name,
        "depth": depth,
        "reads": {of.name: round(count, 3) for of, count in sorted(reads.items())},
        "writes": {of.name: round(count, 3) for of, count in sorted(writes.items())},
        "columns": round(columns, 3),
        "turn": {own: kinds[own] for own in ["all"] + [own for own, _ in KINDS] if kinds[own]},
    }
    if columns >= 4:
        row["to_16"] = {own: round(16 * count / columns, 1) for own, count in row["turn"].items()}
    return row


def table(log, bound):
    """The rows of what stands outside of loops, and of all loops that touch a binding or stand in one that does."""
    found = blocks(log)
    trace(found, bound)
    all_loops = loops(found)
    rows = [measured("outside", 0, heaviest(found, found[0], set(found), all_loops))]
    of_interest = []
    for nth, (head, body) in enumerate(all_loops):
        inner = [own for own in all_loops if own[0] is not head and own[1] < body]
        depth = sum(1 for _, other in all_loops if body <= other)
        row = measured(f"loop {nth + 1}", depth, heaviest(found, head, body, inner))
        if row["reads"] or row["writes"] or any(body < other for other in of_interest):
            rows.append(row)
        if row["columns"]:
            of_interest.append(body)
    return rows
