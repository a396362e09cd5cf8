#!/usr/bin/env bash
# Finds a LibTorch this project can use and prints its folder (the one with include/ and lib/) as the last line.
# Order: $LIBTORCH, then python3's torch, then the wheels of requirements.txt, unpacked once into the cache.
#   probe.sh REQUIREMENTS [CUDA_REQUIREMENTS]     exit 0 and the folder, or 1 and on stderr what was wrong and what to do
# With CUDA_REQUIREMENTS it must be one for GPUs too. Where a GPU is, the fetched one then gets the libraries of CUDA beside it.
set -euo pipefail
requirements=$1 cuda_requirements=${2:-}
. "$(dirname "${BASH_SOURCE[0]}")/find.sh"

use() {  # ends with folder $1
  if [ -n "$cuda_requirements" ] && [ ! -f "$1/lib/libtorch_cuda.so" ]; then
    echo "The LibTorch in $1 is built for CPUs only, and --config=cuda needs lib/libtorch_cuda.so." >&2
    echo "Install one for GPUs (pip install 'torch==$supported.*'), set LIBTORCH to its folder, or build without --config=cuda (QWT_CUDA=0 ./bazelw ...)." >&2
    exit 1
  fi
  realpath "$1"; exit 0
}

fetch() {  # fetch WHAT REQUIREMENTS FOLDER: unpacks the wheels into FOLDER
  local wheels=$3.wheels wheel tool
  if [ "$(uname -s) $(uname -m)" != 'Linux x86_64' ]; then
    echo "LibTorch is fetched for Linux on x86_64 only, and this is $(uname -s) on $(uname -m): set LIBTORCH to the folder of a LibTorch $supported." >&2
    exit 1
  fi
  for tool in python3 unzip; do
    command -v $tool >/dev/null || { echo "LibTorch cannot be fetched without $tool: run ./bazelw, which installs it, or set LIBTORCH." >&2; exit 1; }
  done
  echo "fetching $1 into $target" >&2
  if ! python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --implementation cp --abi cp311 \
      $(printf -- '--platform manylinux_2_%s_x86_64 ' 28 27 26 25 18 17 12 5) --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 \
      --platform manylinux1_x86_64 --require-hashes --requirement "$2" --dest "$wheels" >&2; then
    echo "LibTorch could not be fetched. Install it yourself (pip install 'torch==$supported.*') or set LIBTORCH to its folder." >&2
    exit 1
  fi
  for wheel in "$wheels"/*.whl; do unzip -q -o "$wheel" -d "$3"; done
  rm -rf "$wheels"
}

if [ -n "${LIBTORCH:-}" ]; then
  wrong=$(what_is_wrong_with "$LIBTORCH")
  if [ -n "$wrong" ]; then
    echo "LIBTORCH=$LIBTORCH $wrong." >&2
    echo "Set LIBTORCH to the folder of a LibTorch $supported, or unset it to have one fetched." >&2
    exit 1
  fi
  use "$LIBTORCH"
fi

found=$(torch_of_python)
if [ -n "$found" ]; then
  wrong=$(what_is_wrong_with "$found")
  if [ -z "$wrong" ]; then use "$found"; fi
  echo "python3's torch is not used: $found $wrong. pip install 'torch==$supported.*' would save fetching one." >&2
fi

cache=${QWT_CACHE:-${HOME:?HOME or QWT_CACHE must be set}/.cache/qwt}
target=$cache/libtorch-$(sha256sum "$requirements" | cut -c1-16)
cuda_complete=
if [ -n "$cuda_requirements" ] && nvidia-smi -L 2>/dev/null | grep -q ^GPU; then
  cuda_complete=$target/complete-cuda-$(sha256sum "$cuda_requirements" | cut -c1-16)
fi
if [ ! -f "$target/complete" ] || [ -n "$cuda_complete" ] && [ ! -f "$cuda_complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/libtorch.lock"; flock 9   # two builds at once fetch once
  work=$(mktemp -d "$cache/libtorch.XXXXXX"); trap 'rm -rf "$work"' EXIT
fi
if [ ! -f "$target/complete" ]; then
  fetch "LibTorch $supported (540 MB)" "$requirements" "$work/tree"
  rm -rf "$target"; touch "$work/tree/complete"; mv "$work/tree" "$target"
fi
if [ -n "$cuda_complete" ] && [ ! -f "$cuda_complete" ]; then
  fetch 'the libraries of CUDA (2 GB)' "$cuda_requirements" "$work/cuda"
  cp -r --link "$work/cuda/." "$target"; touch "$cuda_complete"
fi
use "$target/torch"
