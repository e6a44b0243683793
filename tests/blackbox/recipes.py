"""Every recipe, judged by its output alone: the right part of the picture, the right sound, the right times."""
import os
import re
import struct
from fractions import Fraction

import clips
import media
from harness import Case, digest, slow

DROPPED = ('data', 'attachment')


class Recipe(Case):
    def crop(self, clip, *options, name='out.mp4', **more):
        self.made_document = self.made('crop', clips.get(clip), self.output(name), *options, **more)
        return self.output(name)

    def check_mp4(self, path, size=None, codec='h264'):
        """What every mp4 of ours must be, whatever it was made from."""
        facts = media.probe(path)
        stream = media.video(facts)
        self.assertEqual(stream['codec_name'], codec)
        self.assertIn(stream.get('sample_aspect_ratio', '1:1'), ('1:1', '0:1'), 'pixels are not square')
        self.assertEqual(media.rotation(stream), 0, 'a rotation is left in the output')
        for matrix in media.track_matrices(path):
            self.assertEqual(matrix, media.IDENTITY, 'a track has a display matrix')
        self.assertEqual(stream['width'] % 2, 0)
        self.assertEqual(stream['height'] % 2, 0)
        self.assertEqual(stream['pix_fmt'], 'yuv420p')
        if size:
            self.assertEqual((stream['width'], stream['height']), size)
        self.assertTrue(media.moov_first(path), 'not faststart: %s' % media.atoms(path))
        self.assertIsNone(media.decodes(path), 'the output does not decode cleanly')
        for kind in media.kinds(facts):
            self.assertNotIn(kind, DROPPED)
        self.check_sound_length(path, facts)
        return facts

    def check_sound_length(self, path, facts=None, tolerance=0.12):
        """Sound from its start to the end of the file, decoded and counted."""
        facts = facts or media.probe(path)
        for track, stream in enumerate(media.audios(facts)):
            end = max(0.0, float(stream.get('start_time', 0))) + media.sound_seconds(path, track)
            self.assertAlmostEqual(end, float(facts['format']['duration']), delta=tolerance, msg='sound track %d is not as long as the clip' % track)

    def check_length(self, path, source, frames=None):
        """Same pictures at the same rate, same length within one frame."""
        before, after = media.probe(source, packets=True), media.probe(path, packets=True)
        was, is_now = media.video(before), media.video(after)
        self.assertEqual(int(is_now['nb_read_packets']), frames if frames is not None else int(was['nb_read_packets']))
        self.assertEqual(media.rate(is_now), media.rate(was), 'the frame rate changed')
        one = float(1 / media.rate(was))
        self.assertAlmostEqual(float(after['format']['duration']), float(before['format']['duration']), delta=one * 1.01)

    def check_sound(self, path, source, tolerance=1.0):
        before, after = media.audios(media.probe(source)), media.audios(media.probe(path))
        self.assertGreaterEqual(len(after), 1, 'the sound is gone')
        self.assertEqual(after[0]['channels'], before[0]['channels'])
        self.assertEqual(after[0]['sample_rate'], before[0]['sample_rate'])
        levels = list(zip(media.channel_levels(source, 0.3, 1), media.channel_levels(path, 0.3, 1)))
        for number, (was, is_now) in enumerate(levels):
            self.assertAlmostEqual(was, is_now, delta=tolerance, msg='level of channel %d: %s' % (number, levels))

    def check_picture(self, path, window, degrees=0, **more):
        for number, frame in enumerate(media.frames(path, 2)):
            wrong = media.chart_errors(frame, window, degrees, **more)
            self.assertEqual(wrong, [], 'frame %d of %dx%d shows the wrong part:\n%s' % (number, frame.width, frame.height, '\n'.join(wrong[:6])))

    def notes(self):
        return ' | '.join(self.made_document['notes']).lower()


