"""A fuzzer of NAME_fuzzer.cc."""

load("//bazel:qwt.bzl", "qwt_binary", "qwt_test")

_CHECKPOINTS = [
    ":corpus",
    "//tests/golden:checkpoints",
]

def qwt_fuzzer(name, deps, mutator = None, data = _CHECKPOINTS):
    """NAME_fuzzer, which needs clang (run.sh builds it), and NAME_replay_test, which does not; mutator: a library for the first, instead of libFuzzer's own changes; data: the files that the second feeds."""
    srcs = [name + "_fuzzer.cc"]
    deps = deps + [":fuzz"]
    qwt_binary(
        name = name + "_fuzzer",
        testonly = 1,
        srcs = srcs,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps + ([mutator] if mutator else []),
    )
    qwt_test(
        name = name + "_replay_test",
        size = "small",
        srcs = srcs + ["replay_test.cc"],
        data = data,
        deps = deps + ["//core/base:files"],
    )
