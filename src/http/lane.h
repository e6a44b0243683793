// Lane: the executor on which connections and handlers run. It is the loop's own, with a gate: once the gate is shut,
// nothing that was meant to run on it runs any more; it is destroyed instead, coroutine frames with all that they
// hold. So nobody is resumed after the server's end, not even to be told of it.
#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <memory>
#include <utility>

namespace weir::http {

class Lane {
 public:
  // The counter is not atomic: one thread. Small, because a lane must fit Asio's small object.
  struct Gate : boost::intrusive_ref_counter<Gate, boost::thread_unsafe_counter> {
    explicit Gate(boost::asio::io_context& the_loop) : loop(the_loop) {}
    boost::asio::io_context& loop;
    bool shut = false;
  };

  explicit Lane(boost::asio::io_context& loop)
      : gate_(new Gate(loop)) {}  // NOLINT(cppcoreguidelines-owning-memory): intrusive_ptr owns it
  Lane(const Lane& other) noexcept = default;
  Lane& operator=(const Lane& other) noexcept = default;
  // A lane always has its gate, also one that was moved from.
  Lane(Lane&& other) noexcept : Lane(static_cast<const Lane&>(other)) {}
  Lane& operator=(Lane&& other) noexcept { return *this = static_cast<const Lane&>(other); }
  ~Lane() = default;

  void Shut() const { gate_->shut = true; }
  [[nodiscard]] bool is_shut() const { return gate_->shut; }

  // What Asio asks of an executor.
  [[nodiscard]] boost::asio::execution_context& query(boost::asio::execution::context_t /*unused*/) const noexcept {
    return gate_->loop;
  }
  [[nodiscard]] boost::asio::execution::blocking_t query(
      boost::asio::execution::blocking_t /*unused*/) const noexcept {
    return may_block_ ? boost::asio::execution::blocking_t(boost::asio::execution::blocking.possibly)
                      : boost::asio::execution::blocking_t(boost::asio::execution::blocking.never);
  }
  [[nodiscard]] Lane require(boost::asio::execution::blocking_t::possibly_t /*unused*/) const noexcept {
    return With(true);
  }
  [[nodiscard]] Lane require(boost::asio::execution::blocking_t::never_t /*unused*/) const noexcept {
    return With(false);
  }
  template <typename Function>
  void execute(Function&& function) const {
    const Lane alive = *this;  // the function may own the last other one
    if (gate_->shut) {
      [[maybe_unused]] const std::decay_t<Function> dropped(std::forward<Function>(function));
      return;
    }
    auto executor = gate_->loop.get_executor();
    if (may_block_ && executor.running_in_this_thread()) {
      std::decay_t<Function> now(std::forward<Function>(function));
      std::move(now)();
      return;
    }
    boost::asio::require(executor, boost::asio::execution::blocking.never)
        .execute(Guarded<std::decay_t<Function>>{alive, std::forward<Function>(function)});
  }
  friend bool operator==(const Lane& a, const Lane& b) noexcept {
    return a.gate_ == b.gate_ && a.may_block_ == b.may_block_;
  }
  friend bool operator!=(const Lane& a, const Lane& b) noexcept { return !(a == b); }

 private:
  template <typename Function>
  struct Guarded;
  [[nodiscard]] Lane With(bool may_block) const noexcept {
    Lane other(*this);
    other.may_block_ = may_block;
    return other;
  }

  boost::intrusive_ptr<Gate> gate_;
  bool may_block_ = true;
};

template <typename Function>
struct Lane::Guarded {
  Lane lane;
  Function function;
  void operator()() {
    if (!lane.is_shut()) std::move(function)();
  }
};

}  // namespace weir::http
