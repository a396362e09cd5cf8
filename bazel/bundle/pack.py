#!/usr/bin/env python3
"""Packs programs, the shared libraries they need and their data into a tar.gz with one folder, qwt/ (see bundle.bzl).

Left to the machine it runs on: glibc, the C++ run time and LibTorch with all it brings along. Same inputs give the same bytes.
"""

import argparse
import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile

# Not packed, and not asked what they need.
LEFT_OUT = re.compile(
    r"(lib(c|m|mvec|dl|pthread|rt|util|resolv|anl|gcc_s|stdc\+\+)|ld-linux-x86-64|lib(torch|c10|cudart)[^.]*)\.so[.0-9]*")


def dynamic(path, tag):
    """The strings of an ELF file's dynamic section under a tag."""
    text = subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True).stdout
    return re.findall(rf"\({tag}\)[^[]*\[([^]]+)\]", text)


def needed(path):
    """The names of the libraries that an ELF file links."""
    return dynamic(path, "NEEDED")


def found_by_loader(program):
    """{name: path} of the libraries the loader finds for a program on this machine, its libraries' included."""
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", text, re.M))


def own_libraries(programs):
    """{name: path} of the libraries to pack."""
    own = {}
    for program in programs:
        paths = found_by_loader(program)
        left = [(program, name) for name in needed(program)]
        while left:
            asked_by, name = left.pop()
            if name in own or LEFT_OUT.fullmatch(name):
                continue
            if name not in paths:
                sys.exit(f"pack.py: {asked_by} needs {name}, which the loader of this machine does not find")
            own[name] = paths[name]
            left += [(paths[name], more) for more in needed(paths[name])]
    return own


def newest_glibc(paths):
    """The newest "2.34" whose symbols the files ask for."""
    text = subprocess.run(["readelf", "-VW", *paths], check=True, capture_output=True, text=True).stdout
    return max(re.findall(r"Name: GLIBC_(\d+(?:\.\d+)+)", text), key=lambda version: [int(part) for part in version.split(".")])


def read(path):
    with open(path, "rb") as file:
        return file.read()


def without_symbols_and_runpath(path, folder):
    """The program's bytes: other machines have nothing at the places where this one's libraries are, or another LibTorch."""
    target = os.path.join(folder, os.path.basename(path))
    subprocess.run(["strip", "--strip-unneeded", "-o", target, path], check=True)
    content = read(target)
    for runpath in dynamic(target, "RUNPATH"):
        text = b"\0" + runpath.encode() + b"\0"
        if content.count(text) != 1:
            sys.exit(f"pack.py: {path} has its RUNPATH {content.count(text)} times, and once is expected")
        content = content.replace(text, b"\0" * len(text))
    return content


def entries(args):
    """{path in the bundle: (content, mode)}."""
    programs = {os.path.basename(path): path for path in args.program}
    libraries = own_libraries(programs.values())
    launcher = read(args.launcher).decode()
    launcher = launcher.replace("@GLIBC@", newest_glibc([*programs.values(), *libraries.values()]))
    launcher = launcher.replace("@CUDA@", str(int(any("libtorch_cuda.so" in needed(path) for path in programs.values()))))
    result = {"bin/find.sh": (read(args.find), 0o644)}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in programs.items():
            result["bin/" + name] = (without_symbols_and_runpath(path, folder), 0o755)
            result["qwt-" + name] = (launcher.encode(), 0o755)
    for name, path in libraries.items():
        result["lib/" + name] = (read(path), 0o644)
    for data in args.data:
        place, path = data.split("=", 1)
        result[place] = (read(path), 0o644)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("--out", required=True)
    parser.add_argument("--launcher", required=True, help="launch.sh")
    parser.add_argument("--find", required=True, help="find.sh of LibTorch")
    parser.add_argument("--program", action="append", required=True)
    parser.add_argument("--data", action="append", default=[], help="PLACE=FILE")
    args = parser.parse_args()
    with open(args.out, "wb") as out, gzip.GzipFile("", "wb", 6, out, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, (content, mode) in sorted(entries(args).items()):
            info = tarfile.TarInfo("qwt/" + name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    main()
