"""A folder of programs to carry to other machines, which need LibTorch and neither Bazel nor this project's other libraries."""

def _bundle_impl(ctx):
    programs = [target[DefaultInfo].files_to_run.executable for target in ctx.attr.programs]
    data = depset(transitive = [target[DefaultInfo].default_runfiles.files for target in ctx.attr.programs] + [target[DefaultInfo].files for target in ctx.attr.data])
    args = ctx.actions.args()
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    args.add("--out", ctx.outputs.out)
    args.add("--launcher", ctx.file._launcher)
    args.add("--find", ctx.file._find)
    args.add_all(programs, before_each = "--program")
    for file in data.to_list():
        if file.extension == "so":
            fail("{} would need the project's own {}: link it statically (linkstatic = 1)".format(ctx.label, file.short_path))
        if file not in programs and not file.short_path.startswith("../"):
            args.add("--data", "{}={}".format(file.short_path, file.path))
    ctx.actions.run_shell(
        command = "exec python3 \"$@\"",
        arguments = [ctx.file._pack.path, args],
        inputs = depset([ctx.file._pack, ctx.file._launcher, ctx.file._find] + programs, transitive = [data]),
        outputs = [ctx.outputs.out],
        mnemonic = "QwtBundle",
        progress_message = "Packing " + ctx.outputs.out.short_path,
        use_default_shell_env = True,
        # What it packs are files of this machine, which Bazel does not know of.
        execution_requirements = {"no-remote": "1"},
    )
    return [DefaultInfo(files = depset([ctx.outputs.out]), runfiles = ctx.runfiles(files = [ctx.outputs.out]))]

_bundle = rule(
    implementation = _bundle_impl,
    attrs = {
        "programs": attr.label_list(mandatory = True, cfg = "target"),
        "data": attr.label_list(allow_files = True),
        "out": attr.output(mandatory = True),
        "_launcher": attr.label(default = "//bazel/bundle:launch.sh", allow_single_file = True),
        "_find": attr.label(default = "//third_party/libtorch:find.sh", allow_single_file = True),
        "_pack": attr.label(default = "//bazel/bundle:pack.py", allow_single_file = True),
    },
)

def qwt_bundle(name, programs, data = [], **kwargs):
    """NAME.tar.gz with the folder qwt/ : qwt-PROGRAM for each program, which finds LibTorch and starts it; docs/clusters.md.

    Args:
      name: of the target and the file.
      programs: binaries, or tests with linkstatic = 1 (then with testonly = 1). Their data comes along at its place in the project.
      data: more files.
      **kwargs: testonly, visibility, tags.
    """
    _bundle(name = name, programs = programs, data = data, out = name + ".tar.gz", **kwargs)
