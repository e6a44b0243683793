"""Forecasts that learn: measured peaks correct them, kills raise them, and a life of the daemon hands them to the next."""
import json
import os
import random
import shutil
import time

from daemon_harness import DaemonCase
from harness import slow, wait_until

MEBI = 1 << 20


class Learning(DaemonCase):
    slots = 1

    def run_jobs(self, count, clip='clip.mp4', **members):
        jobs = [self.submit(clip, **members)['id'] for _ in range(count)]
        return [self.ends(job) for job in jobs]

    def planned(self, clip='clip.mp4', **members):
        """The plan that would be taken, and all of them."""
        reply = self.daemon.post('/v1/plan', {'recipe': 'crop', 'inputs': [clip], **members})
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        chosen = [way for way in reply.json['ladder'] if way['name'] == reply.json['chosen']]
        self.assertEqual(len(chosen), 1)
        leases = [way['lease_bytes'] for way in reply.json['ladder']]
        self.assertEqual(leases, sorted(set(leases), reverse=True), 'leases must fall strictly')
        return chosen[0], reply.json['ladder']

    def calibration(self):
        reply = self.daemon.get('/v1/calibration')
        self.assertEqual(reply.status, 200, '\n%s' % reply)
        return reply.json

    def file(self):
        return os.path.join(self.data, 'calibration')

    def written(self):
        wait_until(lambda: os.path.exists(self.file()), 10)

    def known(self, clip):
        return self.clip(clip, 'clip.mp4')

    @slow
    def test_measured_peaks_correct_forecasts_and_outlive_the_daemon(self):
        self.known('plain')
        self.serve()
        before, _ = self.planned()
        self.assertEqual(before['correction'], {'factor': 1, 'samples': 0, 'killed': 0, 'confidence': 'none', 'at_ceiling': False})
        self.assertEqual(before['prior_peak_bytes'], before['forecast_peak_bytes'])
        self.assertEqual(self.calibration()['kinds'], [])
        self.assertIsNone(self.calibration()['errors']['prior'])

        jobs = self.run_jobs(7)
        peaks = [job['memory']['measured_peak_bytes'] for job in jobs]
        after, _ = self.planned()
        self.assertEqual((after['correction']['samples'], after['correction']['confidence']), (7, 'low'))
        self.assertEqual(after['lease_bytes'], before['lease_bytes'], 'seven peaks are too few')

        jobs = self.run_jobs(2)
        peaks += [job['memory']['measured_peak_bytes'] for job in jobs]
        after, _ = self.planned()
        say = '\n%s\n%s' % (json.dumps(after), peaks)
        self.assertEqual(after['correction']['confidence'], 'fair', say)
        self.assertEqual(after['correction']['samples'], 9, say)
        self.assertEqual(after['prior_peak_bytes'], before['forecast_peak_bytes'], say)
        self.assertNotEqual(after['lease_bytes'], before['lease_bytes'], say)
        self.assertGreater(after['forecast_peak_bytes'], max(peaks), say)
        self.assertAlmostEqual(after['forecast_peak_bytes'], after['prior_peak_bytes'] * after['correction']['factor'], delta=2, msg=say)
        # The one after the eighth ran with the corrected lease, and says so.
        self.assertEqual(jobs[1]['plan']['correction']['samples'], 8)
        self.assertEqual(jobs[1]['memory']['prior_peak_bytes'], before['forecast_peak_bytes'])
        self.assertLess(abs(jobs[1]['memory']['lease_bytes'] - after['lease_bytes']), 3 * MEBI)

        told = self.calibration()
        self.assertEqual((told['samples'], told['killed'], len(told['kinds'])), (9, 0, 1))
        self.assertEqual(told['kinds'][0]['recipe'], 'crop')
        self.assertIn(after['name'], told['kinds'][0]['plan'])
        error = before['forecast_peak_bytes'] / sorted(peaks)[4] - 1
        self.assertAlmostEqual(told['errors']['prior']['median'], error, delta=0.001)
        metrics = self.daemon.get('/metrics').body.decode()
        self.assertIn('\nweir_forecast_samples 9\n', metrics)
        self.assertIn('weir_forecast_error_ratio{forecast="prior",quantile="0.5"}', metrics)

        server = ['--server', 'http://127.0.0.1:%d' % self.port]
        said = self.ok(self.weir('calibration', *server)).text
        self.assertIn('9 peaks and 0 kills', said)
        self.assertIn(after['name'], said)
        self.assertEqual(self.ok(self.weir('calibration', '--json', *server)).document, told)

        # A clean end keeps all of it, a kill the old or the new.
        self.assertEqual(self.daemon.stop(), 0)
        self.serve()
        self.assertEqual(self.planned()[0], after)
        self.run_jobs(1)
        self.daemon.kill()
        self.serve()
        self.assertIn(self.planned()[0]['correction']['samples'], (9, 10))
        self.assertNotIn('warning', self.daemon.log)

        self.assertEqual(self.ok(self.weir('calibration', '--reset', *server, '--json')).document['kinds'], [])
        self.assertEqual(self.planned()[0], before)
        self.assertEqual(self.daemon.stop(), 0)
        self.serve()
        self.assertEqual(self.planned()[0], before)

    @slow
    def test_killed_at_any_instant_the_file_is_whole(self):
        self.known('plain')
        last = 0
        for life in range(6):
            self.serve()
            self.assertNotIn('warning', self.daemon.log)
            samples = self.calibration()['samples']
            self.assertGreaterEqual(samples, last, 'what was on disk is there')
            self.run_jobs(1)
            if life == 0:
                self.written()
            # The file is written about a second after the first lesson of a life.
            time.sleep(random.uniform(0.7, 1.3))
            self.daemon.kill()
            last = samples
        self.serve()
        self.assertNotIn('warning', self.daemon.log)
        self.assertGreaterEqual(self.calibration()['samples'], 1)
        self.assertEqual([name for name in os.listdir(self.data) if name.startswith(('.new-', 'calibration.'))], [])

    def test_a_damaged_file_is_set_aside_with_one_warning(self):
        os.mkdir(self.data)
        for text in (b'', b'weir-calibration 1\ntool 0\n', os.urandom(100000), b'weir-calibration 1\n' + b'\0' * 70):
            with open(self.file(), 'wb') as file:
                file.write(text)
            self.serve()
            self.assertEqual(self.daemon.log.count('forecasts begin anew'), 1, self.daemon.log)
            self.assertEqual(self.calibration()['kinds'], [])
            self.assertFalse(os.path.exists(self.file()))
            with open(self.file() + '.damaged', 'rb') as file:
                self.assertEqual(file.read(), text)
            self.assertEqual(self.daemon.stop(), 0)

    def test_a_file_of_a_later_version_is_left_alone(self):
        os.mkdir(self.data)
        with open(self.file(), 'w') as file:
            file.write('weir-calibration 2\nwho knows\n')
        self.known('plain')
        self.serve()
        self.assertEqual(self.daemon.log.count('forecasts begin anew'), 1, self.daemon.log)
        self.run_jobs(1)
        self.assertEqual(self.daemon.stop(), 0)
        with open(self.file()) as file:
            self.assertEqual(file.read(), 'weir-calibration 2\nwho knows\n')

    @slow
    def test_another_ffmpeg_begins_anew(self):
        self.known('plain')
        self.serve()
        self.run_jobs(1)
        self.assertEqual(self.daemon.stop(), 0)
        other = os.path.join(self.dir, 'other')
        os.mkdir(other)
        shutil.copyfile('/usr/bin/ffmpeg', os.path.join(other, 'ffmpeg'))
        os.chmod(os.path.join(other, 'ffmpeg'), 0o755)
        tools = ('--ffmpeg', os.path.join(other, 'ffmpeg'), '--ffprobe', '/usr/bin/ffprobe')
        self.serve(*tools)
        self.assertEqual(self.calibration()['kinds'], [])
        self.assertIn('of another ffmpeg', self.daemon.log)
        self.assertNotIn('warning', self.daemon.log)
        self.run_jobs(2)
        self.assertEqual(self.daemon.stop(), 0)
        self.serve(*tools)
        self.assertEqual(self.calibration()['samples'], 2)

    @slow
    def test_what_is_not_right_teaches_nothing(self):
        """It exits with success, but made less than was asked for: its peak may be that of less work."""
        self.known('plain')
        self.serve('--retries', '0', scenario='liar-short 1')
        self.ends(self.submit('clip.mp4')['id'], 'failed')
        self.play('exit 1')
        self.ends(self.submit('clip.mp4')['id'], 'failed')
        self.assertEqual(self.calibration()['kinds'], [])
        self.play('pass')
        self.run_jobs(1)
        self.assertEqual(self.calibration()['samples'], 1)

    @slow
    def test_a_forecast_too_low_by_three_is_raised_by_the_first_kill(self):
        self.known('plain')
        self.serve(scenario='pass', memory='1G')
        before, ladder = self.planned()
        self.play('eat-pass %d' % (3 * before['forecast_peak_bytes'] // MEBI))
        job = self.ends(self.submit('clip.mp4')['id'], 'succeeded', seconds=120)
        self.assertGreater(job['attempt'], 0)
        told = self.calibration()
        say = '\n%s' % json.dumps(told)
        self.assertGreaterEqual(told['killed'], 1, say)
        after, _ = self.planned()
        self.assertGreater(after['lease_bytes'], 2 * before['lease_bytes'], say)
        killed = [kind for kind in told['kinds'] if kind['killed']]
        self.assertTrue(any(before['name'] in kind['plan'] for kind in killed), say)
        # The next one alike is not killed any more.
        again = self.ends(self.submit('clip.mp4')['id'], 'succeeded')
        self.assertEqual(again['attempt'], 1, '%s%s' % (self.daemon.log[-1500:], json.dumps(self.calibration(), indent=1)))
        self.assertEqual(self.calibration()['killed'], told['killed'], say)
        self.assertLessEqual(again['memory']['measured_peak_bytes'], again['memory']['lease_bytes'])


class LearningWithoutCgroups(DaemonCase):
    """The same kills where RLIMIT_DATA and the watcher keep the limits."""
    slots = 1

    def environment(self, **changes):
        return super().environment(WEIR_TEST_MEMORY_BACKEND='rlimit', **changes)

    known, planned, calibration = Learning.known, Learning.planned, Learning.calibration
    test_a_forecast_too_low_by_three_is_raised_by_the_first_kill = Learning.test_a_forecast_too_low_by_three_is_raised_by_the_first_kill
