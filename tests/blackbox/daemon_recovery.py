"""Death and return: kill -9 at random instants, signals, full disks. Every accepted job ends exactly once, whole."""
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

import clips
from daemon_harness import Daemon, DaemonCase, FINAL, needs_configuration
from harness import EXIT, LONG, PATIENCE, QUICK, processes_of, records_of, slow, wait_until, work_folders

COURSE = ['queued', 'running', 'verifying', 'publishing', 'succeeded']


class Leftovers(DaemonCase):
    own_state = True

    @slow
    def test_of_others_are_swept_beside_the_own_work(self):
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        own = work_folders(self.dir)
        self.assertEqual(len(own), 1)
        target = os.path.join(self.dir, 'elsewhere')
        os.mkdir(target)
        one_that_dies = self.start('crop', clips.get('busy'), os.path.join(target, 'out.mp4'), '--preset', 'veryslow', '--size', '1080x1920')
        self.assertTrue(wait_until(lambda: work_folders(target), 30 * PATIENCE))
        one_that_dies.kill()
        one_that_dies.wait()
        self._end(one_that_dies)
        self.assertEqual(len(work_folders(target)), 1, 'nothing was left')

        # A child that was just being made holds the lock of its folder until it finds its maker gone.
        def swept():
            self.assertEqual(self.daemon.post('/api/diagnostics/resources/cleanup').status, 200)
            return wait_until(lambda: not work_folders(target), 0.5 * PATIENCE)
        self.assertTrue(wait_until(swept, 10 * PATIENCE))
        self.assertTrue(wait_until(lambda: len(records_of(self.state)) == 1, 5 * PATIENCE), records_of(self.state))
        self.assertTrue(wait_until(lambda: 'removed what the run' in self.daemon.log, 5 * PATIENCE), self.daemon.log)
        self.assertEqual(self.job(job)['state'], 'running')
        self.assertEqual(work_folders(self.dir), own, 'work that lives keeps its folder')
        self.act(job, 'cancel')


class Recovery(DaemonCase):
    own_state = True

    def kill(self):
        """kill -9, and the proof that nothing outlives it."""
        self.daemon.kill()
        gone = wait_until(lambda: not processes_of(self.dir), 2.0 * max(1, PATIENCE / 2))
        self.assertTrue(gone, 'alive 2 s after the kill: %s' % processes_of(self.dir))

    def history(self, job):
        return [line['text'].split(':')[0] for line in self.daemon.get('/v1/jobs/%s/log' % job).json['lines'] if line['type'] == 'state']


