#!/usr/bin/env python3
"""Holds the forecasts of `weir plan` against the peaks of the processes that its arguments start.

Makes short clips with ffmpeg, asks `weir plan ... --json` for the ladder of each request, runs every rung as Weir does
(input on descriptor 3, progress on 4, 1 MiB thread stacks, inside a cgroup v1 or v2 memory group limited to the lease
where this machine lets us make one) and reads ru_maxrss. Memory does not depend on what the pictures show, so clips of
3 s are enough. Prints one line per run and the summary that docs/BENCHMARKS.md quotes; exit status 1 when the goal is
missed: 95 % of the errors inside -5 % .. +20 %, no peak above its lease, no run stopped by its limit.

    bench/forecast/measure.py [--weir build/release/weir] [--full] [--out rows.jsonl]
"""
import argparse
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

SIZES = [(640, 360), (854, 480), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160)]
OUTPUTS = [(360, 640), (540, 960), (720, 1280), (1080, 1920)]
PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"]
OTHERS = {  # name: (extension, encoder arguments)
    "h264-16refs": ("mp4", "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -x264-params ref=16:bframes=8 -c:a aac"),
    "h264-10bit": ("mp4", "-pix_fmt yuv420p10le -c:v libx264 -preset veryfast -c:a aac"),
    "hevc": ("mp4", "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac"),
    "hevc-10bit": ("mp4", "-pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac"),
    "vp9": ("webm", "-pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 2M -c:a libopus"),
    "prores": ("mov", "-pix_fmt yuv422p10le -c:v prores_ks -profile:v 2 -c:a pcm_s16le"),
    "mjpeg": ("mov", "-pix_fmt yuvj420p -c:v mjpeg -q:v 5 -c:a aac"),
}


def make_clip(folder, name, size, extension, encoder):
    path = os.path.join(folder, f"{name}-{size[0]}x{size[1]}.{extension}")
    if not os.path.exists(path):
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                   f"testsrc2=s={size[0]}x{size[1]}:r=30:d=3", "-f", "lavfi", "-i", "sine=r=48000:d=3"]
        subprocess.run(command + encoder.split() + [path], check=True)
    return path


class Group:
    """A memory group with a hard limit, or nothing where none can be made."""

    def __init__(self):
        self.path = None
        for parent, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
            path = os.path.join(parent, f"bench-of-weir-{os.getpid()}")
            try:
                os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(os.path.join(path, file)):
                self.path, self.file = path, file
                return
            os.rmdir(path)

    def limit(self, size):
        if self.path:
            # Not below what is charged already: pages of the run before stay with the group.
            force = os.path.join(self.path, "memory.force_empty")
            if os.path.exists(force):
                with open(force, "w") as f:
                    f.write("0")
            with open(os.path.join(self.path, self.file), "w") as f:
                f.write(str(size))

    def join(self):
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w") as f:
                f.write("0")

    def remove(self):
        if self.path:
            os.rmdir(self.path)


