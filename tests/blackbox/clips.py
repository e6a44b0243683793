"""The clips that the tests need, made once with ffmpeg and kept in a cache folder.

`get('turned90')` returns a path and makes the clip when it is missing or its recipe has changed. Safe when several
processes ask at once. Folder: $WEIR_TEST_CLIPS, else build/clips.
"""
import fcntl
import hashlib
import os
import struct
import subprocess
import sys
import zlib

import media

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))

CHART = "geq=lum='{l0}+({l1}-{l0})*X/W':cb='{c0}+({c1}-{c0})*Y/H':cr=128".format(
    l0=media.LUMA[0], l1=media.LUMA[1], c0=media.CHROMA[0], c1=media.CHROMA[1])
COUNTER = "geq=lum='if(bitand(floor(N/pow(2,floor(8*X/W))),1),230,20)':cb=128:cr=128"
X264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '16', '-pix_fmt', 'yuv420p']
AAC = ['-c:a', 'aac', '-b:a', '96k']


def folder():
    return os.environ.get('WEIR_TEST_CLIPS') or os.path.join(REPOSITORY, 'build', 'clips')


def ffmpeg(*arguments):
    subprocess.run(['ffmpeg', '-nostdin', '-hide_banner', '-v', 'error', '-y', *arguments], check=True,
                   stdin=subprocess.DEVNULL)


def chart_input(width, height, seconds, rate='30'):
    """One chart frame, repeated: geq is slow, so it runs once."""
    return ['-f', 'lavfi', '-i', 'color=black:s=%dx%d:r=%s:d=0.01,format=yuv444p,%s,loop=loop=-1:size=1,trim=duration=%g,setpts=N/(%s)/TB,fps=%s'
            % (width, height, rate, CHART, seconds, rate, rate)]


def tone(seconds, frequency=440, level=-20, channels='stereo'):
    return ['-f', 'lavfi', '-i', 'sine=frequency=%d:sample_rate=48000:duration=%g,volume=%gdB,aformat=channel_layouts=%s'
            % (frequency, seconds, level + 21.07, channels)]


def chart(path, width=640, height=360, seconds=2, rate='30', video=None, audio=None, filters='null'):
    audio_in = tone(seconds) if audio is None else audio
    ffmpeg(*chart_input(width, height, seconds, rate), *audio_in, '-vf', filters, *(video or X264), *(AAC if audio_in else []),
           *(['-shortest'] if audio_in else []), path)


# Levels in dB RMS of the six channels FL FR FC LFE BL BR, all different, and their pitches in Hz.
SURROUND_LEVELS = (-14, -17, -20, -23, -26, -29)
SURROUND_PITCHES = (300, 500, 700, 60, 900, 1100)
# Level in dB RMS of the counted clip's sound in each of its seconds.
COUNTED_LEVELS = (-14, -26, -20, -32)


def surround(seconds):
    parts = ['%.6f*sin(2*PI*%d*t)' % (10 ** ((level + 3.01) / 20), pitch) for pitch, level in zip(SURROUND_PITCHES, SURROUND_LEVELS)]
    return ['-f', 'lavfi', '-i', "aevalsrc=exprs='%s':c=5.1:s=48000:d=%g" % ('|'.join(parts), seconds)]


def counted(path, rate='30', extra=(), keyint=30, video=None, audio=AAC):
    """Each picture shows its own number; each second sounds at its own level; a keyframe each second."""
    steps = '+'.join('between(t,%d,%d.9999)*%.6f' % (n, n, 10 ** ((level + 3.01) / 20)) for n, level in enumerate(COUNTED_LEVELS))
    ffmpeg('-f', 'lavfi', '-i', 'color=black:s=320x240:r=%s:d=4,format=yuv420p,%s' % (rate, COUNTER),
           '-f', 'lavfi', '-i', "aevalsrc=exprs='(%s)*sin(2*PI*440*t)':s=48000:d=4" % steps, '-ac', '2',
           *(video or [*X264, '-g', str(keyint), '-keyint_min', str(keyint), '-sc_threshold', '0']), *audio, *extra, path)


