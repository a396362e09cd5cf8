"""The project's own C++ rules: Bazel's, with the warnings that every target of ours is held to."""

load("//bazel:nvcc.bzl", "cuda_objects")

_COPTS = ["-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-Wno-unused-parameter"]

def _link_only_impl(ctx):
    return [CcInfo(linking_context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).linking_context)]

link_only = rule(
    implementation = _link_only_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
    doc = "Links deps and shows nothing of them to compilers: not even the -iquote of their repository, which would be another command for every source.",
)

def qwt_library(name, implementation_deps = None, **kwargs):
    """A cc_library.

    Args:
      name: of the target.
      implementation_deps: deps of the sources, not of the headers: those who use the library see nothing of them. Where sources name
        CUDA, this keeps --config=cuda from compiling everything above them again.
      **kwargs: of cc_library.
    """
    copts = _COPTS + kwargs.pop("copts", [])
    if implementation_deps == None:
        native.cc_library(name = name, copts = copts, **kwargs)
        return
    testonly = kwargs.get("testonly", 0)
    tags = kwargs.get("tags", [])
    deps = kwargs.pop("deps", [])
    native.cc_library(
        name = name + "_sources",
        srcs = kwargs.pop("srcs"),
        hdrs = kwargs["hdrs"],
        copts = copts,
        deps = deps + implementation_deps,
        testonly = testonly,
        tags = tags,
        visibility = ["//visibility:private"],
    )
    link_only(name = name + "_link", deps = [name + "_sources"], testonly = testonly, tags = tags, visibility = ["//visibility:private"])
    native.cc_library(name = name, deps = deps + [name + "_link"], **kwargs)

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

    Sources that call CUDA themselves have "//third_party:libtorch_cuda" in the implementation_deps of a qwt_library.

    Args:
      name: a cc_library.
      srcs: .cu files. They include no headers of LibTorch, which nvcc takes minutes for.
      hdrs: headers for those who call the kernels, of plain C++.
      deps: whose headers srcs and hdrs include.
      copts: more flags of nvcc, ["-fmad=false"] where products and sums must round as on the CPU.
      **kwargs: of cc_library.
    """
    cuda_objects(name = name + "_objects", srcs = srcs, hdrs = hdrs, deps = deps, copts = copts, tags = ["manual"], testonly = kwargs.get("testonly", 0))
    native.cc_library(
        name = name,
        srcs = [name + "_objects"],
        hdrs = hdrs,
        deps = deps + ["//third_party:libtorch"],
        tags = ["manual"],
        **kwargs
    )
