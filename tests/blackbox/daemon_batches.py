"""Batches: many jobs accepted together or not at all, with one progress, across cancellation, removal and death."""
import os
import threading

from daemon_harness import DaemonCase, FINAL, needs_configuration
from harness import PATIENCE, QUICK, processes_of, slow, wait_until


class Batches(DaemonCase):
    def post(self, body, status=202, headers=None):
        reply = self.daemon.post('/v1/batches', body, headers=headers)
        self.assertEqual(reply.status, status, '\n%s' % reply)
        if status < 300:
            self.assertEqual(reply.headers['location'], '/v1/batches/' + reply.json['id'])
        return reply.json

    def batch(self, batch_id):
        reply = self.daemon.get('/v1/batches/' + batch_id)
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        return reply.json

    def counts(self, batch):
        return {state: count for state, count in batch['states'].items() if count}

    def jobs_of(self, batch):
        """All pages, newest first."""
        jobs, cursor = [], ''
        while True:
            page = self.daemon.get(batch['jobs_url'] + '&limit=100' + cursor).json
            jobs += page['jobs']
            if page['next'] is None:
                return jobs
            cursor = '&cursor=' + page['next']

    def batch_ends(self, batch_id, seconds=60):
        ended = wait_until(lambda: self.daemon.get('/v1/batches/' + batch_id, headers={'Prefer': 'wait=5'}).json['ended'], seconds * PATIENCE)
        self.assertTrue(ended, self.batch(batch_id))
        return self.batch(batch_id)

    def nothing_is_stored(self):
        self.assertEqual(self.daemon.get('/v1/jobs').json, {'jobs': [], 'next': None})

    def works_on(self, batch):
        """Waits until one of its jobs is at work; that job."""
        self.assertTrue(wait_until(lambda: self.daemon.workers() and self.batch(batch['id'])['states']['running'], 20 * PATIENCE), self.batch(batch['id']))
        return self.daemon.get(batch['jobs_url'] + '&state=running').json['jobs'][0]


