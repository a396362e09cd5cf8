#!/usr/bin/env python3
"""table.py results.json: the figures of run.sh as tables."""
import json
import statistics
import sys


def rows(head, lines):
    lines = list(lines)
    if not lines:
        return []
    return ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head), *('| ' + ' | '.join(line) + ' |' for line in lines), '']


def waited(stage):
    return stage.get('load_seconds', 0) + stage.get('transfer_seconds', 0)


def seconds(stage):
    """"1.25 (0.90)": of a stage, and without what it waited for images; of several runs the medians, with the range behind them: "1.25 (0.90), 1.19–1.31"."""
    if stage is None:
        return '-'
    repeats = stage.get('repeats', [stage])
    cell = f"{stage['seconds']:.2f}"
    if 'load_seconds' in stage:
        cell += f" ({statistics.median(repeat['seconds'] - waited(repeat) for repeat in repeats):.2f})"
    if len(repeats) > 1:
        cell += f", {min(repeat['seconds'] for repeat in repeats):.2f}–{max(repeat['seconds'] for repeat in repeats):.2f}"
    return cell


def peak_bytes(stage):
    """Of the GPU's tensors, where it computed on one, else of the process."""
    return stage.get('gpu_peak_bytes') or stage['peak_bytes']


def by_name(entry):
    return {stage['name']: stage for stage in entry['stages']}


def apart(entry):
    """What differs from one GPU: predictions, and the largest relative difference of scales and solutions."""
    agreement = entry.get('agreement')
    if not agreement:
        return '-', '-'
    predictions, model = agreement.get('predictions'), agreement.get('model')
    return (f"{predictions['differing']} of {predictions['integers']}" if predictions else '-', f"{model['largest']:.1e}" + (f", {model['differing']} codes" if model['differing'] else '') if model else '-')


def stages(results):
    for network, runs in results['stages'].items():
        for gpus, entry in sorted(runs.items(), key=lambda item: int(item[0])):
            found = by_name(entry)
            evaluate = found.get('evaluate')
            yield [network, gpus, *(seconds(found.get(name)) for name in ('calibrate', 'quantize', 'fit', 'evaluate')),
                   f"{evaluate['images_per_second']:.0f}" if evaluate else '-', f"{max(map(peak_bytes, entry['stages'])) / 1e9:.2f} GB", *apart(entry)]


def forward(results):
    for network, entry in results['forward'].items():
        for batch in dict.fromkeys(result['batch'] for result in entry['results']):
            of = {result['model']: result for result in entry['results'] if result['batch'] == batch}
            cells = []
            for model in ('float', 'quantized', 'compensated'):
                result = of.get(model, {})
                cells.append(f"{result['images_per_second']:.0f}" if 'ms' in result else 'failed' if 'error' in result else '-')
            cells += [f"{of[model]['ratio']:.2f}" if 'ratio' in of.get(model, {}) else '-' for model in ('quantized', 'compensated')]
            peak = max((result.get('peak_bytes', 0) for result in of.values()), default=0)
            yield [network, str(batch), *cells, f'{peak / 1e9:.2f} GB' if peak else '-']


def integer(results):
    for network, entry in results['integer'].items():
        timm = entry.get('timm', {})
        for batch in dict.fromkeys(result['batch'] for result in entry['results']):
            of = {result['model']: result for result in entry['results'] if result['batch'] == batch}
            beside = timm.get('networks', {}).get(network, {}) if timm.get('batch') == batch else {}
            ours = of.get('integer_compensated', {})

            def rate(model, of=of):
                return f"{of[model]['images_per_second']:.0f}" if 'ms' in of.get(model, {}) else 'failed' if 'error' in of.get(model, {}) else '-'

            def times(other, ours=ours):
                return f"{ours['images_per_second'] / other:.2f}" if other and 'ms' in ours else '-'

            plain = of.get('integer', {})
            cost = f"{100 * (1 - plain['ms'] / ours['ms']):.0f} %" if 'ms' in ours and 'ms' in plain else '-'
            yield [network, str(batch), *map(rate, ('compensated', 'integer', 'integer_eager', 'integer_compensated', 'integer_compensated_eager', 'bf16')),
                   *(f'{beside[how]:.0f}' if how in beside else '-' for how in ('eager', 'compiled')), times(beside.get('eager')), times(beside.get('compiled')),
                   cost, f"{100 * plain['peak_share']:.1f} %" if 'peak_share' in plain else '-', f"{ours['peak_bytes'] / 1e9:.2f} GB" if 'peak_bytes' in ours else '-']


def scaling(results):
    for network, runs in results['scaling'].items():
        one = by_name(runs['1'])['evaluate']['seconds'] if '1' in runs else None
        for gpus, entry in sorted(runs.items(), key=lambda item: int(item[0])):
            evaluate = by_name(entry)['evaluate']
            yield [network, gpus, str(evaluate['images']), seconds(evaluate), f"{evaluate['images_per_second']:.0f}", f"{one / evaluate['seconds']:.2f}" if one else '-', apart(entry)[0]]


def decode(results):
    for network, runs in results['decode'].items():
        for name, entry in runs.items():
            for stage in entry['stages']:
                if 'bound_by' in stage:
                    yield [network, name, stage['name'], str(stage['images']), f"{stage['seconds']:.2f}", f"{stage['load_seconds']:.2f}", f"{stage.get('transfer_seconds', 0):.2f}",
                           f"{stage['images_per_second']:.0f}", stage['bound_by']]


def text(results):
    machine = results['machine']
    gpus = machine.get('gpus', [])
    where = f"{len(gpus)} x {gpus[0]}, driver {machine['driver']}" if gpus else 'no GPU'
    lines = [f"{where}, {machine['cores']} cores, load {machine['load']:.2f}, LibTorch {machine.get('libtorch', '-')}, QwT {machine.get('version', '-')} {machine.get('commit', '')}".rstrip(), '']
    lines += rows(['network', 'GPUs', 'calibrate, s', 'quantize, s', 'fit, s', 'evaluate, s', 'images/s', 'peak memory', 'other predictions', 'scales and solutions apart'], stages(results))
    lines += rows(['network', 'batch', 'float, images/s', 'quantised', 'compensated', 'quantised, times float', 'compensated, times float', 'peak memory'], forward(results))
    lines += rows(['network', 'batch', 'fake, compensated, images/s', 'integer', 'launched one by one', 'integer, compensated', 'launched one by one', 'LibTorch, bfloat16', 'timm, bfloat16, eager', 'compiled',
                   'ours, times eager', 'times compiled', 'compensation costs', 'of the peak', 'memory'], integer(results))
    lines += rows(['network', 'GPUs', 'images', 'evaluate, s', 'images/s', 'times one GPU', 'other predictions'], scaling(results))
    lines += rows(['network', 'run', 'stage', 'images', 'seconds', 'waited for decoding', 'for transfer', 'images/s', 'bound by'], decode(results))
    return '\n'.join(lines).rstrip()


if __name__ == '__main__':
    with open(sys.argv[1]) as opened:
        print(text(json.load(opened)))
