"""Makes the CUDA toolkit of this machine, and LibTorch's CUDA libraries, the repository @cuda. Only a build with --config=cuda asks for it."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

exports_files(["nvcc"])

cc_library(
    name = "headers",
    hdrs = glob(["include/*.h*", "include/crt/*.h*", "nccl/*.h*"]),
    includes = ["nccl", "include"],
)

# Linked by path and not as files of this repository: found at its own place, libtorch_cuda.so finds the libraries of CUDA beside it.
cc_library(
    name = "libtorch_cuda",
    linkopts = {linkopts},
    deps = ["@libtorch"],
)
"""

def _nvcc(ctx):
    """The path of nvcc, real; fails with what to do where there is none."""
    home = ctx.os.environ.get("CUDA_HOME", "")
    looked = [home + "/bin/nvcc"] if home else []
    on_path = ctx.which("nvcc")
    if on_path and not home:
        looked.append(str(on_path))
    if not home:
        looked.append("/usr/local/cuda/bin/nvcc")
    for candidate in looked:
        if ctx.path(candidate).exists:
            return ctx.path(candidate).realpath
    fail("\n\nnvcc was not found ({}), and --config=cuda needs it. Install the CUDA toolkit or set CUDA_HOME to its folder; without --config=cuda the build needs no CUDA.\n".format(
        "CUDA_HOME is " + home if home else "looked on PATH and in /usr/local/cuda/bin; CUDA_HOME is not set",
    ))

def _release(ctx, nvcc):
    """("13.0", the line that names the build) of nvcc."""
    for line in ctx.execute([nvcc, "--version"]).stdout.split("\n"):
        if "release " in line:
            return line.split("release ")[1].split(",")[0], line
    fail("\n\n{} --version names no release: CUDA_HOME must be the folder of a working CUDA toolkit.\n".format(nvcc))

def _libtorch_root(ctx):
    requirements = [ctx.path(Label("//third_party/libtorch:" + name)) for name in ["requirements.txt", "requirements_cuda.txt"]]
    ctx.report_progress("looking for LibTorch and its CUDA libraries (fetched once, 2 GB, where there is a GPU and none is installed)")
    result = ctx.execute(["bash", ctx.path(Label("//third_party/libtorch:probe.sh"))] + requirements, timeout = 3600, quiet = False)
    if result.return_code != 0:
        fail("\n\n" + result.stderr.strip() + "\n")
    return result.stdout.strip().split("\n")[-1]

def _libtorch_release(ctx, root):
    """"13.0", or "" where LibTorch does not say for which CUDA it was built."""
    version = ctx.path(root + "/version.py")
    for line in ctx.read(version).split("\n") if version.exists else []:
        if line.startswith("cuda") and "'" in line:
            return line.split("'")[1]
    return ""

def _check_releases(nvcc, release, root, libtorch_release):
    major = libtorch_release.split(".")[0]
    if libtorch_release and release.split(".")[0] != major:
        fail("\n\n{} is of CUDA {}, and the LibTorch in {} was built for CUDA {}: set CUDA_HOME to a toolkit of CUDA {}, or LIBTORCH to a LibTorch for this one.\n".format(
            nvcc,
            release,
            root,
            libtorch_release,
            major,
        ))

def _cuda_impl(ctx):
    nvcc = _nvcc(ctx)
    release, build = _release(ctx, nvcc)
    toolkit = str(nvcc.dirname.dirname)
    if not ctx.path(toolkit + "/include/cuda_runtime_api.h").exists:
        fail("\n\n{}/include lacks cuda_runtime_api.h: set CUDA_HOME to the folder of a whole CUDA toolkit.\n".format(toolkit))
    root = _libtorch_root(ctx)
    _check_releases(nvcc, release, root, _libtorch_release(ctx, root))

    # The line of its build makes objects of another nvcc other objects.
    ctx.file("nvcc", "#!/bin/sh\n# {}\nexec '{}' \"$@\"\n".format(build, nvcc))
    ctx.symlink(toolkit + "/include", "include")

    # LibTorch's own NCCL, where its headers lie beside it, is the one that is linked.
    nccl = ctx.path(root + "/../nvidia/nccl/include")
    if nccl.exists:
        ctx.symlink(nccl, "nccl")
    elif not ctx.path(toolkit + "/include/nccl.h").exists and not ctx.path("/usr/include/nccl.h").exists:
        fail("\n\nnccl.h was not found beside LibTorch ({}) nor in {}/include: install NVIDIA's package libnccl-dev.\n".format(nccl, toolkit))
    libraries = [toolkit + "/" + name for name in ["lib64", "lib"] if ctx.path(toolkit + "/" + name + "/libcudart.so").exists]
    if not libraries:
        fail("\n\n{} holds no libcudart.so in lib64 or lib: set CUDA_HOME to the folder of a whole CUDA toolkit.\n".format(toolkit))
    beside = ctx.path(root + "/../nvidia")
    folders = [str(folder) + "/lib" for folder in beside.realpath.readdir()] if beside.exists else []
    linkopts = ["-Wl,--no-as-needed", "-L" + root + "/lib", "-ltorch_cuda", "-lc10_cuda", "-L" + libraries[0], "-lcudart"]
    linkopts += ["-Wl,-rpath," + path for path in [root + "/lib"] + folders + libraries[:1] if ctx.path(path).exists]
    ctx.file("BUILD.bazel", _BUILD.format(linkopts = repr(linkopts)))

cuda = repository_rule(
    implementation = _cuda_impl,
    environ = ["CUDA_HOME", "LIBTORCH", "QWT_CACHE", "HOME", "PATH"],
    local = True,
    doc = "nvcc by probing: CUDA_HOME, PATH, /usr/local/cuda; LibTorch's CUDA libraries beside the LibTorch that is used.",
)
