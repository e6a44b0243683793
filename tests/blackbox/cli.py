"""The command line: help to learn from, completions, JSON everywhere, and mistakes answered with the nearest word."""
import hashlib
import http.server
import json
import os
import re
import select
import shutil
import signal
import subprocess
import threading

import clips
from daemon_harness import DaemonCase
from harness import Case, EXIT, PATIENCE, REPOSITORY, processes_of, slow, wait_until

COMMANDS = ('crop', 'trim', 'transcode', 'thumbnail', 'probe', 'plan', 'doctor', 'completion')
OPTIONS = {
    'crop': ('--aspect', '--focus', '--size', '--crf', '--preset'),
    'trim': ('--from', '--to', '--mode', '--crf', '--preset'),
    'transcode': ('--fit', '--crf', '--preset'),
    'thumbnail': ('--at', '--width'),
}
COMMON = ('--memory', '--force', '--json', '--quiet', '--verify', '--timeout', '--stall-timeout', '--require-sandbox', '--keep-metadata',
          '--ffmpeg', '--ffprobe', '--max-pixels')


class Help(Case):
    def test_help_names_every_command(self):
        done = self.ok(self.weir('--help'))
        for command in COMMANDS:
            self.assertRegex(done.text, r'\b%s\b' % command, '\n%s' % done)
        self.assertRegex(done.text, r'weir crop \S+ \S+', 'no example for a newcomer\n%s' % done)
        self.assertEqual(done.err, b'')

    def test_help_of_each_recipe(self):
        for recipe, options in OPTIONS.items():
            done = self.ok(self.weir(recipe, '--help'))
            for option in options + COMMON:
                self.assertIn(option, done.text, '%s %s\n%s' % (recipe, option, done))

    def test_version(self):
        done = self.ok(self.weir('--version'))
        self.assertRegex(done.text, r'^weir \d+\.\d+')

    def test_every_command_takes_json(self):
        """As the README says."""
        commands = re.findall(r'(?m)^  ([a-z]+) {2,}', self.ok(self.weir('--help')).text.split('Subcommands:')[-1].split('Examples:')[0])
        self.assertLessEqual(set(COMMANDS) | {'serve', 'config', 'token', 'submit', 'batch', 'fetch', 'change', 'jobs', 'explain', 'top'}, set(commands))
        nested = {'plan': ('crop',), 'submit': ('crop', 'thumbnail'), 'config': ('check', 'show'), 'token': ('add',)}
        for command in commands:
            for words in [(command, word) for word in nested[command]] if command in nested else [(command,)]:
                self.assertIn('--json', self.ok(self.weir(*words, '--help')).text, words)
        self.assertIn('complete -o filenames', self.ok(self.weir('completion', 'bash', '--json')).document['script'])

    def test_no_arguments(self):
        done = self.weir()
        self.assertIn(done.code, (0, 2))
        self.assertIn('crop', done.text + done.errors)

    def test_words_that_are_not_known(self):
        for arguments, near in ((['crop', 'a', 'b.mp4', '--aspct', '1:1'], '--aspect'), (['crop', 'a', 'b.mp4', '--memroy=1G'], '--memory'),
                                (['trim', 'a', 'b.mp4', '--form', '1'], '--from'), (['crpo', 'a', 'b.mp4'], 'crop'),
                                (['tumbnail', 'a', 'b.jpg'], 'thumbnail'), (['plan', 'corp', 'a'], 'crop'), (['--hlep'], '--help')):
            done = self.refused(self.weir(*arguments), 'bad-parameters', [near])
            self.assertEqual(done.out, b'')

    def test_unknown_words_with_json(self):
        done = self.weir('crop', 'a', 'b.mp4', '--aspct', '1:1', '--json')
        self.refused(done, 'bad-parameters', ['--aspect'])

    def test_missing_arguments(self):
        for arguments in (['crop'], ['crop', 'a.mp4'], ['trim', 'a.mp4'], ['probe'], ['plan'], ['plan', 'crop'], ['crop', 'a', 'b.mp4', 'c.mp4'],
                          ['crop', 'a.mp4', 'b.mp4', '--aspect'], ['completion'], ['completion', 'csh'], ['probe', 'a', 'b']):
            done = self.refused(self.weir(*arguments), 'bad-parameters')
            self.assertEqual(done.out, b'', '\n%s' % done)

    @slow
    def test_option_given_twice(self):
        done = self.weir('crop', clips.get('plain'), self.output(), '--aspect', '1:1', '--aspect', '9:16', '--json')
        self.assertIn(done.code, (0, 2), '\n%s' % done)

    @slow
    def test_exit_codes_are_in_the_readme(self):
        path = os.path.join(REPOSITORY, 'README.md')
        if not os.path.exists(path):
            self.skipTest('no README yet')
        with open(path) as file:
            text = file.read()
        for name, code in EXIT.items():
            if name != 'ok':
                self.assertRegex(text, r'(?m)^.*\b%d\b.*\b%s\b|^.*\b%s\b.*\b%d\b' % (code, name, name, code), 'exit code %d (%s)' % (code, name))


