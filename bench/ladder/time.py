#!/usr/bin/env python3
"""Wall time and output size of every way of one crop, against the first: the ratios that `weir plan` shows.

Each way runs as bare ffmpeg with the arguments of `weir plan --json`, all ways in turn, several rounds; medians.
Usage: bench/ladder/time.py [--binary build/release/weir] [--clip FILE] [--rounds 3] [--preset veryfast]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crop"))
from compare import make_clip, run_ffmpeg  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/weir")
    parser.add_argument("--clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="veryfast")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        clip = options.clip
        if not clip:
            clip = folder + "/in.mp4"
            make_clip(clip, 5)
        answer = subprocess.run([options.binary, "plan", "crop", clip, "--size", "1080x1920", "--preset", options.preset,
                                 "--memory", "8G", "--json"], capture_output=True, text=True, check=True)
        ladder = json.loads(answer.stdout)["ladder"]
        walls = [[] for _ in ladder]
        sizes = [0] * len(ladder)
        for _ in range(options.rounds):
            for number, rung in enumerate(ladder):
                target = folder + "/out.mp4"
                walls[number].append(run_ffmpeg(rung["arguments"], clip, target))
                sizes[number] = os.path.getsize(target)
        first = statistics.median(walls[0])
        for rung, seconds, size in zip(ladder, walls, sizes):
            print(f"{rung['name']:32s} {statistics.median(seconds):6.2f} s  {statistics.median(seconds) / first:5.2f}x  "
                  f"{size / sizes[0]:5.2f}x bytes at the same crf")


if __name__ == "__main__":
    main()
