#!/usr/bin/env bash
# First contact with a GPU: whether it can be trusted, whether every loss is right on it, how fast it is, and how fast
# others are on it, in at most six minutes.
#
#   benches/first_contact.sh                    all parts, into a new folder first-contact-DATE
#   benches/first_contact.sh qualify --out DIR  one part, or several, into a folder of yours
#
# Parts: adapters, qualify, check, bench, peers, tune, tuned (bench with what tune saved), and summary, which comes by
# itself. Each writes its files when it is done, and is cut off where the time is over: what was written stays.
# PyTorch's times (peers) stand between ours without a tuning and with one; they need Python with torch and CUDA, and
# nothing else needs Python.
#
# From a checkout the program is built first, whose time does not count. Elsewhere the script takes the `wgloss` beside
# itself. WGLOSS names another program, PYTHON another Python than python3.
set -uo pipefail

usage() {
    sed -n '2,6p' "$0" | cut -c3-
    cat <<'TEXT'

  --out DIR          the folder [default: first-contact-DATE here]
  --adapter TEXT     the adapter, as for all commands of wgloss [default: the best one]
  --scale full|small rows as they are, or of a thousandth or so [default: small on software adapters, else full]
  --seconds N        of all parts together [default: 360]
TEXT
}

say() { printf '== %s\n' "$*" >&2; }
# A folder that was made for nothing goes.
made=
fail() { printf 'error: %s\n' "$*" >&2; [ -z "$made" ] || rmdir "$made" 2>/dev/null; exit 2; }

PARTS=(adapters qualify check bench peers tune tuned)
chosen=()
out=
adapter=()
scale=
seconds=360
while [ $# -gt 0 ]; do
    case $1 in
        --out | --adapter | --scale | --seconds)
            [ $# -gt 1 ] || fail "$1 needs a value"
            case $1 in
                --out) out=$2 ;;
                --adapter) adapter=(--adapter "$2") ;;
                --scale) scale=$2 ;;
                --seconds) seconds=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit
            ;;
        adapters | qualify | check | bench | peers | tune | tuned | summary) chosen+=("$1") ;;
        *) fail "$1 is no part and no option; the parts are ${PARTS[*]} summary" ;;
    esac
    shift
