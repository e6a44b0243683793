"""Requests from strangers: each gets the documented problem or a closed connection, while a running job does not
notice and the daemon stays small."""
import hashlib
import json
import os
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import threading
import time
import unittest

from contract import contract
from daemon_harness import DaemonCase, memory_of, needs_configuration
from harness import PATIENCE, slow, wait_until


def read_all(raw, limit=1 << 20):
    text = b''
    try:
        while len(text) < limit:
            piece = raw.recv(1 << 16)
            if not piece:
                break
            text += piece
    except OSError:
        pass
    return text


def cpu_of(pid):
    with open('/proc/%d/stat' % pid) as file:
        fields = file.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


class Answer:
    """What a bare socket got, in the shape of a Reply."""

    def __init__(self, request, text):
        while text.startswith(b'HTTP/1.1 100 '):   # as every client has to
            text = text.partition(b'\r\n\r\n')[2]
        self.text = text
        head, _, self.body = text.partition(b'\r\n\r\n')
        lines = head.decode('latin-1').split('\r\n')
        self.status = int(lines[0].split()[1]) if lines[0].startswith('HTTP/1.') else 0
        self.headers = {line.split(':', 1)[0].lower(): line.split(':', 1)[1].strip() for line in lines[1:] if ':' in line}
        self.request = request

    @property
    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return '  %r -> %r' % (self.request[:300], self.text[:600])


class Web(DaemonCase):
    slots = 1

    def setUp(self):
        super().setUp()
        self.name = self.clip('one_frame')

    def with_a_job(self, *options):
        """A job that runs all the while, whose progress must go on."""
        self.serve(*options, scenario='slow-real', slots=1)
        self.running = self.submit(self.clip('tour'))['id']
        self.at_work(self.running)
        self.before = memory_of(self.daemon.pid)

    def still_fine(self, growth=16 << 20):
        first = self.job(self.running)
        self.assertEqual(first['state'], 'running', 'the job that ran has ended: %s' % first['failure'])
        went_on = wait_until(lambda: (self.job(self.running)['progress'] or {'frame': 0})['frame'] > first['progress']['frame'], 5 * PATIENCE)
        self.assertTrue(went_on, 'the running job noticed')
        self.assertEqual(self.job(self.running)['attempt'], 1)
        if PATIENCE == 1:
            now = memory_of(self.daemon.pid)
            self.assertLess(now - self.before, growth, 'the daemon grew')
            self.assertLess(now, 40 << 20)
        self.act(self.running, 'cancel')

    def raw(self, request, half_close=False, timeout=15):
        with self.daemon.connect(timeout) as raw:
            try:
                raw.sendall(request)
                if half_close:
                    raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answer = Answer(request, read_all(raw))
        self.hold(answer)
        return answer

    def hold(self, answer):
        """What is one whole answer is held against the document, whatever the request was."""
        if answer.text.count(b'HTTP/1.1 ') != 1 or int(answer.headers.get('content-length', '0')) != len(answer.body):
            return
        first = re.match(rb'([A-Z]+) (/[^ ]*) HTTP/1\.1\r\n', answer.request)
        method, target = (part.decode('latin-1') for part in first.groups()) if first else ('', '')
        with self.held(answer):
            contract().answer(method, target, answer.status, answer.headers, answer.body)

    def get(self, target, headers=b'', method=b'GET', close=b'Connection: close\r\n', host=b'Host: localhost\r\n'):
        return self.raw(method + b' ' + target + b' HTTP/1.1\r\n' + host + close + headers + b'\r\n')


