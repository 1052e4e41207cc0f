#!/bin/sh
# `make mutants`: one deliberate fault after another, each of which the simulator or the model must catch.
#
# Owns the scratch copy, the bounds of each hunt, and the table in mutants/README.md. A patch of mutants/
# says in its head what it breaks and who is to catch it: `sim`, or a filter of the native tests.
# Invariant: the working tree is never touched, and what is hunted is HEAD's own code but for one patch.
#
#   sh scripts/mutants.sh [NAMES]    all of them, or some, and their rows alone

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh
root=$PWD
only=$*
# The same seeds for each; a hunt that finds nothing is cut off.
runs=${MUTANT_RUNS:-6000} seconds=${MUTANT_SECONDS:-300}

target=${CARGO_TARGET_DIR:-$root/target}/mutants
tree=$target/tree
export CARGO_TARGET_DIR="$target/build"
# Hunting takes longer than building does.
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM

# A repository of its own, or git would take the patches' paths for those of the one around it.
copy() {
    rm -rf "$tree"
    mkdir -p "$tree"
    # With the present time: an older file would count as built by the run before.
    git archive HEAD | tar -xm -C "$tree"
    git init -q "$tree"
    # What hunts nothing isn't built.
    sed -n '/^\/\/!/p; /^mod \(model\|sim\|support\);/p' tests/it/main.rs >"$tree/tests/it/main.rs"
}

# The test program's path, nothing when it doesn't compile.
build() {
    (cd "$tree" && cargo test --locked --test it --no-run --message-format=short 2>&1) >"$target/build.log" || return 0
    sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$target/build.log"
}

# hunt PROGRAM CATCHER SECONDS: what it says goes to $target/hunt.log.
hunt() {
    case $2 in
    sim) filter=sim::a_campaign_breaks_nothing ;;
    *) filter=$2 ;;
    esac
    # The seeds that found something are left out: they would find what they were kept for.
    (cd "$tree" && RUST_BACKTRACE=0 SIM_FRESH=1 SIM_FIRST=1 SIM_RUNS=$runs timeout "$3" "$1" --nocapture "$filter") >"$target/hunt.log" 2>&1
}

# What broke, as table cells: who caught it, what was said, and how many runs that took.
caught() {
    awk -v catcher="$1" '
        function keep(words) {
            text = words
            # What was compared stands in the next lines.
            further = words ~ /failed$/ ? 2 : 0
        }
        function cell(text) {
            sub(/^assertion `left == right` failed:? */, "", text)
            gsub(/[|`]/, "", text)
            gsub(/  +/, " ", text)
            return length(text) > 90 ? substr(text, 1, 87) "..." : text
        }
        further > 0 && /^ *(left|right): / { text = text " " $0; further--; next }
        # Threads take the seeds in order, so the lowest one that broke is the same each time.
        catcher == "sim" && /^seed [0-9]+: / {
            if (!found || $2 + 0 < found) { found = $2 + 0; keep(substr($0, index($0, ": ") + 2)) }
            next
        }
        catcher == "sim" { next }
        says { keep($0); found = 1; says = 0; next }
        !found && /^thread .* panicked at / { split($0, parts, "\047"); test = parts[2]; says = 1 }
        found && !runs && /: in run [0-9]+$/ { runs = $NF }
        END {
            if (!found) exit 1
            if (catcher == "sim") printf "sim, seed %d | %s | %d", found, cell(text), found
            else printf "%s | %s | %s", test, cell(text), runs
        }' "$target/hunt.log"
}

# One row of the table for a mutant; 1 unless it was caught.
try() {
    name=$1
    patch=$root/mutants/$name.patch
    what=$(sed -n 's/^What: //p' "$patch")
    by=$(sed -n 's/^Caught by: //p' "$patch")
    row="| $name | $what"
    if ! git -C "$tree" apply "$patch" 2>/dev/null; then
        printf '%s | **does not apply** | | | |\n' "$row"
        return 1
    fi
    program=$(build)
    from=$(date +%s)
    failed=1
    if [ -z "$program" ]; then
        printf '%s | **does not compile** | | | |\n' "$row"
    else
        hunt "$program" "$by" "$seconds" || true
        cp "$target/hunt.log" "$target/$name.log"
        took=$(($(date +%s) - from))
        if cells=$(caught "$by"); then
            printf '%s | %s | %s |\n' "$row" "$cells" "$took"
            failed=0
        else
            printf '%s | **SURVIVED** (%s) | | | %s |\n' "$row" "$by" "$took"
        fi
    fi
    git -C "$tree" apply -R "$patch"
    return $failed
}

# The code as it is breaks nothing in as many runs, however long they take: what is found is the fault's.
control() {
    program=$(build)
    [ -n "$program" ] || fail "the tests don't compile: see $target/build.log"
    from=$(date +%s)
    for by in sim $(sed -n 's/^Caught by: \([^ ]*\).*/\1/p' mutants/*.patch | grep -v '^sim$' | sort -u); do
        hunt "$program" "$by" 1800 ||
            fail "$by fails without any fault: see $target/hunt.log"
    done
    printf '| (none) | The code as it is. | nothing | | %s | %s |\n' "$runs" "$(($(date +%s) - from))"
}

# Puts the rows between the marks of mutants/README.md, in the place of those that were there.
write() {
    awk -v rows="$target/rows" '
        /^<!-- rows -->$/ { print; while ((getline row < rows) > 0) print row; skip = 1; next }
        /^<!-- end of rows -->$/ { skip = 0 }
        !skip' mutants/README.md >"$target/README.md"
    cat "$target/README.md" >mutants/README.md
}

heading() {
    echo "| Mutant | What it breaks | Caught by | What was said | Runs | Seconds |"
    echo "|---|---|---|---|---|---|"
}

copy
if [ -n "$only" ]; then
    names=$only
    for name in $names; do
        [ -e "mutants/$name.patch" ] || fail "there is no mutants/$name.patch"
    done
    awk -v names=" $names " '/^\| / && $2 != "Mutant" && !index(names, " " $2 " ")' mutants/README.md >"$target/rows"
else
    names=$(ls mutants | sed -n 's/[.]patch$//p')
    heading
    control >"$target/rows"
    cat "$target/rows"
fi
survived=0
for name in $names; do
    try "$name" >"$target/row" || survived=$((survived + 1))
    cat "$target/row"
    cat "$target/row" >>"$target/rows"
done
heading >"$target/sorted"
LC_ALL=C sort "$target/rows" >>"$target/sorted"
mv "$target/sorted" "$target/rows"
write
[ "$survived" -eq 0 ] || fail "$survived of the mutants were not caught"
say "all were caught"
