"""Memory while jobs run: leases that fall when others wait, pressure, and what is done about it."""
import time
import unittest

from daemon_harness import DaemonCase
from harness import PATIENCE, slow

MEBI = 1 << 20


class GivingBack(DaemonCase):
    """A crop whose child uses far less than its lease."""
    backend = None

    def begin(self, scenario, **more):
        """With room for one such job, but for no second one, however lean."""
        clip = self.clip('tour')
        self.words = {'clip_name': clip, 'params': {'size': '1080x1920'}}
        plan = self.weir('plan', 'crop', self.media + '/' + clip, '--size', '1080x1920', '--memory', '8G', '--json').document
        lease = next(rung['lease_bytes'] for rung in plan['ladder'] if rung['name'] == plan['chosen'])
        env = {'WEIR_TEST_MEMORY_BACKEND': self.backend} if self.backend else {}
        self.serve('--processors', '4', memory=str(lease + 73 * MEBI), scenario=scenario, env=env, **more)

    def notes(self, job):
        return [event['data'].get('note', '') for event in self.events_of(job)]

    def events_of(self, job):
        return [event for event in self.daemon.events('/v1/jobs/%s/events' % job, headers={'Last-Event-ID': '0'})]

    @slow
    def test_what_a_child_does_not_need_lets_another_begin(self):
        self.begin('plateau 135 14')
        first = self.submit(**self.words)['id']
        whole = self.at_work(first)['memory']['lease_bytes']
        self.assertGreater(whole, 220 * MEBI, 'the plan should need far more than the child takes')
        second = self.submit(**self.words)['id']
        # Before its peak is known nothing is taken; and the second does not fit beside it, or it would work already.
        time.sleep(1)
        self.assertEqual(self.job(first)['memory']['lease_bytes'], whole)
        fallen = self.becomes(first, 'running', also=lambda job: job['memory']['lease_bytes'] < whole, seconds=15)
        self.assertLess(fallen['memory']['lease_bytes'], 180 * MEBI)
        self.assertGreater(fallen['memory']['lease_bytes'], 135 * MEBI)
        self.becomes(second, 'running', also=lambda job: job['progress'] is not None, seconds=10)
        self.assertEqual(self.job(first)['state'], 'running', 'the second began while the first worked')
        for job in (first, second):
            self.ends(job)
        notes = self.notes(first)
        self.assertTrue(any('gave back' in note for note in notes), notes)
        self.assertFalse(any('had been lowered' in note for note in notes), notes)

    @slow
    def test_who_needs_it_after_all_gets_the_whole_lease_again(self):
        self.begin('plateau 135 9 60')
        first = self.submit(**self.words)['id']
        whole = self.at_work(first)['memory']['lease_bytes']
        second = self.submit(**self.words)['id']
        self.becomes(first, 'running', also=lambda job: job['memory']['lease_bytes'] < whole, seconds=15)
        done = self.ends(first, seconds=90)
        notes = self.notes(first)
        self.assertTrue(any('to which its lease had been lowered' in note for note in notes), notes)
        self.assertEqual(sum('gave back' in note for note in notes), 1, 'once was enough: %s' % notes)
        self.assertEqual(done['attempt'], 1, 'no failure of the job')
        self.ends(second, seconds=90)

    @slow
    def test_nobody_waits_nothing_is_taken(self):
        self.begin('plateau 135 8')
        job = self.submit(**self.words)['id']
        self.at_work(job)
        self.ends(job)
        self.assertFalse(any('gave back' in note for note in self.notes(job)))


class GivingBackWithoutGroups(GivingBack):
    """What is taken, and when, is decided alike: only that it holds is of the back end."""
    backend = 'rlimit'
    test_who_needs_it_after_all_gets_the_whole_lease_again = None
    test_nobody_waits_nothing_is_taken = None


if __name__ == '__main__':
    unittest.main()
