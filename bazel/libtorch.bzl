"""Makes the LibTorch of this machine (third_party/libtorch/probe.sh finds it) the repository @libtorch."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "libtorch",
    srcs = {libraries},
    hdrs = glob(["include/**/*.h", "include/**/*.hpp", "include/**/*.cuh"]),
    includes = ["include", "include/torch/csrc/api/include"],
    linkopts = ["-Wl,--allow-shlib-undefined"],
)
"""

# CUDA builds of libtorch_cpu.so need these two; they lie beside torch in site-packages, where Bazel's links lose its RUNPATH.
_CUDA_LIBRARIES = ["libcudart.so.13", "libcupti.so.13"]

# What builds of LibTorch bring along in lib/ and need beside them: their OpenMP, and in the zip files for CUDA the two above under other names.
_BUNDLED = ["libgomp", "libcudart", "libcupti"]

def _libtorch_impl(ctx):
    requirements = ctx.path(Label("//third_party/libtorch:requirements.txt"))
    probe = ctx.path(Label("//third_party/libtorch:probe.sh"))
    ctx.report_progress("looking for LibTorch (fetched once, 540 MB, where there is none)")
    result = ctx.execute(["bash", probe, requirements], timeout = 3600, quiet = False)
    if result.return_code != 0:
        fail("\n\n" + result.stderr.strip() + "\n")
    root = result.stdout.strip().split("\n")[-1]

    ctx.symlink(root + "/include", "include")
    libraries = []
    for name in ["libtorch_cpu.so", "libc10.so"]:
        libraries.append(name)
        ctx.symlink(root + "/lib/" + name, "lib/" + name)
    for path in ctx.path(root + "/lib").readdir():
        if [path for prefix in _BUNDLED if path.basename.startswith(prefix)]:
            libraries.append(path.basename)
            ctx.symlink(path, "lib/" + path.basename)
    for name in _CUDA_LIBRARIES:
        path = ctx.path(root + "/../nvidia/cu13/lib/" + name)
        if path.exists:
            libraries.append(name)
            ctx.symlink(path, "lib/" + name)
    ctx.file("BUILD.bazel", _BUILD.format(libraries = repr(["lib/" + name for name in libraries])))

libtorch = repository_rule(
    implementation = _libtorch_impl,
    environ = ["LIBTORCH", "QWT_CACHE", "HOME", "PATH"],
    local = True,
    doc = "LibTorch by probing: LIBTORCH, then python3's torch, then the pinned wheels.",
)