class Accepted(Batches):
    def test_from_beginning_to_end(self):
        self.serve(scenario='slow-real', slots=1)
        one, busy = self.clip('one_frame'), self.clip('plain')
        batch = self.post({'recipe': 'crop', 'params': {'crf': 40}, 'priority': 60, 'labels': {'event': 'spring', 'x': '1'}, 'owner': 'ann',
                           'jobs': [{'inputs': [busy]}, {'inputs': [one], 'params': {'aspect': '1:1'}, 'priority': 50, 'labels': {'x': '2', 'y': '3'}},
                                    {'inputs': [one], 'recipe': 'thumbnail', 'params': {}, 'outputs': ['out/third.jpg']}]})
        self.assertEqual((batch['owner'], batch['labels'], batch['jobs'], batch['removed'], batch['ended'], batch['jobs_url']),
                         ('ann', {'event': 'spring', 'x': '1'}, 3, 0, False, '/v1/jobs?batch=' + batch['id']))
        third, second, first = self.jobs_of(batch)
        self.assertEqual([(job['batch'], job['owner'], job['recipe'], job['priority'], job['labels']) for job in (first, second, third)],
                         [(batch['id'], 'ann', 'crop', 60, {'event': 'spring', 'x': '1'}), (batch['id'], 'ann', 'crop', 50, {'event': 'spring', 'x': '2', 'y': '3'}),
                          (batch['id'], 'ann', 'thumbnail', 60, {'event': 'spring', 'x': '1'})])
        self.assertEqual((first['params']['crf'], first['params']['aspect'], second['params']['crf'], second['params']['aspect']), (40, '9:16', 23, '1:1'))
        alone = self.submit(one)
        self.assertIsNone(alone['batch'])
        ratios = []

        def look():
            found = self.batch(batch['id'])
            ratios.append(found['ratio'])
            self.assertEqual(sum(found['states'].values()), 3)
            self.assertGreaterEqual(found['ratio'], sum(found['states'][state] for state in FINAL) / 3 - 1e-9, 'what has ended counts whole')
            return found['ended']
        self.assertTrue(wait_until(look, 60 * PATIENCE), self.batch(batch['id']))
        self.assertGreater(len(set(ratios)), 2, ratios)
        found = self.batch(batch['id'])
        self.assertEqual((found['ratio'], self.counts(found)), (1, {'succeeded': 3}))
        self.assertTrue(os.path.exists(os.path.join(self.media, 'out', 'third.jpg')))
        self.assertEqual({job['id'] for job in self.jobs_of(batch)}, {first['id'], second['id'], third['id']})
        self.ends(alone['id'])
        self.problem(self.daemon.get('/v1/batches/nonesuch'), 404, 'not-found')
        self.problem(self.daemon.post('/v1/batches/nonesuch/cancel'), 404, 'not-found')
        self.problem(self.daemon.get('/v1/batches'), 405, 'method-not-allowed')

    def test_wait(self):
        self.serve()
        body = {'recipe': 'crop', 'jobs': [{'inputs': [self.clip('one_frame')]}] * 2}
        self.assertTrue(self.post(body, 200, {'Prefer': 'wait=60'})['ended'])
        self.daemon.post('/v1/drain')
        waiting = self.post(body, 202, {'Prefer': 'wait=1'})
        heard = []
        watcher = threading.Thread(target=lambda: heard.append(self.daemon.get('/v1/batches/' + waiting['id'], headers={'Prefer': 'wait=60'}, timeout=90).json))
        watcher.start()
        self.daemon.post('/v1/undrain')
        watcher.join(60 * PATIENCE)
        self.assertEqual([self.counts(batch) for batch in heard], [{'succeeded': 2}])

    def test_failures_are_counted(self):
        self.serve()
        batch = self.post({'recipe': 'crop', 'jobs': [{'inputs': [self.clip(name)]} for name in ('one_frame', 'text', 'one_frame')]})
        found = self.batch_ends(batch['id'])
        self.assertEqual((found['ratio'], self.counts(found)), (1, {'succeeded': 2, 'failed': 1}))
        failed = self.daemon.get(batch['jobs_url'] + '&state=failed').json['jobs'][0]
        self.clip('one_frame', failed['inputs'][0])
        self.act(failed['id'], 'retry')
        self.ends(failed['id'])
        self.assertEqual(self.counts(self.batch(batch['id'])), {'succeeded': 3})

    @slow
    def test_thousands(self):
        self.serve(scenario='obey-term', slots=1)
        name = self.clip('plain')
        batch = self.post({'recipe': 'crop', 'jobs': [{'inputs': [name], 'labels': {'n': str(n)}} for n in range(5000)]})
        jobs = self.jobs_of(batch)
        self.assertEqual([job['labels']['n'] for job in jobs], [str(n) for n in range(4999, -1, -1)])
        answer = self.daemon.post('/v1/batches/%s/cancel' % batch['id'], timeout=120)
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.counts(self.batch_ends(batch['id'])), {'cancelled': 5000})


