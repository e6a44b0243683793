"""The life of a job over HTTP: what is accepted, what comes of it, and what every call does in every state."""
import hashlib
import math
import os
import random
import socket
import sqlite3
import struct
import threading
import time
from fractions import Fraction

import clips
import media
from daemon_harness import DaemonCase, FINAL, needs_configuration
from harness import PATIENCE, QUICK, digest, slow, wait_until


class Results(DaemonCase):
    def test_artefact(self):
        daemon = self.serve()
        reply = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.clip('plain')], 'labels': {'a': 'b'}, 'owner': 'me', 'priority': 70})
        self.assertEqual(reply.status, 202, '\n%s' % reply)
        job = reply.json
        self.assertEqual(reply.headers['location'], '/v1/jobs/' + job['id'])
        for key in ('id', 'recipe', 'state', 'paused', 'attempt', 'priority', 'owner', 'labels', 'created', 'updated', 'started', 'ended', 'inputs',
                    'outputs', 'params', 'progress', 'waiting_for', 'position', 'plan', 'memory', 'failure', 'artifacts'):
            self.assertIn(key, job)
        self.assertEqual((job['recipe'], job['priority'], job['owner'], job['labels'], job['inputs'], job['outputs'], job['artifacts']),
                         ('crop', 70, 'me', {'a': 'b'}, ['plain.mp4'], [], []))
        self.assertEqual(daemon.get('/v1/jobs/%s/artifacts' % job['id']).json, {'artifacts': []})
        self.problem(daemon.get('/v1/jobs/%s/artifacts/crop.mp4' % job['id']), 404, 'not-found')
        job = self.ends(job['id'])
        self.assertEqual((job['attempt'], job['failure'], job['progress'], len(job['artifacts'])), (1, None, None, 1))
        self.assertLessEqual(job['created'], job['started'])
        self.assertLess(job['started'], job['ended'])
        self.assertGreaterEqual(job['memory']['lease_bytes'], job['memory']['measured_peak_bytes'])
        self.assertGreater(job['memory']['measured_peak_bytes'], 1 << 20)
        artefact = job['artifacts'][0]
        self.assertEqual(daemon.get('/v1/jobs/%s/artifacts' % job['id']).json, {'artifacts': [artefact]})
        path = self.artefact(job)
        self.assertEqual(os.path.getsize(path), artefact['size_bytes'])
        self.assertEqual(artefact['sha256'], digest(path))
        self.assertEqual(artefact['type'], daemon.call('HEAD', artefact['url']).headers['content-type'])
        self.assert_plays(path, 60)
        frame = media.frames(path)[0]
        self.assertEqual((frame.width, frame.height), (202, 360))
        self.assertEqual(media.chart_errors(frame, media.crop_window(640, 360, Fraction(9, 16))), [])
        self.assertEqual(media.channel_levels(path) != [], True)
        log = daemon.get('/v1/jobs/%s/log' % job['id']).json['lines']
        self.assertEqual([line['text'] for line in log if line['type'] == 'state'], ['queued', 'running', 'verifying', 'publishing', 'succeeded'])
        self.assertEqual([line['type'] for line in log if line['type'] != 'state'], ['decision'])
        self.parts_of(artefact['url'])
        self.assertEqual(self.act(job['id'], 'delete', 204), None)
        self.problem(daemon.get('/v1/jobs/' + job['id']), 404, 'not-found')
        self.problem(daemon.get(artefact['url']), 404, 'not-found')
        self.problem(daemon.get('/v1/jobs/%s/log' % job['id']), 404, 'not-found')
        self.problem(daemon.get('/v1/jobs/%s/events' % job['id']), 404, 'not-found')
        self.act(job['id'], 'delete', 404)
        self.assertEqual(os.listdir(os.path.join(self.data, 'artifacts')), [])

    def parts_of(self, url):
        daemon = self.daemon
        full = daemon.get(url)
        whole = full.body
        self.assertEqual((full.status, full.body, full.headers['content-type'], full.headers['accept-ranges']), (200, whole, 'video/mp4', 'bytes'))
        etag = full.headers['etag']
        self.assertEqual(etag, '"%s"' % hashlib.sha256(whole).hexdigest())
        head = daemon.call('HEAD', url)
        self.assertEqual((head.status, head.body, head.headers['content-length'], head.headers['etag']), (200, b'', str(len(whole)), etag))
        size = len(whole)
        for asked, first, last in (('bytes=0-0', 0, 0), ('bytes=100-299', 100, 299), ('bytes=-7', size - 7, size - 1),
                                   ('bytes=%d-' % (size - 3), size - 3, size - 1), ('bytes=5-%d' % (size * 2), 5, size - 1)):
            part = daemon.get(url, headers={'Range': asked})
            self.assertEqual((part.status, part.body, part.headers.get('content-range')), (206, whole[first:last + 1], 'bytes %d-%d/%d' % (first, last, size)), asked)
        beyond = daemon.get(url, headers={'Range': 'bytes=%d-' % size})
        self.problem(beyond, 416)
        self.assertEqual(beyond.headers['content-range'], 'bytes */%d' % size)
        same = daemon.get(url, headers={'If-None-Match': etag})
        self.assertEqual((same.status, same.body), (304, b''))
        self.assertEqual(daemon.get(url, headers={'If-None-Match': '"other"'}).status, 200)
        self.assertEqual(daemon.get(url, headers={'Range': 'bytes=1-2', 'If-Range': '"other"'}).body, whole)
        self.assertEqual(daemon.get(url, headers={'Range': 'bytes=1-2', 'If-Range': etag}).body, whole[1:3])
        self.problem(daemon.get(url + 'x'), 404, 'not-found')
        self.problem(daemon.post(url, {}), 405, 'method-not-allowed')

    def test_output_that_was_named(self):
        daemon = self.serve()
        name = self.clip('one_frame')
        job = self.ends(self.submit(name, outputs=['out/new.mp4'])['id'])
        self.assertEqual(job['outputs'], ['out/new.mp4'])
        self.assertEqual((job['artifacts'][0]['path'], job['artifacts'][0]['type']), ('out/new.mp4', 'video/mp4'))
        made = os.path.join(self.media, 'out', 'new.mp4')
        self.assertEqual(job['artifacts'][0]['sha256'], digest(made))
        self.assert_plays(made, 1)
        before = digest(made)
        body = {'recipe': 'crop', 'inputs': [name], 'outputs': ['out/new.mp4']}
        self.problem(daemon.post('/v1/jobs', body), 409, 'output-exists', ['new.mp4'])
        self.assertEqual(digest(made), before)
        inode = os.stat(made).st_ino
        self.ends(self.submit(name, outputs=['out/new.mp4'], overwrite=True, params={'crf': 40})['id'])
        self.assertNotEqual((os.stat(made).st_ino, digest(made)), (inode, before))
        self.problem(daemon.post('/v1/jobs', {**body, 'outputs': ['none/new.mp4']}), 422, 'output-folder', ['none'])
        self.problem(daemon.post('/v1/jobs', {**body, 'outputs': [name], 'overwrite': True}), 409, 'output-is-input')
        self.problem(daemon.post('/v1/jobs', {**body, 'outputs': ['out/new.exe']}), 400, 'output-format', ['exe'])
        absolute = self.ends(self.submit(os.path.join(self.media, name), outputs=[os.path.join(self.media, 'out', 'absolute.mp4')])['id'])
        self.assert_plays(os.path.join(self.media, 'out', 'absolute.mp4'), 1)
        self.assertEqual(absolute['artifacts'][0]['path'], os.path.join(self.media, 'out', 'absolute.mp4'))
        # A name that is taken between acceptance and publishing is not overwritten.
        self.assertEqual(sorted(os.listdir(os.path.join(self.media, 'out'))), ['absolute.mp4', 'new.mp4'])
        # Removing a job leaves what its caller named.
        self.act(job['id'], 'delete', 204)
        self.assertTrue(os.path.exists(made))

    @slow
    def test_name_that_is_taken_meanwhile(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('plain'), outputs=['out/taken.mp4'])
        self.at_work(job['id'])
        with open(os.path.join(self.media, 'out', 'taken.mp4'), 'w') as file:
            file.write('precious')
        failed = self.ends(job['id'], 'failed')
        self.assertEqual((failed['failure']['type'], failed['attempt']), ('output-exists', 1))
        with open(os.path.join(self.media, 'out', 'taken.mp4')) as file:
            self.assertEqual(file.read(), 'precious')

    def test_two_jobs_for_one_name(self):
        """Both are accepted while the name is free; the second is refused at the end, and the first's work stays."""
        self.serve(slots=1)
        name = self.clip('one_frame')
        first = self.submit(name, outputs=['out/one.mp4'])['id']
        second = self.submit(name, outputs=['out/one.mp4'], params={'crf': 40})['id']
        self.ends(first)
        made = digest(os.path.join(self.media, 'out', 'one.mp4'))
        failed = self.ends(second, 'failed')
        self.assertEqual((failed['failure']['type'], failed['failure']['cause'], failed['artifacts']), ('output-exists', 'bad_parameters', []))
        self.assertEqual(digest(os.path.join(self.media, 'out', 'one.mp4')), made)

    @slow
    def test_every_recipe(self):
        daemon = self.serve()
        recipes = daemon.get('/v1/recipes').json['recipes']
        names = [recipe['name'] for recipe in recipes]
        self.assertIn('crop', names)
        name = self.clip('plain')
        params = {'trim': {'from': 0, 'to': 1}}
        for recipe in names:
            with self.subTest(recipe):
                self.assertEqual(daemon.get('/v1/recipes/' + recipe).json['name'], recipe)
                job = self.submit(name, recipe=recipe, params=params.get(recipe, {}))
                job = self.ends(job['id'])
                self.assertIsNone(media.decodes(self.artefact(job)))
                artefact = job['artifacts'][0]
                self.assertEqual(artefact['type'], daemon.call('HEAD', artefact['url']).headers['content-type'])
        self.problem(daemon.get('/v1/recipes/crap'), 404, 'not-found', ['crop'])

    def test_wait(self):
        self.serve(scenario='pass', slots=1)
        name = self.clip('one_frame')
        reply = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name]}, headers={'Prefer': 'wait=30'})
        self.assertEqual((reply.status, reply.json['state']), (200, 'succeeded'), '\n%s' % reply)
        self.play('obey-term')
        begun = time.monotonic()
        reply = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.clip('plain')]}, headers={'Prefer': 'respond-async, wait=1'})
        took = time.monotonic() - begun
        self.assertEqual(reply.status, 202, '\n%s' % reply)
        self.assertTrue(0.9 < took < 5 * PATIENCE, took)
        job = reply.json['id']
        heard = []
        watcher = threading.Thread(target=lambda: heard.append(self.daemon.get('/v1/jobs/' + job, headers={'Prefer': 'wait=60'}, timeout=90).json['state']))
        watcher.start()
        self.at_work(job)
        self.assertEqual(heard, [])
        self.act(job, 'cancel')
        watcher.join(10 * PATIENCE)
        self.assertEqual(heard, ['cancelled'])

    @slow
    def test_those_who_go_away_while_they_wait(self):
        self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        for _ in range(50):
            raw = self.daemon.connect()
            raw.sendall(b'GET /v1/jobs/%s HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=600\r\n\r\n' % job.encode())
            # Not merely closed, which may mean that the other side only sends no more: gone.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            raw.close()
        gone = wait_until(lambda: self.daemon.get('/v1/system').json['requests']['connections'] <= 2, 20 * PATIENCE)
        self.assertTrue(gone, self.daemon.get('/v1/system').json['requests'])
        self.act(job, 'cancel')

    def test_what_is_known_while_it_works(self):
        daemon = self.serve(scenario='slow-real', slots=1)
        name = self.clip('plain')
        ways = {way['name']: way for way in daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [name]}).json['ladder']}
        accepted = self.submit(name)
        self.assertEqual((accepted['plan'], accepted['memory']), (None, None))
        working = self.at_work(accepted['id'])
        way = ways[working['plan']['name']]
        self.assertEqual(working['plan']['forecast_frames'], way['forecast_frames'])
        self.assertGreaterEqual(working['memory']['lease_bytes'], way['lease_bytes'])
        listed = daemon.get('/v1/jobs').json['jobs'][0]
        self.assertEqual((listed['plan'], listed['memory']['lease_bytes']), (working['plan'], working['memory']['lease_bytes']))
        measured = wait_until(lambda: (self.job(accepted['id'])['memory'] or {}).get('measured_peak_bytes', 0) > 1 << 20, 5 * PATIENCE)
        self.assertTrue(measured, self.job(accepted['id'])['memory'])
        job = self.ends(accepted['id'])
        self.assertEqual((job['plan']['name'], job['plan']['lease_bytes']), (way['name'], way['lease_bytes']))
        self.assertEqual(set(job['memory']), {'forecast_peak_bytes', 'prior_peak_bytes', 'lease_bytes', 'measured_peak_bytes'})

    def test_memory_over_time(self):
        daemon = self.serve(scenario='slow-real', slots=1)
        name = self.clip('plain')
        job = self.submit(name)['id']
        behind = self.submit(name)['id']
        read = lambda job: daemon.get('/v1/jobs/%s/memory' % job).json
        self.assertEqual(read(behind), {'attempt': 0, 'samples': []})
        self.at_work(job)
        self.assertTrue(wait_until(lambda: read(job)['samples'], 5 * PATIENCE), read(job))
        self.act(behind, 'cancel')
        lease = self.ends(job)['memory']
        timeline = read(job)
        self.assertEqual(timeline['attempt'], 1)
        seconds = [sample['seconds'] for sample in timeline['samples']]
        self.assertEqual(seconds, sorted(set(seconds)))
        self.assertGreater(max(sample['resident_bytes'] for sample in timeline['samples']), 1 << 20)
        for sample in timeline['samples']:
            self.assertLessEqual(sample['resident_bytes'], sample['lease_bytes'], timeline)
        self.assertIn(lease['lease_bytes'], {sample['lease_bytes'] for sample in timeline['samples']})
        self.problem(daemon.get('/v1/jobs/nonesuch/memory'), 404, 'not-found')

    def test_plan(self):
        daemon = self.serve()
        plan = daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [self.clip('plain')]})
        self.assertEqual(plan.status, 200, '\n%s' % plan)
        self.assertEqual(plan.json['chosen'], plan.json['ladder'][0]['name'])
        self.assertIsNone(plan.json['refusal'])
        self.assertEqual(plan.json['budget_bytes'], 600 << 20)
        self.assertEqual(daemon.get('/v1/jobs').json, {'jobs': [], 'next': None})
        self.problem(daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [self.clip('text')]}), 422, 'input-not-media')