class Completions(Case):
    def script(self, shell):
        done = self.ok(self.weir('completion', shell))
        path = os.path.join(self.dir, 'weir.' + shell)
        with open(path, 'wb') as file:
            file.write(done.out)
        return path

    def test_bash_is_valid(self):
        path = self.script('bash')
        done = subprocess.run(['bash', '-n', path], stderr=subprocess.PIPE)
        self.assertEqual((done.returncode, done.stderr), (0, b''))

    def complete(self, *words):
        """What bash offers for the last of the words."""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; '
                  'f=$(complete -p weir | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$f" weir "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(['bash', '-c', script, 'bash', self.script('bash'), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir)
        self.assertEqual(done.stderr, b'')
        return done.stdout.decode().split()

    def test_bash_offers_commands_options_and_values(self):
        offered = self.complete('weir', '')
        for command in COMMANDS:
            self.assertIn(command, offered)
        self.assertEqual(self.complete('weir', 'thu'), ['thumbnail'])
        self.assertIn('--aspect', self.complete('weir', 'crop', '--as'))
        self.assertIn('9:16', self.complete('weir', 'crop', 'a', 'b', '--aspect', ''))
        self.assertIn('veryfast', self.complete('weir', 'crop', '--preset', 'very'))
        self.assertIn('crop', self.complete('weir', 'plan', 'cr'))

    def test_zsh_is_valid(self):
        path = self.script('zsh')
        with open(path) as file:
            text = file.read()
        self.assertTrue(text.startswith('#compdef weir'))
        self.assertFalse('mapfile' in text or 'readarray' in text, 'mapfile is a command of bash alone')
        if not shutil.which('zsh'):
            self.skipTest('no zsh here: looked at only')
        self.assertEqual(subprocess.run(['zsh', '-n', path]).returncode, 0)

    def test_fish_is_valid(self):
        path = self.script('fish')
        with open(path) as file:
            text = file.read()
        for command in COMMANDS:
            self.assertIn(command, text)
        if not shutil.which('fish'):
            self.skipTest('no fish here: looked at only')
        self.assertEqual(subprocess.run(['fish', '-n', path]).returncode, 0)

    def test_every_option_is_completed(self):
        for shell in ('bash', 'zsh', 'fish'):
            with open(self.script(shell)) as file:
                text = file.read()
            for recipe, options in OPTIONS.items():
                for option in options + COMMON:
                    self.assertIn(option if shell != 'fish' else '-l ' + option[2:], text, shell)


class Json(Case):
    def test_each_command(self):
        for arguments in (['crop', clips.get('plain'), self.output('a.mp4')], ['trim', clips.get('plain'), self.output('b.mp4'), '--from', '0', '--to', '1'],
                          ['transcode', clips.get('plain'), self.output('c.mp4')], ['thumbnail', clips.get('plain'), self.output('d.jpg')],
                          ['probe', clips.get('plain')], ['plan', 'crop', clips.get('plain')], ['doctor']):
            done = self.ok(self.weir(*arguments, '--json'))
            self.assertIs(done.document['ok'], True, '\n%s' % done)

    def test_bad_usage(self):
        for arguments in (['crop', '--json'], ['crop', 'a', 'b.mp4', '--json', '--nope'], ['probe', '/nonexistent', '--json'], ['plan', 'crop', '/nonexistent', '--json'],
                          ['doctor', '--json', '--ffmpeg', '/nonexistent']):
            done = self.weir(*arguments)
            self.assertNotEqual(done.code, 0)
            document = done.document
            self.assertEqual((document['ok'], document['error']['exit_code']), (False, done.code), '\n%s' % done)

    def test_quiet_and_json_leave_standard_error_empty(self):
        done = self.ok(self.weir('crop', clips.get('plain'), self.output(), '--json', '--quiet'))
        self.assertEqual(self.error_lines(done), [])


