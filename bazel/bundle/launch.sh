#!/usr/bin/env bash
# Starts the program of the bundle that this file is named after (qwt-run: bin/run), with the LibTorch of this machine:
# the folder that LIBTORCH names, else python3's torch. A config that is not found where you stand is one of the bundle's.
#   ./qwt-run configs/quickstart.yaml [key.path=value ...] [--nproc=N]      ./qwt-run --help
set -euo pipefail
self=$(readlink -f "${BASH_SOURCE[0]}")
here=${self%/*} program=${self##*/qwt-}
. "$here/bin/find.sh"
glibc='@GLIBC@'   # the oldest that has all that the programs and their libraries ask for
cuda='@CUDA@'     # 1: built with --config=cuda

fail() {  # fail LINE ...
  echo "qwt-$program: $1" >&2
  shift
  [ $# = 0 ] || printf '%s\n' "$@" >&2
  exit 2
}

there=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
if [ "$(printf '%s\n' "$glibc" "$there" | sort -V | head -1)" != "$glibc" ]; then
  fail "glibc $glibc or newer is needed, and this machine has ${there:-another C library}." \
    "Build the bundle on a system that is as old as this one, or run it in a container of a newer one."
fi

advice="Install one (pip install 'torch==$supported.*') or set LIBTORCH to the folder of a LibTorch $supported."
if [ -n "${LIBTORCH:-}" ]; then
  libtorch=$LIBTORCH
  name="LIBTORCH=$libtorch"
else
  libtorch=$(torch_of_python)
  name="python3's torch in $libtorch"
  [ -n "$libtorch" ] || fail "no LibTorch was found: LIBTORCH is not set and python3 has no torch." "$advice"
fi
wrong=$(what_is_wrong_with "$libtorch")
[ -z "$wrong" ] || fail "$name $wrong." "$advice"
if [ "$cuda" = 1 ] && [ ! -f "$libtorch/lib/libtorch_cuda.so" ]; then
  fail "$name is for CPUs only, and this bundle was built for GPUs." \
    "Install a LibTorch $supported for CUDA (pip install 'torch==$supported.*'), or take a bundle that was built without --config=cuda."
fi

libtorch=$(realpath "$libtorch")
path=$here/lib:$libtorch/lib
for folder in "${libtorch%/*}"/nvidia/*/lib; do [ ! -d "$folder" ] || path+=:$folder; done
export LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# The loader says what it would load instead of starting the program: what ldd does.
if missing=$(LD_TRACE_LOADED_OBJECTS=1 "$here/bin/$program" 2>&1 | grep 'not found'); then
  fail "bin/$program with $name lacks these libraries:" "$(sed 's/^[[:space:]]*/  /' <<<"$missing" | sort -u)" \
    "A torch wheel and what pip installs with it have all of them (pip install 'torch==$supported.*'); LD_LIBRARY_PATH names more folders to look in."
fi

export QWT_HOME=${QWT_HOME:-$here}
if [ $# -gt 0 ] && [ ! -e "$1" ] && [ -f "$here/$1" ]; then set -- "$here/$1" "${@:2}"; fi
exec "$here/bin/$program" "$@"