class CropPicture(Recipe):
    """The part that is kept, for each shape, focus, turn and pixel shape."""

    def check(self, clip, shown, aspect=(9, 16), focus=(0.5, 0.5), options=(), degrees=0, size=None):
        path = self.crop(clip, *options)
        facts = self.check_mp4(path, size)
        stream = media.video(facts)
        wanted = Fraction(*aspect)
        if size is None:
            # Its own pixels: as large as the window in the source, down to even numbers, never larger.
            window = media.crop_window(*shown, wanted, focus)
            self.assertLessEqual(abs(stream['width'] - window[2] * shown[0]), 2.1, (stream['width'], window[2] * shown[0]))
            self.assertLessEqual(abs(stream['height'] - window[3] * shown[1]), 2.1, (stream['height'], window[3] * shown[1]))
            self.assertAlmostEqual(stream['width'] / stream['height'], float(wanted), delta=2.5 / min(stream['width'], stream['height']))
        self.check_picture(path, media.crop_window(*shown, wanted, focus), degrees)
        self.assertEqual((self.made_document['output']['video']['width'], self.made_document['output']['video']['height']),
                         (stream['width'], stream['height']))
        return path

    def test_default_is_nine_to_sixteen_of_the_middle(self):
        path = self.check('plain', (640, 360))
        self.check_length(path, clips.get('plain'))
        self.check_sound(path, clips.get('plain'))

    def test_focus_left(self):
        self.check('plain', (640, 360), focus=(0, 0.5), options=['--focus', 'left'])

    def test_focus_right(self):
        self.check('plain', (640, 360), focus=(1, 0.5), options=['--focus', 'right'])

    @slow
    def test_focus_center(self):
        self.check('plain', (640, 360), options=['--focus', 'center'])

    def test_focus_top_of_a_tall_picture(self):
        self.check('turned90', (360, 640), (1, 1), (0.5, 0), ['--aspect', '1:1', '--focus', 'top'], degrees=90)

    @slow
    def test_focus_bottom_of_a_tall_picture(self):
        self.check('turned90', (360, 640), (1, 1), (0.5, 1), ['--aspect', '1:1', '--focus', 'bottom'], degrees=90)

    @slow
    def test_focus_in_numbers(self):
        self.check('plain', (640, 360), focus=(0.25, 0.5), options=['--focus', '0.25,0.5'])

    @slow
    def test_focus_in_numbers_of_a_wide_crop(self):
        self.check('plain', (640, 360), (16, 5), (0.3, 0.8), ['--aspect', '16:5', '--focus', '0.3,0.8'])

    @slow
    def test_aspect_square(self):
        self.check('plain', (640, 360), (1, 1), options=['--aspect', '1:1'])

    @slow
    def test_aspect_four_to_five(self):
        self.check('plain', (640, 360), (4, 5), options=['--aspect', '4:5'])

    @slow
    def test_aspect_sixteen_to_nine_keeps_everything(self):
        self.check('plain', (640, 360), (16, 9), options=['--aspect', '16:9'])

    @slow
    def test_aspect_in_free_numbers(self):
        self.check('plain', (640, 360), (7, 5), options=['--aspect', '7:5'])

    @slow
    def test_wider_than_the_source(self):
        self.check('plain', (640, 360), (21, 9), options=['--aspect', '21:9'])

    def test_exact_size(self):
        self.check('plain', (640, 360), options=['--size', '108x192'], size=(108, 192))

    @slow
    def test_exact_size_may_enlarge(self):
        self.check('plain', (640, 360), options=['--size', '360x640'], size=(360, 640))

    def test_turned_90(self):
        self.check('turned90', (360, 640), degrees=90)

    @slow
    def test_turned_180(self):
        self.check('turned180', (640, 360), degrees=180)

    @slow
    def test_turned_270(self):
        self.check('turned270', (360, 640), (1, 1), (0.5, 0), ['--aspect', '1:1', '--focus', 'top'], degrees=270)

    @slow
    def test_turned_180_focus_left_is_the_left_that_players_show(self):
        self.check('turned180', (640, 360), focus=(0, 0.5), options=['--focus', 'left'], degrees=180)

    def test_odd_size(self):
        self.check('odd', (639, 361))

    @slow
    def test_odd_size_whole(self):
        self.check('odd', (639, 361), (16, 9), options=['--aspect', '16:9'])

    @slow
    def test_odd_size_420(self):
        self.check('odd_420', (321, 241))

    def test_anamorphic(self):
        """320x240 with pixels of 4:3 is shown as 427x240."""
        self.check('anamorphic', (Fraction(1280, 3), 240), (1, 1), (0, 0.5), ['--aspect', '1:1', '--focus', 'left'])

    @slow
    def test_anamorphic_vertical(self):
        self.check('anamorphic', (Fraction(1280, 3), 240))

    @slow
    def test_anamorphic_and_turned(self):
        self.check('anamorphic_turned', (240, Fraction(1280, 3)), (1, 1), (0.5, 1), ['--aspect', '1:1', '--focus', 'bottom'], degrees=90)

    def test_ten_bit(self):
        self.check('ten_bit', (640, 360))

    @slow
    def test_hevc_ten_bit(self):
        self.check('hevc_ten_bit', (640, 360))

    @slow
    def test_vp9_source(self):
        self.check('vp9', (320, 240))

    @slow
    def test_cover_art_is_not_the_picture(self):
        self.check('cover', (640, 360))

    @slow
    def test_four_k_comes_down_to_1080(self):
        path = self.crop('four_k')
        self.check_mp4(path, (1080, 1920))
        self.check_picture(path, media.crop_window(3840, 2160, Fraction(9, 16)))

    @slow
    def test_very_wide_source(self):
        self.crop('wide', '--aspect', '20:1')
        self.check_mp4(self.output())

    @slow
    def test_one_frame(self):
        self.crop('one_frame')
        self.check_mp4(self.output())
        self.assertEqual(media.video(media.probe(self.output(), packets=True))['nb_read_packets'], '1')


