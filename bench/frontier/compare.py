#!/usr/bin/env python3
"""One mixed queue under many budgets: the daemon beside the best fixed set-up that an exhaustive search finds.

The queue: crops, exact trims, transcodes and thumbnails of short clips of 360p to 4K (and ladders, when GET /v1/recipes has
them), each kind --repeats times, shuffled, always in the same order. For each budget it has those kinds that POST /v1/plan
takes at that budget; kinds that a fixed set-up could do within it all the same are named.

Weir gets the queue as one batch. It runs twice over: as it comes, where a leaner way whose output is larger has to earn
that (queue.size_weight), and with --size-weight 0, which takes whatever ends the queue soonest. Its time ends with the
last verified result. It is started with the settings that docs/CONFIGURATION.md gives for small machines, for 17 MiB of its
own instead of 34.

A fixed set-up is: so many children at once (1 to --children), so many threads each (1, 2, auto, or 2 with sliced
encoding), and how lean (as the preset is, or one of the four ways of Weir's own ladder: look-ahead 4, thrifty, lean, lean
ultrafast). It runs bare ffmpeg with the arguments of Weir's plan, but for threads and encoder settings, in the order of the
queue, checks nothing, and is bound by no budget: it counts for the budgets that its sampled PSS never passed. What runs it
is not counted.

What is searched. Every set-up is run, sampled, on a short queue (each kind once), for each set of kinds that occurs; for
each choice of threads and leanness with one more child at a time, until two more in turn have not ended the short queue 2 %
sooner, or the peak is above the largest budget: more children than that need more memory for nothing. Processor time of
the sampler is taken off. Then, for each budget, the --best fastest of those whose peak fits, and the --best fastest of those
that fit and are as good as what Weir took, are run on the whole queue: once sampled, whose peak decides whether the set-up
counts (else the next one takes its place), and --runs times unsampled, in turns with Weir. So the search is exhaustive on
the short queue, and its result is the fastest on the whole queue of the best few.

As good: all outputs together, brought to equal quality, at most 3 % larger. At equal crf a lean encoder makes another
quality as well as another size, and generated clips tell little about either, so each output counts as the bytes of the
full encoder times what its way costs by docs/BENCHMARKS.md ("The ladder of plans", from a real film). The bytes that were
really written are printed too.

    bench/frontier/compare.py [--weir build/release/weir] [--budgets 128 192 ...] [--seconds 5] [--repeats 3] [--runs 3]
                              [--best 2] [--children 8] [--threads 1 2 auto sliced] [--sizes 360 720 ...] [--out result.json]
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import measuring

SIZES = {360: (640, 360), 720: (1280, 720), 1080: (1920, 1080), 1440: (2560, 1440), 2160: (3840, 2160)}
OWN = ["--most-queued", "1000", "--connections", "64", "--largest-body", "256K"]
LEAN = {  # encoder settings of src/media/ladder.cc
    "full": (None, None),
    "lookahead 4": (None, "rc-lookahead=4"),
    "thrifty": (None, "rc-lookahead=4:bframes=1:b-adapt=1:ref=1"),
    "lean": (None, "rc-lookahead=0:sync-lookahead=0:bframes=0:ref=1:mbtree=0"),
    "lean ultrafast": ("ultrafast", "rc-lookahead=0:sync-lookahead=0:bframes=0:ref=1:mbtree=0"),
}
COST = {"full": 0, "lookahead 4": 0.13, "thrifty": 0.15, "lean": 0.45, "lean ultrafast": 3.0}  # more bytes at equal quality
COST_OF_SLICES = 0.02
LARGER = 1.03  # all outputs at equal quality: what counts as as good

Fixed = collections.namedtuple("Fixed", "children threads lean")


def named(fixed):
    return f"{fixed.children} x {'2 sliced' if fixed.threads == 'sliced' else fixed.threads}, {fixed.lean}"


def cost_of(plan):
    """Of one of Weir's plans, by its name."""
    for lean in ("lean ultrafast", "lean", "thrifty", "lookahead 4"):
        if lean in plan:
            return COST[lean]
    return COST_OF_SLICES if "slice" in plan else 0


