"""A child that does its worst: the right exit code, nothing survives, nothing is left, and weir stays small."""
import os
import threading
import time

import clips
from harness import Case, EXIT, PATIENCE, long_only, processes_of, slow, wait_until

MEBI = 1 << 20


class Hostile(Case):
    def play(self, scenario, *options, clip='plain', timeout=60, code=None, env=None, ffprobe=False):
        """Runs a crop with the fake in the part of ffmpeg (or of ffprobe)."""
        program = self.fake(scenario, 'ffprobe' if ffprobe else 'ffmpeg')
        if ffprobe:
            os.rename(os.path.join(self.dir, 'tools', 'scenario'), os.path.join(self.dir, 'tools', 'scenario-ffprobe'))
            options += ('--ffprobe', program)
        else:
            options += ('--ffmpeg', program, '--ffprobe', 'ffprobe')
        child = self.start('crop', clips.get(clip), self.output(), *options, '--json', env=env)
        self.largest = 0

        def watch():
            while child.poll() is None:
                try:
                    with open('/proc/%d/status' % child.pid) as file:
                        for line in file:
                            if line.startswith('VmRSS:'):
                                self.largest = max(self.largest, int(line.split()[1]) * 1024)
                except (OSError, ValueError):
                    return
                time.sleep(0.02)
        watcher = threading.Thread(target=watch)
        watcher.start()
        done = self.finish(child, timeout)
        watcher.join()
        self.assert_no_processes()
        self.assertEqual(os.listdir(self.out), [], '\n%s' % done)
        if PATIENCE == 1:
            self.assertLess(self.largest, 64 * MEBI, 'weir itself grew\n%s' % done)
        if code is not None:
            self.refused(done, code)
        return done

    def within(self, done, seconds):
        self.assertLess(done.seconds, seconds * PATIENCE, '\n%s' % done)


class Stops(Hostile):
    def test_the_fake_can_play_along(self):
        """The counterproof: with the honest part, everything below would pass."""
        fake = self.fake('pass')
        self.made('crop', clips.get('plain'), self.output(), '--ffmpeg', fake, '--ffprobe', 'ffprobe')

    def test_no_progress_is_stalled(self):
        self.within(self.play('hang', '--stall-timeout', '1', code='stalled'), 6)

    @slow
    def test_busy_without_progress_is_stalled(self):
        self.within(self.play('busy', '--stall-timeout', '1', code='stalled'), 6)

    def test_the_same_progress_again_and_again_is_stalled(self):
        self.within(self.play('progress-forever', '--stall-timeout', '1', code='stalled'), 6)

    def test_past_the_deadline_is_timed_out(self):
        self.within(self.play('obey-term', '--timeout', '1', code='timed-out'), 6)

    def test_ignores_term(self):
        self.within(self.play('ignore-term', '--timeout', '1', code='timed-out'), 8)

    def test_stops_itself(self):
        self.within(self.play('stop-self', '--stall-timeout', '1', code='stalled'), 8)

    def test_closes_its_pipes_and_hangs(self):
        self.within(self.play('close-stderr-hang', '--stall-timeout', '1', code='stalled'), 8)


class Limits(Hostile):
    def test_an_hour_of_work_may_take_hours_of_processor_time(self):
        child = self.start('crop', clips.get('plain'), self.output(), '--ffmpeg', self.fake('hang'), '--ffprobe', 'ffprobe', '--timeout', '3600')
        at_work = lambda: [p for p, what in processes_of(self.out).items() if p != child.pid and '.weir-' in what]
        self.assertTrue(wait_until(at_work, 20 * PATIENCE), 'the work never began')
        with open('/proc/%d/limits' % at_work()[0]) as file:
            limit = next(line for line in file if line.startswith('Max cpu time')).split()[3]
        child.terminate()
        self.finish(child, 30)
        self.assertGreaterEqual(int(limit), 3600)


