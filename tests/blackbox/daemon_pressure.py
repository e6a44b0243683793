"""Memory while jobs run: leases that fall when others wait, pressure, and what is done about it."""
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

from daemon_harness import DaemonCase, descendants
from harness import PATIENCE, slow, wait_until

MEBI = 1 << 20


class GivingBack(DaemonCase):
    """A crop whose child uses far less than its lease."""
    backend = None

    def begin(self, scenario, **more):
        """With room for one such job, but for no second one, however lean."""
        clip = self.clip('tour')
        self.words = {'clip_name': clip, 'params': {'size': '1080x1920'}}
        plan = self.weir('plan', 'crop', self.media + '/' + clip, '--size', '1080x1920', '--memory', '8G', '--json').document
        lease = next(rung['lease_bytes'] for rung in plan['ladder'] if rung['name'] == plan['chosen'])
        env = {'WEIR_TEST_MEMORY_BACKEND': self.backend} if self.backend else {}
        self.serve('--processors', '4', memory=str(lease + 73 * MEBI), scenario=scenario, env=env, **more)

    def notes(self, job):
        return [event['data'].get('note', '') for event in self.events_of(job)]

    def events_of(self, job):
        return [event for event in self.daemon.events('/v1/jobs/%s/events' % job, headers={'Last-Event-ID': '0'})]

    @slow
    def test_what_a_child_does_not_need_lets_another_begin(self):
        self.begin('plateau 135 14')
        first = self.submit(**self.words)['id']
        whole = self.at_work(first)['memory']['lease_bytes']
        self.assertGreater(whole, 220 * MEBI, 'the plan should need far more than the child takes')
        second = self.submit(**self.words)['id']
        # Before its peak is known nothing is taken; and the second does not fit beside it, or it would work already.
        time.sleep(1)
        self.assertEqual(self.job(first)['memory']['lease_bytes'], whole)
        fallen = self.becomes(first, 'running', also=lambda job: job['memory']['lease_bytes'] < whole, seconds=15)
        self.assertLess(fallen['memory']['lease_bytes'], 180 * MEBI)
        self.assertGreater(fallen['memory']['lease_bytes'], 135 * MEBI)
        self.becomes(second, 'running', also=lambda job: job['progress'] is not None, seconds=10)
        self.assertEqual(self.job(first)['state'], 'running', 'the second began while the first worked')
        for job in (first, second):
            self.ends(job)
        notes = self.notes(first)
        self.assertTrue(any('gave back' in note for note in notes), notes)
        self.assertFalse(any('had been lowered' in note for note in notes), notes)

    @slow
    def test_who_needs_it_after_all_gets_the_whole_lease_again(self):
        self.begin('plateau 135 9 60')
        first = self.submit(**self.words)['id']
        whole = self.at_work(first)['memory']['lease_bytes']
        second = self.submit(**self.words)['id']
        self.becomes(first, 'running', also=lambda job: job['memory']['lease_bytes'] < whole, seconds=15)
        done = self.ends(first, seconds=90)
        notes = self.notes(first)
        self.assertTrue(any('to which its lease had been lowered' in note for note in notes), notes)
        self.assertEqual(sum('gave back' in note for note in notes), 1, 'once was enough: %s' % notes)
        self.assertEqual(done['attempt'], 1, 'no failure of the job')
        self.ends(second, seconds=90)

    @slow
    def test_nobody_waits_nothing_is_taken(self):
        self.begin('plateau 135 8')
        job = self.submit(**self.words)['id']
        self.at_work(job)
        self.ends(job)
        self.assertFalse(any('gave back' in note for note in self.notes(job)))


class GivingBackWithoutGroups(GivingBack):
    """What is taken, and when, is decided alike: only that it holds is of the back end."""
    backend = 'rlimit'
    test_who_needs_it_after_all_gets_the_whole_lease_again = None
    test_nobody_waits_nothing_is_taken = None


