#!/usr/bin/env bash
# tools/setup.sh, bazelw and tools/bazel with fake dpkg-query, apt-get, sudo and bazel.
set -euo pipefail
. tests/tools/check.sh

repo=$TEST_TMPDIR/repo
bin=$TEST_TMPDIR/bin
state=$TEST_TMPDIR/state
install='apt-get install -y --no-install-recommends'

# A clone with nothing installed but the packages in $state/installed; apt-get logs its calls and "installs" its arguments.
fresh() {
  rm -rf "$repo" "$bin" "$state"
  mkdir -p "$repo/tools" "$bin" "$state"
  cp bazelw "$repo/"
  cp tools/setup.sh tools/bazel "$repo/tools/"
  printf '%s\n' '# comment' 'bazel-bootstrap' 'libone-dev  # why' 'libtwo-dev' >"$repo/tools/packages.txt"
  touch "$state/installed" "$state/log"
  export state
  real "$bin" bash cat chmod cksum dirname env grep mktemp mv rm sed tail
  fake "$bin" id <<<'echo "${FAKE_UID:-0}"'
  fake "$bin" dpkg-query <<<'grep -qx "${@: -1}" "$state/installed" && echo "install ok installed"'
  fake "$bin" apt-get <<'EOF'
echo "apt-get $*" >>"$state/log"
[ -z "${FAKE_APT_FAILS:-}" ] || { echo "E: no space left"; exit 100; }
[ "$1" = install ] || exit 0
for package; do
  echo "$package" >>"$state/installed"
  [ "$package" = bazel-bootstrap ] && fake_bazel=1
done
[ -z "${fake_bazel:-}" ] || { printf '#!/bin/bash\n[ "$1" = --version ] && echo "bazel no_version" || echo "ran: $*"\n' >"${0%/*}/bazel"; chmod +x "${0%/*}/bazel"; }
EOF
}
setup() { run env -u QWT_CUDA CUDA_HOME="$state/cuda" PATH="$bin" "$@" "$repo/tools/setup.sh"; }

# As root everything missing is installed, once.
fresh
setup
expect_eq "root: exit" "$status" 0
expect_eq "root: calls" "$(cat "$state/log")" "apt-get update -qq
$install bazel-bootstrap libone-dev libtwo-dev"
expect_eq "root: message" "$err" "bazelw: installing bazel-bootstrap libone-dev libtwo-dev"
expect_eq "root: rc" "$(head -1 "$repo/.bazelrc.host")" "# Written by tools/setup.sh for Bazel no_version; not in git."
touch -d '2001-01-01' "$repo/.bazelrc.host"
: >"$state/log"
setup
expect_eq "second call: output" "$status$out$err" 0
expect_eq "second call: apt-get" "$(cat "$state/log")" ""
expect_eq "second call: rc untouched" "$(stat -c %y "$repo/.bazelrc.host" | cut -c1-4)" 2001

# A new line in packages.txt, or a lost rc file, is seen.
echo libthree-dev >>"$repo/tools/packages.txt"
setup
expect_eq "another package: calls" "$(tail -1 "$state/log")" "$install libthree-dev"
rm "$repo/.bazelrc.host"
setup
expect_eq "lost rc: written again" "$(test -f "$repo/.bazelrc.host"; echo $?)" 0

# bazelw hands its arguments on.
run env PATH="$bin" "$repo/bazelw" test '//a b'
expect_eq "bazelw: runs Bazel" "$status $out" "0 ran: test //a b"

# Neither root nor sudo: the one command to run.
fresh
setup FAKE_UID=1000
expect_eq "no root: exit" "$status" 2
expect_eq "no root: message" "$err" "bazelw: these Debian packages are missing and neither root nor a password-free sudo is there to install them. Run once:
  sudo $install bazel-bootstrap libone-dev libtwo-dev"
expect_eq "no root: nothing called" "$(cat "$state/log")" ""

# A sudo that asks for a password does not count; one that does not is used.
fake "$bin" sudo <<<'exit 1'
setup FAKE_UID=1000
expect_eq "sudo with password: exit" "$status" 2
fake "$bin" sudo <<<'[ "$1" = -n ] && shift; echo sudo >>"$state/log"; exec "$@"'
real "$bin" true
setup FAKE_UID=1000
expect_eq "sudo: exit" "$status" 0
expect_eq "sudo: calls" "$(grep -c '^sudo$' "$state/log") $(tail -1 "$state/log")" "3 $install bazel-bootstrap libone-dev libtwo-dev"

