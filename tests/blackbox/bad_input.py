"""Bad input: each case has one clear sentence, its own exit code, and leaves nothing behind."""
import os
import shutil
import stat

import clips
from harness import Case, digest, needs_root, slow


class Inputs(Case):
    def test_missing(self):
        self.refuses('input-missing', 'crop', os.path.join(self.src, 'nothing.mp4'), self.output(), words=['nothing.mp4'])
        self.assert_untouched()

    @slow
    def test_missing_folder_in_the_path(self):
        self.refuses('input-missing', 'crop', os.path.join(self.src, 'no', 'clip.mp4'), self.output())

    def test_folder(self):
        self.refuses('input-not-a-file', 'crop', self.src, self.output())

    @slow
    def test_pipe_and_device(self):
        pipe = os.path.join(self.src, 'pipe.mp4')
        os.mkfifo(pipe)
        self.refuses('input-not-a-file', 'crop', pipe, self.output(), timeout=10)
        self.refuses('input-not-a-file', 'crop', '/dev/zero', self.output(), timeout=10)

    @needs_root
    def test_no_permission(self):
        prefix = self.as_nobody()
        secret = os.path.join(self.src, 'secret.mp4')
        shutil.copy(clips.get('plain'), secret)
        os.chown(secret, 0, 0)
        os.chmod(secret, 0)
        state = os.path.join(self.dir, 'state')
        self.refuses('input-unreadable', 'crop', secret, self.output(), prefix=prefix, env={'WEIR_STATE_DIR': state})

    def test_zero_bytes(self):
        self.refuses('input-empty', 'crop', clips.get('empty'), self.output())

    def test_text_named_mp4(self):
        self.refuses('input-not-media', 'crop', clips.get('text'), self.output())

    def test_playlist_named_mp4(self):
        """ffmpeg itself opens it and reads the other file, whatever the name."""
        self.refuses('input-not-media', 'crop', clips.get('hls'), self.output())
        self.refuses('input-not-media', 'probe', clips.get('hls'))
        self.refuses('input-not-media', 'thumbnail', clips.get('hls'), self.output('out.jpg'))

    def test_ffconcat_named_mp4(self):
        self.refuses('input-not-media', 'crop', clips.get('ffconcat'), self.output())

    @slow
    def test_other_texts_that_demuxers_follow(self):
        target = clips.get('plain')
        for name, text in (('a.m3u8', '#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.0,\nfile://%s\n#EXT-X-ENDLIST\n' % target),
                           ('b.mpd', '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>%s</BaseURL></Representation></AdaptationSet></Period></MPD>' % target),
                           ('c.sdp', 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n')):
            path = os.path.join(self.src, name)
            with open(path, 'w') as file:
                file.write(text)
            self.refuses('input-not-media', 'crop', path, self.output())

    def test_picture_bomb(self):
        done = self.refuses('input-too-large', 'thumbnail', clips.get('bomb'), self.output('out.jpg'), timeout=20)
        self.assertLess(done.seconds, 5 * 4)

    def test_picture_bomb_named_mp4(self):
        self.refuses('input-too-large', 'crop', clips.get('bomb_named_mp4'), self.output(), timeout=20)

    def test_picture_bomb_in_matroska(self):
        self.refuses('input-too-large', 'crop', clips.get('bomb_matroska'), self.output(), timeout=20)

    @slow
    def test_lower_limit_of_pixels(self):
        self.refuses('input-too-large', 'crop', clips.get('plain'), self.output(), '--max-pixels', '100000')

    def test_truncated(self):
        self.refuses('input-damaged', 'crop', clips.get('truncated'), self.output())

    def test_truncated_without_index(self):
        self.refuses('input-damaged', 'crop', clips.get('truncated_no_index'), self.output())

    @slow
    def test_truncated_for_the_others(self):
        self.refuses('input-damaged', 'transcode', clips.get('truncated'), self.output())
        self.refuses('input-damaged', 'trim', clips.get('truncated'), self.output(), '--from', '0.5', '--mode', 'exact')
        self.refuses('input-damaged', 'trim', clips.get('truncated'), self.output(), '--from', '0', '--mode', 'copy')

    @slow
    def test_trim_and_thumbnail_of_the_part_that_is_there(self):
        """A damaged tail does not forbid what lies before it, but then the result must be right or refused."""
        done = self.weir('thumbnail', clips.get('truncated'), self.output('out.jpg'), '--at', '0.5')
        self.assertIn(done.code, (0, 8), '\n%s' % done)

    @slow
    def test_corrupt_pictures(self):
        done = self.weir('crop', clips.get('corrupt'), self.output(), '--json')
        self.assertIn(done.code, (0, 8, 23, 26), '\n%s' % done)
        if done.code != 0:
            self.assertEqual(os.listdir(self.out), [])

    def test_audio_only_for_crop(self):
        self.refuses('input-no-video', 'crop', clips.get('audio_only'), self.output())
        self.assert_untouched()

    def test_cover_art_is_no_video(self):
        self.refuses('input-no-video', 'crop', clips.get('audio_with_cover'), self.output())

    @slow
    def test_audio_only_for_thumbnail(self):
        self.refuses('input-no-video', 'thumbnail', clips.get('audio_only'), self.output('out.jpg'))

    @slow
    def test_dangling_link(self):
        link = os.path.join(self.src, 'link.mp4')
        os.symlink('nowhere.mp4', link)
        self.refuses('input-missing', 'crop', link, self.output())

    @slow
    def test_loop_of_links(self):
        link = os.path.join(self.src, 'loop.mp4')
        os.symlink('loop.mp4', link)
        done = self.weir('crop', link, self.output(), '--json')
        self.assertIn(done.code, (3, 4, 5), '\n%s' % done)

    @slow
    def test_tiny_picture(self):
        done = self.weir('crop', clips.get('tiny'), self.output(), '--json')
        self.assertIn(done.code, (0, 2, 8, 10), '\n%s' % done)

    @slow
    def test_probe_of_bad_input(self):
        for clip, name in (('empty', 'input-empty'), ('text', 'input-not-media'), ('bomb_matroska', 'input-too-large'),
                           ('truncated_no_index', 'input-damaged')):
            self.refuses(name, 'probe', clips.get(clip))


class Parameters(Case):
    def bad(self, *options, words=(), recipe='crop', name='out.mp4', clip='plain'):
        self.refuses('bad-parameters', recipe, clips.get(clip), self.output(name), *options, words=words)
        self.assert_untouched()

    def test_odd_size(self):
        self.bad('--size', '101x180', words=['101x180'])

    def test_absurd_sizes(self):
        for size in ('0x0', '100000x100000', '-2x100', '2x2', '99999999999999999999x2', '108', 'x', '108x', 'x192', '108x192x2', '1e3x100', ' 108x192'):
            self.bad('--size=' + size)

    def test_absurd_aspects(self):
        for aspect in ('0:1', '1:0', '1:100', '9-16', '9:', ':', '-9:16', '9:16:1', 'nan:1', ''):
            self.bad('--aspect=' + aspect)

    @slow
    def test_absurd_focus(self):
        for focus in ('2,0.5', '-0.1,0', '0.5', 'nan,nan', 'inf,0', 'middle', ','):
            self.bad('--focus=' + focus)

    def test_near_word(self):
        self.bad('--focus', 'centre', words=['center'])
        self.bad('--preset', 'veryfats', words=['veryfast'])

    @slow
    def test_quality_outside_its_range(self):
        for crf in ('-1', '52', '1000000000000', 'good', '2.5x', ''):
            self.bad('--crf=' + crf)

    @slow
    def test_placebo_is_not_offered(self):
        self.bad('--preset', 'placebo')

    def test_negative_time(self):
        self.bad('--from=-1', '--to', '1', recipe='trim')
        self.bad('--at=-0.5', recipe='thumbnail', name='out.jpg')

    def test_reversed_times(self):
        self.bad('--from', '1.5', '--to', '0.5', recipe='trim')

    def test_empty_cut(self):
        self.bad('--from', '1', '--to', '1', recipe='trim')

    def test_start_past_the_end(self):
        self.bad('--from', '10', '--to', '11', recipe='trim')

    @slow
    def test_times_that_are_none(self):
        for time in ('', 'soon', '1:99', '1:2:3:4', 'nan', 'inf', '1e400', '9999999999999', '0x10', '1,5', '--', '1;2'):
            self.bad('--from=' + time, recipe='trim')

    def test_memory_that_is_none(self):
        for memory in ('', 'lots', '-5M', '0', '1.5.2G', '999999999999999999999G', '12Q'):
            self.bad('--memory=' + memory)

    @slow
    def test_other_options_out_of_range(self):
        self.bad('--timeout=-1')
        self.bad('--stall-timeout=never')
        self.bad('--verify=some', words=['sample'])
        self.bad('--max-pixels=0')
        self.bad('--width=-10', recipe='thumbnail', name='out.jpg')
        self.bad('--width=99999999', recipe='thumbnail', name='out.jpg')
        self.bad('--mode=exat', '--from=0', recipe='trim', words=['exact'])

    @slow
    def test_no_filter_or_option_gets_through(self):
        """Words that would mean something to ffmpeg are refused here."""
        for option in ('--aspect=9:16,drawtext=textfile=/etc/passwd', '--size=108x192;rm', '--preset=veryfast -y', '--focus=0.5,0.5,movie=/etc/passwd',
                       '--crf=23:qp=0'):
            self.bad(option)


class Targets(Case):
    def test_folder_missing(self):
        self.refuses('output-folder', 'crop', clips.get('plain'), os.path.join(self.out, 'no', 'out.mp4'))

    def test_folder_is_a_file(self):
        with open(self.output('file'), 'w'):
            pass
        self.refuses('output-folder', 'crop', clips.get('plain'), os.path.join(self.out, 'file', 'out.mp4'))

    @needs_root
    def test_folder_read_only(self):
        folder = self.mount_tmpfs(1 << 20)
        self.remount_read_only(folder)
        self.refuses('output-unwritable', 'crop', clips.get('plain'), os.path.join(folder, 'out.mp4'))

    @needs_root
    def test_folder_without_permission(self):
        prefix = self.as_nobody()
        os.chown(self.out, 0, 0)
        os.chmod(self.out, 0o755)
        self.refuses('output-unwritable', 'crop', clips.get('plain'), self.output(), prefix=prefix,
                     env={'WEIR_STATE_DIR': os.path.join(self.dir, 'state')})

    @needs_root
    def test_file_too_large_for_the_disk(self):
        folder = self.mount_tmpfs(4 << 20)
        self.refuses('disk-full', 'crop', clips.get('noise'), os.path.join(folder, 'out.mp4'), '--crf', '5', '--aspect', '16:9')
        self.assertEqual(os.listdir(folder), [])

    @slow
    @needs_root
    def test_disk_full_for_the_others(self):
        folder = self.mount_tmpfs(4 << 20)
        for recipe in (['trim', clips.get('noise'), os.path.join(folder, 'out.mp4'), '--from', '0', '--mode', 'copy'],
                       ['transcode', clips.get('noise'), os.path.join(folder, 'out.mp4'), '--crf', '4']):
            self.refuses('disk-full', *recipe)
            self.assertEqual(os.listdir(folder), [])

    @slow
    @needs_root
    def test_disk_full_at_any_point(self):
        """Also in the trailer, where ffmpeg ends with success."""
        self.made('crop', clips.get('busy'), self.output())
        whole = os.path.getsize(self.output())
        for share in (0.5, 0.8, 0.95, 1.0):
            with self.subTest(share):
                folder = self.mount_tmpfs(int(whole * share) // 4096 * 4096)
                self.refuses('disk-full', 'crop', clips.get('busy'), os.path.join(folder, 'out.mp4'))
                self.assertEqual(os.listdir(folder), [])

    @slow
    @needs_root
    def test_disk_full_from_the_start(self):
        folder = self.mount_tmpfs(64 << 10)
        with open(os.path.join(folder, 'ballast'), 'wb') as file:
            try:
                file.write(b'x' * (1 << 20))
            except OSError:
                pass
        self.refuses('disk-full', 'crop', clips.get('plain'), os.path.join(folder, 'out.mp4'))
        self.assertEqual(os.listdir(folder), ['ballast'])

    @slow
    @needs_root
    def test_a_disk_that_is_large_enough_is_used(self):
        folder = self.mount_tmpfs(8 << 20)
        self.made('crop', clips.get('plain'), os.path.join(folder, 'out.mp4'))

    def test_exists(self):
        with open(self.output(), 'w') as file:
            file.write('precious')
        self.refuses('output-exists', 'crop', clips.get('plain'), self.output(), words=['--force'])
        self.assert_untouched()
        with open(self.output()) as file:
            self.assertEqual(file.read(), 'precious')

    def test_force_replaces(self):
        with open(self.output(), 'w') as file:
            file.write('old')
        self.made('crop', clips.get('plain'), self.output(), '--force')
        self.assertGreater(os.path.getsize(self.output()), 1000)

    def test_force_keeps_the_old_file_when_the_work_fails(self):
        with open(self.output(), 'w') as file:
            file.write('precious')
        self.refuses('input-damaged', 'crop', clips.get('truncated'), self.output(), '--force')
        with open(self.output()) as file:
            self.assertEqual(file.read(), 'precious')

    @slow
    def test_exists_as_a_folder(self):
        os.mkdir(self.output())
        for extra in ([], ['--force']):
            self.refuses('output-folder', 'crop', clips.get('plain'), self.output(), *extra)
            self.assertEqual(os.listdir(self.output()), [])

    @slow
    def test_target_is_a_link_to_another_file(self):
        other = os.path.join(self.src, 'other.mp4')
        with open(other, 'w') as file:
            file.write('precious')
        os.symlink(other, self.output())
        self.refuses('output-exists', 'crop', clips.get('plain'), self.output())
        self.made('crop', clips.get('plain'), self.output(), '--force')
        with open(other) as file:
            self.assertEqual(file.read(), 'precious', 'written through the link')

    def same_file(self, source, target):
        before = digest(source)
        inode = os.stat(source).st_ino
        for extra in ([], ['--force']):
            self.refuses('output-is-input', 'crop', source, target, *extra)
        self.assertEqual(digest(source), before)
        self.assertEqual(os.stat(source).st_ino, inode)

    def own_clip(self):
        path = os.path.join(self.out, 'clip.mp4')
        shutil.copy(clips.get('plain'), path)
        return path

    def test_target_is_the_source(self):
        self.same_file(self.own_clip(), os.path.join(self.out, 'clip.mp4'))

    @slow
    def test_target_is_the_source_spelled_differently(self):
        self.own_clip()
        self.same_file(os.path.join(self.out, 'clip.mp4'), os.path.join(self.out, '..', 'out', '.', 'clip.mp4'))

    def test_target_is_the_source_through_a_symbolic_link(self):
        os.symlink('clip.mp4', self.output('link.mp4'))
        self.same_file(self.own_clip(), self.output('link.mp4'))

    def test_source_is_a_symbolic_link_to_the_target(self):
        path = self.own_clip()
        link = os.path.join(self.src, 'link.mp4')
        os.symlink(path, link)
        self.same_file(link, path)

    def test_target_is_the_source_through_a_hard_link(self):
        path = self.own_clip()
        os.link(path, self.output('hard.mp4'))
        self.same_file(path, self.output('hard.mp4'))

    @slow
    def test_target_is_the_source_through_a_linked_folder(self):
        self.own_clip()
        os.symlink('out', os.path.join(self.dir, 'door'))
        self.same_file(os.path.join(self.out, 'clip.mp4'), os.path.join(self.dir, 'door', 'clip.mp4'))

    def test_extension_that_the_recipe_cannot_make(self):
        for recipe, name in (('crop', 'out.avi'), ('crop', 'out'), ('crop', 'out.mp4.'), ('thumbnail', 'out.mp4'), ('transcode', 'out.jpg'), ('crop', 'out.mp3')):
            self.refuses('output-format', recipe, clips.get('plain'), self.output(name))
            self.assert_untouched()


class Tools(Case):
    own_state = True

    def test_ffmpeg_missing(self):
        self.refuses('tool-missing', 'crop', clips.get('plain'), self.output(), '--ffmpeg', os.path.join(self.dir, 'no', 'ffmpeg'))

    @slow
    def test_ffmpeg_missing_from_the_path(self):
        empty = os.path.join(self.dir, 'empty')
        os.mkdir(empty)
        done = self.weir('crop', clips.get('plain'), self.output(), '--json', env={'PATH': empty})
        # The usual places may be looked at as well.
        self.assertIn(done.code, (0, 21), '\n%s' % done)

    @slow
    def test_ffprobe_missing(self):
        self.refuses('tool-missing', 'crop', clips.get('plain'), self.output(), '--ffprobe', '/nonexistent/ffprobe')

    @slow
    def test_missing_by_environment(self):
        self.refuses('tool-missing', 'crop', clips.get('plain'), self.output(), env={'WEIR_FFMPEG': '/nonexistent/ffmpeg'})

    def script(self, text):
        path = os.path.join(self.dir, 'tools', 'ffmpeg')
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def test_too_old(self):
        path = self.script('#!/bin/sh\necho "ffmpeg version 2.8.17 Copyright (c) 2000-2020 the FFmpeg developers"\n')
        self.refuses('tool-unusable', 'crop', clips.get('plain'), self.output(), '--ffmpeg', path, words=['2.8'])

    def test_something_else(self):
        self.refuses('tool-unusable', 'crop', clips.get('plain'), self.output(), '--ffmpeg', '/bin/true')

    @slow
    def test_not_executable(self):
        path = self.script('#!/bin/sh\n')
        os.chmod(path, 0o644)
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffmpeg', path, '--json')
        self.assertIn(done.code, (21, 22), '\n%s' % done)

    @slow
    def test_not_a_program(self):
        path = self.script('these are words\n')
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffmpeg', path, '--json')
        self.assertIn(done.code, (21, 22), '\n%s' % done)

    @slow
    def test_folder_as_tool(self):
        done = self.weir('crop', clips.get('plain'), self.output(), '--ffmpeg', self.src, '--json')
        self.assertIn(done.code, (21, 22), '\n%s' % done)
