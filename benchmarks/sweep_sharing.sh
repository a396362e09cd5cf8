#!/usr/bin/env bash
# What a sweep over 5 ridges and 3 gates takes beside one run of them, each with an empty store: images that ran through the network in fit,
# and seconds. On 8,192 images by formula: the embedded example has 512, on which starting fifteen processes takes longer than the fit. Exit code 1 where the sweep's fits ran more images than the one run's, or took more than 1.5 times its time in all.
#   benchmarks/sweep_sharing.sh [key.path=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./bazelw build --noshow_progress //experiments:sweep >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
manifest() {  # NAME RIDGES GATES
  printf 'name: %s\nbase: %s/configs/quickstart.yaml\nset: {dataset: {name: generated, preset: fashion_mnist, side: 28, classes: 10, train_images: 8192, images: 64}, fit.images: 8192, fit.prefix: quantized, evaluate.images: 64}\ngrid: {fit.ridge: %s, fit.gate: %s}\n' \
    "$1" "$PWD" "$2" "$3" >"$work/$1.yaml"
}
manifest one '[1]' '[in_sample]'
manifest all '[0, 1, 10, 100, 1000]' '[in_sample, held_out, always]'
for name in one all; do
  start=$(date +%s%N)
  bazel-bin/experiments/sweep "$work/$name.yaml" "$@" --out="$work/$name" runtime.store="$work/store_$name" >&2
  echo $((($(date +%s%N) - start) / 1000000)) >"$work/$name.milliseconds"
done
python3 - "$work" <<'PYTHON'
import glob, json, sys
work = sys.argv[1]
seconds, images = {}, {}
for name in ('one', 'all'):
    results = [json.load(open(path)) for path in glob.glob(f'{work}/{name}/runs/*/result.json')]
    seconds[name] = int(open(f'{work}/{name}.milliseconds').read()) / 1000
    images[name] = sum(stage['forward_images'] for result in results for stage in result['stages'] if stage['name'] == 'fit')
    print(f"{len(results):3} runs {seconds[name]:8.2f} s   {images[name]} images through the network in fit")
print(f"{seconds['all'] / seconds['one']:.2f} times one run")
sys.exit(images['all'] > images['one'] or seconds['all'] > 1.5 * seconds['one'])
PYTHON
