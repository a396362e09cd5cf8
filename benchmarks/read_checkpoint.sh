#!/usr/bin/env bash
# What reading 86.6 million parameters (ViT-B's names and shapes) takes in every format and dtype that weights are published in, from a warm page cache:
# (a) read() and one conversion to float32, (b) ReadCheckpoint, (c) LoadParameters. Each measurement is a process; medians of RUNS, and the highest memory.
#   benchmarks/read_checkpoint.sh [RUNS=7] [FORMAT.DTYPE ...]      safetensors, pth, legacy_pth, npz; float32, float16, bfloat16
# The files, 350 MB at a time, lie in ${TMPDIR:-/tmp}. Other work on the machine shows in (a) as well as in (c), and in their ratio.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=7
case ${1:-} in [0-9]*) runs=$1; shift ;; esac
cases=("$@")
[ $# -gt 0 ] || cases=({safetensors,pth,legacy_pth}.{float32,float16,bfloat16} npz.{float32,float16})
./bazelw build --noshow_progress //benchmarks:read_checkpoint >&2
program=bazel-bin/benchmarks/read_checkpoint
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), medians of $runs; targets: c / a at most 1.2, memory of (c) at most the tensors and 64 MB"
echo
echo '| file | MB | a: read | b: ReadCheckpoint | c: LoadParameters | c / a | memory a | b | c | tensors |'
echo '|---|---|---|---|---|---|---|---|---|---|'
for case in "${cases[@]}"; do
  file=$work/$case dtype=${case#*.}
  "$program" shapes | benchmarks/make_checkpoints.py "${case%.*}" "$dtype" "$file"
  cat "$file" >/dev/null
  for i in $(seq "$runs"); do
    "$program" read "$file" "$dtype" >>"$work/read"
    "$program" checkpoint "$file" >>"$work/checkpoint"
    "$program" load "$file" >>"$work/load"
  done
  python3 - "$work" "$case" "$(stat -c %s "$file")" <<'PYTHON'
import json, statistics, sys
work, case, size = sys.argv[1:]
a, b, c = ([json.loads(line) for line in open(f'{work}/{what}')] for what in ('read', 'checkpoint', 'load'))
seconds = [statistics.median(run['seconds'] for run in runs) for runs in (a, b, c)]
peaks = [max(run['peak_bytes'] for run in runs) / 1e6 for runs in (a, b, c)]
print(f"| {case} | {int(size) / 1e6:.0f} | {seconds[0]:.3f} s | {seconds[1]:.3f} s | {seconds[2]:.3f} s | {seconds[2] / seconds[0]:.2f} "
      f"| {peaks[0]:.0f} MB | {peaks[1]:.0f} MB | {peaks[2]:.0f} MB | {c[0]['tensor_bytes'] / 1e6:.0f} MB |")
PYTHON
  rm "$file" "$work"/{read,checkpoint,load}
done
