#!/usr/bin/env python3
"""The kernels of one forward pass as Nsight Compute measures them: tables, OUT/kernels.json and OUT/roofline.svg.
    python3 benchmarks/gpu/kernels.py MODEL.safetensors [--batch 256] [--model integer_compensated] [--out DIR]
    python3 benchmarks/gpu/kernels.py --csv ncu.csv --device 'NVIDIA H200' [--out DIR]      # of an earlier run
MODEL is a quantised model that a run saved; run.sh leaves one for each network. NCU names the program if it is not on PATH. Clocks and caches are left alone.
Operations are the share of cycles in which the matrix units work, of their int8 peak: what counts operations does not see sm_90's warpgroup instructions. One of float16 takes the units as long
as two of int8, and counts as two."""
import argparse
import csv
import json
import os
import re
import subprocess
import sys

import roofline
from table import rows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIME, BYTES, IPC = 'gpu__time_duration.sum', 'dram__bytes.sum', 'sm__inst_executed.avg.per_cycle_active'
MATRIX = 'sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed'
# What else is said of the longest kernels: means over launches, weighted by their time.
DETAILS = {
    'second-level cache, % of peak': 'lts__throughput.avg.pct_of_peak_sustained_elapsed',
    'first-level cache and shared memory, % of peak': 'l1tex__throughput.avg.pct_of_peak_sustained_active',
    'warps on a multiprocessor, % of most': 'sm__warps_active.avg.pct_of_peak_sustained_active',
    'instructions issued, % of cycles': 'smsp__issue_active.avg.pct_of_peak_sustained_active',
    'registers a thread': 'launch__registers_per_thread',
    'shared memory a block, kB': 'launch__shared_mem_per_block_dynamic',
}
METRICS = [TIME, BYTES, IPC, MATRIX, *DETAILS.values()]
LONGEST = 3


def profile(arguments):
    program = os.path.join(ROOT, 'qwt-forward')
    if not os.path.exists(program):
        program = os.path.join(ROOT, 'bazel-bin/benchmarks/forward')
    path = os.path.join(arguments.out, 'ncu.csv')
    with open(path, 'w') as file:
        subprocess.run([os.environ.get('NCU', 'ncu'), '--profile-from-start', 'off', '--csv', '--print-units', 'base', '--clock-control', 'none', '--cache-control', 'none', '--metrics',
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
    return [found[number] for number in sorted(found)]


def name_of(kernel):
    """"Product" of "void qwt::(anonymous namespace)::Product<128, true>(qwt::ProductArguments)"; of others what is before parameters, shortened."""
    plain = re.sub(r'^void ', '', kernel).replace('(anonymous namespace)::', '').replace('<unnamed>::', '')
    name = re.split(r'[<(]', plain)[0]
    return name.split('::')[-1] if name.startswith('qwt::') else name[:40]


def kernels(path, device):
    """Launches of one kernel on one grid together, in the order of their first."""
    peak = roofline.peaks_of(device)['operations']
    groups = {}
    for launch in launches(path):
        group = groups.setdefault((launch['kernel'], launch['grid']), {'name': name_of(launch['kernel']), 'kernel': launch['kernel'], 'grid': launch['grid'], 'launches': 0,
                                                                        'seconds': 0, 'bytes': 0, 'operations': 0, 'ipc': 0, 'details': {}})
        seconds = launch[TIME] / 1e9
        group['launches'] += 1
        group['seconds'] += seconds
        group['bytes'] += launch.get(BYTES, 0)
        group['operations'] += launch.get(MATRIX, 0) / 100 * peak * seconds
        group['ipc'] += launch.get(IPC, 0) * seconds
        for name, metric in DETAILS.items():
            if metric in launch:
                group['details'][name] = group['details'].get(name, 0) + launch[metric] * seconds
    for group in groups.values():
        group['ipc'] /= group['seconds']
        group['details'] = {name: value / group['seconds'] / (1e3 if name.endswith('kB') else 1) for name, value in group['details'].items()}
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
    cells = []
    for group in groups:
        memory, matrix = group['bytes'] / group['seconds'], group['operations'] / group['seconds']
        cells.append([group['name'], group['grid'], str(group['launches']), f"{1e6 * group['seconds'] / group['launches']:.1f}", f"{100 * group['seconds'] / total:.1f} %",
                      f'{memory / 1e12:.2f}', f"{100 * memory / peaks['bytes']:.0f} %", f"{100 * matrix / peaks['operations']:.0f} %", bound_by(group, device)])
    header = ['kernel', 'grid', 'launches', 'µs each', 'of the pass', 'memory, TB/s', 'of its peak', "of the matrix units' peak", 'bound by']
    return '\n'.join(rows(header, cells)) + f'\n{sum(group["launches"] for group in groups)} launches, {1e3 * total:.2f} ms'


def details(groups):
    """Of the longest kernels, one a column."""
    longest = sorted(groups, key=lambda group: -group['seconds'])[:LONGEST]
    names = list(dict.fromkeys(name for group in longest for name in group['details']))
    return '\n'.join(rows(['the longest'] + [f"{group['name']}, {1e6 * group['seconds'] / group['launches']:.0f} µs" for group in longest],
                [[name] + [f"{group['details'][name]:.0f}" if name in group['details'] else '' for group in longest] for name in names]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', nargs='?', help='a quantised model')
    parser.add_argument('--model', default='integer_compensated', help='as --models of benchmarks/forward')
    parser.add_argument('--batch', type=int, default=256)
    parser.add_argument('--csv', help='of an earlier run of Nsight Compute')
    parser.add_argument('--device', help="its name; by default nvidia-smi's first")
    parser.add_argument('--title', help="of the plot; by default the file's name and the batch")
    parser.add_argument('--out', default='.')
    arguments = parser.parse_args()
    if not arguments.file and not arguments.csv:
        parser.error('a MODEL or --csv is needed')
    os.makedirs(arguments.out, exist_ok=True)
    device = arguments.device or subprocess.run(['nvidia-smi', '--query-gpu=name', '--format=csv,noheader'], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    groups = kernels(arguments.csv or profile(arguments), device)
    print(table(groups, device), details(groups), sep='\n\n', end='')
    path = os.path.join(arguments.out, 'kernels.json')
    title = arguments.title or f'{os.path.splitext(os.path.basename(arguments.file or arguments.csv))[0]}, batch {arguments.batch}'
    with open(path, 'w') as file:
        json.dump({'device': device, 'title': title, 'kernels': groups}, file, indent=1)
    with open(os.path.join(arguments.out, 'roofline.svg'), 'w') as file:
        file.write(roofline.svg(title, device, groups))


if __name__ == '__main__':
    main()