class Families(Hostile):
    def test_forks(self):
        self.within(self.play('fork 5', '--stall-timeout', '1', code='stalled', env=self.FAMILIES), 8)

    def test_sets_a_session(self):
        self.within(self.play('setsid', '--stall-timeout', '1', code='stalled', env=self.FAMILIES), 8)

    def test_double_forks(self):
        self.within(self.play('double-fork', '--stall-timeout', '1', code='stalled', env=self.FAMILIES), 8)

    def test_double_forks_and_leaves(self):
        """The child is gone at once; its grandchild holds the pipes in a session of its own."""
        self.within(self.play('double-fork exit', code='verification', env=self.FAMILIES), 10)

    def test_leaves_children_that_keep_the_pipes(self):
        self.within(self.play('fork-then-exit 5', code='verification', env=self.FAMILIES), 10)

    @slow
    def test_all_of_them_without_a_pid_namespace(self):
        for scenario in ('fork 3', 'setsid', 'double-fork'):
            self.play(scenario, '--stall-timeout', '1', code='stalled', env={'WEIR_TEST_NO_LAYERS': 'pid-namespace,seccomp'})
        self.play('double-fork exit', env={'WEIR_TEST_NO_LAYERS': 'pid-namespace,seccomp'})

    @slow
    def test_all_of_them_without_memory_groups(self):
        for scenario in ('fork 3', 'setsid', 'double-fork'):
            self.play(scenario, '--stall-timeout', '1', code='stalled', env={'WEIR_TEST_MEMORY_BACKEND': 'rlimit', **self.FAMILIES})


class Floods(Hostile):
    def test_standard_error(self):
        done = self.play('stderr-flood 512', '--timeout', '60')
        self.assertNotEqual(done.code, 0)
        self.assertLess(len(done.err) + len(done.out), 1 << 20, 'the flood came through')

    @slow
    def test_standard_output(self):
        done = self.play('stdout-flood 512', '--timeout', '60')
        self.assertNotEqual(done.code, 0)

    def test_ten_gigabytes(self):
        before = os.statvfs(self.out)
        done = self.play('write-big 10240', code='runaway')
        self.within(done, 30)
        after = os.statvfs(self.out)
        self.assertLess((before.f_bavail - after.f_bavail) * before.f_frsize, 2 << 30, 'the disk was filled')

    @slow
    def test_ten_gigabytes_in_many_files(self):
        self.play('write-many-big 10240', code='runaway')

    @slow
    def test_very_many_files(self):
        done = self.play('many-files 100000', '--stall-timeout', '2', timeout=90)
        self.assertIn(done.code, (EXIT['stalled'], EXIT['runaway'], EXIT['timed-out'], EXIT['disk-full']), '\n%s' % done)

    def test_more_frames_than_forecast(self):
        self.within(self.play('runaway-frames', code='runaway'), 15)

    def test_progress_that_is_none(self):
        self.within(self.play('progress-garbage', '--stall-timeout', '5', code='verification'), 20)

    @slow
    def test_probe_without_end(self):
        done = self.play('stdout-flood 512', '--timeout', '30', ffprobe=True)
        self.assertIn(done.code, (7, 8, 10, 14, 22, 23), '\n%s' % done)