class CropTracks(Recipe):
    """Sound, rates, other tracks, tags."""

    def test_silent_stays_silent(self):
        path = self.crop('silent')
        self.assertEqual(media.kinds(self.check_mp4(path)), ['video'])

    def test_surround_is_kept(self):
        path = self.crop('surround')
        facts = self.check_mp4(path)
        self.assertEqual(media.audios(facts)[0]['channels'], 6)
        self.assertEqual(media.audios(facts)[0]['channel_layout'], '5.1')
        self.check_sound(path, clips.get('surround'), tolerance=1.5)
        for channel, pitch in enumerate(clips.SURROUND_PITCHES):
            found = media.channel_pitch(path, channel, 6)
            self.assertAlmostEqual(found, pitch, delta=pitch * 0.05, msg='channel %d plays another channel' % channel)

    @slow
    def test_mono_stays_mono(self):
        path = self.crop('mono')
        self.check_mp4(path)
        self.check_sound(path, clips.get('mono'))

    @slow
    def test_opus_becomes_aac(self):
        path = self.crop('vp9')
        self.assertEqual(media.audios(self.check_mp4(path))[0]['codec_name'], 'aac')

    def test_two_sound_tracks(self):
        path = self.crop('two_sounds')
        facts = self.check_mp4(path)
        tracks = media.audios(facts)
        if len(tracks) == 2:
            self.assertEqual([t['channels'] for t in tracks], [2, 1])
            self.assertAlmostEqual(media.channel_pitch(path, 0, 2, track=0), 440, delta=15)
            self.assertAlmostEqual(media.channel_pitch(path, 0, 1, track=1), 880, delta=30)
        else:
            self.assertEqual(len(tracks), 1)
            self.assertRegex(self.notes(), r'audio|sound', 'a sound track was dropped without a word')

    @slow
    def test_late_sound_stays_late(self):
        path = self.crop('late_sound')
        self.check_mp4(path)
        start = float(media.audios(media.probe(path))[0]['start_time'])
        if start < 0.4:  # filled with silence instead: just as good
            self.assertLess(media.channel_levels(path, 0, 0.4)[0], -60)
        self.assertAlmostEqual(media.channel_levels(path, 0.7, 1)[0], media.channel_levels(clips.get('late_sound'), 0.7, 1)[0], delta=1.5)

    @slow
    def test_film_rate(self):
        path = self.crop('film_rate')
        self.check_mp4(path)
        self.assertEqual(media.rate(media.video(media.probe(path))), Fraction(24000, 1001))
        self.check_length(path, clips.get('film_rate'))

    def test_ntsc_rate(self):
        path = self.crop('ntsc_rate')
        self.check_mp4(path)
        self.assertEqual(media.rate(media.video(media.probe(path))), Fraction(30000, 1001))
        self.check_length(path, clips.get('ntsc_rate'))

    def test_every_frame_once_and_in_order(self):
        path = self.crop('counted', '--aspect', '4:3')
        self.assertEqual([media.frame_number(f) for f in media.frames(path, 200)], list(range(120)))

    def test_variable_rate_is_kept_or_stated(self):
        path = self.crop('vfr', '--aspect', '4:3')
        self.check_mp4(path)
        source = media.packet_times(clips.get('vfr'))
        found = media.packet_times(path)
        numbers = [media.frame_number(f) for f in media.frames(path, 200)]
        self.assertIs(self.made_document['input']['video']['variable_frame_rate'], True)
        if len(found) == len(source) and max(abs(a - b) for a, b in zip(source, found)) < 0.002:
            self.assertEqual(numbers, list(range(60)))
        else:
            steps = [round(b - a, 4) for a, b in zip(found, found[1:])]
            self.assertLess(max(steps) - min(steps), 0.002, 'neither kept nor constant')
            self.assertIn('constant', self.notes())
            self.assertEqual(numbers, sorted(numbers))
        self.assertIn('variable', self.notes() + ' ' + ' '.join(str(c) for c in self.made_document['checks']).lower(),
                      'what happens to a variable rate must be said')
        duration = lambda p: float(media.video(media.probe(p))['duration'])
        self.assertAlmostEqual(duration(path), duration(clips.get('vfr')), delta=0.06)

    def test_subtitles_and_data_are_dropped_or_kept_but_said(self):
        path = self.crop('tracks')
        found = media.kinds(self.check_mp4(path))
        self.assertEqual(found[:2], ['video', 'audio'])
        if 'subtitle' not in found:
            self.assertIn('subtitle', self.notes())
        self.assertIn('data', self.notes())

    def private(self):
        with open(self.output(), 'rb') as file:
            data = file.read()
        return [word for word in (clips.LOCATION.rstrip('/'), '52.5163', clips.MAKER, clips.MODEL, 'Someone Private') if word.encode() in data]

    def test_place_device_and_person_are_dropped(self):
        path = self.crop('tagged')
        facts = self.check_mp4(path)
        self.assertEqual(self.private(), [], 'the file still tells place, device or person')
        self.assertNotIn('location', ' '.join(facts['format'].get('tags', {})))
        self.assertEqual(media.atom_bodies(media.moov(path), b'loci'), [])
        self.assertEqual(media.atom_bodies(media.moov(path), b'\xa9xyz'), [])

    @slow
    def test_place_of_an_android_clip_is_dropped(self):
        self.crop('tagged_plain')
        self.assertEqual(self.private(), [])

    @slow
    def test_keep_metadata(self):
        self.crop('tagged', '--keep-metadata')
        self.assertIn('52.5163', self.private())

    @slow
    def test_quality_and_preset(self):
        fine = self.crop('busy_small', '--crf', '18', '--preset', 'superfast', name='fine.mp4')
        self.assertIn('superfast', self.made_document['plan']['arguments'])
        coarse = self.crop('busy_small', '--crf', '40', '--preset', 'superfast', name='coarse.mp4')
        self.assertGreater(os.path.getsize(fine), 2 * os.path.getsize(coarse))

    @slow
    def test_verify_full_says_that_all_was_decoded(self):
        self.crop('busy_small', '--verify', 'full')
        self.assertRegex(str(self.made_document['checks']).lower(), r'all|whole|full')

    @slow
    def test_matroska_and_transport_stream_sources(self):
        for clip in ('counted_mkv', 'local_ts'):
            path = self.crop(clip, name=clip + '.mp4')
            self.check_mp4(path)

    @slow
    def test_the_source_is_not_changed(self):
        before = digest(clips.get('plain'))
        self.crop('plain')
        self.assertEqual(digest(clips.get('plain')), before)

    @slow
    def test_the_real_clip(self):
        real = clips.shared_media()
        if real is None:
            self.skipTest('no shared media beside the repository')
        self.made_document = self.made('crop', real, self.output(), '--memory', '256M')
        facts = self.check_mp4(self.output())
        self.assertEqual(media.audios(facts)[0]['channels'], 6)
        self.check_sound(self.output(), real, tolerance=1.5)
        self.check_length(self.output(), real)


