"""Server-sent events: of one job from beginning to end, replayed, of all jobs, and with readers that misbehave."""
import re
import socket
import struct
import threading
import time

from daemon_harness import DaemonCase, FINAL, memory_of
from harness import PATIENCE, QUICK, slow, wait_until

COURSE = ['queued', 'running', 'verifying', 'publishing', 'succeeded']


def states_of(events):
    return [event['data']['state'] for event in events if event['event'] == 'state']


def ids_of(events):
    return [event['id'] for event in events if event['id'] is not None]


class OneJob(DaemonCase):
    slots = 1

    def grow(self, events):
        ids = ids_of(events)
        self.assertEqual(ids, sorted(set(ids)), 'ids do not grow')

    def test_from_beginning_to_end(self):
        self.serve(scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        events = list(self.daemon.events('/v1/jobs/%s/events' % job))
        self.grow(events)
        self.assertEqual(states_of(events), COURSE)
        for event in events:
            self.assertEqual(event['data']['job'], job)
            self.assertEqual(event['id'] is None, event['event'] == 'progress', event)
            self.assertIn(event['event'], ('state', 'progress', 'note', 'decision'))
        for event in events:
            if event['event'] == 'state':
                self.assertRegex(event['data']['time'], r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
                self.assertEqual(event['data']['attempt'], 0 if event['data']['state'] == 'queued' else 1)
        progress = [event['data'] for event in events if event['event'] == 'progress']
        self.assertGreaterEqual(len(progress), 2)
        frames = [p['progress']['frame'] for p in progress]
        self.assertEqual(frames, sorted(frames))
        for p in progress:
            self.assertTrue(0 <= p['progress']['ratio'] <= 1, p)
        at = [n for n, event in enumerate(events) if event['event'] == 'progress']
        running = next(n for n, event in enumerate(events) if event['data']['state'] == 'running')
        self.assertGreater(at[0], running)
        # The same again, later: without what was never stored.
        again = list(self.daemon.events('/v1/jobs/%s/events' % job))
        self.assertEqual(again, [event for event in events if event['id'] is not None])
        for after in ids_of(again):
            replayed = list(self.daemon.events('/v1/jobs/%s/events' % job, headers={'Last-Event-ID': str(after)}))
            self.assertEqual(replayed, [event for event in again if event['id'] > after])
            self.assertEqual(list(self.daemon.events('/v1/jobs/%s/events?after=%d' % (job, after))), replayed)
        for bad in ('x', '-1', '1.5', '99999999999999999999', ''):
            self.problem(self.daemon.get('/v1/jobs/%s/events' % job, headers={'Last-Event-ID': bad}), 400, 'bad-parameters')
        self.problem(self.daemon.get('/v1/jobs/nonesuch/events'), 404, 'not-found')

    def test_pause_cancel_and_retry_are_told(self):
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('plain'))['id']
        heard = []
        listener = threading.Thread(target=lambda: heard.extend(self.daemon.events('/v1/jobs/%s/events' % job)))
        listener.start()
        self.at_work(job)
        self.act(job, 'pause')
        self.act(job, 'resume')
        self.act(job, 'cancel')
        listener.join(10 * PATIENCE)
        self.assertFalse(listener.is_alive(), 'the stream did not end with the job')
        self.grow(heard)
        told = [(e['data']['state'], e['data']['paused']) for e in heard if e['event'] == 'state']
        self.assertEqual(told, [('queued', False), ('running', False), ('running', True), ('running', False), ('cancelled', False)])
        self.play('pass')
        self.act(job, 'retry')
        rest = list(self.daemon.events('/v1/jobs/%s/events' % job, headers={'Last-Event-ID': str(ids_of(heard)[-1])}))
        self.assertEqual(states_of(rest), ['queued', *COURSE[1:]])

    @slow
    def test_progress_is_not_a_flood(self):
        """The child reports ten times a second."""
        self.serve(scenario='slow-eat 1')
        job = self.submit(self.clip('tour'))['id']
        times = []
        begun = None
        for event in self.daemon.events('/v1/jobs/%s/events' % job):
            if event['event'] == 'progress':
                begun = begun or time.monotonic()
                times.append(time.monotonic())
                if times[-1] - begun > 3:
                    break
        self.act(job, 'cancel')
        self.assertGreaterEqual(len(times), 4)
        self.assertLessEqual(len(times) / (times[-1] - times[0]), 5, 'progress came %d times in %.1f s' % (len(times), times[-1] - times[0]))


class All(DaemonCase):
    def test_all_jobs(self):
        self.serve(slots=2)
        name = self.clip('one_frame')
        heard = []
        enough = threading.Event()

        def listen():
            for event in self.daemon.events('/v1/events'):
                heard.append(event)
                if sum(e['data']['state'] in FINAL for e in heard) == 4:
                    enough.set()
                    return
        listener = threading.Thread(target=listen)
        listener.start()
        jobs = [self.submit(name)['id'] for _ in range(4)]
        self.assertTrue(enough.wait(30 * PATIENCE), heard)
        listener.join()
        ids = ids_of(heard)
        self.assertEqual(len(ids), len(heard))
        self.assertEqual(ids, sorted(set(ids)))
        for job in jobs:
            self.assertEqual([e['data']['state'] for e in heard if e['data']['job'] == job and e['event'] == 'state'], COURSE)
        # From the middle.
        stream = self.daemon.events('/v1/events', headers={'Last-Event-ID': str(ids[9])})
        replayed = [next(stream) for _ in ids[10:]]
        stream.close()
        self.assertEqual(replayed, heard[10:])

    def test_only_what_comes_next(self):
        daemon = self.serve(slots=1)
        name = self.clip('one_frame')
        before = self.ends(self.submit(name)['id'])['id']
        heard = []

        def listen():
            for event in daemon.events('/v1/events?after=now'):
                heard.append(event)
                if event['data']['state'] in FINAL:
                    return
        listener = threading.Thread(target=listen)
        listener.start()
        self.assertTrue(wait_until(lambda: daemon.get('/v1/system').json['requests']['in_flight'] == 2, 10 * PATIENCE))
        job = self.submit(name)['id']
        listener.join(30 * PATIENCE)
        self.assertFalse(listener.is_alive(), heard)
        self.assertEqual([(event['data']['job'], event['data']['state']) for event in heard if event['event'] == 'state'], [(job, state) for state in COURSE])
        # Who comes again goes on where it was, however it began.
        stream = daemon.events('/v1/events?after=now', headers={'Last-Event-ID': str(heard[0]['id'])})
        self.assertEqual([next(stream) for _ in heard[1:]], heard[1:])
        stream.close()
        self.assertEqual(list(daemon.events('/v1/jobs/%s/events?after=now' % before)), [])
        self.assertEqual(states_of(daemon.events('/v1/jobs/%s/events' % before)), COURSE)
        for path in ('/v1/events?after=then', '/v1/events?after=NOW', '/v1/events?after=', '/v1/jobs/%s/events?after=-1' % before):
            self.problem(daemon.get(path), 400, 'bad-parameters', ['now'])

    def test_head(self):
        self.serve()
        reply = self.daemon.call('HEAD', '/v1/events', timeout=5)
        self.assertEqual((reply.status, reply.body), (200, b''))
        self.assertTrue(wait_until(lambda: self.daemon.get('/v1/system').json['requests']['connections'] <= 1, 5 * PATIENCE), 'a stream for nobody')

    def test_silent_stream_ends_with_the_daemon(self):
        self.serve()
        ended = threading.Event()

        def listen():
            try:
                list(self.daemon.events('/v1/events'))
            except (OSError, ValueError):
                pass
            ended.set()
        threading.Thread(target=listen).start()
        self.assertTrue(wait_until(lambda: self.daemon.get('/v1/system').json['requests']['in_flight'] == 2, 10 * PATIENCE))
        self.daemon.tell()
        self.assertEqual(self.daemon.ended(), 0)
        self.assertTrue(ended.wait(5 * PATIENCE))

    def test_many_readers(self):
        count = 25 if QUICK else 100
        self.serve(slots=1, scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        heard = [None] * count

        def listen(number):
            heard[number] = list(self.daemon.events('/v1/jobs/%s/events' % job, timeout=60))
        threads = [threading.Thread(target=listen, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for events in heard:
            self.assertIsNotNone(events)
            self.assertEqual(states_of(events), COURSE)
            self.assertEqual(ids_of(events), ids_of(heard[0]))
        self.assertTrue(wait_until(lambda: self.daemon.get('/v1/system').json['requests']['connections'] <= 1, 5 * PATIENCE))


class Readers(DaemonCase):
    def open_stream(self, path, receive_buffer=None):
        raw = self.daemon.connect(receive_buffer=receive_buffer)
        raw.sendall(b'GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n' % path.encode())
        return raw

    @slow
    def test_one_that_stops_reading(self):
        """It costs nothing but its socket: others are served, memory stays, and when it reads again nothing is missing."""
        daemon = self.serve(slots=1, scenario='obey-term')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        sleepers = [self.open_stream('/v1/events?after=0', 4096) for _ in range(20)]
        before = memory_of(daemon.pid)
        largest = 0.0
        for number in range(1500):
            begun = time.monotonic()
            reply = daemon.call('PATCH', '/v1/jobs/' + job, {'labels': {'n': str(number), 'long': 'x' * 200}})
            self.assertEqual(reply.status, 200)
            largest = max(largest, time.monotonic() - begun)
        self.assertLess(largest, 2 * PATIENCE, 'a request waited')
        if PATIENCE == 1:
            self.assertLess(memory_of(daemon.pid) - before, 16 << 20)
        text = b''
        sleepers[0].settimeout(3)
        try:
            while True:
                piece = sleepers[0].recv(1 << 16)
                if not piece:
                    break
                text += piece
        except socket.timeout:
            pass
        ids = [int(n) for n in re.findall(rb'^id: (\d+)', text, re.MULTILINE)]
        self.assertEqual(ids, sorted(set(ids)))
        stored = []
        stream = daemon.events('/v1/events?after=0', timeout=2)
        try:
            for event in stream:
                stored.append(event['id'])
        except OSError:
            pass
        # Notes may be trimmed while somebody sleeps; what is stored must have come, to the last.
        self.assertEqual(ids[-1], stored[-1])
        self.assertLessEqual(set(stored) - set(ids), set())
        for sleeper in sleepers:
            sleeper.close()
        self.act(job, 'cancel')

    def test_those_that_go_away(self):
        daemon = self.serve(slots=1, scenario='obey-term')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        for path in ('/v1/events', '/v1/jobs/%s/events' % job):
            for how in ('close', 'reset', 'half'):
                readers = [self.open_stream(path) for _ in range(10)]
                self.assertTrue(wait_until(lambda: daemon.get('/v1/system').json['requests']['connections'] >= 11, 5 * PATIENCE))
                for reader in readers:
                    if how == 'reset':
                        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                    if how == 'half':
                        reader.shutdown(socket.SHUT_WR)
                    else:
                        reader.close()
                gone = wait_until(lambda: daemon.get('/v1/system').json['requests']['connections'] <= 1, 5 * PATIENCE)
                for reader in readers:
                    reader.close()
                self.assertTrue(gone, '%s %s: %s' % (path, how, daemon.get('/v1/system').json['requests']))
        self.act(job, 'cancel')

    @slow
    def test_a_request_behind_a_stream(self):
        """Streams end their connection; what comes after the request is not answered, and harms nobody."""
        daemon = self.serve()
        raw = self.open_stream('/v1/events')
        raw.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n' * 10)
        time.sleep(0.3)
        self.assertEqual(daemon.get('/healthz').json, {'status': 'alive'})
        raw.close()
