"""kill -9 of weir at random instants: no process of ours after 2 s, nothing temporary after the next start, and
the output is whole or absent. 30 instants, 200 with --long."""
import os
import random
import signal
import time

import clips
import media
from harness import Case, LONG, PATIENCE, QUICK, cgroup_folders, groups_before, processes_of, records_of, slow, wait_until, work_folders


class Killed(Case):
    own_state = True
    rounds = 200 if LONG else 6 if QUICK else 30

    def aftermath(self, note, next_start=('doctor',)):
        """2 s, then no process; one start, then no folder and no group."""
        gone = wait_until(lambda: not processes_of(self.dir), 2.0)
        self.assertTrue(gone, '%s: alive 2 s after the kill: %s' % (note, processes_of(self.dir)))
        groups = {g for g, empty in cgroup_folders().items() if empty and g not in groups_before}
        self.ok(self.weir(*next_start))
        self.assertEqual(work_folders(self.dir), [], note)
        stayed = groups & {g for g, empty in cgroup_folders().items() if empty}
        if stayed:   # another test may have been between two steps both times
            time.sleep(1)
            stayed &= {g for g, empty in cgroup_folders().items() if empty}
        self.assertEqual(stayed, set(), '%s: groups stay after the next start' % note)
        self.assertEqual(records_of(self.state), [], '%s: records stay' % note)

    def whole_or_absent(self, note, expected_frames=60):
        names = os.listdir(self.out)
        self.assertIn(names, ([], ['out.mp4']), note)
        if names:
            self.assertIsNone(media.decodes(self.output()), note)
            self.assertEqual(int(media.video(media.probe(self.output(), packets=True))['nb_read_packets']), expected_frames, note)
            os.unlink(self.output())
            return 1
        return 0

    def test_random_instants(self):
        length = max(self.ok(self.weir('crop', clips.get('busy_small'), self.output())).seconds,
                     self.ok(self.weir('crop', clips.get('busy_small'), self.output(), '--force')).seconds)
        os.unlink(self.output())
        seed = int(os.environ.get('WEIR_TEST_SEED', '0')) or random.randrange(1 << 30)
        dice = random.Random(seed)
        whole = 0
        for number in range(self.rounds):
            wait = (number + dice.random()) / self.rounds * length * 1.1
            note = 'seed %d, instant %d of %d, after %.3f s' % (seed, number, self.rounds, wait)
            child = self.start('crop', clips.get('busy_small'), self.output(), '--quiet')
            time.sleep(wait)
            child.kill()
            child.wait()
            self._end(child)
            self.aftermath(note)
            whole += self.whole_or_absent(note)
        if self.rounds >= 30:
            self.assertLess(whole, self.rounds, 'no kill ever came in time')

    def at_work(self, *options, env=None, prefix=()):
        child = self.start('crop', clips.get('busy'), self.output(), '--preset', 'veryslow', '--size', '1080x1920', *options, env=env, prefix=prefix)
        at_work = lambda: child.poll() is None and any('.weir-' in w for p, w in processes_of(self.out).items() if p != child.pid)
        self.assertTrue(wait_until(at_work, 30 * PATIENCE), 'the work never began')
        return child

    def test_families_die_with_it(self):
        for scenario in ('fork 3', 'setsid', 'double-fork', 'ignore-term', 'stop-self', 'close-stderr-hang'):
            with self.subTest(scenario):
                child = self.at_work('--ffmpeg', self.fake(scenario), '--ffprobe', 'ffprobe', env=self.FAMILIES)
                time.sleep(0.2)
                child.kill()
                child.wait()
                self.aftermath(scenario)

    def test_without_a_pid_namespace(self):
        child = self.at_work(env={'WEIR_TEST_NO_LAYERS': 'pid-namespace'})
        child.kill()
        child.wait()
        self.aftermath('parent-death signal alone')

    def test_without_memory_groups(self):
        child = self.at_work(env={'WEIR_TEST_MEMORY_BACKEND': 'rlimit'})
        child.kill()
        child.wait()
        self.aftermath('rlimit back end')

    @slow
    def test_as_an_ordinary_user(self):
        prefix = self.as_nobody()
        child = self.at_work(prefix=prefix)
        child.kill()
        child.wait()
        gone = wait_until(lambda: not processes_of(self.dir), 2.0)
        self.assertTrue(gone, processes_of(self.dir))
        self.ok(self.weir('doctor', prefix=prefix))
        self.assertEqual(work_folders(self.dir), [])

    @slow
    def test_while_the_probe_runs(self):
        probe = self.fake('x', 'ffprobe')
        os.rename(os.path.join(self.dir, 'tools', 'scenario'), os.path.join(self.dir, 'tools', 'scenario-ffprobe'))
        with open(os.path.join(self.dir, 'tools', 'scenario-ffprobe'), 'w') as file:
            file.write('hang\n')
        child = self.start('crop', clips.get('busy'), self.output(), '--ffprobe', probe)
        self.assertTrue(wait_until(lambda: len(processes_of(self.dir)) > 1, 20 * PATIENCE))
        time.sleep(0.2)
        child.kill()
        child.wait()
        self.aftermath('probe')

    @slow
    def test_any_next_command_cleans_up(self):
        child = self.at_work()
        child.kill()
        child.wait()
        self.aftermath('next is a crop', ('crop', clips.get('busy_small'), os.path.join(self.dir, 'other.mp4')))

    @slow
    def test_a_living_run_is_not_swept(self):
        child = self.at_work()
        self.ok(self.weir('doctor'))
        time.sleep(0.3)
        self.assertIsNone(child.poll(), 'the sweep ended a run that lives')
        self.assertEqual(len(work_folders(self.out)), 1)
        child.send_signal(signal.SIGINT)
        self.assertEqual(self.finish(child).code, 130)

    @slow
    def test_a_folder_that_only_looks_like_ours_is_kept(self):
        pretender = os.path.join(self.out, '.weir-0123456789abcdef')
        os.mkdir(pretender)
        with open(os.path.join(pretender, 'precious'), 'w') as file:
            file.write('x')
        self.ok(self.weir('doctor'))
        self.made('crop', clips.get('busy_small'), self.output())
        self.assertTrue(os.path.exists(os.path.join(pretender, 'precious')))
        os.unlink(os.path.join(pretender, 'precious'))
        os.rmdir(pretender)
