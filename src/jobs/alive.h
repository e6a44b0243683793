// Alive: lets an object hand out callbacks that do nothing once the object is gone. Member of that object;
// same thread only.
#pragma once

#include <memory>
#include <utility>

namespace weir::jobs {

class Alive {
 public:
  Alive() = default;
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive() = default;

  template <typename F>
  auto Guard(F function) const {
    return [token = std::weak_ptr<int>(token_), function = std::move(function)](auto&&... arguments) mutable {
      if (token.lock()) {
        function(std::forward<decltype(arguments)>(arguments)...);
      }
    };
  }

  // For coroutines, which have to ask for themselves.
  [[nodiscard]] std::weak_ptr<int> token() const { return token_; }

 private:
  std::shared_ptr<int> token_ = std::make_shared<int>(0);
};

}  // namespace weir::jobs