class HumanWords(Recipe):
    """What people are shown."""

    def test_plan_forecast_and_peak_are_printed(self):
        done = self.ok(self.weir('crop', clips.get('plain'), self.output(), '--memory', '256M'))
        text = (done.text + done.errors).lower()
        for word in ('plan', 'forecast', 'measured', 'peak', '256', self.output()):
            self.assertIn(word.lower(), text, '\n%s' % done)
        self.assertRegex(text, r'checked|verified', '\n%s' % done)
        self.assertRegex(text, r'forecast[^\n]*\d[^\n]*\n?[^\n]*(measured|peak)[^\n]*\d', 'forecast and peak are not side by side\n%s' % done)
        self.assertIn(self.output(), done.text, 'where the file is belongs on standard output')
        self.assertRegex(text, r'cgroup[ -]?v[12]|rlimit', 'the memory back end is not printed\n%s' % done)
        self.assertRegex(text, r'\d(\.\d+)? ?s\b', 'the time is not printed\n%s' % done)

    def test_progress_goes_to_standard_error_and_quiet_silences_it(self):
        loud = self.ok(self.weir('crop', clips.get('busy'), self.output('a.mp4'), '--preset', 'medium'))
        self.assertIn('%', loud.errors, 'no progress\n%s' % loud)
        self.assertNotIn('\r', loud.errors, 'a bar for terminals went into a pipe')
        quiet = self.ok(self.weir('crop', clips.get('busy'), self.output('b.mp4'), '--quiet'))
        self.assertEqual(self.error_lines(quiet), [], '\n%s' % quiet)


