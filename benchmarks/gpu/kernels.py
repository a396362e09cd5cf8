#!/usr/bin/env python3
"""The kernels of one forward pass as Nsight Compute measures them: a table, OUT/kernels.json and OUT/roofline.svg.
    python3 benchmarks/gpu/kernels.py MODEL.safetensors [--batch 256] [--model integer_compensated] [--out DIR]
    python3 benchmarks/gpu/kernels.py --csv ncu.csv --device 'NVIDIA H200' [--out DIR]      # of an earlier run
MODEL is a quantised model that a run saved; run.sh leaves one for each network. NCU names the program if it is not on PATH. Clocks and caches are left alone."""
import argparse
import csv
import json
import os
import re
import subprocess
import sys

import roofline

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPERATIONS = 'sm__ops_path_tensor_'
METRICS = ['gpu__time_duration.sum', 'dram__bytes.sum', 'sm__throughput.avg.pct_of_peak_sustained_elapsed', 'sm__inst_executed.avg.per_cycle_active',
           *(f'{OPERATIONS}src_{kind}_sparsity_off.sum' for kind in ('int8', 'fp16_dst_fp32', 'bf16_dst_fp32'))]
# What makes the images, just before the pass: the last of LibTorch's kernels for random numbers.
BEGINS_AFTER = 'distribution_'


def profile(arguments):
    program = os.path.join(ROOT, 'qwt-forward')
    if not os.path.exists(program):
        program = os.path.join(ROOT, 'bazel-bin/benchmarks/forward')
    path = os.path.join(arguments.out, 'ncu.csv')
    with open(path, 'w') as file:
        subprocess.run([os.environ.get('NCU', 'ncu'), '--target-processes', 'all', '--csv', '--print-units', 'base', '--clock-control', 'none', '--cache-control', 'none', '--metrics',
                        ','.join(METRICS), program, arguments.file, '--once', f'--models={arguments.model}', f'--batch={arguments.batch}'], stdout=file, check=True)
    return path


def launches(path):
    """Of each launch in its order: {'kernel', 'grid', metric: number}; metrics that the device lacks are left out."""
    with open(path) as file:
        lines = [line for line in file if line.startswith('"')]
    found = {}
    for row in csv.DictReader(lines):
        launch = found.setdefault(int(row['ID']), {'kernel': row['Kernel Name'], 'grid': row['Grid Size']})
        try:
            launch[row['Metric Name']] = float(row['Metric Value'].replace(',', ''))
        except ValueError:
            pass  # "n/a"
    if not found:
        sys.exit(f'{path}: no launches of kernels; the lines that are no figures:\n' + open(path).read()[-600:])
    ordered = [found[number] for number in sorted(found)]
    last = max((i for i, launch in enumerate(ordered) if BEGINS_AFTER in launch['kernel']), default=-1)
    return ordered[last + 1:]


def name_of(kernel):
    """"Product" of "void qwt::(anonymous namespace)::Product<128, true>(qwt::ProductArguments)"; of others what is before parameters, shortened."""
    plain = re.sub(r'^void ', '', kernel).replace('(anonymous namespace)::', '').replace('<unnamed>::', '')
    name = re.split(r'[<(]', plain)[0]
    return name.split('::')[-1] if name.startswith('qwt::') else name[:40]


def kernels(path):
    """Launches of one kernel on one grid together, in the order of their first."""
    groups = {}
    for launch in launches(path):
        group = groups.setdefault((launch['kernel'], launch['grid']), {'name': name_of(launch['kernel']), 'kernel': launch['kernel'], 'grid': launch['grid'], 'launches': 0,
                                                                        'seconds': 0, 'bytes': 0, 'operations': 0, 'ipc': 0})
        seconds = launch['gpu__time_duration.sum'] / 1e9
        group['launches'] += 1
        group['seconds'] += seconds
        group['bytes'] += launch.get('dram__bytes.sum', 0)
        group['operations'] += sum(value for metric, value in launch.items() if metric.startswith(OPERATIONS))
        group['ipc'] += launch.get('sm__inst_executed.avg.per_cycle_active', 0) * seconds
    for group in groups.values():
        group['ipc'] /= group['seconds']
    return list(groups.values())


def bound_by(group, device):
    """The larger of the shares of memory's and the matrix units' peak, where that says something."""
    peaks = roofline.peaks_of(device)
    memory, matrix = group['bytes'] / group['seconds'] / peaks['bytes'], group['operations'] / group['seconds'] / peaks['operations']
    if max(memory, matrix) < 0.6:
        return f"latency and instructions: IPC {group['ipc']:.1f} of 4"
    return 'memory' if memory > matrix else 'matrix units'


def table(groups, device):
    total = sum(group['seconds'] for group in groups)
    peaks = roofline.peaks_of(device)
    lines = ['| kernel | grid | launches | µs each | of the pass | memory, TB/s | of its peak | TOP/s | of the matrix units\' peak | bound by |', '|' + '---|' * 10]
    for group in groups:
        memory, matrix = group['bytes'] / group['seconds'], group['operations'] / group['seconds']
        lines.append(f"| {group['name']} | {group['grid']} | {group['launches']} | {1e6 * group['seconds'] / group['launches']:.1f} | {100 * group['seconds'] / total:.1f} % "
                     f"| {memory / 1e12:.2f} | {100 * memory / peaks['bytes']:.0f} % | {matrix / 1e12:.0f} | {100 * matrix / peaks['operations']:.0f} % | {bound_by(group, device)} |")
    lines.append(f'\n{sum(group["launches"] for group in groups)} launches, {1e3 * total:.2f} ms')
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', nargs='?', help='a quantised model')
    parser.add_argument('--model', default='integer_compensated', help='as --models of benchmarks/forward')
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--csv', help='of an earlier run of Nsight Compute')
    parser.add_argument('--device', help="its name; by default nvidia-smi's first")
    parser.add_argument('--out', default='.')
    arguments = parser.parse_args()
    if not arguments.file and not arguments.csv:
        parser.error('a MODEL or --csv is needed')
    os.makedirs(arguments.out, exist_ok=True)
    device = arguments.device or subprocess.run(['nvidia-smi', '--query-gpu=name', '--format=csv,noheader'], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    groups = kernels(arguments.csv or profile(arguments))
    print(table(groups, device))
    path = os.path.join(arguments.out, 'kernels.json')
    title = f'{os.path.basename(os.path.dirname(os.path.abspath(arguments.file)))}, batch {arguments.batch}' if arguments.file else os.path.basename(arguments.csv)
    with open(path, 'w') as file:
        json.dump({'device': device, 'title': title, 'kernels': groups}, file, indent=1)
    with open(os.path.join(arguments.out, 'roofline.svg'), 'w') as file:
        file.write(roofline.svg(title, device, groups))


if __name__ == '__main__':
    main()