class Bodies(Web):
    def refuses(self, body, status, name, words=()):
        with self.subTest(body=body if len(repr(body)) < 200 else repr(body)[:200]):
            return self.problem(self.daemon.post('/v1/jobs', body), status, name, words)

    def test_malformed(self):
        self.serve()
        for body in (b'', b' ', b'{', b'[]', b'null', b'1', b'"x"', b'{"recipe":}', b'{"recipe":"crop",}', b"{'recipe':'crop'}", b'{"a":1}{"b":2}', b'\xff\xfe',
                     b'{"recipe":"\xff\xfe"}', b'{"recipe":"\xed\xa0\x80"}', b'{"recipe":"\xc0\xaf"}', b'{"recipe":"\\ud800"}', b'{"recipe":"a\nb"}', b'\xef\xbb\xbf{}',
                     b'{"x":' * 40 + b'1' + b'}' * 40, b'[' * 100000, b'{"params":' * 50000, b'{"recipe":NaN}', b'{"priority":1e999999}x'):
            self.refuses(body, 400, 'malformed')
        self.refuses(b'{"recipe":"crop","recipe":"trim","inputs":["x"]}', 400, 'bad-parameters', ['twice'])
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])

    def test_wrong_members(self):
        self.serve()
        fine = {'recipe': 'crop', 'inputs': [self.name]}
        for change, words in (
                ({'input': ['x']}, ['inputs']), ({'recepe': 'crop'}, ['recipe']), ({'prioritty': 1}, ['priority']), ({'zzzzzz': 1}, ['zzzzzz', 'recipe']),
                ({'recipe': 1}, ['recipe']), ({'recipe': None}, ['recipe']), ({'recipe': 'x' * 100}, ['recipe']), ({'recipe': 'crop\0'}, ['recipe']),
                ({'recipe': 'corp'}, ['crop']), ({'recipe': ''}, []), ({'inputs': 'x'}, ['inputs']), ({'inputs': []}, ['inputs']), ({'inputs': ['a', 'b']}, ['inputs']),
                ({'inputs': [1]}, ['inputs']), ({'inputs': ['a\0b']}, ['inputs']), ({'inputs': None}, ['inputs']), ({'outputs': {}}, ['outputs']),
                ({'outputs': ['a.mp4', 'b.mp4']}, ['outputs']), ({'overwrite': 1}, ['overwrite']), ({'overwrite': 'true'}, ['overwrite']),
                ({'priority': 1.5}, ['priority']), ({'priority': -1}, ['priority']), ({'priority': 101}, ['priority']), ({'priority': 1 << 70}, ['priority']),
                ({'owner': 1}, ['owner']), ({'owner': 'x' * 129}, ['owner']), ({'labels': []}, ['labels']), ({'labels': {'a': 1}}, ['labels']),
                ({'labels': {'': 'x'}}, ['labels']), ({'labels': {'x' * 257: 'y'}}, ['labels']), ({'labels': {'x': 'y' * 257}}, ['labels']),
                ({'labels': {str(n): 'x' for n in range(33)}}, ['labels']), ({'params': []}, ['params']), ({'params': 'x'}, ['params']),
                ({'params': {'aspct': '9:16'}}, ['aspect']), ({'params': {'aspect': '0:0'}}, ['aspect']), ({'params': {'aspect': 7}}, ['aspect']),
                ({'params': {'crf': -1}}, ['crf']), ({'params': {'crf': 'x'}}, ['crf']), ({'params': {'size': '-2x4'}}, ['size']),
                ({'params': {'size': '0x0'}}, ['size']), ({'params': {'preset': 'fastest'}}, ['preset']), ({'params': {'focus': '2,2'}}, ['focus']),
                ({'params': {'a': {'b': {'c': {'d': {'e': 1}}}}}}, [])):
            self.refuses({**fine, **change}, 400, 'bad-parameters', words)
        for bad in ({'recipe': 'crop'}, {'inputs': ['x']}, {}):
            self.refuses(bad, 400, 'bad-parameters')
        for method, path, body in (('PATCH', '/v1/jobs/x', b'{"labls":{}}'), ('POST', '/video/crop', b'{"inputpath":"x"}'), ('POST', '/v1/plan', b'{"imputs":[]}')):
            self.problem(self.daemon.call(method, path, body), 400, 'bad-parameters', ['did you mean'])
        # A question that is not understood is not another question, and an order is not carried out.
        for method, path, words in (('GET', '/v1/jobs?lable=a=b', ['lable', 'label']), ('GET', '/v1/events?afer=3', ['after']), ('GET', '/v1/system?x', ['x']),
                                    ('GET', '/v1/jobs?state=queued&state=failed', ['state', 'twice']), ('GET', '/video/info?path=a&path=b', ['path', 'twice']),
                                   
                                    ('POST', '/v1/jobs?dry_run=1', ['dry_run']), ('POST', '/v1/drain?grace=5', ['grace'])):
            self.problem(self.daemon.call(method, path, json.dumps(fine)), 400, 'bad-parameters', words)
        self.assertEqual(self.daemon.get('/readyz').status, 200)
        # Callers of the replaced systems, and those who look after a machine, add what they like.
        self.assertEqual([self.daemon.get(path + '?_=1').status for path in ('/health', '/healthz', '/performance/metrics', '/metrics')], [200] * 4)
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])

    def test_types(self):
        """What is said to be something else than text is not read, whatever is in it."""
        self.serve()
        fine = {'recipe': 'crop', 'inputs': [self.name]}
        for kind in ('multipart/form-data; boundary=x', 'application/xml', 'application/octet-stream', 'video/mp4', 'text/html', 'application/jsonp', 'json', '*/*'):
            for method, path, body in (('POST', '/v1/jobs', fine), ('POST', '/v1/batches', {'jobs': [fine]}), ('POST', '/v1/plan', fine), ('PATCH', '/v1/jobs/x', {'priority': 1}),
                                       ('POST', '/v1/jobs/x/retry', {'outputs': ['x']}), ('POST', '/video/crop', {'inputPath': self.name})):
                with self.subTest(kind=kind, path=path):
                    self.problem(self.daemon.call(method, path, body, headers={'Content-Type': kind}), 415, 'media-type', ['application/json'])
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])
        for kind in ('application/json', 'Application/JSON; charset=utf-8', 'application/vnd.weir+json', 'application/x-www-form-urlencoded', 'text/plain;charset=UTF-8', ''):
            with self.subTest(kind=kind):
                self.assertEqual(self.daemon.post('/v1/plan', fine, headers={'Content-Type': kind}).status, 200)
        # No body has no type.
        self.problem(self.daemon.call('POST', '/v1/jobs/x/cancel', headers={'Content-Type': 'application/xml'}), 404, 'not-found')
        if shutil.which('curl'):
            done = subprocess.run(['curl', '-s', '-d', json.dumps(fine), 'http://127.0.0.1:%d/v1/jobs' % self.port], stdout=subprocess.PIPE, timeout=60 * PATIENCE)
            self.ends(json.loads(done.stdout)['id'])

    def test_huge(self):
        self.with_a_job()
        filler = b'{"recipe":"crop","inputs":["x"],"owner":"' + b'x' * (2 << 20) + b'"}'
        self.problem(self.daemon.post('/v1/jobs', filler), 413, 'request-too-large')
        # Announced, and never sent.
        answer = self.raw(b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n')
        self.problem(answer, 413, 'request-too-large')
        answer = self.raw(b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n')
        self.problem(answer, 413, 'request-too-large')
        # In pieces, without an end.
        with self.daemon.connect() as raw:
            raw.sendall(b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n')
            sent = 0
            try:
                while sent < 64 << 20:
                    raw.sendall(b'10000\r\n' + b'x' * 65536 + b'\r\n')
                    sent += 65536
            except OSError:
                pass
            self.assertLess(sent, 64 << 20, 'all of it was read')
        # A megabyte that is allowed is only refused for what it says.
        allowed = b'{"recipe":"crop","inputs":["%s"]}' % (b'x' * 1000000)
        self.assertIn(self.daemon.post('/v1/jobs', allowed).status, (400, 403, 422))
        numbers = b'{"recipe":"crop","inputs":["x"],"params":{"a":[' + b'1,' * 500000 + b'1]}}'
        self.problem(self.daemon.post('/v1/jobs', numbers), 400, 'bad-parameters')
        objects = b'{"recipe":"crop","inputs":["x"],"params":{' + b','.join(b'"%d":{}' % n for n in range(80000)) + b'}}'
        self.problem(self.daemon.post('/v1/jobs', objects), 400, 'bad-parameters')
        self.still_fine(32 << 20)


class Paths(Web):
    def outsiders(self):
        secret = os.path.join(self.dir, 'secret.mp4')
        with open(os.path.join(self.media, self.name), 'rb') as file, open(secret, 'wb') as copy:
            copy.write(file.read())
        os.mkdir(os.path.join(self.dir, 'media2'))
        with open(os.path.join(self.dir, 'media2', 'near.mp4'), 'wb') as file:
            file.write(b'x')
        os.symlink(secret, os.path.join(self.media, 'absolute-link.mp4'))
        os.symlink('../secret.mp4', os.path.join(self.media, 'relative-link.mp4'))
        os.symlink('..', os.path.join(self.media, 'up'))
        os.symlink('/', os.path.join(self.media, 'root'))
        os.symlink('/proc/self/fd', os.path.join(self.media, 'fds'))
        os.symlink('loop', os.path.join(self.media, 'loop'))
        return secret

    def test_inputs(self):
        self.serve()
        secret = self.outsiders()
        for path in ('../secret.mp4', 'out/../../secret.mp4', './../secret.mp4', secret, '/etc/passwd', '/proc/self/environ', '/dev/zero', 'absolute-link.mp4',
                     'relative-link.mp4', 'up/secret.mp4', 'root/etc/passwd', 'fds/0', os.path.join(self.media, '..', 'secret.mp4'),
                     os.path.join(self.dir, 'media2', 'near.mp4'), self.media + '2/near.mp4', '//etc/passwd', '', '/', '..', '../', 'x/' * 3000 + 'y', 'x' * 300,
                     self.data + '/jobs.db', '/etc/shadow', '/no/such/file/anywhere'):
            for route in ('/v1/jobs', '/v1/plan'):
                with self.subTest(path=path[:80], route=route):
                    reply = self.daemon.post(route, {'recipe': 'crop', 'inputs': [path]})
                    self.assertIn(reply.status, (400, 403, 422) if len(path) > 200 or path == '' else (403,), '\n%s' % reply)
                    self.problem(reply, reply.status)
            with self.subTest(path=path[:80], route='/video/crop'):
                reply = self.daemon.post('/video/crop', {'inputPath': path})
                self.problem(reply, reply.status)
                self.assertIn(reply.status, (400, 403, 422))
        for path in ('loop', '%2e%2e/secret.mp4', '..\\secret.mp4', 'file:secret.mp4', 'http://example.org/x.mp4', 'concat:a|b', '-i', '~root/x', '$HOME/x', '\u202e.mp4', '..%c0%af'):
            with self.subTest(path=path):
                reply = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [path]})
                self.problem(reply, reply.status)
                self.assertIn(reply.status, (403, 422))
        # What is refused does not tell whether it exists.
        there, absent = (self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [p]}).json for p in ('/etc/passwd', '/etc/passwe'))
        self.assertEqual(there['detail'].replace('passwd', 'passwe'), absent['detail'])
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])
        # And links that stay inside are fine.
        os.symlink('../' + self.name, os.path.join(self.media, 'out', 'inside.mp4'))
        self.ends(self.submit('out/inside.mp4')['id'])
        self.ends(self.submit('./out/./inside.mp4')['id'])

    def test_outputs(self):
        self.serve()
        secret = self.outsiders()
        os.symlink(self.dir, os.path.join(self.media, 'elsewhere'))
        before = sorted(os.listdir(self.dir))
        with open(secret, 'rb') as file:
            precious = file.read()
        for path in ('../new.mp4', 'out/../../new.mp4', secret, '/tmp/weir-escape.mp4', 'up/new.mp4', 'elsewhere/new.mp4', 'root/tmp/new.mp4', '/new.mp4',
                     os.path.join(self.data, 'new.mp4'), os.path.join(self.data, 'artifacts', 'new.mp4'), self.media + '2/new.mp4', '..', '/', '/dev/shm/x.mp4', '.', ''):
            with self.subTest(path):
                reply = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.name], 'outputs': [path], 'overwrite': True})
                if path == '' and reply.status == 202:   # no name is no wish
                    self.ends(reply.json['id'])
                    continue
                self.problem(reply, reply.status)
                self.assertIn(reply.status, (400, 403, 422))
                self.assertTrue(path in ('..', '/', '.', '') or reply.status == 403, '\n%s' % reply)
        # A link as the output's own name is replaced or refused, never followed.
        reply = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.name], 'outputs': ['absolute-link.mp4'], 'overwrite': True})
        if reply.status == 202:
            self.ends(reply.json['id'])
        else:
            self.problem(reply, reply.status)
        with open(secret, 'rb') as file:
            self.assertEqual(file.read(), precious)
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        self.assertFalse(os.path.exists('/tmp/weir-escape.mp4'))
        long_name = self.daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [self.name], 'outputs': ['out/' + 'x' * 300 + '.mp4']})
        self.problem(long_name, long_name.status)

    def test_folder_replaced_while_it_waits(self):
        """A link put in the place of a folder between acceptance and start leads nowhere."""
        self.serve(scenario='obey-term', slots=1)
        running = self.submit(self.clip('plain'))['id']
        self.at_work(running)
        os.mkdir(os.path.join(self.media, 'swap'))
        job = self.submit(self.name, outputs=['swap/x.mp4'])['id']
        os.rmdir(os.path.join(self.media, 'swap'))
        elsewhere = os.path.join(self.dir, 'elsewhere')
        os.mkdir(elsewhere)
        os.symlink(elsewhere, os.path.join(self.media, 'swap'))
        self.play('pass')
        self.act(running, 'cancel')
        failed = self.ends(job, 'failed')
        self.assertEqual(failed['failure']['type'], 'forbidden', failed['failure'])
        self.assertEqual(os.listdir(elsewhere), [])

    def test_names_in_targets(self):
        self.serve()
        job = self.ends(self.submit(self.name)['id'])['id']
        base = b'/v1/jobs/' + job.encode() + b'/artifacts/'
        for target in (base + b'..', base + b'../crop.mp4', base + b'%2e%2e', base + b'..%2fcrop.mp4', base + b'%2fetc%2fpasswd', base + b'.', base + b'%00',
                       base + b'crop.mp4%00.txt', base + b'%c0%ae%c0%ae', base + b'%ff', b'/v1/jobs/../../etc/passwd', b'/v1//jobs', b'/v1/jobs//log', b'//v1/jobs',
                       b'http://localhost/v1/jobs', b'*', b'v1/jobs', b'/v1/jobs#x', b'/v1/jobs?a=%zz', b'/%', b'/v1/jo\x80bs', b'/' + b'a/' * 100):
            with self.subTest(target):
                answer = self.get(target)
                self.assertIn(answer.status, (400, 404), str(answer))
                self.problem(answer, answer.status)
        for target in (b'/', b'/v1', b'/v2/jobs', b'/v1/jobs/x/y', b'/V1/JOBS', b'/favicon.ico', b'/.git/config', base + b'jobs.db', base + b'crop.mp4.part'):
            self.problem(self.get(target), 404, 'not-found')
        encoded = self.get(base + b'cr%6fp.mp4')
        self.assertEqual(encoded.status, 200)
        for method in (b'PUT', b'DELETE', b'PATCH', b'POST'):
            answer = self.get(b'/v1/system', method=method, headers=b'Content-Length: 0\r\n')
            self.problem(answer, 405, 'method-not-allowed')
            self.assertEqual(answer.headers['allow'], 'GET, HEAD')
        for method in (b'TRACE', b'CONNECT', b'BREW', b'get'):
            answer = self.get(b'/v1/system', method=method)
            self.assertIn(answer.status, (400, 405, 501), str(answer))


