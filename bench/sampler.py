#!/usr/bin/env python3
"""Sums the memory of a process tree every few milliseconds, as a process of its own that is no part of it.

Reads PSS (/proc/PID/smaps_rollup) of PID and everything below it, until standard input is closed or PID is gone, then
prints one JSON document: samples as [seconds of CLOCK_MONOTONIC, KiB, processes], what they cost, and the longest time
between two of them. One reading takes about 1 ms of processor time for each process and holds that process's memory map
meanwhile, so a run that is timed should not carry a sampler.

    bench/sampler.py PID [MILLISECONDS, default 50] [below: without PID itself]
"""
import json
import os
import resource
import select
import sys
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


def main():
    root, step = int(sys.argv[1]), int(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.05
    below = 1 if sys.argv[3:] == ["below"] else 0
    try:
        os.nice(-5)  # where that is allowed: what is measured may keep all processors busy
    except OSError:
        pass
    samples = []
    while os.path.exists(f"/proc/{root}"):
        began = time.monotonic()
        pids = tree(root)[below:]
        samples.append((round(began, 4), sum(map(pss, pids)), len(pids)))
        if select.select([sys.stdin], [], [], max(0.0, step - (time.monotonic() - began)))[0]:
            break
    used = resource.getrusage(resource.RUSAGE_SELF)
    gaps = [after[0] - before[0] for before, after in zip(samples, samples[1:])]
    json.dump({"samples": samples, "cpu_seconds": used.ru_utime + used.ru_stime, "longest_gap": max(gaps, default=0)},
              sys.stdout)


if __name__ == "__main__":
    main()
