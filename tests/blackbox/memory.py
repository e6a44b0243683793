"""The budget: forecasts, the ladder of plans, leases that hold, and what happens to a child that outgrows its lease."""
import os
import time

import clips
import media
from harness import Case, EXIT, PATIENCE, needs_root, slow

MEBI = 1 << 20


def free_memory():
    with open('/proc/meminfo') as file:
        for line in file:
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024


def cgroup_room():
    """What the memory cgroups that we live in leave, or None."""
    rooms = []
    with open('/proc/self/cgroup') as file:
        for line in file:
            number, controllers, path = line.strip().split(':', 2)
            if 'memory' in controllers.split(','):
                base, limit, used = '/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes'
            elif number == '0':
                base, limit, used = '/sys/fs/cgroup', 'memory.max', 'memory.current'
            else:
                continue
            while True:
                try:
                    with open(base + path + '/' + limit) as first, open(base + path + '/' + used) as second:
                        top = first.read().strip()
                        if top != 'max' and int(top) < 1 << 60:
                            rooms.append(int(top) - int(second.read()))
                except (OSError, ValueError):
                    pass
                if path in ('/', ''):
                    break
                path = os.path.dirname(path)
    return min(rooms) if rooms else None


class Ladder(Case):
    def plan(self, clip, *options, memory='8G', code=0):
        done = self.weir('plan', 'crop', clips.get(clip), *options, '--memory', str(memory), '--json')
        self.assertEqual(done.code, code, '\n%s' % done)
        return done.document

    @slow
    def test_what_could_not_be_checked_is_not_started(self):
        """A copy needs little; decoding its 4K result to check it needs more, and counts from the start."""
        words = ('trim', clips.get('four_k'))
        options = ('--to', '0.5', '--mode', 'copy', '--memory')
        rung = self.weir('plan', *words, *options, '8G', '--json').document['ladder'][0]
        self.assertGreater(rung['needed_bytes'], rung['lease_bytes'])
        short = str(rung['needed_bytes'] - MEBI + (10 << 20))
        refused = self.weir(*words, self.output(), *options, short, '--json')
        self.assertEqual(refused.code, EXIT['over-budget'], '\n%s' % refused)
        self.assertNotIn('attempts', refused.document)
        self.made(*words, self.output(), *options, str(rung['needed_bytes'] + (10 << 20)))

    def test_ladder_gets_leaner_rung_by_rung(self):
        document = self.plan('full_hd_short', '--size', '1080x1920')
        ladder = document['ladder']
        self.assertGreaterEqual(len(ladder), 4, 'hardly a ladder')
        leases = [rung['lease_bytes'] for rung in ladder]
        self.assertEqual(leases, sorted(leases, reverse=True), 'rungs must get leaner')
        self.assertGreater(leases[0], 1.5 * leases[-1])
        times = [rung['time_ratio'] for rung in ladder]
        self.assertEqual(times[0], 1)
        for rung in ladder:
            self.assertTrue(rung['name'])
            self.assertTrue(rung['costs'], 'every rung says what it costs')
            self.assertGreaterEqual(rung['lease_bytes'], rung['forecast_peak_bytes'])
            self.assertIs(rung['fits'], True)
            self.assertTrue(rung['arguments'])
        self.assertEqual(document['chosen'], ladder[0]['name'])
        self.assertEqual(len({rung['name'] for rung in ladder}), len(ladder))

    def test_each_budget_gets_the_first_rung_that_fits(self):
        document = self.plan('full_hd_short', '--size', '1080x1920')
        own = document['budget_bytes'] - document['available_bytes']
        self.assertGreater(own, 0)
        self.assertLess(own, 64 * MEBI)
        for rung in document['ladder']:
            if rung['in_company']:
                continue   # of no use to a job that runs alone
            tight = self.plan('full_hd_short', '--size', '1080x1920', memory=rung['lease_bytes'] + own)
            self.assertEqual(tight['chosen'], rung['name'])
            self.assertEqual([r['fits'] for r in tight['ladder']], [r['lease_bytes'] <= rung['lease_bytes'] for r in tight['ladder']])

    def test_below_the_leanest_it_is_refused_with_both_numbers(self):
        document = self.plan('full_hd_short', '--size', '1080x1920')
        own = document['budget_bytes'] - document['available_bytes']
        leanest = document['ladder'][-1]['lease_bytes']
        memory = leanest + own - 1
        done = self.refuses('over-budget', 'crop', clips.get('full_hd_short'), self.output(), '--size', '1080x1920', '--memory', str(memory))
        self.assert_untouched()
        error = done.document['error']
        self.assertEqual(error['budget_bytes'], memory)
        self.assertIn(error['required_bytes'], (leanest, leanest + own))
        self.assertFalse(done.document.get('attempts'), 'something was started')
        said = error['detail'] + str(error)
        self.assertRegex(said, r'\d+(\.\d+)? ?[MG]iB.*\d+(\.\d+)? ?[MG]iB', 'both numbers for people')
        self.assertRegex(said.lower(), r'--memory|--size|smaller', 'what would make it fit')
        refusal = self.plan('full_hd_short', '--size', '1080x1920', memory=memory, code=EXIT['over-budget'])
        self.assertIsNone(refusal['chosen'])
        self.assertEqual(refusal['refusal']['type'], 'over-budget')
        self.assertTrue(all(not rung['fits'] for rung in refusal['ladder']))

    def test_absurdly_small_budgets(self):
        for memory in ('1', '1M', '20M', '30M'):
            done = self.weir('crop', clips.get('plain'), self.output(), '--memory', memory, '--json')
            self.assertIn(done.code, (2, 12), '\n%s' % done)
            self.assertEqual(os.listdir(self.out), [])

    @slow
    def test_every_recipe_is_refused_below_its_leanest_plan(self):
        for recipe in (['crop', clips.get('full_hd_short')], ['transcode', clips.get('full_hd_short')],
                       ['trim', clips.get('full_hd_short'), '--from', '0.5', '--mode', 'exact'],
                       ['thumbnail', clips.get('four_k')]):
            planned = self.weir('plan', *recipe, '--json', '--memory', '8G')
            self.ok(planned)
            leanest = planned.document['ladder'][-1]['lease_bytes']
            own = planned.document['budget_bytes'] - planned.document['available_bytes']
            name = 'out.jpg' if recipe[0] == 'thumbnail' else 'out.mp4'
            self.refuses('over-budget', recipe[0], recipe[1], self.output(name), *recipe[2:], '--memory', str(leanest + own - 1))

    def test_without_a_budget_half_of_the_free_memory_is_printed_and_used(self):
        rooms = [free_memory(), cgroup_room()]
        room = min(r for r in rooms if r is not None)
        document = self.ok(self.weir('plan', 'crop', clips.get('plain'), '--json')).document
        self.assertAlmostEqual(document['budget_bytes'], room / 2, delta=room * 0.1)
        done = self.ok(self.weir('crop', clips.get('plain'), self.output()))
        self.assertRegex((done.text + done.errors).lower(), r'budget[^\n]*\d', '\n%s' % done)
        self.assertRegex((done.text + done.errors).lower(), 'half', '\n%s' % done)

    @slow
    @needs_root
    def test_own_cgroup_limits_the_budget(self):
        here = None
        with open('/proc/self/cgroup') as file:
            for line in file:
                if 'memory' in line.split(':')[1].split(','):
                    here = '/sys/fs/cgroup/memory' + line.strip().split(':', 2)[2]
        if here is None:
            self.skipTest('no memory cgroup v1 here')
        group = os.path.join(here, 'blackbox-%d' % os.getpid())
        try:
            os.mkdir(group)
            with open(group + '/memory.limit_in_bytes', 'w') as file:
                file.write(str(600 * MEBI))
        except OSError as problem:
            self.skipTest('cannot make a cgroup here: %s' % problem)

        def remove():
            for _ in range(50):
                try:
                    return os.rmdir(group)
                except OSError:
                    time.sleep(0.1)
        self.addCleanup(remove)
        prefix = ['/bin/sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', group]
        document = self.ok(self.weir('plan', 'crop', clips.get('plain'), '--json', prefix=prefix)).document
        self.assertLessEqual(document['budget_bytes'], 300 * MEBI)
        self.assertGreater(document['budget_bytes'], 200 * MEBI)
        self.made('crop', clips.get('plain'), self.output(), prefix=prefix)


