#!/usr/bin/env bash
# What bazelw and tools/bazel do before Bazel runs: installs missing packages and writes .bazelrc.host. A second call with the same Bazel
# finds its stamp and does nothing. Exit 2: something is missing that it may not or cannot install; stderr says what to do.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bazel=${BAZEL:-bazel}
export QWT_SETUP_DONE=1   # asking Bazel for its version runs tools/bazel, which must not come back here

fail() {
  printf 'bazelw: %s\n' "$1" "${@:2}" | sed '2,$s/^bazelw: //' >&2
  exit 2
}

bazel_version() {  # "6.5.0"; Debian's build says no_version; empty where there is no Bazel
  { cd "$root" && "$bazel" --version 2>/dev/null || true; } | sed -n 's/^bazel //p'
}

missing_packages() {  # $1: the version of the Bazel that is there
  local package
  for package in $(sed 's/#.*//' "$root/tools/packages.txt"); do
    # A Bazel of the user's own needs none of what Debian's is made of.
    case $package in bazel-*) case $1 in '' | no_version) ;; *) continue ;; esac ;; esac
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
  done
}

install_packages() {  # the packages as arguments
  local install="apt-get install -y --no-install-recommends $*" as_root='' log
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root='sudo -n'
    else
      fail 'these Debian packages are missing and neither root nor a password-free sudo is there to install them. Run once:' "  sudo $install"
    fi
  fi
  echo "bazelw: installing $*" >&2
  log=$(mktemp)
  if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $install; } </dev/null >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    fail "the installation failed (above: its last lines). The command was: $install"
  fi
  rm -f "$log"
}

cuda_signs() {  # of what decides whether --config=cuda goes into .bazelrc.host, cheap enough to look at before every build
  local nvcc=${CUDA_HOME:-/usr/local/cuda}/bin/nvcc
  [ -n "${CUDA_HOME:-}" ] || ! command -v nvcc >/dev/null || nvcc=$(command -v nvcc)
  [ -x "$nvcc" ] && [ "${QWT_CUDA:-}" != 0 ] && command -v nvidia-smi && echo "$nvcc" && echo /dev/nvidia[0-9]*
}

write_host_rc() {  # $1: Bazel's version
  {
    echo "# Written by tools/setup.sh for Bazel $1; not in git."
    case $1 in
      no_version | 4.*)
        # Debian's Bazel brings these repositories as packages and must not download them.
        if [ -d /usr/share/bazel/rules/java ]; then
          echo 'common --override_repository=rules_java=/usr/share/bazel/rules/java'
          echo 'common --override_repository=rules_proto=/usr/share/bazel/rules/proto'
          echo 'common --override_repository=platforms=/usr/share/bazel/tools/platforms'
        fi ;;
      5.* | 6.*) ;;
      7.*) echo 'common --noenable_bzlmod' ;;
      *) echo 'common --noenable_bzlmod --enable_workspace' ;;
    esac
    if [ -n "$(cuda_signs)" ] && nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
      echo 'bazelw: GPU and nvcc found: building with --config=cuda (QWT_CUDA=0 leaves it out)' >&2
      echo 'build --config=cuda'
    fi
  } >"$root/.bazelrc.host.$$"
  mv "$root/.bazelrc.host.$$" "$root/.bazelrc.host"
}

version=$(bazel_version)
inputs() { echo "$(cat "$root/tools/packages.txt" "$root/tools/setup.sh" | cksum)" $1 $(cuda_signs); }  # $1: Bazel's version
stamp=$root/.bazelw.stamp
[ -n "$version" ] && [ -f "$root/.bazelrc.host" ] && [ "$(cat "$stamp" 2>/dev/null || true)" = "$(inputs "$version")" ] && exit 0

if command -v dpkg-query >/dev/null; then
  missing=$(missing_packages "$version")
  [ -z "$missing" ] || install_packages $missing
  version=$(bazel_version)
fi
case $version in
  '') fail "no Bazel was found as '$bazel'. Install Bazel 4.2 to 8 and the libraries of tools/packages.txt, or set BAZEL to its path; then call again." ;;
  no_version | [4-8].*) ;;
  *) fail "Bazel $version does not read WORKSPACE files. Set BAZEL to the path of a Bazel 4.2 to 8 (Debian's package bazel-bootstrap is one)." ;;
esac
write_host_rc "$version"
inputs "$version" >"$stamp"