done
case $scale in '' | full | small) ;; *) fail "--scale $scale: expected full or small" ;; esac
case $seconds in '' | *[!0-9]*) fail "--seconds $seconds: expected a whole number" ;; esac
[ ${#chosen[@]} -gt 0 ] || chosen=("${PARTS[@]}")

out=${out:-first-contact-$(date -u +%Y%m%dT%H%M%SZ)}
[ -d "$out" ] || made=$out
mkdir -p "$out" || fail "--out $out cannot be made"

here=$(cd "$(dirname "$0")" && pwd)
if [ -n "${WGLOSS:-}" ]; then
    program=$WGLOSS
elif [ -x "$here/wgloss" ]; then
    program=$here/wgloss
elif [ -f "$here/../Cargo.toml" ]; then
    say "building wgloss"
    (cd "$here/.." && cargo build --release --bin wgloss) || fail "wgloss could not be built"
    program=${CARGO_TARGET_DIR:-$here/../target}/release/wgloss
else
    fail "there is no wgloss beside $0, and no checkout around it"
fi
[ -x "$program" ] || fail "$program is no program"
peers=$here/peers/torch_losses.py
[ -f "$peers" ] || peers=$here/torch_losses.py

# Software adapters have no memory of their own and no pace: their rows are small unless somebody asks.
if [ -z "$scale" ]; then
    scale=full
    # A header, then the best first.
    kind=$("$program" adapters 2>/dev/null | tail -n +2 | grep -iF -- "${adapter[1]:-}" | head -n 1)
    case $kind in *' Cpu '*) scale=small ;; esac
fi
if [ "$scale" = full ]; then runs=7; else runs=3; fi
SECONDS=0
left() { echo $((seconds - SECONDS)); }

# limited N COMMAND…: within N seconds, or what is left of all. 124: cut off.
limited() {
    local most=$1 rest
    shift
    rest=$(left)
    [ "$most" -le "$rest" ] || most=$rest
    # `timeout 0` would be no limit.
    [ "$most" -gt 0 ] || return 124
    if command -v timeout >/dev/null; then
        timeout "$most" "$@"
    elif command -v gtimeout >/dev/null; then
        gtimeout "$most" "$@"
    else
        "$@" &
        local own=$! watch code
        (sleep "$most" && kill "$own") 2>/dev/null &
        watch=$!
        wait "$own"
        code=$?
        kill "$watch" 2>/dev/null || code=124
        return "$code"
    fi
}

# told PART N COMMAND…: the output into PART.txt, what goes wrong into PART.err, and how it ended into PART.end.
told() {
    local part=$1 most=$2 code start=$SECONDS how
    shift 2
    mkdir -p "$(dirname "$out/$part")"
    if [ "$(left)" -le 0 ]; then
        # What an earlier run left there stays.
        [ -f "$out/$part.end" ] || echo "left out: $seconds s are over" >"$out/$part.end"
        say "$part: left out, $seconds s are over"
        return 124
    fi
    say "$part: ${*##*/}"
    limited "$most" "$@" >"$out/$part.txt.part" 2>"$out/$part.err"
    code=$?
    case $code in
        0) how='done' ;;
        124 | 143) how='cut off' ;;
        *) how="exit code $code" ;;
    esac
    # What was cut off keeps what it had printed.
    mv "$out/$part.txt.part" "$out/$part.txt"
    printf '%s, %s s\n' "$how" $((SECONDS - start)) >"$out/$part.end"
    say "$part: $(cat "$out/$part.end")"
    # Where files were written to, the folder tells.
    { grep -v '^written to ' "$out/$part.err" || true; } >"$out/$part.err.part"
    mv "$out/$part.err.part" "$out/$part.err"
    [ -s "$out/$part.err" ] || rm -f "$out/$part.err"
    return "$code"
}

