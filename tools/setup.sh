#!/usr/bin/env bash
# What bazelw and tools/bazel do before Bazel runs. A second call finds its stamp and does nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stamp=$root/.bazelw.stamp
inputs="$(cat "$root/tools/packages.txt" "$root/tools/setup.sh" | cksum) ${BAZEL:-bazel}"
[ "$(cat "$stamp" 2>/dev/null || true)" = "$inputs" ] && exit 0

missing_packages() {
  local package
  for package in $(sed 's/#.*//' "$root/tools/packages.txt"); do
    case $package in bazel-*) command -v "${BAZEL:-bazel}" >/dev/null && continue ;; esac
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
  done
}

if command -v dpkg-query >/dev/null; then
  missing=$(missing_packages | tr '\n' ' ')
  if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends $missing"
    if [ "$(id -u)" = 0 ]; then as_root=''
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root='sudo'
    else
      echo "bazelw: these Debian packages are missing and neither root nor a password-free sudo is there to install them. Run once:" >&2
      echo "  sudo $install" >&2
      exit 2
    fi
    echo "bazelw: installing $missing" >&2
    log=$(mktemp); trap 'rm -f "$log"' EXIT
    if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
      tail -20 "$log" >&2
      echo "bazelw: the installation failed (above: its last lines). The command was: $install" >&2
      exit 2
    fi
  fi
elif ! command -v "${BAZEL:-bazel}" >/dev/null; then
  echo "bazelw: no Bazel here and no Debian to install it from. Install Bazel and the libraries of tools/packages.txt, then call again." >&2
  exit 2
fi

# Debian's Bazel (it calls itself no_version) brings these repositories as packages and must not download them;
# a newer one reads WORKSPACE only when told to.
version=$("${BAZEL:-bazel}" --version 2>/dev/null | sed 's/^bazel //' || true)
{
  echo "# Written by tools/setup.sh for Bazel $version; not in git."
  case $version in
    no_version | 4.*)
      if [ -d /usr/share/bazel/rules/java ]; then
        echo 'common --override_repository=rules_java=/usr/share/bazel/rules/java'
        echo 'common --override_repository=rules_proto=/usr/share/bazel/rules/proto'
        echo 'common --override_repository=platforms=/usr/share/bazel/tools/platforms'
      fi ;;
    5.* | 6.*) ;;
    7.*) echo 'common --noenable_bzlmod' ;;
    *) echo 'common --noenable_bzlmod --enable_workspace' ;;
  esac
} >"$root/.bazelrc.host.$$"
mv "$root/.bazelrc.host.$$" "$root/.bazelrc.host"
echo "$inputs" >"$stamp"
