"""Holds what is asked of the daemon, and what it answers, against the OpenAPI document that it serves.

A call that was answered well must have been a valid request; every answer must be one that the document tells of:
its status, type, headers and every member of its body. What fails is an AssertionError that says where.
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.parse
import warnings

from harness import PATIENCE, binary

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    import jsonschema

METHODS = ('get', 'post', 'put', 'patch', 'delete')


class Violation(AssertionError):
    pass


def path_of(target):
    return target.split('?', 1)[0].split('#', 1)[0]


class Contract:
    def __init__(self, document):
        self.document = document
        self.components = document['components']
        self.operations = []   # (method, expression for the path, path, operation)
        for path, item in document['paths'].items():
            parts = [('[^/]+' if part.startswith('{') else re.escape(part)) for part in path.split('/')]
            for method in METHODS:
                if method in item:
                    self.operations.append((method.upper(), re.compile('/'.join(parts) + '/?'), path, item[method]))
        self.exercised = set()   # (method, path, status)
        self._validators = {}
        self._fine = set()       # bodies that were looked at before

    # --- the parts of a document ---

    def resolve(self, part):
        while '$ref' in part:
            found = self.document
            for name in part['$ref'].lstrip('#/').split('/'):
                found = found[name]
            part = found
        return part

    def documented(self):
        return {(method, path) for method, _, path, _ in self.operations}

    def find(self, method, target):
        """The path of the document that a target is for and its operation; None for either when there is none."""
        path = path_of(target)
        method = 'GET' if method == 'HEAD' else method
        known = None
        for one, expression, template, operation in self.operations:
            if expression.fullmatch(path):
                known = template
                if one == method:
                    return template, operation
        return known, None

    def allowed(self, target):
        path = path_of(target)
        return {method for method, expression, _, _ in self.operations if expression.fullmatch(path)}

    def check(self, schema, value, what):
        """`value` is as `schema` says."""
        key = json.dumps(schema, sort_keys=True)
        validator = self._validators.get(key)
        if validator is None:
            # References lead into the whole document, so it comes along.
            validator = jsonschema.Draft202012Validator({'allOf': [schema], 'components': self.components})
            self._validators[key] = validator
        for problem in validator.iter_errors(value):
            deepest = problem
            while deepest.context:
                deepest = max(deepest.context, key=lambda one: len(one.absolute_path))
            raise Violation('%s is not as documented: %s at /%s' % (what, deepest.message[:400], '/'.join(map(str, deepest.absolute_path))))

    # --- calls ---

    def request(self, method, target, body, headers):
        """A request that was answered well is a valid one."""
        path, operation = self.find(method, target)
        if operation is None:
            return
        what = '%s %s' % (method, path)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        query = urllib.parse.parse_qsl(target.partition('?')[2], keep_blank_values=True)
        known = set()
        for parameter in map(self.resolve, operation.get('parameters', ())):
            name, place = parameter['name'], parameter['in']
            if place == 'query':
                known.add(name)
                values = [value for key, value in query if key == name]
            elif place == 'header':
                values = [given[name.lower()]] if name.lower() in given else []
            else:
                continue
            if parameter.get('required') and not values:
                raise Violation('%s: %s is required' % (what, name))
            for value in values:
                self.check(parameter['schema'], int(value) if parameter['schema'].get('type') == 'integer' else value, '%s: %s' % (what, name))
        for name, _ in query:
            # Elsewhere callers may add what they like.
            if name not in known and path.startswith('/v1/'):
                raise Violation('%s: the query %s is not documented' % (what, name))
        described = operation.get('requestBody')
        if described is None:
            if body:
                raise Violation('%s: a body is not documented' % what)
        elif body:
            self.check(described['content']['application/json']['schema'], json.loads(body), 'the request %s' % what)
        elif described.get('required'):
            raise Violation('%s: a body is required' % what)

    def answer(self, method, target, status, headers, body):
        """Whatever was asked, this may be the answer. `headers`: names in lower case."""
        path, operation = self.find(method, target)
        known = (operation or self.document['x-no-route'])['responses']
        what = 'the answer %s %s -> %d' % (method, path or target[:80], status)
        if operation is None and status < 400:
            raise Violation('%s: there is no such route' % what)
        if str(status) not in known:
            raise Violation('%s: the status is not documented' % what)
        response = self.resolve(known[str(status)])
        for name, header in response.get('headers', {}).items():
            header = self.resolve(header)
            value = headers.get(name.lower())
            if value is None:
                if header.get('required'):
                    raise Violation('%s: the header %s is missing' % (what, name))
                continue
            self.check(header['schema'], int(value) if header['schema'].get('type') == 'integer' else value, '%s: %s' % (what, name))
        if status == 405 and 'allow' in headers and path:
            allowed = {name.strip() for name in headers['allow'].split(',')} - {'HEAD'}
            if allowed != self.allowed(target):
                raise Violation('%s: Allow is %s' % (what, headers['allow']))
        if operation is not None:
            self.exercised.add(('GET' if method == 'HEAD' else method, path, status))
        if method == 'HEAD':
            if body:
                raise Violation('%s: a body' % what)
            return
        content = response.get('content')
        if not content:
            if body:
                raise Violation('%s: a body' % what)
            return
        kind = headers.get('content-type', '').split(';')[0].strip()
        if kind not in content:
            raise Violation('%s: the type %r is not documented' % (what, kind))
        if 'schema' not in content[kind] or kind == 'text/event-stream':
            return
        key = (path, method, status, hash(body))
        if key in self._fine:
            return
        if kind.endswith('json'):
            try:
                value = json.loads(body.decode('utf-8'))
            except ValueError as problem:
                raise Violation('%s: not JSON: %s' % (what, problem)) from None
        else:
            value = body.decode('utf-8')
        self.check(content[kind]['schema'], value, what)
        if len(self._fine) < 10000:
            self._fine.add(key)

    def event(self, target, kind, data):
        """One event of a stream."""
        path, operation = self.find('GET', target)
        schemas = operation['responses']['200']['content']['text/event-stream']['x-events']
        if kind not in schemas:
            raise Violation('%s: events of type %s are not documented' % (path, kind))
        self.check(schemas[kind], data, 'the event %s of %s' % (kind, path))


# --- the document of the binary under test ---

def fetch():
    """The text that the binary serves, from a daemon of its own that has no other callers."""
    from daemon_harness import free_port
    folder = tempfile.mkdtemp(prefix='weir-contract-')
    port = free_port()
    daemon = subprocess.Popen([binary(), 'serve', '--listen', '127.0.0.1:%d' % port, '--data', os.path.join(folder, 'data'), '--memory', '300M', '--media-root', folder],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, start_new_session=True,
                              env={'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': folder, 'TMPDIR': folder, 'WEIR_STATE_DIR': os.path.join(folder, 'state'),
                                   'XDG_CONFIG_HOME': os.path.join(folder, 'none')})
    try:
        end = time.monotonic() + 20 * PATIENCE
        while True:
            connection = http.client.HTTPConnection('127.0.0.1', port, timeout=10 * PATIENCE)
            try:
                connection.request('GET', '/openapi.json')
                response = connection.getresponse()
                text = response.read()
                if response.status != 200:
                    raise AssertionError('GET /openapi.json -> %d' % response.status)
                return text.decode('utf-8')
            except OSError:
                if time.monotonic() > end or daemon.poll() is not None:
                    raise AssertionError('no daemon to ask for its document') from None
            finally:
                connection.close()
            time.sleep(0.02)
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(folder, True)


_contract = None


def contract():
    """Of the binary under test; the same for all tests of this process."""
    global _contract
    if _contract is None:
        path = os.environ.get('WEIR_TEST_DOCUMENT')
        if path:
            with open(path, encoding='utf-8') as file:
                text = file.read()
        else:
            text = fetch()
        _contract = Contract(json.loads(text))
    return _contract


def exercised():
    return sorted(_contract.exercised) if _contract else []
