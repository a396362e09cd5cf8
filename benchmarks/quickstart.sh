#!/usr/bin/env bash
# What a run of the quickstart takes with an empty store: seconds of the whole program and of each stage, peak memory. Medians of RUNS runs.
#   benchmarks/quickstart.sh [RUNS=3] [key.path=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=3
case ${1:-} in [0-9]*) runs=$1; shift ;; esac
./bazelw build --noshow_progress //pipelines:run >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
for i in $(seq "$runs"); do
  start=$(date +%s%N)
  bazel-bin/pipelines/run configs/quickstart.yaml "$@" --out "$work/$i" runtime.store="$work/store$i" >/dev/null
  echo $((($(date +%s%N) - start) / 1000000)) >"$work/$i/milliseconds"
done
python3 - "$work" "$runs" <<'PYTHON'
import json, statistics, sys
work, runs = sys.argv[1], int(sys.argv[2])
results = [json.load(open(f'{work}/{i}/result.json')) for i in range(1, runs + 1)]
wall = statistics.median(int(open(f'{work}/{i}/milliseconds').read()) for i in range(1, runs + 1)) / 1000
print(f"{'whole program':15} {wall:8.2f} s   median of {runs}, {results[0]['environment']['threads']} threads")
for n, stage in enumerate(results[0]['stages']):
    seconds = statistics.median(r['stages'][n]['seconds'] for r in results)
    peak = max(r['stages'][n]['peak_bytes'] for r in results)
    print(f"{stage['name']:15} {seconds:8.2f} s   {peak / 1e6:6.0f} MB")
PYTHON
