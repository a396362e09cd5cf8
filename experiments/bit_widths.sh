#!/usr/bin/env bash
# The embedded network at every bit width from W2/A2 to W8/A8 on all 10,000 test images, as a Markdown table on stdout.
# Stages that a store already has are not run again.
#   experiments/bit_widths.sh [key.path=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./bazelw build --noshow_progress //pipelines:run >&2
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
for bits in 8 7 6 5 4 3 2; do
  bazel-bin/pipelines/run configs/quickstart.yaml "name=w${bits}a${bits}" "quantize.weight_bits=$bits" \
    "quantize.activation_bits=$bits" evaluate.images=0 "$@" --out "$work/$bits" >&2
done
python3 - "$work" <<'PYTHON'
import json, sys
print('| bits | float | quantised | + QwT | gain | size | with QwT |')
print('|---|---|---|---|---|---|---|')
for bits in (8, 7, 6, 5, 4, 3, 2):
    result = json.load(open(f'{sys.argv[1]}/{bits}/result.json'))
    top1 = {model: score['top1'] for model, score in result['evaluation'].items()}
    size = result['size_mb']
    print(f"| W{bits}/A{bits} | {top1['float']:.2f} | {top1['quantized']:.2f} | {top1['compensated']:.2f} "
          f"| {top1['compensated'] - top1['quantized']:+.2f} | {size['quantized']:.3f} MB | {size['compensated']:.3f} MB |")
PYTHON