def run(arguments, path, folder, group):
    source = os.open(path, os.O_RDONLY)
    read_end, write_end = os.pipe()
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            null = fcntl.fcntl(os.open(os.devnull, os.O_RDWR), fcntl.F_DUPFD, 60)
            source = fcntl.fcntl(source, fcntl.F_DUPFD, 60)
            write_end = fcntl.fcntl(write_end, fcntl.F_DUPFD, 60)
            for wanted, have in ((0, null), (1, null), (2, write_end), (3, source), (4, null)):
                os.dup2(have, wanted)
            os.closerange(5, 256)
            group.join()
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
            os.execve(shutil.which("ffmpeg"), ["ffmpeg"] + arguments, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
        except OSError as error:
            os.write(2, str(error).encode())
        os._exit(111)
    os.close(source)
    os.close(write_end)
    words = b""
    while chunk := os.read(read_end, 4096):
        words = (words + chunk)[-2000:]
    os.close(read_end)
    _, status, usage = os.wait4(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024, "user": usage.ru_utime,
            "wall": time.monotonic() - begin, "errors": words.decode("utf-8", "replace").strip()}


def ladder(weir, recipe, path, output, options):
    answer = subprocess.run([weir, "plan", recipe, path, output, "--json", *options], capture_output=True, text=True)
    document = json.loads(answer.stdout)
    if "ladder" not in document:
        sys.exit(f"weir plan {recipe} {path} {options}: {answer.stdout}{answer.stderr}")
    return document["ladder"]


def requests(full, clips):
    turn = 0
    for size in SIZES:
        clip = make_clip(clips, "h264", size, "mp4", "-pix_fmt yuv420p -c:v libx264 -preset fast -crf 28 -c:a aac")
        for output in OUTPUTS:
            for preset in PRESETS if full else [PRESETS[turn % len(PRESETS)], PRESETS[(turn + 3) % len(PRESETS)]]:
                yield "crop", clip, "out.mp4", ["--size", f"{output[0]}x{output[1]}", "--preset", preset]
            turn += 1
    for name, (extension, encoder) in OTHERS.items():
        for size in SIZES[3::2] if not full else SIZES[::3] + SIZES[5:]:
            clip = make_clip(clips, name, size, extension, encoder)
            yield "crop", clip, "out.mp4", ["--size", "720x1280"]
            yield "thumbnail", clip, "out.jpg", []
            yield "trim", clip, "out.mkv", ["--to", "2"]
    for box in ("640x640", "1280x1280"):
        clip = make_clip(clips, "h264", (1920, 1080), "mp4", "")
        yield "transcode", clip, "out.webm", ["--fit", box]
        yield "transcode", clip, "out.mp4", ["--fit", box]
    yield "thumbnail", clip, "out.png", ["--width", "640"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--full", action="store_true", help="every preset for every pair of sizes")
    parser.add_argument("--clips", help="folder that keeps the clips for the next time")
    parser.add_argument("--out", help="rows as JSON lines")
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="weir-forecast-")
    clips = options.clips or scratch
    os.makedirs(clips, exist_ok=True)
    group = Group()
    rows = []
    rows_file = open(options.out, "w") if options.out else None
    try:
        for recipe, clip, output, words in requests(options.full, clips):
            for rung in ladder(options.weir, recipe, clip, output, words):
                group.limit(rung["lease_bytes"])
                got = run(rung["arguments"], clip, scratch, group)
                row = {"recipe": recipe, "input": os.path.basename(clip), "options": words, "rung": rung["name"],
                       "forecast": rung["forecast_peak_bytes"], "lease": rung["lease_bytes"], **got,
                       "error": rung["forecast_peak_bytes"] / got["peak"] - 1}
                rows.append(row)
                if rows_file:
                    rows_file.write(json.dumps(row) + "\n")
                    rows_file.flush()
                bad = got["status"] != 0 or got["peak"] > row["lease"] or not -0.05 <= row["error"] <= 0.20
                print(f"{'!' if bad else ' '} {recipe:9} {row['input']:28} {' '.join(words):36} {rung['name']:30}"
                      f" {row['forecast'] / 2**20:6.0f} {got['peak'] / 2**20:6.0f} MiB {row['error'] * 100:+6.1f} %"
                      f" lease {row['lease'] / 2**20:5.0f} {got['errors'][:80]}", flush=True)
    finally:
        group.remove()
        shutil.rmtree(scratch)
    errors = sorted(row["error"] for row in rows)
    inside = sum(-0.05 <= error <= 0.20 for error in errors) / len(errors)
    above = sum(row["peak"] > row["lease"] for row in rows)
    failed = sum(row["status"] != 0 for row in rows)
    pick = lambda share: 100 * errors[min(len(errors) - 1, int(share * len(errors)))]
    print(f"{len(rows)} runs{'' if group.path else ', no memory group'}: error {pick(0):+.1f} .. {pick(1):+.1f} %,"
          f" median {pick(0.5):+.1f} %, middle 95 % {pick(0.025):+.1f} .. {pick(0.975):+.1f} %;"
          f" {100 * inside:.1f} % inside -5 .. +20 %; {above} peaks above the lease, {failed} runs failed")
    return 0 if inside >= 0.95 and above == 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