def kinds(sizes, seconds):
    """(name, recipe, lines of the clip, parameters)"""
    cut = {"from": round(seconds * 0.1, 3), "to": round(seconds * 0.9, 3), "mode": "exact"}
    rows = [("crop", lines, {}) for lines in sizes]
    rows += [("crop", lines, {"size": "1080x1920"}) for lines in sizes if lines == 1080]
    rows += [("trim", lines, cut) for lines in sizes if lines <= 1440]
    rows += [("transcode", lines, {"fit": "1280x1280"}) for lines in sizes if lines in (1080, 2160)]
    rows += [("transcode", lines, {}) for lines in sizes if lines == 360]
    rows += [("thumbnail", lines, {}) for lines in sizes if lines in (720, 2160)]
    rows += [("ladder", lines, {}) for lines in sizes if lines == 1080]
    return [(" ".join([recipe, f"{lines}p", *[f"{params[key]}" for key in ("size", "fit") if key in params]]), recipe, lines, params)
            for recipe, lines, params in rows]


# --- the runner of fixed set-ups, a process of its own so that its children can be sampled --------------------------

def run_queue():
    """Standard input: {"at_once": N, "commands": [[folder, words]...]}; standard output: what came of it."""
    order = json.load(sys.stdin)
    waiting, lock, largest, codes = collections.deque(enumerate(order["commands"])), threading.Lock(), [0], {}

    def worker():
        while True:
            with lock:
                if not waiting:
                    return
                number, (folder, words) = waiting.popleft()
            child = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            with lock:
                codes[number] = child.returncode
                largest[0] = max(largest[0], used.ru_maxrss / 1024)

    began = time.monotonic()
    workers = [threading.Thread(target=worker) for _ in range(order["at_once"])]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    json.dump({"wall": time.monotonic() - began, "largest": largest[0], "codes": [codes[n] for n in sorted(codes)]}, sys.stdout)


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.media = folder / "media"
        self.media.mkdir()
        for lines in options.sizes:
            measuring.make_clip(self.media / f"{lines}p.mp4", *SIZES[lines], options.seconds)
        self.kinds, self.arguments, self.expected = {}, {}, {}
        self.least = {}  # kind: MiB of its leanest fixed set-up
        self.full = {}   # kind: bytes of its output by the full encoder
        self.cache = {}

        daemon = self.daemon("8G")
        try:
            known = {recipe["name"] for recipe in daemon.ask("GET", "/v1/recipes")[1]["recipes"]}
            for name, recipe, lines, params in kinds(options.sizes, options.seconds):
                body = {"recipe": recipe, "inputs": [f"{lines}p.mp4"], "params": params}
                if recipe not in known:
                    print(f"no {recipe} in GET /v1/recipes: left out")
                    continue
                status, plan = daemon.ask("POST", "/v1/plan", body)
                if status != 200 or not plan["ladder"]:
                    sys.exit(f"POST /v1/plan of {name} was answered {status}: {plan}")
                self.kinds[name] = body
                self.arguments[name] = plan["ladder"][0]["arguments"]
        finally:
            daemon.stop()
        self.order = [name for name in self.kinds for _ in range(options.repeats)]
        random.Random(4).shuffle(self.order)
        # What each kind makes, and what it needs at the least.
        for name in self.kinds:
            run = self.fixed(Fixed(1, "1", "full"), [name])
            if run["failed"]:
                sys.exit(f"bare ffmpeg could not do {name}")
            self.full[name] = run["bytes"]
            self.least[name] = self.fixed(Fixed(1, "1", "lean ultrafast"), [name])["largest"]

    def daemon(self, budget, more=(), group=None):
        home = measuring.empty(self.folder / "weir")
        for clip in self.media.iterdir():
            os.link(clip, home / clip.name)
        return measuring.Weir(self.options.weir, home, budget, [*OWN, *more], group)

    # --- fixed set-ups ---

    def words(self, name, fixed):
        """ffmpeg with the plan's arguments, and the set-up's threads and encoder settings in place of the plan's."""
        source = self.arguments[name]
        preset, parameters = LEAN[fixed.lean]
        decoder = {"auto": None, "sliced": "2"}.get(fixed.threads, fixed.threads)
        encoder = {"auto": None, "sliced": "2"}.get(fixed.threads, fixed.threads)
        if fixed.threads == "sliced":
            parameters = ":".join(filter(None, ["sliced-threads=1", parameters]))
        encodes = "libx264" in source
        words, seen_input = ["ffmpeg"], False
        at = 0
        while at < len(source):
            word, value = source[at], source[at + 1] if at + 1 < len(source) else ""
            at += 2
            if word == "-progress" or (word.startswith("-x264-params") and encodes):
                continue
            if word.startswith("-threads") and (encodes or not seen_input):
                chosen = encoder if seen_input else decoder
                words += [word, chosen] if chosen else []
            elif word == "-i":
                seen_input = True
                words += ["-i", str(self.media / self.kinds[name]["inputs"][0])]
            elif word.startswith("-preset") and preset:
                words += [word, preset]
            elif word.startswith("-c:v") and value == "libx264":
                words += [word, value] + ([word.replace("-c:v", "-x264-params"), parameters] if parameters else [])
            elif word in ("-hide_banner", "-nostdin", "-nostats", "-y", "-an", "-sn", "-dn", "-vn"):
                words.append(word)
                at -= 1
            else:
                words.append(word)
                if at <= len(source):
                    words.append(value)
        return words

    def fixed(self, fixed, names, sampled=False):
        home = measuring.empty(self.folder / "fixed")
        folders = [home / str(number) for number in range(len(names))]
        for folder in folders:
            folder.mkdir()
        order = {"at_once": fixed.children, "commands": [[str(folder), self.words(name, fixed)] for folder, name in zip(folders, names)]}
        measuring.settle()
        watch = measuring.Watch(measuring.children_used)
        runner = subprocess.Popen([sys.executable, __file__, "--runner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        sampler = measuring.Sampler(runner.pid, 50, "below") if sampled else None
        told = json.loads(runner.communicate(json.dumps(order).encode())[0])
        run = {**watch.stop(), "wall": told["wall"], "largest": told["largest"], "jobs": len(names)}
        if sampler:
            run["memory"] = sampler.stop()
            # Its process may live a little longer than the queue.
            run["corrected"] = max(told["wall"] - run["memory"]["cpu_seconds"] / measuring.CPUS, 0.1)
        files = [sorted(folder.iterdir()) for folder in folders]
        looks = measuring.look_at_all([found[0] if found else home / "none" for found in files])
        run["bytes"] = sum(path.stat().st_size for found in files for path in found if path.is_file())
        more = COST[fixed.lean] or (COST_OF_SLICES if fixed.threads == "sliced" else 0)
        run["equal"] = sum(self.full.get(name, 0) * (1 + more * ("libx264" in self.arguments[name])) for name in names)
        run["failed"] = 0
        for name, code, look in zip(names, told["codes"], looks):
            facts = (look["width"], look["height"], look["frames"])
            self.expected.setdefault(name, facts)
            run["failed"] += code != 0 or facts != self.expected[name] or not look["width"]
        return run

    def search(self, names):
        """Short runs of every set-up worth one, for this set of kinds: {Fixed: run}."""
        short = [name for name in dict.fromkeys(self.order) if name in names]
        most = max(self.options.budgets)
        found = {}
        for threads in self.options.threads:
            for lean in self.options.lean:
                best, worse = None, 0
                for children in range(1, self.options.children + 1):
                    fixed = Fixed(children, threads, lean)
                    run = found[fixed] = self.fixed(fixed, short, True)
                    if best is not None and run["corrected"] > 0.98 * best:
                        worse += 1
                    else:
                        worse = 0
                    best = min(best or run["corrected"], run["corrected"])
                    if worse == 2 or run["memory"]["peak"] > most:
                        break
                print(f"    {threads:>6} threads, {lean:14} " + " ".join(
                    f"{fixed.children}: {run['corrected']:.1f} s {run['memory']['peak']:.0f} MiB{' FAILED' if run['failed'] else ''};"
                    for fixed, run in found.items() if fixed[1:] == (threads, lean)), flush=True)
        return found

    # --- Weir ---

    def weir(self, budget, names, more, sampled=False):
        group = measuring.Group(budget) if sampled else None
        measuring.settle()
        daemon = self.daemon(f"{budget}M", more, group)
        sampler = None
        try:
            if sampled:
                sampler = measuring.Sampler(daemon.process.pid)
            watch = measuring.Watch(daemon.cpu)
            status, batch = daemon.ask("POST", "/v1/batches", {"jobs": [self.kinds[name] for name in names]})
            if status != 202:
                raise RuntimeError(f"POST /v1/batches was answered {status}: {batch}")
            looks = []
            if sampled:
                looks = self.look(daemon, batch)
            while not daemon.ask("GET", f"/v1/batches/{batch['id']}", headers={"Prefer": "wait=300"})[1]["ended"]:
                pass
            run = watch.stop()
            if sampler:
                run["memory"], sampler = sampler.stop(), None
                run["memory"].update(self.use(run["memory"]["samples"], looks))
                run["memory"]["group"] = group.facts()
            jobs = daemon.jobs()
        finally:
            if sampler:
                sampler.stop()
            daemon.stop()
            if group:
                group.remove()
        run["jobs"] = len(jobs)
        run["failed"] = sum(job["state"] != "succeeded" for job in jobs)
        run["why"] = [f"{job['recipe']} {job['inputs'][0]}: {(job['failure'] or {}).get('detail', job['state'])}"
                      for job in jobs if job["state"] != "succeeded"][:3]
        run["bytes"] = sum(artifact["size_bytes"] for job in jobs for artifact in job["artifacts"] or [])
        if [job["inputs"] for job in jobs] != [self.kinds[name]["inputs"] for name in names]:
            raise RuntimeError("GET /v1/jobs does not list the jobs in their order")
        run["equal"] = sum(self.full[name] * (1 + cost_of(job["plan"]["name"])) for name, job in zip(names, jobs) if job["plan"])
        run["plans"] = dict(collections.Counter(job["plan"]["name"] for job in jobs if job["plan"]))
        return run

    @staticmethod
    def look(daemon, batch):
        """(time, jobs that wait, what those with a slot wait for, leased MiB), ten times a second until the batch ends."""
        seen = []
        while True:
            system = daemon.ask("GET", "/v1/system")[1]
            at_work = daemon.ask("GET", f"/v1/jobs?batch={batch['id']}&state=running&limit=20")[1]["jobs"]
            seen.append((time.monotonic(), system["queue"]["waiting"], {job["waiting_for"] for job in at_work if job["waiting_for"]},
                         system["memory"]["leased_bytes"] / 2**20))
            if not system["queue"]["waiting"] and not system["queue"]["running"]:
                return seen
            time.sleep(0.1)

    @staticmethod
    def use(samples, looks):
        """Means of PSS over the time in which jobs wait, and over that in which a step waits for nothing but memory."""
        def mean_over(wanted):
            taken, at = [], 0
            for when, size, _ in samples:
                while at + 1 < len(looks) and looks[at + 1][0] <= when:
                    at += 1
                if looks and looks[at][0] <= when and wanted(looks[at]):
                    taken.append(size / 1024)
            return (statistics.mean(taken), len(taken) / max(1, len(samples))) if taken else (None, 0)

        waits, share = mean_over(lambda look: look[1] > 0)
        needs, needs_share = mean_over(lambda look: "memory" in look[2])
        leased = [look[3] for look in looks if look[1] > 0]
        return {"mean_while_work_waits": waits, "share_of_time_work_waits": share, "mean_while_memory_is_waited_for": needs,
                "share_of_time_memory_is_waited_for": needs_share, "mean_leased_while_work_waits": statistics.mean(leased) if leased else None}

    def taken(self, budget):
        """Kinds that Weir takes at a budget; None when it does not start."""
        try:
            daemon = self.daemon(f"{budget}M")
        except RuntimeError as error:
            print(f"  {str(error).strip().splitlines()[-1]}")
            return None
        try:
            return {name for name, body in self.kinds.items() if daemon.ask("POST", "/v1/plan", body)[1].get("chosen")}
        finally:
            daemon.stop()

    # --- one budget ---

    def whole(self, fixed, names, queue):
        """The sampled run on the whole queue, once for each set of kinds."""
        key = (fixed, names)
        if key not in self.cache:
            self.cache[key] = self.fixed(fixed, queue, True)
        return self.cache[key]

    def finalists(self, budget, names, queue, short, most):
        """The best few that fit on the whole queue, of those whose outputs at equal quality are not larger than `most`."""
        fits = [fixed for fixed, run in short.items() if not run["failed"] and run["memory"]["peak"] <= budget and
                (most is None or run["equal"] * self.options.repeats <= most)]
        chosen = []
        for fixed in sorted(fits, key=lambda fixed: short[fixed]["corrected"]):
            run = self.whole(fixed, names, queue)
            if not run["failed"] and run["memory"]["peak"] <= budget:
                chosen.append(fixed)
                if len(chosen) == self.options.best:
                    break
        return chosen

    def at(self, budget, searches):
        print(f"\n{budget} MiB", flush=True)
        names = self.taken(budget)
        result = {"budget": budget}
        if not names:
            print("  no job of the queue fits, or weir does not start")
            return result
        names = frozenset(names)
        queue = [name for name in self.order if name in names]
        result["jobs"] = len(queue)
        result["refused"] = sorted(set(self.kinds) - names)
        result["refused_but_possible"] = [name for name in result["refused"] if self.least[name] <= budget]
        print(f"  {len(queue)} jobs; refused by weir: {', '.join(result['refused']) or 'none'}; of these a fixed set-up could do:"
              f" {', '.join(result['refused_but_possible']) or 'none'}")
        ways = {"weir": [], "weir, any size": ["--size-weight", "0"]}
        result["sampled"] = {way: self.weir(budget, queue, more, True) for way, more in ways.items()}
        if names not in searches:
            print("  short runs: children: seconds, peak", flush=True)
            searches[names] = self.search(names)
        short = searches[names]
        classes = {"weir": result["sampled"]["weir"]["equal"] * LARGER, "weir, any size": None}
        finals = {way: self.finalists(budget, names, queue, short, most) for way, most in classes.items()}
        contenders = [*ways, *dict.fromkeys(fixed for chosen in finals.values() for fixed in chosen)]
        runs = result["runs"] = {}
        for turn in range(self.options.runs):
            for who in contenders if turn % 2 == 0 else contenders[::-1]:
                run = self.weir(budget, queue, ways[who]) if who in ways else self.fixed(who, queue)
                runs.setdefault(who if who in ways else named(who), []).append(run)
        wall = {who: statistics.median(run["wall"] for run in rows) for who, rows in runs.items()}
        for who, rows in runs.items():
            memory = result["sampled"][who]["memory"] if who in ways else None
            peak = memory["peak"] if memory else next(self.whole(f, names, queue)["memory"]["peak"] for f in contenders if f not in ways and named(f) == who)
            print(f"  {who:30} {measuring.spread([run['wall'] for run in rows]):>22} s, {rows[0]['bytes'] / 1e6:7.1f} MB out ({rows[0]['equal'] / 1e6:.1f} at equal"
                  f" quality), PSS at most {peak:6.1f} MiB,"
                  f" failed {max(run['failed'] for run in rows)}, {max(run['foreign_cpus'] for run in rows):.2f} processors elsewhere"
                  + (f" {rows[0]['plans']}" if who in ways else ""), flush=True)
            for line in rows[0].get("why", []):
                print("     ", line)
        result["ratios"], result["best"] = {}, {}
        for way, chosen in finals.items():
            sound = [named(fixed) for fixed in chosen if not any(run["failed"] for run in runs[named(fixed)])]
            if sound and not any(run["failed"] for run in runs[way]):
                best = min(sound, key=wall.get)
                result["best"][way], result["ratios"][way] = best, wall[best] / wall[way]
                print(f"  throughput of {way} / best fixed ({best}): {result['ratios'][way]:.3f}")
            else:
                print(f"  {way}: no ratio ({'weir failed jobs' if sound else 'no fixed set-up fits'})")
        return result


def main():
    if sys.argv[1:] == ["--runner"]:
        return run_queue()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--budgets", type=int, nargs="+", default=[128, 192, 256, 384, 500, 1000, 2000], help="MiB")
    parser.add_argument("--seconds", type=float, default=5, help="length of the clips")
    parser.add_argument("--repeats", type=int, default=3, help="of each kind in the queue")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--best", type=int, default=2, help="set-ups that are run on the whole queue, in each class")
    parser.add_argument("--children", type=int, default=8)
    parser.add_argument("--threads", nargs="+", default=["1", "2", "auto", "sliced"], choices=["1", "2", "auto", "sliced"])
    parser.add_argument("--lean", nargs="+", default=list(LEAN), choices=list(LEAN))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), choices=list(SIZES), help="lines of the clips")
    parser.add_argument("--strict", action="store_true", help="fail when Weir is above a budget, or below 0.95 of the best at one")
    parser.add_argument("--out", help="everything as JSON")
    options = parser.parse_args()
    options.weir = str(pathlib.Path(options.weir).resolve())
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-frontier-"))
    result = {"options": vars(options), "machine": measuring.machine(options.weir), "budgets": [], "searches": []}
    try:
        bench = Bench(options, folder)
        result["queue"] = bench.order
        print(f"{len(bench.order)} jobs of {len(bench.kinds)} kinds, clips of {options.seconds} s; {result['machine']['cpus']} processors,"
              f" load {result['machine']['load_average'][0]}", flush=True)
        searches = {}
        for budget in options.budgets:
            result["budgets"].append(bench.at(budget, searches))
        result["searches"] = [{"kinds": sorted(names), "runs": [
            {"children": fixed.children, "threads": fixed.threads, "lean": fixed.lean, "wall": run["wall"], "corrected": run["corrected"],
             "peak": run["memory"]["peak"], "largest": run["largest"], "bytes": run["bytes"], "failed": run["failed"]}
            for fixed, run in short.items()]} for names, short in searches.items()]

        print(f"\n{'budget':>7} {'jobs':>5} | {'throughput':>10} {'any size':>9} | {'peak':>7} | {'use while work waits':>20} {'of the time':>11}"
              f" | {'while memory is short':>21} {'of the time':>11} | {'leased':>7}")
        for row in result["budgets"]:
            if "sampled" not in row:
                print(f"{row['budget']:7} {'-':>5}")
                continue
            memory = row["sampled"]["weir"]["memory"]

            def share(value, width):
                return f"{value / row['budget']:{width}.0%}" if value is not None else " " * (width - 1) + "-"

            def ratio(way, width):
                return f"{row['ratios'][way]:{width}.3f}" if way in row["ratios"] else " " * (width - 1) + "-"

            print(f"{row['budget']:7} {row['jobs']:5} | {ratio('weir', 10)} {ratio('weir, any size', 9)} | {share(memory['peak'], 7)} |"
                  f" {share(memory['mean_while_work_waits'], 20)} {memory['share_of_time_work_waits']:11.0%} |"
                  f" {share(memory['mean_while_memory_is_waited_for'], 21)} {memory['share_of_time_memory_is_waited_for']:11.0%} |"
                  f" {share(memory['mean_leased_while_work_waits'], 7)}"
                  + ("  ABOVE THE BUDGET" if memory["peak"] > row["budget"] else ""))
        print("throughput: best fixed set-up's time / weir's, of those as good as weir's plans, and of all; weir's with --size-weight 0"
              "\nuse: mean PSS of weir's tree / budget while jobs wait, and while a step of one that has a slot waits for memory")
    finally:
        if options.out:
            for row in result["budgets"]:
                for run in row.get("sampled", {}).values():
                    run["memory"]["samples"] = run["memory"]["samples"][::4]
            with open(options.out, "w") as file:
                json.dump(result, file, indent=1)
        shutil.rmtree(folder, ignore_errors=True)
    if options.strict and any("sampled" in row and (row["sampled"]["weir"]["memory"]["peak"] > row["budget"] or row["ratios"].get("weir", 0) < 0.95)
                              for row in result["budgets"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
