"""Ctrl-C and SIGTERM: the child stops, temporaries go, the exit code says which; a second one does not wait."""
import os
import random
import signal
import time

import clips
import media
from harness import Case, PATIENCE, fake_program, processes_of, slow, wait_until, work_folders

FAMILIES = ('fork 3', 'setsid', 'double-fork')


class Interrupts(Case):
    def running(self, scenario=None, *options, clip='busy'):
        """A crop whose child is at work."""
        if scenario:
            options += ('--ffmpeg', self.fake(scenario), '--ffprobe', 'ffprobe')
        else:
            options += ('--preset', 'veryslow', '--size', '1080x1920')
        child = self.start('crop', clips.get(clip), self.output(), *options, env=self.FAMILIES if scenario in FAMILIES else None)
        self.assertTrue(wait_until(lambda: self.at_work(child), 20 * PATIENCE), 'the work never began')
        return child

    def at_work(self, child):
        return child.poll() is None and any('/out/.weir-' in what or '.weir-' in what for pid, what in processes_of(self.out).items() if pid != child.pid)

    def ended(self, child, code, within, quiet_sentence=True):
        begun = time.monotonic()
        done = self.finish(child, 30)
        self.assertEqual(done.code, code, '\n%s' % done)
        self.assertLess(time.monotonic() - begun, within * PATIENCE, '\n%s' % done)
        self.assertEqual(os.listdir(self.out), [], '\n%s' % done)
        self.assert_no_processes(0.5)
        if quiet_sentence:
            self.assertEqual(len([line for line in self.error_lines(done) if line.startswith('weir: ')]), 1, '\n%s' % done)
        return done

    def test_interrupt(self):
        child = self.running()
        child.send_signal(signal.SIGINT)
        self.ended(child, 130, 3)

    def test_terminate(self):
        child = self.running()
        child.send_signal(signal.SIGTERM)
        self.ended(child, 143, 3)

    def test_interrupt_from_a_terminal_reaches_the_whole_group(self):
        child = self.running()
        os.killpg(child.pid, signal.SIGINT)
        self.ended(child, 130, 3)

    def test_interrupt_with_json(self):
        child = self.start('crop', clips.get('busy'), self.output(), '--preset', 'veryslow', '--size', '1080x1920', '--json')
        self.assertTrue(wait_until(lambda: self.at_work(child), 20 * PATIENCE))
        child.send_signal(signal.SIGINT)
        done = self.ended(child, 130, 3, quiet_sentence=False)
        self.assertEqual((done.document['ok'], done.document['error']['type'], done.document['error']['exit_code']), (False, 'interrupted', 130))

    def test_child_that_ignores_it_is_killed_after_one_grace(self):
        child = self.running('ignore-term')
        child.send_signal(signal.SIGINT)
        self.ended(child, 130, 5)

    def test_second_interrupt_is_immediate(self):
        child = self.running('ignore-term')
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        self.assertIsNone(child.poll(), 'the grace was not granted')
        child.send_signal(signal.SIGINT)
        self.ended(child, 130, 0.7)

    @slow
    def test_many_interrupts(self):
        child = self.running('ignore-term')
        for _ in range(10):
            try:
                child.send_signal(signal.SIGINT)
            except ProcessLookupError:
                break
            time.sleep(0.01)
        self.ended(child, 130, 1, quiet_sentence=False)

    @slow
    def test_families_go_too(self):
        for scenario in FAMILIES + ('stop-self', 'close-stderr-hang'):
            with self.subTest(scenario):
                child = self.running(scenario)
                child.send_signal(signal.SIGTERM)
                self.ended(child, 143, 5)

    @slow
    def test_hang_up_leaves_no_process(self):
        child = self.running('obey-term')
        child.send_signal(signal.SIGHUP)
        self.finish(child, 30)
        self.assert_no_processes(2)
        self.ok(self.weir('doctor'))   # sweeps, when the signal was deadly

    @slow
    def test_closed_pipes_do_no_harm(self):
        """`weir ... | head -1` must not leave anything either."""
        child = self.start('crop', clips.get('busy_small'), self.output())
        child.stdout.close()
        child.stderr.close()
        child.wait(60 * PATIENCE)
        child.stdout = child.stderr = None
        self.assert_no_processes(2)
        self.assertIsNone(media.decodes(self.output()))   # the work was not lost with its audience

    @slow
    def test_nobody_hears_the_progress(self):
        """A full, closed or missing standard error is no reason to lose the work."""
        for name, script in (('full', 'exec "$@" 2>/dev/full'), ('closed', 'exec "$@" 2>&-'),
                             ('all closed', 'exec "$@" <&- >&- 2>&-')):
            with self.subTest(name):
                child = self.start('crop', clips.get('busy_small'), self.output(), '--force',
                                   prefix=('/bin/sh', '-c', script, 'sh'))
                child.communicate(timeout=60 * PATIENCE)
                self.assertIsNone(media.decodes(self.output()))
                if name != 'all closed':
                    self.assertEqual(child.returncode, 0)
                os.unlink(self.output())

    @slow
    def test_nohup_goes_on(self):
        child = self.start('crop', clips.get('busy'), self.output(), prefix=('/usr/bin/nohup',))
        time.sleep(0.3)
        child.send_signal(signal.SIGHUP)
        self.ok(self.finish(child, 60))
        self.assertIsNone(media.decodes(self.output()))


class RandomInstants(Case):
    rounds = 12

    def test_random_instants(self):
        length = self.ok(self.weir('crop', clips.get('busy_small'), self.output())).seconds
        os.unlink(self.output())
        seed = int(os.environ.get('WEIR_TEST_SEED', '0')) or random.randrange(1 << 30)
        dice = random.Random(seed)
        for number in range(self.rounds):
            wait = (number + dice.random()) / self.rounds * length * 1.05
            which, code = ((signal.SIGINT, 130), (signal.SIGTERM, 143))[number % 2]
            with self.subTest(seed=seed, number=number, wait=wait):
                child = self.start('crop', clips.get('busy_small'), self.output(), '--force')
                # The first moments belong to the loader and the C library: no handler can be there yet.
                time.sleep(max(wait, 0.03 * PATIENCE))
                child.send_signal(which)
                done = self.finish(child, 30)
                self.assertIn(done.code, (0, code), '\n%s' % done)
                if done.code == 0:
                    self.assertIsNone(media.decodes(self.output()))
                elif os.path.exists(self.output()):
                    self.assertIsNone(media.decodes(self.output()))
                self.assert_nothing_left()