class Killed(Recovery):
    rounds = 1000 if LONG else 4 if QUICK else 50

    def test_random_instants(self):
        seed = int(os.environ.get('WEIR_TEST_SEED', '0')) or random.randrange(1 << 30)
        dice = random.Random(seed)
        name, longer = self.clip('one_frame'), self.clip('busy_small')
        book = {}      # id: what was asked for
        keys = {}      # key: body, of requests whose answer never came
        cancelled = set()
        number = 0
        frames = {name: 1, longer: 60}
        for kill in range(self.rounds):
            note = 'seed %d, kill %d' % (seed, kill)
            daemon = self.serve()
            due = time.monotonic() + dice.random() * 1.2 * min(PATIENCE, 2)
            stopper = threading.Timer(max(0, due - time.monotonic()), daemon.process.kill)
            stopper.start()
            try:
                for key, body in list(keys.items()):   # as a careful client does
                    reply = daemon.post('/v1/jobs', body, headers={'Idempotency-Key': key})
                    self.assertIn(reply.status, (200, 202), '%s\n%s' % (note, reply))
                    book[reply.json['id']] = body
                    del keys[key]
                waiting = daemon.get('/v1/system').json['queue']['waiting']
                for _ in range(dice.randrange(4) if waiting < 12 else 0):
                    number += 1
                    body = {'recipe': 'crop', 'inputs': [dice.choice((name, longer))]}
                    if dice.random() < 0.5:
                        body['outputs'] = ['out/%d.mp4' % number]
                    keys['key %d' % number] = body
                    reply = daemon.post('/v1/jobs', body, headers={'Idempotency-Key': 'key %d' % number})
                    self.assertEqual(reply.status, 202, '%s\n%s' % (note, reply))
                    book[reply.json['id']] = body
                    del keys['key %d' % number]
                while True:
                    time.sleep(dice.random() * 0.2)
                    job = dice.choice(list(book)) if book else None
                    if job and dice.random() < 0.15:
                        reply = daemon.post('/v1/jobs/%s/cancel' % job)
                        self.assertIn(reply.status, (200, 409), '%s\n%s' % (note, reply))
                        if reply.status == 200:
                            cancelled.add(job)
                    else:
                        daemon.get('/healthz')
            except (OSError, http.client.HTTPException):
                pass
            stopper.join()
            self.assertEqual(daemon.ended(5), -9, '%s\n%s' % (note, daemon.log[-1500:]))
            self.kill()
        self.serve()
        for key, body in keys.items():
            reply = self.daemon.post('/v1/jobs', body, headers={'Idempotency-Key': key})
            self.assertIn(reply.status, (200, 202), '%s\n%s' % (note, reply))
            book[reply.json['id']] = body
        states = {}
        for job, body in book.items():
            idle = wait_until(lambda: self.job(job)['state'] in FINAL, 60 * PATIENCE)
            found = self.job(job)
            note = 'seed %d, job %s: %s\n%s' % (seed, job, json.dumps(found)[:1200], self.history(job))
            self.assertTrue(idle, note)
            states.setdefault(found['state'], []).append(job)
            history = self.history(job)
            self.assertEqual(sum(state in FINAL for state in history), 1, note)
            self.assertEqual(history.count('running'), found['attempt'], note)
            named = os.path.join(self.media, body['outputs'][0]) if 'outputs' in body else None
            if found['state'] == 'succeeded':
                path = named or os.path.join(self.data, 'artifacts', job, 'crop.mp4')
                self.assertEqual(os.path.getsize(path), found['artifacts'][0]['size_bytes'], note)
                self.assert_plays(path, frames[body['inputs'][0]])
                self.assertNotIn(job, cancelled, note)
            elif found['state'] == 'failed':
                # Only because it was running at two deaths.
                self.assertEqual(found['failure']['cause'], 'crashed', note)
                self.assertGreaterEqual(found['failure']['deaths'], 2, note)
            else:
                self.assertNotIn(job, self.artefact_folders(), note)
            if named and found['state'] != 'succeeded':
                self.assertFalse(os.path.exists(named), note)
        self.assertLessEqual(cancelled, set(states.get('cancelled', ())), 'seed %d: an answered cancellation was forgotten' % seed)
        listed, path = [], '/v1/jobs?limit=1000'
        while path:
            page = self.daemon.get(path).json
            listed += [job['id'] for job in page['jobs']]
            path = page.get('next') and '/v1/jobs?limit=1000&cursor=' + str(page['next'])
        self.assertEqual(sorted(listed), sorted(book), 'seed %d: jobs that nobody asked for, or too few' % seed)
        self.assertEqual(work_folders(self.dir), [], 'seed %d' % seed)
        self.assertEqual(records_of(self.state), [], 'seed %d' % seed)
        if not QUICK:
            self.assertTrue(states.get('succeeded'), 'nothing ever succeeded')

    def artefact_folders(self):
        return os.listdir(os.path.join(self.data, 'artifacts'))

    def test_one_that_ran(self):
        self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('one_frame'), outputs=['out/a.mp4'])['id']
        behind = self.submit('one_frame.mp4')['id']
        self.at_work(job)
        self.kill()
        self.play('pass')
        self.serve(scenario='pass', slots=1)
        found = self.ends(job)
        self.assertEqual(found['attempt'], 2)
        self.assertEqual(self.history(job), ['queued', 'running', 'queued', *COURSE[1:]])
        self.assertEqual(self.ends(behind)['attempt'], 1)
        self.assertEqual(self.history(behind), COURSE)
        self.assert_plays(os.path.join(self.media, 'out', 'a.mp4'), 1)

    def test_twice_dead(self):
        for death in range(2):
            self.serve(scenario='obey-term', slots=1)
            if death == 0:
                job = self.submit(self.clip('one_frame'))['id']
            self.at_work(job)
            self.kill()
        self.serve(scenario='pass', slots=1)
        parked = self.ends(job, 'failed')
        self.assertEqual((parked['attempt'], parked['failure']['cause'], parked['failure']['deaths'], parked['failure']['attempts']), (2, 'crashed', 2, 2))
        self.assertIn('parked', parked['failure']['detail'])
        self.assertEqual(self.history(job), ['queued', 'running', 'queued', 'running', 'failed'])
        self.act(job, 'retry')
        self.assertEqual(self.ends(job)['attempt'], 3)

    def test_paused_stays_paused(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'))['id']
        waiting = self.submit('plain.mp4')['id']
        self.at_work(job)
        self.act(job, 'pause')
        self.act(waiting, 'pause')
        self.kill()
        self.serve(scenario='pass', slots=1)
        for one in (job, waiting):
            found = self.becomes(one, 'queued', also=lambda job: job['waiting_for'] is not None)
            self.assertEqual((found['paused'], found['waiting_for']), (True, 'pause'))
        self.act(waiting, 'resume')
        self.ends(waiting)
        self.assertEqual(self.job(job)['state'], 'queued')
        self.act(job, 'resume')
        self.assertEqual(self.ends(job)['attempt'], 2)

    def test_accepted_is_kept(self):
        self.serve(slots=1, scenario='obey-term')
        name = self.clip('one_frame')
        ids = []

        def post():
            for _ in range(5):
                ids.append(self.submit(name, labels={'x': 'y'}, priority=7)['id'])
        threads = [threading.Thread(target=post) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.kill()
        self.serve(scenario='obey-term', slots=1)
        listed = self.daemon.get('/v1/jobs?limit=100').json['jobs']
        self.assertEqual({job['id'] for job in listed}, set(ids))
        self.assertEqual(len(ids), 20)
        for job in listed:
            self.assertEqual((job['labels'], job['priority'], job['inputs']), ({'x': 'y'}, 7, [name]))

    @slow
    def test_cancelled_is_kept(self):
        self.serve(slots=1, scenario='ignore-term')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        threading.Timer(0.3, self.daemon.kill).start()   # before the stubborn child is gone, so before the answer
        try:
            self.daemon.post('/v1/jobs/%s/cancel' % job)
            self.fail('the answer came too soon')
        except (OSError, http.client.HTTPException):
            pass
        self.kill()
        self.serve(scenario='pass', slots=1)
        # Nothing was promised: it may have ended either way, but once.
        self.assertTrue(wait_until(lambda: self.job(job)['state'] in FINAL, 30 * PATIENCE))

    @slow
    def test_kill_while_publishing(self):
        """Between the last word to the disk and the rename, and right after it."""
        name = self.clip('one_frame')
        dice = random.Random(5)
        jobs = []
        for number in range(30 if LONG else 8):
            self.serve(slots=1)
            job = self.submit(name, **({'outputs': ['out/p%d.mp4' % number]} if number % 2 else {}))['id']
            jobs.append((number, job))
            wait_until(lambda: self.job(job)['state'] in ('publishing', *FINAL), 20 * PATIENCE, 0.001)
            time.sleep(dice.random() * 0.004)
            self.kill()
        self.serve()
        for number, job in jobs:
            found = self.ends(job)
            self.assertEqual(sum(s in FINAL for s in self.history(job)), 1)
            if number % 2:
                self.assert_plays(os.path.join(self.media, 'out', 'p%d.mp4' % number), 1)
            else:
                self.assert_plays(self.artefact(found), 1)

    @slow
    def test_families_die_with_it(self):
        for scenario in ('fork 3', 'double-fork', 'setsid', 'ignore-term'):
            with self.subTest(scenario):
                data = os.path.join(self.dir, 'data ' + scenario)
                self.serve(scenario=scenario, env=self.FAMILIES, data=data)
                job = self.submit(self.clip('plain'))['id']
                self.at_work(job)
                self.kill()
        self.serve()


class Ending(Recovery):
    def test_runs_end_within_the_grace(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'))['id']
        waiting = self.submit('plain.mp4')['id']
        self.at_work(job)
        self.daemon.tell()
        self.assertEqual(self.daemon.ended(), 0)
        self.serve(scenario='pass', slots=1)
        self.assertEqual((self.job(job)['state'], self.job(job)['attempt']), ('succeeded', 1))
        self.assertEqual(self.ends(waiting)['attempt'], 1)

    def test_told_twice(self):
        """What runs goes back to the queue, and that is no death: a third time does no harm."""
        self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('one_frame'))['id']
        for _ in range(3):
            self.at_work(job)
            self.daemon.tell()
            self.assertTrue(wait_until(lambda: 'told to end' in self.daemon.log, 5 * PATIENCE))
            self.daemon.tell(signal.SIGINT)
            self.assertEqual(self.daemon.ended(15), 0, self.daemon.log)
            self.assertEqual(work_folders(self.dir), [])
            self.serve(scenario='obey-term', slots=1)
        self.play('pass')
        self.daemon.stop()
        self.serve(scenario='pass', slots=1)
        found = self.ends(job)
        self.assertGreaterEqual(found['attempt'], 4)
        self.assertNotIn('failed', self.history(job))

    def test_told_twice_while_paused(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.act(job, 'pause')
        self.assertEqual(self.daemon.stop(), 0)
        self.serve(scenario='pass', slots=1)
        found = self.becomes(job, 'queued', also=lambda one: one['waiting_for'] is not None)
        self.assertEqual((found['paused'], found['waiting_for']), (True, 'pause'))
        self.act(job, 'resume')
        self.assertEqual(self.ends(job)['attempt'], 2)

    @slow
    @needs_configuration
    def test_runs_outlast_the_grace(self):
        self.serve('--stop-grace', '1', scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        begun = time.monotonic()
        self.daemon.tell()
        self.assertEqual(self.daemon.ended(), 0)
        self.assertTrue(0.9 < time.monotonic() - begun < 6 * PATIENCE)
        self.serve(scenario='pass', slots=1)
        self.assertEqual(self.ends(job)['attempt'], 2)

    @slow
    def test_nothing_new_while_it_ends(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=10 * PATIENCE)
        connection.connect()
        self.daemon.tell()
        self.assertTrue(wait_until(lambda: 'told to end' in self.daemon.log, 5 * PATIENCE))
        try:
            connection.request('POST', '/v1/jobs', json.dumps({'recipe': 'crop', 'inputs': ['plain.mp4']}))
            self.assertEqual(connection.getresponse().status, 429)
        except (OSError, http.client.HTTPException):
            pass   # an idle connection is closed
        connection.close()
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': ['plain.mp4']})
        self.assertEqual(self.daemon.ended(), 0)
        self.serve()
        self.assertEqual([j['id'] for j in self.daemon.get('/v1/jobs').json['jobs']], [job])
        self.assertEqual(self.job(job)['state'], 'succeeded')

    @slow
    def test_stopping_while_it_starts(self):
        for delay in (0, 0.01, 0.03, 0.06, 0.1, 0.2):
            daemon = self.serve(ready=False)
            time.sleep(delay)
            daemon.tell()
            code = daemon.ended(15)
            self.assertIn(code, (0, 143, -15), daemon.log)
        self.serve()

    def test_second_instance(self):
        first = self.serve()
        job = self.submit(self.clip('one_frame'))['id']
        second = Daemon(self, [*first.arguments[3:]], self.port + 1)
        self.assertEqual(second.ended(10), 31, second.log)
        self.assertIn(os.path.basename(self.data), second.log)
        self.ends(job)
        self.assertTrue(first.alive)
        # The lock goes with its holder, however that ends.
        self.kill()
        self.serve()
        self.assertEqual(self.job(job)['state'], 'succeeded')

    @slow
    def test_port_that_is_taken(self):
        self.serve()
        other = Daemon(self, ['--data', os.path.join(self.dir, 'other'), *self.daemon.arguments[5:]], self.port)
        self.assertNotIn(other.ended(10), (0, -6, -11), other.log)
        self.assertIn(str(self.port), other.log)

    def test_drain(self):
        daemon = self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        waiting = self.submit('plain.mp4')['id']
        self.assertEqual(daemon.post('/v1/drain').json, {'draining': True})
        reply = daemon.get('/readyz')
        self.assertEqual((reply.status, reply.json['reason']), (503, 'draining'))
        self.assertIn('retry-after', reply.headers)
        self.assertEqual(daemon.get('/healthz').status, 200)
        self.assertTrue(daemon.get('/v1/system').json['draining'])
        self.play('pass')
        self.ends(job)
        time.sleep(0.3)
        self.assertEqual((self.job(waiting)['state'], self.job(waiting)['waiting_for']), ('queued', 'drain'))
        self.assertEqual(daemon.post('/v1/undrain').json, {'draining': False})
        self.assertEqual(daemon.get('/readyz').status, 200)
        self.ends(waiting)


class Disks(Recovery):
    """The daemon keeps 512 MiB of every disk free, so the small disks here are larger than that."""

    def fill(self, folder, leave):
        """Takes what is free there, but for `leave` bytes."""
        path = os.path.join(folder, 'ballast')
        free = os.statvfs(folder)
        size = max(0, free.f_bavail * free.f_frsize - leave)
        with open(path, 'ab') as file:
            if size:
                os.posix_fallocate(file.fileno(), os.path.getsize(path), size)
        return path

    @slow
    def test_output_disk_fills_while_it_works(self):
        disk = self.mount_tmpfs(800 << 20, 'media/small')
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('busy'), outputs=['small/out.mp4'])['id']
        self.at_work(job)
        ballast = self.fill(disk, 0)
        found = self.becomes(job, 'queued', seconds=30, also=lambda j: j['failure'] is not None and j['waiting_for'] is not None)
        self.assertEqual(found['failure']['cause'], 'disk_full', found['failure'])
        self.assertIsNotNone(found['not_before'])
        self.assertEqual(found['waiting_for'], 'time')
        self.assertEqual(os.listdir(disk), ['ballast'])
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        os.unlink(ballast)
        self.play('pass')
        self.ends(job)
        self.assert_plays(os.path.join(disk, 'out.mp4'))

    @slow
    def test_data_disk_is_full(self):
        disk = self.mount_tmpfs(700 << 20, 'data')
        daemon = self.serve(scenario='obey-term', slots=1)
        name = self.clip('one_frame')
        running = self.submit(self.clip('plain'), outputs=['out/r.mp4'])['id']
        self.at_work(running)
        ballast = self.fill(disk, 0)
        accepted, refused = [], None
        for number in range(3000):
            reply = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name], 'outputs': ['out/%d.mp4' % number], 'labels': {'x': 'y' * 200}})
            if reply.status != 202:
                refused = reply
                break
            accepted.append(reply.json['id'])
            self.fill(disk, 0)
        self.assertIsNotNone(refused, 'the disk never filled')
        self.problem(refused, 507, 'disk-full')
        self.assertTrue(daemon.alive)
        self.assertEqual(daemon.get('/healthz').status, 200)
        self.assertEqual(self.job(running)['state'], 'running')
        self.assertEqual({j['id'] for j in daemon.get('/v1/jobs?limit=1000').json['jobs']}, {running, *accepted})
        # A change of what runs cannot be written now; it is kept, said, and written later.
        self.play('pass')
        canceller = threading.Thread(target=lambda: daemon.post('/v1/jobs/%s/cancel' % running, timeout=60))
        canceller.start()
        self.assertTrue(wait_until(lambda: daemon.get('/readyz').status == 503, 20 * PATIENCE), self.daemon.log[-800:])
        self.assertTrue(canceller.is_alive(), 'an answer came before its change was on the disk')
        os.unlink(ballast)
        canceller.join(20 * PATIENCE)
        self.assertFalse(canceller.is_alive())
        self.assertEqual(self.job(running)['state'], 'cancelled')
        self.assertTrue(wait_until(lambda: daemon.get('/readyz').status == 200, 20 * PATIENCE), daemon.get('/readyz'))
        for job in accepted:
            self.act(job, 'cancel', 200) if self.job(job)['state'] not in FINAL else None
        self.ends(self.submit(name, outputs=['out/after.mp4'])['id'])
        daemon.stop()
        self.check_data(self.data)
        # The folder goes with its mount.
        self.daemons.remove(daemon)

    def survivors(self, outputs):
        """Jobs at work and some that wait, left behind by a kill."""
        self.serve(scenario='slow-real', slots=2)
        name = self.clip('busy')
        jobs = [self.submit(name, outputs=[output])['id'] for output in outputs]
        self.at_work(jobs[0])
        self.kill()
        return jobs

    def all_end_once(self, jobs, outputs):
        for job, output in zip(jobs, outputs):
            self.ends(job)
            history = self.history(job)
            self.assertEqual(sum(state in FINAL for state in history), 1, history)
            self.assert_plays(os.path.join(self.media, output))

    @slow
    def test_start_on_a_full_disk(self):
        """It comes up, answers, says that it cannot write, and goes on when it can; killed in between as well."""
        disk = self.mount_tmpfs(700 << 20, 'data')
        outputs = ['out/%d.mp4' % number for number in range(3)]
        jobs = self.survivors(outputs)
        ballast = self.fill(disk, 0)
        with open(ballast, 'ab', 0) as file:
            try:
                while True:
                    file.write(bytes(512))
            except OSError:
                pass
        self.play('pass')
        for _ in range(2):
            daemon = self.serve(scenario='pass', slots=2, ready=False)
            daemon.wait_ready(status=503)
            self.assertEqual(daemon.get('/healthz').status, 200)
            self.assertEqual({job['id'] for job in daemon.get('/v1/jobs').json['jobs']}, set(jobs))
            time.sleep(1.2)
            said = [line for line in daemon.log.splitlines() if 'could not be written' in line]
            self.assertTrue(said, daemon.log)
            self.assertEqual(len(said), len(set(said)), 'said again and again')
            self.assertEqual(os.listdir(os.path.join(self.media, 'out')), [])
            self.kill()
        self.serve(scenario='pass', slots=2, ready=False)
        os.unlink(ballast)
        self.daemon.wait_ready()
        self.all_end_once(jobs, outputs)
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        self.daemon.stop()
        self.check_data(self.data)
        self.daemons.remove(self.daemon)   # the folder goes with its mount

    @slow
    def test_start_on_a_frozen_disk(self):
        disk = self.mount_tmpfs(700 << 20, 'data')
        outputs = ['out/%d.mp4' % number for number in range(3)]
        jobs = self.survivors(outputs)
        self.remount_read_only(disk)
        daemon = self.serve(scenario='pass', ready=False)
        self.assertEqual(daemon.ended(10), EXIT['output-unwritable'], daemon.log)
        self.assertIn('read-only', daemon.log)
        self.assertIn(disk, daemon.log)
        self.assertEqual(subprocess.run(['mount', '-o', 'remount,rw', disk]).returncode, 0)
        self.serve(scenario='pass', slots=2)
        self.all_end_once(jobs, outputs)
        self.daemon.stop()
        self.check_data(self.data)
        self.daemons.remove(self.daemon)

    @slow
    def test_start_with_frozen_outputs(self):
        """What the dead left there cannot be cleared away yet: that is said, and done at a later start."""
        disk = self.mount_tmpfs(800 << 20, 'media/small')
        outputs = ['small/%d.mp4' % number for number in range(3)]
        jobs = self.survivors(outputs)
        left = work_folders(self.dir)
        self.assertTrue(left, 'nothing was left to be cleared away')
        self.remount_read_only(disk)
        self.play('pass')
        self.serve(scenario='pass', slots=2)
        self.assertEqual(work_folders(self.dir), left)
        self.assertIn(disk, self.daemon.log)
        self.assertEqual(self.daemon.get('/healthz').status, 200)
        other = self.submit('busy.mp4')['id']
        self.ends(other)
        for job in jobs:
            found = self.becomes(job, 'queued', 'failed', also=lambda one: one['failure'] is not None)
            self.assertIn(found['failure']['type'], ('output-unwritable', 'output-folder', 'disk-full'), found['failure'])
        self.kill()
        self.assertEqual(subprocess.run(['mount', '-o', 'remount,rw', disk]).returncode, 0)
        self.serve(scenario='pass', slots=2)
        for job in jobs:
            if self.job(job)['state'] == 'failed':
                self.act(job, 'retry')
        for job, output in zip(jobs, outputs):
            self.ends(job)
            self.assert_plays(os.path.join(self.media, output))
        self.assertEqual(work_folders(self.dir), [])

    def test_read_only_root(self):
        disk = self.mount_tmpfs(600 << 20, 'media/frozen')
        self.remount_read_only(disk)
        daemon = self.serve()
        name = self.clip('one_frame')
        reply = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name], 'outputs': ['frozen/x.mp4']})
        if reply.status == 202:   # it is found when the run opens its target
            failed = self.ends(reply.json['id'], 'failed')
            self.assertEqual(failed['failure']['type'], 'output-unwritable')
        else:
            self.problem(reply, 422, 'output-unwritable', ['frozen'])
        self.ends(self.submit(name)['id'])

    @slow
    def test_too_small_a_disk(self):
        """Not even the reserve is free: the job waits, and says for what."""
        self.mount_tmpfs(64 << 20, 'media/tiny')
        self.serve()
        job = self.submit(self.clip('one_frame'), outputs=['tiny/x.mp4'])['id']
        found = self.becomes(job, 'queued', 'failed', also=lambda j: j['failure'] is not None)
        self.assertEqual(found['failure']['cause'], 'disk_full')
        for key in ('required_bytes', 'reserve_bytes'):
            self.assertGreater(found['failure'][key], 0)
        self.assertLess(found['failure']['available_bytes'], found['failure']['required_bytes'])
        self.act(job, 'cancel')

    @slow
    def test_data_folder_that_cannot_be_used(self):
        disk = self.mount_tmpfs(64 << 20, 'frozen')
        self.remount_read_only(disk)
        open(os.path.join(self.dir, 'file'), 'w').close()
        for data in (os.path.join(disk, 'data'), '/proc/weir', os.path.join(self.dir, 'file', 'data')):
            daemon = self.serve(data=data, ready=False)
            self.assertNotIn(daemon.ended(10), (0, -6, -11), daemon.log)
            self.assertTrue(daemon.log.startswith('weir: '), daemon.log)

    @slow
    def test_media_root_that_is_none(self):
        for root in (os.path.join(self.dir, 'nothing'), clips.get('plain')):
            daemon = Daemon(self, ['--data', self.data, '--memory', '600M', '--media-root', root], self.port)
            self.assertIn(daemon.ended(10), (EXIT['output-folder'], EXIT['bad-parameters'], 4), daemon.log)
            self.assertIn(os.path.basename(root), daemon.log)

    @slow
    def test_damaged_database(self):
        self.serve()
        self.ends(self.submit(self.clip('one_frame'))['id'])
        self.daemon.stop()
        path = os.path.join(self.data, 'jobs.db')
        with open(path, 'rb') as file:
            kept = file.read()
        with open(path, 'r+b') as file:
            file.write(b'this is no database at all, it is text' * 100)
        daemon = self.serve(ready=False)
        self.assertEqual(daemon.ended(10), 39, daemon.log)
        self.assertIn('jobs.db', daemon.log)
        with open(path, 'wb') as file:
            file.write(kept)
        self.serve()
        self.assertEqual(len(self.daemon.get('/v1/jobs').json['jobs']), 1)