class Trim(Recipe):
    def trim(self, clip, *options, name='out.mp4'):
        self.made_document = self.made('trim', clips.get(clip), self.output(name), *options)
        return self.output(name)

    def numbers(self, path):
        return [media.frame_number(f) for f in media.frames(path, 200)]

    def stated(self, copy):
        self.assertIs(self.made_document['plan']['stream_copy'], copy, self.made_document['plan'])

    def test_cut_on_keyframes_is_copied(self):
        path = self.trim('counted', '--from', '1', '--to', '3')
        self.stated(True)
        numbers = self.numbers(path)
        # The packets of a copy end in decoding order: a few reordered pictures more may hang on.
        self.assertEqual(numbers[:60], list(range(30, 90)))
        self.assertLessEqual(len(numbers), 64)
        self.assertAlmostEqual(float(media.probe(path)['format']['duration']), 2, delta=0.21)
        self.assertTrue(media.moov_first(path))
        self.assertIsNone(media.decodes(path))
        self.check_sound_length(path, tolerance=0.25)

    def test_cut_between_keyframes_is_exact(self):
        path = self.trim('counted', '--from', '0.5', '--to', '1.5')
        self.stated(False)
        self.assertEqual(self.numbers(path), list(range(15, 45)))
        self.check_mp4(path)
        self.assertAlmostEqual(float(media.probe(path)['format']['duration']), 1, delta=0.04)

    @slow
    def test_sound_of_an_exact_cut_is_that_of_its_time(self):
        path = self.trim('counted', '--from', '0.5', '--to', '2.5', '--mode', 'exact')
        source = clips.get('counted')
        for start in (0.1, 0.7, 1.7):
            self.assertAlmostEqual(media.channel_levels(path, start, 0.25)[0], media.channel_levels(source, 0.5 + start, 0.25)[0], delta=1.5,
                                   msg='%.1f s after the cut' % start)

    def test_mode_exact_encodes_even_on_a_keyframe(self):
        path = self.trim('counted', '--from', '1', '--to', '2', '--mode', 'exact')
        self.stated(False)
        self.assertEqual(self.numbers(path), list(range(30, 60)))

    def test_mode_copy_starts_at_the_keyframe_before(self):
        path = self.trim('counted', '--from', '1.5', '--to', '3', '--mode', 'copy')
        self.stated(True)
        numbers = self.numbers(path)
        self.assertIn(numbers[0], (30, 45), numbers[:3])
        wanted = list(range(numbers[0], 90))
        self.assertEqual(numbers[:len(wanted)], wanted)
        self.assertLessEqual(len(numbers), len(wanted) + 4)
        self.assertRegex(self.notes() + str(self.made_document['plan']).lower(), r'key ?(frame|picture)', 'where a copy starts must be said')

    @slow
    def test_to_the_end(self):
        path = self.trim('counted', '--from', '3')
        self.assertEqual(self.numbers(path), list(range(90, 120)))

    @slow
    def test_from_zero(self):
        path = self.trim('counted', '--from', '0', '--to', '1')
        self.assertEqual(self.numbers(path)[:5], [0, 1, 2, 3, 4])

    @slow
    def test_end_past_the_clip_is_said_or_refused(self):
        done = self.weir('trim', clips.get('counted'), self.output(), '--from', '3', '--to', '30', '--json')
        if done.code == 0:
            self.assertEqual(self.numbers(self.output()), list(range(90, 120)))
        else:
            self.refused(done, 'bad-parameters')

    @slow
    def test_clock_notation(self):
        path = self.trim('counted', '--from', '00:00:01', '--to', '0:02')
        self.assertEqual(self.numbers(path)[0], 30)

    def test_container_that_cannot_hold_the_streams_is_encoded(self):
        path = self.trim('counted', '--from', '1', '--to', '2', name='out.webm')
        self.stated(False)
        self.assertIn(media.video(media.probe(path))['codec_name'], ('vp9', 'vp8', 'av1'))
        self.assertEqual(self.numbers(path), list(range(30, 60)))

    @slow
    def test_copy_into_a_container_that_cannot_hold_it_is_refused(self):
        done = self.weir('trim', clips.get('counted'), self.output('out.webm'), '--from', '1', '--to', '2', '--mode', 'copy', '--json')
        self.assertIn(done.code, (2, 20), '\n%s' % done)
        self.assertRegex(done.document['error']['detail'].lower(), 'webm|h264')

    @slow
    def test_vp9_is_copied_into_webm(self):
        path = self.trim('counted_vp9', '--from', '1', '--to', '2', name='out.webm')
        self.stated(True)
        self.assertEqual(self.numbers(path)[0], 30)

    @slow
    def test_copy_of_a_turned_clip_is_shown_turned(self):
        path = self.trim('turned90', '--from', '0', '--to', '1')
        self.assertEqual(media.chart_errors(media.frames(path, 1)[0], degrees=90), [])

    @slow
    def test_exact_cut_of_a_turned_clip_is_shown_turned_once(self):
        path = self.trim('turned90', '--from', '0.5', '--to', '1', '--mode', 'exact')
        self.check_mp4(path)
        self.assertEqual(media.chart_errors(media.frames(path, 1)[0], degrees=90), [])

    @slow
    def test_surround_survives_both_ways(self):
        for mode in ('copy', 'exact'):
            path = self.trim('surround', '--from', '0', '--to', '1', '--mode', mode, name=mode + '.mp4')
            self.assertEqual(media.audios(media.probe(path))[0]['channels'], 6, mode)

    @slow
    def test_a_copy_drops_what_identifies(self):
        self.made('trim', clips.get('tagged'), self.output(), '--from', '0', '--to', '1', '--mode', 'copy')
        with open(self.output(), 'rb') as file:
            data = file.read()
        for word in ('52.5163', clips.MAKER, clips.MODEL):
            self.assertNotIn(word.encode(), data)

    @slow
    def test_audio_only_is_trimmed(self):
        done = self.made('trim', clips.get('audio_only'), self.output('out.m4a'), '--from', '0.5', '--to', '1.5')
        self.assertEqual(media.kinds(media.probe(self.output('out.m4a'))), ['audio'])
        self.assertAlmostEqual(float(media.probe(self.output('out.m4a'))['format']['duration']), 1, delta=0.05)
        self.assertTrue(done['ok'])

    def test_says_which_for_people(self):
        done = self.ok(self.weir('trim', clips.get('counted'), self.output(), '--from', '1', '--to', '2'))
        self.assertIn('copy', (done.text + done.errors).lower(), '\n%s' % done)


