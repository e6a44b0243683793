#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace weir {
namespace {

struct Counter {
  Mutex mutex;
  Condition changed;
  int count WEIR_GUARDED_BY(mutex) = 0;
};

TEST(Mutex, KeepsThreadsApart) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int turn = 0; turn < 1000; ++turn) {
        const MutexLock lock(counter.mutex);
        ++counter.count;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.count, 4000);
}

TEST(Condition, WaitsWithoutTheLockAndReturnsWithIt) {
  Counter counter;
  std::thread other([&counter] {
    const MutexLock lock(counter.mutex);
    counter.count = 1;
    counter.changed.NotifyAll();
    while (counter.count != 2) counter.changed.Wait(counter.mutex);
    counter.count = 3;
  });
  {
    const MutexLock lock(counter.mutex);
    while (counter.count != 1) counter.changed.Wait(counter.mutex);
    counter.count = 2;
    counter.changed.NotifyOne();
  }
  other.join();
  const MutexLock lock(counter.mutex);
  EXPECT_EQ(counter.count, 3);
}

}  // namespace
}  // namespace weir
