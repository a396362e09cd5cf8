#!/usr/bin/env python3
"""The same evaluation transform with Pillow and torchvision: a DataLoader of WORKERS processes, batches of 16.

    images_torchvision.py DIR WORKERS      needs torch, torchvision and pillow from PyPI

Prints one JSON object: images, seconds, images_per_second. The workers' start is not counted.
"""

import json
import sys
import time

import torch
from torchvision import datasets, transforms


def main():
    folder, workers = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    transform = transforms.Compose([
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    dataset = datasets.ImageFolder(f"{folder}/val", transform)
    batches = iter(torch.utils.data.DataLoader(dataset, batch_size=16, num_workers=workers))
    images = len(next(batches)[0])
    start, counted = time.perf_counter(), 0
    for pixels, _ in batches:
        counted += len(pixels)
    seconds = time.perf_counter() - start
    json.dump({"images": images + counted, "seconds": seconds, "images_per_second": counted / seconds}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
