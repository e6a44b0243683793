// fake_ffmpeg: plays an ffmpeg or ffprobe that misbehaves in one chosen way. Not part of the product.
//
// The environment is not inherited, so the part to play is read from the file `scenario` (for a program named
// ffprobe: `scenario-ffprobe`, and without that file it is the real one) in the folder of argv[0] or, when that
// has no slash, of /proc/self/exe. First word: the name; the rest: arguments. See kScenarios for all of them.
// Every process it makes is called "weir-fake", also in its command line, so that survivors can be looked for.
// A self-test encode (an argument with "lavfi") and questions such as -encoders are passed to the real program,
// unless the scenario is "break-selftest".
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Play {
  std::string program;                 // "ffmpeg" or "ffprobe"
  std::vector<std::string> argv;       // as given
  std::string name;                    // of the scenario
  std::vector<std::string> arguments;  // of the scenario
  int progress_fd = -1;
  std::string output;  // "" when it is a null or standard output

  // Argument `index` of the scenario as a number.
  [[nodiscard]] std::uint64_t Number(std::size_t index, std::uint64_t otherwise) const {
    return index < arguments.size() ? std::strtoull(arguments[index].c_str(), nullptr, 10) : otherwise;
  }
  [[nodiscard]] bool Has(std::string_view word) const {
    for (const std::string& argument : argv) {
      if (argument == word) {
        return true;
      }
    }
    return false;
  }
};

void Put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = write(fd, text.data(), text.size());
    if (size < 0) {
      if (errno == EINTR) {
        continue;
      }
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

void Sleep(std::chrono::milliseconds time) { usleep(static_cast<useconds_t>(time.count() * 1000)); }

[[noreturn]] void Hang() {
  while (true) {
    pause();
  }
}

// One block as ffmpeg writes it.
void PutProgress(const Play& play, std::int64_t frame, std::int64_t out_time_us, std::int64_t size,
                 bool end = false) {
  if (play.progress_fd < 0) {
    return;
  }
  std::ostringstream block;
  block << "frame=" << frame << "\nfps=25.00\nstream_0_0_q=28.0\nbitrate=1000.0kbits/s\ntotal_size=" << size
        << "\nout_time_us=" << out_time_us << "\nout_time_ms=" << out_time_us
        << "\nout_time=00:00:01.000000\ndup_frames=0\ndrop_frames=0\nspeed=1.0x\nprogress="
        << (end ? "end" : "continue") << "\n";
  Put(play.progress_fd, block.str());
}

// A few honest-looking steps, then the caller misbehaves.
void PutSomeProgress(const Play& play) {
  for (int i = 1; i <= 3; ++i) {
    PutProgress(play, i * 5, i * 200000, i * 4096);
    Sleep(std::chrono::milliseconds(20));
  }
}

// Replaces this process by the real program; `edit` may change its arguments.
[[noreturn]] void BecomeReal(const Play& play, const std::function<void(std::vector<std::string>&)>& edit = {}) {
  std::vector<std::string> words = play.argv;
  words[0] = "weir-fake-" + play.program;
  if (edit) {
    edit(words);
  }
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  const std::string path = "/usr/bin/" + play.program;
  execv(path.c_str(), argv.data());
  Put(2, "fake_ffmpeg: cannot run " + path + ": " + std::strerror(errno) + "\n");
  _exit(99);
}

// A child process that sleeps, or does `work` first.
pid_t ForkSleeper(const std::function<void()>& work = {}) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (work) {
      work();
    }
    sleep(1000);
    _exit(0);
  }
  return pid;
}

// The grandchild leaves session and group, keeps all pipes, and its parent is gone at once.
void DoubleFork() {
  const pid_t middle = fork();
  if (middle == 0) {
    setsid();
    if (fork() == 0) {
      sleep(1000);
    }
    _exit(0);
  }
}

// Pages that are really there. False: refused.
bool Eat(std::uint64_t mebibytes, int kind) {
  const std::size_t size = mebibytes << 20U;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return false;
  }
  madvise(memory, size, MADV_HUGEPAGE);
  std::memset(memory, 0x5a, size);
  return true;
}

