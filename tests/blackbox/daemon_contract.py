"""The document that the daemon serves: that it is one, that it is held to, and every route in every state of a job."""
import copy
import json
import re

import contract
from contract import Contract, Violation
from daemon_harness import DaemonCase
from harness import PATIENCE, wait_until

import jsonschema


class Served(DaemonCase):
    def test_document(self):
        daemon = self.serve()
        reply = daemon.get('/openapi.json')
        self.assertEqual((reply.status, reply.headers['content-type']), (200, 'application/json'))
        document = reply.json
        self.assertEqual(document, contract.contract().document, 'another document than the one that all tests are held to')
        self.assertRegex(document['openapi'], r'^3\.1\.')
        etag = reply.headers['etag']
        for tags, status in ((etag, 304), ('"other", ' + etag, 304), ('"other"', 200), ('*', 304)):
            again = daemon.get('/openapi.json', headers={'If-None-Match': tags})
            self.assertEqual((again.status, again.body), (status, b'' if status == 304 else reply.body), tags)
            self.assertEqual(again.headers['etag'], etag)
        head = daemon.call('HEAD', '/openapi.json')
        self.assertEqual((head.status, head.headers['content-length'], head.headers['etag']), (200, str(len(reply.body)), etag))

    def test_it_is_consistent(self):
        document = contract.contract().document
        def walk(part, path):
            if isinstance(part, dict):
                if '$ref' in part:
                    self.assertTrue(contract.contract().resolve(part), path)
                for name, value in part.items():
                    walk(value, '%s/%s' % (path, name))
            elif isinstance(part, list):
                for number, value in enumerate(part):
                    walk(value, '%s/%d' % (path, number))
        walk(document, '#')
        for name, schema in document['components']['schemas'].items():
            jsonschema.Draft202012Validator.check_schema(schema)
            for example in schema.get('examples', ()):
                contract.contract().check({'$ref': '#/components/schemas/' + name}, example, 'the example of ' + name)
        identifiers = []
        for path, item in document['paths'].items():
            for method, operation in item.items():
                identifiers.append(operation['operationId'])
                self.assertTrue(operation['summary'], path)
                self.assertEqual([security.get('bearer', ['none'])[0] for security in operation['security']][1:], ['none', 'none'], path)
                self.assertIn(operation['security'][0]['bearer'][0], ('read', 'submit', 'admin'))
                named = [p['name'] for p in map(contract.contract().resolve, operation.get('parameters', ())) if p['in'] == 'path']
                self.assertEqual(named, re.findall(r'\{(\w+)\}', path))
        self.assertEqual(len(identifiers), len(set(identifiers)))

    def test_recipes_are_those_of_the_document(self):
        daemon = self.serve()
        schemas = contract.contract().document['components']['schemas']
        recipes = daemon.get('/v1/recipes').json['recipes']
        self.assertEqual([recipe['name'] for recipe in recipes], schemas['RecipeName']['enum'])
        for recipe in recipes:
            described = schemas[recipe['name'] + 'Params']['properties']
            self.assertEqual(list(described), [parameter['name'] for parameter in recipe['params']])
            for parameter in recipe['params']:
                contract.contract().check(described[parameter['name']], parameter['default'], '%s of %s' % (parameter['name'], recipe['name']))
        self.assertIn(schemas['JobRequest']['examples'][0], [recipe['example'] for recipe in recipes])


class Numbers(DaemonCase):
    """They are written as people write them."""
    ODD = re.compile(rb'[:,\[]-?[0-9.]+[eE]|[:,\[]-0[,}\]]')

    def plain(self, *paths):
        for path in paths:
            reply = self.daemon.get(path)
            with self.subTest(path):
                self.assertLess(reply.status, 300)
                found = self.ODD.search(reply.body)
                self.assertIsNone(found, found and reply.body[max(0, found.start() - 60):found.end() + 40])

    def test_everywhere(self):
        self.serve(scenario='slow-real', slots=1)
        job = self.submit(self.clip('film_rate'))['id']
        self.at_work(job)
        path = '/v1/jobs/' + job
        self.plain(path, path + '/memory', '/v1/jobs', '/v1/system', '/health', '/health/memory', '/performance/metrics')
        self.ends(job)
        self.assertIn(b'"frame_rate":23.976024,', self.daemon.get(path).body)
        self.plain(path, path + '/memory', '/v1/jobs', '/video/info?path=film_rate.mp4', '/v1/recipes', '/openapi.json')
        forecast = self.daemon.post('/v1/plan', {'recipe': 'trim', 'inputs': ['film_rate.mp4'], 'params': {'from': 0.05, 'to': 1.5}})
        self.assertIsNone(self.ODD.search(forecast.body), forecast)


