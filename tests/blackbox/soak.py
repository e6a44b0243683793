"""Many short jobs, for long: cancels, failures, batches, deletions, lost callers, slow readers and killed children mixed
in from a seed (WEIR_TEST_SEED). 300 jobs, 10,000 with --long. Each job that was accepted ends exactly once and is
accounted for, and the daemon is afterwards what it was: memory, handles, threads, folders, processes, groups.

Two states are compared, both at rest: all jobs ended, all connections closed but the one that hears the events, no
child, and POST /api/diagnostics/resources/cleanup answered, because what the allocator keeps for later is no growth. The
first is taken after a warm-up that fills what fills once: SQLite keeps pages until the caches of its two connections are full,
1 MiB each, so a batch of FILL jobs that is cancelled at once comes first, and everything that is stored is read. Of PSS the
anonymous part is held against the limit: the rest are pages of program and libraries, and how much of them is ours
depends on who else runs.
"""
import http.client
import json
import os
import random
import re
import socket
import threading
import time

import clips
import media
from daemon_harness import DaemonCase, FINAL, descendants
from harness import LONG, PATIENCE, QUICK, cgroup_folders, digest, processes_of, records_of, wait_until, work_folders

JOBS = 10000 if LONG else 30 if QUICK else 300
WARM_UP = 1000 if LONG else 10 if QUICK else 100
FILL = 60 if QUICK else 2000
AT_ONCE = 16        # accepted and not ended
GROWTH = (1 << 20) if LONG else (1 << 19)    # bytes of anonymous PSS
BAD = ('bad_input', 'bad_parameters')


class Kind:
    """A job that can be asked for: how it may end, and what a good output is."""

    def __init__(self, recipe, clip, params=None, causes=(), suffix='.mp4', expect=None, may_succeed=False):
        self.recipe, self.clip, self.params, self.causes, self.suffix, self.expect = recipe, clip, params or {}, causes, suffix, expect
        self.may_succeed = may_succeed or not causes


KINDS = {
    'crop': (6, Kind('crop', 'sound.mp4', {'aspect': '1:1'}, expect=('h264', 48, 48, 10))),
    'crop, focus': (3, Kind('crop', 'silent.mp4', {'aspect': '9:16', 'focus': 'left'}, expect=('h264', 36, 64, 10))),
    'trim by copy': (4, Kind('trim', 'sound.mp4', {'from': 0, 'to': 0.5}, expect=('h264', 64, 48, None))),
    'trim': (3, Kind('trim', 'sound.mp4', {'from': 0.2, 'to': 0.8, 'mode': 'exact'}, expect=('h264', 64, 48, 6))),
    'transcode': (3, Kind('transcode', 'silent.mp4', {'fit': '32x32'}, expect=('h264', 32, 32, 10))),
    'transcode, webm': (2, Kind('transcode', 'silent.mp4', {}, suffix='.webm', expect=('vp9', 64, 64, 10))),
    'thumbnail': (6, Kind('thumbnail', 'sound.mp4', {}, suffix='.jpg', expect=('mjpeg', 64, 48, 1))),
    'no media': (5, Kind('crop', 'words.mp4', causes=BAD)),
    'half a file': (3, Kind('thumbnail', 'half.mp4', suffix='.jpg', causes=BAD)),
    'no picture': (3, Kind('crop', 'tone.m4a', causes=BAD)),
    'past the end': (4, Kind('trim', 'silent.mp4', {'from': 50}, causes=BAD)),
    'over the budget': (3, Kind('crop', 'silent.mp4', {'size': '8192x8192', 'aspect': '1:1'}, causes=('over_budget',))),
    'vanishes': (4, Kind('thumbnail', None, suffix='.jpg', causes=BAD, may_succeed=True, expect=('mjpeg', 64, 48, 1))),
}


