// Services: the parts of a long-lived process, declared by name with what they need, built on first use after their
// needs, and destroyed in the reverse order. Optional ones go again when nobody has used them for a while. One
// thread.
//
//   Services services(clock);
//   const auto store = services.Declare<Store>({.name = "store", .make = [] { return OpenStore(); }});
//   const auto queue = services.Declare<Queue>({.name = "queue", .needs = {"store"},
//                                               .make = [store] { return MakeQueue(*store); }});
//   WEIR_TRY(services.Check());
//   WEIR_ASSIGN(auto use, services.Use(queue));
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace weir::app {

// What one service is doing, for diagnostics.
struct ServiceReading {
  std::string name;
  bool loaded = false;
  std::optional<WallTime> since;  // when it was built; nullopt while it is not loaded
  // As it says itself, else what building it took from the heap, its needs apart. nullopt: unknown, or not loaded.
  std::optional<Bytes> bytes;
};

template <typename T>
struct ServiceDeclaration {
  std::string name;
  std::vector<std::string> needs{};  // names, declared before or after
  // Everything that it needs is loaded when this is called, and stays so while the service lives. Must not use
  // services that are not among the needs.
  std::function<Result<std::unique_ptr<T>>()> make;
  // Unused for this long, it may go. nullopt: it stays.
  std::optional<Duration> idle{};
  std::function<Bytes(const T&)> bytes{};  // that it holds now; cheap
};

class Services;

// Names one service of its type. Copied at will; the Services must outlive every use of it.
template <typename T>
class Service {
 public:
  Service() = default;  // of nothing; for members that are given one later
  // The service, or nullptr while it is not loaded.
  [[nodiscard]] T* get() const;
  // Only while it is loaded: in the factory of one that needs it, or while a use is held.
  T& operator*() const { return *get(); }
  T* operator->() const { return get(); }

 private:
  friend class Services;
  Service(Services& owner, std::size_t index) : owner_(&owner), index_(index) {}
  Services* owner_ = nullptr;
  std::size_t index_ = 0;
};

class Services {
 public:
  // `heap`: what the process has taken from its heap, to tell what building takes; empty: nobody knows. The clock
  // outlives this.
  explicit Services(const Clock& clock, std::function<Bytes()> heap = {});
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;
  // The last one built goes first. No use may be held any more.
  ~Services();

  // Before Check.
  template <typename T>
  Service<T> Declare(ServiceDeclaration<T> declaration) {
    Entry entry;
    entry.name = std::move(declaration.name);
    entry.needs = std::move(declaration.needs);
    entry.idle = declaration.idle;
    entry.make = [make = std::move(declaration.make)]() -> Result<std::shared_ptr<void>> {
      WEIR_ASSIGN(std::unique_ptr<T> made, make());
      return std::shared_ptr<void>(std::move(made));
    };
    if (declaration.bytes) {
      entry.bytes = [bytes = std::move(declaration.bytes)](const void* service) {
        return bytes(*static_cast<const T*>(service));
      };
    }
    return Service<T>(*this, Add(std::move(entry)));
  }

  // Once, when all are declared. Errors: kInternal: a name declared twice, a need that nobody declared, a cycle
  // ("a needs b needs a").
  Status Check();

  // A loaded service is let go only when no use of it is held. Destroyed before the Services.
  template <typename T>
  class Held {
   public:
    T& operator*() const { return *service_; }
    T* operator->() const { return service_; }

   private:
    friend class Services;
    Held(T* service, std::shared_ptr<void> hold) : service_(service), hold_(std::move(hold)) {}
    T* service_;
    std::shared_ptr<void> hold_;
  };
  // Builds it and what it needs where they are not loaded. When a factory fails, what this call has built goes again.
  // Errors: of the factories; kInternal before Check, and for a factory that uses what is being built.
  template <typename T>
  Result<Held<T>> Use(const Service<T>& service) {
    WEIR_TRY(Load(service.index_));
    return Held<T>(service.get(), Hold(service.index_));
  }

  // Destroys what has been idle for its time and nothing loaded needs. When to come again; nullopt: not before
  // something has been used.
  std::optional<SteadyTime> LetGo();

  // All that are declared, in the order of declaration.
  [[nodiscard]] std::vector<ServiceReading> Readings() const;

 private:
  template <typename T>
  friend class Service;

  struct Entry {
    std::string name;
    std::vector<std::string> needs;
    std::vector<std::size_t> needed;  // the same as indices, after Check
    std::optional<Duration> idle;
    std::function<Result<std::shared_ptr<void>>()> make;
    std::function<Bytes(const void*)> bytes;
    std::shared_ptr<void> loaded;
    bool building = false;
    std::size_t held = 0;
    SteadyTime used{};
    WallTime since{};
    std::optional<Bytes> taken;  // by building it
  };

  std::size_t Add(Entry entry);
  Status Order(std::size_t index, std::vector<std::size_t>& above, std::vector<bool>& done) const;
  Status Load(std::size_t index);
  Status Build(std::size_t index);
  void Unload(std::size_t index);
  std::shared_ptr<void> Hold(std::size_t index);
  [[nodiscard]] bool IsNeeded(std::size_t index) const;
  [[nodiscard]] void* Loaded(std::size_t index) const { return entries_.at(index).loaded.get(); }

  const Clock& clock_;
  std::function<Bytes()> heap_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> built_;  // in this order; loaded ones only
  bool checked_ = false;
};

template <typename T>
T* Service<T>::get() const {
  return owner_ == nullptr ? nullptr : static_cast<T*>(owner_->Loaded(index_));
}

}  // namespace weir::app
