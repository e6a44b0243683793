#!/usr/bin/env python3
"""Wall time of `weir crop`, probing and default checks included, beside bare ffmpeg with the same arguments.

The two run alternately on the same file; the figure is the median of the ratios pair by pair. Weir's own memory is
read from /proc while it works. Usage: bench/crop/compare.py [--binary build/release/weir] [--runs 7] [--seconds 10 60]
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time


def make_clip(path, seconds, noise):
    subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", "-v", "error",
         "-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={seconds}",
         "-f", "lavfi", "-i", f"anoisesrc=c=pink:r=48000:a=0.2:d={seconds}",
         "-vf", f"noise=alls={noise}:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26",
         "-g", "60", "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", "-y", str(path)], check=True)


def pss_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration, ProcessLookupError):
        return 0


def run_weir(binary, source, target, options):
    start = time.monotonic()
    child = subprocess.Popen([binary, "crop", source, target, "--force", "--json", "--quiet", *options],
                             stdout=subprocess.PIPE, text=True)
    peak = 0
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.5):
            peak = max(peak, pss_of(child.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    text = child.communicate()[0]
    wall = time.monotonic() - start
    done.set()
    watcher.join()
    answer = json.loads(text)
    if child.returncode != 0:
        sys.exit(f"weir failed: {text}")
    return wall, answer, peak


def run_ffmpeg(arguments, source, target):
    words = []
    for word in arguments:
        word = word.replace("file:/proc/self/fd/3", "file:" + source)
        if re.fullmatch(r"file:out\.\w+", word):
            word = "file:" + target
        words.append("pipe:1" if word == "pipe:4" else word)
    start = time.monotonic()
    subprocess.run(["ffmpeg", *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=int, default=12, help="0: an easy clip, for long ones")
    parser.add_argument("--binary", default="build/release/weir")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60])
    parser.add_argument("--memory", default="256M")
    options = parser.parse_args()
    binary = str(pathlib.Path(options.binary).resolve())
    crop = ["--size", "1080x1920", "--memory", options.memory]
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        os.environ.setdefault("WEIR_STATE_DIR", folder + "/state")
        for seconds in options.seconds:
            source, by_weir, by_ffmpeg = (f"{folder}/{name}" for name in ("in.mp4", "weir.mp4", "ffmpeg.mp4"))
            make_clip(source, seconds, options.noise)
            _, answer, _ = run_weir(binary, source, by_weir, crop)  # warms the page cache and the tool record
            arguments = answer["plan"]["arguments"]
            ratios, weir_walls, ffmpeg_walls, own = [], [], [], []
            for turn in range(options.runs):
                pair = {}
                for who in ("weir", "ffmpeg") if turn % 2 == 0 else ("ffmpeg", "weir"):
                    if who == "weir":
                        pair[who], answer, peak = run_weir(binary, source, by_weir, crop)
                        own.append(max(peak, answer["memory"]["own_pss_bytes"]))
                    else:
                        pair[who] = run_ffmpeg(arguments, source, by_ffmpeg)
                weir_walls.append(pair["weir"])
                ffmpeg_walls.append(pair["ffmpeg"])
                ratios.append(pair["weir"] / pair["ffmpeg"])
            spent = answer["time"]
            print(f"{seconds:3d} s clip, plan \"{answer['plan']['name']}\": "
                  f"weir {statistics.median(weir_walls):.2f} s, ffmpeg {statistics.median(ffmpeg_walls):.2f} s, "
                  f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f}, {options.runs} pairs); "
                  f"last run: probe {spent['probe_seconds']:.2f}, work {spent['work_seconds']:.2f}, "
                  f"checks {spent['verify_seconds']:.2f} s; weir itself at most {max(own) / 1048576:.1f} MiB PSS")


if __name__ == "__main__":
    main()