def make_plain(path):
    chart(path)


def make_turned(degrees, source='plain'):
    """Players turn the picture clockwise by `degrees`. ffmpeg 5.1 writes its `rotate` tag the other way round."""
    def make(path):
        ffmpeg('-i', get(source), '-c', 'copy', '-metadata:s:v:0', 'rotate=%d' % ((360 - degrees) % 360), path)
    return make


def make_odd(path):
    chart(path, 639, 361, video=['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '16', '-pix_fmt', 'yuv444p'])


def make_odd_420(path):
    ffmpeg(*chart_input(321, 241, 1), '-an', '-c:v', 'ffv1', '-pix_fmt', 'yuv420p', path)


def make_anamorphic(path):
    chart(path, 320, 240, filters='setsar=4/3')


def make_vfr(path):
    # As phones record: 30 frames per second in good light, 24 and less in the dark, every time a little off.
    times = "(if(lt(N,30), N/30, 1+(N-30)/20) + 0.0035*mod(N*7,4))/TB"
    ffmpeg('-f', 'lavfi', '-i', "color=black:s=320x240:r=30:d=2,format=yuv420p,%s,settb=1/90000,setpts='%s'" % (COUNTER, times), *tone(2.5),
           '-vsync', 'passthrough', '-enc_time_base', '1/90000', *X264, '-bf', '2', *AAC, '-video_track_timescale', '90000', path)


def make_silent(path):
    chart(path, audio=[])


def make_surround(path):
    ffmpeg(*chart_input(320, 240, 2), *surround(2), '-map', '0:v', '-map', '1:a', *X264, '-c:a', 'aac', '-b:a', '384k', path)


def make_mono(path):
    chart(path, 320, 240, audio=tone(2, channels='mono'))


def make_ten_bit(path):
    chart(path, video=['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '16', '-pix_fmt', 'yuv420p10le'])


def make_hevc_ten_bit(path):
    chart(path, video=['-c:v', 'libx265', '-preset', 'ultrafast', '-crf', '18', '-pix_fmt', 'yuv420p10le', '-x265-params',
                       'log-level=error:pools=1', '-tag:v', 'hvc1'])


def make_vp9(path):
    ffmpeg(*chart_input(320, 240, 2), *tone(2), '-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-crf', '20', '-b:v', '0',
           '-pix_fmt', 'yuv420p', '-c:a', 'libopus', '-b:a', '96k', path)


def make_audio_only(path):
    ffmpeg(*tone(2), *AAC, path)


def make_audio_with_cover(path):
    ffmpeg(*tone(2), '-f', 'lavfi', '-i', 'color=red:s=300x300:d=0.04', '-map', '0', '-map', '1', *AAC, '-c:v', 'mjpeg', '-frames:v', '1',
           '-disposition:v:0', 'attached_pic', path)


def make_tracks(path):
    """Sound, a subtitle track and a data track (the timecode)."""
    words = path + '.srt'
    with open(words, 'w') as file:
        file.write('1\n00:00:00,200 --> 00:00:01,500\nA sentence.\n')
    ffmpeg('-i', get('plain'), '-i', words, '-map', '0', '-map', '1', '-c', 'copy', '-c:s', 'mov_text', '-timecode', '01:00:00:00', path)
    os.unlink(words)


LOCATION, MAKER, MODEL = '+52.5163+013.3777/', 'PhoneMakerInc', 'PocketCam-9000'


def make_tagged(path):
    ffmpeg('-i', get('plain'), '-c', 'copy', '-movflags', 'use_metadata_tags', '-metadata', 'location=' + LOCATION,
           '-metadata', 'com.apple.quicktime.location.ISO6709=' + LOCATION, '-metadata', 'com.apple.quicktime.make=' + MAKER,
           '-metadata', 'com.apple.quicktime.model=' + MODEL, '-metadata', 'make=' + MAKER, '-metadata', 'model=' + MODEL,
           '-metadata', 'artist=Someone Private', '-metadata:s:v:0', 'handler_name=' + MAKER, path)


def make_tagged_plain(path):
    """The same, as the udta atoms that Android writes."""
    ffmpeg('-i', get('plain'), '-c', 'copy', '-metadata', 'location=' + LOCATION, '-metadata', 'make=' + MAKER, '-metadata', 'model=' + MODEL, path)


def make_cover(path):
    ffmpeg('-i', get('plain'), '-f', 'lavfi', '-i', 'color=red:s=300x300:d=0.04', '-map', '1:v', '-map', '0:v', '-map', '0:a',
           '-c', 'copy', '-c:v:0', 'mjpeg', '-pix_fmt', 'yuvj420p', '-disposition:v:0', 'attached_pic', path)


def make_two_sounds(path):
    ffmpeg(*chart_input(320, 240, 2), *tone(2, 440), *tone(2, 880, level=-26, channels='mono'), '-map', '0:v', '-map', '1:a', '-map', '2:a',
           *X264, *AAC, '-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=deu', path)


def make_late_sound(path):
    """Sound that starts half a second after the picture."""
    ffmpeg(*chart_input(320, 240, 2), '-itsoffset', '0.5', *tone(1.5), '-map', '0:v', '-map', '1:a', *X264, *AAC, path)


def make_rate(rate):
    def make(path):
        counted(path, rate=rate)
    return make


def make_counted_vp9(path):
    counted(path, video=['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-crf', '20', '-b:v', '0', '-g', '30', '-keyint_min', '30'],
            audio=['-an'])  # with Opus, Matroska would shift the pictures by 7 ms


def make_counted_mkv(path):
    ffmpeg('-i', get('counted'), '-c', 'copy', path)


def make_four_k(path):
    ffmpeg(*chart_input(3840, 2160, 1.2), *tone(1.2), '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '20', '-pix_fmt', 'yuv420p', *AAC, path)


def make_busy(width, height, seconds, noise=12, crf='23', preset='ultrafast'):
    """Moving, noisy pictures: work for an encoder."""
    def make(path):
        ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=%dx%d:r=30:d=%g' % (width, height, seconds), *tone(seconds), '-vf',
               'noise=alls=%d:allf=t,format=yuv420p' % noise, '-c:v', 'libx264', '-preset', preset, '-crf', crf, '-g', '60', *AAC,
               '-movflags', '+faststart', path)
    return make


def make_long(path):
    """60 s, as a copy six times over."""
    ffmpeg('-stream_loop', '5', '-i', get('full_hd'), '-c', 'copy', path)


def make_faststart(path):
    ffmpeg('-i', get('busy'), '-c', 'copy', '-movflags', '+faststart', path)


def make_truncated(path):
    """The index at the front is whole and promises more pictures than there are."""
    with open(get('faststart'), 'rb') as file:
        data = file.read()
    with open(path, 'wb') as file:
        file.write(data[:len(data) * 6 // 10])


def make_truncated_no_index(path):
    with open(get('plain'), 'rb') as file:
        data = file.read()
    with open(path, 'wb') as file:
        file.write(data[:len(data) * 7 // 10])


def make_corrupt(path):
    """Whole file, with a stretch of its pictures overwritten."""
    with open(get('faststart'), 'rb') as file:
        data = bytearray(file.read())
    middle = len(data) // 2
    for position in range(middle, min(len(data), middle + 60000)):
        data[position] = (position * 131 + 17) & 255
    with open(path, 'wb') as file:
        file.write(data)


def make_empty(path):
    open(path, 'wb').close()


def make_text(path):
    with open(path, 'w') as file:
        file.write('This is not a clip. It is a page of words.\n' * 200)


def make_local_ts(path):
    ffmpeg('-i', get('plain'), '-c', 'copy', '-f', 'mpegts', path)


def make_hls(path):
    with open(path, 'w') as file:
        file.write('#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.0,\n%s\n#EXT-X-ENDLIST\n' % get('local_ts'))


def make_ffconcat(path):
    with open(path, 'w') as file:
        file.write("ffconcat version 1.0\nfile '%s'\nduration 2\n" % get('local_ts'))


def png(path, width, height):
    """A picture of one colour, 8 bits RGBA, written without holding it."""
    row = b'\0' * (1 + 4 * width)
    packer = zlib.compressobj(9)
    body = b''.join(packer.compress(row) for _ in range(height)) + packer.flush()

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    with open(path, 'wb') as file:
        file.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 6, 0, 0, 0)) +
                   chunk(b'IDAT', body) + chunk(b'IEND', b''))


def make_bomb(path):
    png(path, 16000, 16000)


def make_bomb_in_matroska(path):
    """A Matroska file whose one picture is the bomb: made from a small picture by changing the bytes inside."""
    small, packed = path + '.png', path + '.small.mkv'
    png(small, 64, 64)
    ffmpeg('-i', small, '-c', 'copy', '-f', 'matroska', packed)
    with open(packed, 'rb') as file:
        data = file.read()
    # PixelWidth (0xB0) and PixelHeight (0xBA), one byte each, become two bytes; IHDR inside the picture as well.
    os.unlink(small)
    os.unlink(packed)
    position = data.index(b'\xb0\x81\x40\xba\x81\x40')
    new = b'\xb0\x82\x3e\x80\xba\x82\x3e\x80'
    data = data[:position] + new + data[position + 6:]
    data = grow_parents(data, position, len(new) - 6)
    ihdr = data.index(b'IHDR')
    body = b'IHDR' + struct.pack('>II', 16000, 16000) + data[ihdr + 12:ihdr + 17]
    data = data[:ihdr] + body + struct.pack('>I', zlib.crc32(body)) + data[ihdr + 21:]
    with open(path, 'wb') as file:
        file.write(data)


def grow_parents(data, position, more):
    """Adds `more` to the sizes of the EBML elements around `position`."""
    def number(at):
        first = data[at]
        length = 8 - first.bit_length() + 1
        value = int.from_bytes(data[at:at + length], 'big') & ((1 << (7 * length)) - 1)
        return length, value

    def ident(at):
        return 8 - data[at].bit_length() + 1
    at, end = 0, len(data)
    patched = bytearray(data)
    while at < end:
        id_length = ident(at)
        size_length, size = number(at + id_length)
        start = at + id_length + size_length
        unknown = size == (1 << (7 * size_length)) - 1
        stop = end if unknown else start + size
        if start <= position < stop + more:
            if not unknown:
                marker = 1 << (7 * size_length)
                patched[at + id_length:start] = ((size + more) | marker).to_bytes(size_length, 'big')
            kind = bytes(data[at:at + id_length])
            if kind in (b'\x18\x53\x80\x67', b'\x16\x54\xae\x6b', b'\xae', b'\xe0'):
                at, end = start, stop + more
                continue
            break
        at = stop
    return bytes(patched)


def make_wide(path):
    """An absurd shape that is still legal."""
    ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=2000x16:r=30:d=0.5', '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', path)


def make_tiny(path):
    ffmpeg('-f', 'lavfi', '-i', 'color=gray:s=2x2:r=30:d=0.5', '-c:v', 'ffv1', '-pix_fmt', 'yuv420p', path)


def make_one_frame(path):
    ffmpeg(*chart_input(320, 240, 0.034), '-frames:v', '1', *X264, path)


RECIPES = {
    'plain': ('plain.mp4', make_plain),
    'turned90': ('turned90.mp4', make_turned(90)),
    'turned180': ('turned180.mp4', make_turned(180)),
    'turned270': ('turned270.mp4', make_turned(270)),
    'odd': ('odd.mp4', make_odd),
    'odd_420': ('odd_420.mkv', make_odd_420),
    'anamorphic': ('anamorphic.mp4', make_anamorphic),
    'anamorphic_turned': ('anamorphic_turned.mp4', make_turned(90, 'anamorphic')),
    'vfr': ('vfr.mp4', make_vfr),
    'silent': ('silent.mp4', make_silent),
    'surround': ('surround.mp4', make_surround),
    'mono': ('mono.mp4', make_mono),
    'ten_bit': ('ten_bit.mp4', make_ten_bit),
    'hevc_ten_bit': ('hevc_ten_bit.mp4', make_hevc_ten_bit),
    'vp9': ('vp9.webm', make_vp9),
    'audio_only': ('audio_only.m4a', make_audio_only),
    'audio_with_cover': ('audio_with_cover.m4a', make_audio_with_cover),
    'tracks': ('tracks.mp4', make_tracks),
    'tagged': ('tagged.mov', make_tagged),
    'tagged_plain': ('tagged_plain.mp4', make_tagged_plain),
    'cover': ('cover.mp4', make_cover),
    'two_sounds': ('two_sounds.mp4', make_two_sounds),
    'late_sound': ('late_sound.mp4', make_late_sound),
    'counted': ('counted.mp4', make_rate('30')),
    'film_rate': ('film_rate.mp4', make_rate('24000/1001')),
    'ntsc_rate': ('ntsc_rate.mp4', make_rate('30000/1001')),
    'counted_vp9': ('counted_vp9.webm', make_counted_vp9),
    'counted_mkv': ('counted.mkv', make_counted_mkv),
    'four_k': ('four_k.mp4', make_four_k),
    'full_hd': ('full_hd.mp4', make_busy(1920, 1080, 10, noise=2)),
    'full_hd_short': ('full_hd_short.mp4', make_busy(1920, 1080, 1.5, noise=6)),
    'tour': ('tour.mp4', make_busy(640, 360, 12)),
    'busy': ('busy.mp4', make_busy(640, 360, 3, crf='18')),
    'busy_small': ('busy_small.mp4', make_busy(320, 240, 2)),
    'noise': ('noise.mp4', make_busy(640, 360, 4, noise=60, crf='12')),
    'long': ('long.mp4', make_long),
    'faststart': ('faststart.mp4', make_faststart),
    'truncated': ('truncated.mp4', make_truncated),
    'truncated_no_index': ('truncated_no_index.mp4', make_truncated_no_index),
    'corrupt': ('corrupt.mp4', make_corrupt),
    'empty': ('empty.mp4', make_empty),
    'text': ('text.mp4', make_text),
    'local_ts': ('local.ts', make_local_ts),
    'hls': ('hls.mp4', make_hls),
    'ffconcat': ('ffconcat.mp4', make_ffconcat),
    'bomb': ('bomb.png', make_bomb),
    'bomb_named_mp4': ('bomb.mp4', make_bomb),
    'bomb_matroska': ('bomb.mkv', make_bomb_in_matroska),
    'wide': ('wide.mp4', make_wide),
    'tiny': ('tiny.mkv', make_tiny),
    'one_frame': ('one_frame.mp4', make_one_frame),
}

VERSION = hashlib.sha256(open(os.path.abspath(__file__), 'rb').read()).hexdigest()[:16]


def get(name):
    file_name, make = RECIPES[name]
    os.makedirs(folder(), exist_ok=True)
    path = os.path.join(os.path.realpath(folder()), file_name)
    key = path + '.made'

    def is_made():
        try:
            with open(key) as file:
                return file.read() == VERSION and os.path.exists(path)
        except OSError:
            return False
    if is_made():
        return path
    with open(os.path.join(folder(), file_name + '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_made():
            stem, extension = os.path.splitext(path)
            fresh = '%s.new%d%s' % (stem, os.getpid(), extension)
            make(fresh)
            os.chmod(fresh, 0o644)
            os.replace(fresh, path)
            with open(key, 'w') as file:
                file.write(VERSION)
    return path


def shared_media():
    """The real clip beside the repository, or None."""
    path = os.path.join(os.path.dirname(REPOSITORY), 'shared', 'media', 'bbb-480p-30s.mp4')
    return path if os.path.isfile(path) else None


if __name__ == '__main__':
    import time
    for wanted in sys.argv[1:] or RECIPES:
        begun = time.monotonic()
        made = get(wanted)
        print('%-22s %8d bytes %6.2f s  %s' % (wanted, os.path.getsize(made), time.monotonic() - begun, made))
