"""The daemon among what keeps it running: a service manager, sockets that are handed down, SIGHUP, log files, a clock
that jumps, and disks that refuse."""
import contextlib
import glob
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

from daemon_harness import Daemon, DaemonCase, FINAL, descendants, memory_of, needs_configuration
from daemon_peers import proportional
from harness import PATIENCE, QUICK, binary, long_only, needs_root, processes_of, slow, wait_until


class Manager:
    """A service manager's end of NOTIFY_SOCKET: every datagram with the time of its arrival."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('\0' + address[1:] if address.startswith('@') else address)
        self.heard = []
        self.over = False
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        self.socket.settimeout(0.05)
        while not self.over:
            try:
                text = self.socket.recv(1 << 16)
            except socket.timeout:
                continue
            self.heard.append((time.monotonic(), text.decode('utf-8')))

    def close(self):
        self.over = True
        self.thread.join()
        self.socket.close()

    def fields(self, name, since=0.0):
        """[(when, value)] of one field."""
        found = []
        for when, text in list(self.heard):
            for line in text.split('\n'):
                key, equals, value = line.partition('=')
                if when >= since and equals and key == name:
                    found.append((when, value))
        return found

    def order(self):
        return [line.partition('=')[0] for _, text in list(self.heard) for line in text.split('\n')]


class Ops(DaemonCase):
    def manager(self, address=None):
        manager = Manager(address or os.path.join(self.dir, 'notify'))
        self.addCleanup(manager.close)
        return manager

    def hears(self, what, seconds=10):
        self.assertTrue(wait_until(what, seconds * PATIENCE), getattr(self, 'listener', None) and self.listener.heard)

    def configured(self, *more, text='', **options):
        """A daemon with a file of its own, which `write` replaces."""
        self.file = os.path.join(self.dir, 'weir.toml')
        self.write(text)
        return self.serve('--config', self.file, *more, **options)

    def write(self, text):
        with open(self.file + '.new', 'w') as file:
            file.write(text)
        os.chmod(self.file + '.new', 0o600)
        os.replace(self.file + '.new', self.file)

    def hang_up(self, *words, log=None):
        """SIGHUP, until the log has something new with these words."""
        read = log or (lambda: self.daemon.log)
        before = len(read())
        self.daemon.tell(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: all(word in read()[before:] for word in words), 10 * PATIENCE), (words, read()[before:]))
        return read()[before:]


class Notified(Ops):
    def start(self, address=None, watchdog='600000', **options):
        self.listener = self.manager(address)
        env = {'NOTIFY_SOCKET': self.listener.address}
        if watchdog:
            env['WATCHDOG_USEC'] = watchdog
        return self.serve(env=env, **options)

    def test_ready(self):
        for address in (os.path.join(self.dir, 'notify'), '@weir-test-%d' % os.getpid()):
            with self.subTest(address):
                daemon = self.start(address)
                self.hears(lambda: self.listener.fields('READY'))
                ready = self.listener.fields('READY')[0][0]
                # It answered before it said so, and was given time until then.
                self.assertEqual(daemon.get('/readyz').status, 200)
                self.assertEqual(self.listener.fields('READY')[0][1], '1')
                first = self.listener.fields('EXTEND_TIMEOUT_USEC')[0]
                self.assertLess(first[0], ready)
                self.assertGreaterEqual(int(first[1]), 1000000)
                self.hears(lambda: self.listener.fields('STATUS')[-1][1] == 'idle')
                self.assertEqual(daemon.stop(), 0)
                self.hears(lambda: self.listener.fields('STOPPING'))
                order = self.listener.order()
                self.assertLess(order.index('READY'), order.index('STOPPING'))
                for _, text in self.listener.heard:
                    self.assertTrue(all(re.fullmatch('[A-Z_]+=[^\n]*', line) for line in text.split('\n')), text)

    def test_not_ready_when_it_cannot(self):
        self.listener = self.manager()
        daemon = self.serve('--media-root', os.path.join(self.dir, 'nothing'), ready=False, env={'NOTIFY_SOCKET': self.listener.address})
        self.assertNotEqual(daemon.ended(), 0)
        time.sleep(0.2)
        self.assertEqual(self.listener.fields('READY'), [])

    def test_nobody_listens(self):
        for address in (os.path.join(self.dir, 'nobody'), '@weir-nobody', 'nonsense', '/' + 'x' * 200):
            daemon = self.serve(env={'NOTIFY_SOCKET': address, 'WATCHDOG_USEC': '300000'})
            self.assertEqual(daemon.stop(), 0)

    def test_children_do_not_hear_of_it(self):
        """Neither the address nor the descriptors: a child must not speak for the daemon."""
        self.start(scenario='obey-term', slots=1)
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        for pid in descendants(self.daemon.pid):
            with contextlib.suppress(OSError), open('/proc/%d/environ' % pid, 'rb') as file:
                self.assertNotIn(b'NOTIFY_SOCKET', file.read())
        self.act(job, 'cancel')

    def test_status_follows_the_work(self):
        self.start(scenario='obey-term', slots=1)
        name = self.clip('one_frame')
        jobs = [self.submit(name)['id'] for _ in range(3)]
        self.hears(lambda: self.listener.fields('STATUS')[-1][1] == '1 running, 2 waiting')
        self.daemon.post('/v1/drain')
        self.hears(lambda: self.listener.fields('STATUS')[-1][1] == '1 running, 2 waiting, draining')
        for job in jobs:
            self.act(job, 'cancel')
        self.daemon.post('/v1/undrain')
        self.hears(lambda: self.listener.fields('STATUS')[-1][1] == 'idle')
        # A state that stays the same is not told again.
        count = len(self.listener.fields('STATUS'))
        time.sleep(1)
        self.assertEqual(len(self.listener.fields('STATUS')), count)

    def test_watchdog(self):
        usec = 600000 * max(1, int(PATIENCE))
        self.start(watchdog=str(usec), slots=1, scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        time.sleep(usec * 4e-6)
        times = [when for when, _ in self.listener.fields('WATCHDOG')]
        self.assertGreaterEqual(len(times), 6)
        if PATIENCE == 1:
            self.assertLess(max(after - before for before, after in zip(times, times[1:])), usec * 0.6e-6)
            between = sorted(after - before for before, after in zip(times, times[1:]))
            self.assertLess(between[len(between) // 2], usec * 0.5e-6, 'fed less than twice in the time')
        # Whoever does not work feeds nobody.
        self.daemon.tell(signal.SIGSTOP)
        time.sleep(usec * 0.5e-6)
        silent = time.monotonic()
        time.sleep(usec * 3e-6)
        self.assertEqual(self.listener.fields('WATCHDOG', silent), [])
        self.daemon.tell(signal.SIGCONT)
        self.hears(lambda: self.listener.fields('WATCHDOG', silent))
        self.assertEqual(self.job(job)['state'], 'running')
        self.act(job, 'cancel')

    def test_watchdog_of_somebody_else(self):
        self.listener = self.manager()
        self.serve(env={'NOTIFY_SOCKET': self.listener.address, 'WATCHDOG_USEC': '300000', 'WATCHDOG_PID': '1'})
        self.hears(lambda: self.listener.fields('READY'))
        time.sleep(0.5)
        self.assertEqual(self.listener.fields('WATCHDOG'), [])

    @needs_configuration
    def test_stopping(self):
        self.listener = self.manager()
        self.serve('--stop-grace', '12', env={'NOTIFY_SOCKET': self.listener.address, 'WATCHDOG_USEC': '600000'}, scenario='obey-term', slots=1)
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        told = time.monotonic()
        self.daemon.tell()
        self.hears(lambda: self.listener.fields('STOPPING'))
        self.assertLess(self.listener.fields('STOPPING')[0][0] - told, 2 * PATIENCE)
        self.hears(lambda: self.listener.fields('EXTEND_TIMEOUT_USEC', told))
        self.hears(lambda: self.listener.fields('STATUS', told)[-1][1].startswith('ending: '))
        # Again while the grace runs, each time before the last one is over; and the watchdog is fed to the end.
        self.hears(lambda: len(self.listener.fields('EXTEND_TIMEOUT_USEC', told)) >= 2, 15)
        extensions = self.listener.fields('EXTEND_TIMEOUT_USEC', told)
        self.assertLess(extensions[1][0] - extensions[0][0], int(extensions[0][1]) / 1e6)
        fed = [when for when, _ in self.listener.fields('WATCHDOG', told)]
        self.assertGreater(len(fed), 10)
        self.assertEqual(self.daemon.ended(), 0)

    @needs_configuration
    def test_reloading(self):
        self.listener = self.manager()
        self.configured(env={'NOTIFY_SOCKET': self.listener.address})
        self.hears(lambda: self.listener.fields('READY'))
        before = time.monotonic()
        self.hang_up('as configured now')
        self.hears(lambda: self.listener.fields('READY', before))
        reloading = self.listener.fields('RELOADING', before)[0]
        stamp = int(self.listener.fields('MONOTONIC_USEC', before)[0][1]) / 1e6
        self.assertTrue(before <= stamp <= reloading[0], (before, stamp, reloading))
        self.assertLess(reloading[0], self.listener.fields('READY', before)[0][0] + 0.001)
        self.write('[queue]\nslots = "many"\n')
        before = time.monotonic()
        self.hang_up('stays as it was')
        # The manager must hear the end of a reload that failed as well, or it would wait for it.
        self.hears(lambda: self.listener.fields('READY', before))
        self.assertTrue(any('queue.slots' in value for _, value in self.listener.fields('STATUS', before)), self.listener.heard)


class Packaged(unittest.TestCase):
    def test_units(self):
        """What the units promise and what the daemon keeps belong together."""
        folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'packaging')
        with open(os.path.join(folder, 'weir.service')) as file:
            lines = dict(line.strip().split('=', 1) for line in file if '=' in line and not line.startswith('#'))
        self.assertEqual((lines['Type'], lines['NotifyAccess'], lines['KillMode']), ('notify', 'main', 'mixed'))
        self.assertIn('HUP', lines['ExecReload'])
        # Each of these forbids what the daemon stands on.
        self.assertEqual({'RestrictNamespaces', 'SystemCallFilter', 'ProtectControlGroups', 'ProtectProc', 'ProcSubset', 'ProtectKernelTunables', 'RestrictSUIDSGID'} & set(lines), set())
        self.assertGreater(int(lines['TimeoutStopSec']), 30)
        # Groups for the children; a limit that the documented budget of 2G fits below; a descriptor for each connection
        # and more; and a next life after a crash, but not after an end in good order.
        self.assertEqual((lines['Delegate'], lines['Restart'], lines['MemorySwapMax']), ('yes', 'on-failure', '0'))
        most, unit = re.fullmatch('([0-9]+)([MG])', lines['MemoryMax']).groups()
        self.assertGreater(int(most) << {'M': 20, 'G': 30}[unit], 2 << 30)
        self.assertGreaterEqual(int(lines['LimitNOFILE']), 4096)
        with open(os.path.join(folder, 'weir.socket')) as file:
            self.assertEqual(len(re.findall('(?m)^Listen[A-Za-z]+=', file.read())), 1)
        if shutil.which('systemd-analyze'):
            done = subprocess.run(['systemd-analyze', 'verify', os.path.join(folder, 'weir.service')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            self.assertNotIn(b'Unknown', done.stdout)


class Activated(Daemon):
    """A daemon that is handed sockets as descriptors 3 and up."""

    STARTER = 'import os, sys; os.environ["LISTEN_PID"] = os.environ["TEST_LISTEN_PID"] or str(os.getpid()); del os.environ["TEST_LISTEN_PID"]; os.execv(sys.argv[1], sys.argv[1:])'

    def __init__(self, case, arguments, port, sockets, pid='', count=None, env=None):
        self.case, self.port = case, port
        self.log_path = os.path.join(case.dir, 'log.%d' % len(case.daemons))
        self.arguments = ['serve', *arguments]
        numbers = [one.fileno() for one in sockets]

        def arrange():
            kept = [os.dup(number) for number in numbers]
            for number, one in enumerate(kept):
                os.dup2(one, 3 + number, inheritable=True)
        env = case.environment(**{'LISTEN_FDS': str(len(sockets) if count is None else count), 'LISTEN_FDNAMES': 'weir.socket', 'TEST_LISTEN_PID': pid, **(env or {})})
        with open(self.log_path, 'wb') as log:
            # The starter keeps all descriptors; those of the test are not inheritable.
            self.process = subprocess.Popen(['/usr/bin/python3', '-c', self.STARTER, binary(), *self.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=case.dir,
                                            env=env, start_new_session=True, preexec_fn=arrange, close_fds=False)
        self.pid = self.process.pid
        case.daemons.append(self)
        case.daemon = self


class Sockets(Ops):
    own_state = True

    def listening(self, address='127.0.0.1', family=socket.AF_INET):
        made = socket.socket(family)
        made.bind((address, 0))
        made.listen(16)
        self.addCleanup(made.close)
        return made, made.getsockname()[1]

    def arguments(self, port, *more):
        return ['--listen', '127.0.0.1:%d' % port, '--data', self.data, '--memory', self.memory, '--media-root', self.media, *more]

    def test_serves_on_what_it_is_given(self):
        """And not where its own configuration says; nothing that comes while it is down is lost."""
        given, port = self.listening()
        early = socket.create_connection(('127.0.0.1', port), timeout=20 * PATIENCE)
        early.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
        Activated(self, self.arguments(self.port), port, [given]).wait_ready()
        self.assertIn(b'200 OK', early.recv(1 << 12))
        early.close()
        self.assertIn('http://127.0.0.1:', self.daemon.log)
        with self.assertRaises(OSError):
            socket.create_connection(('127.0.0.1', self.port), timeout=2)
        job = self.submit(self.clip('one_frame'))['id']
        self.ends(job)
        self.daemon.kill()
        # The socket is the manager's: callers wait in it for the next life.
        with socket.create_connection(('127.0.0.1', port), timeout=20 * PATIENCE) as waiting:
            waiting.sendall(b'GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' % job.encode())
            Activated(self, self.arguments(self.port), port, [given]).wait_ready()
            self.assertIn(b'200 OK', waiting.recv(1 << 12))

    def test_ipv6(self):
        try:
            given, port = self.listening('::1', socket.AF_INET6)
        except OSError:
            self.skipTest('no IPv6 here')
        daemon = Activated(self, self.arguments(self.port), port, [given])
        self.assertTrue(wait_until(lambda: self.asks(('::1', port)), 20 * PATIENCE), daemon.log)

    @staticmethod
    def asks(address):
        try:
            connection = http.client.HTTPConnection(*address, timeout=5)
            connection.request('GET', '/readyz')
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def test_for_somebody_else(self):
        """Variables that an ancestor left behind, and none at all: it listens where it is told to."""
        given, port = self.listening()
        for pid, count in (('1', 1), (str(os.getpid()), 1), ('', 0), ('nonsense', 1), ('', 'nonsense')):
            with self.subTest(pid=pid, count=count):
                daemon = Activated(self, self.arguments(self.port), self.port, [given], pid=pid, count=count).wait_ready()
                self.assertEqual(daemon.get('/readyz').status, 200)
                self.assertEqual(daemon.stop(), 0)
        given.settimeout(0.2)
        with self.assertRaises(socket.timeout):
            given.accept()

    def test_what_cannot_be_served(self):
        tcp, _ = self.listening()
        other, _ = self.listening()
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(os.path.join(self.dir, 'unix'))
        unix.listen(1)
        self.addCleanup(unix.close)
        deaf = socket.socket()
        self.addCleanup(deaf.close)
        public = socket.socket()
        public.bind(('0.0.0.0', 0))
        public.listen(1)
        self.addCleanup(public.close)
        for sockets, code, words in (([tcp, other], 2, '2 sockets'), ([unix], 2, 'TCP'), ([deaf], 2, 'listens'), ([public], 33, 'token')):
            with self.subTest(words):
                daemon = Activated(self, self.arguments(self.port), self.port, sockets)
                self.assertEqual(daemon.ended(), code, daemon.log)
                self.assertIn(words, daemon.log)

    def test_children_get_none_of_them(self):
        given, port = self.listening()
        Activated(self, self.arguments(self.port, '--slots', '1', '--ffmpeg', self.fake('obey-term'), '--ffprobe', '/usr/bin/ffprobe'), port, [given]).wait_ready()
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        wanted = 'socket:[%d]' % os.fstat(given.fileno()).st_ino
        for pid in descendants(self.daemon.pid):
            for number in os.listdir('/proc/%d/fd' % pid):
                with contextlib.suppress(OSError):
                    self.assertNotEqual(os.readlink('/proc/%d/fd/%s' % (pid, number)), wanted)
        self.act(job, 'cancel')


class Reloaded(Ops):
    def tokens(self, *names):
        return ''.join('[[tokens]]\nname = "%s"\nsha256 = "%s"\nscopes = ["read", "submit", "admin"]\n' % (name, hashlib.sha256(name.encode()).hexdigest()) for name in names)

    def no_slots(self):
        """The harness gives slots and memory as options, which win over the file."""
        return ['--data', self.data, '--memory', self.memory, '--media-root', self.media]

    def start(self, text, **options):
        self.file = os.path.join(self.dir, 'weir.toml')
        self.write(text)
        daemon = Daemon(self, ['--config', self.file, *self.no_slots(), '--ffmpeg', self.fake('slow-real'), '--ffprobe', '/usr/bin/ffprobe'], self.port, **options)
        self.daemons.append(daemon)
        self.daemon = daemon
        return daemon

    @needs_configuration
    def test_slots_and_queue(self):
        self.start('[queue]\nslots = 1\nmost_queued = 2\n').wait_ready()
        name = self.clip('busy')
        first = self.submit(name)['id']
        self.at_work(first)
        worker = set(self.daemon.workers())
        second, third = self.submit(name)['id'], self.submit(name)['id']
        self.submit(name, expect=429)
        with self.daemon.connect() as kept:
            kept.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
            self.assertIn(b'200 OK', kept.recv(4096))
            self.write('[queue]\nslots = 2\nmost_queued = 3\n')
            self.hang_up('as configured now')
            kept.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
            self.assertIn(b'200 OK', kept.recv(4096))
        self.becomes(second, 'running', 'verifying')
        self.submit(name)
        self.assertLessEqual(worker, set(self.daemon.workers()), 'the child that ran is another one now')
        # Fewer again: nobody loses a slot.
        self.write('[queue]\nslots = 1\nmost_queued = 3\n')
        self.hang_up('as configured now')
        running = [self.job(job) for job in (first, second)]
        self.assertEqual([(job['state'], job['attempt']) for job in running], [('running', 1)] * 2)
        self.assertEqual(self.job(third)['state'], 'queued')
        self.play('pass')
        self.assertEqual(self.ends(first)['attempt'], 1)
        self.assertEqual(self.ends(second)['attempt'], 1)
        self.ends(third)

    @needs_configuration
    def test_tokens_and_limits(self):
        self.start(self.tokens('old'))
        old, new = {'X-API-Key': 'old'}, {'X-API-Key': 'new'}
        self.assertTrue(wait_until(lambda: self.answers('/readyz', old) == 200, 20 * PATIENCE), self.daemon.log)
        stream = self.daemon.events('/v1/events', headers=old)
        heard = []
        listener = threading.Thread(target=lambda: heard.extend(event for event in stream))
        listener.start()
        job = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.clip('busy')]}, headers=old).json['id']
        self.assertTrue(wait_until(lambda: self.daemon.workers(), 20 * PATIENCE))
        self.assertEqual(self.answers('/v1/jobs', new), 401)
        self.write('[server]\nlargest_body = 1024\nhosts = ["video.example"]\n' + self.tokens('new'))
        self.hang_up('as configured now')
        self.assertEqual((self.answers('/v1/jobs', old), self.answers('/v1/jobs', new)), (401, 200))
        self.assertEqual(self.answers('/v1/jobs', {**new, 'Host': 'video.example'}), 200)
        self.problem(self.daemon.post('/v1/jobs', b'x' * 2000, headers=new), 413, 'request-too-large')
        self.play('pass')
        done = self.daemon.get('/v1/jobs/' + job, headers={**new, 'Prefer': 'wait=60'}, timeout=70).json
        self.assertEqual((done['state'], done['attempt']), ('succeeded', 1))
        # Who had been let in stays: the stream went on.
        self.assertTrue(wait_until(lambda: any(event['data']['state'] == 'succeeded' for event in heard), 5 * PATIENCE), heard)
        # Leaving out all tokens by a slip of the pen opens nothing.
        self.write('')
        self.hang_up('stays as it was', 'without tokens')
        self.assertEqual((self.answers('/v1/jobs', {}), self.answers('/v1/jobs', new)), (401, 200))
        self.daemon.tell()
        listener.join(20 * PATIENCE)
        self.assertEqual(self.daemon.ended(), 0)
        for secret in ('old', 'new'):
            self.assertNotIn(hashlib.sha256(secret.encode()).hexdigest(), self.daemon.log)

    def answers(self, path, headers):
        try:
            return self.daemon.get(path, headers=headers).status
        except (OSError, http.client.HTTPException):
            return 0

    @needs_configuration
    def test_connections_and_rate(self):
        self.start('').wait_ready()
        self.write('[server]\nconnections = 3\nrequests_per_second = 5\n')
        self.hang_up('as configured now')
        self.assertIn(429, [self.daemon.get('/healthz').status for _ in range(20)])
        held = [self.daemon.connect() for _ in range(6)]
        time.sleep(0.2)
        closed = 0
        for raw in held:
            raw.setblocking(False)
            try:
                closed += raw.recv(1) == b''
            except BlockingIOError:
                pass
            except ConnectionError:
                closed += 1
            raw.close()
        self.assertEqual(closed, 3)
        self.write('')
        self.hang_up('as configured now')
        self.assertEqual([self.daemon.get('/healthz').status for _ in range(30)], [200] * 30)

    @needs_configuration
    def test_log_level_and_grace(self):
        self.start('[log]\nlevel = "error"\n[server]\nstop_grace_seconds = 300\n').wait_ready()
        self.assertEqual(self.daemon.log, '')
        self.write('[log]\nlevel = "debug"\n[server]\nstop_grace_seconds = 0\n')
        self.hang_up('as configured now')
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        # The log follows what happened, some moments later.
        self.assertTrue(wait_until(lambda: 'job %s: running, attempt 1' % job in self.daemon.log, 5 * PATIENCE), self.daemon.log)
        self.daemon.tell()
        self.assertEqual(self.daemon.ended(20), 0)

    @needs_configuration
    def test_what_needs_a_restart_is_said(self):
        self.start('').wait_ready()
        self.write('[server]\nlisten = "127.0.0.1:1"\n[data]\nkeep_failed_seconds = 5\n[jobs]\nstall_seconds = 7\n[log]\nformat = "json"\n[queue]\npatience_seconds = 3\n')
        told = self.hang_up('until a restart')
        # The address comes from an option, which has not changed.
        self.assertIn('restart: data.keep_failed_seconds, jobs.stall_seconds, log.format', told)
        self.assertNotIn('patience', told)
        self.hang_up('until a restart')
        self.write('')
        self.assertNotIn('restart', self.hang_up('as configured now'))

    @needs_configuration
    def test_broken_file(self):
        self.start('[queue]\nslots = 1\n').wait_ready()
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        for text, words in (('[queue\n', 'line 1'), ('[queue]\nslots = 0\n', 'queue.slots'), ('[queue]\nslotts = 2\n', 'slots'), ('\0\0\0', 'weir.toml'),
                            ('[queue]\nslots = 2\n[[tokens]]\nname = "x"\n', 'sha256'), ('#' * (300 << 10), 'larger')):
            with self.subTest(text[:40]):
                self.write(text)
                self.hang_up('stays as it was', words)
                self.assertEqual(self.job(job)['state'], 'running')
        os.unlink(self.file)
        self.hang_up('stays as it was', 'weir.toml')
        os.mkdir(self.file)
        self.hang_up('stays as it was', 'weir.toml')
        os.rmdir(self.file)
        self.assertEqual(self.daemon.get('/healthz').status, 200)
        behind = self.submit('busy.mp4')['id']
        time.sleep(0.3)
        self.assertEqual(self.job(behind)['state'], 'queued', 'half of a broken file was taken over')
        self.write('[queue]\nslots = 2\n')
        self.hang_up('as configured now')
        self.becomes(behind, 'running', 'verifying')
        self.act(job, 'cancel')
        self.act(behind, 'cancel')

    @slow
    @needs_configuration
    def test_storm(self):
        """A hundred at once: none kills it, and the last word counts."""
        self.start('[queue]\nslots = 1\n').wait_ready()
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        for number in range(100):
            self.write('[queue]\nslots = %d\n' % (number % 5 + 1))
            self.daemon.tell(signal.SIGHUP)
        self.write('[queue]\nslots = 2\n')
        self.hang_up('as configured now')
        jobs = [self.submit('busy.mp4')['id'] for _ in range(3)]
        self.becomes(jobs[0], 'running', 'verifying')
        time.sleep(0.3)
        self.assertEqual([self.job(one)['state'] for one in jobs[1:]], ['queued'] * 2)
        self.assertEqual((self.job(job)['state'], self.job(job)['attempt']), ('running', 1))
        for one in (job, *jobs):
            self.act(one, 'cancel')


class Impatient(Ops):
    def test_a_good_end_stays_one_however_often_it_is_told(self):
        for _ in range(3 if QUICK else 10):
            daemon = self.serve()
            end = time.monotonic() + 20 * PATIENCE
            while daemon.alive and time.monotonic() < end:
                daemon.tell()
                time.sleep(0.0005)
            self.assertEqual(daemon.ended(), 0, daemon.log)


class Checked(Ops):
    """`weir config check` says what `weir serve` would say, and starts and makes nothing."""

    def options(self, *more):
        return ['--listen', '127.0.0.1:%d' % self.port, '--data', self.data, '--memory', self.memory, '--media-root', self.media, *more]

    @needs_configuration
    def test_the_same_refusals(self):
        file = os.path.join(self.dir, 'a file')
        with open(file, 'w'):
            pass
        nothing = os.path.join(self.dir, 'nothing')
        for more, code, words in ((['--listen', '0.0.0.0:%d' % self.port], 33, 'no tokens'), (['--memory', '16M'], 12, 'weir itself'),
                                  (['--memory', '64M', '--largest-body', '16M'], 12, 'weir itself'), (['--media-root', nothing], 18, 'nothing'),
                                  (['--media-root', file], 18, 'a file'), (['--data', os.path.join(file, 'data')], 18, 'a file'),
                                  (['--log-file', os.path.join(nothing, 'log')], 19, 'log file'), (['--log-file', self.dir], 19, 'log file'),
                                  (['--ffmpeg', os.path.join(nothing, 'ffmpeg')], 21, 'ffmpeg')):
            with self.subTest(more):
                before = sorted(os.listdir(self.dir))
                done = self.weir('config', 'check', *self.options(*more))
                self.assertEqual((done.code, done.out), (code, b''), '\n%s' % done)
                self.assertIn(words, done.errors)
                self.assertEqual(sorted(os.listdir(self.dir)), before, 'looking made something')
                document = self.weir('config', 'check', *self.options(*more), '--json').document
                self.assertEqual((document['ok'], document['error']['exit_code']), (False, code))
                served = self.weir('serve', *self.options(*more))
                self.assertEqual(served.code, code, '\n%s' % served)
                self.assertIn(words, served.errors)

    @needs_configuration
    def test_what_is_good_stays_good_while_it_serves(self):
        before = sorted(os.listdir(self.dir))
        done = self.ok(self.weir('config', 'check', *self.options()))
        self.assertIn('is good', done.text)
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        self.serve()
        self.ok(self.weir('config', 'check', *self.options()))
        self.assertTrue(self.daemon.alive)

    @needs_configuration
    def test_refusals_in_json(self):
        done = self.weir('serve', *self.options('--media-root', os.path.join(self.dir, 'nothing')), '--json')
        self.assertEqual((done.code, done.document['error']['type']), (18, 'output-folder'), '\n%s' % done)
        daemon = self.serve('--json')
        daemon.stop()
        for line in daemon.log.splitlines():
            self.assertLessEqual({'time', 'level', 'message'}, set(json.loads(line)))


class Logs(Ops):
    slots = 1

    def lines(self, path):
        with open(path) as file:
            return file.read().splitlines()

    def files(self, path):
        return sorted(glob.glob(path + '*'), key=lambda name: int(name[len(path) + 1:] or 0), reverse=True)

    @needs_configuration
    def test_text(self):
        daemon = self.serve()
        job = self.ends(self.submit(self.clip('one_frame'))['id'])['id']
        for line in ('queued', 'running, attempt 1', 'verifying, attempt 1', 'publishing, attempt 1', 'succeeded, attempt 1'):
            self.assertTrue(wait_until(lambda: 'weir: info: job %s: %s\n' % (job, line) in daemon.log, 5 * PATIENCE), daemon.log)
        daemon.stop()
        self.assertTrue(all(line.startswith('weir: ') for line in daemon.log.splitlines()), daemon.log)

    @needs_configuration
    def test_why_a_job_failed(self):
        """In the daemon's log and in that of the job; in one line each."""
        daemon = self.serve()
        job = self.ends(self.submit(self.clip('text'))['id'], 'failed')
        why = job['failure']['detail']
        line = 'weir: info: job %s: failed, attempt 1: %s\n' % (job['id'], why)
        self.assertTrue(wait_until(lambda: line in daemon.log, 5 * PATIENCE), daemon.log)
        done = self.ok(self.weir('logs', job['id'], env={'WEIR_SERVER': '127.0.0.1:%d' % self.port}))
        self.assertTrue(done.text.splitlines()[-1].endswith(why), '\n%s' % done)
        self.assertEqual(done.text.count(why), 1, '\n%s' % done)

    @needs_configuration
    def test_json(self):
        daemon = self.serve('--log-format', 'json', scenario='liar-garbage')
        odd = self.clip('one_frame', 'a "quoted"\\name \u00fc.mp4')
        job = self.ends(self.submit(odd)['id'], 'failed')['id']
        self.assertTrue(wait_until(lambda: 'failed' in daemon.log, 5 * PATIENCE))
        self.daemon.stop()
        lines = [json.loads(line) for line in daemon.log.splitlines()]
        of_job = [line for line in lines if line.get('job') == job]
        self.assertEqual([line['message'].split(',')[0].split(':')[0] for line in of_job][:2], ['queued', 'running'])
        self.assertEqual(of_job[-1]['message'].split(',')[0], 'failed')
        for line in lines:
            self.assertLessEqual({'time', 'level', 'message'}, set(line))
            self.assertRegex(line['time'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
            self.assertIn(line['level'], ('debug', 'info', 'warning', 'error'))
        self.assertTrue(any('job' not in line for line in lines))

    @needs_configuration
    def test_rotation(self):
        """Files of a bounded size and number; put together they are one log without a gap."""
        path = os.path.join(self.dir, 'weir.log')
        daemon = self.serve('--log-file', path, '--log-file-size', '64K', '--log-files', '3', '--log-format', 'json', scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        count = 0

        def notes(number):
            nonlocal count
            for _ in range(number):
                self.assertEqual(daemon.call('PATCH', '/v1/jobs/' + job, {'labels': {'n': str(count)}}).status, 200)
                count += 1
        notes(800)
        self.assertTrue(wait_until(lambda: len(self.files(path)) > 1, 10 * PATIENCE))
        told = lambda: [json.loads(line)['message'] for name in self.files(path) for line in self.lines(name)]
        self.assertTrue(wait_until(lambda: sum(m == 'note: changed' for m in told()) == count, 10 * PATIENCE), 'lines are missing')
        times = [json.loads(line)['time'] for name in self.files(path) for line in self.lines(name)]
        self.assertEqual(times, sorted(times))
        notes(1500)
        time.sleep(0.5)
        files = self.files(path)
        self.assertEqual(files, [path + '.2', path + '.1', path])
        for name in files:
            self.assertLessEqual(os.path.getsize(name), 64 << 10)
            self.assertEqual(os.stat(name).st_mode & 0o007, 0, 'everybody may read it')
        self.act(job, 'cancel')
        daemon.stop()
        self.assertEqual(daemon.log, '', 'something is said elsewhere as well')

    @needs_configuration
    def test_moved_and_removed(self):
        path = os.path.join(self.dir, 'weir.log')
        daemon = self.serve('--log-file', path)
        name = self.clip('one_frame')
        first = self.ends(self.submit(name)['id'])['id']
        self.assertTrue(wait_until(lambda: first + ': succeeded' in open(path).read(), 5 * PATIENCE))
        os.rename(path, path + '-aside')
        second = self.ends(self.submit(name)['id'])['id']
        self.assertTrue(wait_until(lambda: os.path.exists(path) and second + ': succeeded' in open(path).read(), 5 * PATIENCE))
        self.assertEqual(open(path).read().count(second), 6)
        self.assertNotIn(second, open(path + '-aside').read())
        self.assertEqual(open(path + '-aside').read().count(first), 6)
        os.unlink(path)
        third = self.ends(self.submit(name)['id'])['id']
        self.assertTrue(wait_until(lambda: os.path.exists(path) and open(path).read().count(third) == 6, 5 * PATIENCE))
        # No deleted file is held open.
        held = [os.readlink(link) for link in glob.glob('/proc/%d/fd/*' % daemon.pid) if os.path.islink(link)]
        self.assertFalse([link for link in held if 'weir.log' in link and link != path], held)

    @needs_configuration
    def test_goes_on_in_the_next_life(self):
        path = os.path.join(self.dir, 'weir.log')
        for life in range(3):
            self.serve('--log-file', path).stop()
        self.assertEqual(sum('listening on' in line for line in self.lines(path)), 3)

    @needs_configuration
    def test_cannot_be_opened(self):
        for path in (os.path.join(self.dir, 'no', 'folder', 'log'), self.dir, '/dev/full'):
            daemon = self.serve('--log-file', path, ready=False)
            self.assertEqual(daemon.ended(), 19, daemon.log)
            self.assertIn('log file', daemon.log)

    @needs_root
    @needs_configuration
    def test_full_disk(self):
        """The work goes on; what was not written is counted, and no half line stays."""
        disk = self.mount_tmpfs(256 << 10, 'logs')
        path = os.path.join(disk, 'weir.log')
        daemon = self.serve('--log-file', path, '--log-file-size', '1M', '--log-format', 'json')
        name = self.clip('one_frame')
        self.ends(self.submit(name)['id'])
        ballast = os.path.join(disk, 'ballast')
        with open(ballast, 'wb', 0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b'x' * 4096)
        unheard = [self.ends(self.submit(name)['id'])['id'] for _ in range(12)]
        self.assertTrue(wait_until(lambda: 'lines are lost' in daemon.log, 10 * PATIENCE), daemon.log)
        self.assertEqual(daemon.get('/readyz').status, 200)
        self.assertLess(len(daemon.log.splitlines()), 20, 'as many lines elsewhere')
        os.unlink(ballast)
        heard = self.ends(self.submit(name)['id'])['id']
        self.assertTrue(wait_until(lambda: heard + '","message":"succeeded' in open(path).read(), 5 * PATIENCE))
        lines = [json.loads(line) for line in self.lines(path)]
        lost = [int(line['message'].split()[0]) for line in lines if 'could not be written' in line['message']]
        told = sum(line.get('job') in unheard for line in lines)
        self.assertEqual(sum(lost) + told, 6 * len(unheard), (lost, told))
        daemon.stop()


LIBRARY = next(iter(glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1') or glob.glob('/usr/lib/*/faketime/libfaketime.so.1')), None)
YEAR = 365 * 86400


@unittest.skipUnless(LIBRARY, 'needs faketime')
@unittest.skipUnless(PATIENCE == 1, 'a sanitizer must be loaded before all other libraries')
class Clock(Ops):
    """The date jumps a year; what is measured goes on as if nothing had happened."""
    slots = 1
    own_state = True

    def start(self, *more, at=0, **options):
        self.offset = os.path.join(self.dir, 'offset')
        self.jump(at)
        daemon = self.serve(*more, env={'LD_PRELOAD': LIBRARY, 'FAKETIME_TIMESTAMP_FILE': self.offset, 'FAKETIME_NO_CACHE': '1', 'FAKETIME_DONT_FAKE_MONOTONIC': '1',
                                        'FAKETIME_DONT_RESET': '1', 'NO_FAKE_STAT': '1'}, **options)
        # The library's own, which stays when its process is killed.
        self.addCleanup(lambda: [os.unlink(path) for path in glob.glob('/dev/shm/*faketime_*_%d' % daemon.pid)])
        self.assertLess(abs(self.ahead() - at), 60)
        return daemon

    def jump(self, seconds):
        with open(self.offset + '.new', 'w') as file:
            file.write('%+d\n' % seconds)
        os.replace(self.offset + '.new', self.offset)

    def ahead(self):
        """Seconds by which the daemon's date is ahead."""
        import email.utils
        return email.utils.parsedate_to_datetime(self.daemon.get('/healthz').headers['date']).timestamp() - time.time()

    def jumps(self, seconds):
        self.jump(seconds)
        self.assertTrue(wait_until(lambda: abs(self.ahead() - seconds) < 60, 5 * PATIENCE), self.ahead())

    def told(self, job):
        events = list(self.daemon.events('/v1/jobs/%s/events' % job))
        ids = [event['id'] for event in events if event['id'] is not None]
        self.assertEqual(ids, sorted(set(ids)))
        return [event['data']['state'] for event in events if event['event'] == 'state']

    def test_while_one_runs(self):
        self.start(scenario='slow-real')
        for seconds in (YEAR, -YEAR, 0):
            job = self.submit(self.clip('plain'))['id']
            self.at_work(job)
            self.jumps(seconds)
            found = self.ends(job)
            self.assertEqual(found['attempt'], 1, 'a clock that has nothing to do with it stopped it')
            self.assertEqual(self.told(job), ['queued', 'running', 'verifying', 'publishing', 'succeeded'])

    def test_while_some_wait(self):
        """In their order, whatever the date says of who came first; and waiters are not woken or forgotten."""
        self.start(scenario='obey-term')
        name = self.clip('one_frame')
        blocker = self.submit(name)['id']
        self.at_work(blocker)
        jobs = []
        for seconds in (0, YEAR, -YEAR, 2 * YEAR):
            self.jumps(seconds)
            jobs += [self.submit(name)['id'] for _ in range(2)]
        begun = time.monotonic()
        self.assertEqual(self.daemon.get('/v1/jobs/' + jobs[0], headers={'Prefer': 'wait=2'}).json['state'], 'queued')
        self.assertTrue(1.5 < time.monotonic() - begun < 10 * PATIENCE, time.monotonic() - begun)
        self.play('pass')
        self.act(blocker, 'cancel')
        ended = [self.ends(job) for job in jobs]
        self.assertEqual([job['attempt'] for job in ended], [1] * len(jobs))
        started = []
        for event in self.daemon.events('/v1/events?after=0'):
            if event['event'] == 'state' and event['data']['state'] == 'running' and event['data']['job'] != blocker:
                started.append(event['data']['job'])
            if len(started) == len(jobs):
                break
        self.assertEqual(started, jobs)

    def backing_off(self):
        """A job that waits for its next attempt, because its output's disk is full."""
        disk = self.mount_tmpfs(600 << 20, 'media/small')
        ballast = os.path.join(disk, 'ballast')
        with open(ballast, 'wb') as file:
            os.posix_fallocate(file.fileno(), 0, 500 << 20)
        job = self.submit(self.clip('one_frame'), outputs=['small/x.mp4'])['id']
        self.becomes(job, 'queued', also=lambda one: one['waiting_for'] == 'time')
        return job, ballast

    @needs_root
    def test_while_one_backs_off(self):
        self.start()
        job, ballast = self.backing_off()
        self.jumps(-YEAR)
        attempt = self.job(job)['attempt']
        self.assertTrue(wait_until(lambda: self.job(job)['attempt'] > attempt, 20 * PATIENCE), 'it waits for a date a year away')
        self.jumps(YEAR)
        attempt = self.job(job)['attempt']
        self.assertTrue(wait_until(lambda: self.job(job)['attempt'] > attempt, 40 * PATIENCE), 'it never comes again')
        # A date that is over for a year is no reason to try all at once.
        self.assertLess(self.job(job)['attempt'], 8)
        os.unlink(ballast)
        found = self.ends(job)
        self.assertEqual(self.told(job)[-1], 'succeeded')
        self.assertEqual(sum(state in FINAL for state in self.told(job)), 1)
        self.assertEqual(found['state'], 'succeeded')
        os.unlink(os.path.join(self.media, 'small', 'x.mp4'))

    @long_only
    @needs_root
    def test_back_off_over_a_restart(self):
        """The next life takes the date that was stored with a grain of salt."""
        self.start()
        job, ballast = self.backing_off()
        self.daemon.kill()
        os.unlink(ballast)
        self.start(at=-YEAR)
        found = self.job(job)
        self.assertIn(found['state'], ('queued', 'running', 'verifying', 'publishing', 'succeeded'))
        # At most the longest pause of all, which is five minutes; the one it had was of seconds.
        end = time.monotonic() + 330
        while self.job(job)['state'] not in FINAL and time.monotonic() < end:
            time.sleep(1)
        self.assertEqual(self.job(job)['state'], 'succeeded')
        os.unlink(os.path.join(self.media, 'small', 'x.mp4'))

    def sweep(self):
        self.assertEqual(self.daemon.post('/api/diagnostics/resources/cleanup').status, 200)
        time.sleep(0.5)

    def test_ended_ones_are_not_kept_for_less(self):
        """The date goes back: nothing goes before its time."""
        self.start()
        job = self.ends(self.submit(self.clip('one_frame'))['id'])
        self.jumps(-YEAR)
        later = self.ends(self.submit('one_frame.mp4')['id'])
        self.sweep()
        for one in (job, later):
            self.assertEqual(self.job(one['id'])['state'], 'succeeded')
            self.assert_plays(self.artefact(one), 1)
        self.jumps(0)
        self.assertEqual(self.daemon.get(job['artifacts'][0]['url']).status, 200)

    def test_ended_ones_outlast_a_leap(self):
        """One that ended a moment ago is kept for its time, although the date says that this was a year ago."""
        self.start()
        job = self.ends(self.submit(self.clip('one_frame'))['id'])['id']
        self.jumps(YEAR)
        self.sweep()
        self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 200)

    @needs_configuration
    def test_ended_ones_go_although_the_date_fell_back(self):
        self.start('--keep-succeeded', '2')
        job = self.ends(self.submit(self.clip('one_frame'))['id'])['id']
        self.jumps(-YEAR)
        self.sweep()   # here it is noticed, and their time begins
        self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 200)
        time.sleep(3)
        self.sweep()
        self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 404)

    @needs_configuration
    def test_ended_ones_go_in_their_time(self):
        self.start('--keep-succeeded', '3')
        job = self.ends(self.submit(self.clip('one_frame'))['id'])['id']
        self.sweep()
        self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 200)
        time.sleep(3)
        self.sweep()
        self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 404)

    def test_everything_at_once(self):
        """Jumps every moment, with callers, streams and jobs in all states: it neither falls nor forgets."""
        self.start(scenario='pass', slots=2)
        name = self.clip('one_frame')
        jobs = []
        heard = []
        stream = self.daemon.events('/v1/events')

        def listen():
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                for event in stream:
                    heard.append(event)
        listener = threading.Thread(target=listen)
        listener.start()
        for number in range(12):
            self.jump((YEAR, -YEAR, 0, 40 * YEAR, -20 * YEAR)[number % 5])
            jobs.append(self.submit(name)['id'])
            time.sleep(0.15)
        self.jump(0)
        for job in jobs:
            self.ends(job)
            self.assertEqual(self.told(job), ['queued', 'running', 'verifying', 'publishing', 'succeeded'])
        self.daemon.stop()
        listener.join(10 * PATIENCE)
        ids = [event['id'] for event in heard]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(len(ids), 6 * len(jobs))


@needs_root
class Disks(Ops):
    """What daemon_recovery leaves out: the folder of records, and artefacts, on disks that are full or frozen."""
    slots = 1
    own_state = True

    def fill(self, folder):
        """To the last byte, at once."""
        path = os.path.join(folder, 'ballast')
        free = os.statvfs(folder)
        with open(path, 'wb', 0) as file:
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize))
        self.fill_more(path)
        return path

    def freeze(self, disk):
        """As soon as nobody writes any more."""
        def frozen():
            return subprocess.run(['mount', '-o', 'remount,ro', disk], stderr=subprocess.DEVNULL).returncode == 0
        if not wait_until(frozen, 10 * PATIENCE, 0.1):
            self.skipTest('cannot mount read-only here')

    def waits_and_goes_on(self, job, cause, mend):
        found = self.becomes(job, 'queued', seconds=30, also=lambda one: one['failure'] is not None)
        self.assertIn(found['failure']['cause'], cause, found['failure'])
        self.assertEqual(self.daemon.get('/healthz').status, 200)
        self.assertEqual(processes_of(os.path.join(self.media, 'out')), {})
        mend()
        done = self.ends(job)
        self.assertGreater(done['attempt'], 1)
        history = [line['text'].split(':')[0] for line in self.daemon.get('/v1/jobs/%s/log' % job).json['lines'] if line['type'] == 'state']
        self.assertEqual(sum(state in FINAL for state in history), 1, history)
        return done

    def test_records_on_a_full_disk(self):
        os.mkdir(self.state)
        disk = self.mount_tmpfs(4 << 20, 'state')
        self.serve(data=self.data)
        name = self.clip('one_frame')
        self.ends(self.submit(name)['id'])
        ballast = self.fill(disk)
        job = self.submit(name, outputs=['out/a.mp4'])['id']
        self.waits_and_goes_on(job, ('disk_full', 'infrastructure'), lambda: os.unlink(ballast))
        self.assert_plays(os.path.join(self.media, 'out', 'a.mp4'), 1)

    def test_records_on_a_frozen_disk(self):
        os.mkdir(self.state)
        disk = self.mount_tmpfs(4 << 20, 'state')
        self.serve(data=self.data)
        name = self.clip('one_frame')
        self.ends(self.submit(name)['id'])
        self.freeze(disk)
        job = self.submit(name)['id']
        done = self.waits_and_goes_on(job, ('infrastructure',), lambda: self.thaw(disk))
        self.assert_plays(self.artefact(done), 1)

    def thaw(self, disk):
        self.assertEqual(subprocess.run(['mount', '-o', 'remount,rw', disk]).returncode, 0)

    def test_artefacts_on_a_frozen_disk(self):
        """Taken, tried, put off; and whole when the disk is back."""
        os.makedirs(os.path.join(self.data, 'artifacts'))
        os.chmod(self.data, 0o700)
        disk = self.mount_tmpfs(700 << 20, 'data/artifacts')
        self.serve()
        name = self.clip('one_frame')
        kept = self.ends(self.submit(name)['id'])
        self.freeze(disk)
        self.assert_plays(self.artefact(kept), 1)
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        job = self.submit(name)['id']
        # Others do not suffer.
        self.ends(self.submit(name, outputs=['out/b.mp4'])['id'])
        done = self.waits_and_goes_on(job, ('infrastructure',), lambda: self.thaw(disk))
        self.assert_plays(self.artefact(done), 1)

    def full_while_it_works(self, disk, submit):
        """A job whose encoder works when the disk is full; its id, and what fills it. On a slow machine one may end too soon."""
        for number in range(5):
            job = submit(number)['id']
            self.at_work(job)
            ballast = self.fill(disk)
            self.addCleanup(lambda: os.path.exists(ballast) and os.unlink(ballast))
            if self.job(job)['state'] == 'running':
                return job, ballast
            os.unlink(ballast)
            wait_until(lambda: self.job(job)['state'] in FINAL, 60 * PATIENCE)
        self.skipTest('this machine is too slow for it')

    def test_artefacts_fill_while_it_works(self):
        """A result that finds no room has not appeared, and is made again."""
        os.makedirs(os.path.join(self.data, 'artifacts'))
        os.chmod(self.data, 0o700)
        disk = self.mount_tmpfs(700 << 20, 'data/artifacts')
        self.serve(scenario='slow-real')
        job, ballast = self.full_while_it_works(disk, lambda number: self.submit(self.clip('busy')))
        self.play('pass')
        done = self.waits_and_goes_on(job, ('disk_full',), lambda: os.unlink(ballast))
        self.assert_plays(self.artefact(done))

    def test_data_disk_fills_before_publishing(self):
        """The word that the result is about to appear cannot be written: so it does not appear."""
        disk = self.mount_tmpfs(700 << 20, 'data')
        daemon = self.serve(scenario='slow-real')
        job, ballast = self.full_while_it_works(disk, lambda number: self.submit(self.clip('busy'), outputs=['out/late%d.mp4' % number]))
        late = os.path.join(self.media, self.job(job)['outputs'][0])
        # What is left in the log and the database is used up as well.
        refused = wait_until(lambda: daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': ['busy.mp4'], 'outputs': ['out/z.mp4'],
                                                              'labels': {'x': 'y' * 250}}).status == 507 and self.fill_more(ballast), 20 * PATIENCE, 0)
        self.assertTrue(refused)
        self.play('pass')
        unwritten = wait_until(lambda: daemon.get('/readyz').status == 503, 30 * PATIENCE)
        self.assertTrue(unwritten, daemon.log[-1500:])
        self.assertFalse(os.path.exists(late))
        os.unlink(ballast)
        done = self.ends(job)
        self.assert_plays(late)
        history = [line['text'].split(':')[0] for line in daemon.get('/v1/jobs/%s/log' % job).json['lines'] if line['type'] == 'state']
        self.assertEqual(sum(state in FINAL for state in history), 1, history)
        self.assertEqual(done['state'], 'succeeded')
        for other in daemon.get('/v1/jobs?limit=1000').json['jobs']:
            if other['state'] not in FINAL:
                daemon.post('/v1/jobs/%s/cancel' % other['id'])
        daemon.stop()
        self.check_data(self.data)
        self.daemons.remove(daemon)   # the folder goes with its mount

    def fill_more(self, ballast):
        with open(ballast, 'ab', 0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))
        return True


class Waiting(Ops):
    """Callers of requests that wait, and their connections."""
    slots = 1

    def connections(self):
        return self.daemon.get('/v1/system').json['requests']['connections']

    def test_who_closes_frees_its_place(self):
        self.serve('--connections', '40', scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        request = b'GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\n\r\n' % job.encode()
        for behind in (b'', request * 3):
            callers = [self.daemon.connect() for _ in range(38)]
            for caller in callers:
                caller.sendall(request + behind)
            self.assertTrue(wait_until(lambda: self.connections() >= 39, 10 * PATIENCE))
            for caller in callers:
                caller.close()
            closed = time.monotonic()
            self.assertTrue(wait_until(lambda: self.connections() <= 1, 10 * PATIENCE), self.connections())
            if PATIENCE == 1:
                self.assertLess(time.monotonic() - closed, 3)
        self.assertEqual(self.job(job)['state'], 'running', 'the job went with those who asked for it')
        self.act(job, 'cancel')

    def test_who_has_said_all_is_answered(self):
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        with self.daemon.connect(30) as raw:
            raw.sendall(b'GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\n\r\n' % job.encode())
            raw.shutdown(socket.SHUT_WR)
            time.sleep(4)
            self.assertGreaterEqual(self.connections(), 2)
            self.act(job, 'cancel')
            response = http.client.HTTPResponse(raw)   # passes over what comes before the answer
            response.begin()
            self.assertEqual(response.status, 200)
            self.assertEqual(json.loads(response.read())['state'], 'cancelled')

    def test_what_is_sent_meanwhile_stays_outside(self):
        daemon = self.serve(scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        before = memory_of(daemon.pid)
        callers = [self.daemon.connect(1) for _ in range(8)]
        for caller in callers:
            caller.sendall(b'GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\n\r\n' % job.encode())
            caller.settimeout(0.3)
            with contextlib.suppress(OSError):
                for _ in range(64):
                    caller.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n' * 20000)
        if PATIENCE == 1:
            self.assertLess(memory_of(daemon.pid) - before, 4 << 20)
        self.assertEqual(daemon.get('/healthz').status, 200)
        for caller in callers:
            caller.close()
        self.act(job, 'cancel')


class Idle(Ops):
    @unittest.skipUnless(PATIENCE == 1, 'sanitizers take memory of their own')
    def test_small_and_asleep(self):
        daemon = self.serve()
        time.sleep(1)
        self.assertLess(proportional(daemon.pid), 10 << 20)
        with open('/proc/%d/stat' % daemon.pid) as file:
            before = sum(map(int, file.read().rsplit(')', 1)[1].split()[11:13]))
        time.sleep(3)
        with open('/proc/%d/stat' % daemon.pid) as file:
            after = sum(map(int, file.read().rsplit(')', 1)[1].split()[11:13]))
        self.assertLessEqual(after - before, 2, 'ticks of processor time of one that has nothing to do')
        self.ends(self.submit(self.clip('one_frame'))['id'])
        self.assertLess(proportional(daemon.pid), 12 << 20)
