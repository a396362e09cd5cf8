#!/usr/bin/env bash
# third_party/libtorch/probe.sh with fake LibTorch folders and a fake python3; nothing is fetched.
set -euo pipefail
. tests/tools/check.sh

bin=$TEST_TMPDIR/bin
mkdir -p "$bin"
real "$bin" bash cp cut dirname flock grep mkdir mktemp mv realpath rm sed sha256sum touch tr
fake "$bin" uname <<<'case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac'
fake "$bin" unzip <<'EOF'
echo "unzip ${@: -3}" >>"$calls"
mkdir -p "${@: -1}/torch"
EOF
# python3 -c prints where its torch is, python3 -m pip download makes one wheel or fails.
fake "$bin" python3 <<'EOF'
if [ "$1" = -c ]; then echo "${FAKE_TORCH:-}"; exit 0; fi
echo "pip" >>"$calls"
[ -z "${FAKE_PIP_FAILS:-}" ] || { echo "pip: no network"; exit 1; }
while [ "$1" != --dest ]; do shift; done
mkdir -p "$2"; touch "$2/torch.whl"
EOF
export calls=$TEST_TMPDIR/calls
requirements=third_party/libtorch/requirements.txt

torch() {  # torch FOLDER MAJOR MINOR
  mkdir -p "$1/include/torch/headeronly" "$1/lib"
  touch "$1/lib/libtorch_cpu.so"
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n#define TORCH_VERSION_PATCH 0\n' "$2" "$3" >"$1/include/torch/headeronly/version.h"
}
probe() {
  : >"$calls"
  run env -u LIBTORCH -u QWT_CACHE PATH="$bin" HOME="$TEST_TMPDIR/home" "$@" third_party/libtorch/probe.sh $requirements ${cuda_requirements:-}
}
advice="Set LIBTORCH to the folder of a LibTorch 2.11, or unset it to have one fetched."
right=$TEST_TMPDIR/right
torch "$right" 2 11
torch "$TEST_TMPDIR/old" 2 4
torch "$TEST_TMPDIR/half" 2 11
rm "$TEST_TMPDIR/half/lib/libtorch_cpu.so"
mkdir "$TEST_TMPDIR/empty"
ln -s right "$TEST_TMPDIR/link"

# LIBTORCH is used, its real path printed, and nothing else asked.
probe LIBTORCH="$TEST_TMPDIR/link"
expect_eq "LIBTORCH" "$status $out$err" "0 $(realpath "$right")"
# LibTorch before 2.9 or so has its version elsewhere.
mkdir -p "$TEST_TMPDIR/elsewhere/include/torch/csrc/api/include/torch" "$TEST_TMPDIR/elsewhere/lib"
cp "$right/include/torch/headeronly/version.h" "$TEST_TMPDIR/elsewhere/include/torch/csrc/api/include/torch/"
touch "$TEST_TMPDIR/elsewhere/lib/libtorch_cpu.so"
probe LIBTORCH="$TEST_TMPDIR/elsewhere"
expect_eq "LIBTORCH with the other header" "$status" 0

# A wrong LIBTORCH is an error, never silently passed over.
wrong() {  # wrong FOLDER WHAT
  probe LIBTORCH="$TEST_TMPDIR/$1" FAKE_TORCH="$right"
  expect_eq "LIBTORCH: $1" "$status $out$err" "1 LIBTORCH=$TEST_TMPDIR/$1 $2.
$advice"
}
wrong old "holds LibTorch 2.4, and 2.11 is needed"
wrong half "lacks lib/libtorch_cpu.so"
wrong empty "holds no LibTorch (include/torch is looked for)"
wrong nowhere "does not exist"

# python3's torch comes next.
probe FAKE_TORCH="$right"
expect_eq "python3's torch" "$status $out$err" "0 $(realpath "$right")"

# The wheels come last, once, into the cache; a python3 torch of another version is named.
probe FAKE_TORCH="$TEST_TMPDIR/old"
cache=$TEST_TMPDIR/home/.cache/qwt/libtorch-$(sha256sum $requirements | cut -c1-16)
expect_eq "fetched" "$status $out" "0 $(realpath "$cache/torch")"
expect_eq "fetched: messages" "$err" "python3's torch is not used: $TEST_TMPDIR/old holds LibTorch 2.4, and 2.11 is needed. pip install 'torch==2.11.*' would save fetching one.
fetching LibTorch 2.11 (540 MB) into $cache"
expect_eq "fetched: pip called" "$(grep -c '^pip$' "$calls")" 1
probe
expect_eq "from the cache" "$status $out$err$(cat "$calls")" "0 $(realpath "$cache/torch")"

# A fetch that fails leaves nothing that looks whole; QWT_CACHE moves the cache.
probe QWT_CACHE="$TEST_TMPDIR/cache" FAKE_PIP_FAILS=1
expect_eq "no network: exit" "$status" 1
expect_eq "no network: message" "$(tail -1 <<<"$err")" \
  "LibTorch could not be fetched. Install it yourself (pip install 'torch==2.11.*') or set LIBTORCH to its folder."
expect_eq "no network: only the lock is left" "$(ls "$TEST_TMPDIR/cache")" libtorch.lock
fake "$bin" uname <<<'case $1 in -s) echo Linux ;; *) echo aarch64 ;; esac'
probe QWT_CACHE="$TEST_TMPDIR/cache"
expect_eq "another machine" "$status $err" \
  "1 LibTorch is fetched for Linux on x86_64 only, and this is Linux on aarch64: set LIBTORCH to the folder of a LibTorch 2.11."

# For --config=cuda a LibTorch for GPUs is needed: one for CPUs is not passed over, since the rest of the build uses it.
cuda_requirements=third_party/libtorch/requirements_cuda.txt
cpu_only="The LibTorch in $right is built for CPUs only, and --config=cuda needs lib/libtorch_cuda.so.
Install one for GPUs (pip install 'torch==2.11.*'), set LIBTORCH to its folder, or build without --config=cuda (QWT_CUDA=0 ./bazelw ...)."
probe LIBTORCH="$right"
expect_eq "CUDA: LIBTORCH for CPUs" "$status $out$err" "1 $cpu_only"
probe FAKE_TORCH="$right"
expect_eq "CUDA: python3's torch for CPUs" "$status $out$err" "1 $cpu_only"
touch "$right/lib/libtorch_cuda.so"
probe LIBTORCH="$right"
expect_eq "CUDA: LIBTORCH" "$status $out$err" "0 $(realpath "$right")"

# The libraries of CUDA are fetched beside the fetched LibTorch, once, and only where a GPU is.
fake "$bin" uname <<<'case $1 in -s) echo Linux ;; *) echo x86_64 ;; esac'
mkdir -p "$cache/torch/lib"; touch "$cache/torch/lib/libtorch_cuda.so"
probe
expect_eq "CUDA: no GPU" "$status $out$err$(cat "$calls")" "0 $(realpath "$cache/torch")"
fake "$bin" nvidia-smi <<<'echo "GPU 0: NVIDIA H100 80GB HBM3"'
probe
expect_eq "CUDA: fetched" "$status $out" "0 $(realpath "$cache/torch")"
expect_eq "CUDA: fetched: message" "$err" "fetching the libraries of CUDA (2 GB) into $cache"
expect_eq "CUDA: fetched: pip called" "$(grep -c '^pip$' "$calls")" 1
expect_eq "CUDA: LibTorch is kept" "$(ls "$cache/torch/lib")" libtorch_cuda.so
probe
expect_eq "CUDA: from the cache" "$status $out$err$(cat "$calls")" "0 $(realpath "$cache/torch")"

finish
