"""Looking at media files without weir: ffprobe's facts, decoded pictures, sound levels, mp4 atoms.

The chart clips code a position in every pixel: luma rises from left to right, Cb from top to bottom. So any pixel
of an output tells which point of the source it shows, and a wrong crop, turn or stretch cannot hide.
"""
import json
import os
import re
import struct
import subprocess
from fractions import Fraction

LUMA = (40, 215)     # at the left and the right edge of a chart
CHROMA = (60, 196)   # Cb at the top and the bottom edge


def run(arguments, **options):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise AssertionError('%s failed: %s' % (arguments[:3], done.stderr.decode(errors='replace')[-800:]))
    return done


def probe(path, packets=False):
    more = ['-count_packets'] if packets else []
    done = run(['ffprobe', '-v', 'error', '-show_format', '-show_streams', *more, '-of', 'json', b'file:' + os.fsencode(path)])
    return json.loads(done.stdout.decode('utf-8', 'replace'))


def video(facts):
    return next(s for s in facts['streams'] if s['codec_type'] == 'video' and not s['disposition'].get('attached_pic'))


def audios(facts):
    return [s for s in facts['streams'] if s['codec_type'] == 'audio']


def kinds(facts):
    return [s['codec_type'] for s in facts['streams']]


def rotation(stream):
    for side in stream.get('side_data_list', []):
        if 'rotation' in side:
            return int(side['rotation'])
    return int(stream.get('tags', {}).get('rotate', 0))


def rate(stream, key='avg_frame_rate'):
    return Fraction(stream[key])


def packet_times(path, select='v:0', key='pts_time'):
    done = run(['ffprobe', '-v', 'error', '-select_streams', select, '-show_entries', 'packet=' + key, '-of', 'csv=p=0',
                b'file:' + os.fsencode(path)])
    return sorted(float(line.strip().strip(',')) for line in done.stdout.decode().splitlines()
                  if line.strip().strip(',') not in ('', 'N/A'))