class Liars(Hostile):
    def test_nothing_written(self):
        self.play('liar', code='verification', clip='full_hd')

    def test_garbage_written(self):
        self.play('liar-garbage 1', code='verification', clip='full_hd')

    def test_less_than_promised(self):
        done = self.play('liar-short 1', code='verification')
        self.assertRegex(done.document['error']['detail'], r'(duration|frames).*expected .*found', 'the difference is not named')

    def test_exit_status(self):
        self.play('exit 1', code='child-failed')

    @slow
    def test_exit_status_of_a_shell(self):
        done = self.play('exit 127')
        self.assertIn(done.code, (EXIT['child-failed'], EXIT['tool-unusable']), '\n%s' % done)

    def test_crash(self):
        self.play('signal 11', code='crashed')

    @slow
    def test_killed_by_somebody_else(self):
        """SIGKILL without a full memory group is not "out of memory"."""
        fake = self.fake('obey-term')
        self.ok(self.weir('doctor', '--ffmpeg', fake, '--ffprobe', 'ffprobe'))   # so that no self-test comes first
        child = self.start('crop', clips.get('plain'), self.output(), '--ffmpeg', fake, '--ffprobe', 'ffprobe', '--json')
        victims = lambda: [p for p, what in processes_of(self.out).items() if p != child.pid]
        for pid in wait_until(victims, 20 * PATIENCE):
            os.kill(pid, 9)
        self.refused(self.finish(child, 20), 'crashed')

    @slow
    def test_words_about_a_full_disk(self):
        self.play('enospc-message', code='disk-full')

    @slow
    def test_words_about_memory(self):
        self.play('malloc-message', code='out-of-memory')

    @slow
    def test_probe_that_crashes(self):
        done = self.play('signal 11', ffprobe=True)
        self.assertIn(done.code, (22, 24), '\n%s' % done)

    @slow
    def test_probe_that_says_nothing(self):
        done = self.play('liar', ffprobe=True)
        self.assertIn(done.code, (7, 8, 22), '\n%s' % done)

    @slow
    def test_probe_that_hangs(self):
        done = self.play('hang', '--timeout', '2', ffprobe=True, timeout=90)
        self.assertIn(done.code, (14, 15), '\n%s' % done)


class Versions(Hostile):
    own_state = True

    def test_too_old(self):
        self.play('version 4.1', code='tool-unusable')

    @slow
    def test_others(self):
        self.play('version-garbage', code='tool-unusable')
        self.play('version-exit 1', code='tool-unusable')

    @slow
    def test_hang(self):
        done = self.play('version-hang', timeout=60)
        self.assertIn(done.code, (14, 15, 22), '\n%s' % done)

    @slow
    def test_flood(self):
        done = self.play('version-flood', timeout=60)
        self.assertIn(done.code, (14, 22, 25), '\n%s' % done)

    def test_self_test_that_fails(self):
        done = self.play('break-selftest')
        self.assertIn(done.code, (22, 27), '\n%s' % done)


class Walls(Hostile):
    """What a child may touch. The part exits 0 when it may (then the missing output is the error), else 13."""

    def may(self, scenario, env=None):
        done = self.play(scenario, env=env)
        self.assertIn(done.code, (EXIT['child-failed'], EXIT['verification']), '\n%s' % done)
        return done.code == EXIT['verification']

    def test_write_into_its_own_folder(self):
        self.assertTrue(self.may('write-file here'), 'it could not even write where it must')

    def test_write_elsewhere(self):
        escape = os.path.join(self.out, 'escape')
        for path in (escape, '../escape', '/tmp/weir-escape-%d' % os.getpid(), os.path.join(self.src, 'escape')):
            self.assertFalse(self.may('write-file ' + path), path)
            self.assertFalse(os.path.lexists(path) and path.startswith('/'), path)
        self.assertFalse(os.path.exists(escape))

    def test_read_elsewhere(self):
        secret = os.path.join(self.src, 'secret')
        with open(secret, 'w') as file:
            file.write('secret')
        for path in ('/etc/passwd', secret, '/proc/1/environ', clips.get('local_ts')):
            self.assertFalse(self.may('read-file ' + path), path)

    def test_counterproof(self):
        """Without Landlock the same part may read: so the tests above can fail."""
        self.assertTrue(self.may('read-file /etc/passwd', env={'WEIR_TEST_NO_LAYERS': 'landlock', 'WEIR_STATE_DIR': os.path.join(self.dir, 'other')}))

    def test_change_its_input(self):
        """The input is open for reading only and cannot be opened anew for writing."""
        self.assertFalse(self.may('write-file /proc/self/fd/3'))