class Held(DaemonCase):
    """The proof that answers which are not as documented fail the test that got them."""

    def broken(self, change):
        document = copy.deepcopy(contract.contract().document)
        change(document)
        return Contract(document)

    def refused(self, change, reply, words):
        with self.assertRaises(Violation) as caught:
            self.broken(change).answer(reply.method, reply.path, reply.status, reply.headers, reply.body)
        self.assertIn(words, str(caught.exception))

    def test_answers(self):
        daemon = self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)
        one, page, problem, system = (daemon.get(path) for path in ('/v1/jobs/' + job, '/v1/jobs', '/v1/jobs/nonesuch', '/v1/system'))
        schema = lambda document, name: document['components']['schemas'][name]
        answers = lambda document, path: document['paths'][path]['get']['responses']
        self.refused(lambda d: schema(d, 'Job')['properties'].pop('paused'), one, "'paused' was unexpected")
        self.refused(lambda d: schema(d, 'Job')['properties'].pop('paused'), page, "'paused' was unexpected")
        self.refused(lambda d: schema(d, 'Job')['required'].append('colour'), one, "'colour' is a required property")
        self.refused(lambda d: schema(d, 'State')['enum'].remove('running'), one, 'running')
        self.refused(lambda d: schema(d, 'Progress')['properties']['frame'].update(type='string'), one, 'progress')
        self.refused(lambda d: schema(d, 'cropParams')['properties']['crf'].update(maximum=3), one, 'params/crf')
        self.refused(lambda d: schema(d, 'Time').update(pattern='^never$'), one, 'never')
        self.refused(lambda d: answers(d, '/v1/jobs/{id}').pop('200'), one, 'the status is not documented')
        self.refused(lambda d: answers(d, '/v1/jobs/{id}').pop('404'), problem, 'the status is not documented')
        self.refused(lambda d: answers(d, '/v1/system')['200']['content'].pop('application/json'), system, 'a body')
        self.refused(lambda d: answers(d, '/v1/system')['200'].update(headers={'X': {'required': True, 'schema': {}}}), system, 'the header X is missing')
        self.refused(lambda d: d['paths'].pop('/v1/system'), system, 'there is no such route')
        self.refused(lambda d: schema(d, 'Problem')['properties']['type']['enum'].remove('https://weir.invalid/problems/not-found'), problem, 'not-found')
        with self.assertRaises(Violation):
            self.broken(lambda d: schema(d, 'StateEvent')['properties'].pop('attempt')).event(
                '/v1/events', 'state', {'job': job, 'time': '2026-01-01T00:00:00.000Z', 'state': 'queued', 'attempt': 0, 'paused': False})
        # And a test that gets one is told, also when it looks away.
        contract._contract, kept = self.broken(lambda d: schema(d, 'Alive')['properties'].pop('status')), contract._contract
        try:
            with self.assertRaises(AssertionError):
                daemon.get('/healthz')
        finally:
            contract._contract = kept
        self.assertEqual(len(self.violations), 1)
        self.violations.clear()
        self.act(job, 'cancel')

    def test_requests(self):
        held = contract.contract()
        fine = {'recipe': 'crop', 'inputs': ['a.mp4'], 'params': {'aspect': '9:16', 'focus': {'x': 0, 'y': 1}, 'crf': 20}, 'labels': {'a': 'b'}, 'owner': None}
        held.request('POST', '/v1/jobs', json.dumps(fine), {'Idempotency-Key': 'x', 'Prefer': 'wait=3'})
        held.request('GET', '/v1/jobs?state=queued&limit=5&label=a=b', None, {})
        for body in ({**fine, 'colour': 'red'}, {**fine, 'recipe': 'corp'}, {'recipe': 'crop'}, {**fine, 'priority': 101}, {**fine, 'inputs': []},
                     {**fine, 'params': {'aspct': 'x'}}, {**fine, 'params': {'crf': 52}}, {**fine, 'labels': {'': 'x'}}, {**fine, 'params': {'from': 0}}):
            with self.subTest(body), self.assertRaises(Violation):
                held.request('POST', '/v1/jobs', json.dumps(body), {})
        for method, target, body, headers in (('GET', '/v1/jobs?limit=0', None, {}), ('GET', '/v1/jobs?stat=queued', None, {}), ('GET', '/v1/jobs?state=done', None, {}),
                                              ('GET', '/video/info', None, {}), ('POST', '/v1/jobs', None, {}), ('POST', '/v1/drain', '{}', {}),
                                              ('POST', '/v1/jobs', json.dumps(fine), {'Idempotency-Key': ''})):
            with self.subTest(target), self.assertRaises(Violation):
                held.request(method, target, body, headers)