class Sites(Web):
    def test_hosts_and_origins(self):
        self.serve()
        port = b'%d' % self.port
        for host in (b'localhost', b'127.0.0.1', b'localhost:' + port, b'127.0.0.1:' + port, b'LOCALHOST', b'[::1]:' + port):
            self.assertEqual(self.get(b'/healthz', host=b'Host: ' + host + b'\r\n').status, 200, host)
        for host in (b'example.org', b'localhost.example.org', b'127.0.0.1.nip.io', b'evil', b'169.254.169.254', b'localhost:x', b'', b'localhost@evil', b'10.0.0.1'):
            answer = self.get(b'/healthz', host=b'Host: ' + host + b'\r\n')
            self.assertIn(answer.status, (400, 403), host)
            self.problem(answer, answer.status)
        self.problem(self.get(b'/healthz', host=b'Host: example.org\r\n'), 403, 'forbidden', ['example.org'])
        self.problem(self.get(b'/healthz', host=b''), 400, 'malformed')
        self.problem(self.get(b'/healthz', host=b'Host: localhost\r\nHost: localhost\r\n'), 400, 'malformed')
        for origin in (b'http://example.org', b'https://localhost', b'null', b'http://localhost', b'http://localhost:1', b'file://', b'', b'http://127.0.0.1:' + port + b'.evil.org'):
            for method in (b'GET', b'POST', b'OPTIONS'):
                answer = self.get(b'/v1/jobs', method=method, headers=b'Origin: ' + origin + b'\r\nAccess-Control-Request-Method: POST\r\n' + (b'Content-Length: 0\r\n' if method == b'POST' else b''))
                self.problem(answer, 403, 'forbidden')
                self.assertNotIn('access-control-allow-origin', answer.headers)
        own = b'http://localhost:' + port
        answer = self.get(b'/v1/jobs', headers=b'Origin: ' + own + b'\r\n')
        self.assertEqual((answer.status, answer.headers['access-control-allow-origin']), (200, own.decode()))

    @needs_configuration
    def test_page_of_an_origin_that_may(self):
        """Its browser asks first, and is told of every header that this interface reads."""
        self.serve('--origin', 'https://app.example')
        with self.daemon.connect() as raw:   # no call of the document
            raw.sendall(b'OPTIONS /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: https://app.example\r\n'
                        b'Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: prefer, if-range\r\n\r\n')
            answer = Answer(b'', read_all(raw))
        self.assertEqual((answer.status, answer.headers['access-control-allow-origin']), (204, 'https://app.example'), str(answer))
        allowed = {name.strip().lower() for name in answer.headers['access-control-allow-headers'].split(',')}
        read = {parameter['name'].lower() for parameter in contract().components['parameters'].values() if parameter['in'] == 'header'}
        self.assertIn('prefer', read)
        self.assertEqual(read - allowed, set())
        self.assertLessEqual({'authorization', 'content-type', 'x-api-key'}, allowed)
        self.assertIn('PATCH', answer.headers['access-control-allow-methods'])
        self.problem(self.get(b'/v1/jobs', method=b'OPTIONS', headers=b'Origin: https://app.example.org\r\nAccess-Control-Request-Method: POST\r\n'), 403, 'forbidden')


