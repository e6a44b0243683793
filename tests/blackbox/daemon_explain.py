"""Every decision is explained: why a job was done as it was, what it waits for, and the dashboard over the metrics."""
import json
import os
import re

from daemon_harness import DaemonCase
from harness import PATIENCE, slow, wait_until

MEBI = 1 << 20
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Explained(DaemonCase):
    def asked(self, *words):
        return self.ok(self.weir(*words, env={'WEIR_SERVER': '127.0.0.1:%d' % self.port}))

    def explain(self, job):
        return self.asked('explain', job).text

    def decisions(self, job):
        """The events of this type, as they are stored."""
        found = []
        for event in self.daemon.events('/v1/jobs/%s/events' % job, timeout=60):
            if event['event'] == 'decision':
                found.append(event['data'])
        return found

    def test_alone(self):
        self.serve(slots=2)
        job = self.ends(self.submit(self.clip('plain'))['id'])
        self.assertIn('with nothing else at work: the fastest way', job['decision'])
        self.assertIsNone(job['waiting'])
        [told] = self.decisions(job['id'])
        why = told['decision']
        self.assertEqual(told['note'], job['decision'])
        self.assertEqual((why['plan'], why['way'], why['passed'], why['alike'], why['leases']), (job['plan']['name'], 1, [], 1, 0))
        self.assertEqual(why['available_bytes'], (600 - 37) * MEBI)
        self.assertGreaterEqual(why['lease_bytes'], job['memory']['lease_bytes'])
        [run] = job['runs']
        self.assertEqual((run['attempt'], run['plan'], run['ending']), (1, why['plan'], 'exited'))
        self.assertEqual(run['measured_peak_bytes'], job['memory']['measured_peak_bytes'])
        lines = self.daemon.get('/v1/jobs/%s/log' % job['id']).json['lines']
        self.assertEqual([line['type'] for line in lines], ['state', 'state', 'decision', 'state', 'state', 'state'])
        self.assertTrue(wait_until(lambda: 'decision: started with ' + why['plan'] in self.daemon.log, 5 * PATIENCE), self.daemon.log)

        text = self.explain(job['id'])
        places = [text.find(words) for words in ('accepted', 'an attempt begins after', 'started with ' + why['plan'], 'its result is checked',
                                                 's  succeeded\n', 'ran       attempt 1, ' + why['plan'] + ': forecast', 'memory ', '# used, - lease', 'checks ')]
        self.assertEqual(places, sorted(places), text)
        self.assertGreater(places[0], 0, text)
        self.assertRegex(text, r'lease [0-9.]+ MiB, measured [0-9.]+ MiB \([+-][0-9.]+ % against the forecast, [0-9]+ % of the lease\)')
        self.assertRegex(text, r'\|.*#')
        self.assertNotIn('waits', text)
        parts = json.loads(self.asked('explain', job['id'], '--json').text)
        self.assertEqual(set(parts), {'job', 'log', 'memory'})
        self.assertEqual((parts['job']['id'], parts['log'], parts['memory']['attempt']), (job['id'], lines, 1))
        self.assertTrue(parts['memory']['samples'])
        unknown = self.weir('explain', '0' * 16, env={'WEIR_SERVER': '127.0.0.1:%d' % self.port})
        self.assertEqual(unknown.code, 29, '\n%s' % unknown)

    def test_the_second_waits_for_memory(self):
        """The probe of the second finds less than it needs, until the first has ended."""
        self.serve(memory='230M', scenario='obey-term', slots=3)
        name = self.clip('full_hd_short')
        first = self.submit(name, params={'size': '1080x1920'})['id']
        self.at_work(first)
        second = self.submit(name, params={'size': '1080x1920'})['id']
        job = self.becomes(second, 'running', also=lambda one: 'until' in (one['waiting'] or ()))
        waiting = job['waiting']
        system = self.daemon.get('/v1/system').json
        self.assertEqual((waiting['for'], waiting['holders']), ('memory', 1))
        self.assertGreater(waiting['required_bytes'], waiting['available_bytes'])
        self.assertEqual(waiting['available_bytes'], system['memory']['available_bytes'])
        self.assertLess(job['started'], waiting['until'])
        self.assertLessEqual(job['started'], waiting['since'])
        self.assertEqual([one['waiting'] and one['waiting']['for'] for one in sorted(system['running'], key=lambda one: one['job'] != first)], [None, 'memory'])
        self.assertIn('1 for memory: it needs ', self.asked('top', '--once').text)
        text = self.explain(second)
        self.assertRegex(text, r'waits     for memory since \S+Z: it needs [0-9.]+ MiB of memory, [0-9.]+ MiB are free, and 1 lease holds the rest\n')
        self.assertRegex(text, r'helps     a budget larger by [0-9.]+ [KM]iB \(--memory\)')
        figures = self.daemon.get('/metrics').body.decode()
        self.assertIn('\nweir_steps_waiting_for{reason="memory"} 1\n', figures)
        self.assertIn('\nweir_steps_waiting_for{reason="disk"} 0\n', figures)

        # What a long job decided is not kept until it ends.
        self.assertTrue(wait_until(lambda: any(line['type'] == 'decision' for line in self.daemon.get('/v1/jobs/%s/log' % first).json['lines']), 10 * PATIENCE))
        self.assertIn('now       ' + self.job(first)['plan']['name'], self.explain(first))
        # One without a slot has its reason too.
        third, fourth = [self.submit(name)['id'] for _ in range(2)]
        found = self.becomes(fourth, 'queued', also=lambda one: one['waiting'] is not None)
        self.assertEqual((found['waiting']['for'], found['waiting']['slots'], found['waiting']['holders']), ('slot', 3, 3))
        self.assertTrue(all(one['waiting'] is None for one in self.daemon.get('/v1/jobs').json['jobs']), 'a page has no reasons')
        for job in (fourth, third):
            self.act(job, 'cancel')
        self.act(first, 'cancel')
        self.at_work(second)
        self.assertRegex(self.job(second)['decision'], r'; the steps before had waited [0-9.]+ s$')
        self.act(second, 'cancel')
        self.assertIn('cancelled', self.explain(second))

    def test_a_leaner_way_for_want_of_memory(self):
        """A paused job keeps its memory; what starts beside it has to do with the rest, and says so."""
        self.serve(memory='470M', scenario='obey-term', slots=2)
        name = self.clip('full_hd_short')
        first = self.submit(name, params={'size': '1080x1920'})['id']
        self.at_work(first)
        self.act(first, 'pause')
        free = self.daemon.get('/v1/system').json['memory']['available_bytes']
        second = self.submit(name, params={'size': '1080x1920'})['id']
        job = self.becomes(second, 'running', also=lambda one: one['progress'] is not None or one['waiting_for'] == 'memory')
        if job['progress'] is None and free < 100 * MEBI:
            self.act(first, 'cancel')   # many processors: the first took nearly all
            self.at_work(second)
        else:
            job = self.at_work(second)
            self.assertTrue(wait_until(lambda: 'decision' in [line['type'] for line in self.daemon.get('/v1/jobs/%s/log' % second).json['lines']], 10 * PATIENCE))
            self.act(first, 'cancel')
            self.act(second, 'cancel')
            [told] = self.decisions(second)
            why = told['decision']
            self.assertEqual((why['available_bytes'], why['leases']), (free, 1))
            passed = [one for one in why['passed'] if one['why'] == 'memory']
            self.assertTrue(passed, why)
            self.assertTrue(all(one['required_bytes'] > free for one in passed))
            self.assertLessEqual(why['lease_bytes'], free)
            self.assertIn('"%s" needs ' % passed[0]['plan'], told['note'])
            return
        self.act(second, 'cancel')

    @slow
    def test_killed_at_its_limit_and_retried_leaner(self):
        self.serve(scenario='eat-memory 1500', slots=1)
        name = self.clip('full_hd_short')
        job = self.ends(self.submit(name, params={'size': '1080x1920'})['id'], 'failed')
        self.assertEqual(job['failure']['cause'], 'out_of_memory')
        self.assertEqual(job['attempt'], 3)
        runs = job['runs']
        self.assertEqual([run['ending'] for run in runs], ['oom_killed'] * len(runs))
        self.assertEqual({run['attempt'] for run in runs}, {1, 2, 3})
        self.assertEqual(len({run['plan'] for run in runs if run['attempt'] == 1}), 2, 'no leaner plan was tried')
        decisions = self.decisions(job['id'])
        self.assertEqual([one['decision']['plan'] for one in decisions], [run['plan'] for run in runs])
        self.assertNotIn('failed', [passed['why'] for passed in decisions[0]['decision']['passed']])
        for one in decisions[1:]:
            # What the kill taught may have made the way that failed too large for the whole budget.
            self.assertTrue({'failed', 'budget'} & {passed['why'] for passed in one['decision']['passed']}, one)
        self.assertEqual(job['decision'], decisions[-1]['note'])
        text = self.explain(job['id'])
        for words in ('once more, with a leaner plan if there is one, time 1 of 2', 'once more, with a leaner plan if there is one, time 2 of 2', 'back in the queue: ', 'stopped at its limit',
                      'ran       attempt 3, ', 'failed: '):
            self.assertIn(words, text)
        self.assertEqual(text.count('; stopped at its limit'), len(runs), text)


