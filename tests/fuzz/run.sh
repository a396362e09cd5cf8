#!/usr/bin/env bash
# Fuzzes the readers of files: builds each fuzzer with clang and runs it for SECONDS on golden files, tests/fuzz/corpus and what earlier
# runs found, which is kept with the findings in ${QWT_CACHE:-~/.cache/qwt}/fuzz.
#   tests/fuzz/run.sh [SECONDS=600] [safetensors ...]      exit 1: there are findings
#   tests/fuzz/run.sh keep [safetensors ...]               adds to tests/fuzz/corpus what reaches code that nothing there does
# A finding is run again by the command that is printed with it. Mend the reader, put the file into tests/fuzz/corpus/NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=600 keep=''
case ${1:-} in
  keep) keep=1; shift ;;
  [0-9]*) seconds=$1; shift ;;
esac
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(ls tests/fuzz | sed -n 's/_fuzzer\.cc$//p')
for target in "${targets[@]}"; do
  [ -f "tests/fuzz/${target}_fuzzer.cc" ] || { echo "run.sh: there is no tests/fuzz/${target}_fuzzer.cc" >&2; exit 2; }
done
if ! { clang --print-file-name=libclang_rt.fuzzer-x86_64.a || true; } 2>/dev/null | grep -q /; then
  echo 'run.sh: fuzzing needs clang and its runtime libraries: apt-get install clang libclang-rt-dev' >&2
  exit 2
fi

# No links: those in the workspace go on pointing at what GCC built.
labels=("${targets[@]/%/_fuzzer}")
./bazelw build --config=fuzz --symlink_prefix=/ --noshow_progress --ui_event_filters=-info "${labels[@]/#///tests/fuzz:}" >&2
bin=$(./bazelw info --config=fuzz bazel-bin 2>/dev/null)/tests/fuzz
cache=${QWT_CACHE:-$HOME/.cache/qwt}/fuzz
limits=(-timeout=1 -rss_limit_mb=2048 -malloc_limit_mb=256 -max_len=16384)
status=0
for target in "${targets[@]}"; do
  own=tests/fuzz/corpus/$target found=$cache/$target/corpus findings=$cache/$target/findings log=$cache/$target/log
  golden=tests/golden/checkpoints
  case $target in
    image) golden=tests/golden/transforms ;;
    tar | ground_truth) golden='' ;;
  esac
  mkdir -p "$found" "$findings" "$own"
  if [ "$keep" ]; then
    # A merge adds to its first folder what reaches more than the files that lie there already.
    known=$(mktemp -d) small=$(mktemp -d)
    cp -r $golden "$own" "$known/"
    find "$found" -type f -size -5 -exec cp -t "$small" {} +   # at most 2 KB
    "$bin/${target}_fuzzer" -merge=1 -use_counters=0 "${limits[@]}" "$known" "$small" 2>"$log"
    find "$known" -maxdepth 1 -type f -exec mv -t "$own" {} +
    rm -rf "$known" "$small"
    echo "$target: $(ls "$own" | wc -l) files, $(du -bs "$own" | cut -f1) bytes in $own"
    continue
  fi
  before=$(ls "$findings" | wc -l)
  "$bin/${target}_fuzzer" -max_total_time="$seconds" -print_final_stats=1 -dict="tests/fuzz/${target##*_}.dict" -artifact_prefix="$findings/" "${limits[@]}" \
    "$found" "$own" $golden >"$log" 2>&1 || true
  new=$(($(ls "$findings" | wc -l) - before))
  printf '%-12s %9s executions, %s/s, coverage %s, corpus %s, findings %d\n' "$target" \
    "$(sed -n 's/stat::number_of_executed_units: *//p' "$log")" "$(sed -n 's/stat::average_exec_per_sec: *//p' "$log")" \
    "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)" "$(sed -n 's/.* corp: \([^ ]*\) .*/\1/p' "$log" | tail -1)" "$new"
  # It ends by itself when its time is over, and then says Done.
  if [ "$new" -gt 0 ] || ! grep -q '^Done' "$log"; then
    status=1
    grep -m1 -A12 'ERROR: \|BROKEN\|runtime error' "$log" || tail -5 "$log"
    ls -t "$findings" | head -n "$new" | sed "s|^|  $bin/${target}_fuzzer ${limits[*]} $findings/|"
  fi
done
exit $status
