"""What a user would run instead: timm's networks in bfloat16, eager with fused attention and by torch.compile; images/s of batches that lie on the GPU.
    python3 benchmarks/gpu/bf16.py [--networks deit_small,swin_tiny] [--batch 256] [--compile] [--json FILE]
Needs timm; weights are random. Each figure is the median of 20 repeats that were waited for, after 5."""
import argparse
import json
import time

import timm
import torch

NETWORKS = {
    'deit_small': 'deit_small_patch16_224',
    'deit_base': 'deit_base_patch16_224',
    'swin_tiny': 'swin_tiny_patch4_window7_224',
    'resnet50': 'resnet50',
}


def images_per_second(network, images):
    times = []
    with torch.inference_mode():
        for _ in range(5):
            network(images)
        for _ in range(20):
            torch.cuda.synchronize()
            start = time.perf_counter()
            network(images)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return len(images) / sorted(times)[len(times) // 2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--networks', default=','.join(NETWORKS))
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--json', help='a file for the same figures')
    arguments = parser.parse_args()
    result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'timm': timm.__version__, 'batch': arguments.batch, 'networks': {}}
    torch.backends.cudnn.benchmark = True
    print(f'{result["device"]}, torch {torch.__version__}, timm {timm.__version__}, batch {arguments.batch}')
    for name in arguments.networks.split(','):
        network = timm.create_model(NETWORKS[name]).cuda().eval().bfloat16()
        images = torch.randn(arguments.batch, 3, 224, 224, device='cuda', dtype=torch.bfloat16)
        if name == 'resnet50':
            network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
        rates = result['networks'][name] = {'eager': images_per_second(network, images)}
        if arguments.compile:
            rates['compiled'] = images_per_second(torch.compile(network), images)
        print(f'{name:12}', *(f'  {how} {rate:8.0f}' for how, rate in rates.items()), flush=True)
        if arguments.json:
            with open(arguments.json, 'w') as file:
                json.dump(result, file, indent=1)


if __name__ == '__main__':
    main()
