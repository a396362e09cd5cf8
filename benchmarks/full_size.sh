#!/usr/bin/env bash
# All stages of published networks at full size on a CPU: seconds and peak memory of each, and the saved model's size on disk beside the reported one. Weights are
# the formula's of tests/golden/fullsize.json, images are generated noise, so no accuracy means anything. The most that a stage may take is 6 GB.
#   benchmarks/full_size.sh [NETWORK ...] [key.path=value ...]      deit_small, swin_tiny, resnet50
# Few images, to fit the time: IMAGES=calibration,fit,evaluation (8,16,16).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
networks=() overrides=()
for argument in "$@"; do case $argument in *=*) overrides+=("$argument") ;; *) networks+=("$argument") ;; esac; done
[ ${#networks[@]} -gt 0 ] || networks=(deit_small swin_tiny resnet50)
IFS=, read -r calibrate fit evaluate <<<"${IMAGES:-8,16,16}"
./bazelw build --noshow_progress //pipelines:run //benchmarks:formula_weights >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
benchmarks/make_images.py "$work/images"
echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg); images: $calibrate calibration, $fit fit, $evaluate evaluation"
echo
echo '| network | stage | seconds | peak memory | |'
echo '|---|---|---|---|---|'
for network in "${networks[@]}"; do
  bazel-bin/benchmarks/formula_weights tests/golden/fullsize.json "$network" "$work/weights.safetensors"
  IMAGENET=$work/images QWT_WEIGHTS=$work bazel-bin/pipelines/run "configs/${network}_w4a4.yaml" "model.weights=$work/weights.safetensors" "calibrate.images=$calibrate" \
    "fit.images=$fit" "evaluate.images=$evaluate" expected.of=none "runtime.store=$work/store" "${overrides[@]}" --out "$work/$network" >&2
  rm -rf "$work/store" "$work/weights.safetensors"
  python3 - "$work/$network" "$network" <<'PYTHON'
import json, os, sys
folder, network = sys.argv[1:]
result = json.load(open(f'{folder}/result.json'))
peak = 0
for stage in result['stages']:
    peak = max(peak, stage['peak_bytes'])
    print(f"| {network} | {stage['name']} | {stage['seconds']:.1f} | {stage['peak_bytes'] / 1e9:.2f} GB | |")
disk, reported = os.path.getsize(f'{folder}/model.safetensors') / 1e6, result['size_mb']['compensated']
seconds = sum(stage['seconds'] for stage in result['stages'])
print(f"| {network} | all | {seconds:.1f} | {peak / 1e9:.2f} GB | saved model {disk:.3f} MB, reported {reported:.3f} MB ({100 * (disk / reported - 1):+.2f} %) |")
sys.exit(f'{network} took {peak / 1e9:.2f} GB, more than 6' if peak > 6e9 else 0)
PYTHON
done
