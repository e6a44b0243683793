"""The packaged unit under a real systemd. Skipped where the machine was not started by one, or we are not root."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

from daemon_harness import Daemon, DaemonCase, free_port
from harness import PATIENCE, binary, processes_of, slow, wait_until

PACKAGING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'packaging')
UNITS = '/run/systemd/system'


def systemctl(*arguments, check=True):
    done = subprocess.run(['systemctl', *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError('systemctl %s: %s' % (' '.join(arguments), done.stdout))
    return done.stdout


class Managed(Daemon):
    """One that systemd starts and stops."""

    def __init__(self, case, port):
        self.case, self.port = case, port
        self.log_path = os.path.join(case.media, 'log')


class Service(DaemonCase):
    def setUp(self):
        super().setUp()
        if not os.path.isdir(UNITS) or os.geteuid() != 0:
            self.skipTest('needs systemd and root')
        self.name = 'weir-test-%d' % os.getpid()
        self.unit = self.name + '.service'
        # PrivateTmp hides the folders of the other tests.
        self.media = os.path.join('/srv', self.name)
        self.data = os.path.join('/var/lib', self.name)
        os.makedirs(os.path.join(self.media, 'out'))
        self.addCleanup(shutil.rmtree, self.data, True)
        self.addCleanup(shutil.rmtree, self.media, True)
        shutil.copy(binary(), os.path.join(self.media, 'weir'))
        for folder in (self.media, os.path.join(self.media, 'out')):
            shutil.chown(folder, 'nobody', 'nogroup')
        self.daemon = Managed(self, self.port)

    def install(self, **changes):
        """The packaged unit, with what a test machine needs other."""
        with open(os.path.join(PACKAGING, 'weir.service')) as file:
            unit = file.read()
        changes = {'ExecStart': '%s/weir serve --data %s' % (self.media, self.data), 'WorkingDirectory': self.media, 'User': 'nobody',
                   'Group': 'nogroup', 'StateDirectory': self.name, 'MemoryMax': '1G',
                   'Environment': 'WEIR_MEMORY=600M WEIR_LISTEN=127.0.0.1:%d WEIR_STATE_DIR=%s' % (self.port, self.data), **changes}
        for key, value in changes.items():
            unit, count = re.subn('(?m)^%s=.*$' % key, '%s=%s' % (key, value), unit)
            self.assertEqual(count, 1, key)
        self.put(self.unit, unit.replace('[Service]\n', '[Service]\nStandardError=append:%s\n' % self.daemon.log_path, 1))

    def put(self, name, unit):
        path = os.path.join(UNITS, name)
        with open(path, 'w') as file:
            file.write(unit)
        self.addCleanup(systemctl, 'daemon-reload')
        self.addCleanup(os.unlink, path)
        self.addCleanup(systemctl, 'reset-failed', name, check=False)
        self.addCleanup(systemctl, 'stop', name, check=False)
        systemctl('daemon-reload')

    def start(self):
        told = systemctl('start', self.unit, check=False)
        self.assertEqual(told, '', 'status %s\n%s' % (self.shown('ExecMainStatus'), self.daemon.log))

    def shown(self, key):
        return systemctl('show', '--value', '-p', key, self.unit).strip()

    def new_life(self, pid):
        """Another main process, ready."""
        self.assertTrue(wait_until(lambda: self.shown('ActiveState') == 'active' and self.shown('MainPID') not in ('0', str(pid)), 30 * PATIENCE), self.daemon.log)
        return int(self.shown('MainPID'))

    def test_life(self):
        self.install(WatchdogSec='3')
        # Returns when the daemon has said READY: a call right after it is answered.
        self.start()
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        pid = int(self.shown('MainPID'))
        self.assertEqual(self.shown('StatusText'), 'idle')
        self.assertIn(self.unit, open('/proc/%d/cgroup' % pid).read())
        done = self.ends(self.submit(self.clip('one_frame'), outputs=['out/a.mp4'])['id'])
        self.assert_plays(os.path.join(self.media, 'out', 'a.mp4'), 1)
        self.assertEqual(done['attempt'], 1)
        # The loop that works feeds the watchdog.
        time.sleep(4)
        self.assertEqual((self.shown('NRestarts'), self.shown('MainPID')), ('0', str(pid)))
        systemctl('reload', self.unit)
        self.assertEqual(self.shown('ActiveState'), 'active')
        # kill -9 while it works: a next life, and the job ends once.
        self.killed_at_work(lambda: os.kill(pid, signal.SIGKILL), pid)
        pid = int(self.shown('MainPID'))
        # A daemon that hangs is ended by the watchdog.
        self.killed_at_work(lambda: os.kill(pid, signal.SIGSTOP), pid)
        pid = int(self.shown('MainPID'))
        job = self.submit(self.clip('busy'), outputs=['out/stopped.mp4'])['id']
        self.at_work(job)
        began = time.monotonic()
        systemctl('stop', self.unit)
        self.assertLess(time.monotonic() - began, 60)
        self.assertEqual((self.shown('ActiveState'), self.shown('Result'), self.shown('ExecMainStatus')), ('inactive', 'success', '0'))
        self.assertEqual(processes_of(self.media), {})
        # A stop lets work end within the grace, or gives it back to the queue.
        self.start()
        self.ends(job)
        self.assert_plays(os.path.join(self.media, 'out', 'stopped.mp4'))
        systemctl('stop', self.unit)
        self.check_data(self.data)

    def killed_at_work(self, kill, pid):
        output = 'out/%d.mp4' % pid
        job = self.submit(self.clip('busy'), outputs=[output])['id']
        self.at_work(job)
        kill()
        self.new_life(pid)
        done = self.ends(job)
        self.assertEqual(done['attempt'], 2)
        history = [line['text'].split(':')[0] for line in self.daemon.get('/v1/jobs/%s/log' % job).json['lines'] if line['type'] == 'state']
        self.assertEqual(history.count('succeeded'), 1, history)
        self.assert_plays(os.path.join(self.media, output))

    def test_groups_of_children(self):
        """Delegate=yes: each child in a group of its own below the unit's, and gone with it."""
        self.install()
        self.start()
        backend = self.daemon.get('/readyz').json['backend']
        with contextlib.suppress(FileNotFoundError), open('/sys/fs/cgroup/cgroup.controllers') as file:
            if 'memory' in file.read().split():
                self.assertEqual(backend, 'cgroup-v2')
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        groups = [os.path.join(folder, name) for folder, names, _ in os.walk('/sys/fs/cgroup') for name in names
                  if self.unit in folder and name.startswith('weir-')]
        self.assertTrue(groups or backend == 'rlimit-data', backend)
        self.ends(job)
        systemctl('stop', self.unit)
        self.assertEqual([group for group in groups if os.path.exists(group)], [])

    def test_socket_activation(self):
        port = free_port()
        self.install()
        with open(os.path.join(PACKAGING, 'weir.socket')) as file:
            text = re.sub('(?m)^ListenStream=.*$', 'ListenStream=127.0.0.1:%d' % port, file.read())
        self.put(self.name + '.socket', text)
        systemctl('start', self.name + '.socket')
        self.assertEqual(self.shown('ActiveState'), 'inactive')
        self.daemon.port = port
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        self.assertEqual(self.shown('ActiveState'), 'active')
        self.ends(self.submit(self.clip('one_frame'))['id'])
        # Callers that come while there is no daemon wait for the next one.
        os.kill(int(self.shown('MainPID')), signal.SIGKILL)
        self.assertEqual(self.daemon.get('/healthz', timeout=20).status, 200)

    @slow
    def test_a_broken_configuration_is_given_up(self):
        self.install(Environment='WEIR_MEMORY=lots')
        systemctl('start', self.unit, check=False)
        self.assertTrue(wait_until(lambda: self.shown('ActiveState') == 'failed', 60 * PATIENCE), self.daemon.log)
        self.assertEqual(self.shown('ExecMainStatus'), '2')
