"""The commands with which the replaced systems were used, word for word, and the numbers that they look at."""
import json
import os
import re
import shutil
import subprocess
import threading
import time
import unittest
import urllib.parse

import clips
from daemon_harness import DaemonCase, descendants
from harness import PATIENCE, QUICK, wait_until

MEBI = 1 << 20


def proportional(pid):
    with open('/proc/%d/smaps_rollup' % pid) as file:
        for line in file:
            if line.startswith('Pss:'):
                return int(line.split()[1]) * 1024
    raise AssertionError('no Pss')


def command_of(pid):
    try:
        with open('/proc/%d/cmdline' % pid, 'rb') as file:
            return file.read()
    except OSError:
        return b''


class Peer(DaemonCase):
    def near(self, told, measured, slack=4 * MEBI):
        self.assertGreater(told, MEBI)
        self.assertLess(abs(told - measured), slack + measured * (0 if PATIENCE == 1 else 0.5), (told, measured))


class Commands(Peer):
    def shell(self, text, timeout=120):
        done = subprocess.run(['bash', '-c', text], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr.decode('utf-8', 'replace')[-800:])
        return done.stdout.decode('utf-8')

    @unittest.skipUnless(shutil.which('curl'), 'needs curl')
    def test_a_hundred_crops_at_once(self):
        count = 20 if QUICK else 100
        slots = 2
        self.serve(slots=slots)
        path = os.path.join(self.media, self.clip('one_frame'))
        self.ends(self.submit(path)['id'])
        idle = self.daemon.get('/api/diagnostics/resources').json['openFileHandles']
        most, encoders, budget, over = 0, 0, 600 * MEBI, []
        done = threading.Event()

        def watch():
            nonlocal most, encoders
            while not done.is_set():
                workers = self.daemon.workers()
                most = max(most, len(workers))
                encoders = max(encoders, sum(b'libx264' in command_of(pid) for pid in workers))
                document = self.daemon.get('/v1/system').json
                system = document['memory']
                if len(document['running']) > slots or document['queue']['running'] > slots:
                    over.append(document)
                if system['leased_bytes'] + system['own_bytes'] > budget or system['tree_bytes'] > budget:
                    over.append(system)
                time.sleep(0.02)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            text = self.shell('''
                for i in $(seq %d); do
                    curl -s -o /dev/null -w '%%{http_code}\\n' -X POST http://localhost:%d/video/crop -H 'Content-Type: application/json' \\
                        -d '{"inputPath":"%s","aspectRatio":"9:16"}' &
                done
                wait''' % (count, self.port, path))
            self.assertEqual(text.split(), ['202'] * count)
            ended = wait_until(lambda: self.daemon.get('/v1/system').json['jobs']['succeeded'] == count + 1, 120 * PATIENCE, 0.2)
            self.assertTrue(ended, self.daemon.get('/v1/system').json['jobs'])
        finally:
            done.set()
            watcher.join()
        self.assertEqual(over, [])
        self.assertLessEqual(encoders, slots, 'more encoders at once than there are slots')
        self.assertLessEqual(most, 2 * slots, 'a job looks at its result with two programs at once, not more')
        self.assertGreaterEqual(encoders, 1)
        jobs = self.daemon.get('/v1/jobs?limit=1000').json['jobs']
        self.assertEqual([(j['state'], j['attempt']) for j in jobs], [('succeeded', 1)] * (count + 1))
        still = wait_until(lambda: self.daemon.get('/api/diagnostics/resources').json['openFileHandles'] <= idle + 2, 5 * PATIENCE)
        self.assertTrue(still, 'descriptors are kept')
        if PATIENCE == 1:
            self.assertLess(proportional(self.daemon.pid), 40 * MEBI)

    def test_crop(self):
        daemon = self.serve()
        path = os.path.join(self.media, self.clip('plain'))
        reply = daemon.post('/video/crop', {'inputPath': path}, headers={'Prefer': 'wait=30'})
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        self.assertIs(reply.json['success'], True)
        data = reply.json['data']
        self.assertEqual((data['state'], data['id'], data['smartCrop'], data['params']['aspect']), ('succeeded', data['jobId'], False, '9:16'))
        self.assertEqual(daemon.get(data['path']).status, 200)
        named = os.path.join(self.media, 'out', 'named.mp4')
        for _ in range(2):   # the second time it is replaced, as it was
            reply = daemon.post('/video/crop', {'inputPath': path, 'outputPath': named, 'aspectRatio': '1:1', 'focusPoint': 'left'}, headers={'Prefer': 'wait=30'})
            self.assertEqual((reply.status, reply.json['data']['path'], reply.json['data']['state'], reply.json['data']['focusPoint']), (200, named, 'succeeded', 'left'), '\n%s' % reply)
            self.assert_plays(named, 60)
        reply = daemon.post('/video/crop', {'inputPath': path})
        self.assertEqual(reply.status, 202)
        self.assertEqual(reply.headers['location'], '/v1/jobs/' + reply.json['data']['jobId'])
        self.assertIsNone(reply.json['data']['path'])
        self.problem(daemon.post('/video/crop', {'inputPath': path, 'smartCrop': True}), 400, 'bad-parameters', ['smartCrop'])
        self.problem(daemon.post('/video/crop', {'inputPath': path, 'aspectRatio': '9x'}), 400, 'bad-parameters', ['aspect'])
        self.problem(daemon.post('/video/crop', {}), 400, 'bad-parameters', ['inputPath'])
        self.problem(daemon.post('/video/crop', {'inputPath': path + 'x'}), 422, 'input-missing')
        self.problem(daemon.get('/video/crop'), 405, 'method-not-allowed')
        self.ends(reply.json['data']['jobId'])

    @unittest.skipUnless(shutil.which('curl'), 'needs curl')
    def test_metrics_of_performance(self):
        daemon = self.serve()
        filter_ = 'jq .data.memory' if shutil.which('jq') else "python3 -c 'import json,sys; print(json.dumps(json.load(sys.stdin)[\"data\"][\"memory\"]))'"
        memory = json.loads(self.shell('curl -s http://localhost:%d/performance/metrics | %s' % (self.port, filter_)))
        self.assertEqual(set(memory), {'rss', 'tree', 'budget', 'leased', 'percentage', 'level'})
        self.assertEqual((memory['budget'], memory['leased'], memory['level']), (600 * MEBI, 0, 'normal'))
        self.near(memory['rss'], proportional(daemon.pid))
        self.assertGreaterEqual(memory['tree'], memory['rss'])
        self.assertAlmostEqual(memory['percentage'], memory['tree'] / memory['budget'] * 100, 3)
        for _ in range(20):
            daemon.get('/healthz')
        document = daemon.get('/performance/metrics').json
        self.assertIs(document['success'], True)
        requests = document['data']['requests']
        self.assertGreaterEqual(requests['count'], 20)
        self.assertEqual(requests['failed'], 0)
        self.assertLessEqual(requests['avg'], requests['p99'] + 1)
        self.assertLessEqual(requests['p95'], requests['p99'])
        self.assertTrue(0 < document['data']['uptime'] < 600)
        self.assertEqual(document['data']['jobs'], {'pending': 0, 'processing': 0})