class Peaks(Case):
    """Forecast against measured peak, on real work."""
    backend = None

    def run_at(self, clip, memory, *options, recipe='crop', name='out.mp4'):
        document = self.made(recipe, clips.get(clip), self.output(name), *options, '--memory', memory, '--force',
                             env={'WEIR_TEST_MEMORY_BACKEND': self.backend})
        forecast, measured = document['memory']['forecast_peak_bytes'], document['memory']['measured_peak_bytes']
        self.assertLessEqual(measured, document['memory']['lease_bytes'])
        said = '%s at %s with plan %r: forecast %.1f MiB, measured %.1f MiB' % (clip, memory, document['plan']['name'], forecast / MEBI, measured / MEBI)
        if self.backend:
            self.assertEqual(document['memory']['backend'], {'rlimit': 'rlimit-data', 'v1': 'cgroup-v1', 'v2': 'cgroup-v2'}[self.backend])
        return document, measured / forecast, said

    def near(self, *arguments, **options):
        document, ratio, said = self.run_at(*arguments, **options)
        # Within -5 % and +20 %: the forecast may be up to 20 % above the peak, the peak up to 5 % above the forecast.
        self.assertLess(ratio, 1.05, said)
        self.assertGreater(ratio, 1 / 1.2, said)
        return document

    def test_full_hd_to_vertical(self):
        self.near('full_hd_short', '1G', '--size', '1080x1920')

    def test_full_hd_to_vertical_in_256(self):
        self.near('full_hd_short', '256M', '--size', '1080x1920')

    @slow
    def test_full_hd_to_vertical_leaner(self):
        planned = self.ok(self.weir('plan', 'crop', clips.get('full_hd_short'), '--size', '1080x1920', '--memory', '1G', '--json')).document
        own = planned['budget_bytes'] - planned['available_bytes']
        for rung in planned['ladder'][1:]:
            if rung['in_company']:
                continue
            document = self.near('full_hd_short', str(rung['lease_bytes'] + own), '--size', '1080x1920')
            self.assertEqual(document['plan']['name'], rung['name'])
            self.assertEqual(len(document['attempts']), 1, 'a forecast plan outgrew its lease')

    @slow
    def test_four_k(self):
        self.near('four_k', '1G')

    @slow
    def test_small(self):
        self.near('busy', '1G')

    @slow
    def test_medium_preset(self):
        self.near('full_hd_short', '2G', '--preset', 'medium')

    @slow
    def test_transcode(self):
        self.near('full_hd_short', '1G', recipe='transcode')

    @slow
    def test_webm(self):
        self.near('plain', '1G', recipe='transcode', name='out.webm')

    @slow
    def test_thumbnail_and_copy_stay_within_their_lease(self):
        self.run_at('full_hd_short', '1G', recipe='thumbnail', name='out.jpg')
        self.run_at('full_hd_short', '1G', '--from', '0', '--to', '1', recipe='trim')

    @slow
    def test_the_real_clip(self):
        real = clips.shared_media()
        if real is None:
            self.skipTest('no shared media beside the repository')
        document = self.made('crop', real, self.output(), '--memory', '200M')
        self.assertLessEqual(document['memory']['measured_peak_bytes'], document['memory']['lease_bytes'])

    def test_weir_itself_stays_small(self):
        document = self.made('crop', clips.get('plain'), self.output())
        if PATIENCE == 1:
            self.assertLess(document['memory']['own_pss_bytes'], 10 * MEBI)


