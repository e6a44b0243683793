"""The walls: which are there, what is said when one is missing, and working as an ordinary user."""
import os

import clips
import media
from harness import Case, EXIT, needs_root, slow

LAYERS = ('landlock', 'seccomp', 'pid-namespace')


class Sandbox(Case):
    own_state = True

    def missing_here(self):
        return self.ok(self.weir('doctor', '--json')).document['sandbox']['missing']

    def test_doctor_names_tools_back_end_layers_and_self_test(self):
        done = self.ok(self.weir('doctor'))
        text = done.text.lower()
        for word in ('ffmpeg', 'ffprobe', 'landlock', 'seccomp', 'namespace', 'self-test', 'memory'):
            self.assertIn(word, text, '\n%s' % done)
        self.assertRegex(text, 'cgroup-v[12]|rlimit-data', '\n%s' % done)

    def test_doctor_for_scripts(self):
        document = self.ok(self.weir('doctor', '--json')).document
        self.assertIs(document['ok'], True)
        self.assertIsInstance(document['sandbox']['missing'], list)

    def test_each_missing_layer_is_loud(self):
        for layer in LAYERS:
            with self.subTest(layer):
                done = self.weir('crop', clips.get('plain'), self.output(layer + '.mp4'), '--json', env={'WEIR_TEST_NO_LAYERS': layer})
                self.ok(done)
                self.assertIn(layer, done.document['sandbox']['missing'])
                self.assertIn(layer, done.errors.lower().replace(' ', '-'), 'nothing was said\n%s' % done)
                self.assertIn('warning', done.errors.lower(), '\n%s' % done)

    def test_quiet_does_not_silence_it(self):
        done = self.ok(self.weir('crop', clips.get('plain'), self.output(), '--quiet', env={'WEIR_TEST_NO_LAYERS': 'landlock'}))
        self.assertIn('landlock', done.errors.lower(), '\n%s' % done)

    def test_all_missing(self):
        done = self.ok(self.weir('crop', clips.get('plain'), self.output(), '--json', env={'WEIR_TEST_NO_LAYERS': ','.join(LAYERS)}))
        self.assertEqual(sorted(done.document['sandbox']['missing']), sorted(LAYERS))
        self.assertIsNone(media.decodes(self.output()))

    def test_require_sandbox_fails_closed(self):
        for layer in LAYERS:
            with self.subTest(layer):
                self.refuses('sandbox', 'crop', clips.get('plain'), self.output(), '--require-sandbox', env={'WEIR_TEST_NO_LAYERS': layer}, words=[layer])
                self.assert_untouched()

    def test_require_sandbox_is_content_when_all_is_there(self):
        if self.missing_here():
            self.skipTest('this machine lacks %s' % self.missing_here())
        self.made('crop', clips.get('plain'), self.output(), '--require-sandbox')

    @slow
    def test_require_sandbox_for_other_commands(self):
        env = {'WEIR_TEST_NO_LAYERS': 'seccomp'}
        self.refuses('sandbox', 'probe', clips.get('plain'), '--require-sandbox', env=env)
        self.refuses('sandbox', 'plan', 'crop', clips.get('plain'), '--require-sandbox', env=env)

    @slow
    def test_doctor_says_what_is_missing(self):
        done = self.ok(self.weir('doctor', env={'WEIR_TEST_NO_LAYERS': 'landlock'}))
        self.assertRegex((done.text + done.errors).lower(), r'landlock[^\n]*(missing|absent|no\b|not|none|off)|(missing|absent|without|no)[^\n]*landlock', '\n%s' % done)


class OrdinaryUser(Case):
    own_state = True

    @needs_root
    def test_whole_crop(self):
        prefix = self.as_nobody()
        done = self.weir('crop', clips.get('plain'), self.output(), '--json', prefix=prefix)
        self.ok(done)
        self.check_document(done.document, done)
        self.assertIsNone(media.decodes(self.output()))
        self.assertEqual(os.stat(self.output()).st_uid, 65534)

    @needs_root
    @slow
    def test_every_recipe(self):
        prefix = self.as_nobody()
        for arguments in (['trim', clips.get('counted'), self.output('a.mp4'), '--from', '1'], ['transcode', clips.get('plain'), self.output('b.mp4')],
                          ['thumbnail', clips.get('plain'), self.output('c.jpg')]):
            self.ok(self.weir(*arguments, prefix=prefix))

    @needs_root
    @slow
    def test_runaway_memory(self):
        prefix = self.as_nobody()
        fake = self.fake('eat-memory 2000')
        os.chmod(os.path.dirname(fake), 0o755)
        done = self.weir('crop', clips.get('full_hd_short'), self.output(), '--ffmpeg', fake, '--ffprobe', 'ffprobe', '--memory', '500M', '--json', prefix=prefix)
        self.refused(done, 'out-of-memory')

    @slow
    def test_without_a_home_or_state_folder(self):
        done = self.weir('crop', clips.get('plain'), self.output(), env={'WEIR_STATE_DIR': '', 'HOME': '/nonexistent'})
        self.ok(done)

    @slow
    def test_permissions_follow_the_mask(self):
        prefix = ['/bin/sh', '-c', 'umask 027 && exec "$0" "$@"']
        self.ok(self.weir('crop', clips.get('plain'), self.output(), prefix=prefix))
        self.assertEqual(os.stat(self.output()).st_mode & 0o777, 0o640)
