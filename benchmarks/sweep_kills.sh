#!/usr/bin/env bash
# Kills a sweep with SIGKILL at random moments until it has been killed KILLS times, each time with the same command again, and once more to its
# end; does that ROUNDS times, each with an empty store. Exit code 1 where tables (sweep.json, table.csv, table.md) are not byte for byte those
# of a sweep that nobody stopped.
#   benchmarks/sweep_kills.sh [KILLS=20] [ROUNDS=1] [MANIFEST=experiments/demo_sweep.yaml] [key.path=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kills=20 rounds=1 manifest=experiments/demo_sweep.yaml
case ${1:-} in [0-9]*) kills=$1; shift ;; esac
case ${1:-} in [0-9]*) rounds=$1; shift ;; esac
case ${1:-} in *.yaml) manifest=$1; shift ;; esac
./bazelw build --noshow_progress //experiments:sweep >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
sweep() { exec bazel-bin/experiments/sweep "$manifest" "${@:2}" --out="$work/$1/out" runtime.store="$work/$1/store"; }
tables() { (cd "$work/$1/out" && cat sweep.json table.csv table.md); }
start=$(date +%s%N)
(sweep whole "$@") >"$work/log"
milliseconds=$((($(date +%s%N) - start) / 1000000))
echo "a sweep that nobody stops takes $milliseconds ms"
status=0
for round in $(seq "$rounds"); do
  # Moments over the whole of what is left: each attempt goes on where the last one was.
  for i in $(seq "$kills"); do
    (sweep "$round" "$@") >"$work/log" 2>&1 & pid=$!
    moment=$((RANDOM * 32768 + RANDOM)); moment=$((moment % (2 * milliseconds / kills + 500)))
    sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
    kill -KILL $pid 2>/dev/null && echo "round $round, kill $i after $moment ms: $(grep -c '"status": "ok"' "$work/$round/out/sweep.json" || true) runs are done" || echo "round $round, kill $i: it was over before"
    wait $pid 2>/dev/null || true
  done
  (sweep "$round" "$@") >"$work/log"
  tail -n 1 "$work/log"
  if cmp <(tables whole) <(tables "$round"); then echo "round $round: the same tables"; else status=1; fi
done
exit $status