class PeaksWithoutCgroups(Peaks):
    """The same under RLIMIT_DATA and watching."""
    backend = 'rlimit'
    test_weir_itself_stays_small = None
    test_the_real_clip = None


class OutOfMemory(Case):
    """A child that wants more than its lease: stopped, tried once more with a leaner plan, then reported."""
    backend = None

    def grows(self, scenario, seconds=20, attempts=2, env=None, walled=True):
        fake = self.fake(scenario)
        done = self.weir('crop', clips.get('full_hd_short'), self.output(), '--ffmpeg', fake, '--ffprobe', 'ffprobe', '--memory', '500M', '--size', '1080x1920',
                         '--stall-timeout', '10', '--json', env={'WEIR_TEST_MEMORY_BACKEND': self.backend, **(env or {})}, timeout=60)
        self.refused(done, 'out-of-memory')
        self.assertLess(done.seconds, seconds * PATIENCE)
        tries = done.document['attempts']
        self.assertEqual(len(tries), attempts, tries)
        self.assertEqual([t['ending'] for t in tries], ['oom_killed'] * attempts, tries)
        if attempts == 2:
            self.assertNotEqual(tries[0]['plan'], tries[1]['plan'])
            self.assertLessEqual(tries[1]['lease_bytes'], tries[0]['lease_bytes'])
            self.assertLess(tries[1]['forecast_peak_bytes'], tries[0]['forecast_peak_bytes'])
        for one in tries:
            if not walled:
                continue
            # A control group is a wall; without one, shared pages are only seen by the watcher.
            most = one['lease_bytes'] * 1.15 + 32 * MEBI if self.backend is None else one['lease_bytes'] * 2 + 64 * MEBI
            self.assertLess(one['measured_peak_bytes'], most, 'grew far beyond its lease: %s' % one)
        self.assertEqual(os.listdir(self.out), [])
        self.assert_no_processes()

    def test_all_at_once(self):
        self.grows('eat-memory 2000')

    def test_slowly(self):
        self.grows('slow-eat 64')

    def test_shared_memory(self):
        self.grows('eat-shared 2000')

    def test_spread_over_children(self):
        self.grows('eat-tree 2000 8', env=self.FAMILIES)

    def test_in_a_child_of_its_own(self):
        self.grows('eat-child-exit 2000', env=self.FAMILIES)

    @slow
    def test_plan_of_one_rung_is_not_repeated(self):
        fake = self.fake('eat-memory 2000')
        planned = self.ok(self.weir('plan', 'crop', clips.get('full_hd_short'), '--size', '1080x1920', '--memory', '1G', '--json')).document
        own = planned['budget_bytes'] - planned['available_bytes']
        done = self.weir('crop', clips.get('full_hd_short'), self.output(), '--ffmpeg', fake, '--ffprobe', 'ffprobe', '--size', '1080x1920', '--json',
                         '--memory', str(planned['ladder'][-1]['lease_bytes'] + own), env={'WEIR_TEST_MEMORY_BACKEND': self.backend})
        self.refused(done, 'out-of-memory')
        self.assertEqual(len(done.document['attempts']), 1)

    def test_probe_that_grows(self):
        """Probing is decoding: it runs under a limit too."""
        self.fake('pass')
        probe = self.fake('pass', name='ffprobe')
        with open(os.path.join(self.dir, 'tools', 'scenario-ffprobe'), 'w') as file:
            file.write('eat-memory 2000\n')
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffprobe', probe, '--json', timeout=60,
                         env={'WEIR_TEST_MEMORY_BACKEND': self.backend})
        self.assertIn(done.code, (10, 13), '\n%s' % done)
        self.assert_no_processes()


