#!/usr/bin/env python3
"""Counts the test cases of one `bazel test` from the events it wrote (--build_event_json_file) and the test.xml files they name.

Prints what failed on stderr and "N passed, N failed, N skipped" as the last line. A case of a GoogleTest counts once, and so does a test of
another kind. A target that failed without a failed case (it did not build, crashed, ran out of time) is one failure; one that Bazel did
not get to (NO STATUS) is skipped. Exit 0 only if nothing failed, something passed and Bazel itself ended well.
"""

import argparse
import json
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


def read_events(path):
    """The events, up to a line that a killed Bazel left half written."""
    events = []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    events.append(json.loads(line))
                except json.JSONDecodeError:
                    break
    except FileNotFoundError:
        pass
    return events


def cases_of(uri):
    """(passed, failed, skipped) of one test.xml; zeros where it cannot be read."""
    counts = [0, 0, 0]
    try:
        tree = ElementTree.parse(urllib.parse.unquote(urllib.parse.urlparse(uri).path))
    except (OSError, ElementTree.ParseError):
        return counts
    for case in tree.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts[1] += 1
        elif case.find("skipped") is not None or case.get("status") == "notrun" or case.get("result") == "skipped":
            counts[2] += 1
        else:
            counts[0] += 1
    return counts


class Target:
    def __init__(self):
        self.is_test = False
        self.failed_to_build = ""
        self.status = None
        self.attempts = {}  # (run, shard) -> (attempt, uri of its test.xml): the last attempt counts


def targets_of(events):
    targets = {}

    def target(label):
        return targets.setdefault(label, Target())

    for event in events:
        identity = event.get("id", {})
        if "targetConfigured" in identity and "testSize" in event.get("configured", {}):
            target(identity["targetConfigured"]["label"]).is_test = True
        elif "targetCompleted" in identity:
            entry = target(identity["targetCompleted"]["label"])
            aborted = event.get("aborted")
            if aborted and aborted.get("reason") not in ("SKIPPED", "NO_BUILD", "USER_INTERRUPTED"):
                entry.failed_to_build = aborted.get("description") or aborted.get("reason", "aborted")
            elif not aborted and not event.get("completed", {}).get("success", False):
                entry.failed_to_build = "it did not build"
        elif "pattern" in identity and "aborted" in event:
            target(" ".join(identity["pattern"].get("pattern", ["?"]))).failed_to_build = event["aborted"].get("description", "aborted")
        elif "testResult" in identity:
            result = identity["testResult"]
            entry = target(result["label"])
            entry.is_test = True
            shard = (result.get("run", 1), result.get("shard", 1))
            uri = next((o.get("uri", "") for o in event.get("testResult", {}).get("testActionOutput", []) if o.get("name") == "test.xml"), "")
            if result.get("attempt", 1) >= entry.attempts.get(shard, (0, ""))[0]:
                entry.attempts[shard] = (result.get("attempt", 1), uri)
        elif "testSummary" in identity:
            entry = target(identity["testSummary"]["label"])
            entry.is_test = True
            entry.status = event.get("testSummary", {}).get("overallStatus", "NO_STATUS")
    return targets


def count(targets):
    """(passed, failed, skipped) and a line for each target that failed."""
    total, problems = [0, 0, 0], []
    for label, target in sorted(targets.items()):
        cases = [0, 0, 0]
        if target.failed_to_build or target.status == "FAILED_TO_BUILD":
            cases[1] = 1
            problems.append(f"{label}: {target.failed_to_build or 'it did not build'}")
        elif not target.is_test:
            continue
        elif target.status in (None, "NO_STATUS"):
            cases[2] = 1
        else:
            for _, uri in target.attempts.values():
                cases = [sum(pair) for pair in zip(cases, cases_of(uri))]
            passed = target.status in ("PASSED", "FLAKY")
            if passed and sum(cases) == 0:
                cases[0] = 1  # a test that writes no test.xml
            if not passed:
                cases[1] = max(cases[1], 1)
                problems.append(f"{label}: {target.status}")
        total = [sum(pair) for pair in zip(total, cases)]
    return total, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events")
    parser.add_argument("--bazel_exit", type=int, default=0)
    parser.add_argument("--extra_failures", type=int, default=0)
    arguments = parser.parse_args()
    (passed, failed, skipped), problems = count(targets_of(read_events(arguments.events)))
    if arguments.bazel_exit != 0 and failed == 0:
        failed = 1
        problems.append(f"bazel: exit {arguments.bazel_exit} before it could name what failed")
    failed += arguments.extra_failures
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    sys.stderr.flush()
    if passed == 0 and failed == 0:
        print("no test ran", file=sys.stderr, flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
