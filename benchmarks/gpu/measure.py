"""What run.sh measures: runs the programs, gathers their figures in OUT/results.json, prints table.py's tables."""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

import table

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IN_BUNDLE = os.path.exists(os.path.join(ROOT, 'qwt-run'))
RESNET = ['quantize.method=percentile', 'fit.compensator=group_conv', 'fit.factor=64', 'fit.kernel_size=1']
# Of each network: the dataset's preset, the side that it resizes to, and in what its published setting differs from DeiT's.
NETWORKS = {
    'deit_small': ('deit', 256, []),
    'deit_base': ('deit', 256, []),
    'swin_tiny': ('swin', 248, []),
    'resnet50': ('resnet', 256, RESNET),
}
STEPS = ('stages', 'forward', 'integer', 'scaling', 'decode')
# Beside integers the fake quantiser's numerics, and LibTorch's own bfloat16.
INTEGER_MODELS = 'float,compensated,integer,integer_compensated,bf16'


class Failure(Exception):
    pass


def parse():
    def names(allowed):
        def split(text):
            chosen = text.replace(',', ' ').split()
            for name in chosen:
                if name not in allowed:
                    raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(allowed)}")
            return chosen
        return split

    def numbers(text):
        return [int(number) for number in text.replace(',', ' ').split()]

    parser = argparse.ArgumentParser(prog='run.sh', formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('--networks', type=names(NETWORKS), default=list(NETWORKS))
    parser.add_argument('--steps', type=names(STEPS), default=list(STEPS))
    parser.add_argument('--gpus', type=numbers, default=None, help='how many to use in turn; all that there are, and one, where it is not said')
    parser.add_argument('--device', default='auto', help='runtime.device')
    parser.add_argument('--calibrate', type=int, default=32, help='images')
    parser.add_argument('--fit', type=int, default=512, help='images')
    parser.add_argument('--images', type=int, default=10000, help='images to evaluate in stages and decode')
    parser.add_argument('--scaling_images', type=int, default=20000, help='images to evaluate in scaling')
    parser.add_argument('--repeats', type=int, default=1, help='runs of stages on each number of GPUs, of whose seconds the medians are taken')
    parser.add_argument('--batch', type=numbers, default=[32, 128, 256], help='batches of forward')
    parser.add_argument('--seconds', type=float, default=2, help='how long forward repeats each')
    parser.add_argument('--distinct', type=int, default=200, help='different JPEGs of decode; the others are links to them')
    parser.add_argument('--budget', type=float, default=3600, help='seconds for all; what does not fit is left out, and said')
    parser.add_argument('--work', default=os.path.join(os.environ.get('TMPDIR', '/tmp'), 'qwt_gpu'), help='weights, images, stores and runs; some GB')
    parser.add_argument('--out', default=None, help='folder of results.json; by default that of --work')
    parser.add_argument('--set', nargs='*', default=[], metavar='KEY.PATH=VALUE', help='more overrides of every run')
    return parser.parse_args()


class Bench:
    def __init__(self, args):
        self.args = args
        self.deadline = time.monotonic() + args.budget
        self.out = args.out or args.work
        os.makedirs(args.work, exist_ok=True)
        os.makedirs(self.out, exist_ok=True)
        self.file = os.path.join(self.out, 'results.json')
        self.results = {'machine': {}, **{step: {} for step in STEPS}}
        if os.path.exists(self.file):
            with open(self.file) as file:
                self.results.update(json.load(file))
        self.results['machine'].update(machine())

    def save(self):
        with open(self.file + '.new', 'w') as file:
            json.dump(self.results, file, indent=1)
        os.replace(self.file + '.new', self.file)

    def program(self, name, *arguments, **environment):
        """Its standard output."""
        folder = 'pipelines' if name == 'run' else 'benchmarks'
        path = os.path.join(ROOT, f'qwt-{name}' if IN_BUNDLE else f'bazel-bin/{folder}/{name}')
        return self.execute(name, [path], *arguments, **environment)

    def execute(self, name, command, *arguments, **environment):
        left = self.deadline - time.monotonic()
        if left < 1:
            raise Failure('no time left (--budget)')
        print(f'  {name} {" ".join(arguments)}', file=sys.stderr)
        # A group of its own, so that ranks end with the program that started them.
        with subprocess.Popen([*command, *arguments], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              start_new_session=True) as process:
            try:
                output, errors = process.communicate(timeout=left)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Failure(f'{name}: stopped after {left:.0f} s (--budget)') from error
                raise
        if process.returncode:
            raise Failure(f'{name}: exit code {process.returncode}: {(errors or output).strip()[-600:]}')
        return output

    def path(self, *parts):
        return os.path.join(self.args.work, *parts)

    def weights(self, network):
        path = self.path(f'{network}.safetensors')
        if not os.path.exists(path):
            self.program('formula_weights', os.path.join(ROOT, 'tests/golden/fullsize.json'), network, path + '.new')
            os.replace(path + '.new', path)
        return path

    def run(self, folder, gpus, *arguments, **environment):
        """A run's result.json."""
        self.program('run', *arguments, f'runtime.device={self.args.device}', *self.args.set, '--out', folder, f'--nproc={gpus}', **environment)
        with open(os.path.join(folder, 'result.json')) as file:
            result = json.load(file)
        self.results['machine'].update({key: result['environment'][key] for key in ('version', 'libtorch', 'device')})
        return result

    def quantise(self, network, gpus, name, images, fit):
        """All stages with an empty store, in the folder NETWORK-name."""
        preset, side, more = NETWORKS[network]
        store, folder = self.path('store'), self.path(f'{network}-{name}')
        for old in (store, folder):
            shutil.rmtree(old, ignore_errors=True)
        return folder, self.run(folder, gpus, 'configs/generated.yaml', f'model.name={network}', f'model.weights={self.weights(network)}', f'dataset.preset={preset}',
                                f'dataset.side={side}', f'dataset.images={images}', f'calibrate.images={self.args.calibrate}', f'fit.images={fit}', *more,
                                f'runtime.store={store}')

    def agreement(self, network, name, gpus):
        """How far a run on several GPUs is from that on one; None without the latter."""
        one, many = self.path(f'{network}-{name}1'), self.path(f'{network}-{name}{gpus}')
        found = {}
        for file in ('predictions', 'model'):
            pair = [os.path.join(folder, f'{file}.safetensors') for folder in (one, many)]
            if all(map(os.path.exists, pair)):
                found[file] = json.loads(self.program('compare_tensors', *pair))
        return found or None

    def stages(self, network):
        runs = {gpus: [] for gpus in self.args.gpus}
        agreements = {gpus: [] for gpus in self.args.gpus}
        for repeat in range(self.args.repeats):
            # There and back, so that what changes with time, a clock or a cache, meets all alike.
            for gpus in self.args.gpus if repeat % 2 == 0 else reversed(self.args.gpus):
                runs[gpus].append(self.quantise(network, gpus, f'gpus{gpus}', self.args.images, self.args.fit)[1])
                if gpus > 1:
                    agreements[gpus].append(self.agreement(network, 'gpus', gpus))
                self.results['stages'].setdefault(network, {})[str(gpus)] = summary(runs[gpus], agreements[gpus])
                self.save()

    def model(self, network):
        """A saved model of the network: that of `stages` on one GPU, or a quick one."""
        for name in ('gpus1', 'quick'):
            path = self.path(f'{network}-{name}', 'model.safetensors')
            if os.path.exists(path):
                return path
        self.quantise(network, 1, 'quick', 1, min(self.args.fit, 64))
        return self.path(f'{network}-quick', 'model.safetensors')

    def forward(self, network):
        path = self.path(f'{network}-forward.json')
        self.program('forward', self.model(network), f'--device={self.args.device}', '--batch=' + ','.join(map(str, self.args.batch)),
                     f'--seconds={self.args.seconds}', f'--json={path}')
        with open(path) as file:
            self.results['forward'][network] = json.load(file)

    def integer(self, network):
        """The network as integers beside what it competes with: the fake quantiser, LibTorch's bfloat16, and timm's, eager and compiled, at the largest batch."""
        path = self.path(f'{network}-integer.json')
        self.program('forward', self.model(network), f'--device={self.args.device}', '--batch=' + ','.join(map(str, self.args.batch)),
                     f'--models={INTEGER_MODELS}', '--eager', f'--seconds={self.args.seconds}', f'--json={path}')
        with open(path) as file:
            entry = self.results['integer'][network] = json.load(file)
        self.save()
        timm = self.path(f'{network}-timm.json')
        script = os.path.join(ROOT, 'benchmarks/gpu/bf16.py')
        self.execute('bf16.py', [sys.executable, '-B', script], f'--networks={network}', f'--batch={max(self.args.batch)}', '--compile', f'--json={timm}')
        with open(timm) as file:
            entry['timm'] = json.load(file)

    def scaling(self, network):
        preset, side, _ = NETWORKS[network]
        for gpus in self.args.gpus:
            folder = self.path(f'{network}-scaling{gpus}')
            for old in (self.path('store'), folder):
                shutil.rmtree(old, ignore_errors=True)
            dataset = f'dataset={{name: generated, preset: {preset}, side: {side}, images: {self.args.scaling_images}}}'
            result = self.run(folder, gpus, 'configs/evaluate_saved.yaml', f'load_quantized.file={self.model(network)}', dataset, f'runtime.store={self.path("store")}')
            entry = {'stages': result['stages']}
            if gpus > 1:
                entry['agreement'] = self.agreement(network, 'scaling', gpus)
            self.results['scaling'].setdefault(network, {})[str(gpus)] = entry
            self.save()

    def jpegs(self):
        """An image_folder of ImageNet's classes: links to `distinct` files, so that all lie in the page cache."""
        images, distinct = self.args.images, min(self.args.distinct, self.args.images)
        root, made = self.path(f'jpegs-{images}-{distinct}'), self.path(f'jpegs-{distinct}')
        if os.path.exists(root):
            return root
        shutil.rmtree(made, ignore_errors=True)
        self.program('images', 'make', made, str(distinct))
        files = sorted(entry.path for entry in os.scandir(os.path.join(made, 'val', 'class')))
        for split, count in (('train', max(1000, self.args.fit, self.args.calibrate)), ('val', max(1000, images))):
            for label in range(1000):
                os.makedirs(os.path.join(root + '.new', split, f'{label:04}'))
            for i in range(count):
                os.link(files[i % distinct], os.path.join(root + '.new', split, f'{i % 1000:04}', f'{i:06}.jpg'))
        os.replace(root + '.new', root)
        return root

    def decode(self, network):
        root, store = self.jpegs(), self.path('store')
        shutil.rmtree(store, ignore_errors=True)
        environment = {'IMAGENET': root, 'QWT_WEIGHTS': self.args.work}
        # The second run has other scales and solutions, and finds the crops.
        for name, bits in (('first', 4), ('second', 6)):
            folder = self.path(f'{network}-decode-{name}')
            shutil.rmtree(folder, ignore_errors=True)
            result = self.run(folder, self.args.gpus[0], f'configs/{network}_w4a4.yaml', f'model.weights={self.weights(network)}', 'expected.of=none',
                              'evaluate.crop_cache=true', f'evaluate.images={self.args.images}', f'calibrate.images={self.args.calibrate}', f'fit.images={self.args.fit}',
                              f'quantize.weight_bits={bits}', f'quantize.activation_bits={bits}', f'runtime.store={store}', **environment)
            self.results['decode'].setdefault(network, {})[name] = {'stages': result['stages']}
            self.save()


def summary(runs, agreements):
    """Of several runs: the medians of each stage's times with the single ones beside them, its highest memory; how far the run that is furthest from one GPU's is."""
    stages = []
    for repeats in zip(*(run['stages'] for run in runs)):
        stage = dict(repeats[-1])
        for key in stage.keys() & {'seconds', 'load_seconds', 'transfer_seconds', 'images_per_second'}:
            stage[key] = statistics.median(repeat[key] for repeat in repeats)
        for key in stage.keys() & {'peak_bytes', 'gpu_peak_bytes'}:
            stage[key] = max(repeat[key] for repeat in repeats)
        if len(repeats) > 1:
            stage['repeats'] = [{key: repeat[key] for key in ('seconds', 'load_seconds', 'transfer_seconds') if key in repeat} for repeat in repeats]
        stages.append(stage)
    entry = {'stages': stages, 'evaluation': runs[-1]['evaluation']}
    found = [agreement for agreement in agreements if agreement]
    if found:
        entry['agreement'] = max(found, key=lambda agreement: [(part['differing'], part['largest']) for part in agreement.values()])
    return entry


def machine():
    found = {'cores': os.cpu_count(), 'load': os.getloadavg()[0]}
    try:
        lines = subprocess.run(['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader'], capture_output=True, text=True, check=True).stdout.splitlines()
        found['gpus'] = [line.split(', ')[0] for line in lines]
        found['driver'] = lines[0].split(', ')[1]
    except (OSError, subprocess.CalledProcessError):
        found['gpus'] = []
    if not IN_BUNDLE:
        found['commit'] = subprocess.run(['git', 'describe', '--always', '--dirty'], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    return found


def main():
    args = parse()
    bench = Bench(args)
    if args.gpus is None:
        args.gpus = sorted({1, max(1, len(bench.results['machine']['gpus']))})
    failures = []
    for step in args.steps:
        for network in args.networks if step != 'decode' else args.networks[:1]:
            print(f'{step} {network}', file=sys.stderr)
            try:
                getattr(bench, step)(network)
            except Failure as failure:
                failures.append(f'{step} {network}: {failure}')
            bench.save()
    print(table.text(bench.results))
    print(f'\n{bench.file}')
    for failure in failures:
        print(f'not measured: {failure}', file=sys.stderr)
    sys.exit(1 if failures else 0)


main()