class Keys(DaemonCase):
    def test_the_same_again(self):
        daemon = self.serve()
        name = self.clip('one_frame')
        headers = {'Idempotency-Key': 'a key'}
        first = self.submit(name, headers=headers)
        self.assertEqual(self.submit(name, headers=headers, expect=202)['id'], first['id'])
        self.ends(first['id'])
        again = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name]}, headers=headers)
        self.assertEqual((again.status, again.json['id'], again.json['attempt']), (200, first['id'], 1))
        other = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name], 'params': {'crf': 30}}, headers=headers)
        self.assertEqual(self.problem(other, 409, 'conflict', ['a key'])['job'], first['id'])
        self.problem(daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name], 'outputs': ['out/x.mp4']}, headers=headers), 409, 'conflict')
        # The same in other words is the same.
        same = daemon.post('/v1/jobs', b'{"params": {"crf": 23}, "inputs": ["%s"], "recipe": "crop"}' % name.encode(), headers=headers)
        self.assertEqual(same.json['id'], first['id'], '\n%s' % same)
        self.assertEqual(len(daemon.get('/v1/jobs').json['jobs']), 1)
        for bad in ('', 'x' * 256):
            self.problem(daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name]}, headers={'Idempotency-Key': bad}), 400, 'bad-parameters')
        # A key belongs to an owner.
        self.assertNotEqual(self.submit(name, headers=headers, owner='somebody else')['id'], first['id'])

    def test_twenty_at_once(self):
        daemon = self.serve()
        name = self.clip('one_frame')
        replies = []
        barrier = threading.Barrier(20)

        def post():
            barrier.wait()
            replies.append(daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name]}, headers={'Idempotency-Key': 'k'}))
        threads = [threading.Thread(target=post) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({reply.status for reply in replies} - {200, 202}, set(), '\n'.join(map(str, replies)))
        self.assertEqual(len({reply.json['id'] for reply in replies}), 1)
        self.assertEqual(len(daemon.get('/v1/jobs').json['jobs']), 1)
        job = self.ends(replies[0].json['id'])
        self.assertEqual(job['attempt'], 1)
        self.assertEqual(len(daemon.get('/v1/jobs/%s/log' % job['id']).json['lines']), 6)


class Lists(DaemonCase):
    def ids(self, query=''):
        reply = self.daemon.get('/v1/jobs' + query)
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        return [job['id'] for job in reply.json['jobs']]

    def test_filters(self):
        self.serve(slots=1, scenario='obey-term')
        name = self.clip('plain')
        first = self.submit(name, owner='ann', labels={'team': 'red', 'x': '1'})['id']
        self.at_work(first)
        second = self.submit(name, owner='bob', labels={'team': 'blue'})['id']
        third = self.submit(name, recipe='thumbnail', owner='ann', labels={'team': 'red', 'nämen': 'ü=1&2'})['id']
        self.assertEqual(self.ids(), [third, second, first])
        self.assertEqual(self.ids('?state=running'), [first])
        self.assertEqual(self.ids('?state=queued'), [third, second])
        self.assertEqual(self.ids('?state=succeeded'), [])
        self.assertEqual(self.ids('?owner=ann'), [third, first])
        self.assertEqual(self.ids('?recipe=thumbnail'), [third])
        self.assertEqual(self.ids('?label=team%3Dred'), [third, first])
        self.assertEqual(self.ids('?label=team=red&state=queued'), [third])
        self.assertEqual(self.ids('?label=n%C3%A4men=%C3%BC%3D1%262'), [third])
        self.assertEqual(self.ids('?owner=nobody'), [])
        waiting = self.job(second)
        self.assertEqual((waiting['waiting_for'], waiting['state']), ('slot', 'queued'))
        self.assertEqual(sorted(self.job(j)['position'] for j in (second, third)), [1, 2])
        self.act(second, 'pause')
        self.assertEqual([job['position'] for job in self.daemon.get('/v1/jobs').json['jobs']], [None] * 3, 'a place is found for one job, not for a page')
        self.act(second, 'resume')
        reply = self.daemon.call('PATCH', '/v1/jobs/' + second, {'labels': {'team': 'green'}})
        self.assertEqual((reply.status, reply.json['labels']), (200, {'team': 'green'}))
        self.assertEqual(self.ids('?label=team=blue'), [])
        self.assertEqual(self.ids('?label=team=green'), [second])
        for query, word in (('?stat=queued', 'state'), ('?state=done', 'done'), ('?state=runing', 'running'), ('?recipe=crap', 'crop'), ('?recipe=', 'thumbnail'),
                            ('?state=queued&state=running', 'twice'), ('?owner=ann&limit=5&owner=ann', 'twice'), ('?label=a=b&label=c=d', 'twice'),
                            ('?limit=0', 'limit'), ('?limit=1001', 'limit'), ('?limit=-1', 'limit'),
                            ('?cursor=x', 'cursor'), ('?cursor=-1', 'cursor'), ('?cursor=0', 'cursor'), ('?cursor=99999999999999999999', 'cursor'),
                            ('?label=x', 'name=value'), ('?label==x', 'name=value')):
            self.problem(self.daemon.get('/v1/jobs' + query), 400, 'bad-parameters', [word])
        for job in (third, second, first):
            self.act(job, 'cancel')
        self.assertEqual(self.ids('?state=cancelled'), [third, second, first])
        # Labels of a job that has ended can still be changed, its priority not.
        self.assertEqual(self.daemon.call('PATCH', '/v1/jobs/' + first, {'labels': {'late': 'yes'}}).json['labels'], {'late': 'yes'})
        self.problem(self.daemon.call('PATCH', '/v1/jobs/' + first, {'priority': 3}), 409, 'conflict')
        self.assertEqual(self.ids('?label=late=yes'), [first])

    def test_what_was_changed_is_what_is_read(self):
        """However fast one follows the other."""
        daemon = self.serve()
        job = self.ends(self.submit(self.clip('one_frame'))['id'])['id']
        for number in range(40 if QUICK else 200):
            self.assertEqual(daemon.call('PATCH', '/v1/jobs/' + job, {'labels': {'n': str(number)}}).status, 200)
            self.assertEqual(self.job(job)['labels'], {'n': str(number)})
            self.assertEqual(daemon.get('/v1/jobs').json['jobs'][0]['labels'], {'n': str(number)})

    def test_pages_while_jobs_come(self):
        """A page never shows a job twice, and none that was there at the beginning is left out."""
        daemon = self.serve(slots=1, scenario='obey-term')
        name = self.clip('plain')
        count = 12 if QUICK else 25
        before = [self.submit(name)['id'] for _ in range(count)]
        seen, cursor = [], ''
        while True:
            page = daemon.get('/v1/jobs?limit=4' + cursor).json
            seen += [job['id'] for job in page['jobs']]
            self.submit(name)
            if page['next'] is None:
                break
            cursor = '&cursor=' + page['next']
        self.assertEqual(len(seen), len(set(seen)))
        self.assertEqual(seen, before[::-1])
        for job in daemon.get('/v1/jobs?limit=1000').json['jobs'][::-1]:
            if job['state'] == 'queued':
                self.act(job['id'], 'cancel')
        for job in daemon.get('/v1/jobs?state=running').json['jobs']:
            self.act(job['id'], 'cancel')

    def test_priority_moves_a_job_ahead(self):
        self.serve(slots=1, scenario='obey-term')
        name = self.clip('one_frame')
        running = self.submit(self.clip('plain'))['id']
        self.at_work(running)
        jobs = [self.submit(name)['id'] for _ in range(3)]
        self.assertEqual([self.job(j)['position'] for j in jobs], [1, 2, 3])
        reply = self.daemon.call('PATCH', '/v1/jobs/' + jobs[2], {'priority': 90})
        self.assertEqual((reply.status, reply.json['priority']), (200, 90), '\n%s' % reply)
        self.assertEqual([self.job(j)['position'] for j in jobs], [2, 3, 1])
        for bad in (101, -1, 1.5, '7', True):
            self.problem(self.daemon.call('PATCH', '/v1/jobs/' + jobs[0], {'priority': bad}), 400, 'bad-parameters', ['priority'])
        self.problem(self.daemon.call('PATCH', '/v1/jobs/nonesuch', {'priority': 1}), 404, 'not-found')
        self.play('pass')
        self.act(running, 'cancel')
        ended = [self.ends(j) for j in jobs]
        self.assertEqual(sorted(range(3), key=lambda n: ended[n]['started']), [2, 0, 1])


class Calls(DaemonCase):
    """Every state times every call: 200, 204 or 409, and what is true afterwards."""
    slots = 1
    CALLS = ('cancel', 'pause', 'resume', 'retry', 'delete')

    def refuses(self, job, *calls):
        before = self.job(job)
        for call in calls:
            self.act(job, call, 409)
        after = self.job(job)
        self.assertEqual((after['state'], after['paused'], after['attempt']), (before['state'], before['paused'], before['attempt']))

    def test_unknown(self):
        self.serve()
        for call in self.CALLS:
            self.act('nonesuch', call, 404)
            self.act('x' * 300, call, 404)

    def test_queued(self):
        self.serve(scenario='obey-term')
        name = self.clip('plain')
        running = self.submit(name)['id']
        self.at_work(running)
        queued = self.submit(name)['id']
        self.refuses(queued, 'retry', 'delete')
        self.assertEqual(self.act(queued, 'resume')['state'], 'queued')
        paused = self.act(queued, 'pause')
        self.assertEqual((paused['state'], paused['paused']), ('queued', True))
        self.refuses(queued, 'retry', 'delete')
        self.assertTrue(self.act(queued, 'pause')['paused'])
        self.act(running, 'cancel')
        time.sleep(0.5)
        still = self.job(queued)
        self.assertEqual((still['state'], still['waiting_for']), ('queued', 'pause'), 'a paused job was started')
        self.assertFalse(self.act(queued, 'resume')['paused'])
        self.at_work(queued)
        behind = self.submit(name)['id']
        self.assertEqual(self.act(behind, 'cancel')['state'], 'cancelled')
        self.act(queued, 'cancel')
        paused = self.submit(name)['id']   # cancelled while paused, started or not
        self.act(paused, 'pause')
        self.assertEqual(self.act(paused, 'cancel')['state'], 'cancelled')

    def test_running(self):
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.refuses(job, 'retry', 'delete')
        self.assertEqual(self.act(job, 'resume')['state'], 'running')
        paused = self.act(job, 'pause')
        self.assertEqual((paused['state'], paused['paused']), ('running', True))
        self.refuses(job, 'retry', 'delete')
        self.assertTrue(self.act(job, 'pause')['paused'])
        self.assertFalse(self.act(job, 'resume')['paused'])
        cancelled = self.act(job, 'cancel')
        self.assertEqual(cancelled['state'], 'cancelled')
        self.assertEqual(self.daemon.workers(), {}, 'the child outlived the answer')
        self.refuses(job, 'pause', 'resume')
        self.assertEqual(self.act(job, 'cancel')['state'], 'cancelled')

    def test_verifying(self):
        self.serve('--ffprobe', self.fake('slow-real', 'ffprobe'), scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.play('hang', 'ffprobe')   # whoever looks at the output
        self.becomes(job, 'verifying')
        self.assertTrue(wait_until(self.daemon.workers, 5 * PATIENCE))
        self.refuses(job, 'retry', 'delete')
        self.assertEqual(self.act(job, 'resume')['state'], 'verifying')
        paused = self.act(job, 'pause')
        self.assertEqual((paused['state'], paused['paused']), ('verifying', True))
        self.refuses(job, 'retry', 'delete')
        self.assertFalse(self.act(job, 'resume')['paused'])
        self.assertEqual(self.daemon.call('PATCH', '/v1/jobs/' + job, {'labels': {'a': 'b'}, 'priority': 9}).status, 200)
        cancelled = self.act(job, 'cancel')
        self.assertEqual((cancelled['state'], cancelled['labels'], cancelled['priority'], cancelled['artifacts']), ('cancelled', {'a': 'b'}, 9, []))
        self.assertEqual(self.daemon.workers(), {}, 'the child outlived the answer')
        self.assertEqual(os.listdir(os.path.join(self.data, 'artifacts')), [])

    def publishing(self, call):
        """What is about to appear is first written down. The answer to a call that came while that waits."""
        self.serve(scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        holder = sqlite3.connect(os.path.join(self.data, 'jobs.db'), isolation_level=None)
        holder.execute('BEGIN IMMEDIATE')
        self.becomes(job, 'publishing')
        self.refuses(job, 'retry', 'delete')
        self.assertNotIn('crop.mp4', os.listdir(os.path.join(self.data, 'artifacts', job)))
        replies = []
        asking = threading.Thread(target=lambda: replies.append(self.daemon.post('/v1/jobs/%s/%s' % (job, call))))
        asking.start()
        in_time = wait_until(lambda: self.daemon.get('/v1/system').json['requests']['in_flight'] == 2, 5 * PATIENCE)
        holder.rollback()
        holder.close()
        asking.join(60 * PATIENCE)
        self.assertTrue(in_time and replies)
        self.assertEqual(replies[0].status, 200, '\n%s' % replies[0])
        return job, replies[0].json

    @slow
    def test_cancel_while_publishing(self):
        job, answer = self.publishing('cancel')
        self.assertEqual(answer['state'], 'cancelled')
        self.assertEqual(os.listdir(os.path.join(self.data, 'artifacts')), [])
        self.refuses(job, 'pause', 'resume')
        self.assertEqual(self.act(job, 'cancel')['state'], 'cancelled')

    @slow
    def test_pause_while_publishing(self):
        """Nothing is left that could stand still: it ends, or goes on when it is let."""
        job, _ = self.publishing('pause')
        self.assertIn(self.daemon.post('/v1/jobs/%s/resume' % job).status, (200, 409))
        done = self.ends(job)
        self.assertEqual((done['attempt'], done['paused']), (1, False))
        self.assert_plays(self.artefact(done), 60)

    def test_ended(self):
        self.serve()
        good, bad = self.clip('one_frame'), self.clip('text')
        succeeded = self.ends(self.submit(good)['id'])['id']
        self.refuses(succeeded, 'cancel', 'pause', 'resume', 'retry')
        failed = self.ends(self.submit(bad)['id'], 'failed')
        self.refuses(failed['id'], 'cancel', 'pause', 'resume')
        self.assertEqual(self.act(failed['id'], 'retry')['failure'], None)
        again = self.ends(failed['id'], 'failed')
        self.assertEqual(again['attempt'], failed['attempt'] + 1)
        self.act(failed['id'], 'delete', 204)
        self.act(succeeded, 'delete', 204)
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])

    def test_cancelled(self):
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.act(job, 'cancel')
        self.play('pass')
        retried = self.act(job, 'retry')
        self.assertIn(retried['state'], ('queued', 'running'))
        self.assertIsNone(retried['ended'])
        self.assertEqual(self.ends(job)['attempt'], 2)
        self.play('obey-term')
        other = self.submit('plain.mp4')['id']
        self.at_work(other)
        self.act(other, 'cancel')
        self.act(other, 'delete', 204)

    def test_retry_of_named_outputs(self):
        self.serve(scenario='signal 11')
        name = self.clip('one_frame')
        kept = self.ends(self.submit(name)['id'], 'failed')['id']
        named = self.ends(self.submit(name, outputs=['out/named.mkv'])['id'], 'failed')['id']
        self.play('pass')
        for job, wrong, right in ((kept, 'other.mp4', 'crop.mp4'), (named, 'crop.mp4', 'named.mkv')):
            retry = lambda body: self.daemon.post('/v1/jobs/%s/retry' % job, body)
            document = self.problem(retry({'outputs': [right, wrong]}), 422, 'bad-parameters', [wrong, right])
            self.assertEqual(document['output'], wrong)
            for body in ({'outputs': 'x'}, {'outputs': [1]}, {'output': [right]}):
                self.problem(retry(body), 400, 'bad-parameters', ['output'])
            self.problem(retry(b'{'), 400, 'malformed')
            self.assertEqual(self.job(job)['state'], 'failed')
            self.assertEqual(retry({'outputs': [right]}).status, 200)
            self.ends(job)
            self.problem(retry({'outputs': [right]}), 409, 'conflict')
        self.problem(self.daemon.post('/v1/jobs/nonesuch/retry', {'outputs': ['x']}), 404, 'not-found')

    @slow
    def test_twenty_calls_at_once(self):
        """Whatever comes first, a job ends once."""
        self.serve(scenario='slow-real')
        name = self.clip('plain')
        for _ in range(4):
            job = self.submit(name)['id']
            statuses = []
            barrier = threading.Barrier(20)

            def call(number):
                barrier.wait()
                time.sleep(0.01 * number)
                what = ('pause', 'resume', 'cancel', 'retry')[number % 4 if number < 12 else 2]
                statuses.append(self.daemon.post('/v1/jobs/%s/%s' % (job, what)).status)
            threads = [threading.Thread(target=call, args=(n,)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(set(statuses) - {200, 409}, set())
            wait_until(lambda: self.job(job)['state'] in FINAL, 10 * PATIENCE)
            if self.job(job)['state'] not in FINAL:
                self.act(job, 'cancel')
            self.assertIn(self.job(job)['state'], ('cancelled', 'succeeded'))



class Known(DaemonCase):
    """What a probe found is used again for the same content, and for no other."""

    def plan(self, name):
        return self.daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [name]})

    def test_a_file_is_probed_once_until_it_changes(self):
        self.serve('--ffprobe', self.fake('pass', 'ffprobe'), scenario='pass')
        name = self.clip('plain')
        path = os.path.join(self.media, name)
        time.sleep(2.1)   # a change within the same tick of the file system's clock would leave no trace
        before = self.plan(name)
        self.assertEqual(before.status, 200, '\n%s' % before)
        self.play('exit 1', 'ffprobe')
        again = self.plan(name)
        self.assertEqual(again.status, 200, 'it was probed again')
        self.assertEqual(again.json, before.json)
        # The same length and the same date, another byte.
        facts = os.stat(path)
        with open(path, 'r+b') as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        self.assertGreaterEqual(self.plan(name).status, 400)
        self.play('pass', 'ffprobe')
        self.assertEqual(self.plan(name).status, 200)
        # Changed a moment ago: not relied upon yet.
        self.play('exit 1', 'ffprobe')
        self.assertGreaterEqual(self.plan(name).status, 400)

class Stopping(DaemonCase):
    slots = 1

    def stubborn(self, scenario):
        self.serve(scenario=scenario, env=self.FAMILIES)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.assertTrue(self.daemon.workers())
        self.assertEqual(self.act(job, 'cancel')['state'], 'cancelled')
        self.assertEqual(self.daemon.workers(), {})
        self.assertEqual(self.daemon.get('/v1/system').json['memory']['leased_bytes'], 0)

    def test_cancel_ends_one_that_obeys(self):
        self.stubborn('obey-term')

    @slow
    def test_cancel_ends_one_that_does_not(self):
        self.stubborn('ignore-term')

    @slow
    def test_cancel_ends_a_family(self):
        self.stubborn('double-fork')

    def stopped(self):
        return bool(self.daemon.workers()) and all(state == 'T' for _, state in self.daemon.workers().values())

    def test_pause_stops_the_child(self):
        """What it keeps meanwhile, its memory and its slot, is what the answer says."""
        self.serve(scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        kept = self.act(job, 'pause')['memory']['lease_bytes']
        behind = self.submit('plain.mp4')['id']
        self.assertTrue(wait_until(self.stopped, 2 * PATIENCE), self.daemon.workers())
        before = self.job(job)['progress']
        time.sleep(1)
        self.assertTrue(self.stopped(), self.daemon.workers())
        self.assertEqual(self.job(job)['progress']['frame'], before['frame'])
        self.assertGreater(kept, 1 << 20)
        self.assertEqual((self.job(job)['memory']['lease_bytes'], self.job(job)['waiting_for']), (kept, None))
        system = self.daemon.get('/v1/system').json
        self.assertEqual([(child['job'], child['lease_bytes']) for child in system['running']], [(job, kept)])
        self.assertGreater(system['memory']['leased_bytes'], 0)
        waiting = self.job(behind)
        self.assertEqual((waiting['state'], waiting['waiting_for'], waiting['plan'], waiting['memory']), ('queued', 'slot', None, None))
        paused = self.act(behind, 'pause')
        self.assertEqual((paused['state'], paused['paused'], paused['memory']), ('queued', True, None), 'one that only waits has nothing to keep')
        self.act(behind, 'cancel')
        self.act(job, 'resume')
        self.assertEqual(self.ends(job)['attempt'], 1)

    @slow
    def test_pausing_over_and_over(self):
        """At any instant of a job's life, its probes and checks included."""
        self.serve(slots=2)
        jobs = [self.submit(self.clip('busy_small'))['id'] for _ in range(4)]
        dice = random.Random(7)
        end = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < end:
            open_jobs = [job for job in jobs if self.job(job)['state'] not in FINAL]
            if not open_jobs:
                break
            job = dice.choice(open_jobs)
            for what in ('pause', 'resume'):
                reply = self.daemon.post('/v1/jobs/%s/%s' % (job, what))
                self.assertIn(reply.status, (200, 409), '\n%s' % reply)
                time.sleep(dice.random() * 0.1)
        for job in jobs:
            self.assertEqual(self.ends(job)['attempt'], 1)

    def test_cancel_while_paused(self):
        self.serve(scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.act(job, 'pause')
        self.assertTrue(wait_until(self.stopped, 2 * PATIENCE), self.daemon.workers())
        self.act(job, 'cancel')
        self.assertEqual(self.daemon.workers(), {})

    @slow
    @needs_configuration
    def test_pause_outlives_the_stall_limit(self):
        self.serve('--stall-timeout', '2', scenario='slow-real')
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        self.act(job, 'pause')
        time.sleep(4)
        self.assertTrue(self.stopped(), self.daemon.workers())
        self.act(job, 'resume')
        self.assertEqual(self.ends(job)['attempt'], 1)

    @slow
    @needs_configuration
    def test_stalled(self):
        """The counterproof of the test above."""
        self.serve('--stall-timeout', '1', scenario='hang')
        failed = self.ends(self.submit(self.clip('plain'))['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['attempt']), ('stalled', 3))


class Limits(DaemonCase):
    slots = 1

    @needs_configuration
    def test_queue_is_full(self):
        daemon = self.serve('--most-queued', '3', scenario='obey-term')
        running = self.submit(self.clip('plain'))['id']
        self.at_work(running)
        jobs = [self.submit('plain.mp4')['id'] for _ in range(3)]
        reply = daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': ['plain.mp4']})
        document = self.problem(reply, 429, 'busy')
        self.assertEqual((document['waiting'], document['limit']), (3, 3))
        self.assertGreaterEqual(int(reply.headers['retry-after']), 1)
        self.act(jobs[0], 'cancel')
        self.submit('plain.mp4')
        for job in daemon.get('/v1/jobs').json['jobs']:
            if job['state'] not in FINAL:
                self.act(job['id'], 'cancel')
        # Twenty at once do not slip past the limit together.
        running = self.submit('plain.mp4')['id']
        self.at_work(running)
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': ['plain.mp4']}).status)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(statuses), [202] * 3 + [429] * 17)

    @needs_configuration
    def test_kept_for_a_time(self):
        daemon = self.serve('--keep-succeeded', '2', '--keep-failed', '3600')
        good, bad = self.ends(self.submit(self.clip('one_frame'))['id']), self.ends(self.submit(self.clip('text'))['id'], 'failed')
        named = self.ends(self.submit('one_frame.mp4', outputs=['out/kept.mp4'])['id'])
        daemon.post('/api/diagnostics/resources/cleanup')
        self.assertEqual(daemon.get('/v1/jobs/' + named['id']).status, 200)
        time.sleep(2.1)
        daemon.post('/api/diagnostics/resources/cleanup')
        gone = wait_until(lambda: daemon.get('/v1/jobs/' + named['id']).status == 404, 5 * PATIENCE)
        self.assertTrue(gone, 'kept beyond its time')
        self.problem(daemon.get('/v1/jobs/' + good['id']), 404, 'not-found')
        self.problem(daemon.get(good['artifacts'][0]['url']), 404, 'not-found')
        self.assertEqual(self.job(bad['id'])['state'], 'failed')
        self.assertTrue(os.path.exists(os.path.join(self.media, 'out', 'kept.mp4')))

    @needs_configuration
    def test_what_is_referred_to_is_kept(self):
        """Age alone removes nothing: neither a result on its way to a caller, nor a job that goes on after its end."""
        daemon = self.serve('--keep-succeeded', '1', '--keep-failed', '5', scenario='obey-term', slots=1)
        runs, waits = (self.submit(self.clip('text', name))['id'] for name in ('a.mp4', 'b.mp4'))
        for job in (runs, waits):
            self.ends(job, 'failed')
        for name in ('a.mp4', 'b.mp4'):
            self.clip('busy', name)
        self.act(runs, 'retry')
        self.at_work(runs)
        self.act(waits, 'retry')
        time.sleep(5.2)
        for _ in range(3):
            daemon.post('/api/diagnostics/resources/cleanup')
        self.assertEqual(self.job(runs)['state'], 'running')
        self.assertEqual(self.job(waits)['state'], 'queued')
        self.act(waits, 'cancel')
        self.act(runs, 'cancel')
        # A slow caller gets the whole of a result whose time is over meanwhile.
        self.play('pass')
        done = self.ends(self.submit(self.clip('busy'))['id'])
        path = os.path.join(self.data, 'artifacts', done['id'], done['artifacts'][0]['name'])
        with open(path, 'rb') as file:
            whole = file.read()
        with daemon.connect(30, receive_buffer=4096) as slow:
            slow.sendall(b'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' % done['artifacts'][0]['url'].encode())
            got = slow.recv(1000)
            time.sleep(1.2)
            daemon.post('/api/diagnostics/resources/cleanup')
            self.assertTrue(wait_until(lambda: daemon.get('/v1/jobs/' + done['id']).status == 404, 10 * PATIENCE))
            while True:
                piece = slow.recv(65536)
                if not piece:
                    break
                got += piece
        self.assertEqual(got.partition(b'\r\n\r\n')[2], whole)

    @needs_configuration
    def test_large_input(self):
        daemon = self.serve('--largest-input', '10000')
        document = self.problem(daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.clip('plain')]}), 413, 'input-too-large')
        self.assertEqual((document['size_bytes'], document['limit_bytes']), (os.path.getsize(clips.get('plain')), 10000))

    @needs_configuration
    def test_large_pictures_and_long_inputs(self):
        daemon = self.serve('--max-pixels', '100000')
        body = {'recipe': 'crop', 'inputs': [self.clip('plain')]}
        document = self.problem(daemon.post('/v1/plan', body), 413, 'input-too-large', ['640x360'])
        self.assertEqual((document['pixels'], document['limit_pixels']), (640 * 360, 100000))
        self.assertNotIn('documentation', document['detail'], 'advice that is not ours')
        failure = self.ends(self.submit('plain.mp4')['id'], 'failed')['failure']
        self.assertEqual((failure['type'], failure['pixels'], failure['limit_pixels']), ('input-too-large', 640 * 360, 100000))
        daemon.stop()
        daemon = self.serve('--max-duration', '1')
        length = daemon.get('/video/info?path=plain.mp4').json['data']['duration']
        document = self.problem(daemon.post('/v1/plan', body), 413, 'input-too-large')
        self.assertEqual((document['duration_seconds'], document['limit_seconds']), (math.ceil(length), 1))

    @slow
    @needs_configuration
    def test_too_long_and_too_slow(self):
        self.serve('--timeout', '1', '--retries', '1', scenario='slow-real')
        failed = self.ends(self.submit(self.clip('busy'))['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['attempt']), ('timed_out', 2))
        self.daemon.stop()
        self.serve('--max-duration', '1')
        failed = self.ends(self.submit('busy.mp4')['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['failure']['type']), ('bad_input', 'input-too-large'))


class Failures(DaemonCase):
    def test_inputs_that_are_refused_at_once(self):
        daemon = self.serve()
        os.mkdir(os.path.join(self.media, 'folder'))
        os.mkfifo(os.path.join(self.media, 'pipe.mp4'))
        for name, kind in (('none.mp4', 'input-missing'), ('none/none.mp4', 'input-missing'), ('folder', 'input-not-a-file'),
                           ('pipe.mp4', 'input-not-a-file'), (self.clip('empty'), 'input-empty')):
            for path in ('/v1/jobs', '/v1/plan'):
                with self.subTest(name=name, path=path):
                    self.problem(daemon.post(path, {'recipe': 'crop', 'inputs': [name]}), 422, kind)
        self.assertEqual(daemon.get('/v1/jobs').json['jobs'], [])

    def test_input_that_is_mended(self):
        self.serve()
        name = self.clip('truncated_no_index', 'clip.mp4')
        failed = self.ends(self.submit(name)['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['attempt'], failed['artifacts']), ('bad_input', 1, []))
        self.assertTrue(failed['failure']['detail'])
        self.clip('one_frame', 'clip.mp4')
        self.act(failed['id'], 'retry')
        job = self.ends(failed['id'])
        self.assertEqual((job['attempt'], job['failure']), (2, None))
        self.assert_plays(self.artefact(job), 1)

    @slow
    def test_damaged_inputs(self):
        self.serve()
        for name in ('truncated', 'corrupt', 'text', 'hls', 'audio_only', 'bomb_matroska'):
            with self.subTest(name):
                failed = self.ends(self.submit(self.clip(name))['id'], 'failed')
                self.assertEqual((failed['failure']['cause'], failed['attempt']), ('bad_input', 1), failed['failure'])

    def test_input_that_goes_away(self):
        self.serve(slots=1, scenario='obey-term')
        running = self.submit(self.clip('plain'))['id']
        self.at_work(running)
        job = self.submit(self.clip('one_frame', 'gone.mp4'))['id']
        os.unlink(os.path.join(self.media, 'gone.mp4'))
        self.act(running, 'cancel')
        failed = self.ends(job, 'failed')
        self.assertEqual((failed['failure']['type'], failed['failure']['cause']), ('input-missing', 'bad_input'))

    def test_crash(self):
        self.serve(scenario='signal 11')
        failed = self.ends(self.submit(self.clip('plain'))['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['failure']['type'], failed['attempt']), ('crashed', 'crashed', 3), failed['failure'])
        states = [line['text'].split(':')[0] for line in self.daemon.get('/v1/jobs/%s/log' % failed['id']).json['lines'] if line['type'] == 'state']
        self.assertEqual(states, ['queued', 'running'] * 3 + ['failed'])
        self.play('pass')
        self.act(failed['id'], 'retry')
        self.assertEqual(self.ends(failed['id'])['attempt'], 4)

    @slow
    def test_liar(self):
        self.serve(scenario='liar-short 1')
        failed = self.ends(self.submit(self.clip('plain'))['id'], 'failed')
        self.assertEqual((failed['failure']['cause'], failed['attempt']), ('verification', 1), failed['failure'])

    @slow
    def test_too_much_memory(self):
        self.serve(scenario='eat-memory 1024')
        failed = self.ends(self.submit(self.clip('plain'))['id'], 'failed')
        self.assertEqual(failed['failure']['cause'], 'out_of_memory', failed['failure'])
        self.assertGreaterEqual(failed['attempt'], 1)

    def test_over_budget(self):
        daemon = self.serve(memory='120M')
        name = self.clip('four_k')
        plan = daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [name]}).json
        job = self.ends(self.submit(name)['id'], 'failed')
        failure = job['failure']
        self.assertEqual((failure['cause'], failure['type'], job['attempt']), ('over_budget', 'over-budget', 1))
        self.assertGreater(failure['required_bytes'], failure['available_bytes'])
        self.assertEqual(failure['budget_bytes'], 120 << 20)
        self.assertEqual(plan['refusal']['type'], 'over-budget')
        self.assertIsNone(plan['chosen'])