class Transcode(Recipe):
    def transcode(self, clip, *options, name='out.mp4'):
        self.made_document = self.made('transcode', clips.get(clip), self.output(name), *options)
        return self.output(name)

    def test_mp4_is_h264_and_aac(self):
        path = self.transcode('vp9')
        facts = self.check_mp4(path, (320, 240))
        self.assertEqual(media.audios(facts)[0]['codec_name'], 'aac')
        self.check_picture(path, (0, 0, 1, 1))
        self.check_sound(path, clips.get('vp9'), tolerance=1.5)

    def test_webm_is_vp9_and_opus(self):
        path = self.transcode('counted', name='out.webm')
        facts = media.probe(path, packets=True)
        stream = media.video(facts)
        self.assertEqual((stream['codec_name'], stream['width'], stream['height'], stream['pix_fmt']), ('vp9', 320, 240, 'yuv420p'))
        self.assertEqual(media.audios(facts)[0]['codec_name'], 'opus')
        self.assertIn('webm', facts['format']['format_name'])
        self.assertEqual([media.frame_number(f) for f in media.frames(path, 200)], list(range(120)))
        self.assertIsNone(media.decodes(path))
        self.check_sound_length(path)
        self.assertAlmostEqual(float(facts['format']['duration']), 4, delta=0.06)

    @slow
    def test_webm_keeps_surround_in_order(self):
        path = self.transcode('surround', name='out.webm')
        self.assertEqual(media.audios(media.probe(path))[0]['channels'], 6)
        self.check_sound_length(path)
        for channel, pitch in enumerate(clips.SURROUND_PITCHES):
            self.assertAlmostEqual(media.channel_pitch(path, channel, 6), pitch, delta=pitch * 0.05, msg='channel %d' % channel)

    def test_fits_inside_a_size(self):
        path = self.transcode('plain', '--fit', '320x320')
        self.check_mp4(path, (320, 180))
        self.check_picture(path, (0, 0, 1, 1))

    def test_never_enlarges(self):
        path = self.transcode('plain', '--fit', '1920x1080')
        self.check_mp4(path, (640, 360))

    @slow
    def test_fit_counts_as_shown(self):
        path = self.transcode('turned90', '--fit', '320x320')
        self.check_mp4(path, (180, 320))
        self.check_picture(path, (0, 0, 1, 1), 90)

    @slow
    def test_anamorphic_becomes_square(self):
        path = self.transcode('anamorphic')
        stream = media.video(self.check_mp4(path))
        self.assertAlmostEqual(stream['width'] / stream['height'], 16 / 9, delta=0.02)
        self.assertLessEqual(stream['width'] * stream['height'], 428 * 240)
        self.check_picture(path, (0, 0, 1, 1))

    @slow
    def test_odd_becomes_even(self):
        path = self.transcode('odd')
        stream = media.video(self.check_mp4(path))
        self.assertLessEqual(stream['width'], 639)
        self.assertLessEqual(stream['height'], 361)
        self.assertGreaterEqual(stream['width'], 636)
        self.check_picture(path, (0, 0, 1, 1))

    @slow
    def test_ten_bit_becomes_eight(self):
        self.check_mp4(self.transcode('hevc_ten_bit'), (640, 360))

    @slow
    def test_turned_webm(self):
        path = self.transcode('turned270', name='out.webm')
        self.check_picture(path, (0, 0, 1, 1), 270)
        self.assertEqual(media.video(media.probe(path))['width'], 360)

    @slow
    def test_variable_rate_into_webm(self):
        path = self.transcode('vfr', name='out.webm')
        found, source = media.packet_times(path), media.packet_times(clips.get('vfr'))
        if len(found) == len(source):
            self.assertLess(max(abs(a - b) for a, b in zip(source, found)), 0.012)
        else:
            self.assertIn('constant', self.notes())


