#!/usr/bin/env python3
"""What the daemon takes for itself when what is bounded by a setting is full: PSS of a fresh daemon idle, with many
waiting jobs, with many open connections, with bodies on their way, and after parsing the largest body.

    bench/api/own_memory.py [--weir build/release/weir] [--jobs 10000] [--connections 1000]
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Weir:
    def __init__(self, binary, connections):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-own-"))
        media = self.folder / "media"
        media.mkdir()
        (media / "a.mp4").write_bytes(b"x")
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary, "serve", "--data", str(self.folder / "data"), "--memory", "600M", "--listen",
             f"127.0.0.1:{self.port}", "--media-root", str(media), "--connections", str(connections)],
            stderr=open(self.folder / "log", "a"), env={**os.environ, "WEIR_STATE_DIR": str(self.folder / "state")})
        while True:
            try:
                if self.ask("GET", "/readyz")[0] == 200:
                    break
            except OSError:
                time.sleep(0.02)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def pss(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", default="build/release/weir")
    parser.add_argument("--jobs", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=1000)
    options = parser.parse_args()

    def fresh():
        weir = Weir(options.weir, options.connections + 20)
        return weir, weir.pss()

    def say(what, weir, before, count):
        after = weir.pss()
        print(f"{what}: {before} -> {after} KiB PSS, {(after - before) * 1024 / count:.0f} bytes each", flush=True)

    weir, idle = fresh()
    print(f"idle: {idle} KiB PSS")
    weir.ask("POST", "/v1/drain")
    body = json.dumps({"recipe": "crop", "jobs": [{"inputs": ["a.mp4"]}] * 1000})
    for _ in range(options.jobs // 1000):
        status, answer = weir.ask("POST", "/v1/batches", body)
        assert status == 202, answer
    weir.ask("GET", "/v1/jobs?limit=1000")
    weir.ask("GET", "/openapi.json")
    say(f"{options.jobs} waiting jobs", weir, idle, options.jobs)
    weir.end()

    weir, idle = fresh()
    weir.ask("POST", "/v1/drain")
    body = json.dumps({"recipe": "crop", "jobs": [{"inputs": ["a.mp4"]}] * 5000})
    status, answer = weir.ask("POST", "/v1/batches", body)
    assert status == 202, answer
    say("one batch of 5,000", weir, idle, 5000)
    weir.end()

    weir, idle = fresh()
    sockets = []
    for _ in range(options.connections):
        s = socket.create_connection(("127.0.0.1", weir.port))
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"x" * 8000 + b"\r\n\r\n")
        s.recv(4096)
        sockets.append(s)
    say(f"{options.connections} connections after a request", weir, idle, options.connections)
    for s in sockets:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"x" * 15000)
    time.sleep(1)
    say("the same with half a header each", weir, idle, options.connections)
    weir.end()

    weir, idle = fresh()
    sockets = []
    for _ in range(32):
        s = socket.create_connection(("127.0.0.1", weir.port))
        s.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b" " * 900000)
        sockets.append(s)
    time.sleep(1)
    say("32 bodies of 1 MB on their way", weir, idle, 32)
    weir.end()

    weir, idle = fresh()
    for filler in ("[" + "1," * 500000 + "1]", '{"' + '":{"'.join("abcdefghij" * 5000) + '"'):
        weir.ask("POST", "/v1/jobs", filler[:1 << 20])
    say("largest bodies, one after the other", weir, idle, 1)
    weir.end()


main()
