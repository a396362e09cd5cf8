#!/usr/bin/env bash
# Formats the tracked C++ files with clang-format 14 (versions differ in what they do). --check: changes nothing, exit 1 if something would change.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
format=$(command -v clang-format-14 || true)
if [ -z "$format" ]; then
  case $(clang-format --version 2>/dev/null || true) in
    *' version 14.'*) format=clang-format ;;
    *) echo "format.sh: clang-format 14 is needed: apt-get install clang-format-14" >&2; exit 2 ;;
  esac
fi
options=(-i)
case ${1:-} in
  '') ;;
  --check) options=(--dry-run --Werror) ;;
  *) echo "format.sh: '$1' is unknown; there is only --check" >&2; exit 2 ;;
esac
git ls-files -z '*.h' '*.cc' | xargs -0 -r "$format" "${options[@]}"
