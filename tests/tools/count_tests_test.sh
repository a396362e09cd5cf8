#!/usr/bin/env bash
# tools/count_tests.py on event files as Bazel writes them.
set -euo pipefail
. tests/tools/check.sh

events=$TEST_TMPDIR/events.json
configured() { echo "{\"id\":{\"targetConfigured\":{\"label\":\"$1\"}},\"configured\":{\"targetKind\":\"cc_test rule\",\"testSize\":\"SMALL\"}}"; }
completed() { echo "{\"id\":{\"targetCompleted\":{\"label\":\"$1\"}},\"completed\":{\"success\":true}}"; }
result() {  # result LABEL ATTEMPT XML
  echo "$3" >"$TEST_TMPDIR/${1//[^a-z]/_}$2.xml"
  echo "{\"id\":{\"testResult\":{\"label\":\"$1\",\"run\":1,\"shard\":1,\"attempt\":$2}},\"testResult\":{\"testActionOutput\":[{\"name\":\"test.log\",\"uri\":\"file:///x\"},{\"name\":\"test.xml\",\"uri\":\"file://$TEST_TMPDIR/${1//[^a-z]/_}$2.xml\"}]}}"
}
summary() { echo "{\"id\":{\"testSummary\":{\"label\":\"$1\"}},\"testSummary\":{\"overallStatus\":\"$2\"}}"; }
good='<testsuites><testsuite><testcase name="a"/><testcase name="b"/></testsuite></testsuites>'
mixed='<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure message="x"/></testcase><testcase name="c" result="skipped"><skipped/></testcase></testsuite></testsuites>'
count() { run tools/count_tests.py "$events" "$@"; }

{ configured //a:good; completed //a:good; result //a:good 1 "$good"; summary //a:good PASSED; } >"$events"
count
expect_eq "all passed" "$status $out$err" "0 2 passed, 0 failed, 0 skipped"
count --extra_failures=1
expect_eq "the quickstart failed" "$status $out" "1 2 passed, 1 failed, 0 skipped"
count --bazel_exit=37
expect_eq "Bazel broke down" "$status $out" "1 2 passed, 1 failed, 0 skipped"

{ result //a:mixed 1 "$mixed"; summary //a:mixed FAILED; } >>"$events"
count --bazel_exit=3
expect_eq "cases are counted" "$status $out $err" "1 3 passed, 1 failed, 1 skipped failed: //a:mixed: FAILED"

# A flaky test counts by its last attempt; a crash without a failed case and a broken build are one failure each; NO STATUS is skipped.
{
  result //a:flaky 2 "$good"; result //a:flaky 1 "$mixed"; summary //a:flaky FLAKY
  result //a:crash 1 "not xml"; summary //a:crash TIMEOUT
  configured //a:unbuilt; echo '{"id":{"targetCompleted":{"label":"//a:unbuilt"}},"completed":{}}'; summary //a:unbuilt NO_STATUS
  echo '{"id":{"targetCompleted":{"label":"//a:library"}},"aborted":{"reason":"ANALYSIS_FAILURE"}}'
  echo '{"id":{"pattern":{"pattern":["//nosuch"]}},"aborted":{"reason":"LOADING_FAILURE","description":"no such package"}}'
  configured //a:late
} >"$events"
count --bazel_exit=1
expect_eq "kinds of failure" "$status $out" "1 2 passed, 4 failed, 1 skipped"
expect_eq "kinds of failure: messages" "$err" "failed: //a:crash: TIMEOUT
failed: //a:library: ANALYSIS_FAILURE
failed: //a:unbuilt: it did not build
failed: //nosuch: no such package"

# Bazel that fails early writes nothing, or half a line.
rm "$events"
count --bazel_exit=2
expect_eq "no events" "$status $out" "1 0 passed, 1 failed, 0 skipped"
echo -n '{"id":{"star' >"$events"
count
expect_eq "nothing ran" "$status $out$err" "1 0 passed, 0 failed, 0 skippedno test ran"

finish