def decodes(path):
    """None when every stream decodes to its end without a word, else what was said."""
    done = subprocess.run(['ffmpeg', '-nostdin', '-v', 'error', '-xerror', '-i', b'file:' + os.fsencode(path),
                           '-map', '0:v?', '-map', '0:a?', '-vsync', 'passthrough',
                           '-enc_time_base', '-1', '-f', 'null', '-'],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = done.stderr.decode(errors='replace').strip()
    return said or ('exit %d' % done.returncode) if done.returncode or said else None


class Frame:
    """One picture as three full planes (4:4:4, 8 bits)."""

    def __init__(self, width, height, data):
        self.width, self.height, self.data = width, height, data

    def at(self, x, y, radius=3):
        """Mean (Y, Cb, Cr) around a point given as fractions of the width and height."""
        cx, cy = int(x * self.width), int(y * self.height)
        x0, x1 = max(0, cx - radius), min(self.width, cx + radius + 1)
        y0, y1 = max(0, cy - radius), min(self.height, cy + radius + 1)
        plane = self.width * self.height
        totals = []
        for number in range(3):
            total = 0
            for row in range(y0, y1):
                start = number * plane + row * self.width
                total += sum(self.data[start + x0:start + x1])
            totals.append(total / ((x1 - x0) * (y1 - y0)))
        return totals


def frames(path, count=1, before=()):
    """The first pictures as a player shows them (rotation applied by ffmpeg, if any is left in the file)."""
    done = run(['ffmpeg', '-nostdin', '-v', 'error', *before, '-i', b'file:' + os.fsencode(path), '-map', '0:v:0', '-vsync', 'passthrough',
                '-frames:v', str(count), '-pix_fmt', 'yuv444p', '-f', 'yuv4mpegpipe', '-strict', '-1', '-'])
    data = done.stdout
    end = data.index(b'\n')
    head = data[:end].split()
    width = int(next(w for w in head if w.startswith(b'W'))[1:])
    height = int(next(w for w in head if w.startswith(b'H'))[1:])
    found = []
    position = end + 1
    while position < len(data):
        position = data.index(b'\n', position) + 1
        found.append(Frame(width, height, data[position:position + 3 * width * height]))
        position += 3 * width * height
    return found


def chart_point(sample):
    """Which point of the chart (fractions) has this colour."""
    return ((sample[0] - LUMA[0]) / (LUMA[1] - LUMA[0]), (sample[1] - CHROMA[0]) / (CHROMA[1] - CHROMA[0]))


def turned(x, y, degrees):
    """The coded point that a player shows at (x, y) when the picture is turned clockwise by `degrees`."""
    return {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees % 360]


def crop_window(width, height, aspect, focus=(0.5, 0.5)):
    """The part of a displayed picture that a crop keeps: left, top, width, height as fractions."""
    if Fraction(width) / Fraction(height) > aspect:
        part = float(Fraction(height) * aspect / Fraction(width))
        return (focus[0] * (1 - part), 0.0, part, 1.0)
    part = float(Fraction(width) / aspect / Fraction(height))
    return (0.0, focus[1] * (1 - part), 1.0, part)


def chart_errors(frame, window=(0, 0, 1, 1), degrees=0, tolerance=0.03):
    """Points of an output that do not show what they must; empty when the picture is right."""
    wrong = []
    for v in (0.06, 0.3, 0.5, 0.7, 0.94):
        for u in (0.06, 0.3, 0.5, 0.7, 0.94):
            shown = (window[0] + u * window[2], window[1] + v * window[3])
            want = turned(shown[0], shown[1], degrees)
            found = chart_point(frame.at(u, v))
            if abs(want[0] - found[0]) > tolerance or abs(want[1] - found[1]) > tolerance + 0.02:
                wrong.append('at (%.2f, %.2f) expected chart point (%.3f, %.3f), found (%.3f, %.3f)' % (u, v, *want, *found))
    return wrong


def frame_number(frame, bits=8):
    """The number drawn into the counted clips: one column of the picture for each bit, lowest first."""
    number = 0
    for bit in range(bits):
        level = frame.at((bit + 0.5) / bits, 0.5, radius=max(2, frame.width // bits // 6))[0]
        if level > 128:
            number |= 1 << bit
    return number


def channel_levels(path, start=None, length=None, track=0):
    """RMS level in dB of each channel."""
    cut = (['-ss', str(start)] if start is not None else []) + (['-t', str(length)] if length is not None else [])
    done = run(['ffmpeg', '-nostdin', '-v', 'info', *cut, '-i', b'file:' + os.fsencode(path), '-map', '0:a:%d' % track, '-af',
                'astats=measure_overall=none:measure_perchannel=RMS_level', '-f', 'null', '-'])
    return [-200.0 if v == '-inf' else float(v) for v in re.findall(r'RMS level dB: (-inf|-?[\d.]+)', done.stderr.decode(errors='replace'))]


def sound_seconds(path, track=0):
    """How much sound there really is: decoded and counted."""
    done = run(['ffmpeg', '-nostdin', '-v', 'error', '-i', b'file:' + os.fsencode(path), '-map', '0:a:%d' % track, '-f', 's16le', '-ar', '8000',
                '-ac', '1', '-acodec', 'pcm_s16le', '-'])
    return len(done.stdout) / 2 / 8000


def channel_pitch(path, channel, channels, track=0):
    """Main frequency in Hz of one channel, from its zero crossings."""
    done = run(['ffmpeg', '-nostdin', '-v', 'error', '-i', b'file:' + os.fsencode(path), '-map', '0:a:%d' % track, '-f', 's16le', '-ar', '48000',
                '-acodec', 'pcm_s16le', '-t', '1.5', '-'])
    values = struct.unpack('<%dh' % (len(done.stdout) // 2), done.stdout)[channel::channels]
    values = values[12000:60000]
    crossings = sum(1 for a, b in zip(values, values[1:]) if (a < 0) != (b < 0))
    return crossings / 2 / (len(values) / 48000)


# --- mp4 atoms, read from the bytes -----------------------------------------------------------------------------

CONTAINERS = {b'moov', b'trak', b'mdia', b'minf', b'stbl', b'edts', b'udta', b'meta', b'dinf', b'ilst'}


def atoms(path):
    """Top-level atoms in file order: [(type, offset, size)]."""
    found = []
    total = os.path.getsize(path)
    with open(path, 'rb') as file:
        position = 0
        while position + 8 <= total:
            file.seek(position)
            size, kind = struct.unpack('>I4s', file.read(8))
            if size == 1:
                size = struct.unpack('>Q', file.read(8))[0]
            elif size == 0:
                size = total - position
            if size < 8 or position + size > total:
                raise AssertionError('atom %r at %d claims %d bytes of %d' % (kind, position, size, total))
            found.append((kind.decode('latin-1'), position, size))
            position += size
    if position != total:
        raise AssertionError('%d stray bytes after the last atom' % (total - position))
    return found


def moov(path):
    for kind, position, size in atoms(path):
        if kind == 'moov':
            with open(path, 'rb') as file:
                file.seek(position)
                return file.read(size)
    raise AssertionError('no moov')


def atom_bodies(data, wanted, position=0, end=None):
    """Bodies of every atom of type `wanted` (bytes) inside a moov."""
    end = len(data) if end is None else end
    found = []
    while position + 8 <= end:
        size, kind = struct.unpack_from('>I4s', data, position)
        if size < 8 or position + size > end:
            break
        if kind == wanted:
            found.append(data[position + 8:position + size])
        if kind in CONTAINERS:
            found += atom_bodies(data, wanted, position + 8 + (4 if kind == b'meta' else 0), position + size)
        position += size
    return found


def track_matrices(path):
    """The display matrix of each track, nine numbers."""
    found = []
    for body in atom_bodies(moov(path), b'tkhd'):
        offset = 40 if body[0] == 0 else 52
        found.append(struct.unpack_from('>9i', body, offset))
    return found


IDENTITY = (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def moov_first(path):
    order = [kind for kind, _, _ in atoms(path) if kind in ('moov', 'mdat')]
    return order[:1] == ['moov'] and 'mdat' in order
