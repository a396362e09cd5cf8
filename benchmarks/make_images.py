#!/usr/bin/env python3
"""make_images.py FOLDER [CLASSES=1000]: an image_folder of noise, one PNG of 64 x 64 pixels a class in train and val; the same bytes every time."""
import os
import random
import struct
import sys
import zlib

SIDE = 64


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(numbers):
    rows = b''.join(b'\0' + numbers.randbytes(3 * SIDE) for _ in range(SIDE))  # a filter byte and pixels
    header = struct.pack('>IIBBBBB', SIDE, SIDE, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows, 1)) + chunk(b'IEND', b'')


def main():
    folder, classes = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    numbers = random.Random(0)
    for split in ('train', 'val'):
        for label in range(classes):
            path = f'{folder}/{split}/{label:04}'
            os.makedirs(path)
            with open(f'{path}/0.png', 'wb') as file:
                file.write(png(numbers))


main()