# An installation that fails says how, and leaves no stamp.
fresh
setup FAKE_APT_FAILS=1
expect_eq "failed installation: exit" "$status" 2
expect_eq "failed installation: message" "$err" "bazelw: installing bazel-bootstrap libone-dev libtwo-dev
E: no space left
bazelw: the installation failed (above: its last lines). The command was: $install bazel-bootstrap libone-dev libtwo-dev"
expect_eq "failed installation: no stamp" "$(test -e "$repo/.bazelw.stamp"; echo $?)" 1

# A Bazel of the user's own: Debian's is not asked for, and each series gets the flags it knows.
rc_for() {
  fake "$bin" bazel <<<"echo 'bazel $1'"
  setup
  [ $status = 0 ] && sed 1d "$repo/.bazelrc.host" || echo "$err"
}
fresh
expect_eq "Bazel 6: rc" "$(rc_for 6.5.0)" ""
expect_eq "Bazel 6: calls" "$(tail -1 "$state/log")" "$install libone-dev libtwo-dev"
expect_eq "Bazel 7: rc" "$(rc_for 7.4.1)" "common --noenable_bzlmod"
expect_eq "Bazel 8: rc" "$(rc_for 8.0.0)" "common --noenable_bzlmod --enable_workspace"
expect_eq "Bazel 9" "$(rc_for 9.0.0)" \
  "bazelw: Bazel 9.0.0 does not read WORKSPACE files. Set BAZEL to the path of a Bazel 4.2 to 8 (Debian's package bazel-bootstrap is one)."

# A GPU and nvcc turn CUDA on, which is said once; without one of them, or with QWT_CUDA=0, it stays off.
fresh
fake "$bin" bazel <<<"echo 'bazel 6.5.0'"
printf '%s\n' libone-dev libtwo-dev >"$state/installed"
mkdir -p "$state/cuda/bin"
fake "$bin" nvidia-smi <<<'[ "$1" = -L ] && echo "GPU 0: NVIDIA H100 80GB HBM3"'
setup
expect_eq "GPU, no nvcc" "$status$out$err$(sed 1d "$repo/.bazelrc.host")" 0
fake "$state/cuda/bin" nvcc <<<''
setup
expect_eq "GPU and nvcc: message" "$status$out$err" "0bazelw: GPU and nvcc found: building with --config=cuda (QWT_CUDA=0 leaves it out)"
expect_eq "GPU and nvcc: rc" "$(sed 1d "$repo/.bazelrc.host")" "build --config=cuda"
setup
expect_eq "GPU and nvcc: second call" "$status$out$err" 0
setup QWT_CUDA=0
expect_eq "QWT_CUDA=0" "$status$out$err$(sed 1d "$repo/.bazelrc.host")" 0
fake "$bin" nvidia-smi <<<'echo "NVIDIA-SMI has failed"; exit 9'
setup
expect_eq "no GPU" "$status$out$err$(sed 1d "$repo/.bazelrc.host")" 0

# No Debian: nothing can be installed, and a Bazel must be there.
fresh
rm "$bin/dpkg-query"
setup
expect_eq "no Debian: exit" "$status" 2
expect_eq "no Debian: message" "$err" \
  "bazelw: no Bazel was found as 'bazel'. Install Bazel 4.2 to 8 and the libraries of tools/packages.txt, or set BAZEL to its path; then call again."

# Plain `bazel` comes through tools/bazel: setup runs first, once, and the real Bazel gets the arguments.
fresh
printf '%s\n' libone-dev libtwo-dev >"$state/installed"
fake "$bin" real-bazel <<<'[ "$1" = --version ] && echo "bazel 6.5.0" || echo "real: $*"'
run env PATH="$bin" BAZEL_REAL="$bin/real-bazel" "$repo/tools/bazel" build //x
expect_eq "tools/bazel: runs Bazel" "$status $out" "0 real: build //x"
expect_eq "tools/bazel: rc" "$(head -1 "$repo/.bazelrc.host")" "# Written by tools/setup.sh for Bazel 6.5.0; not in git."

finish