class Plan(Case):
    def test_plan_makes_nothing(self):
        before = os.stat(self.out).st_mtime_ns
        for recipe, name in (('crop', 'out.mp4'), ('transcode', 'out.webm'), ('thumbnail', 'out.jpg'), ('trim', 'out.mp4')):
            done = self.ok(self.weir('plan', recipe, clips.get('full_hd'), self.output(name), '--json'))
            self.assertTrue(done.document['ladder'])
            self.assertTrue(done.document['chosen'])
        self.assertEqual(os.stat(self.out).st_mtime_ns, before)
        self.assertEqual(os.listdir(self.out), [])

    def test_plan_starts_no_encoder(self):
        """With an ffmpeg that would hang for ever, a plan is still made: only the probe runs."""
        fake = self.fake('hang')
        done = self.ok(self.weir('plan', 'crop', clips.get('plain'), '--ffmpeg', fake, '--ffprobe', 'ffprobe', '--json', timeout=20))
        self.assertTrue(done.document['ladder'])

    def test_plan_for_people(self):
        done = self.ok(self.weir('plan', 'crop', clips.get('full_hd'), '--memory', '256M'))
        document = self.ok(self.weir('plan', 'crop', clips.get('full_hd'), '--memory', '256M', '--json')).document
        for rung in document['ladder']:
            self.assertIn(rung['name'], done.text)
            self.assertIn(rung['costs'], done.text)

    def test_plan_without_output_name(self):
        self.ok(self.weir('plan', 'crop', clips.get('plain')))

    @slow
    def test_plan_of_bad_input(self):
        self.refuses('input-missing', 'plan', 'crop', '/nonexistent/a.mp4')
        self.refuses('input-no-video', 'plan', 'crop', clips.get('audio_only'))
        self.refuses('bad-parameters', 'plan', 'crop', clips.get('plain'), '--aspect', '0:0')

    @slow
    def test_what_is_planned_is_what_runs(self):
        planned = self.ok(self.weir('plan', 'crop', clips.get('plain'), self.output(), '--memory', '300M', '--json')).document
        run = self.made('crop', clips.get('plain'), self.output(), '--memory', '300M')
        chosen = next(r for r in planned['ladder'] if r['name'] == planned['chosen'])
        self.assertEqual(run['plan']['name'], chosen['name'])
        self.assertEqual(run['plan']['arguments'], chosen['arguments'])
        self.assertEqual(run['plan']['lease_bytes'], chosen['lease_bytes'])

    def test_arguments_hold_no_user_name_and_all_limits(self):
        planned = self.ok(self.weir('plan', 'crop', clips.get('plain'), self.output(), '--json')).document
        for rung in planned['ladder']:
            arguments = rung['arguments']
            self.assertNotIn('plain.mp4', ' '.join(arguments))
            self.assertNotIn(self.out, ' '.join(arguments))
            for option in ('-nostdin', '-protocol_whitelist', '-format_whitelist', '-max_pixels', '-max_alloc', '-progress'):
                self.assertIn(option, arguments, rung['name'])