class Health(Peer):
    def test_health(self):
        daemon = self.serve(scenario='obey-term', slots=1)
        health = daemon.get('/health')
        self.assertEqual(health.status, 200)
        document = health.json
        self.assertEqual((document['status'], document['reason'], document['tools']['ffmpeg'], document['tools']['ffprobe']), ('ok', None, True, True))
        self.assertRegex(document['tools']['ffmpegVersion'], r'^5\.')
        self.assertRegex(document['version'], r'^\d+\.\d+\.\d+$')
        self.assertRegex(document['timestamp'], r'^\d{4}-\d\d-\d\dT')
        job = self.submit(self.clip('plain'))['id']
        waiting = self.submit('plain.mp4')['id']
        self.at_work(job)
        memory = daemon.get('/health/memory').json
        for key in ('status', 'memory', 'cache', 'jobs', 'recommendations', 'timestamp'):
            self.assertIn(key, memory)
        self.assertEqual((memory['status'], memory['memory']['level']), ('healthy', 'normal'))
        self.assertEqual((memory['jobs']['pending'], memory['jobs']['processing'], memory['jobs']['completed'], memory['jobs']['count']), (1, 1, 0, 2))
        self.near(memory['memory']['heapUsed'], proportional(daemon.pid))
        self.assertEqual(memory['memory']['budget'], 600 * MEBI)
        performance = daemon.get('/performance/metrics').json['data']
        self.assertEqual(performance['jobs'], {'pending': 1, 'processing': 1})
        self.assertGreater(performance['memory']['leased'], 0)
        self.assertEqual(performance['memory']['leased'], daemon.get('/v1/system').json['running'][0]['lease_bytes'])
        windows = performance['windows']
        self.assertEqual(set(windows), {'tree_bytes', 'own_bytes', 'leased_bytes', 'children', 'waiting'})
        for window in windows.values():
            self.assertTrue(1 <= window['samples'] <= 100 and window['last'] <= window['max'] and window['p95'] <= window['max'], windows)
        self.assertGreaterEqual(windows['tree_bytes']['max'], windows['own_bytes']['max'])
        daemon.post('/v1/drain')
        self.assertTrue(any('undrain' in r['action'] for r in daemon.get('/health/memory').json['recommendations']))
        self.assertEqual(daemon.get('/health').status, 200, 'draining is not unhealthy')
        self.act(job, 'cancel')
        self.act(waiting, 'cancel')

    def test_tools_that_go_away(self):
        """What could be run at the start is looked at again; when it is back, all is well."""
        ffmpeg = self.fake('pass')
        ffprobe = os.path.join(os.path.dirname(ffmpeg), 'ffprobe')
        shutil.copy2('/usr/bin/ffprobe', ffprobe)
        daemon = self.serve('--ffmpeg', ffmpeg, '--ffprobe', ffprobe)
        usable = lambda: daemon.get('/health').status == 200
        self.assertTrue(usable())
        for path, name, other in ((ffmpeg, 'ffmpeg', 'ffprobe'), (ffprobe, 'ffprobe', 'ffmpeg')):
            for leave, come_back in ((lambda: os.rename(path, path + '.away'), lambda: os.rename(path + '.away', path)),
                                     (lambda: os.chmod(path, 0o644), lambda: os.chmod(path, 0o755))):
                leave()
                self.assertTrue(wait_until(lambda: not usable(), 5 * PATIENCE), '%s is not missed' % name)
                health = daemon.get('/health')
                self.assertEqual((health.status, health.json['status'], health.json['tools'][name], health.json['tools'][other]), (503, 'unusable', False, True), '\n%s' % health)
                self.assertIn(path, health.json['reason'])
                self.assertGreaterEqual(int(health.headers['retry-after']), 1)
                ready = daemon.get('/readyz')
                self.assertEqual((ready.status, ready.json['ready'], ready.json['reason']), (503, False, health.json['reason']))
                self.assertIs(daemon.get('/v1/system').json['ready'], False)
                self.assertEqual(daemon.get('/healthz').status, 200, 'it lives')
                come_back()
                self.assertTrue(wait_until(usable, 5 * PATIENCE), '%s is back' % name)
                self.assertEqual(daemon.get('/readyz').status, 200)
        self.ends(self.submit(self.clip('one_frame'))['id'])

    def test_resources(self):
        daemon = self.serve(scenario='obey-term', slots=1)
        def read():
            document = daemon.get('/api/diagnostics/resources').json
            for key in ('openFileHandles', 'activeProcesses', 'allocatedMemoryBytes', 'workingSetBytes', 'threadCount', 'timestamp', 'warnings'):
                self.assertIn(key, document)
            return document
        idle = read()
        self.assertLessEqual(abs(idle['openFileHandles'] - len(os.listdir('/proc/%d/fd' % daemon.pid))), 3)
        self.assertEqual(idle['threadCount'], len(os.listdir('/proc/%d/task' % daemon.pid)))
        self.near(idle['allocatedMemoryBytes'], proportional(daemon.pid))
        self.assertEqual(idle['warnings'], [])
        self.assertEqual(idle['activeProcesses'], 0)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.assertTrue(wait_until(lambda: read()['activeProcesses'] == 1, 5 * PATIENCE), read())
        tree = proportional(daemon.pid) + sum(proportional(pid) for pid in descendants(daemon.pid))
        wait_until(lambda: abs(read()['workingSetBytes'] - tree) < 4 * MEBI, 2)
        self.near(read()['workingSetBytes'], tree)
        self.act(job, 'cancel')
        cleaned = daemon.post('/api/diagnostics/resources/cleanup')
        self.assertEqual(cleaned.status, 200, '\n%s' % cleaned)
        for key in ('status', 'freedBytes', 'metricsAfter', 'timestamp'):
            self.assertIn(key, cleaned.json)
        # What is kept only to be at hand goes, and what is told as freed is what was.
        daemon.get('/openapi.json')
        before = proportional(daemon.pid)
        freed = daemon.post('/api/diagnostics/resources/cleanup').json['freedBytes']
        if PATIENCE == 1:   # sanitizers keep what is freed
            self.assertGreater(freed, 0)
            self.assertLess(abs(before - proportional(daemon.pid) - freed), 4 * MEBI)
        self.assertEqual([service['loaded'] for service in daemon.get('/v1/system').json['services'] if service['name'] == 'openapi'], [False])
        self.assertTrue(wait_until(lambda: read()['activeProcesses'] == 0, 5 * PATIENCE))
        self.problem(daemon.get('/api/diagnostics/resources/cleanup'), 405, 'method-not-allowed')

    def test_video_info(self):
        daemon = self.serve()
        name = self.clip('turned90')
        document = daemon.get('/video/info?path=' + urllib.parse.quote(os.path.join(self.media, name), '')).json
        self.assertIs(document['success'], True)
        info = document['data']
        self.assertEqual((info['width'], info['height'], info['hasAudio'], info['fps'], info['size']), (360, 640, True, 30, os.path.getsize(clips.get('turned90'))))
        self.assertAlmostEqual(info['duration'], 2, 1)
        self.assertAlmostEqual(info['bitrate'], info['size'] * 8 / info['duration'], -2)
        self.assertEqual(daemon.get('/video/info?path=' + self.clip('silent')).json['data']['hasAudio'], False)
        sound = daemon.get('/video/info?path=' + self.clip('audio_only'))
        if sound.status == 200:
            self.assertIsNone(sound.json['data']['width'])
        else:
            self.problem(sound, 422)
        self.problem(daemon.get('/video/info'), 400, 'bad-parameters', ['path'])
        self.problem(daemon.get('/video/info?path=none.mp4'), 422, 'input-missing')
        self.problem(daemon.get('/video/info?path=' + self.clip('text')), 422, 'input-not-media')
        self.problem(daemon.get('/video/info?path=/etc/passwd'), 403, 'forbidden')
        self.problem(daemon.get('/video/info?path=../x'), 403, 'forbidden')
        self.assertEqual(daemon.get('/v1/jobs').json['jobs'], [])

    def test_info_while_all_slots_are_taken(self):
        """Looking at a file does not wait until the work of others is done."""
        daemon = self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        reply = []
        asker = threading.Thread(target=lambda: reply.append(daemon.get('/video/info?path=plain.mp4', timeout=30).status))
        asker.start()
        asker.join(3 * PATIENCE)
        in_time = list(reply)
        self.act(job, 'cancel')
        asker.join()
        self.assertEqual(in_time, [200], 'it was answered only when the job had ended')

    def test_prometheus(self):
        daemon = self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        reply = daemon.get('/metrics')
        self.assertTrue(reply.headers['content-type'].startswith('text/plain; version=0.0.4'))
        figures, described = {}, set()
        for line in reply.body.decode().splitlines():
            if line.startswith('# '):
                described.add(line.split()[2])
                continue
            self.assertRegex(line, r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$')
            name, value = line.rsplit(' ', 1)
            self.assertNotIn(name, figures)
            figures[name] = float(value)
            plain = name.split('{')[0]
            self.assertTrue(plain in described or re.sub('_(bucket|sum|count)$', '', plain) in described, name)
        self.assertEqual(figures['weir_memory_budget_bytes'], 600 * MEBI)
        self.assertEqual((figures['weir_jobs{state="running"}'], figures['weir_children'], figures['weir_ready'], figures['weir_jobs_started_total']), (1, 1, 1, 1))
        self.assertGreater(figures['weir_memory_leased_bytes'], 0)
        self.near(figures['weir_memory_own_bytes'], proportional(daemon.pid))
        self.act(job, 'cancel')