class Soak(DaemonCase):
    own_state = True
    memory = '200M'
    slots = 4

    def setUp(self):
        super().setUp()
        path = lambda name: os.path.join(self.media, name)
        small = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '5']
        clips.ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=64x48:r=10:d=1', *clips.tone(1), *small, *clips.AAC, path('sound.mp4'))
        clips.ffmpeg('-f', 'lavfi', '-i', 'testsrc2=s=64x64:r=10:d=1', *small, path('silent.mp4'))
        clips.ffmpeg(*clips.tone(1), *clips.AAC, path('tone.m4a'))
        with open(path('sound.mp4'), 'rb') as whole, open(path('half.mp4'), 'wb') as half:
            half.write(whole.read()[:1000])
        with open(path('words.mp4'), 'w') as words:
            words.write('these are words\n' * 100)

        seed = int(os.environ.get('WEIR_TEST_SEED', '0')) or random.randrange(1 << 30)
        self.note, self.dice = 'seed %d' % seed, random.Random(seed)
        self.number = 0
        self.asked = {}       # id: (kind, output named or None)
        self.live = {}        # id: when accepted
        self.finals = {}      # id: how many endings there must be
        self.ended = {}       # id: state, of those that can still be deleted
        self.cancelled = set()   # answered
        self.deleted = set()
        self.paused = set()
        self.batches = []
        self.fillers = set()
        self.readers = []     # (socket, when to give up)
        self.groups = set()   # of our children
        self.seen = {}        # digest of an output that was looked at: its kind
        self.counts = {}
        self.heard = {}       # id: states, as the events told
        self.last = 0         # id of an event
        self.deaf = None

    # --- what the daemon says of itself ---

    def listen(self):
        def work():
            try:
                for event in self.daemon.events('/v1/events', timeout=3600):
                    self.last = event['id'] or self.last
                    if event['event'] == 'state':
                        self.heard.setdefault(event['data']['job'], []).append(event['data']['state'])
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as problem:
                self.deaf = repr(problem)

        self.listener = threading.Thread(target=work, daemon=True)
        self.listener.start()

    def endings(self, job):
        return sum(state in FINAL for state in self.heard.get(job, ()))

    # --- what is done to it ---

    def body(self):
        """One job, and its kind."""
        names = list(KINDS)
        name = self.dice.choices(names, [KINDS[n][0] for n in names])[0]
        kind = KINDS[name][1]
        self.number += 1
        clip = kind.clip
        if clip is None:
            clip = 'vanishing-%d.mp4' % self.number
            os.link(os.path.join(self.media, 'sound.mp4'), os.path.join(self.media, clip))
        body = {'recipe': kind.recipe, 'inputs': [clip], 'params': kind.params}
        if kind.suffix == '.webm' or self.dice.random() < 0.5:
            body['outputs'] = ['out/%d%s' % (self.number, kind.suffix)]
        if self.dice.random() < 0.2:
            body['labels'] = {'number': str(self.number)}
        return name, body

    def accepted(self, job, name, body):
        self.assertNotIn(job, self.asked, self.note)
        self.asked[job] = (name, body.get('outputs', [None])[0])
        self.live[job] = time.monotonic()
        self.finals[job] = 1
        self.counts[name] = self.counts.get(name, 0) + 1

    def vanish(self, body):
        if body['inputs'][0].startswith('vanishing'):
            os.unlink(os.path.join(self.media, body['inputs'][0]))

    def one_job(self):
        name, body = self.body()
        key = None
        if self.dice.random() < 0.1:
            # A caller who goes away without its answer, and asks again: the same job, once.
            key = 'key-%d' % self.number
            text = json.dumps(body).encode()
            raw = self.daemon.connect()
            raw.sendall(b'POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\nIdempotency-Key: %s\r\nPrefer: wait=20\r\n\r\n%s'
                        % (self.port, len(text), key.encode(), text))
            raw.close()
        reply = self.daemon.post('/v1/jobs', body, headers={'Idempotency-Key': key} if key else None)
        self.assertIn(reply.status, (200, 202), '%s, %s\n%s' % (self.note, name, reply))
        self.accepted(reply.json['id'], name, body)
        self.vanish(body)

    def one_batch(self):
        jobs = [self.body() for _ in range(self.dice.randrange(2, 6))]
        reply = self.daemon.post('/v1/batches', {'jobs': [body for _, body in jobs], 'labels': {'batch': 'yes'}})
        self.assertEqual(reply.status, 202, '%s\n%s' % (self.note, reply))
        batch = reply.json
        found = self.daemon.get(batch['jobs_url'] + '&limit=100').json['jobs'][::-1]
        self.assertEqual([job['inputs'] for job in found], [body['inputs'] for _, body in jobs], self.note)
        for job, (name, body) in zip(found, jobs):
            self.accepted(job['id'], name, body)
            self.vanish(body)
        self.batches.append(batch['id'])
        if self.dice.random() < 0.3:
            reply = self.daemon.post('/v1/batches/%s/cancel' % batch['id'])
            self.assertEqual(reply.status, 200, '%s\n%s' % (self.note, reply))
            self.assertTrue(reply.json['ended'], '%s\n%s' % (self.note, reply))

    def fill(self):
        """Many jobs that do nothing but be on disk."""
        reply = self.daemon.post('/v1/batches', {'recipe': 'thumbnail', 'jobs': [{'inputs': ['sound.mp4']}] * FILL})
        self.assertEqual(reply.status, 202, '%s\n%s' % (self.note, reply))
        batch = reply.json
        reply = self.daemon.post('/v1/batches/%s/cancel' % batch['id'])
        self.assertEqual((reply.status, reply.json['ended']), (200, True), '%s\n%s' % (self.note, reply))
        jobs = self.listed(batch['jobs_url'] + '&limit=200')
        self.fillers = {job['id'] for job in jobs if job['state'] == 'cancelled'}
        # One may have been done before it could be cancelled; nobody has to be told apart here but those.
        for job in jobs:
            if job['id'] not in self.fillers:
                self.asked[job['id']], self.finals[job['id']], self.ended[job['id']] = ('thumbnail', None), 1, job['state']

    def listed(self, first='/v1/jobs?limit=200'):
        """All jobs, in pages like those that the slow readers ask for: an answer is kept for a while, and larger ones in the
        first of the two states would hide growth."""
        found, path = [], first
        while path:
            page = self.daemon.get(path).json
            found += page['jobs']
            path = page['next'] and first + '&cursor=' + page['next']
        return found

    def read_all(self):
        """Every job and every event, so that the reading connection has read as much as it keeps."""
        self.listed()
        last = self.last
        for event in self.daemon.events('/v1/events'):
            if (event['id'] or 0) >= last:
                return

    def refused(self):
        """What is not accepted, and must leave nothing."""
        body = self.dice.choice((
            {'recipe': 'crop', 'inputs': ['nowhere.mp4']}, {'recipe': 'bake', 'inputs': ['sound.mp4']}, {'recipe': 'crop', 'inputs': ['../x']},
            {'recipe': 'crop', 'inputs': ['sound.mp4'], 'params': {'crf': 99}}, {'recipe': 'trim', 'inputs': ['sound.mp4'], 'params': {'from': 'x'}},
            {'recipe': 'crop', 'inputs': ['sound.mp4'], 'outputs': ['nowhere/x.mp4']}))
        reply = self.daemon.post('/v1/jobs', body)
        self.assertIn(reply.status, (400, 403, 404, 409, 422), '%s\n%s' % (self.note, reply))

    def disturb(self):
        """One thing that happens to a server."""
        dice, job = self.dice, self.dice.choice(list(self.live)) if self.live else None
        what = dice.choices(('cancel', 'pause', 'delete', 'retry', 'read', 'watch', 'fetch', 'half', 'kill', 'plan', 'refused'),
                            (14, 4, 14, 3, 5, 5, 6, 3, 2, 3, 5))[0]
        if what == 'cancel' and job:
            reply = self.daemon.post('/v1/jobs/%s/cancel' % job)
            self.assertIn(reply.status, (200, 409), '%s\n%s' % (self.note, reply))
            if reply.status == 200:
                self.cancelled.add(job)
                self.paused.discard(job)
        elif what == 'pause' and job:
            if self.daemon.post('/v1/jobs/%s/pause' % job).status == 200:
                self.paused.add(job)
        elif what == 'delete' and self.ended:
            job = dice.choice(list(self.ended))
            self.assertEqual(self.daemon.call('DELETE', '/v1/jobs/' + job).status, 204, self.note)
            self.assertEqual(self.daemon.get('/v1/jobs/' + job).status, 404, self.note)
            self.assertFalse(os.path.exists(os.path.join(self.data, 'artifacts', job)), '%s: artefacts of a deleted job' % self.note)
            del self.ended[job]
            self.deleted.add(job)
        elif what == 'retry':
            job = next((job for job, state in self.ended.items() if state == 'failed' and self.asked[job][0] == 'no media'), None)
            if job:
                reply = self.daemon.post('/v1/jobs/%s/retry' % job)
                self.assertEqual(reply.status, 200, '%s\n%s' % (self.note, reply))
                del self.ended[job]
                self.live[job] = time.monotonic()
                self.finals[job] += 1
        elif what in ('read', 'watch', 'half') and len(self.readers) < 12:
            raw = self.daemon.connect(receive_buffer=4096)
            target = {'read': '/v1/jobs?limit=200', 'half': '/v1/jobs'}.get(what) or dice.choice(
                ['/v1/events?after=now', '/v1/events?after=1'] + ['/v1/jobs/%s/events' % job for job in list(self.live)[:1]])
            text = 'GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n' % (target, self.port)
            raw.sendall(text.encode()[:30] if what == 'half' else text.encode())
            raw.setblocking(False)
            self.readers.append((raw, time.monotonic() + dice.random() * 3))
        elif what == 'fetch':
            job = next((job for job, state in self.ended.items() if state == 'succeeded' and self.asked[job][1] is None), None)
            if job:
                found = self.job(job)['artifacts'][0]
                reply = self.daemon.get(found['url'], headers={'Range': 'bytes=0-99'} if dice.random() < 0.5 else None)
                self.assertIn(reply.status, (200, 206), '%s\n%s' % (self.note, reply))
        elif what == 'kill':
            workers = list(self.daemon.workers())
            if workers:
                try:
                    os.kill(dice.choice(workers), 9)
                except ProcessLookupError:
                    pass
        elif what == 'plan':
            self.daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [dice.choice(('sound.mp4', 'words.mp4'))]})
        elif what == 'refused':
            self.refused()

    def turn_readers(self, close=False):
        for raw, until in list(self.readers):
            try:
                gone = raw.recv(256) == b''
            except BlockingIOError:
                gone = False
            except OSError:
                gone = True
            if gone or close or time.monotonic() > until:
                raw.close()
                self.readers.remove((raw, until))

    # --- what comes of the jobs ---

    def look_at_output(self, job, found):
        name, output = self.asked[job]
        note = '%s, %s, job %s' % (self.note, name, job)
        artifact = found['artifacts'][0]
        path = os.path.join(self.media, output) if output else os.path.join(self.data, 'artifacts', job, artifact['name'])
        self.assertTrue(os.path.isfile(path), '%s: no output %s' % (note, path))
        self.assertEqual(os.path.getsize(path), artifact['size_bytes'], note)
        real = digest(path)
        self.assertEqual(artifact.get('sha256', real), real, note)
        # Outputs of one plan are alike to the byte, so few are new.
        if self.seen.get(real) != name:
            self.seen[real] = name
            self.assertIsNone(media.decodes(path), note)
            video = media.video(media.probe(path, packets=True))
            codec, width, height, frames = KINDS[name][1].expect
            self.assertEqual((video['codec_name'], video['width'], video['height']), (codec, width, height), note)
            if frames is not None:
                self.assertEqual(int(video['nb_read_packets']), frames, note)

    def account(self, job):
        """An ended job is what it may be."""
        found = self.job(job)
        name, output = self.asked[job]
        kind, state = KINDS[name][1], found['state']
        note = '%s, %s: %s\n%s' % (self.note, name, json.dumps(found)[:1500], self.heard.get(job))
        self.assertIn(state, FINAL, note)
        if state == 'succeeded':
            self.assertTrue(kind.may_succeed, note)
            self.assertNotIn(job, self.cancelled, note)
            self.look_at_output(job, found)
        else:
            self.assertFalse(found['artifacts'], note)
            if output:
                self.assertFalse(os.path.exists(os.path.join(self.media, output)), note)
            if state == 'failed':
                # A child that was killed three times is what makes a good job fail.
                crashed = found['failure']['cause'] == 'crashed' and found['attempt'] >= 3
                self.assertTrue(found['failure']['cause'] in kind.causes or crashed, note)
                self.assertTrue(found['failure']['detail'], note)
            else:
                self.assertTrue(job in self.cancelled or found['batch'] in self.batches, note)
        return state

    def reap(self):
        for job in [job for job in self.live if self.endings(job) >= self.finals[job]]:
            self.ended[job] = self.account(job)
            del self.live[job]
            self.paused.discard(job)
        oldest = min(self.live.values(), default=time.monotonic())
        if time.monotonic() - oldest > 120 * PATIENCE:
            stuck = min(self.live, key=self.live.get)
            self.fail('%s: a job does not end: %s\n%s\n%s' % (self.note, json.dumps(self.job(stuck))[:1500], self.heard.get(stuck), self.daemon.log[-1500:]))
        self.assertIsNone(self.deaf, '%s: the stream of events broke' % self.note)

    def resume(self, all_of_them=False):
        for job in list(self.paused):
            if all_of_them or self.dice.random() < 0.3:
                self.assertIn(self.daemon.post('/v1/jobs/%s/resume' % job).status, (200, 409), self.note)
                self.paused.discard(job)

    def groups_of_children(self):
        with open('/proc/%d/cgroup' % self.daemon.pid) as lines:
            around_everything = set(re.findall('weir-[0-9a-z]{16}', lines.read()))
        for pid in descendants(self.daemon.pid):
            try:
                with open('/proc/%d/cgroup' % pid) as lines:
                    self.groups.update(set(re.findall('weir-[0-9a-z]{16}', lines.read())) - around_everything)
            except OSError:
                pass

    def work(self, until):
        step, tick = max(50, (JOBS if LONG else until) // 20), 0
        told, began, before = self.number // step, time.monotonic(), self.number
        while self.number < until:
            tick += 1
            if len(self.live) < AT_ONCE:
                if self.dice.random() < 0.06:
                    self.one_batch()
                else:
                    self.one_job()
                if self.dice.random() < 0.7:
                    self.disturb()
            else:
                time.sleep(0.02)
            if tick % 5 == 0:
                self.resume()
                self.turn_readers()
                self.groups_of_children()
            self.reap()
            if self.number // step > told:
                told = self.number // step
                print('soak: %d of %d jobs, %.1f a second; %d handles, %.2f MiB anonymous at work' % (
                    self.number, JOBS, (self.number - before) / (time.monotonic() - began), len(self.handles()), self.pss('Pss_Anon') / 2**20), flush=True)

    # --- at rest ---

    def pss(self, key='Pss'):
        with open('/proc/%d/smaps_rollup' % self.daemon.pid) as rollup:
            return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith(key + ':'))

    def handles(self):
        """What the daemon has open; the numbers of sockets and pipes are of no interest."""
        found, folder = [], '/proc/%d/fd' % self.daemon.pid
        for fd in os.listdir(folder):
            try:
                found.append(re.sub(r'\[\d+\]$', '', os.readlink(os.path.join(folder, fd))))
            except FileNotFoundError:
                pass
        return sorted(found)

    def rest(self):
        """Waits until nothing happens, and tells what there is."""
        self.resume(all_of_them=True)
        self.turn_readers(close=True)
        end = time.monotonic() + 180 * PATIENCE
        while self.live and time.monotonic() < end:
            self.reap()
            self.resume(all_of_them=True)
            time.sleep(0.02)
        self.assertFalse(self.live, '%s: %d jobs do not end' % (self.note, len(self.live)))
        for batch in self.batches:   # their jobs have ended, or were deleted with all the others of it
            reply = self.daemon.get('/v1/batches/' + batch)
            self.assertTrue(reply.status == 404 or reply.json['ended'], '%s\n%s' % (self.note, reply))

        # Jobs that have just ended take their child and their folder along a moment later.
        self.assertTrue(wait_until(lambda: not descendants(self.daemon.pid), 5 * PATIENCE), '%s: alive at rest: %s' % (self.note, descendants(self.daemon.pid)))
        quiet = lambda: self.daemon.get('/v1/system').json['requests']['connections'] <= 2
        self.assertTrue(wait_until(quiet, 10 * PATIENCE, 0.1), '%s: connections stay: %s' % (self.note, self.daemon.get('/v1/system').json['requests']))
        self.assertEqual(self.daemon.post('/api/diagnostics/resources/cleanup').status, 200, self.note)
        time.sleep(0.5)
        # A thread may be just at it: the least of some looks.
        looks = []
        for _ in range(5):
            looks.append((self.pss(), self.pss('Pss_Anon'), len(os.listdir('/proc/%d/task' % self.daemon.pid))))
            time.sleep(0.1)
        others = {pid: what for pid, what in processes_of(self.dir).items() if pid != self.daemon.pid}
        self.assertEqual(others, {}, '%s: processes outside of the tree' % self.note)
        stay = self.groups & {os.path.basename(group) for group in cgroup_folders()}
        self.assertEqual(stay, set(), '%s: groups of children that are gone' % self.note)
        self.assertEqual(work_folders(self.dir), [], self.note)
        self.assertEqual(records_of(self.state), [], self.note)

        outputs = {os.path.basename(self.asked[job][1]) for job, state in self.states().items() if state == 'succeeded' and self.asked[job][1]}
        self.assertEqual(set(os.listdir(os.path.join(self.media, 'out'))), outputs, '%s: outputs' % self.note)
        kept = {job for job, state in self.ended.items() if state == 'succeeded' and not self.asked[job][1]}
        self.assertEqual(set(os.listdir(os.path.join(self.data, 'artifacts'))), kept, '%s: folders of artefacts' % self.note)
        return {'pss': min(look[0] for look in looks), 'anonymous': min(look[1] for look in looks), 'threads': min(look[2] for look in looks),
                'handles': self.handles(), 'folders': self.folders()}

    def states(self):
        """The last state of every job, of deleted ones too."""
        return {job: next(state for state in reversed(self.heard[job]) if state in FINAL) for job in self.asked}

    def folders(self):
        """All that is below the test's folder but outputs and artefacts, which are accounted for one by one."""
        found = []
        for path, folders, files in os.walk(self.dir):
            if path == os.path.join(self.media, 'out') or path.startswith(os.path.join(self.data, 'artifacts')):
                folders[:] = []
                continue
            found += [os.path.relpath(os.path.join(path, name), self.dir) for name in folders + files]
        return sorted(found)

    def test_many_jobs(self):
        self.serve('--connections', '64', memory='600M' if PATIENCE > 1 else None)
        self.listen()
        began = time.monotonic()
        self.fill()
        self.work(WARM_UP)
        self.read_all()
        warm = self.rest()
        print('soak: warm after %d jobs, %.0f s: %.2f MiB PSS, %.2f anonymous, %d handles, %d threads' % (
            self.number, time.monotonic() - began, warm['pss'] / 2**20, warm['anonymous'] / 2**20, len(warm['handles']), warm['threads']), flush=True)
        self.work(JOBS)
        after = self.rest()
        states = {}
        for state in self.states().values():
            states[state] = states.get(state, 0) + 1
        print('soak: %s, %d jobs in %.0f s, %s, %d deleted; PSS %.2f -> %.2f MiB, anonymous %.2f -> %.2f, %d handles, %d threads; %d groups were seen' % (
            self.note, self.number, time.monotonic() - began, states, len(self.deleted), warm['pss'] / 2**20, after['pss'] / 2**20,
            warm['anonymous'] / 2**20, after['anonymous'] / 2**20, len(after['handles']), after['threads'], len(self.groups)), flush=True)

        for job, times in self.finals.items():
            self.assertEqual(self.endings(job), times, '%s: job %s: %s' % (self.note, job, self.heard[job]))
        for job in self.fillers:
            self.assertEqual(self.endings(job), 1, '%s: job %s: %s' % (self.note, job, self.heard.get(job)))
        self.assertEqual(set(self.heard), set(self.asked) | self.fillers, '%s: jobs that nobody asked for' % self.note)
        self.assertEqual(sorted(job['id'] for job in self.listed()), sorted([*self.ended, *self.fillers]), '%s: what is listed is what was not deleted' % self.note)
        if not QUICK:
            self.assertEqual(set(states), set(FINAL), self.note)
            self.assertEqual(set(self.counts), set(KINDS), self.note)

        self.assertEqual(after['handles'], warm['handles'], '%s: handles' % self.note)
        self.assertEqual(after['threads'], warm['threads'], '%s: threads' % self.note)
        self.assertEqual(after['folders'], warm['folders'], '%s: folders and files' % self.note)
        if PATIENCE == 1:   # a sanitizer keeps what was freed
            self.assertLess(after['anonymous'] - warm['anonymous'], GROWTH, '%s: %s' % (self.note, {key: (warm[key], after[key]) for key in ('pss', 'anonymous')}))
