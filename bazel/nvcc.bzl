"""Compiles CUDA sources: nvcc of the repository @cuda, one object a source."""

# Ampere, Hopper with its own matrix instructions, and what the driver compiles for later ones.
_ARCHITECTURES = ["arch=compute_80,code=sm_80", "arch=compute_90a,code=sm_90a", "arch=compute_90,code=compute_90"]

_FLAGS = ["-O3", "-std=c++17", "-Xcompiler", "-fPIC", "-Xcompiler", "-Wall", "--Werror", "all-warnings"]

def _cuda_objects_impl(ctx):
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    objects = []
    for source in ctx.files.srcs:
        args = ctx.actions.args()
        args.add_all(_FLAGS)
        args.add_all(_ARCHITECTURES, before_each = "-gencode")
        args.add_all(ctx.attr.copts)
        args.add("-I.")
        args.add_all(context.quote_includes, before_each = "-I")
        args.add_all(context.includes, before_each = "-I")
        args.add_all(context.system_includes, before_each = "-isystem")
        args.add_all(context.defines, before_each = "-D")
        object = ctx.actions.declare_file("{}/{}.pic.o".format(ctx.label.name, source.basename[:-len(".cu")]))
        args.add_all(["-c", source, "-o", object])
        ctx.actions.run(
            executable = ctx.executable._nvcc,
            arguments = [args],
            inputs = depset([source] + ctx.files.hdrs, transitive = [context.headers]),
            outputs = [object],
            mnemonic = "Nvcc",
            progress_message = "Compiling " + source.short_path,
            use_default_shell_env = True,  # nvcc finds g++ on PATH
        )
        objects.append(object)
    return [DefaultInfo(files = depset(objects))]

cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"], mandatory = True),
        "hdrs": attr.label_list(allow_files = [".h", ".cuh"]),
        "deps": attr.label_list(providers = [CcInfo]),
        "copts": attr.string_list(),
        "_nvcc": attr.label(default = "@cuda//:nvcc", executable = True, allow_single_file = True, cfg = "host"),
    },
)
