#!/usr/bin/env bash
# The kernels' tests under compute-sanitizer: memcheck, racecheck and initcheck, each with its log in OUT (default: a new folder under TMPDIR).
#   tests/gpu/sanitize.sh [--tools memcheck,racecheck,initcheck] [--tests integer_gpu_test,convolution_gpu_test,quantizer_gpu_test] [--filter GTEST_FILTER] [--out OUT]
# Runs in the repository after ./bazelw build --config=cuda //tests/gpu:all, and in an unpacked //tests/gpu:bundle. COMPUTE_SANITIZER names the program if it is not on PATH.
# Exit code 1: a tool reported something, or a test failed.
set -euo pipefail
tools=memcheck,racecheck,initcheck
tests=integer_gpu_test,convolution_gpu_test,quantizer_gpu_test
filter='*'
out=
while [ $# -gt 0 ]; do
  case $1 in
    --tools) tools=$2 ;;
    --tests) tests=$2 ;;
    --filter) filter=$2 ;;
    --out) out=$2 ;;
    *) echo "sanitize.sh: '$1' is unknown; there are --tools, --tests, --filter and --out" >&2; exit 2 ;;
  esac
  shift 2
done
out=${out:-$(mktemp -d "${TMPDIR:-/tmp}/qwt_sanitize.XXXXXX")}
mkdir -p "$out"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sanitizer=${COMPUTE_SANITIZER:-compute-sanitizer}

# Every tensor its own piece of memory: LibTorch's allocator hands out parts of larger pieces, whose neighbours memcheck takes for the tensor and whose former
# contents initcheck takes for written.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1

failed=0
for tool in ${tools//,/ }; do
  # Of LibTorch's kernels only what initcheck must know: what they write, copies back to the host read.
  options=()
  [ "$tool" = initcheck ] || options=(--kernel-name kns=qwt)
  for test in ${tests//,/ }; do
    program=bazel-bin/tests/gpu/$test
    [ ! -e "qwt-$test" ] || program=./qwt-$test
    log=$out/$tool-$test.log
    echo "$tool $test"
    status=0
    "$sanitizer" --target-processes all --tool "$tool" "${options[@]}" --error-exitcode 1 --print-limit 1000 --log-file "$log" "$program" "--gtest_filter=$filter" >"$out/$tool-$test.out" 2>&1 || status=$?
    grep -sE '^=+ (ERROR|RACECHECK) SUMMARY' "$log" || echo "no summary in $log"
    [ "$status" = 0 ] && continue
    failed=1
    echo "exit code $status; kernels that reports name:"
    grep -sEo '(at |in )[^ ]*(qwt|at::)[^(<]*' "$log" | sort | uniq -c | sort -rn | head -20 || true
    grep -E 'FAILED|Failure' "$out/$tool-$test.out" | head -5 || true
  done
done
echo "$out"
exit $failed