class Walk(DaemonCase):
    """Every route of the table, with every job that there can be. What comes is held against the document on its way."""
    slots = 1
    BODIES = {'JobRequest': lambda name: {'recipe': 'crop', 'inputs': [name]}, 'JobChange': lambda name: {'labels': {'walked': 'yes'}},
              'VideoCropRequest': lambda name: {'inputPath': name}, 'BatchRequest': lambda name: {'recipe': 'crop', 'jobs': [{'inputs': [name]}]}}

    def ask(self, method, path, operation, job, name):
        target = path.replace('{id}', job).replace('{name}', 'crop' if path.startswith('/v1/recipes') else 'crop.mp4')
        if path == '/video/info':
            target += '?path=' + name
        if operation['responses'].get('200', {}).get('content', {}).get('text/event-stream'):
            return self.listen(target)
        body = None
        if 'requestBody' in operation:
            schema = operation['requestBody']['content']['application/json']['schema']['$ref'].rsplit('/', 1)[1]
            body = self.BODIES[schema](name) if operation['requestBody']['required'] else None
        return self.daemon.call(method, target, body).status

    def listen(self, target):
        """The head of a stream, whose first events are looked at."""
        try:
            stream = self.daemon.events(target, timeout=1)
            next(stream, None)
            stream.close()
            return 200
        except OSError:   # nothing to tell yet
            return 200
        except AssertionError as problem:
            if ' -> 404' not in str(problem):
                raise
            return 404

    def test_every_route_in_every_state(self):
        self.serve(scenario='obey-term')
        name = self.clip('one_frame')
        busy = self.clip('plain')

        def succeeded():
            self.play('pass')
            job = self.ends(self.submit(name)['id'])['id']
            self.play('obey-term')
            return job

        def failed():
            return self.ends(self.submit(self.clip('text'))['id'], 'failed')['id']

        def running():
            job = self.submit(busy)['id']
            self.at_work(job)
            return job

        def paused():
            job = running()
            self.act(job, 'pause')
            return job

        def cancelled():
            job = running()
            self.act(job, 'cancel')
            return job

        def queued():
            running()
            return self.submit(name)['id']
        makers = {'none': lambda: 'nonesuch', 'queued': queued, 'running': running, 'paused': paused, 'succeeded': succeeded, 'failed': failed, 'cancelled': cancelled}
        answered = {}
        held = contract.contract()
        for state, make in makers.items():
            job = None
            for method, _, path, operation in sorted(held.operations, key=lambda one: one[0] != 'GET'):   # those that only look first
                if '{id}' not in path and state != 'none':
                    continue
                if path.startswith('/v1/batches/'):
                    if state not in ('none', 'queued'):
                        continue
                    job = 'nonesuch' if state == 'none' else self.daemon.post('/v1/batches', self.BODIES['BatchRequest'](name)).json['id']
                elif '{id}' in path and (job is None or method != 'GET'):
                    self.clear()
                    job = make()
                with self.subTest('%s %s, %s' % (method, path, state)):
                    status = self.ask(method, path, operation, job or '', name)
                    answered.setdefault((method, path), {})[state] = status
                    if state == 'none' and '{id}' in path:
                        self.assertEqual(status, 404)
                if path == '/v1/drain':
                    self.daemon.post('/v1/undrain')
                if path.startswith('/v1/batches/'):
                    job = None
            self.clear()
        for route, statuses in answered.items():
            self.assertTrue([status for status in statuses.values() if status < 300], '%s was never answered well: %s' % (route, statuses))

    def clear(self):
        """Nothing goes on."""
        for job in self.daemon.get('/v1/jobs?limit=1000').json['jobs']:
            if job['ended'] is None:
                self.daemon.post('/v1/jobs/%s/cancel' % job['id'])
        idle = wait_until(lambda: all(job['ended'] for job in self.daemon.get('/v1/jobs?limit=1000').json['jobs']), 10 * PATIENCE)
        self.assertTrue(idle)