# rows NAME N ARGUMENTS…: rows of one run of `bench`: its table, its JSON and its picture.
rows() {
    local name=$1 most=$2 own code record
    shift 2
    own=$out/records
    mkdir -p "$own"
    told "$name" "$most" "$program" bench "$@" "${adapter[@]+"${adapter[@]}"}" --runs "$runs" \
        --svg "$out/$name.svg" --sweep-to 64KiB --record --records "$own"
    code=$?
    # One record for each run, under the name of the run.
    for record in "$own"/*.json; do
        [ ! -f "$record" ] || mv "$record" "$out/$name.json"
    done
    rmdir "$own" 2>/dev/null
    return "$code"
}

# all_rows FOLDER [--tuned]: the largest last, so that the others are there where the time is short.
all_rows() {
    local to=$1 begun=$SECONDS code=0 dtype classes elements sum adamw vocabulary
    shift
    mkdir -p "$out/$to"
    if [ "$scale" = full ]; then
        classes=(1024x32000 8192x1000 3276800x10 8x21x512x512 8x32000x128 4x1000000)
        elements=33554432 sum=33554432 adamw=100000000 vocabulary=8192x128256
    else
        classes=(64x8000 1024x1000 51200x10 2x21x64x64 2x1000x32 2x100000)
        elements=524288 sum=524288 adamw=1048576 vocabulary=64x16032
    fi
    local modes=(--mode forward --mode fused) dtypes=(--dtype f32 --dtype bf16 --dtype f16)
    rows "$to/classes" 70 cross-entropy "${classes[@]/#/--shape=}" "${modes[@]}" "${dtypes[@]}" "$@" || code=1
    rows "$to/elements" 40 bce-with-logits mse sigmoid-focal "--shape=$elements" "${modes[@]}" "${dtypes[@]}" "$@" ||
        code=1
    rows "$to/sum" 20 sum "--shape=$sum" "${modes[@]}" "${dtypes[@]}" "$@" || code=1
    rows "$to/adamw" 40 adamw "--shape=$adamw" "${dtypes[@]}" "$@" || code=1
    for dtype in f32 bf16 f16; do
        rows "$to/vocabulary-$dtype" 40 cross-entropy "--shape=$vocabulary" "${modes[@]}" --dtype "$dtype" "$@" ||
            code=1
    done
    local how='done'
    [ "$code" = 0 ] || how='not all of it, see its rows'
    printf '%s, %s s\n' "$how" $((SECONDS - begun)) >"$out/$to.end"
    return "$code"
}

part_adapters() {
    told adapters 20 "$program" adapters
    "$program" adapters --json >"$out/adapters.json" 2>/dev/null
}

part_qualify() {
    told qualify 60 "$program" qualify "${adapter[@]+"${adapter[@]}"}" --save "$out/qualify.json"
}

part_check() {
    local losses=()
    [ "$scale" = full ] || losses=(mse cross-entropy adamw)
    # An older record would stay until the new one is whole.
    rm -f "$out/check.json"
    told check 90 "$program" check "${losses[@]+"${losses[@]}"}" "${adapter[@]+"${adapter[@]}"}" \
        --save "$out/check.json" --svg "$out/check.svg"
}

part_tune() {
    local fewer=()
    [ "$scale" = full ] || fewer=(--field tile --runs 3 --elements 262144)
    told tune 70 "$program" tune "${fewer[@]+"${fewer[@]}"}" "${adapter[@]+"${adapter[@]}"}" --save
}

part_peers() {
    local python=${PYTHON:-python3}
    # Told, and passed over.
    if ! command -v "$python" >/dev/null; then
        echo "left out: there is no $python" >"$out/peers.end"
    elif [ ! -f "$peers" ]; then
        echo "left out: torch_losses.py is neither in peers/ nor beside the script" >"$out/peers.end"
    elif ! "$python" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
        echo "left out: $python has no torch that sees CUDA" >"$out/peers.end"
    else
        told peers 75 "$python" "$peers" "$runs" --device cuda --scale "$scale" --dtype f32 --dtype bf16 --dtype f16 \
            --seconds 65 --json "$out/peers.json"
        return
    fi
    say "peers: $(cat "$out/peers.end")"
}

# A section of the summary, where the part has run.
section() {
    local part=$1 title=$2 fence='```' text
    [ -f "$out/$part.end" ] || return
    printf '\n## %s\n\n%s\n' "$title" "$(cat "$out/$part.end")"
    for text in "$out/$part.txt" "$out/$part.err"; do
        [ ! -s "$text" ] || printf '\n%stext\n%s\n%s\n' "$fence" "$(cat "$text")" "$fence"
    done
    [ ! -f "$out/$part.svg" ] || printf '\n![%s](%s.svg)\n' "$title" "$part"
    [ ! -f "$out/$part.json" ] || printf '\nRecord: [%s.json](%s.json)\n' "$part" "$part"
}

summary() {
    {
        printf '# First contact\n\n%s, %s, rows: %s, %s runs. %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
            "$("$program" --version)" "$scale" "$runs" "$(uname -sm)"
        section adapters Adapters
        section qualify 'Can it be trusted?'
        section check 'Is every loss right?'
        section peers 'PyTorch on the same device'
        section tune 'How the work is best cut'
        for to in bench tuned; do
            for rows in classes elements sum adamw vocabulary-f32 vocabulary-bf16 vocabulary-f16; do
                section "$to/$rows" "$to: $rows"
            done
        done
    } >"$out/summary.md.part"
    mv "$out/summary.md.part" "$out/summary.md"
}

worst=0
for part in "${chosen[@]}"; do
    [ "$part" != summary ] || continue
    if [ "$(left)" -le 0 ]; then
        say "$part: left out, $seconds s are over; run it alone: $0 $part --out $out"
        worst=1
        continue
    fi
    case $part in
        adapters) part_adapters ;;
        qualify) part_qualify ;;
        check) part_check ;;
        bench) all_rows bench ;;
        peers) part_peers ;;
        tune) part_tune ;;
        tuned) all_rows tuned --tuned ;;
    esac || worst=1
    # After each, so that it is there whenever this is cut off.
    summary
done
summary
say "written to $out, $SECONDS s; begin with summary.md"
exit "$worst"