class Dashboard(DaemonCase):
    def test_it_shows_what_is_exported(self):
        with open(os.path.join(ROOT, 'packaging', 'grafana-dashboard.json')) as file:
            dashboard = json.load(file)
        self.assertGreaterEqual(dashboard['schemaVersion'], 36, 'of Grafana 9')
        self.assertIn('datasource', [one['type'] for one in dashboard['templating']['list']])
        panels = dashboard['panels']
        ids = [panel['id'] for panel in panels]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in panels:
            place = panel['gridPos']
            self.assertLessEqual(place['x'] + place['w'], 24, panel['title'])
            cells = {(x, y) for x in range(place['x'], place['x'] + place['w']) for y in range(place['y'], place['y'] + place['h'])}
            self.assertFalse(cells & taken, '%s lies upon another' % panel['title'])
            taken |= cells
        used = set()
        for panel in panels:
            for target in panel.get('targets', ()):
                self.assertEqual(target['datasource'], {'type': 'prometheus', 'uid': '${datasource}'})
                names = set(re.findall(r'\bweir_[a-z_]+', target['expr']))
                self.assertTrue(names, panel['title'])
                self.assertEqual(len(re.findall(r'[({]', target['expr'])), len(re.findall(r'[)}]', target['expr'])), target['expr'])
                used |= names
        self.serve()
        self.ends(self.submit(self.clip('plain'))['id'])  # some numbers are there only once there was work
        exported = {line.split('{')[0].split(' ')[0] for line in self.daemon.get('/metrics').body.decode().splitlines() if not line.startswith('#')}
        # Growth has a slope after the first hours only; an instrumented daemon is larger than its children, whose peaks then
        # teach nothing.
        silent = {'weir_growth_bytes_per_hour'} | ({'weir_forecast_error_ratio'} if PATIENCE > 1 else set())
        # And not every kernel has all of these.
        group = self.daemon.get('/v1/system').json['memory']['group']
        if group is None:
            silent |= {name for name in used if name.startswith('weir_memory_group_')} | {'weir_memory_oom_kills_total'}
        else:
            silent |= {'weir_memory_group_%s_bytes' % name for name in ('limit', 'peak') if group[name + '_bytes'] is None}
        if self.daemon.get('/v1/memory').json['machine']['stall_percent'] is None:
            silent.add('weir_machine_stall_percent')
        self.assertEqual(used - exported - silent, set(), 'shown and not exported')
        counted = {name[:-len('_bucket')] for name in exported if name.endswith('_bucket')}
        plain = {name for name in exported if not any(name.startswith(one + '_') for one in counted)}
        self.assertEqual(plain - used, set(), 'exported and not shown')