class Refused(Batches):
    def test_all_or_nothing(self):
        self.serve()
        good = {'recipe': 'crop', 'inputs': [self.clip('one_frame')]}
        for wrong, status, kind in (({'recipe': 'crop', 'inputs': ['none.mp4']}, 422, 'input-missing'), ({**good, 'params': {'crf': 99}}, 400, 'bad-parameters'),
                                    ({'inputs': good['inputs']}, 400, 'bad-parameters'), ({'recipe': 'crop'}, 400, 'bad-parameters'),
                                    ({**good, 'recipe': 'corp'}, 400, 'bad-parameters'), ({**good, 'owner': 'me'}, 400, 'bad-parameters'),
                                    ({**good, 'colour': 'red'}, 400, 'bad-parameters'), ({**good, 'priority': 101}, 400, 'bad-parameters'),
                                    ({**good, 'outputs': ['out/x.exe']}, 400, 'output-format'), ({**good, 'outputs': ['none/x.mp4']}, 422, 'output-folder'),
                                    ({**good, 'inputs': ['/etc/passwd']}, 403, 'forbidden'), ({**good, 'labels': {'a': 1}}, 400, 'bad-parameters')):
            with self.subTest(wrong):
                reply = self.daemon.post('/v1/batches', {'jobs': [good, good, good, wrong, {'recipe': 'nonesuch', 'inputs': ['x']}]})
                self.assertEqual(self.problem(reply, status, kind)['job'], 3)
        self.nothing_is_stored()

    def test_what_is_no_batch(self):
        self.serve()
        good = {'recipe': 'crop', 'inputs': [self.clip('one_frame')]}
        for body, words in (({}, 'jobs'), ({'jobs': []}, 'jobs'), ({'jobs': {}}, 'jobs'), ({'jobs': [1]}, 'jobs'), ({'jobs': [[]]}, 'jobs'), ({'jobs': None}, 'jobs'),
                            ({'jobs': [good], 'inputs': ['x']}, 'inputs'), ({'jobs': [good], 'labels': []}, 'labels'), ({'job': [good]}, 'jobs'),
                            ({'jobs': [good], 'labels': {str(n): 'x' for n in range(33)}}, 'labels'),
                            ({'jobs': [{**good, 'labels': {'own': 'x'}}], 'labels': {str(n): 'x' for n in range(32)}}, 'labels'),
                            ({'jobs': [{'inputs': ['x']}] * 5001}, 'at most 5000')):
            with self.subTest(str(body)[:80]):
                self.problem(self.daemon.post('/v1/batches', body), 400, 'bad-parameters', [words])
        twice = b'{"jobs":[{"recipe":"crop","inputs":["x"],"inputs":["y"]}]}'
        self.problem(self.daemon.post('/v1/batches', twice), 400, 'bad-parameters', ['twice'])
        self.problem(self.daemon.post('/v1/batches', b''), 400, 'malformed')
        self.nothing_is_stored()

    @needs_configuration
    def test_more_than_may_wait(self):
        self.serve('--most-queued', '4', scenario='obey-term', slots=1)
        name = self.clip('plain')
        body = lambda count: {'recipe': 'crop', 'jobs': [{'inputs': [name]}] * count}
        reply = self.daemon.post('/v1/batches', body(5))
        self.problem(reply, 429, 'busy')
        self.assertGreaterEqual(int(reply.headers['retry-after']), 1)
        self.nothing_is_stored()
        self.daemon.post('/v1/drain')
        batch = self.post(body(3))
        self.problem(self.daemon.post('/v1/batches', body(2)), 429, 'busy')
        self.assertEqual(len(self.daemon.get('/v1/jobs').json['jobs']), 3)
        self.post(body(1))
        self.daemon.post('/v1/batches/%s/cancel' % batch['id'])
        self.daemon.post('/v1/undrain')
        for job in self.daemon.get('/v1/jobs').json['jobs']:
            if job['state'] not in FINAL:
                self.act(job['id'], 'cancel')

    def test_keys(self):
        self.serve()
        name = self.clip('one_frame')
        headers = {'Idempotency-Key': 'a key'}
        jobs = [{'inputs': [name]}, {'inputs': [name], 'params': {'crf': 30}}]
        batch = self.post({'recipe': 'crop', 'jobs': jobs}, headers=headers)
        # In other words it is the same.
        again = self.daemon.post('/v1/batches', {'jobs': [{'recipe': 'crop', 'inputs': [name], 'params': {'crf': 23}}, {**jobs[1], 'recipe': 'crop'}], 'priority': 50},
                                 headers=headers)
        self.assertIn(again.status, (200, 202))
        self.assertEqual(again.json['id'], batch['id'])
        for other in (jobs[:1], jobs + jobs[:1], jobs[::-1], [jobs[0], {**jobs[1], 'priority': 51}], [jobs[0], {**jobs[1], 'labels': {'a': 'b'}}]):
            reply = self.daemon.post('/v1/batches', {'recipe': 'crop', 'jobs': other}, headers=headers)
            self.assertEqual(self.problem(reply, 409, 'conflict', ['a key'])['batch'], batch['id'])
        self.assertEqual(len(self.daemon.get('/v1/jobs').json['jobs']), 2)
        # Another owner's key is another, and so is a job's.
        self.assertNotEqual(self.post({'recipe': 'crop', 'jobs': jobs, 'owner': 'ann'}, headers=headers)['id'], batch['id'])
        self.submit(name, headers=headers)
        self.problem(self.daemon.post('/v1/batches', {'recipe': 'crop', 'jobs': jobs}, headers={'Idempotency-Key': ''}), 400, 'bad-parameters')
        self.batch_ends(batch['id'])
        self.assertEqual(self.post({'recipe': 'crop', 'jobs': jobs}, 200, headers)['id'], batch['id'])

    def test_ten_at_once(self):
        self.serve()
        body = {'recipe': 'crop', 'jobs': [{'inputs': [self.clip('one_frame')]}] * 3}
        replies = []
        barrier = threading.Barrier(10)

        def post():
            barrier.wait()
            replies.append(self.daemon.post('/v1/batches', body, headers={'Idempotency-Key': 'k'}))
        threads = [threading.Thread(target=post) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({reply.status for reply in replies} - {200, 202}, set(), '\n'.join(map(str, replies)))
        self.assertEqual(len({reply.json['id'] for reply in replies}), 1)
        self.assertEqual(len(self.daemon.get('/v1/jobs').json['jobs']), 3)
        self.batch_ends(replies[0].json['id'])


class Over(Batches):
    own_state = True

    def test_cancel(self):
        self.serve(scenario='obey-term', slots=1)
        name = self.clip('plain')
        other = self.submit(name, priority=0)['id']
        self.at_work(other)
        batch = self.post({'recipe': 'crop', 'priority': 100, 'jobs': [{'inputs': [name]}] * 4})
        self.act(other, 'cancel')
        self.works_on(batch)
        other = self.submit(name, priority=0)['id']
        reply = self.daemon.post('/v1/batches/%s/cancel' % batch['id'])
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        found = self.batch_ends(batch['id'])
        self.assertEqual((self.counts(found), found['ratio']), ({'cancelled': 4}, 1))
        self.assertEqual({job['state'] for job in self.jobs_of(batch)}, {'cancelled'})
        self.at_work(other)
        self.assertEqual(self.counts(self.daemon.post('/v1/batches/%s/cancel' % batch['id']).json), {'cancelled': 4})
        self.act(other, 'cancel')

    def test_removed_jobs_are_counted(self):
        self.serve()
        batch = self.post({'recipe': 'crop', 'jobs': [{'inputs': [self.clip('one_frame')]}] * 3}, 200, {'Prefer': 'wait=60'})
        jobs = [job['id'] for job in self.jobs_of(batch)]
        self.act(jobs[1], 'delete', 204)
        found = self.batch(batch['id'])
        self.assertEqual((found['jobs'], found['removed'], self.counts(found), found['ended'], found['ratio']), (3, 1, {'succeeded': 2}, True, 1))
        self.assertEqual([job['id'] for job in self.jobs_of(batch)], [jobs[0], jobs[2]])
        self.act(jobs[0], 'delete', 204)
        self.act(jobs[2], 'delete', 204)
        self.problem(self.daemon.get('/v1/batches/' + batch['id']), 404, 'not-found')

    def test_kill_in_the_middle(self):
        self.serve(scenario='obey-term', slots=1)
        name = self.clip('one_frame')
        count = 5 if QUICK else 20
        headers = {'Idempotency-Key': 'k'}
        body = {'recipe': 'crop', 'jobs': [{'inputs': [name], 'labels': {'n': str(n)}} for n in range(count)]}
        batch = self.post(body, headers=headers)
        self.works_on(batch)
        self.daemon.kill()
        self.assertTrue(wait_until(lambda: not processes_of(self.dir), 2 * max(1, PATIENCE / 2)), 'alive 2 s after the kill')
        self.serve(scenario='pass', slots=2)
        self.assertEqual(self.daemon.post('/v1/batches', body, headers=headers).json['id'], batch['id'])
        found = self.batch_ends(batch['id'])
        self.assertEqual((self.counts(found), found['jobs'], found['created']), ({'succeeded': count}, count, batch['created']))
        jobs = self.jobs_of(batch)
        self.assertEqual([job['labels']['n'] for job in jobs], [str(n) for n in range(count)][::-1])
        self.assertEqual(sorted(job['attempt'] for job in jobs), [1] * (count - 1) + [2])
        for job in jobs:
            self.assert_plays(self.artefact(job), 1)