class Thumbnail(Recipe):
    def thumbnail(self, clip, *options, name='out.jpg'):
        self.made_document = self.made('thumbnail', clips.get(clip), self.output(name), *options)
        return self.output(name)

    def test_right_picture_as_jpeg(self):
        path = self.thumbnail('counted', '--at', '2')
        with open(path, 'rb') as file:
            data = file.read()
        self.assertEqual(data[:2], b'\xff\xd8')
        self.assertEqual(data[-2:], b'\xff\xd9')
        frames = media.frames(path, 5)
        self.assertEqual(len(frames), 1)
        self.assertEqual((frames[0].width, frames[0].height), (320, 240))
        self.assertEqual(media.frame_number(frames[0]), 60)

    def test_right_picture_as_png_between_keyframes(self):
        path = self.thumbnail('counted', '--at', '1.5', name='out.png')
        with open(path, 'rb') as file:
            self.assertEqual(file.read(8), b'\x89PNG\r\n\x1a\n')
        self.assertEqual(media.frame_number(media.frames(path, 1)[0]), 45)

    def test_without_a_time_it_is_a_tenth_in(self):
        self.assertAlmostEqual(media.frame_number(media.frames(self.thumbnail('counted'), 1)[0]), 12, delta=1)

    @slow
    def test_width(self):
        frame = media.frames(self.thumbnail('plain', '--width', '160'), 1)[0]
        self.assertEqual((frame.width, frame.height), (160, 90))

    @slow
    def test_never_enlarged(self):
        frame = media.frames(self.thumbnail('plain', '--width', '4000'), 1)[0]
        self.assertEqual((frame.width, frame.height), (640, 360))

    def test_turned(self):
        frame = media.frames(self.thumbnail('turned90'), 1)[0]
        self.assertEqual((frame.width, frame.height), (360, 640))
        self.assertEqual(media.chart_errors(frame, degrees=90), [])

    @slow
    def test_anamorphic(self):
        frame = media.frames(self.thumbnail('anamorphic'), 1)[0]
        self.assertAlmostEqual(frame.width / frame.height, 16 / 9, delta=0.03)
        self.assertEqual(media.chart_errors(frame), [])

    @slow
    def test_last_picture(self):
        number = media.frame_number(media.frames(self.thumbnail('counted', '--at', '3.99'), 1)[0])
        self.assertEqual(number, 119)

    @slow
    def test_past_the_end_is_refused(self):
        self.refuses('bad-parameters', 'thumbnail', clips.get('counted'), self.output('out.jpg'), '--at', '10')

    @slow
    def test_carries_no_tags(self):
        path = self.thumbnail('tagged')
        with open(path, 'rb') as file:
            data = file.read()
        self.assertNotIn(b'52.5163', data)
        self.assertNotIn(clips.MODEL.encode(), data)


