"""What a newcomer does first: ./run, with and without words, and the tour of the README."""
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.request

import clips
import media
from daemon_harness import free_port
from harness import Case, PATIENCE, REPOSITORY, binary, slow, wait_until

RUN = os.path.join(REPOSITORY, 'run')


class Run(Case):
    def setUp(self):
        super().setUp()
        if os.path.realpath(binary()) != os.path.join(os.path.realpath(REPOSITORY), 'build', 'release', 'weir'):
            self.skipTest('./run is about the release build')

    def run_it(self, *words, path=None):
        env = self.environment(**({'PATH': path} if path else {}))
        return subprocess.run([RUN, *words], cwd=self.dir, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    def test_with_nothing_to_do_it_installs_and_compiles_nothing(self):
        """Stand-ins for the tools that would do it say when they are called."""
        tools, called = os.path.join(self.dir, 'bin'), os.path.join(self.dir, 'called')
        os.mkdir(tools)
        for name in ('apt-get', 'sudo', 'cmake', 'g++', 'g++-12', 'c++', 'ccache'):
            with open(os.path.join(tools, name), 'w') as file:
                file.write('#!/bin/sh\necho %s >> %s\nexit 1\n' % (name, shlex.quote(called)))
            os.chmod(file.name, 0o755)
        done = self.run_it('--version', path=tools + ':' + os.environ['PATH'])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r'^weir \d+\.\d+')
        self.assertEqual(done.stderr, '')
        self.assertFalse(os.path.exists(called), 'called something to install or compile')

    def test_words_and_exit_code_go_through(self):
        done = self.run_it('crop', 'no such file.mp4', 'out.mp4')
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('no such file.mp4', done.stderr)

    def test_serves_and_ends(self):
        """./run serve is the daemon itself: who tells the script to end tells it."""
        port = free_port()
        words = ['serve', '--listen', '127.0.0.1:%d' % port, '--data', os.path.join(self.dir, 'data'), '--memory', '300M', '--media-root', self.src]
        child = subprocess.Popen([RUN, *words], cwd=self.dir, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 start_new_session=True)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)

        def ready():
            try:
                with urllib.request.urlopen('http://127.0.0.1:%d/readyz' % port, timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False
        self.assertTrue(wait_until(lambda: ready() or child.poll() is not None, 60 * PATIENCE), 'not ready')
        self.assertIsNone(child.poll(), 'it ended instead of starting')
        child.send_signal(signal.SIGTERM)
        said, _ = child.communicate(timeout=20 * PATIENCE)
        self.assertEqual(child.returncode, 0, said)
        self.assertIn('listening on http://127.0.0.1:%d' % port, said)
        self.assert_no_processes()

    @slow
    def test_the_main_job(self):
        done = self.run_it()
        self.assertEqual(done.returncode, 0, done.stderr)
        for label in ('plan', 'forecast', 'measured', 'time', 'verified', 'output'):
            self.assertRegex(done.stdout, r'(?m)^  %s +\S' % label)
        self.assertRegex(done.stdout, r'budget +256\.0 MiB')
        result = re.search(r"(?m)^  output +'([^']+)'", done.stdout).group(1)
        self.assertIsNone(media.decodes(result))
        stream = media.video(media.probe(result))
        self.assertEqual((stream['width'], stream['height']), (1080, 1920))


class Tour(Case):
    """Every command of the tour, with the exit code and the lines that the README shows."""

    @slow
    def test_the_readme_tells_the_truth(self):
        shutil.copy(clips.get('tour'), os.path.join(self.dir, 'clip.mp4'))
        shutil.copy(clips.get('full_hd_short'), os.path.join(self.dir, 'phone.mp4'))
        tools = os.path.join(self.dir, 'bin')
        os.mkdir(tools)
        os.symlink(os.path.realpath(binary()), os.path.join(tools, 'weir'))
        with open(os.path.join(REPOSITORY, 'README.md')) as file:
            tour = re.search(r'<!-- tour -->\n```\n(.*?)```\n<!-- /tour -->', file.read(), re.S).group(1)
        steps = [step.split('\n', 1) for step in re.split(r'(?m)^\$ ', tour) if step]
        self.assertGreaterEqual(len(steps), 3)
        for command, shown in steps:
            with self.subTest(command):
                done = subprocess.run(['bash', '-c', command], cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                                      env=self.environment(PATH=tools + ':' + os.environ['PATH']))
                said = done.stdout + done.stderr
                self.assertEqual(done.returncode, 0, said)
                for label in re.findall(r'(?m)^  ([a-z]+) ', shown):
                    self.assertRegex(said, r'(?m)^  %s ' % label)
                for line in re.findall(r'(?m)^(?:weir: |\d+$).*', shown):
                    self.assertIn(line[:20], said)
