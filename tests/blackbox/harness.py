"""What every black-box test stands on: running weir, reading what it says, and proving that it left nothing behind.

Nothing here knows how weir is built. A test gets a folder of its own with `src`, `out` and `state` in it; after each
test the folder is searched for working folders, /proc for processes that touch it, and the cgroup trees for groups.
"""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))

EXIT = {
    'ok': 0, 'internal': 1, 'bad-parameters': 2, 'input-missing': 3, 'input-not-a-file': 4, 'input-unreadable': 5,
    'input-empty': 6, 'input-not-media': 7, 'input-damaged': 8, 'input-no-video': 9, 'input-too-large': 10,
    'disk-full': 11, 'over-budget': 12, 'out-of-memory': 13, 'timed-out': 14, 'stalled': 15, 'output-exists': 16,
    'output-is-input': 17, 'output-folder': 18, 'output-unwritable': 19, 'output-format': 20, 'tool-missing': 21,
    'tool-unusable': 22, 'child-failed': 23, 'crashed': 24, 'runaway': 25, 'verification': 26, 'sandbox': 27,
    'system': 28, 'interrupted': 130, 'terminated': 143,
}
NAME_OF_EXIT = {code: name for name, code in EXIT.items()}

# A sanitizer build is several times slower; limits on its time stretch by this.
PATIENCE = float(os.environ.get('WEIR_TEST_PATIENCE', '1'))
QUICK = os.environ.get('WEIR_TEST_QUICK') == '1'
LONG = os.environ.get('WEIR_TEST_LONG') == '1'


def binary():
    return os.environ.get('WEIR_BINARY') or os.path.join(REPOSITORY, 'build', 'release', 'weir')


def fake_program():
    """The hostile ffmpeg, or None when it was not built."""
    named = os.environ.get('WEIR_FAKE_FFMPEG')
    if named:
        return named
    beside = os.path.join(os.path.dirname(os.path.abspath(binary())), 'fake_ffmpeg')
    candidates = [beside]
    builds = os.path.join(REPOSITORY, 'build')
    if os.path.isdir(builds):
        for name in sorted(os.listdir(builds)):
            candidates.append(os.path.join(builds, name, 'fake_ffmpeg'))
            candidates.append(os.path.join(builds, name, 'tests', 'fake_ffmpeg'))
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def slow(test):
    """Left out of --quick runs."""
    return unittest.skipIf(QUICK, 'not in a quick run')(test)


def long_only(test):
    return unittest.skipUnless(LONG, 'only with --long')(test)


def needs_root(test):
    return unittest.skipUnless(os.geteuid() == 0, 'needs root')(test)


class Done:
    """One finished run of weir."""

    def __init__(self, arguments, code, out, err, seconds):
        self.arguments, self.code, self.out, self.err, self.seconds = arguments, code, out, err, seconds

    @property
    def text(self):
        return self.out.decode('utf-8', 'replace')

    @property
    def errors(self):
        return self.err.decode('utf-8', 'replace')

    @property
    def document(self):
        try:
            return json.loads(self.out.decode('utf-8'))
        except ValueError as problem:
            raise AssertionError('standard output is not one JSON document (%s)\n%s' % (problem, self)) from None

    def __str__(self):
        command = ' '.join(repr(os.fsdecode(a)) if not re.fullmatch(rb'[\w./:,+=-]+', os.fsencode(a)) else os.fsdecode(a)
                           for a in self.arguments)
        return '  command: weir %s\n  exit: %s (%s) after %.2f s\n  stdout: %s\n  stderr: %s' % (
            command, self.code, NAME_OF_EXIT.get(self.code, '?'), self.seconds,
            self.text[-1500:].strip(), self.errors[-1500:].strip())


# --- the world outside -------------------------------------------------------------------------------------------

def processes_of(folder, marker=None):
    """Live processes that run, stand in, hold open or were called with anything below `folder`: {pid: what}."""
    folder = os.path.realpath(folder)
    wanted = folder.encode()
    found = {}
    mine = os.getpid()
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) == mine:
            continue
        base = '/proc/' + name
        try:
            with open(base + '/stat', 'rb') as file:
                fields = file.read()
            state = fields.rsplit(b')', 1)[1].split()[0]
            comm = fields.split(b'(', 1)[1].rsplit(b')', 1)[0]
            if state in b'ZX':
                continue
            with open(base + '/cmdline', 'rb') as file:
                cmdline = file.read()
        except (OSError, IndexError):
            continue
        if marker and (marker in comm or marker in cmdline):
            found[int(name)] = 'marker: ' + cmdline.replace(b'\0', b' ').decode('utf-8', 'replace')[:120]
            continue
        if wanted in cmdline:
            found[int(name)] = cmdline.replace(b'\0', b' ').decode('utf-8', 'replace')[:160]
            continue
        links = [base + '/cwd', base + '/exe']
        try:
            links += [base + '/fd/' + fd for fd in os.listdir(base + '/fd')]
        except OSError:
            pass
        for link in links:
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target == folder or target.startswith(folder + '/'):
                found[int(name)] = '%s (%s) %s -> %s' % (comm.decode('utf-8', 'replace'), state.decode(), link, target)
                break
    return found