class Probe(Recipe):
    def facts(self, clip):
        done = self.ok(self.weir('probe', clips.get(clip), '--json'))
        document = done.document
        self.assertIs(document['ok'], True)
        return document

    def test_facts_of_an_ordinary_clip(self):
        facts = self.facts('plain')
        self.assertIn('mp4', facts['container'])
        self.assertAlmostEqual(facts['duration_seconds'], 2, delta=0.01)
        self.assertEqual(facts['size_bytes'], os.path.getsize(clips.get('plain')))
        picture = facts['video']
        self.assertEqual((picture['codec'], picture['width'], picture['height'], picture['rotation'], picture['sample_aspect']),
                         ('h264', 640, 360, 0, '1:1'))
        self.assertIs(picture['variable_frame_rate'], False)
        self.assertEqual(picture['bit_depth'], 8)
        self.assertEqual([(a['codec'], a['sample_rate'], a['channels']) for a in facts['audio']], [('aac', 48000, 2)])
        self.assertEqual(facts['identifying_tags'], [])

    def test_turned(self):
        picture = self.facts('turned90')['video']
        self.assertEqual((picture['width'], picture['height'], picture['coded_width'], picture['coded_height'], picture['rotation']),
                         (360, 640, 640, 360, 90))

    @slow
    def test_anamorphic(self):
        picture = self.facts('anamorphic')['video']
        self.assertEqual((picture['coded_width'], picture['coded_height'], picture['sample_aspect']), (320, 240, '4:3'))
        self.assertIn(picture['width'], (426, 427, 428))

    @slow
    def test_the_rest(self):
        self.assertIs(self.facts('vfr')['video']['variable_frame_rate'], True)
        self.assertEqual(self.facts('ten_bit')['video']['bit_depth'], 10)
        self.assertIsNone(self.facts('audio_only')['video'])
        self.assertIsNone(self.facts('audio_with_cover')['video'])
        self.assertEqual(self.facts('surround')['audio'][0]['channels'], 6)
        self.assertEqual(len(self.facts('two_sounds')['audio']), 2)
        kinds = [s['kind'] for s in self.facts('tracks')['other_streams']]
        self.assertIn('subtitle', kinds)
        self.assertIn('data', kinds)
        self.assertTrue(self.facts('tagged')['identifying_tags'])

    def test_for_people(self):
        done = self.ok(self.weir('probe', clips.get('turned90')))
        for word in ('h264', 'aac', '360', '640'):
            self.assertIn(word, done.text.lower(), '\n%s' % done)
