# For the tests of scripts: expectations, and folders of fake commands to stand on PATH.
failures=0

expect_eq() {  # expect_eq WHAT ACTUAL EXPECTED
  [ "$2" = "$3" ] && return
  printf 'FAILED: %s\n--- is\n%s\n--- should be\n%s\n' "$1" "$2" "$3"
  failures=$((failures + 1))
}

# run COMMAND ...: sets $status, $out and $err.
run() {
  status=0
  "$@" >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null || status=$?
  out=$(cat "$TEST_TMPDIR/out")
  err=$(cat "$TEST_TMPDIR/err")
}

# fake FOLDER NAME: a command whose text is read from stdin.
fake() {
  rm -f "$1/$2"   # it may be a link to the machine's own
  { echo '#!/bin/bash'; cat; } >"$1/$2"
  chmod +x "$1/$2"
}

# real FOLDER NAME ...: links to the machine's own commands.
real() {
  local folder=$1 name
  shift
  for name; do ln -sf "$(type -P "$name")" "$folder/$name"; done
}

finish() {
  [ $failures = 0 ] && echo "all as expected"
  exit $((failures != 0))
}
