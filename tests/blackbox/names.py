"""File names of every kind, as input and as output. Names are bytes; none of them is ever an option or a protocol."""
import os
import shutil

import clips
import media
from harness import Case, slow

NAMES = {
    'dash': b'-in',
    'option': b'-y',
    'long option': b'--force',
    'colon': b'a:b',
    'protocol': b'http:',
    'pipe protocol': b'pipe:1',
    'concat protocol': b'concat:a|b',
    'newline': b'two\nlines',
    'carriage return': b'one\rtwo',
    'tab and bell': b'a\tb\x07c',
    'escape sequence': b'\x1b[31mred',
    'quotes': b'it\'s "quoted" `here` $HOME $(touch x)',
    'spaces': b'  a clip of  mine ',
    'percent': b'100%d%03d%n',
    'backslash': b'a\\b\\',
    'non-ASCII': 'Müller – 東京 🎬'.encode(),
    'combining': 'e\u0301clair'.encode(),
    'right to left': '\u202eabc'.encode(),
    'invalid UTF-8': b'bad\xff\xfe\x80name',
    'glob': b'*?[a-z]{b,c}',
    'hash and semicolon': b'#a;b&c|d<e>f',
    'dot': b'.hidden',
    'like ours': b'.weir-pretender',
    'percent encoding': b'%2e%2e%2f',
}
FEW = ('dash', 'colon', 'newline', 'invalid UTF-8')


class Names(Case):
    def tearDown(self):
        # A file of the test's own may be called like a working folder.
        for folder in (self.src, self.out):
            for name in os.listdir(os.fsencode(folder)):
                if name.startswith(b'.weir-pretender'):
                    os.unlink(os.path.join(os.fsencode(folder), name))
        super().tearDown()

    def own(self, name, clip='one_frame'):
        path = os.path.join(os.fsencode(self.src), name)
        shutil.copy(os.fsencode(clips.get(clip)), path)
        return path

    def check_path_in_document(self, told, path):
        text = path.decode('utf-8', 'replace')
        if '\ufffd' not in text:
            self.assertEqual(told, text)
        self.assertNotIn('\ud800', told)

    def as_input(self, name):
        source = self.own(name + b'.mp4')
        done = self.ok(self.weir('thumbnail', source, self.output('out.jpg'), '--json'))
        self.check_path_in_document(done.document['input']['path'], source)
        self.assertEqual(os.listdir(self.out), ['out.jpg'])
        os.unlink(self.output('out.jpg'))

    def as_output(self, name):
        target = os.path.join(os.fsencode(self.out), name + b'.jpg')
        done = self.ok(self.weir('thumbnail', clips.get('one_frame'), target, '--json'))
        self.check_path_in_document(done.document['output']['path'], target)
        self.assertEqual(os.listdir(os.fsencode(self.out)), [name + b'.jpg'])
        self.assertEqual(len(media.frames(target)), 1)
        os.unlink(target)

    def as_both(self, name):
        source = self.own(name + b'.mp4')
        target = os.path.join(os.fsencode(self.out), name + b'.jpg')
        done = self.ok(self.weir('thumbnail', source, target, '--json'))
        self.check_path_in_document(done.document['input']['path'], source)
        self.check_path_in_document(done.document['output']['path'], target)
        self.assertEqual(os.listdir(os.fsencode(self.out)), [name + b'.jpg'])
        os.unlink(target)

    def as_relative(self, name):
        """In the folder itself, after `--`, where a dash could be taken for an option."""
        self.own(name + b'.mp4')
        done = self.weir('thumbnail', '--', name + b'.mp4', name + b'.jpg', cwd=os.fsencode(self.src))
        self.ok(done)
        made = os.path.join(os.fsencode(self.src), name + b'.jpg')
        self.assertTrue(os.path.exists(made), done)
        os.unlink(made)

    def as_mistake(self, name):
        """A name in an error stays one printable line."""
        missing = os.path.join(os.fsencode(self.src), b'no ' + name + b'.mp4')
        self.refuses('input-missing', 'thumbnail', missing, self.output('out.jpg'))
        self.refuses('output-format', 'thumbnail', clips.get('one_frame'), os.path.join(os.fsencode(self.out), name + b'.xyz'))

    def each(self, names, act):
        for title in names:
            with self.subTest(title):
                act(NAMES[title])

    def test_few_as_input(self):
        self.each(FEW, self.as_input)

    def test_few_as_output(self):
        self.each(FEW, self.as_output)

    def test_few_relative(self):
        self.each(FEW, self.as_relative)

    def test_few_in_errors(self):
        self.each(FEW, self.as_mistake)

    @slow
    def test_all_as_input_and_output(self):
        self.each(set(NAMES) - set(FEW), self.as_both)

    @slow
    def test_all_relative(self):
        self.each(set(NAMES) - set(FEW), self.as_relative)

    @slow
    def test_all_in_errors(self):
        self.each(set(NAMES) - set(FEW), self.as_mistake)

    def test_whole_crop_with_dashes(self):
        self.own(b'-in.mp4', 'plain')
        self.ok(self.weir('crop', '--', '-in.mp4', '-out.mp4', cwd=self.src))
        self.assertIsNone(media.decodes(os.path.join(self.src, '-out.mp4')))
        self.ok(self.weir('crop', './-in.mp4', './-out2.mp4', cwd=self.src))

    def test_longest_name(self):
        stem = b'n' * 251
        self.as_input(stem)
        target = os.path.join(os.fsencode(self.out), stem + b'.mp4')
        self.ok(self.weir('crop', clips.get('plain'), target))
        self.assertTrue(os.path.exists(target))

    def test_name_too_long(self):
        target = os.path.join(self.out, 'n' * 252 + '.mp4')
        done = self.weir('crop', clips.get('plain'), target, '--json')
        self.assertIn(done.code, (2, 19, 28), '\n%s' % done)
        self.assertEqual(os.listdir(self.out), [])

    @slow
    def test_long_path(self):
        folder = self.out
        for _ in range(14):
            folder = os.path.join(folder, 'd' * 250)
            os.mkdir(folder)
        self.ok(self.weir('crop', clips.get('plain'), os.path.join(folder, 'out.mp4')))
        self.assertTrue(os.path.exists(os.path.join(folder, 'out.mp4')))

    @slow
    def test_folders_with_such_names(self):
        for title in ('newline', 'colon', 'invalid UTF-8', 'quotes'):
            with self.subTest(title):
                folder = os.path.join(os.fsencode(self.out), NAMES[title])
                os.mkdir(folder)
                self.ok(self.weir('thumbnail', clips.get('one_frame'), os.path.join(folder, b'out.jpg')))
                self.assertEqual(os.listdir(folder), [b'out.jpg'])

    def test_capital_extension(self):
        self.ok(self.weir('thumbnail', clips.get('one_frame'), self.output('OUT.JPG')))

    @slow
    def test_probe_for_people_prints_no_control_characters(self):
        for title in ('escape sequence', 'newline', 'tab and bell'):
            done = self.ok(self.weir('probe', self.own(NAMES[title] + b'.mp4')))
            for bad in (b'\x1b', b'\x07', b'\r', b'two\nlines'):
                self.assertNotIn(bad, done.out + done.err, '\n%s' % done)
