"""What the tests of the daemon stand on: starting one, talking to it, and proving that it left nothing behind.

Each test has a data folder, a media root and a state folder of its own. After each test every daemon is told to end;
then nothing of it may be left, and the database must be whole and its history must make sense.
"""
import contextlib
import filecmp
import functools
import http.client
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import unittest
import urllib.parse

import clips
import media
from contract import Violation, contract
from harness import Case, PATIENCE, binary, kill_all, processes_of, wait_until

FINAL = ('succeeded', 'failed', 'cancelled')
PROBLEMS = 'https://weir.invalid/problems/'
# Names that a child of the daemon may have while it works; what merely starts and watches them is not among them.
WORKERS = ('ffmpeg', 'ffprobe', 'weir-fake')


@functools.lru_cache(maxsize=None)
def is_configurable():
    """True when the daemon has its whole configuration, not only the few options without which nothing can be tested."""
    done = subprocess.run([binary(), 'config', 'check', '--stall-timeout', '2'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env={'PATH': '/usr/bin:/bin', 'HOME': '/nonexistent'}, cwd='/', timeout=60)
    return done.returncode == 0


def needs_configuration(test):
    @functools.wraps(test)
    def guarded(self, *arguments):
        if not is_configurable():
            self.skipTest('this binary does not have all options of serve')
        return test(self, *arguments)
    return guarded


def free_port():
    """Below the range from which the kernel serves others."""
    while True:
        port = random.randrange(12000, 32000)
        with contextlib.closing(socket.socket()) as attempt:
            try:
                attempt.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue


def descendants(pid):
    """Live processes below one: {pid: (name, state)}."""
    parents, facts = {}, {}
    for name in os.listdir('/proc'):
        if not name.isdigit():
            continue
        try:
            with open('/proc/%s/stat' % name, 'rb') as file:
                text = file.read()
        except OSError:
            continue
        head, tail = text.rsplit(b')', 1)
        fields = tail.split()
        parents[int(name)] = int(fields[1])
        facts[int(name)] = (head.split(b'(', 1)[1].decode('utf-8', 'replace'), fields[0].decode())
    found = {}
    for one in parents:
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and one != pid and facts[one][1] not in 'ZX':
            found[one] = facts[one]
    return found


def memory_of(pid, key='VmRSS'):
    with open('/proc/%d/status' % pid) as file:
        for line in file:
            if line.startswith(key + ':'):
                return int(line.split()[1]) * 1024
    raise AssertionError('no %s of %d' % (key, pid))


class Reply:
    """One answer."""

    def __init__(self, method, path, response, body):
        self.method, self.path, self.status, self.body = method, path, response.status, body
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self):
        try:
            return json.loads(self.body.decode('utf-8'))
        except ValueError as problem:
            raise AssertionError('the body is not JSON (%s)\n%s' % (problem, self)) from None

    def __str__(self):
        return '  %s %s -> %d\n  %s\n  %s' % (self.method, self.path, self.status, self.headers, self.body[:1500].decode('utf-8', 'replace'))


