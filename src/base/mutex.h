// Mutex, MutexLock, Condition: the standard ones, with the annotations by which clang (-Wthread-safety) proves that a
// guarded member is touched only under its lock. Not recursive. Other compilers see plain classes.
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define WEIR_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define WEIR_THREAD_ANNOTATION(x)
#endif
#define WEIR_GUARDED_BY(mutex) WEIR_THREAD_ANNOTATION(guarded_by(mutex))
#define WEIR_REQUIRES(mutex) WEIR_THREAD_ANNOTATION(requires_capability(mutex))

namespace weir {

class WEIR_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void Lock() WEIR_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void Unlock() WEIR_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

class WEIR_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) WEIR_THREAD_ANNOTATION(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() WEIR_THREAD_ANNOTATION(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Wait in a loop that asks for what is waited for: it may return for no reason.
class Condition {
 public:
  void Wait(Mutex& mutex) WEIR_REQUIRES(mutex) {
    std::unique_lock<std::mutex> held(mutex.mutex_, std::adopt_lock);
    condition_.wait(held);
    (void)held.release();
  }
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace weir
