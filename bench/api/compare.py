#!/usr/bin/env python3
"""Requests per second of the daemon beside nginx serving a static file of the same size, in one run.

Stores JOBS ended jobs (copies of a real one, put into the database while the daemon is down), then drives both with
wrk, alternating, same connections and threads: one job, and a page of 50. Submissions come over as many keep-alive
connections and count when answered, that is, when they are on disk. Memory of the daemon is its PSS before and after.
At the end it reads one job and pages in turn until REQUESTS were answered, and prints its PSS every tenth of them.

    bench/api/compare.py [--weir build/release/weir] [--jobs 100000] [--seconds 5] [--rounds 3]
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


class Weir:
    def __init__(self, binary, folder):
        self.port = free_port()
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, "serve", "--data", str(folder / "data"), "--memory", "1G", "--listen", f"127.0.0.1:{self.port}",
             "--media-root", str(folder / "media"), "--most-queued", "200000"],
            stderr=open(folder / "log", "a"), env={**os.environ, "WEIR_STATE_DIR": str(folder / "state")})
        while True:
            try:
                if ask(self.port, "GET", "/readyz")[0] == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - self.began > 30:
                sys.exit("weir did not start: " + (folder / "log").read_text())
            time.sleep(0.002)
        self.ready = time.monotonic() - self.began

    def pss(self):
        with open(f"/proc/{self.process.pid}/smaps_rollup") as rollup:
            return next(int(line.split()[1]) / 1024 for line in rollup if line.startswith("Pss:"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def nginx(folder, job, page):
    root = folder / "www"
    root.mkdir()
    (root / "job").write_bytes(job)
    (root / "page").write_bytes(page)
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(f"""worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log; daemon off;
events {{ worker_connections 4096; }}
http {{ access_log off; default_type application/json; keepalive_requests 100000000; sendfile on; tcp_nodelay on;
  open_file_cache max=100; server {{ listen 127.0.0.1:{port}; root {root}; }} }}""")
    os.chmod(folder, 0o755)
    process = subprocess.Popen(["nginx", "-c", str(conf)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    return process, port


def wrk(url, seconds, connections, *more):
    text = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *more, url],
                          capture_output=True, text=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors:", text)
    if bad:
        sys.exit(f"{url}: {text}")
    return rate, float(p99.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[p99.group(2)]


def submissions(folder, port, clients, seconds):
    script = folder / "submit.lua"
    script.write_text("""wrk.method = "POST"
wrk.body = '{"recipe":"crop","inputs":["clip.mp4"]}'
""")
    return wrk(f"http://127.0.0.1:{port}/v1/jobs", seconds, clients, "-s", str(script))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-api-"))
    processes, other = [], None
    try:
        (folder / "media").mkdir()
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:d=1", "-pix_fmt",
                        "yuv420p", str(folder / "media" / "clip.mp4")], check=True)
        weir = Weir(options.weir, folder)
        job = json.loads(ask(weir.port, "POST", "/v1/jobs", json.dumps({"recipe": "crop", "inputs": ["clip.mp4"]}))[1])
        while json.loads(ask(weir.port, "GET", f"/v1/jobs/{job['id']}")[1])["state"] not in ("succeeded", "failed"):
            time.sleep(0.1)
        weir.stop()
        database = sqlite3.connect(folder / "data" / "jobs.db")
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)") if row[1] != "number"]
        row = dict(zip(columns, database.execute(f"SELECT {','.join(columns)} FROM jobs").fetchone()))
        letters = "abcdefghijklmnopqrstuvwxyz234567"
        for i in range(options.jobs - 1):
            row["id"] = "b" + "".join(letters[(i >> (5 * shift)) & 31] for shift in range(14, -1, -1))
            database.execute(f"INSERT INTO jobs({','.join(columns)}) VALUES ({','.join('?' * len(columns))})",
                             list(row.values()))
        database.commit()
        database.close()

        weir = Weir(options.weir, folder)
        processes.append(weir.process)
        ask(weir.port, "POST", "/v1/drain")  # submissions are taken, nothing is started
        print(f"ready after {1000 * weir.ready:.0f} ms with {options.jobs} stored jobs, {weir.pss():.1f} MiB PSS")
        one = f"/v1/jobs/{job['id']}"
        pages = "/v1/jobs?limit=50"
        other, other_port = nginx(folder, ask(weir.port, "GET", one)[1], ask(weir.port, "GET", pages)[1])
        for name, path, file in (("one job", one, "job"), ("page of 50", pages, "page")):
            ours, theirs = [], []
            for _ in range(options.rounds):
                theirs.append(wrk(f"http://127.0.0.1:{other_port}/{file}", options.seconds, options.connections))
                ours.append(wrk(f"http://127.0.0.1:{weir.port}{path}", options.seconds, options.connections))
            rate, p99 = (statistics.median(x) for x in zip(*ours))
            other_rate, other_p99 = (statistics.median(x) for x in zip(*theirs))
            size = len(ask(weir.port, "GET", path)[1])
            print(f"{name:10} {size:7} bytes: weir {rate:8.0f}/s, nginx {other_rate:8.0f}/s, ratio {rate / other_rate:.3f};"
                  f" p99 {p99:.2f} ms against {other_p99:.2f} ms; weir {weir.pss():.1f} MiB PSS", flush=True)
        rates, p99s = zip(*(submissions(folder, weir.port, options.connections, options.seconds)
                            for _ in range(options.rounds)))
        print(f"submissions, durable: {statistics.median(rates):.0f}/s ({min(rates):.0f}-{max(rates):.0f}), p99"
              f" {statistics.median(p99s):.0f} ms; weir {weir.pss():.1f} MiB PSS", flush=True)
        answered, memory = 0, [weir.pss()]
        while answered < options.requests:
            for path in (one, pages, "/v1/jobs?limit=10&state=succeeded", "/v1/system", "/metrics"):
                answered += int(wrk(f"http://127.0.0.1:{weir.port}{path}", 1, options.connections)[0])
                if answered > options.requests * len(memory) / 10:
                    memory.append(weir.pss())
        print(f"{answered} further requests: " + " ".join(f"{pss:.2f}" for pss in memory) + " MiB PSS")
        other.terminate()  # and not kill: its worker would live on
        other.wait()
        other = None
        waiting = json.loads(ask(weir.port, "GET", "/v1/system")[1])["queue"]["waiting"]
        for process in processes:
            process.kill()
            process.wait()
        weir = Weir(options.weir, folder)
        processes.append(weir.process)
        print(f"ready after kill -9: {1000 * weir.ready:.0f} ms, {waiting} jobs waiting, {weir.pss():.1f} MiB PSS")
    finally:
        if other is not None:
            other.terminate()
            other.wait()
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
