"""Makes the LibTorch of this machine (third_party/libtorch/probe.sh finds it) the repository @libtorch."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

exports_files(["folder.txt"])

# Linked by path and not as files of this repository: found at their own place, the libraries find beside them what they need.
cc_library(
    name = "libtorch",
    hdrs = glob(["include/**/*.h", "include/**/*.hpp", "include/**/*.cuh"]),
    includes = ["include", "include/torch/csrc/api/include"],
    linkopts = ["-L{lib}", "-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined", "-Wl,-rpath,{lib}"],
)
"""

def _libtorch_impl(ctx):
    requirements = ctx.path(Label("//third_party/libtorch:requirements.txt"))
    probe = ctx.path(Label("//third_party/libtorch:probe.sh"))
    ctx.report_progress("looking for LibTorch (fetched once, 540 MB, where there is none)")
    result = ctx.execute(["bash", probe, requirements], timeout = 3600, quiet = False)
    if result.return_code != 0:
        fail("\n\n" + result.stderr.strip() + "\n")
    root = result.stdout.strip().split("\n")[-1]

    ctx.symlink(root + "/include", "include")
    ctx.file("folder.txt", root)
    ctx.file("BUILD.bazel", _BUILD.format(lib = root + "/lib"))

libtorch = repository_rule(
    implementation = _libtorch_impl,
    environ = ["LIBTORCH", "QWT_CACHE", "HOME", "PATH"],
    local = True,
    doc = "LibTorch by probing: LIBTORCH, then python3's torch, then the pinned wheels.",
)
