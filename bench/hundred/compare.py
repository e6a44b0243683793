#!/usr/bin/env python3
"""Many crops at once: the daemon inside its budget beside xargs and GNU parallel, on the same file.

Weir's time is from the first request to the last verified result. A sampler that is not Weir sums the PSS of its whole
process tree every 50 ms. The others run bare ffmpeg, so many at a time and with so many threads each, and check
nothing. Every set-up makes JOBS outputs; afterwards each is probed here.

    bench/hundred/compare.py [--weir build/release/weir] [--jobs 100] [--memory 500M] [--others 2:1 4:1 1:auto 2:auto]
                             [--seconds 10]
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time


def pss(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def tree(root):
    pids = [root]
    for pid in pids:
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as children:
                    pids += map(int, children.read().split())
        except OSError:
            pass
    return pids


class Sampler(threading.Thread):
    def __init__(self, pid, seconds=0.05):
        super().__init__(daemon=True)
        self.pid, self.seconds, self.samples, self.over = pid, seconds, [], False

    def run(self):
        while not self.over:
            began = time.monotonic()
            self.samples.append(sum(map(pss, tree(self.pid))) / 1024)
            time.sleep(max(0.0, self.seconds - (time.monotonic() - began)))

    def stop(self):
        self.over = True
        self.join()
        return max(self.samples), statistics.mean(self.samples)


def make_clip(path, seconds):
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={seconds}", "-f", "lavfi",
         "-i", f"anoisesrc=c=pink:r=48000:a=0.2:d={seconds}", "-vf", "noise=alls=2:allf=t,format=yuv420p", "-c:v", "libx264",
         "-preset", "fast", "-crf", "23", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(path)],
        check=True)


def probe(paths):
    for path in paths:
        found = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries",
                                "stream=width,height,nb_read_packets", "-of", "csv=p=0", str(path)], capture_output=True,
                               text=True).stdout.strip()
        yield found


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body and json.dumps(body))
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or b"null")


def with_weir(options, folder, clip):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    home = folder / "weir"
    (home / "out").mkdir(parents=True)
    os.link(clip, home / "clip.mp4")
    daemon = subprocess.Popen([options.weir, "serve", "--memory", options.memory, "--listen", f"127.0.0.1:{port}", "--data",
                               str(home / "data"), "--media-root", str(home), *options.option],
                              stderr=open(home / "log", "w"), env={**os.environ, "WEIR_STATE_DIR": str(home / "state")})
    sampler = Sampler(daemon.pid)
    try:
        while True:
            try:
                if ask(port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.02)
        sampler.start()
        began = time.monotonic()
        jobs = []
        for number in range(options.jobs):
            status, job = ask(port, "POST", "/v1/jobs", {"recipe": "crop", "inputs": ["clip.mp4"],
                                                         "outputs": [f"out/{number}.mp4"],
                                                         "params": {"size": "1080x1920", "preset": "veryfast"}})
            assert status == 202, job
            jobs.append(job["id"])
        plans = {}
        for job in jobs:
            while True:
                status, answer = ask(port, "GET", f"/v1/jobs/{job}")
                if answer["state"] in ("succeeded", "failed", "cancelled"):
                    break
                time.sleep(0.1)
            plans.setdefault((answer["state"], (answer["plan"] or {}).get("name") if isinstance(answer["plan"], dict) else answer["plan"]), []).append(job)
        wall = time.monotonic() - began
        highest, mean = sampler.stop()
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)
    return wall, highest, mean, list(probe((home / "out").iterdir())), {f"{s}: {p}": len(ids) for (s, p), ids in plans.items()}


def with_xargs(options, folder, clip, at_once, threads):
    home = folder / f"xargs-{at_once}-{threads}"
    home.mkdir()
    given = [] if threads == "auto" else ["-threads", threads]
    command = ["ffmpeg", "-nostdin", "-v", "error", *given, "-i", str(clip), "-vf", "crop=ih*9/16:ih,scale=1080:1920", "-c:v",
               "libx264", "-preset", "veryfast", "-crf", "23", *given, "-c:a", "copy", "-movflags", "+faststart"]
    line = " ".join(f"'{word}'" for word in command) + f" '{home}/'{{}}.mp4"
    began = time.monotonic()
    child = subprocess.Popen(f"seq {options.jobs} | xargs -P {at_once} -I {{}} {line}", shell=True)
    sampler = Sampler(child.pid)
    sampler.start()
    child.wait()
    wall = time.monotonic() - began
    highest, mean = sampler.stop()
    return wall, highest, mean, list(probe(home.iterdir())), {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--memory", default="500M")
    parser.add_argument("--others", nargs="*", default=["1:auto", "2:1", "2:2", "3:1", "4:1", "2:auto"])
    parser.add_argument("--option", nargs="*", default=[], help="further words for weir serve")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-hundred-"))
    try:
        clip = folder / "clip.mp4"
        make_clip(clip, options.seconds)
        results = {}

        def run(name, carry, *more):
            wall, highest, mean, found, notes = carry(options, folder, clip, *more)
            whole = sum(facts == f"1080,1920,{30 * options.seconds}" for facts in found)
            results[name] = wall
            print(f"{name:24} {wall:7.1f} s, {60 * options.jobs / wall:5.1f} a minute; PSS at most {highest:5.0f} MiB, mean"
                  f" {mean:5.0f}; {whole} of {options.jobs} whole {notes or ''}", flush=True)

        run(f"weir {options.memory}", with_weir)
        for other in options.others:
            at_once, threads = other.split(":")
            run(f"xargs -P{at_once} -threads {threads}", with_xargs, at_once, threads)
        (folder / "weir").rename(folder / "first")
        run(f"weir {options.memory} again", with_weir)
        others = {name: wall for name, wall in results.items() if name.startswith("xargs")}
        if others:
            best = min(others, key=others.get)
            mine = statistics.mean(wall for name, wall in results.items() if name.startswith("weir"))
            print(f"weir / best ({best}): {mine / others[best]:.3f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
