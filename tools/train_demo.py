#!/usr/bin/env python3
"""Trains the three small demo networks on Fashion-MNIST (IDX files), about a minute each on one GPU, and stores them as float16
safetensors with the parameter names of timm 0.4.12 and torchvision. Input: 28 x 28 grey (ResNet: padded with zeros to 32 x 32)
repeated to 3 channels, (byte / 255 - 0.5) / 0.25. Needs torch, torchvision and timm 0.4.12.

    tools/train_demo.py --data /usr/share/datasets/fashion-mnist --output DIR [--seconds 60]
"""

import argparse
import gzip
import json
import math
import pathlib
import struct
import time
import warnings

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

BATCH_SIZE = 512
WARMUP_STEPS = 200
EMA_DECAY = 0.998
# name -> (peak learning rate, weight decay of matrices)
SETTINGS = {"vit": (1.5e-3, 0.05), "swin": (1.5e-3, 0.05), "resnet": (4e-3, 0.02)}


def make_vit():
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=28,
        patch_size=4,
        embed_dim=96,
        depth=6,
        num_heads=3,
        mlp_ratio=4,
        qkv_bias=True,
        num_classes=10,
        norm_layer=lambda dim: nn.LayerNorm(dim, eps=1e-6),
        drop_path_rate=0.05,
    )


def make_swin():
    from timm.models.swin_transformer import SwinTransformer

    return SwinTransformer(
        img_size=28,
        patch_size=2,
        window_size=7,
        embed_dim=48,
        depths=(2, 4),
        num_heads=(3, 6),
        num_classes=10,
        drop_path_rate=0.05,
    )


def make_resnet():
    """torchvision's ResNet-18 with a quarter of every width."""
    import torchvision

    model = torchvision.models.resnet18(num_classes=10)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            inputs = module.in_channels if module.in_channels == 3 else module.in_channels // 4
            new = nn.Conv2d(inputs, module.out_channels // 4, module.kernel_size, module.stride, module.padding, bias=False)
        elif isinstance(module, nn.BatchNorm2d):
            new = nn.BatchNorm2d(module.num_features // 4)
        elif isinstance(module, nn.Linear):
            new = nn.Linear(module.in_features // 4, 10)
        else:
            continue
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, new)
    return model


MAKERS = {"vit": make_vit, "swin": make_swin, "resnet": make_resnet}


def read_idx(path):
    content = gzip.open(path).read()
    rank = content[3]
    dimensions = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(dimensions).copy()


def read_split(folder, prefix, device):
    images = torch.from_numpy(read_idx(folder / f"{prefix}-images-idx3-ubyte.gz"))
    labels = torch.from_numpy(read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz").astype(np.int64))
    return images.to(device), labels.to(device)


def normalise(pixels):
    """uint8 [N, height, width] -> float32 [N, 3, height, width]."""
    return ((pixels.float() / 255 - 0.5) / 0.25).unsqueeze(1).expand(-1, 3, -1, -1)


def augment(images):
    """One shift of up to two pixels for the batch, then a mirror image of half of it."""
    shift = torch.randint(-2, 3, (2,)).tolist()
    images = torch.roll(images, shift, (2, 3))
    mirrored = (torch.rand(len(images), device=images.device) < 0.5).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


def make_optimizer(model, learning_rate, weight_decay):
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [dict(params=matrices, weight_decay=weight_decay), dict(params=vectors, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


def update_average(average, model, step):
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    for key, value in model.state_dict().items():
        if key in average:
            average[key].mul_(decay).add_(value.float(), alpha=1 - decay)


def train(model, images, labels, learning_rate, weight_decay, seconds):
    """Trains for `seconds` along a cosine schedule of time; returns the averaged state (rounded to float16) and the steps taken."""
    device = images.device
    optimizer = make_optimizer(model, learning_rate, weight_decay)
    average = {k: v.detach().clone().float() for k, v in model.state_dict().items() if v.is_floating_point()}
    start, step = time.time(), 0
    model.train()
    while True:
        order = torch.randperm(len(images), device=device)
        for first in range(0, len(images) - BATCH_SIZE + 1, BATCH_SIZE):
            done = (time.time() - start) / seconds
            if done >= 1:
                return {k: v.half().float() for k, v in average.items()}, step
            for group in optimizer.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * done))
                group["lr"] = learning_rate * min(1, (step + 1) / WARMUP_STEPS) * cosine + 1e-6
            batch = order[first : first + BATCH_SIZE]
            inputs = augment(normalise(images[batch]))
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = F.cross_entropy(model(inputs).float(), labels[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 2 == 0:
                update_average(average, model, step)


@torch.no_grad()
def top1(model, images, labels):
    model.eval()
    hits = 0
    for first in range(0, len(images), 500):
        logits = model(normalise(images[first : first + 500]))
        hits += (logits.argmax(1) == labels[first : first + 500]).sum().item()
    return 100 * hits / len(images)


def save(path, state, metadata):
    """Writes float16 safetensors: the header's length as uint64, the JSON header padded to 8 bytes, the data by name."""
    header, blobs, offset = {"__metadata__": {k: str(v) for k, v in metadata.items()}}, [], 0
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous().to(torch.float16).numpy()
        blob = values.tobytes()
        header[name] = {"dtype": "F16", "shape": list(values.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with the four gzipped IDX files")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for demo_NAME.safetensors")
    parser.add_argument("--seconds", type=float, default=60, help="training time of each network")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train_images, train_labels = read_split(arguments.data, "train", device)
    test_images, test_labels = read_split(arguments.data, "t10k", device)
    for name, (learning_rate, weight_decay) in SETTINGS.items():
        pad = (2, 2, 2, 2) if name == "resnet" else (0, 0, 0, 0)
        torch.manual_seed(0)
        model = MAKERS[name]().to(device)
        state, steps = train(
            model, F.pad(train_images, pad), train_labels, learning_rate, weight_decay, arguments.seconds
        )
        model.load_state_dict(state, strict=False)  # counters and index tables are no floats and stay as made
        accuracy = top1(model, F.pad(test_images, pad), test_labels)
        state = {k: v for k, v in state.items() if not k.endswith("attn_mask")}
        size = "32x32 (28x28 zero-padded)" if name == "resnet" else "28x28"
        metadata = {
            "network": name,
            "data": "Fashion-MNIST",
            "top1": round(accuracy, 2),
            "input": f"{size} grey repeated to 3 channels, (u8 / 255 - 0.5) / 0.25",
        }
        save(arguments.output / f"demo_{name}.safetensors", state, metadata)
        print(f"{name}: {steps} steps, {sum(v.numel() for v in state.values())} parameters, top-1 {accuracy:.2f}", flush=True)


if __name__ == "__main__":
    main()
