#!/usr/bin/env bash
# Speed on GPUs (or the CPU, with small numbers): stages, forward passes, integers beside bfloat16, one GPU against several, and decoding. Prints one text of tables and leaves the same
# figures in OUT/results.json; docs/performance.md says what they mean. Runs in the repository, which it builds, and in an unpacked //benchmarks/gpu:bundle.
#   benchmarks/gpu/run.sh [--networks deit_small,swin_tiny] [--steps stages,forward,integer,scaling,decode] [--gpus 1,2] [--budget SECONDS] …     (--help has all)
# Every piece can be run alone; figures join those that OUT/results.json has.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
if [ ! -e qwt-run ]; then
  ./bazelw build --noshow_progress //pipelines:run //benchmarks:{compare_tensors,formula_weights,forward,images} >&2
fi
exec python3 -B "$here/measure.py" "$@"