class Daemon:
    """A running `weir serve`. The log is a file in the test's folder."""

    def __init__(self, case, arguments, port, env=None, prefix=()):
        self.case, self.port = case, port
        self.log_path = os.path.join(case.dir, 'log.%d' % len(case.daemons))
        self.arguments = ['serve', '--listen', '127.0.0.1:%d' % port, *arguments]
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen([*prefix, binary(), *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=case.dir,
                                            env=case.environment(**(env or {})), start_new_session=True)
        self.pid = self.process.pid

    @property
    def log(self):
        with open(self.log_path, 'rb') as file:
            return file.read().decode('utf-8', 'replace')

    # --- life ---

    def wait_ready(self, seconds=20, status=200):
        end = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError('the daemon ended with %d instead of starting\n%s' % (self.process.returncode, self.log[-1500:]))
            try:
                if self.get('/readyz').status == status:
                    return self
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        raise AssertionError('not ready after %.0f s\n%s' % (seconds * PATIENCE, self.log[-1500:]))

    @property
    def alive(self):
        return self.process.poll() is None

    def tell(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def ended(self, seconds=20):
        """The exit code."""
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError('the daemon does not end; alive: %s\n%s' % (descendants(self.pid), self.log[-1500:])) from None

    def stop(self):
        """At once, in good order. A signal that comes before the one before it was read is the same one, so it is repeated."""
        end = time.monotonic() + 25 * PATIENCE
        while self.alive:
            if time.monotonic() > end:
                raise AssertionError('the daemon does not end; alive: %s\n%s' % (descendants(self.pid), self.log[-1500:]))
            self.tell()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.2)
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()

    def workers(self):
        return {pid: facts for pid, facts in descendants(self.pid).items() if facts[0].startswith(WORKERS)}

    # --- talk ---

    def call(self, method, path, body=None, headers=None, timeout=30):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout * PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            reply = Reply(method, path, response, response.read())
        finally:
            connection.close()
        with self.case.held(reply):
            contract().answer(method, path, reply.status, reply.headers, reply.body)
            if reply.status < 400:
                contract().request(method, path, body, headers)
        return reply

    def get(self, path, **options):
        return self.call('GET', path, **options)

    def post(self, path, body=None, **options):
        return self.call('POST', path, {} if body is None and path == '/v1/jobs' else body, **options)

    def events(self, path, headers=None, timeout=30, heartbeats=False):
        """Events of a stream as they come, until its end: {'id': int or None, 'event': ..., 'data': {...}}."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout * PATIENCE)
        try:
            connection.request('GET', path, headers=headers or {})
            response = connection.getresponse()
            if response.status != 200:
                raise AssertionError(str(Reply('GET', path, response, response.read())))
            with self.case.held(path):
                contract().request('GET', path, None, headers)
                contract().answer('GET', path, 200, {name.lower(): value for name, value in response.getheaders()}, b'')
            if not response.getheader('Content-Type', '').startswith('text/event-stream'):
                raise AssertionError('not an event stream: %s' % response.getheaders())
            event = {}
            while True:
                line = response.readline()
                if not line:
                    return
                line = line.decode('utf-8').rstrip('\r\n')
                if not line:
                    if 'data' in event:
                        told = {'id': int(event['id']) if 'id' in event else None, 'event': event.get('event', 'message'),
                                'data': json.loads(event['data'])}
                        with self.case.held(told):
                            contract().event(path, told['event'], told['data'])
                        yield told
                    event = {}
                elif line.startswith(':'):
                    if heartbeats:
                        yield {'id': None, 'event': 'heartbeat', 'data': {}}
                else:
                    name, _, value = line.partition(':')
                    event[name] = value.lstrip(' ')
        finally:
            connection.close()

    def connect(self, timeout=10, receive_buffer=None):
        """A bare socket."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout * PATIENCE)
        raw.connect(('127.0.0.1', self.port))
        return raw


class DaemonCase(Case):
    memory = '600M'
    slots = 2

    def setUp(self):
        super().setUp()
        self.media = os.path.join(self.dir, 'media')
        self.data = os.path.join(self.dir, 'data')
        os.mkdir(self.media)
        os.mkdir(os.path.join(self.media, 'out'))
        self.daemons = []
        self.violations = []   # also of those threads whose end nobody looks at
        self.port = free_port()

    @contextlib.contextmanager
    def held(self, what):
        """Around a look into the contract: what does not hold fails the test."""
        try:
            yield
        except Violation as violation:
            self.violations.append('%s\n%s' % (violation, what))
            raise AssertionError(self.violations[-1]) from None

    def environment(self, **changes):
        env = super().environment(**changes)
        env.setdefault('XDG_CONFIG_HOME', os.path.join(self.dir, 'no-configuration'))
        return env

    def _remove(self):
        for daemon in self.daemons:
            if daemon.alive:
                daemon.kill()
        super()._remove()

    def serve(self, *more, slots=None, memory=None, scenario=None, data=None, env=None, ready=True, prefix=(), port=None):
        """Starts a daemon. With a scenario, the fake plays ffmpeg; `play` changes the part for what starts afterwards."""
        arguments = ['--data', data or self.data, '--memory', memory or self.memory, '--media-root', self.media,
                     '--slots', str(self.slots if slots is None else slots)]
        if scenario is not None:
            arguments += ['--ffmpeg', self.fake(scenario), '--ffprobe', '/usr/bin/ffprobe']
        daemon = Daemon(self, arguments + list(more), port or self.port, env, prefix)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        self.daemon = daemon
        return daemon

    def play(self, scenario, program='ffmpeg'):
        path = os.path.join(self.dir, 'tools', 'scenario' + ('' if program == 'ffmpeg' else '-' + program))
        with open(path + '.new', 'w') as file:
            file.write(scenario + '\n')
        os.replace(path + '.new', path)

    def clip(self, name, as_name=None):
        """A copy of a clip in the media root; its name there. A copy that jobs may be reading is left as it is."""
        source = clips.get(name)
        as_name = as_name or os.path.basename(source)
        copied = os.path.join(self.media, as_name)
        if not (os.path.isfile(copied) and filecmp.cmp(source, copied, shallow=False)):
            shutil.copyfile(source, copied)
        return as_name

    # --- jobs ---

    def submit(self, clip_name='one_frame.mp4', daemon=None, headers=None, recipe='crop', expect=202, **members):
        body = {'recipe': recipe, 'inputs': [clip_name], **members}
        reply = (daemon or self.daemon).post('/v1/jobs', body, headers=headers)
        self.assertEqual(reply.status, expect, '\n%s' % reply)
        return reply.json

    def job(self, job_id, daemon=None):
        reply = (daemon or self.daemon).get('/v1/jobs/' + job_id)
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        return reply.json

    def becomes(self, job_id, *states, seconds=30, also=None):
        """Waits for one of the states and returns the job; fails when it ends otherwise."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            job = self.job(job_id)
            if job['state'] in states and (also is None or also(job)):
                return job
            if job['state'] in FINAL and job['state'] not in states:
                self.fail('job ended %s, not %s: %s' % (job['state'], states, json.dumps(job['failure'])))
            if time.monotonic() > end:
                self.fail('job is %s, not %s, after %.0f s: %s\n%s' % (job['state'], states, seconds * PATIENCE, json.dumps(job)[:1500], self.daemon.log[-800:]))
            time.sleep(0.02)

    def ends(self, job_id, state='succeeded', seconds=60):
        end = time.monotonic() + seconds * PATIENCE
        while True:
            reply = self.daemon.get('/v1/jobs/' + job_id, headers={'Prefer': 'wait=5'})
            self.assertEqual(reply.status, 200, '\n%s' % reply)
            job = reply.json
            if job['state'] in FINAL:
                self.assertEqual(job['state'], state, '%s\n%s' % (json.dumps(job['failure']), self.daemon.log[-800:]))
                return job
            if time.monotonic() > end:
                self.fail('job is still %s after %.0f s: %s\n%s' % (job['state'], seconds * PATIENCE, json.dumps(job)[:1500], self.daemon.log[-800:]))

    def act(self, job_id, what, expect=200, **options):
        method, path = ('DELETE', '/v1/jobs/' + job_id) if what == 'delete' else ('POST', '/v1/jobs/%s/%s' % (job_id, what))
        reply = self.daemon.call(method, path, **options)
        self.assertEqual(reply.status, expect, '%s\n%s' % (what, reply))
        if expect >= 400:
            self.problem(reply, expect)
        return reply.json if reply.body else None

    def at_work(self, job_id):
        """Waits until the encoder of a running job (the only one) lives and has told of progress."""
        return self.becomes(job_id, 'running', also=lambda job: job['progress'] is not None)

    def problem(self, reply, status, name=None, words=()):
        """An RFC 9457 answer of the documented kind."""
        say = '\n%s' % reply
        self.assertEqual(reply.status, status, say)
        self.assertEqual(reply.headers.get('content-type'), 'application/problem+json', say)
        document = reply.json
        for key in ('type', 'title', 'status', 'detail'):
            self.assertIn(key, document, say)
        self.assertEqual(document['status'], status, say)
        self.assertTrue(document['type'].startswith(PROBLEMS), say)
        if name:
            self.assertEqual(document['type'], PROBLEMS + name, say)
        for word in words:
            self.assertIn(word, json.dumps(document, ensure_ascii=False), say)
        return document

    def artefact(self, job, number=0):
        """The artefact downloaded into a file; its path."""
        reply = self.daemon.get(job['artifacts'][number]['url'])
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        path = os.path.join(self.dir, 'downloaded-' + job['artifacts'][number]['name'])
        with open(path, 'wb') as file:
            file.write(reply.body)
        return path

    def assert_plays(self, path, frames=None):
        self.assertIsNone(media.decodes(path), path)
        if frames is not None:
            self.assertEqual(int(media.video(media.probe(path, packets=True))['nb_read_packets']), frames, path)

    # --- afterwards ---

    def tearDown(self):
        self.assertEqual(self.violations, [], 'not as the served document says')
        codes = []
        for daemon in self.daemons:
            if daemon.alive:
                codes.append((daemon.stop(), daemon.log[-800:]))
        for code, log in codes:
            self.assertEqual(code, 0, 'the daemon did not end well\n' + log)
        for daemon in self.daemons:
            for word in ('AddressSanitizer', 'ThreadSanitizer', 'runtime error:', 'LeakSanitizer', 'terminate called', 'by an exception'):
                self.assertNotIn(word, daemon.log, daemon.log[-3000:])
        self.assert_nothing_left()
        self.check_data(self.data)

    def check_data(self, data):
        """The database is whole, its history makes sense, and no artefact is left of a job that has none."""
        path = os.path.join(data, 'jobs.db')
        if not os.path.exists(path):
            return
        with contextlib.closing(sqlite3.connect('file:%s?mode=ro' % urllib.parse.quote(path), uri=True)) as database:
            self.assertEqual(database.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
            self.assertEqual(database.execute('PRAGMA foreign_key_check').fetchall(), [])
            jobs = database.execute('SELECT number, id, state, attempt FROM jobs').fetchall()
            counted = dict(database.execute('SELECT state, jobs FROM counters WHERE jobs <> 0').fetchall())
            real = {}
            for number, job, state, attempt in jobs:
                real[state] = real.get(state, 0) + 1
                history = [json.loads(data)['state'] for data, in database.execute(
                    "SELECT data FROM events WHERE job = ? AND type = 'state' ORDER BY id", (number,))]
                self.assertTrue(history, 'job %s has no history' % job)
                self.assertEqual(history[0], 'queued', '%s: %s' % (job, history))
                self.assertEqual(history[-1], state, 'the last event of %s does not tell its state: %s' % (job, history))
                for before, after in zip(history, history[1:]):
                    if before in FINAL:
                        self.assertEqual(after, 'queued', 'job %s ended twice: %s' % (job, history))
            self.assertEqual(counted, real, 'the counters are wrong')
            self.assertEqual(database.execute('SELECT count(*) FROM events WHERE job NOT IN (SELECT number FROM jobs)').fetchone()[0], 0)
            self.assertEqual(database.execute('SELECT count(*) FROM timelines WHERE job NOT IN (SELECT number FROM jobs)').fetchone()[0], 0)
            self.assertEqual(database.execute('SELECT id FROM batches AS b WHERE (SELECT count(*) FROM jobs WHERE batch = b.number) NOT BETWEEN 1 AND b.jobs').fetchall(), [],
                             'batches without jobs, or with more than they came with')
            keep = {job for _, job, state, _ in jobs if state == 'succeeded'}
        folder = os.path.join(data, 'artifacts')
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if os.listdir(os.path.join(folder, name)):
                self.assertIn(name, keep, 'artefacts of a job that has none: %s' % os.listdir(os.path.join(folder, name)))
