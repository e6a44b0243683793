"""What the benches of many jobs have in common: clips, a daemon, the sampler, looks at outputs, facts of the machine.

No bench by itself.
"""
import concurrent.futures
import http.client
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
CPUS = len(os.sched_getaffinity(0))


def mib(text):
    """'500M' as a number of MiB."""
    number, unit = re.fullmatch(r"([\d.]+)([KMGT]?)", text).groups()
    return float(number) * {"": 2**-20, "K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}[unit]


def spread(values, form="{:.1f}"):
    """Median, and the range where there is one."""
    text = form.format(statistics.median(values))
    return text if len(values) < 2 else f"{text} ({form.format(min(values))}-{form.format(max(values))})"


def make_clip(path, width, height, seconds, noise=2):
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s={width}x{height}:r=30:d={seconds}",
         "-f", "lavfi", "-i", f"anoisesrc=c=pink:r=48000:a=0.2:d={seconds}", "-vf",
         f"noise=alls={noise}:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "fast", "-crf", "23", "-g", "60",
         "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", str(path)], check=True)


def arguments_of_plan(weir, folder, recipe, clip, words):
    """ffmpeg's arguments of the first way of `weir plan`; None when there is no such way."""
    done = subprocess.run([weir, "plan", recipe, str(clip), *words, "--json", "--memory", "64G"], capture_output=True, text=True,
                          env={**os.environ, "WEIR_STATE_DIR": str(folder / "state-of-plan")})
    try:
        return json.loads(done.stdout)["ladder"][0]["arguments"]
    except (ValueError, KeyError, IndexError):
        return None


# --- processor time -------------------------------------------------------------------------------------------------

def machine_busy():
    with open("/proc/stat") as stat:
        fields = list(map(int, stat.readline().split()[1:]))
    user, nice, system, _, _, irq, soft = fields[:7]
    return (user + nice + system + irq + soft) / TICKS


