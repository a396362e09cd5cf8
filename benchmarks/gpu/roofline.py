#!/usr/bin/env python3
"""A roofline plot: operations a second of each kernel against operations for each byte of memory, below what the device can.
    python3 benchmarks/gpu/roofline.py kernels.json > roofline.svg"""
import json
import math
import sys
from xml.sax.saxutils import escape

# By data sheet, without sparsity: bytes a second of memory, int8 and 16-bit float operations a second. The first name that fits.
PEAKS = [('H100 PCIe', 2.0e12, 1513e12, 756e12), ('H100 NVL', 3.9e12, 1671e12, 835e12), ('H100', 3.35e12, 1979e12, 989e12), ('H200', 4.8e12, 1979e12, 989e12), ('A100', 2.0e12, 624e12, 312e12)]
LEGEND, LINE = 270, 16
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 700 + LEGEND, 460, 70, 20 + LEGEND, 40, 60
LEAST_SHARE = 0.01  # of the pass, to be drawn
LEAST_MATRIX = 0.05  # of the matrix units' peak: what is counted below it is no product


def peaks_of(device):
    for name, memory, integers, floats in PEAKS:
        if name in device:
            return {'bytes': memory, 'operations': integers, 'floats': floats}
    sys.exit(f"the peaks of '{device}' are not known; roofline.py has those of " + ', '.join(peak[0] for peak in PEAKS))


class Axes:
    """Decades that hold all points and the ridge."""

    def __init__(self, points, peaks):
        ridge = peaks['operations'] / peaks['bytes']
        self.low_x = math.floor(math.log10(min([x for x, _ in points] + [ridge / 20])))
        self.high_x = math.ceil(math.log10(max([x for x, _ in points] + [ridge * 4])))
        self.low_y = math.floor(math.log10(min([y for _, y in points] + [peaks['operations'] / 100])))
        self.high_y = math.log10(peaks['operations'] * 2)

    def x(self, value):
        return LEFT + (math.log10(value) - self.low_x) / (self.high_x - self.low_x) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - (math.log10(value) - self.low_y) / (self.high_y - self.low_y) * (HEIGHT - TOP - BOTTOM)


def text(x, y, content, anchor='start', extra=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(content)}</text>'


def line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def grid(axes):
    thin = 'stroke="#e4e4e4"'
    for decade in range(axes.low_x, axes.high_x + 1):
        x = axes.x(10**decade)
        yield line(x, TOP, x, HEIGHT - BOTTOM, thin)
        yield text(x, HEIGHT - BOTTOM + 18, f'{10**decade:g}', 'middle')
    for decade in range(axes.low_y, math.floor(axes.high_y) + 1):
        y = axes.y(10**decade)
        yield line(LEFT, y, WIDTH - RIGHT, y, thin)
        yield text(LEFT - 8, y + 4, f'{10**(decade - 12):g}', 'end')
    yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 38, 'operations for each byte of memory', 'middle')
    yield text(18, (TOP + HEIGHT - BOTTOM) / 2, 'TOP/s', 'middle', f'transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2:.1f})"')


def roofs(axes, peaks):
    style, end = 'stroke="#555" stroke-width="1.5"', 10**axes.high_x
    start = max(10**axes.low_x, 10**axes.low_y / peaks['bytes'])
    ridge = peaks['operations'] / peaks['bytes']
    yield line(axes.x(start), axes.y(start * peaks['bytes']), axes.x(ridge), axes.y(peaks['operations']), style)
    yield text(axes.x(start) + 4, axes.y(start * peaks['bytes'] * 4), f"memory, {peaks['bytes'] / 1e12:g} TB/s")
    for what, peak, dash in (('int8', peaks['operations'], ''), ('float16', peaks['floats'], ' stroke-dasharray="5 4"')):
        yield line(axes.x(peak / peaks['bytes']), axes.y(peak), axes.x(end), axes.y(peak), style + dash)
        yield text(axes.x(end) - 4, axes.y(peak) - 5, f'{what}, {peak / 1e12:.0f} TOP/s', 'end')


def radius(group, total):
    return 3 + 12 * math.sqrt(group['seconds'] / total)


def numbers(axes, points, groups, total):
    """The points' numbers, and what they are, beside the plot: the longest first."""
    for number, ((x, y), group) in enumerate(zip(points, groups), 1):
        yield text(axes.x(x), axes.y(y) + 4, str(number), 'middle', 'font-weight="bold" stroke="#fff" stroke-width="2.5" paint-order="stroke"')
        at = TOP + 10 + (number - 1) * LINE
        yield text(WIDTH - LEGEND + 20, at, str(number), 'end', 'font-weight="bold"')
        yield text(WIDTH - LEGEND + 26, at, f"{group['name'][:22]}, {1e6 * group['seconds'] / group['launches']:.0f} µs × {group['launches']}, {100 * group['seconds'] / total:.0f} %")


def svg(title, device, groups):
    """groups: of kernels.py. Those without products, and those too short to matter, are not drawn but named."""
    peaks = peaks_of(device)
    total = sum(group['seconds'] for group in groups)
    drawn = [group for group in groups if group['seconds'] >= LEAST_SHARE * total and group['bytes'] > 0 and group['operations'] / group['seconds'] >= LEAST_MATRIX * peaks['operations']]
    drawn.sort(key=lambda group: -group['seconds'])
    without = sum(group['seconds'] for group in groups if group not in drawn)
    points = [(group['operations'] / group['bytes'], group['operations'] / group['seconds']) for group in drawn]
    axes = Axes(points, peaks)
    height = max(HEIGHT, TOP + 30 + (len(drawn) + 2) * LINE)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11" fill="#222">', f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
             text(LEFT, 22, f'{title}, {device}', extra='font-size="13"'), *grid(axes), *roofs(axes, peaks)]
    for (x, y), group in zip(points, drawn):
        parts.append(f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="{radius(group, total):.1f}" fill="#2563a8" fill-opacity="0.45" stroke="#2563a8"><title>{escape(group["kernel"])}</title></circle>')
    rest = text(WIDTH - LEGEND + 26, TOP + 10 + len(drawn) * LINE, f'no products, or under 1 % each: {100 * without / total:.0f} %')
    return '\n'.join([*parts, *numbers(axes, points, drawn, total), rest, '</svg>\n'])


if __name__ == '__main__':
    with open(sys.argv[1]) as opened:
        found = json.load(opened)
    print(svg(found['title'], found['device'], found['kernels']), end='')
