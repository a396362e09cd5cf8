#!/usr/bin/env python3
"""Writes a checkpoint in one of the formats that are read, from the names and shapes on stdin ("NAME 768 768", a line each).

  benchmarks/make_checkpoints.py FORMAT DTYPE FILE   FORMAT: safetensors, pth, legacy_pth, npz; DTYPE: float32, float16, bfloat16 (not in npz)

The files are laid out as PyTorch, NumPy and safetensors lay them out; the values are small numbers that repeat. Python's standard library only.
"""
import array, collections, json, math, pickle, random, struct, sys, types, zipfile, zlib

WIDTH = {'float32': 4, 'float16': 2, 'bfloat16': 2}
STORAGE = {'float32': 'FloatStorage', 'float16': 'HalfStorage', 'bfloat16': 'BFloat16Storage'}


def block(dtype):
    """A million values between -0.1 and 0.1."""
    values = [random.Random(0).uniform(-0.1, 0.1) for _ in range(1 << 20)]
    if dtype == 'float16':
        return struct.pack(f'<{len(values)}e', *values)
    raw = array.array('f', values).tobytes()
    if dtype == 'float32':
        return raw
    out = bytearray(len(raw) // 2)  # bfloat16: the upper half of a float32
    out[0::2], out[1::2] = raw[2::4], raw[3::4]
    return bytes(out)


def pieces(block, count):
    """`count` bytes of the block again and again."""
    for begin in range(0, count, len(block)):
        yield block[:min(len(block), count - begin)]


def write_safetensors(path, shapes, dtype, values):
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * WIDTH[dtype]
        header[name] = {'dtype': {'float32': 'F32', 'float16': 'F16', 'bfloat16': 'BF16'}[dtype], 'shape': shape, 'data_offsets': [begin, end]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for piece in pieces(values, end):
            file.write(piece)


def add(archive, name, parts, count, align):
    """A stored entry whose content begins at a multiple of `align`, as PyTorch pads it: by an extra field."""
    info = zipfile.ZipInfo(name)
    begin = archive.fp.tell() + 30 + len(name) + 20 + 4  # 20: zipfile's zip64 field of a local header
    info.extra = (lambda pad: struct.pack('<2sH', b'FB', pad) + b'Z' * pad)(-begin % align)
    with archive.open(info, 'w', force_zip64=True) as entry:
        for part in parts:
            entry.write(part)
    assert align == 1 or (archive.fp.tell() - count) % align == 0


def write_npz(path, shapes, dtype, values):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, shape in shapes.items():
            text = repr({'descr': {'float32': '<f4', 'float16': '<f2'}[dtype], 'fortran_order': False, 'shape': tuple(shape)})
            text += ' ' * (-(10 + len(text) + 1) % 64) + '\n'
            head = b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text.encode()
            count = math.prod(shape) * WIDTH[dtype]
            add(archive, name + '.npy', [head, *pieces(values, count)], len(head) + count, 1)  # NumPy aligns nothing


class Storage:
    def __init__(self, key, kind, elements):
        self.key, self.kind, self.elements = key, kind, elements


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, tuple(shape)

    def __reduce__(self):
        strides = tuple(math.prod(self.shape[i + 1:]) for i in range(len(self.shape)))
        return sys.modules['torch._utils']._rebuild_tensor_v2, (self.storage, 0, self.shape, strides, False, collections.OrderedDict())


def global_named(module, name):
    """Something that pickles as module.name."""
    sys.modules.setdefault(module, types.ModuleType(module))
    value = type(name, (), {'__module__': module})
    setattr(sys.modules[module], name, value)
    return value


class Pickler(pickle._Pickler):
    def __init__(self, file, legacy):
        super().__init__(file, 2)
        self.legacy = legacy

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return ('storage', value.kind, value.key, 'cpu', value.elements) + ((None,) if self.legacy else ())


def state(shapes, dtype):
    kind = global_named('torch', STORAGE[dtype])
    global_named('torch._utils', '_rebuild_tensor_v2')
    return collections.OrderedDict((name, Tensor(Storage(str(i), kind, math.prod(shape)), shape)) for i, (name, shape) in enumerate(shapes.items()))


def write_pth(path, shapes, dtype, values):
    class Sink(list):
        write = list.append
    pickled = Sink()
    Pickler(pickled, legacy=False).dump(state(shapes, dtype))
    pickled = b''.join(pickled)
    with zipfile.ZipFile(path, 'w') as archive:
        add(archive, 'archive/data.pkl', [pickled], len(pickled), 64)
        add(archive, 'archive/byteorder', [b'little'], 6, 64)
        for i, shape in enumerate(shapes.values()):
            count = math.prod(shape) * WIDTH[dtype]
            add(archive, f'archive/data/{i}', pieces(values, count), count, 64)
        add(archive, 'archive/version', [b'3\n'], 2, 64)


def write_legacy_pth(path, shapes, dtype, values):
    with open(path, 'wb') as file:
        for value in (0x1950a86a20f9469cfc6c, 1001, {'protocol_version': 1001, 'little_endian': True, 'type_sizes': {'short': 2, 'int': 4, 'long': 4}}):
            pickle.dump(value, file, 2)
        Pickler(file, legacy=True).dump(state(shapes, dtype))
        pickle.dump([str(i) for i in range(len(shapes))], file, 2)
        for shape in shapes.values():
            file.write(struct.pack('<q', math.prod(shape)))
            for piece in pieces(values, math.prod(shape) * WIDTH[dtype]):
                file.write(piece)


WRITERS = {'safetensors': write_safetensors, 'pth': write_pth, 'legacy_pth': write_legacy_pth, 'npz': write_npz}


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in WRITERS or sys.argv[2] not in WIDTH or sys.argv[1:3] == ['npz', 'bfloat16']:
        sys.exit(__doc__)
    shapes = {}
    for line in sys.stdin:
        name, *sizes = line.split()
        shapes[name] = [int(size) for size in sizes]
    WRITERS[sys.argv[1]](sys.argv[3], shapes, sys.argv[2], block(sys.argv[2]))


if __name__ == '__main__':
    main()