def used_by(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


class Watch:
    """Wall time of something and, beside it, processors that somebody else kept busy. `own` tells the processor time of
    what is timed; that of this program does not count as foreign."""

    def __init__(self, own):
        self.own = own
        self.before = (machine_busy(), own(), used_by(resource.RUSAGE_SELF))
        self.began = time.monotonic()

    def stop(self):
        wall = time.monotonic() - self.began
        busy, own, mine = (after - before for after, before in zip(
            (machine_busy(), self.own(), used_by(resource.RUSAGE_SELF)), self.before))
        return {"wall": wall, "cpu": own, "foreign_cpus": max(0.0, busy - own - mine) / wall}


def children_used():
    return used_by(resource.RUSAGE_CHILDREN)


# --- memory -----------------------------------------------------------------------------------------------------------

class Sampler:
    """bench/sampler.py beside a process."""

    def __init__(self, pid, milliseconds=50, *more):
        self.process = subprocess.Popen([sys.executable, str(HERE / "sampler.py"), str(pid), str(milliseconds), *more],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self):
        found = json.loads(self.process.communicate()[0])
        sizes = [size / 1024 for _, size, _ in found["samples"]]
        return {"peak": max(sizes, default=0), "mean": statistics.mean(sizes) if sizes else 0, "count": len(sizes),
                "longest_gap": found["longest_gap"], "cpu_seconds": found["cpu_seconds"], "samples": found["samples"]}


class Group:
    """A memory group of cgroup v1 or v2, below our own or at the top; `path` is None where none can be made."""

    def __init__(self, limit_mib=None):
        self.path = None
        own = {}
        with open("/proc/self/cgroup") as lines:
            for line in lines:
                _, controllers, path = line.strip().split(":", 2)
                own[controllers] = path
        name = f"bench-of-weir-{os.getpid()}"
        places = [("/sys/fs/cgroup/memory" + own.get("memory", ""), True), ("/sys/fs/cgroup/memory", True),
                  ("/sys/fs/cgroup" + own.get("", ""), False), ("/sys/fs/cgroup", False)]
        for parent, v1 in places:
            path = os.path.join(parent, name)
            try:
                os.mkdir(path)
            except OSError:
                continue
            self.v1, self.path = v1, path
            if os.path.exists(os.path.join(path, "memory.limit_in_bytes" if v1 else "memory.max")):
                break
            os.rmdir(path)
            self.path = None
        if self.path and limit_mib:
            with open(os.path.join(self.path, "memory.limit_in_bytes" if self.v1 else "memory.max"), "w") as file:
                file.write(str(int(limit_mib * 2**20)))

    def join(self):
        """In the child, before exec."""
        if self.path:
            with open(os.path.join(self.path, "cgroup.procs"), "w") as file:
                file.write("0")

    def _read(self, name):
        try:
            with open(os.path.join(self.path, name)) as file:
                return file.read()
        except OSError:
            return ""

    def facts(self):
        """Highest charge in MiB, page cache included, and how many processes were killed for want of memory."""
        if not self.path:
            return None
        peak = self._read("memory.max_usage_in_bytes" if self.v1 else "memory.peak")
        kills = re.search(r"^oom_kill (\d+)", self._read("memory.oom_control" if self.v1 else "memory.events"), re.M)
        return {"backend": "v1" if self.v1 else "v2", "peak": int(peak) / 2**20 if peak else None,
                "oom_kills": int(kills.group(1)) if kills else None}

    def remove(self):
        if not self.path:
            return
        for attempt in range(50):  # a group stays busy for a moment after its last member
            try:
                for folder, _, _ in os.walk(self.path, topdown=False):
                    os.rmdir(folder)
                return
            except OSError:
                time.sleep(0.1)


# --- the daemon -------------------------------------------------------------------------------------------------------

FINAL = ("succeeded", "failed", "cancelled")


class Weir:
    """`weir serve` over a folder; its log is there. In a memory group, if one is given."""

    def __init__(self, binary, folder, memory, more=(), group=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.folder = folder
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--memory", memory, "--listen", f"127.0.0.1:{self.port}", "--data", str(folder / "data"),
                 "--media-root", str(folder), *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "WEIR_STATE_DIR": str(folder / "state")},
                preexec_fn=group.join if group else None)
        end = time.monotonic() + 60
        while True:
            try:
                status, answer = self.ask("GET", "/readyz")
                if status == 200:
                    self.backend = answer.get("backend")
                    return
            except (OSError, http.client.HTTPException):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError("weir did not start: " + (folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers or {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None

    def cpu(self):
        """Of the daemon and of the children that it has waited for."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:15])) / TICKS

    def wait_for(self, ids):
        """Until these jobs have ended. Asks nothing that the daemon would have to measure for."""
        for job in ids:
            while self.ask("GET", f"/v1/jobs/{job}", headers={"Prefer": "wait=300"})[1]["state"] not in FINAL:
                pass

    def looks(self, step=0.1):
        """What /v1/system says until every job has ended, as (seconds of CLOCK_MONOTONIC, answer). The daemon measures its
        children for each: for runs that are not timed."""
        seen = []
        while True:
            seen.append((time.monotonic(), self.ask("GET", "/v1/system")[1]))
            if not sum(count for state, count in seen[-1][1]["jobs"].items() if state not in FINAL):
                return seen
            time.sleep(step)

    def jobs(self):
        """All of them, oldest first."""
        found, cursor = [], ""
        while True:
            _, page = self.ask("GET", "/v1/jobs?limit=500" + cursor)
            found += page["jobs"]
            if page["next"] is None:
                return found[::-1]
            cursor = f"&cursor={page['next']}"

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


# --- outputs ----------------------------------------------------------------------------------------------------------

def look_at(path):
    """{width, height, frames, seconds, bytes} of a file, all 0 when it cannot be read."""
    none = {"width": 0, "height": 0, "frames": 0, "seconds": 0.0, "bytes": 0}
    done = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries",
                           "stream=width,height,nb_read_packets:format=duration", "-of", "json", str(path)],
                          capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)
        video = found["streams"][0]
        return {"width": video["width"], "height": video["height"], "frames": int(video["nb_read_packets"]),
                "seconds": round(float(found["format"].get("duration", 0)), 3), "bytes": os.path.getsize(path)}
    except (OSError, ValueError, KeyError, IndexError):
        return none


def look_at_all(paths):
    with concurrent.futures.ThreadPoolExecutor(CPUS) as pool:
        return list(pool.map(look_at, paths))


def quality(path, reference, filters, before=()):
    """SSIM and PSNR (dB) of a video against the same pictures of its source before they were encoded."""
    graph = (f"[0:v]setpts=N,format=yuv420p,split[a][b];[1:v]{filters},setpts=N,format=yuv420p,split[c][d];"
             "[a][c]ssim;[b][d]psnr")
    done = subprocess.run(["ffmpeg", "-nostdin", "-hide_banner", "-i", str(path), *before, "-i", str(reference), "-lavfi", graph,
                           "-f", "null", "-"], capture_output=True, text=True)
    ssim = re.search(r"SSIM .*All:([\d.]+)", done.stderr)
    psnr = re.search(r"PSNR .*average:([\d.]+|inf)", done.stderr)
    if not ssim or not psnr:
        return None
    return {"ssim": float(ssim.group(1)), "psnr": float(psnr.group(1))}


# --- the machine ------------------------------------------------------------------------------------------------------

def read(path, otherwise="?"):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return otherwise


def machine(weir):
    model = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    available = re.search(r"MemAvailable:\s+(\d+)", read("/proc/meminfo"))
    total = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    ffmpeg = subprocess.run(["ffmpeg", "-hide_banner", "-version"], capture_output=True, text=True).stdout.splitlines()[0]
    return {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cpus": CPUS, "model": model.group(1) if model else "?",
            "memory_mib": int(total.group(1)) // 1024, "available_mib": int(available.group(1)) // 1024,
            "kernel": platform.release(), "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
            "load_average": read("/proc/loadavg").split()[:3], "ffmpeg": ffmpeg,
            "weir": subprocess.run([weir, "--version"], capture_output=True, text=True).stdout.strip()}


def empty(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def settle():
    """What was written so far is on disk, so that a run does not pay for the one before it."""
    os.sync()
    time.sleep(0.5)
