"""Publishing is one step: under its name the output is whole from the first moment, or it never was there."""
import os
import stat
import subprocess
import time

import clips
import media
from harness import Case, PATIENCE, digest, slow, work_folders


class Publish(Case):
    def watch(self, child, name='out.mp4'):
        """Everything that was ever seen in the target folder, and the output at its first sight."""
        seen, first = set(), None
        while child.poll() is None:
            try:
                names = os.listdir(self.out)
            except OSError:
                names = []
            seen.update(names)
            if first is None and name in names:
                info = os.stat(self.output(name))
                first = (info.st_ino, info.st_size)
            time.sleep(0.002)
        return seen, first

    def test_never_partly_there(self):
        child = self.start('crop', clips.get('busy'), self.output(), '--quiet')
        seen, first = self.watch(child)
        done = self.ok(self.finish(child))
        strangers = {n for n in seen if n != 'out.mp4' and not n.startswith('.weir-')}
        self.assertEqual(strangers, set(), '\n%s' % done)
        self.assertTrue(any(n.startswith('.weir-') for n in seen), 'the work was not done in a folder beside the target')
        info = os.stat(self.output())
        if first:
            self.assertEqual(first, (info.st_ino, info.st_size), 'it grew under its final name')
        self.assertEqual(os.listdir(self.out), ['out.mp4'])

    def test_replaced_in_one_step(self):
        with open(self.output(), 'w') as file:
            file.write('old')
        old = os.stat(self.output()).st_ino
        child = self.start('crop', clips.get('busy_small'), self.output(), '--quiet', '--force')
        sizes = set()
        while child.poll() is None:
            info = os.stat(self.output())   # must never be missing
            sizes.add((info.st_ino, info.st_size))
            time.sleep(0.002)
        self.ok(self.finish(child))
        info = os.stat(self.output())
        self.assertNotEqual(info.st_ino, old)
        self.assertLessEqual(sizes, {(old, 3), (info.st_ino, info.st_size)})

    def test_appears_meanwhile(self):
        """Somebody else makes the output while we work: without --force it is theirs."""
        child = self.start('crop', clips.get('busy'), self.output(), '--quiet')
        while child.poll() is None and not work_folders(self.out):
            time.sleep(0.005)
        with open(self.output(), 'w') as file:
            file.write('theirs')
        done = self.refused(self.finish(child), 'output-exists')
        with open(self.output()) as file:
            self.assertEqual(file.read(), 'theirs', '\n%s' % done)
        self.assertEqual(os.listdir(self.out), ['out.mp4'])

    def test_working_folder_is_private(self):
        child = self.start('crop', clips.get('busy'), self.output(), '--quiet')
        modes = set()
        while child.poll() is None:
            for path in work_folders(self.out):
                try:
                    modes.add(stat.S_IMODE(os.stat(path).st_mode))
                except OSError:
                    pass
            time.sleep(0.002)
        self.ok(self.finish(child))
        self.assertTrue(modes)
        self.assertEqual({m & 0o077 for m in modes}, {0})

    @slow
    def test_target_folder_vanishes(self):
        folder = os.path.join(self.out, 'going')
        os.mkdir(folder)
        child = self.start('crop', clips.get('busy'), os.path.join(folder, 'out.mp4'), '--json')
        while child.poll() is None and not work_folders(folder):
            time.sleep(0.005)
        os.rename(folder, os.path.join(self.out, 'gone'))
        done = self.finish(child)
        # The folder is held open: moved, it is still the folder that was meant.
        if done.code == 0:
            self.assertEqual(os.listdir(os.path.join(self.out, 'gone')), ['out.mp4'])
        else:
            self.assertEqual(os.listdir(os.path.join(self.out, 'gone')), [])

    @slow
    def test_source_vanishes_meanwhile(self):
        source = os.path.join(self.src, 'clip.mp4')
        subprocess.run(['cp', clips.get('busy'), source], check=True)
        child = self.start('crop', source, self.output(), '--json')
        while child.poll() is None and not work_folders(self.out):
            time.sleep(0.005)
        os.unlink(source)
        self.ok(self.finish(child))   # held open by descriptor
        self.assertIsNone(media.decodes(self.output()))

    def test_two_at_once_into_one_folder(self):
        children = [self.start('crop', clips.get('busy_small'), self.output('%d.mp4' % n), '--quiet') for n in range(3)]
        for child in children:
            self.ok(self.finish(child))
        self.assertEqual(sorted(os.listdir(self.out)), ['0.mp4', '1.mp4', '2.mp4'])

    @slow
    def test_two_at_once_onto_one_name(self):
        children = [self.start('crop', clips.get('busy_small'), self.output(), '--quiet') for _ in range(2)]
        codes = sorted(self.finish(child).code for child in children)
        self.assertEqual(codes, [0, 16])
        self.assertIsNone(media.decodes(self.output()))

    @slow
    def test_synced_before_and_after_the_rename(self):
        """fsync of the file, rename, fsync of the folder: in that order."""
        import shutil
        if not shutil.which('strace'):
            self.skipTest('no strace')
        trace = os.path.join(self.dir, 'trace')
        done = self.weir('crop', clips.get('busy_small'), self.output(), '--quiet',
                         prefix=['strace', '-f', '-y', '-o', trace, '-e', 'trace=fsync,rename,renameat,renameat2,linkat'])
        if done.code != 0:
            self.skipTest('cannot trace here')
        name = os.path.basename(self.output())
        with open(trace) as file:
            steps = [word for line in file for word, marks in (
                ('content', ('fsync(', os.path.join(os.sep, 'work', 'out.mp4>'))), ('name', ('rename', '"%s"' % name)), ('folder', ('fsync(', self.out + '>)')))
                if all(mark in line for mark in marks)]
        self.assertEqual(steps[-3:], ['content', 'name', 'folder'], steps)
