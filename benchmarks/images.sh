#!/usr/bin/env bash
# What decoding and preparing 2,000 generated JPEGs of 500 x 375 pixels takes: libjpeg-turbo's own tjbench (the limit), this project's decoder, its whole
# evaluation transform, its loader on all cores, the crop cache, and Pillow with torchvision on the same cores. From a warm page cache; medians of RUNS.
#   benchmarks/images.sh [RUNS=3] [IMAGES=2000]
# tjbench is in Debian's libjpeg-turbo-progs. PYTHON names an interpreter with torch, torchvision and pillow (default python3); without them that line is
# left out. The files, 110 KB each, and the crops, 150 KB each, lie in ${TMPDIR:-/tmp}.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
runs=${1:-3} images=${2:-2000} cores=$(nproc) python=${PYTHON:-python3}
command -v tjbench >/dev/null || { echo "benchmarks/images.sh: tjbench is missing; install Debian's libjpeg-turbo-progs" >&2; exit 2; }
./bazelw build --noshow_progress //benchmarks:images >&2
program=bazel-bin/benchmarks/images
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
"$program" make "$work/images" "$images"
cat "$work"/images/val/class/*.jpg >/dev/null

tjbench_once() {  # images a second over the files: each decoded for 10 ms at least, after one warm-up
  for file in "$work"/images/val/class/*.jpg; do tjbench "$file" -quiet -rgb -nowrite -benchtime 0.01 -warmup 0.003; done |
    awk '/^RGB/ { seconds += 500 * 375 / 1e6 / $NF; count++ } END { printf "{\"images\": %d, \"images_per_second\": %.1f}\n", count, count / seconds }'
}

with_torchvision=1
"$python" -c 'import torch, torchvision' 2>/dev/null || { with_torchvision=0; echo "no torch and torchvision for $python: left out" >&2; }
for i in $(seq "$runs"); do
  tjbench_once >>"$work/tjbench"
  "$program" decode "$work/images" >>"$work/decode"
  "$program" transform "$work/images" >>"$work/transform"
  "$program" loader "$work/images" "$cores" >>"$work/loader"
  [ $with_torchvision = 0 ] || "$python" benchmarks/images_torchvision.py "$work/images" "$cores" >>"$work/torchvision"
  "$program" cache "$work/images" "$cores" "$work/store$i" >>"$work/cache"
  rm -rf "$work/store$i"
done
echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $images images of $(($(du -sb "$work/images/val/class" | cut -f1) / images / 1000)) KB, medians of $runs"
echo
python3 - "$work" "$cores" <<'PYTHON'
import json, os, statistics, sys
work, cores = sys.argv[1], int(sys.argv[2])
def rate(what):
    path = f'{work}/{what}'
    if not os.path.exists(path): return None
    return statistics.median(json.loads(line)['images_per_second'] for line in open(path))
limit, decode, transform, loader, cache, torchvision = map(rate, ('tjbench', 'decode', 'transform', 'loader', 'cache', 'torchvision'))
print('| | images/s | against |\n|---|---|---|')
print(f'| tjbench, decoding alone, one core | {limit:.0f} | |')
print(f'| decoding alone, one core | {decode:.0f} | {decode / limit:.2f} of tjbench |')
print(f'| reading, decoding, whole evaluation transform, one core | {transform:.0f} | {transform / limit:.2f} of tjbench (at least 0.6) |')
print(f'| the same in the loader, {cores} cores | {loader:.0f} | |')
if torchvision: print(f'| Pillow and torchvision, {cores} cores | {torchvision:.0f} | the loader is {loader / torchvision:.2f} times as fast (at least 1.5) |')
print(f'| the loader from the crop cache, mapped anew, {cores} cores | {cache:.0f} | {cache / loader:.1f} times the loader (at least 10) |')
PYTHON
