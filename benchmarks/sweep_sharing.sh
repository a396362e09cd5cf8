#!/usr/bin/env bash
# What sweeps take beside one run of them, each with an empty store: images that ran through the network in fit, and seconds.
#   sums: 5 ridges and 3 gates, which solve from the same sums. values: 5 fractions of images kept aside, whose sums differ over the same values between blocks; `values_again` is the same sweep with nothing kept.
# On 8,192 images by formula: the embedded example has 512, on which starting fifteen processes takes longer than the fit. Exit code 1 where a sweep's fits ran more images than the one run's, where the sums took more than 1.5 times its time in all, or the values longer than computing them again.
#   benchmarks/sweep_sharing.sh [key.path=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./bazelw build --noshow_progress //experiments:sweep >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
sweep() {  # NAME GRID [key.path=value ...]: in milliseconds, with its folders
  local name=$1 grid=$2 start; shift 2
  printf 'name: %s\nbase: %s/configs/quickstart.yaml\nset: {dataset: {name: generated, preset: fashion_mnist, side: 28, classes: 10, train_images: 8192, images: 64}, fit.images: 8192, fit.prefix: quantized, evaluate.images: 64}\ngrid: {%s}\n' \
    "$name" "$PWD" "$grid" >"$work/$name.yaml"
  start=$(date +%s%N)
  bazel-bin/experiments/sweep "$work/$name.yaml" "$@" --out="$work/$name" runtime.store="$work/store_$name" >&2
  echo $((($(date +%s%N) - start) / 1000000)) >"$work/$name.milliseconds"
  rm -rf "$work/store_$name"
}
sweep one 'fit.ridge: [1], fit.gate: [in_sample]' "$@"
sweep sums 'fit.ridge: [0, 1, 10, 100, 1000], fit.gate: [in_sample, held_out, always]' "$@"
fractions='fit.gate: [held_out], fit.held_out_fraction: [0.125, 0.2, 0.25, 0.375, 0.5]'
sweep values "$fractions" "$@"
sweep values_again "$fractions" "$@" runtime.stored_cache_bytes=0
python3 - "$work" <<'PYTHON'
import glob, json, sys
work = sys.argv[1]
seconds, images = {}, {}
for name in ('one', 'sums', 'values', 'values_again'):
    results = [json.load(open(path)) for path in glob.glob(f'{work}/{name}/runs/*/result.json')]
    fits = [stage for result in results for stage in result['stages'] if stage['name'] == 'fit']
    seconds[name] = int(open(f'{work}/{name}.milliseconds').read()) / 1000
    images[name] = sum(stage['forward_images'] for stage in fits)
    print(f"{name:12} {len(results):3} runs {seconds[name]:8.2f} s, of which fits {sum(stage['seconds'] for stage in fits):8.2f} s   {images[name]:6} images through the network in fit")
print(f"sums: {seconds['sums'] / seconds['one']:.2f} times one run; values: {seconds['values'] / seconds['values_again']:.2f} times computing them again")
sys.exit(max(images['sums'], images['values']) > images['one'] or seconds['sums'] > 1.5 * seconds['one'] or seconds['values'] > seconds['values_again'])
PYTHON
