"""The project's own C++ rules: Bazel's, with the warnings that every target of ours is held to."""

load("//bazel:nvcc.bzl", "cuda_objects")

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

def qwt_cuda_library(name, srcs, hdrs = [], deps = [], copts = [], **kwargs):
    """Kernels for GPUs. Choose it by select() on //bazel:cuda; a build without --config=cuda must not depend on it.

    Args:
      name: a cc_library.
      srcs: .cu files. They include no headers of LibTorch, which nvcc takes minutes for.
      hdrs: headers for those who call the kernels, of plain C++ or the toolkit.
      deps: whose headers srcs and hdrs include.
      copts: more flags of nvcc, ["-fmad=false"] where products and sums must round as on the CPU.
      **kwargs: of cc_library.
    """
    cuda_objects(name = name + "_objects", srcs = srcs, hdrs = hdrs, deps = deps, copts = copts, tags = ["manual"], testonly = kwargs.get("testonly", 0))
    native.cc_library(
        name = name,
        srcs = [name + "_objects"],
        hdrs = hdrs,
        deps = deps + ["//third_party:libtorch_cuda"],
        tags = ["manual"],
        **kwargs
    )
