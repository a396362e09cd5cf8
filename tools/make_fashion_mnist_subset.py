#!/usr/bin/env python3
"""Makes data/examples/fashion_mnist from Debian's package dataset-fashion-mnist: the first training images with their
labels, and the whole test split, as IDX files with corrected counts. The same input gives the same bytes (with the same zlib).

    tools/make_fashion_mnist_subset.py [--source DIR] [--output DIR] [--train_images N]
"""

import argparse
import gzip
import math
import pathlib
import struct

# IDX: two zero bytes, the type (8: uint8), the number of dimensions, each dimension as big-endian uint32, the data.
UINT8 = 8


def read_idx(path):
    """The dimensions and the data of a gzipped IDX file of uint8."""
    content = gzip.decompress(path.read_bytes())
    zero, dtype, rank = struct.unpack(">HBB", content[:4])
    if zero != 0 or dtype != UINT8:
        raise SystemExit(f"{path}: not an IDX file of uint8")
    dimensions = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    data = content[4 + 4 * rank :]
    if len(data) != math.prod(dimensions):
        raise SystemExit(f"{path}: {len(data)} bytes of data for dimensions {dimensions}")
    return dimensions, data


def write_idx(path, dimensions, data):
    header = struct.pack(f">HBB{len(dimensions)}I", 0, UINT8, len(dimensions), *dimensions)
    with open(path, "wb") as file:
        # Neither name nor time in the gzip header, so that the bytes depend on the content alone.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as compressed:
            compressed.write(header + data)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--output", type=pathlib.Path, default="data/examples/fashion_mnist")
    parser.add_argument("--train_images", type=int, default=512)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        dimensions, data = read_idx(arguments.source / f"{name}.gz")
        count = min(dimensions[0], arguments.train_images) if name.startswith("train") else dimensions[0]
        item_bytes = math.prod(dimensions[1:])
        target = arguments.output / f"{name}.gz"
        write_idx(target, (count, *dimensions[1:]), data[: count * item_bytes])
        print(f"{target}: {count} of {dimensions[0]}, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
