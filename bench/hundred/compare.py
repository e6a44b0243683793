#!/usr/bin/env python3
"""A hundred crops asked for at once: the daemon inside its budget beside xargs and GNU parallel, on the same file.

Weir gets JOBS requests from as many callers at the same moment, each on a connection of its own: POST /video/crop, which
makes a 608x1080 picture of the 1080p clip, or with --size POST /v1/jobs; once, all of them come in a batch. Its time is
from the first request until the last job is a verified result. The others start bare ffmpeg with the same filters,
preset, crf and sound, so many at a time and with so many threads each, and check nothing.

Every set-up is run --runs times, in rounds of one run each, every other round in reverse order; medians and ranges are
printed. Where there are many set-ups, one short run of each first (a fifth of the jobs) decides which are worth the whole:
of those within 15 % of the best short run, the best few (--keep). --screen 0 leaves that out. A run with an output that is not whole (pictures, size,
length) takes no part in "best".

The timed runs carry no sampler. Memory is sampled (bench/sampler.py) in one run more of each set-up: of Weir with all jobs
and in a memory group limited to the budget where one can be made, of the others with three times as many jobs as run at
once. Nobody wins by a worse picture unseen: bytes of all outputs, and SSIM and PSNR against the source of one output of
each set-up (of Weir: of each plan that it took).

    bench/hundred/compare.py [--weir build/release/weir] [--jobs 100] [--seconds 10] [--memory 500M] [--size 1080x1920]
                             [--runs 3] [--quick] [--others 2:1 1:auto ...] [--keep 5] [--strict] [--out result.json]

Others are written P:T for `xargs -P P` with T threads (a number, or auto), and parallel:J:T:OPTION for `parallel -j J`
with OPTION memfree=SIZE, memsuspend=SIZE (SIZE `tuned`: what is free now less the budget) or none.
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import measuring

QUICK = ["1:auto", "2:1", "2:2", "3:1", "2:auto", "4:1"]
ALL = [f"{at_once}:{threads}" for at_once in (1, 2, 3, 4, 8, 20) for threads in ("1", "2", "auto")]
PARALLEL = ["parallel:100%:auto:none", "parallel:2:1:none", "parallel:100%:1:memfree=500M", "parallel:20:1:memfree=500M",
            "parallel:20:1:memsuspend=500M", "parallel:20:1:memfree=tuned", "parallel:20:1:memsuspend=tuned"]
CROP = {"preset": "veryfast", "crf": 23}


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder, self.clip = options, folder, folder / "clip.mp4"
        measuring.make_clip(self.clip, 1920, 1080, options.seconds)
        words = ["--size", options.size] if options.size else []
        plan = measuring.arguments_of_plan(options.weir, folder, "crop", self.clip, [*words, "--preset", CROP["preset"]])
        if plan is None:
            sys.exit("weir plan does not tell how it would crop the clip")
        self.filters = plan[plan.index("-vf") + 1]
        self.expected = {"frames": 30 * options.seconds}
        self.looked = {}

    # --- Weir ---

    def weir(self, way, jobs, sampled=False):
        options, home = self.options, measuring.empty(self.folder / "weir")
        (home / "out").mkdir()
        os.link(self.clip, home / "clip.mp4")
        budget = measuring.mib(options.memory)
        group = measuring.Group(budget) if sampled else None
        daemon = measuring.Weir(options.weir, home, options.memory, options.option, group)
        sampler, accepted, failures = None, [], []
        try:
            params = {**CROP, **({"size": options.size} if options.size else {})}
            bodies = [{"recipe": "crop", "inputs": ["clip.mp4"], "outputs": [f"out/{number}.mp4"], "params": params}
                      for number in range(jobs)]
            begin = threading.Barrier(jobs + 1)

            def caller(number):
                begin.wait()
                if way == "POST /video/crop":
                    status, answer = daemon.ask("POST", "/video/crop", {"inputPath": "clip.mp4", "outputPath": f"out/{number}.mp4"})
                    if status == 404:
                        status, answer = daemon.ask("POST", "/v1/jobs", bodies[number])
                else:
                    status, answer = daemon.ask("POST", "/v1/jobs", bodies[number])
                if status != 202:
                    failures.append((status, answer))
                else:
                    accepted.append(answer["data"]["jobId"] if "data" in answer else answer["id"])

            if sampled:
                sampler = measuring.Sampler(daemon.process.pid)
            if way == "POST /v1/batches":
                watch = measuring.Watch(daemon.cpu)
                status, answer = daemon.ask("POST", "/v1/batches", {"jobs": bodies})
                if status != 202:
                    failures.append((status, answer))
            else:
                callers = [threading.Thread(target=caller, args=(number,)) for number in range(jobs)]
                for thread in callers:
                    thread.start()
                watch = measuring.Watch(daemon.cpu)
                begin.wait()
                for thread in callers:
                    thread.join()
            answered = time.monotonic() - watch.began
            if failures:
                raise RuntimeError(f"{way} was answered {failures[0]}")

            if sampled:
                looks = daemon.looks()
            elif way == "POST /v1/batches":
                while not daemon.ask("GET", f"/v1/batches/{answer['id']}", headers={"Prefer": "wait=300"})[1]["ended"]:
                    pass
            else:
                daemon.wait_for(accepted)
            run = watch.stop()
            run["answered"] = answered
            if sampler:
                run["memory"], sampler = sampler.stop(), None
                waiting = [when for when, system in looks if system["queue"]["waiting"] > 0]
                if waiting:
                    run["memory"]["mean_while_work_waits"] = statistics.mean(
                        size / 1024 for when, size, _ in run["memory"]["samples"] if waiting[0] <= when <= waiting[-1])
                run["memory"]["most_leased"] = max(system["memory"]["leased_bytes"] for _, system in looks) / 2**20
                run["memory"]["most_told_by_weir"] = max(system["memory"]["tree_bytes"] for _, system in looks) / 2**20
                run["memory"]["group"] = group.facts()
            ended = daemon.jobs()
            run["backend"] = daemon.backend
            run["plans"] = dict(collections.Counter(
                f"{job['state']}: {job['plan']['name'] if job['plan'] else job['failure'] and job['failure'].get('cause')}" for job in ended))
            self.judge(run, home / "out", jobs)
            run["quality"] = {}
            for job in ended:
                name = job["plan"]["name"] if job["plan"] else "none"
                if job["state"] == "succeeded" and name not in run["quality"] and not sampled:
                    run["quality"][name] = self.seen(f"weir, {name}", home / job["outputs"][0])
        finally:
            if sampler:
                sampler.stop()
            daemon.stop()
            if group:
                group.remove()
        return run

    # --- the others ---

    def command(self, threads, out):
        given = [] if threads == "auto" else ["-threads", threads]
        return ["ffmpeg", "-nostdin", "-v", "error", "-y", *given, "-i", str(self.clip), "-vf", self.filters, "-c:v", "libx264",
                "-preset", CROP["preset"], "-crf", str(CROP["crf"]), *given, "-c:a", "copy", "-movflags", "+faststart",
                f"{out}/{{}}.mp4"]

    def other(self, spec, jobs, sampled=False):
        out = measuring.empty(self.folder / "other")
        parts = spec.split(":")
        if parts[0] == "parallel":
            _, at_once, threads, option = parts
            launcher = ["parallel", "--will-cite", "-q", "-j", at_once]
            if option != "none":
                what, size = option.split("=")
                if size == "tuned":
                    free = measuring.machine(self.options.weir)["available_mib"]
                    budget = measuring.mib(self.options.memory)
                    # Starts another one only while less than half of the budget is used; suspends from the whole on.
                    size = f"{int(free - budget / 2)}M" if what == "memfree" else f"{int((free - budget) / 2)}M"
                launcher += [f"--{what}", size, "--retries", "20"]
            command = [*launcher, *self.command(threads, out)]
        else:
            at_once, threads = parts
            command = ["xargs", "-P", at_once, "-I", "{}", *self.command(threads, out)]
        watch = measuring.Watch(measuring.children_used)
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        sampler = measuring.Sampler(child.pid) if sampled else None
        child.stdin.write("".join(f"{number}\n" for number in range(jobs)).encode())
        child.stdin.close()
        child.wait()
        run = watch.stop()
        if sampler:
            run["memory"] = sampler.stop()
        self.judge(run, out, jobs)
        if not sampled:
            run["quality"] = {spec: self.seen(spec, out / "0.mp4")}
        return run

    # --- what came out ---

    def seen(self, name, path):
        """Quality of one output; one look for each name, for it is the same in every round."""
        if name not in self.looked:
            self.looked[name] = measuring.quality(path, self.clip, self.filters)
        return self.looked[name]

    def judge(self, run, folder, jobs):
        found = measuring.look_at_all(sorted(folder.iterdir()))
        if "width" not in self.expected and found and found[0]["width"]:
            self.expected.update(width=found[0]["width"], height=found[0]["height"])
        run["jobs"] = jobs
        run["bytes"] = sum(facts["bytes"] for facts in found)
        run["whole"] = sum(all(facts[key] == value for key, value in self.expected.items()) and
                           abs(facts["seconds"] - self.options.seconds) < 0.1 for facts in found)


def name_of(spec):
    parts = spec.split(":")
    if spec.startswith("weir"):
        return spec
    if parts[0] == "parallel":
        return f"parallel -j{parts[1]} -threads {parts[2]}" + (f" --{parts[3].replace('=', ' ')}" if parts[3] != "none" else "")
    return f"xargs -P{parts[0]} -threads {parts[1]}"


def at_once_of(spec):
    word = spec.split(":")[1 if spec.startswith("parallel") else 0]
    return measuring.CPUS if word.endswith("%") else int(word)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10, help="length of the clip")
    parser.add_argument("--memory", default="500M")
    parser.add_argument("--size", help="of the outputs, such as 1080x1920, which then come from POST /v1/jobs; default: the"
                                       " 608x1080 of POST /video/crop")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--quick", action="store_true", help="only the set-ups that can be best on two processors, twice")
    parser.add_argument("--others", nargs="*")
    parser.add_argument("--screen", type=int, default=5, help="short runs have this fraction of the jobs; 0: none")
    parser.add_argument("--keep", type=int, default=5, help="at most so many set-ups go on after the short runs")
    parser.add_argument("--strict", action="store_true", help="fail when Weir is above its budget, over 1.05 of the best, or not whole")
    parser.add_argument("--no-sampling", action="store_true", help="times only")
    parser.add_argument("--option", nargs="*", default=[], help="further words for weir serve, each as --option=WORD")
    parser.add_argument("--out", help="everything as JSON")
    options = parser.parse_args()
    options.weir = str(pathlib.Path(options.weir).resolve())
    runs = options.runs or (2 if options.quick else 3)
    others = options.others
    if others is None:
        others = QUICK if options.quick else ALL + (PARALLEL if shutil.which("parallel") else [])
    if any(spec.startswith("parallel") for spec in others) and not shutil.which("parallel"):
        sys.exit("GNU parallel is not installed: leave the set-ups `parallel:...` out, or install it")
    if not options.quick and options.others is None and not shutil.which("parallel"):
        print("GNU parallel is not installed: its set-ups are left out")

    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-hundred-"))
    result = {"options": vars(options), "machine": measuring.machine(options.weir), "runs": {}, "short": {}, "sampled": {}}
    failed = False
    try:
        bench = Bench(options, folder)
        first = "weir POST /v1/jobs" if options.size else "weir POST /video/crop"
        budget = measuring.mib(options.memory)
        print(f"{options.jobs} crops of {options.seconds} s of 1080p within {options.memory}; {result['machine']['cpus']} processors,"
              f" load {result['machine']['load_average'][0]}", flush=True)

        def carry(spec, jobs, sampled=False):
            measuring.settle()
            return bench.weir(spec.removeprefix("weir "), jobs, sampled) if spec.startswith("weir") else bench.other(spec, jobs, sampled)

        def tell(spec, run):
            print(f"  {name_of(spec):42} {run['wall']:7.1f} s, {run['cpu']:7.1f} s of processor, {run['foreign_cpus']:.2f} processors"
                  f" elsewhere; {run['whole']} of {run['jobs']} whole {run.get('plans', '')}", flush=True)

        keep = others
        if options.screen and len(others) > len(QUICK):
            short = max(2, options.jobs // options.screen)
            print(f"short runs, {short} jobs")
            for spec in others:
                result["short"][spec] = carry(spec, short)
                tell(spec, result["short"][spec])
            whole = {spec: run["wall"] for spec, run in result["short"].items() if run["whole"] == short}
            close = [spec for spec in whole if whole[spec] <= 1.15 * min(whole.values())]
            keep = sorted(close, key=whole.get)[:options.keep]
        contenders = [first, *keep]
        results = result["runs"]
        for turn in range(runs):
            print(f"round {turn + 1} of {runs}")
            extra = ["weir POST /v1/batches"] if turn == 0 else []
            for spec in (contenders + extra if turn % 2 == 0 else contenders[::-1]):
                results.setdefault(spec, []).append(carry(spec, options.jobs))
                tell(spec, results[spec][-1])
        if not options.no_sampling:
            print("sampled runs")
            for spec in contenders:
                jobs = options.jobs if spec == first else min(options.jobs, max(6, 3 * at_once_of(spec)))
                result["sampled"][spec] = carry(spec, jobs, True)
                memory = result["sampled"][spec]["memory"]
                print(f"  {name_of(spec):42} {jobs} jobs: PSS at most {memory['peak']:.0f} MiB, {memory['count']} samples, at most"
                      f" {1000 * memory['longest_gap']:.0f} ms apart", flush=True)

        print(f"\n{'':42} {'seconds':>24} {'a minute':>8} {'whole':>9} {'MB out':>7} {'SSIM':>8} {'PSNR':>6} {'PSS MiB':>8}")
        for spec, rows in results.items():
            wall = statistics.median(run["wall"] for run in rows)
            seen = [q for run in rows for q in (run.get("quality") or {}).values() if q]
            ssim = min((q["ssim"] for q in seen), default=0)
            psnr = min((q["psnr"] for q in seen), default=0)
            peak = result["sampled"].get(spec, {}).get("memory", {}).get("peak")
            failed = "" if all(run["whole"] == options.jobs for run in rows) else "  FAILED, takes no part"
            print(f"{name_of(spec):42} {measuring.spread([run['wall'] for run in rows]):>24} {60 * options.jobs / wall:8.1f}"
                  f" {min(run['whole'] for run in rows):4}/{options.jobs:<4} {statistics.median(run['bytes'] for run in rows) / 1e6:7.1f}"
                  f" {ssim:8.5f} {psnr:6.2f} {f'{peak:8.0f}' if peak else '':8}{failed}")
        print("SSIM and PSNR are the lowest of the outputs that were looked at, one of each plan")

        weir = results[first]
        plans = collections.Counter()
        for run in weir:
            plans.update(run["plans"])
        print("plans of weir, all rounds:", dict(plans))
        for name, seen in sorted(bench.looked.items()):
            if name.startswith("weir") and seen:
                print(f"  {name}: SSIM {seen['ssim']:.5f}, PSNR {seen['psnr']:.2f} dB")
        if first in result["sampled"]:
            memory = result["sampled"][first]["memory"]
            group = memory["group"]
            verdict = "never above" if memory["peak"] <= budget else "ABOVE"
            print(f"memory of weir: {verdict} {budget:.0f} MiB; at most {memory['peak']:.1f}, mean"
                  f" {memory.get('mean_while_work_waits', memory['mean']):.1f} while jobs wait (most leased"
                  f" {memory['most_leased']:.0f}, most that weir told {memory['most_told_by_weir']:.0f}); "
                  + (f"its group of cgroup {group['backend']}, limited to the budget, page cache included: at most {group['peak'] or 0:.1f} MiB,"
                     f" {group['oom_kills']} killed" if group else "no memory group could be made here")
                  + f"; {result['sampled'][first]['whole']} of {options.jobs} whole; {result['sampled'][first]['wall']:.1f} s with the sampler")
        fair = {spec: rows for spec, rows in results.items()
                if not spec.startswith("weir") and all(run["whole"] == options.jobs for run in rows)}
        if fair and all(run["whole"] == options.jobs for run in weir):
            best = min(fair, key=lambda spec: statistics.median(run["wall"] for run in fair[spec]))
            ratio = statistics.median(run["wall"] for run in weir) / statistics.median(run["wall"] for run in fair[best])
            pairs = [mine["wall"] / theirs["wall"] for mine, theirs in zip(weir, fair[best])]
            result["best"], result["ratio"] = best, ratio
            print(f"weir / best ({name_of(best)}): {ratio:.3f}; round by round {measuring.spread(pairs, '{:.3f}')};"
                  f" bytes {statistics.median(run['bytes'] for run in weir) / statistics.median(run['bytes'] for run in fair[best]):.3f}")
        else:
            print("no ratio: " + ("weir did not make all outputs" if fair else "nobody else made all outputs"))
        if options.strict and not (result.get("ratio", 9) <= 1.05 and all(run["whole"] == options.jobs for run in weir)
                                   and result["sampled"].get(first, {}).get("memory", {"peak": 0})["peak"] <= budget):
            failed = True
        noisy = [name_of(spec) for spec, rows in results.items() if any(run["foreign_cpus"] > 0.1 for run in rows)]
        if noisy:
            print("somebody else kept more than a tenth of a processor busy in runs of:", ", ".join(noisy))
    finally:
        if options.out:
            with open(options.out, "w") as file:
                json.dump(result, file, indent=1)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
