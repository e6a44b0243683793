"""Batches: many jobs accepted together or not at all, with one progress, across cancellation, removal and death."""
import json
import os
import re
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
        self.problem(reply, 400, 'bad-parameters', ['5 jobs', 'at most 4'])   # coming again would not help
        self.nothing_is_stored()
        self.daemon.post('/v1/drain')
        batch = self.post(body(3))
        reply = self.daemon.post('/v1/batches', body(2))
        self.problem(reply, 429, 'busy')
        self.assertGreaterEqual(int(reply.headers['retry-after']), 1)
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


class CommandLine(Batches):
    """`weir batch` is the batch of the API."""

    def say(self, *words, **options):
        # Without a scheme, as people write it.
        return self.weir(*words, env={'WEIR_SERVER': 'localhost:%d' % self.port}, **options)

    def lines(self, *jobs):
        """A file with a job in each line; None: an empty one."""
        path = os.path.join(self.dir, 'jobs.jsonl')
        with open(path, 'w') as file:
            for job in jobs:
                file.write(('' if job is None else json.dumps(job)) + '\n')
        return path

    def accepted(self, *words, **options):
        """The id of the batch."""
        done = self.ok(self.say('batch', *words, **options))
        self.assertRegex(done.text, r'^[a-z2-7]{16}\n$')
        return done.text.strip()

    def test_all_or_none_with_the_line(self):
        self.serve()
        good = {'recipe': 'crop', 'inputs': [self.clip('one_frame')]}
        path = self.lines(good, None, {**good, 'inputs': ['none.mp4']}, good)
        done = self.refused(self.say('batch', path), 'input-missing', ['line 3', 'none.mp4'])
        self.assertNotIn('job 1', done.errors)
        self.assertEqual(self.refused(self.say('batch', path, '--json'), 'input-missing').document['error']['line'], 3)
        for wrong, words in (([1], 'line 2: not a JSON object'), ({**good, 'colour': 'red'}, 'line 2: '), ({**good, 'owner': 'somebody'}, 'line 2: ')):
            self.refused(self.say('batch', self.lines(good, wrong)), 'bad-parameters', [words])
        with open(path, 'w') as file:
            file.write('{"recipe": "crop", "inputs": ["a"], "inputs": ["b"]}\n')
        self.refused(self.say('batch', path), 'bad-parameters', ['line 1', 'twice'])
        self.refused(self.say('batch', self.lines(None)), 'bad-parameters', ['no jobs'])
        self.nothing_is_stored()

    def test_paths_are_those_of_the_folder(self):
        """The same words mean the same file, whether they are given to submit or stand in a batch."""
        self.serve()
        below = os.path.join(self.media, 'sub')
        os.mkdir(below)
        self.clip('plain', 'same.mp4')
        self.clip('one_frame', 'sub/same.mp4')
        batch = self.accepted(self.lines({'recipe': 'crop', 'inputs': ['same.mp4'], 'outputs': ['made.mp4']}), cwd=below)
        job, = self.jobs_of(self.batch(batch))
        self.assertEqual((job['inputs'], job['outputs']), ([os.path.join(below, 'same.mp4')], [os.path.join(below, 'made.mp4')]))
        submitted = self.ok(self.say('submit', 'crop', 'same.mp4', 'other.mp4', cwd=below)).text.strip()
        self.assertEqual(self.job(submitted)['inputs'], job['inputs'])
        self.batch_ends(batch)
        self.ends(submitted)
        self.assert_plays(os.path.join(below, 'made.mp4'), 1)
        # What is not here is the server's to find, below its roots.
        batch = self.accepted(self.lines({'recipe': 'crop', 'inputs': ['sub/same.mp4']}))
        self.assertEqual(self.jobs_of(self.batch(batch))[0]['inputs'], ['sub/same.mp4'])
        self.batch_ends(batch)

    def test_waits_for_the_batch(self):
        self.serve()
        jobs = [{'recipe': 'crop', 'inputs': [self.clip(name)]} for name in ('one_frame', 'text', 'one_frame')]
        done = self.say('batch', self.lines(*jobs), '--wait', '--owner', 'ann', '--label', 'event=spring', '--priority', '60')
        batch = re.match(r'batch ([a-z2-7]{16})\n', done.text).group(1)
        failed, = self.daemon.get('/v1/jobs?batch=%s&state=failed' % batch).json['jobs']
        self.assertEqual(done.code, failed['failure']['exit_code'], '\n%s' % done)
        self.assertIn('2 succeeded, 1 failed', done.text)
        lines = self.error_lines(done)
        self.assertEqual((lines[0], lines[-1]), ('batch ' + batch, 'weir: job %s: %s' % (failed['id'], failed['failure']['detail'])))
        for line in lines[1:-1]:
            self.assertRegex(line, r'^ +\d+ %  \d of 3 ended')
        self.assertEqual([(job['owner'], job['labels'], job['priority']) for job in self.jobs_of(self.batch(batch))], [('ann', {'event': 'spring'}, 60)] * 3)
        good = self.lines(*(jobs[:1] * 2))
        document = self.ok(self.say('batch', good, '--wait', '--json')).document
        self.assertEqual((document['ended'], self.counts(document)), (True, {'succeeded': 2}))
        first, second = (self.accepted(good, '--key', 'once') for _ in range(2))
        self.assertEqual(first, second)
        self.batch_ends(first)

    def test_shown_and_cancelled(self):
        self.serve(scenario='obey-term', slots=1)
        batch = self.accepted(self.lines(*[{'recipe': 'crop', 'inputs': [self.clip('plain')]}] * 3))
        other = self.submit('plain.mp4')['id']
        self.works_on(self.batch(batch))
        done = self.ok(self.say('batch', '--show', batch))
        self.assertIn('3: ', done.text)
        self.assertIn('1 running', done.text)
        self.assertEqual(self.ok(self.say('batch', '--show', batch, '--json')).document['jobs'], 3)
        listed = self.ok(self.say('jobs', '--batch', batch)).text
        self.assertEqual(len(listed.splitlines()), 1 + 3)
        self.assertNotIn(other, listed)
        self.ok(self.say('batch', '--cancel', batch))
        self.assertEqual(self.counts(self.batch(batch)), {'cancelled': 3})
        self.assertEqual(self.say('batch', '--show', batch, '--wait').code, 130)
        self.assertEqual(self.say('batch', '--cancel', 'nonesuch').code, 29)
        self.refused(self.say('batch', '--cancel', batch, '--show', batch), 'bad-parameters')
        self.act(other, 'cancel')

    @needs_configuration
    def test_more_than_the_queue_holds(self):
        self.serve('--most-queued', '3')
        good = {'recipe': 'crop', 'inputs': [self.clip('one_frame')]}
        done = self.say('batch', self.lines(*[good] * 4), timeout=20)
        self.assertEqual(done.code, 2, '\n%s' % done)
        self.assertIn('never fit', done.errors)
        self.nothing_is_stored()

    @slow
    def test_thousands_fit_one_request(self):
        """5,000 jobs in a body of 1 MiB: what they say alike is said once."""
        self.serve(scenario='obey-term', slots=1)
        self.clip('plain')
        job = {'recipe': 'crop', 'inputs': ['plain.mp4'], 'params': {'crf': 40, 'aspect': '1:1', 'focus': 'left', 'preset': 'veryfast', 'keep_metadata': True},
               'priority': 40, 'overwrite': True}
        path = self.lines(*[{**job, 'labels': {'n': '%060d' % n}} for n in range(5000)])
        self.assertGreater(os.path.getsize(path), 1 << 20)
        batch = self.accepted(path)
        self.assertEqual(self.batch(batch)['jobs'], 5000)
        newest = self.jobs_of(self.batch(batch))[0]
        self.assertEqual((newest['labels'], newest['priority'], newest['params']['crf']), ({'n': '%060d' % 4999}, 40, 40))
        self.ok(self.say('batch', '--cancel', batch))