def kill_all(folder):
    for pid in processes_of(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def work_folders(folder):
    """Paths of `.weir-*` anywhere below `folder`."""
    found = []
    for path, folders, files in os.walk(os.fsencode(folder)):
        for name in folders + files:
            if name.startswith(b'.weir-'):
                found.append(os.path.join(path, name))
    return found


def records_of(state):
    """Records of runs in a state folder, unfinished ones included."""
    try:
        return os.listdir(os.path.join(state, 'runs'))
    except OSError:
        return []


def cgroup_folders():
    """All groups of runs (weir- and 16 characters) below /sys/fs/cgroup: {path: True when empty}."""
    found = {}
    top = '/sys/fs/cgroup'
    for path, folders, _ in os.walk(top):
        for name in folders:
            if re.fullmatch('weir-[0-9a-z]{16}', name):
                group = os.path.join(path, name)
                try:
                    with open(os.path.join(group, 'cgroup.procs'), 'rb') as file:
                        found[group] = not file.read().strip()
                except OSError:
                    continue
    return found


# Groups that were empty and new at the end of a test. Another run may just be between making and filling one, so
# they are judged only when everything has ended: {path: name of the test that saw it first}.
suspects = {}
groups_before = frozenset(cgroup_folders())


def suspects_that_stayed():
    return {group: test for group, test in suspects.items() if os.path.isdir(group)}


def wait_until(condition, seconds, step=0.02):
    """The condition's value as soon as it is true, or its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(step)


def digest(path):
    import hashlib
    total = hashlib.sha256()
    with open(path, 'rb') as file:
        for chunk in iter(lambda: file.read(1 << 20), b''):
            total.update(chunk)
    return total.hexdigest()


def listing(folder):
    """Names below a folder with what must not change: type, size, inode, mtime."""
    found = {}
    for name in os.listdir(os.fsencode(folder)):
        info = os.lstat(os.path.join(os.fsencode(folder), name))
        found[name] = (stat.S_IFMT(info.st_mode), info.st_size, info.st_ino, info.st_mtime_ns)
    return found


_shared_state = None


def shared_state():
    """One state folder for all ordinary tests of this process, so that self-tests are cached as for a real user."""
    global _shared_state
    if _shared_state is None:
        import atexit
        _shared_state = tempfile.mkdtemp(prefix='weir-state-')
        os.chmod(_shared_state, 0o700)
        atexit.register(shutil.rmtree, _shared_state, True)
    return _shared_state


class Case(unittest.TestCase):
    maxDiff = None
    own_state = False   # a state folder per test, for those that kill weir or change its world

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='weir-test-')
        os.chmod(self.dir, 0o755)
        self.src = os.path.join(self.dir, 'src')
        self.out = os.path.join(self.dir, 'out')
        self.state = os.path.join(self.dir, 'state') if self.own_state else shared_state()
        os.mkdir(self.src)
        os.mkdir(self.out)
        self.mounts = []
        self.addCleanup(self._remove)

    def _remove(self):
        kill_all(self.dir)
        for mount in reversed(self.mounts):
            subprocess.run(['umount', '-l', mount], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(os.fsencode(self.dir), ignore_errors=True)

    def tearDown(self):
        self.assert_nothing_left()

    def assertRegex(self, text, expected, msg=None):
        found = re.search(expected, text)
        if not found:
            self.fail('%r is not in %r %s' % (expected, text[:300], msg or ''))

    # --- running ---

    def environment(self, **changes):
        env = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'LC_ALL': 'C.UTF-8', 'HOME': self.dir, 'TMPDIR': self.dir,
               'WEIR_STATE_DIR': self.state}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS', 'LSAN_OPTIONS', 'WEIR_TEST_MEMORY_BACKEND'):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update({k: v for k, v in changes.items() if v is not None})
        return env

    # For children that are to make more processes, which seccomp would refuse them.
    FAMILIES = {'WEIR_TEST_NO_LAYERS': 'seccomp'}

    def start(self, *arguments, env=None, cwd=None, prefix=(), **options):
        """weir, started and not waited for; standard output and error are pipes."""
        options.setdefault('stdout', subprocess.PIPE)
        options.setdefault('stderr', subprocess.PIPE)
        child = subprocess.Popen(list(prefix) + [binary(), *arguments], stdin=subprocess.DEVNULL, cwd=cwd or self.dir,
                                 env=self.environment(**(env or {})), start_new_session=True, **options)
        child.weir_arguments = arguments
        child.weir_started = time.monotonic()
        self.addCleanup(self._end, child)
        return child

    @staticmethod
    def _end(child):
        if child.poll() is None:
            child.kill()
            child.wait()
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()

    def finish(self, child, timeout=120):
        try:
            out, err = child.communicate(timeout=timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            stuck = processes_of(self.dir)
            child.kill()
            out, err = child.communicate()
            done = Done(child.weir_arguments, 'none', out, err, time.monotonic() - child.weir_started)
            self.fail('weir did not end within %.0f s\n%s\n  alive: %s' % (timeout * PATIENCE, done, stuck))
        return Done(child.weir_arguments, child.returncode, out or b'', err or b'', time.monotonic() - child.weir_started)

    def weir(self, *arguments, timeout=120, **options):
        return self.finish(self.start(*arguments, **options), timeout)

    # --- what must be true ---

    def ok(self, done):
        self.assertEqual(done.code, 0, '\n%s' % done)
        return done

    def made(self, *arguments, **options):
        """Runs a recipe with --json, holds the whole document against the contract and returns it."""
        done = self.weir(*arguments, '--json', **options)
        self.ok(done)
        document = done.document
        self.check_document(document, done)
        return document

    def check_document(self, document, done):
        say = '\n%s' % done
        self.assertIs(document.get('ok'), True, say)
        for key in ('recipe', 'input', 'output', 'plan', 'memory', 'attempts', 'checks', 'notes', 'time', 'sandbox'):
            self.assertIn(key, document, say)
        self.assertEqual(document['recipe'], os.fsdecode(done.arguments[0]), say)
        plan, memory = document['plan'], document['memory']
        self.assertTrue(plan['name'], say)
        self.assertIsInstance(plan['arguments'], list, say)
        self.assertIsInstance(plan['stream_copy'], bool, say)
        self.assertIn('costs', plan, say)
        self.assertGreater(plan['forecast_peak_bytes'], 0, say)
        self.assertGreaterEqual(plan['lease_bytes'], plan['forecast_peak_bytes'], say)
        self.assertGreater(memory['budget_bytes'], 0, say)
        self.assertLessEqual(plan['lease_bytes'], memory['budget_bytes'], 'a lease above the budget' + say)
        self.assertIn(memory['backend'], ('cgroup-v2', 'cgroup-v1', 'rlimit-data'), say)
        self.assertGreater(memory['measured_peak_bytes'], 0, say)
        # A child begins as a copy of its maker, and an instrumented maker is larger than small leases.
        if PATIENCE == 1:
            self.assertLessEqual(memory['measured_peak_bytes'], plan['lease_bytes'], 'measured peak above the lease' + say)
        if memory['cgroup_peak_bytes'] is not None:
            self.assertLessEqual(memory['cgroup_peak_bytes'], plan['lease_bytes'] + (1 << 20), say)
        self.assertGreater(memory['own_pss_bytes'], 0, say)
        self.assertGreaterEqual(len(document['attempts']), 1, say)
        last = document['attempts'][-1]
        self.assertEqual(last['ending'], 'exited', say)
        for key in ('plan', 'lease_bytes', 'forecast_peak_bytes', 'measured_peak_bytes'):
            self.assertIn(key, last, say)
        self.assertGreaterEqual(len(document['checks']), 3, 'hardly anything was checked' + say)
        for check in document['checks']:
            self.assertIs(check['ok'], True, say)
            for key in ('what', 'expected', 'found'):
                self.assertIn(key, check, say)
        times = document['time']
        for key in ('probe_seconds', 'work_seconds', 'verify_seconds', 'total_seconds', 'cpu_seconds'):
            self.assertGreaterEqual(times[key], 0, say)
        self.assertIsInstance(document['notes'], list, say)
        self.assertIsInstance(document['sandbox']['missing'], list, say)
        self.assertGreater(document['output']['size_bytes'], 0, say)

    def error_lines(self, done):
        """Lines of standard error without the loud warnings about layers that this machine may lack."""
        text = done.err.decode('utf-8', 'replace')
        lines = [line for line in text.split('\n') if line]
        return [line for line in lines if not line.startswith('weir: warning')]

    def refused(self, done, name, words=()):
        """`done` failed as `name`, with one clear sentence and nothing else."""
        say = '\n%s' % done
        self.assertEqual(done.code, EXIT[name], 'expected exit %d (%s)%s' % (EXIT[name], name, say))
        sentences = [line for line in self.error_lines(done) if line.startswith('weir: ')]
        if '--json' in done.arguments:
            document = done.document
            self.assertIs(document.get('ok'), False, say)
            error = document['error']
            self.assertEqual(error['type'], name, say)
            self.assertEqual(error['exit_code'], EXIT[name], say)
            self.assertTrue(error['title'], say)
            self.assertTrue(error['detail'], say)
            self.assertNotIn('\n', error['detail'], say)
            told = error['detail'] + error['title']
        else:
            self.assertEqual(len(sentences), 1, 'expected one line that starts with "weir: "' + say)
            self.assertTrue(self.error_lines(done)[-1].startswith('weir: '), 'the sentence must come last' + say)
            if '--quiet' in done.arguments:
                self.assertEqual(len(self.error_lines(done)), 1, 'expected a single line' + say)
                # The plan may have been printed before the work failed; a result never.
                self.assertNotRegex(done.text, r'(?m)^ *(measured|verified|output) ', say)
            told = sentences[0]
            self.assertGreater(len(told), len('weir: ') + 10, 'hardly a sentence' + say)
            self.assertFalse(re.search(r'[\x00-\x08\x0b-\x1f\x7f]', told), 'control characters' + say)
        for word in words:
            self.assertIn(word.lower(), told.lower(), say)
        return done

    def refuses(self, name, *arguments, words=(), **options):
        """Runs the command twice, for people and for scripts; both must say the same and leave the target alone."""
        options_at = arguments.index('--') if '--' in arguments else len(arguments)
        before = listing(self.out)
        touched = os.stat(self.out).st_mtime_ns
        done = None
        for extra in (['--quiet'], ['--json']):
            command = arguments[:options_at] + tuple(extra) + arguments[options_at:]
            done = self.weir(*command, **options)
            self.refused(done, name, words)
            self.assertEqual(listing(self.out), before, 'the target folder changed\n%s' % done)
        self.untouched = os.stat(self.out).st_mtime_ns == touched
        return done

    def assert_untouched(self):
        """Nothing was even made and removed again in the target folder by the last `refuses`."""
        self.assertTrue(self.untouched, 'something was made in the target folder although nothing may start')

    def assert_no_processes(self, seconds=2.0, marker=None):
        left = None
        end = time.monotonic() + seconds * max(1.0, PATIENCE / 2)
        while True:
            left = processes_of(self.dir, marker)
            if not left:
                return
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        kill_all(self.dir)
        self.fail('processes survive: %s' % left)

    def assert_nothing_left(self):
        left = work_folders(self.dir) + work_folders(self.state)
        if left:
            self.fail('working folders left behind: %s' % left)
        if records_of(self.state):
            self.fail('records left behind: %s' % records_of(self.state))
        self.assert_no_processes(0.5)
        for group, empty in cgroup_folders().items():
            if empty and group not in groups_before:
                suspects.setdefault(group, self.id())

    def output(self, name='out.mp4'):
        return os.path.join(self.out, name)

    # --- hostile programs ---

    def fake(self, scenario, name='ffmpeg'):
        """A folder with the fake as `name` and its scenario; returns the program's path."""
        program = fake_program()
        if program is None:
            self.skipTest('fake_ffmpeg was not built')
        folder = os.path.join(self.dir, 'tools')
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        shutil.copy2(program, path)
        with open(os.path.join(folder, 'scenario'), 'w') as file:
            file.write(scenario + '\n')
        return path

    def mount_tmpfs(self, size, name='small'):
        folder = os.path.join(self.dir, name)
        os.makedirs(folder, exist_ok=True)
        made = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=%d,mode=755' % size, 'tmpfs', folder],
                              stderr=subprocess.PIPE)
        if made.returncode != 0:
            self.skipTest('cannot mount a tmpfs here: %s' % made.stderr.decode(errors='replace').strip())
        self.mounts.append(folder)
        return folder

    def remount_read_only(self, folder):
        made = subprocess.run(['mount', '-o', 'remount,ro', folder], stderr=subprocess.PIPE)
        if made.returncode != 0:
            self.skipTest('cannot mount read-only here: %s' % made.stderr.decode(errors='replace').strip())

    def as_nobody(self):
        """Prefix that runs a command as an ordinary user, with the test's folders given to it."""
        if os.geteuid() != 0 or not shutil.which('setpriv'):
            self.skipTest('needs root and setpriv')
        prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all']
        if subprocess.run(prefix + [binary(), '--version'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          cwd='/').returncode != 0:
            self.skipTest('an ordinary user cannot run the binary here')
        for folder in (self.dir, self.src, self.out):
            os.chown(folder, 65534, 65534)
        return prefix
