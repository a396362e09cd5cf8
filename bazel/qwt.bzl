"""The project's own C++ rules: Bazel's, with the warnings that every target of ours is held to."""

_COPTS = ["-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-Wno-unused-parameter"]

def qwt_library(name, **kwargs):
    native.cc_library(name = name, copts = _COPTS + kwargs.pop("copts", []), **kwargs)

def qwt_binary(name, **kwargs):
    native.cc_binary(name = name, copts = _COPTS + kwargs.pop("copts", []), **kwargs)

def qwt_test(name, srcs = None, deps = [], main = True, **kwargs):
    """A GoogleTest of the file NAME.cc unless srcs says otherwise; main = False for tests that bring their own main()."""
    native.cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        copts = _COPTS + kwargs.pop("copts", []),
        linkopts = (["-lgtest_main"] if main else []) + kwargs.pop("linkopts", []),
        deps = deps + ["//third_party:gtest"],
        **kwargs
    )