class Client(DaemonCase):
    """What is said to a running server."""
    slots = 1

    def say(self, *words, **options):
        return self.weir(*words, env={'WEIR_SERVER': '127.0.0.1:%d' % self.port}, **options)

    def test_fetch(self):
        self.serve()
        name = self.clip('one_frame')
        job = self.ends(self.submit(name)['id'])
        artifact = job['artifacts'][0]
        done = self.ok(self.say('fetch', job['id'], cwd=self.out))
        self.assertEqual(done.text, artifact['name'] + '\n')
        path = self.output(artifact['name'])
        self.assert_plays(path, 1)
        with open(path, 'rb') as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), artifact['sha256'])
        self.refused(self.say('fetch', job['id'], cwd=self.out), 'output-exists', ['--force'])
        with open(path, 'w') as file:
            file.write('something else')
        document = self.ok(self.say('fetch', job['id'], artifact['name'], '-o', path, '--force', '--json')).document
        self.assertEqual((document['file'], document['sha256']), (path, artifact['sha256']))
        self.assert_plays(path, 1)
        self.assertEqual(os.listdir(self.out), [artifact['name']])
        self.refused(self.say('fetch', job['id'], '-o', self.output('none/x.mp4')), 'output-folder')
        for words in ((job['id'], 'other.mp4'), ('nonesuch',)):
            self.assertEqual(self.say('fetch', *words).code, 29)
        placed = self.ends(self.submit(name, outputs=['out/placed.mp4'])['id'])
        done = self.say('fetch', placed['id'])
        self.assertEqual(done.code, 29)
        self.assertIn('out/placed.mp4', done.errors)

    def test_change_and_narrow(self):
        self.serve(scenario='obey-term')
        name = self.clip('one_frame')
        first, second = self.submit(name, labels={'team': 'blue', 'x': '1'})['id'], self.submit(name)['id']
        self.at_work(first)
        self.ok(self.say('change', second, '--priority', '90'))
        self.assertEqual(self.job(second)['priority'], 90)
        self.ok(self.say('change', first, second, '--label', 'event=spring', '--unlabel', 'x'))
        self.assertEqual((self.job(first)['labels'], self.job(second)['labels']), ({'team': 'blue', 'event': 'spring'}, {'event': 'spring'}))
        self.assertEqual([job['id'] for job in self.ok(self.say('jobs', '--label', 'team=blue', '--json')).document['jobs']], [first])
        self.assertEqual(len(self.ok(self.say('jobs', '--label', 'event=spring', '--json')).document['jobs']), 2)
        # A mark with its meaning, and none where it means nothing any more.
        self.ok(self.say('pause', first, second))
        listed = self.ok(self.say('jobs')).text
        self.assertIn('running*', listed)
        self.assertIn('* paused', listed)
        self.ok(self.say('cancel', first, second))
        self.assertNotIn('*', self.ok(self.say('jobs')).text)
        self.assertNotIn('paused', self.ok(self.say('show', first)).text)
        self.assertEqual(self.say('change', first, '--priority', '1').code, 30)

    def test_plan_of_the_server(self):
        self.serve()
        name = self.clip('full_hd')
        done = self.ok(self.say('submit', 'crop', name, '--plan', '--size', '1080x1920'))
        document = self.ok(self.say('submit', 'crop', name, '--plan', '--size', '1080x1920', '--json')).document
        self.assertRegex(done.text, r'(?m)^  -> .*  %s: ' % re.escape(document['chosen']))
        for way in document['ladder']:
            self.assertIn(way['name'] + ': ' + way['costs'], done.text)
        self.assertEqual(self.daemon.get('/v1/jobs').json['jobs'], [])
        self.refused(self.say('submit', 'crop', 'none.mp4', '--plan'), 'input-missing')

    def test_retry_names_what_is_missing(self):
        self.serve()
        job = self.ends(self.submit(self.clip('text'))['id'], 'failed')
        self.refused(self.say('retry', job['id'], '--output', 'trim.mp4'), 'bad-parameters', ['trim.mp4'])
        self.ok(self.say('retry', job['id'], '--output', 'crop.mp4'))
        self.assertEqual(self.ends(job['id'], 'failed')['attempt'], 2)

    def test_addresses(self):
        self.serve()
        for address in ('localhost:%d', '127.0.0.1:%d', 'http://localhost:%d'):
            self.ok(self.weir('jobs', '--server', address % self.port))
        self.refused(self.weir('jobs', '--server', 'https://localhost:%d' % self.port), 'bad-parameters', ['https is not supported', 'ssh'])

    def test_top_fits_a_terminal(self):
        import fcntl
        import pty
        import struct
        import termios
        self.serve(scenario='obey-term')
        job = self.submit(self.clip('one_frame'))['id']
        self.at_work(job)
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
        child = self.start('top', env={'WEIR_SERVER': '127.0.0.1:%d' % self.port, 'TERM': 'xterm'}, stdout=theirs)
        os.close(theirs)
        seen = b''
        while not re.search(rb'FOR.*\r\n.*\x1b\[J', seen, re.S):
            self.assertTrue(select.select([ours], [], [], 20 * PATIENCE)[0], seen)
            seen += os.read(ours, 65536)
        child.kill()
        lines = re.sub(r'\x1b\[[0-9]*[A-Z]|\r', '', seen.decode(errors='replace')).split('\n')
        self.assertTrue(all(len(line) < 80 for line in lines), lines)
        self.assertTrue(any(line.rstrip().endswith(' FOR') and ' USED ' in line for line in lines), lines)
        self.assertTrue(any(re.search(r'limit kept by [a-z0-9-]+( for all( children)? together)?$', line) for line in lines), lines)
        self.assertTrue(any(re.match(job[:6] + r'.* \d+ % +\d+ s$', line) for line in lines), lines)
        self.act(job, 'cancel')


class Interrupted(Case):
    """A server that never ends its answer, and somebody who does not wait for it."""

    def test_fetch_leaves_nothing(self):
        asked, over = threading.Event(), threading.Event()

        class Slow(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                if 'artifacts' in self.path:
                    asked.set()
                    over.wait(60)
                    return
                body = json.dumps({'id': 'j1', 'state': 'succeeded', 'artifacts': [{'name': 'crop.mp4', 'url': '/x', 'size_bytes': 9, 'sha256': 'a' * 64}]}).encode()
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Slow)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        self.addCleanup(over.set)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            asked.clear()
            child = self.start('fetch', 'j1', '-o', self.output(), env={'WEIR_SERVER': '127.0.0.1:%d' % server.server_address[1]})
            self.assertTrue(asked.wait(20 * PATIENCE))
            self.assertTrue(wait_until(lambda: os.listdir(self.out), 5 * PATIENCE), 'nothing was begun')
            child.send_signal(number)
            done = self.finish(child, timeout=20)
            self.assertEqual(done.code, code, '\n%s' % done)
            self.assertEqual(os.listdir(self.out), [])
