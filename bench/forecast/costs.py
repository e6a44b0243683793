#!/usr/bin/env python3
"""What each rung of the ladder costs in time and in quality, against the first rung.

Time: every rung of `weir plan crop CLIP --size 1080x1920` in turn, several rounds, the fastest run of each (other
programs on the machine only ever add). Quality: every rung of `weir plan transcode CLIP` at four --crf values, SSIM
against the clip; "larger" compares sizes at the same SSIM, by straight lines through (dB of SSIM, log of size).

    bench/forecast/costs.py [--weir build/release/weir] [--clip FILE] [--preset veryfast] [--rounds 3] [--no-quality]

Without --clip a 5 s 1080p one with moving noise is made; real pictures tell more about quality.
"""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time


def plans(weir, recipe, clip, *words):
    answer = subprocess.run([weir, "plan", recipe, clip, "out.mp4", "--json", *words], capture_output=True, text=True)
    document = json.loads(answer.stdout)
    if "ladder" not in document:
        sys.exit(answer.stdout + answer.stderr)
    return document["ladder"]


def run(arguments, clip, folder):
    """Wall seconds of ffmpeg with the clip on descriptor 3 and progress on descriptor 4."""
    words = " ".join(f"'{word}'" for word in arguments)
    begin = time.monotonic()
    subprocess.run(["bash", "-c", f"exec ffmpeg {words} 3<\"$1\" 4>/dev/null", "bash", clip], cwd=folder, check=True)
    return time.monotonic() - begin


def ssim(made, clip):
    out = subprocess.run(["ffmpeg", "-nostdin", "-i", made, "-i", clip, "-lavfi", "[0:v][1:v]ssim", "-f", "null", "-"],
                         capture_output=True, text=True).stderr
    return -10 * math.log10(1 - float(re.search(r"All:([\d.]+)", out).group(1)))


def size_at(points, quality):
    points = sorted(points)
    for (q0, s0), (q1, s1) in zip(points, points[1:]):
        if q0 <= quality <= q1:
            return s0 + (s1 - s0) * (quality - q0) / (q1 - q0)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--clip")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-quality", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="weir-costs-")
    try:
        clip = os.path.abspath(options.clip) if options.clip else os.path.join(folder, "clip.mp4")
        if not options.clip:
            subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30:d=5",
                            "-vf", "noise=alls=12:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "fast",
                            "-crf", "26", "-g", "60", clip], check=True)
        walls = {}
        for _ in range(options.rounds):
            for plan in plans(options.weir, "crop", clip, "--size", "1080x1920", "--preset", options.preset):
                wall = run(plan["arguments"], clip, folder)
                walls[plan["name"]] = min(wall, walls.get(plan["name"], wall))
        first = next(iter(walls.values()))
        for name, wall in walls.items():
            print(f"time     {name:32} {wall:6.2f} s  {wall / first:5.2f}", flush=True)
        if options.no_quality:
            return
        points = {}
        for crf in (19, 23, 27, 31):
            for plan in plans(options.weir, "transcode", clip, "--crf", str(crf), "--preset", options.preset):
                run(plan["arguments"], clip, folder)
                made = os.path.join(folder, "out.mp4")
                points.setdefault(plan["name"], []).append((ssim(made, clip), math.log(os.path.getsize(made))))
        first = next(iter(points.values()))
        for name, row in points.items():
            larger = [math.exp(size - log) - 1 for quality, log in first if (size := size_at(row, quality)) is not None]
            print(f"quality  {name:32} {100 * sum(larger) / len(larger):+6.1f} % at the same SSIM" if larger else
                  f"quality  {name:32} outside the range", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