class Pressure(DaemonCase):
    """The machine counts as short of memory when thresholds are set below what it uses."""

    def memory_of_daemon(self):
        reply = self.daemon.get('/v1/memory')
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        return reply.json

    def reach(self, level, seconds=10):
        self.assertTrue(wait_until(lambda: self.memory_of_daemon()['level'] == level, seconds * PATIENCE), self.memory_of_daemon())
        return self.memory_of_daemon()

    def configure(self, elevated, high, critical):
        with open(os.path.join(self.dir, 'weir.toml'), 'w') as file:
            file.write('[memory]\nmachine_elevated_percent = %d\nmachine_high_percent = %d\nmachine_critical_percent = %d\n' % (elevated, high, critical))

    def begin(self, *more, **options):
        self.configure(90, 95, 100)
        return self.serve('--config', os.path.join(self.dir, 'weir.toml'), '--pressure-hold', '0', *more, scenario='obey-term', **options)

    def burden(self, percent):
        """So much of the machine's memory is in use, if need be by us."""
        with open('/proc/meminfo') as file:
            figures = {line.split(':')[0]: int(line.split()[1]) << 10 for line in file}
        missing = figures['MemTotal'] * percent // 100 - (figures['MemTotal'] - figures['MemAvailable']) + 32 * MEBI
        if missing > 2048 * MEBI:
            self.skipTest('%d MiB of an idle machine would have to be taken' % (missing // MEBI))
        self.ballast = b'x' * max(0, missing)

    def machine(self, *levels):
        self.configure(*levels)
        self.daemon.tell(signal.SIGHUP)

    def test_a_healthy_day(self):
        self.serve()
        memory = self.memory_of_daemon()
        self.assertEqual((memory['level'], memory['held'], memory['uses'], memory['warnings']), ('normal', False, [], []))
        if PATIENCE == 1:   # a sanitizer takes more than is set aside for the daemon, and that is told
            self.assertEqual(memory['recommendations'], [])
        self.assertGreater(memory['machine']['total_bytes'], memory['machine']['available_bytes'])
        self.assertGreater(memory['tree_bytes'], MEBI)
        self.assertEqual([remedy['name'] for remedy in memory['remedies']],
                         ['trim caches', 'sweep', 'begin nothing', 'lower leases', 'suspend the youngest', 'end the youngest'])
        self.ends(self.submit(self.clip('plain'))['id'])
        recent = self.memory_of_daemon()['timeline'][0]
        self.assertEqual(recent['period_seconds'], 10)
        self.assertGreater(max(point['leased_bytes'] for point in recent['points']), 0, 'work that began was looked at')

    def test_a_short_machine_begins_nothing_new_but_one_keeps_going(self):
        self.burden(2)
        self.begin(slots=3)
        name = self.clip('one_frame')
        first = self.submit(name)['id']
        self.at_work(first)
        self.machine(1, 2, 100)
        self.assertIn('machine', self.reach('high')['reason'])
        self.assertTrue(wait_until(lambda: self.memory_of_daemon()['held'], 5 * PATIENCE))
        second = self.submit(name)['id']
        self.becomes(second, 'queued', also=lambda job: job['waiting_for'] == 'pressure')
        system = self.daemon.get('/v1/system').json['memory']
        self.assertEqual(system['level'], 'high')
        self.assertIn('machine', system['reason'])
        self.assertIn('memory.budget', [one['setting'] for one in self.memory_of_daemon()['recommendations']])
        self.assertEqual(self.daemon.get('/health/memory').json['status'], 'warning')
        self.assertIn('weir_memory_level 2', self.daemon.get('/metrics').body.decode())
        self.assertEqual(self.job(first)['state'], 'running', 'what works goes on')
        # The one before is gone: one at a time goes on, for all the pressure.
        self.play('pass')
        self.act(first, 'cancel')
        self.ends(second)
        self.ends(self.submit(name)['id'])
        self.machine(90, 95, 100)
        self.reach('normal')
        self.assertFalse(self.memory_of_daemon()['held'])
        uses = self.memory_of_daemon()['uses']
        self.assertEqual([use['undone'] for use in uses if use['name'] == 'begin nothing'], [False, True], uses)

    def test_another_program_takes_the_memory_of_the_machine(self):
        """An eighth of it, and gives it back: nothing new begins meanwhile, and nothing is lost."""
        with open('/proc/meminfo') as file:
            figures = {line.split(':')[0]: int(line.split()[1]) << 10 for line in file}
        used = 100 - 100 * figures['MemAvailable'] // figures['MemTotal']
        take = figures['MemTotal'] // 8
        if take + 1024 * MEBI > figures['MemAvailable'] or take > 4096 * MEBI:
            self.skipTest('an eighth of this machine is %d MiB' % (take // MEBI))
        self.begin(slots=3)
        self.machine(used + 7, used + 9, 100)   # each ends some per cent lower
        name = self.clip('one_frame')
        first = self.submit(name)['id']
        self.at_work(first)
        self.reach('normal')
        hog = subprocess.Popen([sys.executable, '-c', 'import sys; x = b"x" * %d; print("taken", flush=True); sys.stdin.read()' % take],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.assertEqual(hog.stdout.readline(), b'taken\n')
            self.assertIn('machine', self.reach('high')['reason'])
            self.assertTrue(wait_until(lambda: self.memory_of_daemon()['held'], 5 * PATIENCE))
            second = self.submit(name)['id']
            self.becomes(second, 'queued', also=lambda job: job['waiting_for'] == 'pressure')
            self.assertEqual(self.job(first)['state'], 'running')
        finally:
            hog.communicate()
        self.reach('normal')
        self.play('pass')
        self.act(first, 'cancel')
        self.assertEqual(self.ends(second)['attempt'], 1)

    @slow
    def test_in_need_the_youngest_makes_room_and_comes_again(self):
        self.burden(3)
        self.begin('--processors', '4', slots=2)
        name = self.clip('one_frame')
        first = self.submit(name)['id']
        self.at_work(first)
        second = self.submit(name)['id']
        self.becomes(second, 'running', also=lambda job: job['progress'] is not None)
        self.machine(1, 2, 3)
        self.reach('critical')
        back = self.becomes(second, 'queued', seconds=30, also=lambda job: job['waiting_for'] == 'pressure')
        self.assertEqual(back['attempt'], 1)
        self.assertEqual(self.job(first)['state'], 'running', 'the oldest keeps going')
        self.assertEqual(self.memory_of_daemon()['yielded_jobs'], 1)
        time.sleep(12)
        self.assertEqual(self.job(first)['state'], 'running', 'the last one is never ended')
        self.play('pass')
        self.machine(90, 95, 100)
        self.assertEqual(self.ends(second)['attempt'], 2)
        notes = [event['data'].get('note', '') for event in self.daemon.events('/v1/jobs/%s/events' % second, headers={'Last-Event-ID': '0'})]
        self.assertTrue(any('to make room' in note for note in notes), notes)
        self.act(first, 'cancel')

    def test_warnings_are_as_new_as_the_numbers_beside_them(self):
        self.serve('--most-handles', '60')
        self.assertEqual(self.daemon.get('/api/diagnostics/resources').json['warnings'], [])
        callers = [socket.create_connection(('127.0.0.1', self.daemon.port)) for _ in range(60)]
        try:
            def told():
                return self.daemon.get('/api/diagnostics/resources').json['warnings']
            # At rest the daemon itself looks every 30 s only.
            self.assertTrue(wait_until(lambda: 'watch.most_handles' in ' '.join(told()), 5 * PATIENCE), told())
        finally:
            for caller in callers:
                caller.close()
        self.assertTrue(wait_until(lambda: told() == [], 5 * PATIENCE), told())

    def test_thresholds_that_do_not_rise_are_refused(self):
        done = self.weir('config', 'check', '--high-percent', '60')
        self.assertEqual(done.code, 2, '\n%s' % done)
        self.assertIn(b'rise', done.err)
        for option in ('--over-age-of', '--stuck-of'):
            done = self.weir('config', 'check', option, 'cropp=5')
            self.assertEqual(done.code, 2, '\n%s' % done)

    @slow
    def test_work_that_takes_long_is_told(self):
        self.serve('--over-age', '100', '--over-age-of', 'crop=1', '--stuck', '100', '--stuck-of', 'crop=2', scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)

        def told():
            return self.daemon.get('/api/diagnostics/resources').json['warnings']
        self.assertTrue(wait_until(lambda: len(told()) == 2, 10 * PATIENCE), told())
        self.assertTrue(all(job in text for text in told()), told())
        self.assertIn('jobs.timeout_seconds', ' '.join(told()))
        self.assertIn('jobs.stall_seconds', ' '.join(told()))
        self.act(job, 'cancel')
        self.assertTrue(wait_until(lambda: told() == [], 40 * PATIENCE), told())
        self.assertEqual(self.daemon.log.count('has made no progress'), 2, 'when it began and when it ended')


class GreedyChildren(DaemonCase):
    """Ten at once that each take a gigabyte in a moment."""
    slots = 10
    budget = 1600 * MEBI

    def watch(self, seen, over):
        """The tree's PSS, sampled from outside until `over`."""
        while not over.is_set():
            total = 0
            for pid in [self.daemon.pid, *descendants(self.daemon.pid)]:
                try:
                    with open('/proc/%d/smaps_rollup' % pid) as file:
                        total += next((int(line.split()[1]) << 10 for line in file if line.startswith('Pss:')), 0)
                except OSError:
                    pass   # it is gone
            seen.append(total)
            time.sleep(0.02)

    @slow
    def test_none_takes_more_than_its_lease(self):
        self.serve('--processors', '20', '--retries', '0', memory=str(self.budget), scenario='pass')
        moment = int(time.time() + 6 * PATIENCE)
        self.play('eat-memory 1024 %d' % moment)
        name = self.clip('one_frame')
        seen, over = [], threading.Event()
        watcher = threading.Thread(target=self.watch, args=(seen, over))
        watcher.start()
        try:
            jobs = [self.submit(name)['id'] for _ in range(10)]
            ready = lambda: len(self.daemon.workers()) == 10 and all(self.job(job)['plan'] for job in jobs)
            self.assertTrue(wait_until(ready, 6 * PATIENCE), self.daemon.workers())
            self.assertLess(time.time(), moment, 'they were to begin before')
            ended = [self.ends(job, 'failed') for job in jobs]
        finally:
            over.set()
            watcher.join()
        self.assertEqual({job['failure']['cause'] for job in ended}, {'out_of_memory'}, ended[0]['failure'])
        self.assertGreater(len(seen), 5)
        self.assertLessEqual(max(seen), self.budget)
        self.assertTrue(self.daemon.alive)
        self.assertEqual(self.daemon.workers(), {})
        self.assertEqual(self.daemon.get('/v1/system').json['memory']['leased_bytes'], 0)
        self.play('pass')
        self.ends(self.submit(name)['id'])


if __name__ == '__main__':
    unittest.main()