[[noreturn]] void RefusedMemory(std::uint64_t mebibytes) {
  Put(2, "[libx264 @ 0x5581] malloc of size " + std::to_string(mebibytes << 20U) +
             " failed\nError submitting video frame to the encoder\n");
  _exit(1);
}

[[noreturn]] void Flood(int fd, std::uint64_t mebibytes, char letter) {
  std::string line(1023, letter);
  line += '\n';
  std::string block;
  for (int i = 0; i < 64; ++i) {
    block += line;
  }
  for (std::uint64_t done = 0; done < mebibytes << 20U; done += block.size()) {
    Put(fd, block);
  }
  _exit(0);
}

void WriteOutput(const Play& play, std::uint64_t size, bool random) {
  if (play.output.empty()) {
    return;
  }
  const int fd = open(play.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    Put(2, play.output + ": " + std::strerror(errno) + "\n");
    _exit(1);
  }
  std::string block(1U << 20U, '\0');
  std::uint32_t state = 0x2545f491;
  for (std::uint64_t done = 0; done < size; done += block.size()) {
    if (random) {
      for (char& c : block) {
        state = state * 1664525U + 1013904223U;
        c = static_cast<char>(state >> 24U);
      }
    }
    if (write(fd, block.data(), block.size()) < 0) {
      Put(2, std::string("av_interleaved_write_frame(): ") + std::strerror(errno) + "\n");
      _exit(1);
    }
    PutProgress(play, static_cast<std::int64_t>(done >> 16U), static_cast<std::int64_t>(done >> 10U),
                static_cast<std::int64_t>(done));
  }
  close(fd);
}

[[noreturn]] void DieOf(int signal) {
  std::signal(signal, SIG_DFL);
  kill(getpid(), signal);
  // The first process of a PID namespace is spared its own signals, but not its own faults.
  if (signal == SIGILL) {
    __builtin_trap();
  }
  if (signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS) {
    volatile int* volatile nowhere = nullptr;
    *nowhere = 1;
  }
  _exit(128 + signal);
}

void PutVersion(const Play& play, const std::string& version) {
  Put(1, play.program + " version " + version +
             " Copyright (c) 2000-2023 the FFmpeg developers\nbuilt with gcc 12 (Debian 12.2.0-14)\n"
             "configuration: --prefix=/usr --extra-version=0+deb12u1 --enable-gpl --enable-libx264 --enable-libvpx\n"
             "libavutil      57. 28.100 / 57. 28.100\nlibavcodec     59. 37.100 / 59. 37.100\n"
             "libavformat    59. 27.100 / 59. 27.100\n");
}

struct Scenario {
  std::string_view name;
  std::string_view what;
  void (*act)(const Play&);  // returning means exit status 0
};

