"""The budget of a daemon: one control group that keeps it for everything together, and a budget that changes while jobs
run."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from daemon_harness import Daemon, DaemonCase, needs_configuration
from harness import PATIENCE, needs_root, wait_until

MEBI = 1 << 20


def group_of(pid):
    """The folder of its memory group."""
    v2 = None
    with open('/proc/%d/cgroup' % pid) as file:
        for line in file:
            number, controllers, path = line.strip().split(':', 2)
            if 'memory' in controllers.split(','):
                return '/sys/fs/cgroup/memory' + path
            if number == '0':
                v2 = '/sys/fs/cgroup' + path
    return v2


def number_in(*names):
    for name in names:
        try:
            with open(name) as file:
                return int(file.read())
        except (OSError, ValueError):
            continue
    return None


class Budget(DaemonCase):
    def start(self, budget, *more, scenario='slow-real', **options):
        """The budget is in a file, and so can change; the harness gives it as an option, which would win."""
        self.file = os.path.join(self.dir, 'weir.toml')
        self.write(budget)
        daemon = Daemon(self, ['--config', self.file, '--data', self.data, '--media-root', self.media, '--slots', '3', '--processors', '8',
                               '--patience', '1', '--ffmpeg', self.fake(scenario), '--ffprobe', '/usr/bin/ffprobe', *more], self.port, **options)
        self.daemons.append(daemon)
        self.daemon = daemon
        return daemon.wait_ready()

    def write(self, budget):
        with open(self.file + '.new', 'w') as file:
            file.write('[memory]\nbudget = "%d"\n' % budget if budget else '')
        os.replace(self.file + '.new', self.file)

    def change(self, budget, *words):
        self.write(budget)
        before = len(self.daemon.log)
        self.daemon.tell(signal.SIGHUP)
        self.assertTrue(wait_until(lambda: all(word in self.daemon.log[before:] for word in words or ('as configured now',)), 10 * PATIENCE),
                        self.daemon.log[before:])
        return self.daemon.log[before:]

    def memory(self):
        return self.daemon.get('/v1/system').json['memory']

    def enclosed(self):
        memory = self.memory()
        self.assertEqual(self.daemon.get('/readyz').json['enclosed'], memory['enclosed'])
        self.assertIn('backend="%s",enclosed="%s"' % (memory['backend'], memory['enclosed']), self.daemon.get('/metrics').body.decode())
        if memory['enclosed'] == 'none':
            self.assertIsNone(memory['group'])
            self.skipTest('no control group can be made here')
        return memory

    def large(self, name='busy'):
        """109 MiB at least."""
        return self.submit(self.clip(name), params={'size': '1080x1920'})['id']


class Changed(Budget):
    @needs_configuration
    def test_lowered_while_a_job_runs_and_raised_again(self):
        self.start(400 * MEBI)
        first = self.submit(self.clip('busy'))['id']
        self.at_work(first)
        self.act(first, 'pause')
        before = self.memory()
        self.assertGreater(before['leased_bytes'], 66 * MEBI)
        lower = before['own_bytes'] + 66 * MEBI
        told = self.change(lower, 'the budget is', 'as configured now')
        self.assertIn('nothing begins until they fit', told)
        now = self.memory()
        self.assertEqual((now['budget_bytes'], now['available_bytes']), (lower, 0))
        self.assertEqual(now['leased_bytes'], before['leased_bytes'], 'what runs keeps what it has')
        if now['group']:
            more = 0 if now['enclosed'] == 'tree' else now['own_bytes']
            self.assertGreaterEqual(now['group']['limit_bytes'] + more, now['own_bytes'] + now['leased_bytes'])
            self.assertLess(now['group']['limit_bytes'], before['group']['limit_bytes'], 'the limit falls as far as that allows')
        second = self.large()
        time.sleep(0.3)
        self.assertEqual(self.memory()['leased_bytes'], before['leased_bytes'], 'something began above the budget')
        self.play('pass')
        self.act(first, 'resume')
        self.assertEqual(self.ends(first)['attempt'], 1)
        failure = self.ends(second, 'failed')['failure']
        self.assertEqual(failure['cause'], 'over_budget', failure)
        if now['group']:
            self.assertTrue(wait_until(lambda: self.memory()['group']['limit_bytes'] <= lower + MEBI, 10 * PATIENCE), self.memory())
            self.assertLessEqual(self.memory()['group']['used_bytes'], lower)
        self.change(400 * MEBI)
        self.assertEqual(self.memory()['budget_bytes'], 400 * MEBI)
        self.act(second, 'retry')
        self.ends(second)

    @needs_configuration
    def test_what_waits_is_judged_anew(self):
        """A step that waits for memory, and would wait for ever, is refused while another still runs."""
        self.start(34 * MEBI + 150 * MEBI)
        first = self.submit(self.clip('busy'))['id']   # 72 to 88 MiB, of which 45 are shared with the next
        self.at_work(first)
        self.act(first, 'pause')
        second = self.submit(self.clip('full_hd_short'), params={'size': '1080x1920'})['id']   # 116 MiB at least
        self.becomes(second, 'running', also=lambda job: job['waiting_for'] == 'memory')
        time.sleep(0.7)   # its probe fits beside the first, and had to wait for a turn only
        self.assertEqual(self.job(second)['waiting_for'], 'memory')
        self.change(34 * MEBI + 100 * MEBI)
        failure = self.ends(second, 'failed')['failure']
        self.assertEqual(failure['cause'], 'over_budget', failure)
        self.assertEqual(self.job(first)['state'], 'running')
        self.change(34 * MEBI + 400 * MEBI)
        self.act(second, 'retry')
        self.becomes(second, 'running', also=lambda job: job['progress'] is not None)
        self.assertEqual(len(self.daemon.workers()), 2, 'more may begin at once')
        self.play('pass')
        self.act(first, 'resume')
        self.assertEqual(self.ends(first)['attempt'], 1)
        self.ends(second)

    @needs_configuration
    def test_what_cannot_be(self):
        self.start(300 * MEBI)
        told = self.change(30 * MEBI, 'stays as it was', 'weir itself')
        self.assertNotIn('as configured now', told)
        self.assertEqual(self.memory()['budget_bytes'], 300 * MEBI)
        told = self.change(200 << 40, 'as configured now')
        self.assertRegex(told, 'warning: the budget of .* is more than the .* that (this machine has|the control group)')
        self.assertEqual(self.memory()['budget_bytes'], 200 << 40)
        told = self.change(None, 'until a restart')
        self.assertIn('memory.budget', told)
        self.assertEqual(self.memory()['budget_bytes'], 200 << 40)

    def test_more_than_the_machine_has(self):
        self.serve(memory='500T')
        self.assertRegex(self.daemon.log, 'warning: the budget of .* is more than the ')


class Enclosed(Budget):
    def test_everything_in_one_group(self):
        self.serve(memory='300M', scenario='slow-real')
        memory = self.enclosed()
        group = group_of(self.daemon.pid)
        self.assertIn('kept by %s for all ' % memory['backend'], self.daemon.log)
        if memory['enclosed'] == 'tree':
            self.assertRegex(group, '/weir-[0-9a-z]{16}')
            self.assertEqual(memory['group']['limit_bytes'], 300 * MEBI)
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        tree = re.sub('(/weir-[0-9a-z]{16}).*', r'\1', group)
        for pid in self.daemon.workers():
            if memory['enclosed'] == 'tree':
                self.assertTrue(group_of(pid).startswith(tree + '/weir-'), (group_of(pid), tree))
        self.play('pass')
        self.ends(job)
        used = self.memory()['group']
        self.assertLessEqual(used['peak_bytes'] or used['used_bytes'], used['limit_bytes'])
        self.assertEqual(used['oom_kills'], 0)
        self.assertIn('weir_memory_group_limit_bytes', self.daemon.get('/metrics').body.decode())
        self.assertEqual(self.daemon.stop(), 0)
        if memory['enclosed'] == 'tree':
            self.assertFalse(os.path.exists(tree), 'the group is left')

    def test_of_a_killed_life(self):
        self.serve(memory='300M', scenario='slow-real')
        if self.enclosed()['enclosed'] != 'tree':
            self.skipTest('the daemon stays where it was')
        tree = re.sub('(/weir-[0-9a-z]{16}).*', r'\1', group_of(self.daemon.pid))
        self.at_work(self.submit(self.clip('busy'))['id'])
        self.daemon.kill()
        self.assertTrue(os.path.exists(tree))
        self.serve(memory='300M')
        self.assertFalse(os.path.exists(tree), 'the next life sweeps it with what is in it')

    @needs_root
    def test_removed_by_somebody_else(self):
        self.serve(memory='300M', scenario='slow-real')
        if self.enclosed()['enclosed'] != 'tree':
            self.skipTest('the daemon stays where it was')
        tree = re.sub('(/weir-[0-9a-z]{16}).*', r'\1', group_of(self.daemon.pid))
        above = os.path.dirname(tree)
        if tree.startswith('/sys/fs/cgroup/memory'):
            with open(above + '/cgroup.procs', 'w') as file:
                file.write(str(self.daemon.pid))
        else:
            self.skipTest('nobody can be moved out into a divided group of v2')
        os.rmdir(tree)
        self.assertIsNone(self.memory()['group'])
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        self.assertIn('the control groups are not what they were', self.daemon.log)
        memory = self.enclosed()
        self.assertEqual(memory['group']['limit_bytes'], 300 * MEBI)
        self.play('pass')
        self.assertEqual(self.ends(job)['attempt'], 1)
        again = group_of(self.daemon.pid)
        self.assertNotEqual(again, tree)
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(os.path.exists(again))

    @needs_root
    def test_made_read_only_by_somebody_else(self):
        """In the daemon's sight only: from then on each child has a limit by other means, and the group around all still holds;
        the next life removes it."""
        if not shutil.which('unshare') or not shutil.which('nsenter'):
            self.skipTest('needs unshare and nsenter')
        daemon = self.serve(memory='300M', scenario='slow-real', prefix=('unshare', '--mount', '--propagation', 'private'))
        if self.enclosed()['enclosed'] != 'tree':
            self.skipTest('the daemon stays where it was')
        tree = re.sub('(/weir-[0-9a-z]{16}).*', r'\1', group_of(daemon.pid))
        mount = '/sys/fs/cgroup/memory' if tree.startswith('/sys/fs/cgroup/memory') else '/sys/fs/cgroup'
        for what in {mount, '/sys/fs/cgroup'}:
            subprocess.run(['nsenter', '--target', str(daemon.pid), '--mount', 'mount', '-o', 'remount,bind,ro', what], check=False,
                           stderr=subprocess.DEVNULL)
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        self.assertIn('the control groups are not what they were', daemon.log)
        memory = self.memory()
        self.assertEqual((memory['backend'], memory['enclosed'], memory['group']['limit_bytes']), ('rlimit-data', 'tree', 300 * MEBI))
        self.assertEqual([group_of(pid) for pid in daemon.workers()], [tree])
        self.play('pass')
        self.assertEqual(self.ends(job)['attempt'], 1)
        self.assertEqual(daemon.stop(), 0)
        self.serve(memory='300M')
        self.assertFalse(os.path.exists(tree), 'the next life sweeps it')

    def media_on_tmpfs(self):
        if not os.path.isdir('/dev/shm'):
            self.skipTest('no /dev/shm')
        self.media = tempfile.mkdtemp(prefix='weir-test-', dir='/dev/shm')
        self.addCleanup(shutil.rmtree, self.media)
        os.mkdir(os.path.join(self.media, 'out'))

    def test_a_result_on_tmpfs_that_is_larger_than_the_lease(self):
        self.media_on_tmpfs()
        noise = os.path.join(self.media, 'noise.mkv')
        subprocess.run(['ffmpeg', '-v', 'error', '-f', 'lavfi', '-i', 'color=gray:s=1280x720:r=30:d=3', '-vf', 'noise=alls=100:allf=t',
                        '-c:v', 'mjpeg', '-q:v', '1', '-pix_fmt', 'yuvj420p', noise], check=True)
        self.serve(memory='120M')
        self.enclosed()
        job = self.ends(self.submit('noise.mkv', recipe='trim', outputs=['out/whole.mkv'], params={'from': 0, 'to': 2.9, 'mode': 'copy'})['id'])
        self.assertEqual(job['attempt'], 1)
        self.assertGreater(os.path.getsize(os.path.join(self.media, 'out/whole.mkv')), job['memory']['lease_bytes'])
        self.assertEqual(self.memory()['group']['oom_kills'], 0)
        self.assertEqual(len(job['runs']), 1, job['runs'])

    def test_results_on_tmpfs(self):
        """They stay charged to the group and nothing that runs could give them back."""
        self.media_on_tmpfs()
        self.serve(memory='120M')
        self.enclosed()
        clip = self.clip('busy')
        sizes = 0
        for number in range(4):
            name = 'out/%d.mp4' % number
            job = self.ends(self.submit(clip, recipe='trim', outputs=[name], params={'from': 0, 'to': 1, 'mode': 'copy'})['id'])
            self.assertEqual(job['attempt'], 1)
            sizes += os.path.getsize(os.path.join(self.media, name))
        group = self.memory()['group']
        self.assertGreaterEqual(group['tmpfs_bytes'], sizes)
        self.assertEqual(group['oom_kills'], 0)
        self.assertGreaterEqual(group['limit_bytes'] + 4 * MEBI, 120 * MEBI)


class WithoutGroups(Budget):
    def test_each_child_has_its_own_limit(self):
        self.serve(memory='300M', env={'WEIR_TEST_MEMORY_BACKEND': 'rlimit'})
        memory = self.memory()
        self.assertEqual((memory['backend'], memory['enclosed'], memory['group']), ('rlimit-data', 'none', None))
        self.assertEqual(self.daemon.log.count('each child has its own limit'), 1, self.daemon.log)
        self.ends(self.submit(self.clip('one_frame'))['id'])