class Connections(Web):
    def test_malformed_requests(self):
        self.with_a_job()
        before = self.daemon.get('/v1/system').json['requests']['total']
        for request in (b'\r\n\r\n\r\n\r\n', b'hello\r\n\r\n', b'GET\r\n\r\n', b'GET /\r\n\r\n', b'GET / HTTP/9.9\r\nHost: localhost\r\n\r\n', b'GET / HTTP/2.0\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'\0' * 200,
                        b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'GET / HTTP/1.1\r\nHost localhost\r\n\r\n', b'GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n',
                        b'GET / HTTP/1.1\r\nHost: localhost\r\nA\0B: x\r\n\r\n', b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
                        b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx', b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n\r\nx',
                        b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
                        b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n',
                        b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n', b'\0' * 5000, b'GET /' + b'x' * 70000):
            answer = self.raw(request, half_close=True)
            with self.subTest(request[:80]):
                if answer.text:
                    self.assertIn(answer.status, (400, 403, 404, 405, 411, 413, 414, 431, 501, 505), str(answer))
                    self.problem(answer, answer.status)
        self.assertGreaterEqual(self.daemon.get('/v1/system').json['requests']['total'], before)
        self.still_fine()

    def test_header_flood(self):
        self.with_a_job()
        for flood in (b''.join(b'X-%d: y\r\n' % n for n in range(5000)), b'X: ' + b'y' * 100000 + b'\r\n', b'Cookie: a=b\r\n' * 3000):
            answer = self.get(b'/healthz', headers=flood)
            self.assertIn(answer.status, (400, 413, 431), str(answer))
        with self.daemon.connect() as raw:
            raw.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n')
            sent = 0
            try:
                while sent < 16 << 20:
                    raw.sendall(b'X: ' + b'y' * 8000 + b'\r\n')
                    sent += 8005
            except OSError:
                pass
            self.assertLess(sent, 16 << 20)
        self.still_fine()

    def test_pipelining(self):
        self.serve()
        count = 200
        request = b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
        answer = self.raw(request * (count - 1) + request.replace(b'\r\n\r\n', b'\r\nConnection: close\r\n\r\n'))
        self.assertEqual(answer.text.count(b'HTTP/1.1 200 OK'), count)
        body = json.dumps({'recipe': 'nonesuch', 'inputs': ['x']}).encode()
        mixed = b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body)
        text = self.raw((mixed + request) * 20 + b'GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n').text
        self.assertEqual((text.count(b'HTTP/1.1 400'), text.count(b'HTTP/1.1 200'), text.count(b'HTTP/1.1 404')), (20, 20, 1))

    def test_half_closed(self):
        """Who only stops sending still gets the answer."""
        self.serve()
        self.assertEqual(self.raw(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n', half_close=True).status, 200)
        body = json.dumps({'recipe': 'crop', 'inputs': [self.name]}).encode()
        answer = self.raw(b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\nContent-Length: %d\r\n\r\n%s' % (len(body), body), half_close=True, timeout=30)
        self.assertEqual(answer.status, 200, str(answer))
        # A body that ends too soon is no request.
        answer = self.raw(b'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n%s' % body, half_close=True)
        self.assertNotIn(answer.status, (200, 202))
        self.assertEqual(len(self.daemon.get('/v1/jobs').json['jobs']), 1)

    @slow
    def test_slow_clients(self):
        """Those that send a byte now and then are answered 408 or closed when the time for a header is over."""
        self.with_a_job()
        begun = time.monotonic()
        slow_ones = [self.daemon.connect(30) for _ in range(100)]
        text = b'GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: '
        open_ones = set(slow_ones)
        position = 0
        while open_ones and time.monotonic() - begun < 25:
            for raw in list(open_ones):
                try:
                    raw.send(text[position:position + 1] or b'x')
                except OSError:
                    open_ones.discard(raw)
            position += 1
            time.sleep(0.4)
            if position == 10:
                self.assertEqual(self.daemon.get('/healthz').status, 200)
                self.still_fine()
        self.assertLess(time.monotonic() - begun, 25 * PATIENCE)
        self.assertFalse(open_ones, 'slow senders are kept')
        answers = [Answer(b'', read_all(raw)) for raw in slow_ones]
        for answer in answers:
            if answer.text:
                self.assertEqual(answer.status, 408, str(answer))
        for raw in slow_ones:
            raw.close()

    @slow
    def test_reader_that_takes_nothing(self):
        """Large answers to those who do not read hold up nobody and are not kept in memory."""
        self.with_a_job()
        for number in range(60):
            self.submit(self.name, labels={'l%d' % n: 'x' * 200 for n in range(20)})
        sleepers = []
        for _ in range(100):
            raw = self.daemon.connect(receive_buffer=4096)
            raw.sendall(b'GET /v1/jobs?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n' * 5)
            sleepers.append(raw)
        begun = time.monotonic()
        self.assertEqual(self.daemon.get('/healthz').status, 200)
        self.assertLess(time.monotonic() - begun, 2 * PATIENCE)
        for raw in sleepers:
            raw.close()
        for job in self.daemon.get('/v1/jobs?state=queued&limit=1000').json['jobs']:
            self.act(job['id'], 'cancel')
        self.still_fine(40 << 20)

    def connect_many(self, count):
        held = []
        self.addCleanup(lambda: [raw.close() for raw in held])
        for _ in range(count):
            held.append(self.daemon.connect(5))
        return held

    def descriptors(self, wanted):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest('no more than %d descriptors here' % hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    @slow
    def test_two_thousand_connections(self):
        self.descriptors(2500)
        self.with_a_job('--connections', '1024')
        held = self.connect_many(2000)
        served = self.served(held)
        # Whoever was served and is idle for long makes room for another.
        self.assertTrue(990 <= served <= 1600, served)
        if PATIENCE == 1:
            self.assertLess(memory_of(self.daemon.pid), 40 << 20)
        for raw in held:
            raw.close()
        served = wait_until(lambda: self.answers(), 5 * PATIENCE)
        self.assertTrue(served)
        self.still_fine(40 << 20)

    @slow
    def test_ten_thousand_connections(self):
        """With the limits that there are by default: those beyond are closed, and a job that works does not notice."""
        self.descriptors(10_500)
        self.with_a_job()
        held = self.connect_many(10_000)
        served = self.served(held)
        self.assertTrue(200 <= served <= 5000, served)
        if PATIENCE == 1:
            self.assertLess(memory_of(self.daemon.pid), 40 << 20)
        for raw in held:
            raw.close()
        self.assertTrue(wait_until(self.answers, 15 * PATIENCE))
        self.still_fine(40 << 20)

    def test_idle_callers_make_room(self):
        """Who says nothing does not keep out who does."""
        self.serve('--connections', '20')
        held = [self.daemon.connect(5) for _ in range(20)]
        self.addCleanup(lambda: [raw.close() for raw in held])
        began = time.monotonic()
        self.assertTrue(wait_until(self.answers, 5 * PATIENCE, 0.1))
        if PATIENCE == 1:
            self.assertLess(time.monotonic() - began, 3)
        self.assertEqual(self.ends(self.submit(self.clip('one_frame'))['id'])['attempt'], 1)

    def served(self, callers):
        """How many of them are answered. The others are closed; nobody is left waiting."""
        served = 0
        for raw in callers:
            try:
                raw.sendall(b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n')
                answer = raw.recv(1 << 12)
            except ConnectionError:
                continue
            self.assertTrue(answer == b'' or b' 200 OK' in answer, answer)
            served += answer != b''
        return served

    def answers(self):
        try:
            return self.daemon.get('/healthz').status == 200
        except OSError:
            return False

    @slow
    def test_noise(self):
        """Random bytes, cut and changed requests, from several at once."""
        self.with_a_job()
        seed = int(os.environ.get('WEIR_TEST_SEED', '0')) or random.randrange(1 << 30)
        body = json.dumps({'recipe': 'crop', 'inputs': ['none.mp4'], 'params': {'crf': 20}, 'labels': {'a': 'b'}}).encode()
        whole = (b'POST /v1/jobs?x=1 HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nPrefer: wait=1\r\nContent-Length: %d\r\n\r\n' % len(body)) + body
        whole += b'GET /v1/jobs?limit=5&state=queued HTTP/1.1\r\nHost: localhost\r\nRange: bytes=1-2\r\nLast-Event-ID: 3\r\n\r\n'

        def make_noise(number):
            dice = random.Random(seed + number)
            for _ in range(60):
                text = bytearray(whole)
                for _ in range(dice.randrange(1, 8)):
                    at = dice.randrange(len(text))
                    what = dice.randrange(4)
                    if what == 0:
                        text[at] = dice.randrange(256)
                    elif what == 1:
                        del text[at:at + dice.randrange(1, 40)]
                    elif what == 2:
                        text[at:at] = text[at:at + dice.randrange(1, 60)]
                    else:
                        text[at:at] = dice.randbytes(dice.randrange(1, 30))
                    if not text:
                        text = bytearray(b'x')
                try:
                    with self.daemon.connect(1) as raw:
                        raw.sendall(bytes(text))
                        if dice.random() < 0.7:
                            raw.shutdown(socket.SHUT_WR)
                            raw.recv(1 << 16)
                        elif dice.random() < 0.5:
                            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                except OSError:
                    pass
        threads = [threading.Thread(target=make_noise, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(self.daemon.alive, 'seed %d\n%s' % (seed, self.daemon.log[-2000:]))
        self.assertEqual(self.daemon.get('/healthz').status, 200, 'seed %d' % seed)
        self.still_fine()


class Settings(Web):
    SECRETS = {'reader': ('read-secret', ['read']), 'worker': ('work-secret', ['read', 'submit']), 'boss': ('boss-secret', ['admin'])}

    def configured(self):
        path = os.path.join(self.dir, 'weir.toml')
        with open(path, 'w') as file:
            for name, (secret, scopes) in self.SECRETS.items():
                file.write('[[tokens]]\nname = "%s"\nsha256 = "%s"\nscopes = %s\n' % (name, hashlib.sha256(secret.encode()).hexdigest(), json.dumps(scopes)))
        os.chmod(path, 0o600)
        daemon = self.serve('--config', path, ready=False)
        self.assertTrue(wait_until(self.answers_at_all, 20 * PATIENCE), daemon.log)
        return daemon

    def answers_at_all(self):
        try:
            return self.daemon.get('/healthz').status in (200, 401)
        except OSError:
            return False

    @needs_configuration
    def test_tokens(self):
        daemon = self.configured()
        bearer = lambda name: {'Authorization': 'Bearer ' + self.SECRETS[name][0]}
        body = {'recipe': 'crop', 'inputs': [self.name]}
        for headers in ({}, {'Authorization': 'Bearer wrong'}, {'Authorization': 'Basic cmVhZC1zZWNyZXQ='}, {'Authorization': 'Bearer '}, {'X-API-Key': 'read-secre'},
                        {'Authorization': 'Bearer ' + hashlib.sha256(b'read-secret').hexdigest()}):
            reply = daemon.get('/v1/jobs', headers=headers)
            self.problem(reply, 401, 'unauthorized')
            self.assertIn('www-authenticate', reply.headers)
        self.assertEqual(daemon.get('/v1/jobs', headers=bearer('reader')).status, 200)
        self.assertEqual(daemon.get('/v1/jobs', headers={'X-API-Key': 'read-secret'}).status, 200)
        self.problem(daemon.post('/v1/jobs', body, headers=bearer('reader')), 403, 'forbidden')
        reply = daemon.post('/v1/jobs', body, headers=bearer('worker'))
        self.assertEqual((reply.status, reply.json['owner']), (202, 'worker'))
        path = '/v1/jobs/' + reply.json['id']
        for method, call in (('POST', '/cancel'), ('POST', '/pause'), ('DELETE', ''), ('PATCH', '')):
            self.problem(daemon.call(method, path + call, {} if method == 'PATCH' else None, headers=bearer('reader')), 403, 'forbidden')
        self.problem(daemon.post('/v1/drain', headers=bearer('worker')), 403, 'forbidden')
        self.problem(daemon.post('/api/diagnostics/resources/cleanup', headers=bearer('worker')), 403, 'forbidden')
        self.assertEqual(daemon.post('/v1/drain', headers=bearer('boss')).status, 200)
        self.assertEqual(daemon.post('/v1/undrain', headers=bearer('boss')).status, 200)
        done = daemon.get(path, headers={**bearer('worker'), 'Prefer': 'wait=30'}).json
        self.assertEqual(done['state'], 'succeeded')
        self.problem(daemon.get(done['artifacts'][0]['url']), 401, 'unauthorized')
        self.problem(daemon.get(path + '/events'), 401, 'unauthorized')
        self.problem(daemon.get('/v1/events'), 401, 'unauthorized')
        for secret, _ in self.SECRETS.values():
            self.assertNotIn(secret, daemon.log)

    @needs_configuration
    def test_beyond_loopback_only_with_tokens(self):
        daemon = self.serve('--listen', '0.0.0.0:%d' % self.port, ready=False)
        self.assertEqual(daemon.ended(10), 33, daemon.log)

    @needs_configuration
    def test_too_many_requests(self):
        daemon = self.serve('--requests-per-second', '20')
        replies = [daemon.get('/healthz') for _ in range(100)]
        refused = [reply for reply in replies if reply.status != 200]
        self.assertTrue(refused, 'nobody was refused')
        self.problem(refused[0], 429, 'busy')
        self.assertGreaterEqual(int(refused[0].headers['retry-after']), 1)
        self.assertTrue(wait_until(lambda: daemon.get('/healthz').status == 200, 5 * PATIENCE))

    @needs_configuration
    def test_rates_of_routes(self):
        daemon = self.serve('--route-rate', 'POST /v1/jobs 1')
        name = self.clip('one_frame')
        replies = [daemon.post('/v1/jobs', {'recipe': 'crop', 'inputs': [name]}) for _ in range(20)]
        refused = [reply for reply in replies if reply.status != 202]
        self.assertTrue(refused, 'nobody was refused')
        self.problem(refused[0], 429, 'busy', ['to POST /v1/jobs'])
        self.assertEqual({daemon.get('/v1/jobs').status for _ in range(20)}, {200}, 'reading is not limited')

    @slow
    @unittest.skipUnless(shutil.which('prlimit'), 'needs prlimit')
    def test_few_descriptors(self):
        """More callers than descriptors: some wait or are closed; nothing spins, and what runs goes on."""
        self.serve(scenario='slow-real', slots=1, prefix=('prlimit', '--nofile=80:80', '--'))
        job = self.submit(self.clip('busy'))['id']
        self.at_work(job)
        held = []
        self.addCleanup(lambda: [raw.close() for raw in held])
        for _ in range(200):
            try:
                held.append(self.daemon.connect(2))
            except OSError:
                break
        before = cpu_of(self.daemon.pid)
        time.sleep(1)
        self.assertLess(cpu_of(self.daemon.pid) - before, 0.5, 'it spins')
        for raw in held:
            raw.close()
        self.assertTrue(wait_until(self.answers_at_all, 10 * PATIENCE), 'it does not answer any more')
        self.assertEqual(self.ends(job)['attempt'], 1)


class Size(Web):
    @slow
    def test_nothing_is_kept(self):
        """Thousands of requests of every kind leave the daemon as small as before."""
        daemon = self.serve(scenario='obey-term', slots=1)
        job = self.submit(self.clip('plain'))['id']
        self.at_work(job)

        def round_of_requests():
            with daemon.connect(30) as raw:
                for path in (b'/v1/jobs', b'/v1/system', b'/metrics', b'/health', b'/v1/jobs/nonesuch', b'/v1/recipes', b'/nowhere', b'/v1/jobs/' + job.encode()):
                    raw.sendall(b'GET ' + path + b' HTTP/1.1\r\nHost: localhost\r\n\r\n')
                raw.shutdown(socket.SHUT_WR)
                read_all(raw, 16 << 20)
        for _ in range(20):
            round_of_requests()
        before = memory_of(daemon.pid)
        for _ in range(400):
            round_of_requests()
        if PATIENCE == 1:
            self.assertLess(memory_of(daemon.pid) - before, 4 << 20)
            self.assertLess(memory_of(daemon.pid), 40 << 20)
        self.act(job, 'cancel')