class OutOfMemoryWithoutCgroups(OutOfMemory):
    backend = 'rlimit'

    def test_in_a_child_of_its_own(self):
        """Its limit holds, but without a group nobody hears why the child of the child ended."""
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffmpeg', self.fake('eat-child-exit 2000'), '--ffprobe', 'ffprobe', '--json',
                         env={'WEIR_TEST_MEMORY_BACKEND': self.backend, **self.FAMILIES})
        self.assertIn(done.code, (EXIT['out-of-memory'], EXIT['child-failed']), '\n%s' % done)
        self.assertEqual(os.listdir(self.out), [])

    def test_spread_over_children(self):
        """One process only, so that RLIMIT_DATA is a wall for the whole of it."""
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffmpeg', self.fake('eat-tree 2000 8'), '--ffprobe', 'ffprobe', '--json',
                         '--stall-timeout', '2', env={'WEIR_TEST_MEMORY_BACKEND': self.backend})
        self.refused(done, 'stalled')
        # Each of its children would take 250 MiB.
        self.assertLess(done.document['attempts'][0]['measured_peak_bytes'], 128 * MEBI)

    def test_spread_over_children_without_seccomp(self):
        """Nothing but the watcher stands here: it ends them, how far they came depends on how soon it looks."""
        self.grows('eat-tree 2000 8', env=self.FAMILIES, walled=False)