const std::array kScenarios = {
    Scenario{"pass", "the real program", [](const Play& play) { BecomeReal(play); }},
    Scenario{"break-selftest", "fails at everything but -version", [](const Play&) { _exit(1); }},
    Scenario{"slow-real", "the real program, reading its input in real time",
             [](const Play& play) {
               BecomeReal(play, [](std::vector<std::string>& words) {
                 for (std::size_t i = 0; i < words.size(); ++i) {
                   if (words[i] == "-i") {
                     words.insert(words.begin() + static_cast<std::ptrdiff_t>(i), "-re");
                     return;
                   }
                 }
               });
             }},
    Scenario{"liar-short", "the real program, but only the first S=1 seconds",
             [](const Play& play) {
               BecomeReal(play, [&play](std::vector<std::string>& words) {
                 words.insert(words.end() - 1, {"-t", std::to_string(play.Number(0, 1))});
               });
             }},
    Scenario{"version", "-version says TEXT", [](const Play&) { _exit(1); }},
    Scenario{"version-garbage", "-version says something else", [](const Play&) { _exit(1); }},
    Scenario{"version-exit", "-version exits N=1", [](const Play&) { _exit(1); }},
    Scenario{"version-hang", "-version never ends", [](const Play&) { _exit(1); }},
    Scenario{"version-flood", "-version never stops talking", [](const Play&) { _exit(1); }},
    Scenario{"ignore-term", "some progress, then ignores SIGTERM, SIGINT and SIGHUP",
             [](const Play& play) {
               std::signal(SIGTERM, SIG_IGN);
               std::signal(SIGINT, SIG_IGN);
               std::signal(SIGHUP, SIG_IGN);
               PutSomeProgress(play);
               Hang();
             }},
    Scenario{"obey-term", "some progress, then waits for SIGTERM and exits 255 as ffmpeg does",
             [](const Play& play) {
               std::signal(SIGTERM, [](int) { _exit(255); });
               PutSomeProgress(play);
               Hang();
             }},
    Scenario{"hang", "no progress at all", [](const Play&) { Hang(); }},
    Scenario{"busy", "no progress, all of one processor",
             [](const Play&) {
               volatile std::uint64_t turns = 0;
               while (true) {
                 turns = turns + 1;
               }
             }},
    Scenario{"progress-forever", "the same progress block for ever",
             [](const Play& play) {
               while (true) {
                 PutProgress(play, 5, 200000, 4096);
                 Sleep(std::chrono::milliseconds(20));
               }
             }},
    Scenario{"fork", "N=3 sleeping children in its group, then hangs",
             [](const Play& play) {
               for (std::uint64_t i = 0; i < play.Number(0, 3); ++i) {
                 ForkSleeper();
               }
               PutSomeProgress(play);
               Hang();
             }},
    Scenario{"setsid", "a sleeping child in a session of its own, then hangs",
             [](const Play& play) {
               ForkSleeper([] { setsid(); });
               PutSomeProgress(play);
               Hang();
             }},
    Scenario{"double-fork", "a sleeping grandchild in a session of its own, then hangs (\"exit\": exits 0)",
             [](const Play& play) {
               DoubleFork();
               PutSomeProgress(play);
               if (play.arguments.empty() || play.arguments[0] != "exit") {
                 Hang();
               }
             }},
    Scenario{"fork-then-exit", "leaves N=3 children that keep the pipes, exits 0",
             [](const Play& play) {
               for (std::uint64_t i = 0; i < play.Number(0, 3); ++i) {
                 ForkSleeper();
               }
             }},
    Scenario{"stderr-flood", "N=1024 MiB to standard error",
             [](const Play& play) { Flood(2, play.Number(0, 1024), 'e'); }},
    Scenario{"stdout-flood", "N=1024 MiB to standard output",
             [](const Play& play) { Flood(1, play.Number(0, 1024), 'o'); }},
    Scenario{"close-stderr-hang", "closes all its pipes and hangs",
             [](const Play& play) {
               PutSomeProgress(play);
               for (int fd = 1; fd < 16; ++fd) {
                 close(fd);
               }
               Hang();
             }},
    Scenario{"stop-self", "SIGSTOP to itself, for ever",
             [](const Play& play) {
               PutSomeProgress(play);
               while (true) {
                 kill(getpid(), SIGSTOP);
                 Sleep(std::chrono::milliseconds(50));
               }
             }},
    Scenario{"eat-memory", "N=1024 MiB of private memory at once (T=0: in that second of the epoch), then hangs",
             [](const Play& play) {
               const std::uint64_t size = play.Number(0, 1024);
               while (static_cast<std::uint64_t>(std::time(nullptr)) < play.Number(1, 0)) {
                 Sleep(std::chrono::milliseconds(5));
               }
               if (!Eat(size, MAP_PRIVATE)) {
                 RefusedMemory(size);
               }
               Hang();
             }},
    Scenario{"eat-shared", "N=1024 MiB of shared memory, which RLIMIT_DATA does not count, then hangs",
             [](const Play& play) {
               const std::uint64_t size = play.Number(0, 1024);
               if (!Eat(size, MAP_SHARED)) {
                 RefusedMemory(size);
               }
               Hang();
             }},
    Scenario{"eat-tree", "N=1024 MiB of private memory, spread over K=8 children, then hangs",
             [](const Play& play) {
               const std::uint64_t count = play.Number(1, 8);
               const std::uint64_t each = play.Number(0, 1024) / count;
               for (std::uint64_t i = 0; i < count; ++i) {
                 ForkSleeper([each] { Eat(each, MAP_PRIVATE); });
               }
               Hang();
             }},
    Scenario{"eat-child-exit", "a child eats N=1024 MiB; when it is killed, exits 1",
             [](const Play& play) {
               const std::uint64_t size = play.Number(0, 1024);
               ForkSleeper([size] { _exit(Eat(size, MAP_PRIVATE) ? 0 : 3); });
               // The child's end is not waited for by number: any way of it is followed by this exit.
               sigset_t set;
               sigemptyset(&set);
               sigaddset(&set, SIGCHLD);
               sigprocmask(SIG_BLOCK, &set, nullptr);
               const timespec limit{.tv_sec = 10, .tv_nsec = 0};
               sigtimedwait(&set, nullptr, &limit);
               _exit(1);
             }},
    Scenario{"eat-pass", "the real program; where it makes a file, after N=64 MiB of private memory for 0.3 s",
             [](const Play& play) {
               const std::uint64_t size = play.Number(0, 64);
               if (play.output.empty()) {
                 BecomeReal(play);
               }
               if (!Eat(size, MAP_PRIVATE)) {
                 RefusedMemory(size);
               }
               Sleep(std::chrono::milliseconds(300));
               BecomeReal(play);
             }},
    Scenario{"slow-eat", "N=64 MiB more each 100 ms, with progress, for ever",
             [](const Play& play) {
               const std::uint64_t step = play.Number(0, 64);
               for (std::int64_t i = 1;; ++i) {
                 if (!Eat(step, MAP_PRIVATE)) {
                   RefusedMemory(step);
                 }
                 PutProgress(play, i, i * 40000, i * 4096);
                 Sleep(std::chrono::milliseconds(100));
               }
             }},
    Scenario{"plateau", "A=100 MiB at once, held with progress for S=10 s, then B=0 MiB more; then the real program",
             [](const Play& play) {
               if (play.output.empty()) {  // a check of what was made
                 BecomeReal(play);
               }
               const auto hold = [&](std::uint64_t seconds, std::int64_t from) {
                 for (std::int64_t i = 0; i < static_cast<std::int64_t>(seconds) * 10; ++i) {
                   PutProgress(play, from + i, i * 1000, 4096);
                   Sleep(std::chrono::milliseconds(100));
                 }
               };
               Eat(play.Number(0, 100), MAP_PRIVATE);
               hold(play.Number(1, 10), 160);
               if (const std::uint64_t more = play.Number(2, 0); more > 0) {
                 if (!Eat(more, MAP_PRIVATE)) {
                   RefusedMemory(more);
                 }
                 hold(1, 300);
               }
               BecomeReal(play, [](std::vector<std::string>& words) {  // with far less memory than was held
                 for (std::size_t i = 1; i < words.size(); ++i) {
                   if (words[i - 1] == "-preset") {
                     words[i] = "ultrafast";
                   } else if (words[i - 1] == "-threads") {
                     words[i] = "1";
                   }
                 }
               });
             }},
    Scenario{"write-big", "N=10240 MiB to the output",
             [](const Play& play) {
               std::signal(SIGXFSZ, SIG_IGN);
               WriteOutput(play, play.Number(0, 10240) << 20U, false);
             }},
    Scenario{"write-many-big", "files of 16 MiB, N=10240 MiB together",
             [](const Play& play) {
               std::signal(SIGXFSZ, SIG_IGN);
               Play each = play;
               for (std::uint64_t i = 0; i < play.Number(0, 10240) / 16; ++i) {
                 each.output = "big" + std::to_string(i);
                 WriteOutput(each, 16U << 20U, false);
               }
               Hang();
             }},
    Scenario{"many-files", "N=100000 empty files in its folder, then hangs",
             [](const Play& play) {
               for (std::uint64_t i = 0; i < play.Number(0, 100000); ++i) {
                 close(open(("many" + std::to_string(i)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
               }
               Hang();
             }},
    Scenario{"liar", "says that it is done, exits 0, writes nothing",
             [](const Play& play) { PutProgress(play, 250, 10000000, 1000000, true); }},
    Scenario{"liar-garbage", "writes N=1 MiB of random bytes as the output, exits 0",
             [](const Play& play) {
               WriteOutput(play, play.Number(0, 1) << 20U, true);
               PutProgress(play, 250, 10000000, 1000000, true);
             }},
    Scenario{"runaway-frames", "ever more frames, for ever",
             [](const Play& play) {
               for (std::int64_t i = 1;; i *= 2) {
                 PutProgress(play, i * 100, i * 4000000, i * 100000);
                 Sleep(std::chrono::milliseconds(20));
                 i = i > (std::int64_t{1} << 30U) ? i / 2 : i;
               }
             }},
    Scenario{"progress-garbage", "malformed progress: N=8 MiB without a newline, absurd numbers; exits 0",
             [](const Play& play) {
               const int fd = play.progress_fd;
               const std::string block(1U << 20U, 'x');
               Put(fd,
                   "frame=99999999999999999999999999\nout_time_us=-9223372036854775808\nfps=nan\nspeed=infx\n"
                   "total_size=-1\nprogress=continue\nframe=\n=5\n\n\nprogress\nout_time_us=1e308\n"
                   "frame=-7\nprogress=continue\n");
               for (std::uint64_t i = 0; i < play.Number(0, 8); ++i) {
                 Put(fd, block);
               }
               Put(fd, std::string("\nframe=1\0\xff\xfe\nprogress=end\n", 26));
             }},
    Scenario{"exit", "exit status N=1 at once",
             [](const Play& play) {
               Put(2, "Conversion failed!\n");
               _exit(static_cast<int>(play.Number(0, 1)));
             }},
    Scenario{"signal", "dies of signal N=11",
             [](const Play& play) { DieOf(static_cast<int>(play.Number(0, SIGSEGV))); }},
    Scenario{"enospc-message", "what ffmpeg says on a full disk, exit 1",
             [](const Play& play) {
               PutSomeProgress(play);
               Put(2,
                   "av_interleaved_write_frame(): No space left on device\n"
                   "Error writing trailer of file:out.mp4: No space left on device\nConversion failed!\n");
               _exit(1);
             }},
    Scenario{"malloc-message", "what x264 says without memory, exit 1",
             [](const Play& play) {
               PutSomeProgress(play);
               RefusedMemory(8);
             }},
    Scenario{"environment", "prints its environment, one entry a line",
             [](const Play&) {
               for (char** entry = environ; *entry != nullptr; ++entry) {
                 Put(1, std::string(*entry) + "\n");
               }
             }},
    Scenario{"descriptors", "prints the numbers of its open descriptors",
             [](const Play&) {
               for (int fd = 0; fd < 1024; ++fd) {
                 if (fcntl(fd, F_GETFD) >= 0) {
                   Put(1, std::to_string(fd) + "\n");
                 }
               }
             }},
    Scenario{"limits", "prints its resource limits as NAME=SOFT",
             [](const Play&) {
               const auto print = [](const char* name, int which) {
                 rlimit limit{};
                 getrlimit(static_cast<__rlimit_resource>(which), &limit);
                 Put(1, std::string(name) + "=" + std::to_string(limit.rlim_cur) + "\n");
               };
               print("data", RLIMIT_DATA);
               print("stack", RLIMIT_STACK);
               print("fsize", RLIMIT_FSIZE);
               print("nofile", RLIMIT_NOFILE);
               print("core", RLIMIT_CORE);
               print("cpu", RLIMIT_CPU);
             }},
    Scenario{"read-file", "opens the file NAME: exit 0 when it may, else 13",
             [](const Play& play) {
               const std::string name = play.arguments.empty() ? "/etc/passwd" : play.arguments[0];
               if (open(name.c_str(), O_RDONLY | O_CLOEXEC) < 0) {
                 Put(2, name + ": " + std::strerror(errno) + "\n");
                 _exit(13);
               }
             }},
    Scenario{"write-file", "makes the file NAME: exit 0 when it may, else 13",
             [](const Play& play) {
               const std::string name = play.arguments.empty() ? "here" : play.arguments[0];
               if (open(name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0) {
                 Put(2, name + ": " + std::strerror(errno) + "\n");
                 _exit(13);
               }
             }},
};

// The folder of our own name, with the slash.
std::string OwnFolder(const std::string& argv0) {
  std::string path = argv0;
  if (path.find('/') == std::string::npos) {
    std::array<char, 4096> link{};
    const ssize_t size = readlink("/proc/self/exe", link.data(), link.size() - 1);
    path.assign(link.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  }
  return path.substr(0, path.rfind('/') + 1);
}

void ReadArguments(Play& play) {
  for (std::size_t i = 1; i + 1 < play.argv.size(); ++i) {
    if (play.argv[i] == "-progress" && play.argv[i + 1].starts_with("pipe:")) {
      play.progress_fd = std::atoi(play.argv[i + 1].c_str() + 5);
    }
  }
  if (play.progress_fd < 0 && fcntl(4, F_GETFD) >= 0) {
    play.progress_fd = 4;
  }
  std::string last = play.argv.size() > 1 ? play.argv.back() : "";
  if (last.starts_with("file:")) {
    last.erase(0, 5);
  }
  if (last != "-" && !last.starts_with("-") && !last.starts_with("pipe:") && !last.starts_with("/dev/")) {
    play.output = last;
  }
}

// From here on /proc says "weir-fake" of us and of everything that we fork.
void Disguise(int argc, char** argv) {
  prctl(PR_SET_NAME, "weir-fake");
  char* end = argv[argc - 1] + std::strlen(argv[argc - 1]);
  const std::size_t room = static_cast<std::size_t>(end - argv[0]);
  std::memset(argv[0], 0, room);
  std::strncpy(argv[0], "weir-fake", room);
}

void AnswerVersion(const Play& play) {
  if (play.name == "version-garbage") {
    Put(1, "\x01\x02 this is not the program that you are looking for\n");
  } else if (play.name == "version-exit") {
    _exit(static_cast<int>(play.Number(0, 1)));
  } else if (play.name == "version-hang") {
    Hang();
  } else if (play.name == "version-flood") {
    Flood(1, std::uint64_t{1} << 30U, 'v');
  } else if (play.name == "version") {
    PutVersion(play, play.arguments.empty() ? "4.1" : play.arguments[0]);
  } else {
    PutVersion(play, "5.1.9-0+deb12u1");
  }
}

// What is asked before any work: lists of what the program can do.
bool IsQuestion(const Play& play) {
  for (const char* word : {"-encoders", "-decoders", "-filters", "-formats", "-muxers", "-demuxers", "-protocols",
                           "-codecs", "-buildconf", "-h", "-bsfs"}) {
    if (play.Has(word)) {
      return true;
    }
  }
  for (const std::string& argument : play.argv) {
    if (argument.find("lavfi") != std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 1) {
    return 2;
  }
  Play play;
  play.argv.assign(argv, argv + argc);
  const std::string& own_name = play.argv[0];
  play.program = own_name.substr(own_name.rfind('/') + 1).find("ffprobe") != std::string::npos ? "ffprobe" : "ffmpeg";
  if (argc == 2 && play.argv[1] == "--scenarios") {
    for (const Scenario& scenario : kScenarios) {
      std::printf("%-18s %s\n", std::string(scenario.name).c_str(), std::string(scenario.what).c_str());
    }
    return 0;
  }
  const bool probe = play.program == "ffprobe";
  std::ifstream file(OwnFolder(own_name) + (probe ? "scenario-ffprobe" : "scenario"));
  std::string line;
  std::getline(file, line);
  file.close();
  std::istringstream words(line);
  if (!(words >> play.name)) {
    if (probe) {
      BecomeReal(play);
    }
    Put(2, "fake_ffmpeg: no file named scenario beside " + own_name + "\n");
    return 98;
  }
  for (std::string word; words >> word;) {
    play.arguments.push_back(word);
  }
  ReadArguments(play);
  if (play.Has("-version")) {
    Disguise(argc, argv);
    AnswerVersion(play);
    return 0;
  }
  if (play.name != "break-selftest" && IsQuestion(play)) {
    BecomeReal(play);
  }
  Disguise(argc, argv);
  for (const Scenario& scenario : kScenarios) {
    if (scenario.name == play.name) {
      scenario.act(play);
      return 0;
    }
  }
  Put(2, "fake_ffmpeg: no scenario named " + play.name + "\n");
  return 97;
}
