// The one ledger of memory: a budget, and the leases cut out of it. Pure book-keeping: it measures nothing
// and limits no process; whoever holds a lease has the kernel enforce it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace weir::memory {

class Ledger;

// The right to use so many bytes until destroyed. Move-only; may outlive neither its ledger nor its reason.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease();

  [[nodiscard]] Bytes size() const { return size_; }
  [[nodiscard]] bool valid() const { return ledger_ != nullptr; }
  // Gives back what is above `size`; asking for more is ignored (a lease never grows: take a new one).
  void ShrinkTo(Bytes size);

 private:
  friend class Ledger;
  Lease(Ledger* ledger, Bytes size) : ledger_(ledger), size_(size) {}
  void Return();
  Ledger* ledger_ = nullptr;
  Bytes size_;
};

// One thread (the event loop). Must outlive its leases.
class Ledger {
 public:
  // `budget`: everything. `own_use`: what this process itself is allowed, leased for ever. `shared`: what every
  // holder of a lease has in common with the others, as the pages of one program and its libraries are; each lease
  // has it inside its size, and it is taken once.
  Ledger(Bytes budget, Bytes own_use, Bytes shared = {});
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  Ledger(Ledger&&) = delete;
  Ledger& operator=(Ledger&&) = delete;
  ~Ledger();

  // Another budget, for all that comes: leases stay as they are, and while they are together above the new one, none
  // is granted. Waiters have to be asked again.
  void SetBudget(Bytes budget) { budget_ = budget; }

  // Errors: kOverBudget, with required_bytes, available_bytes and budget_bytes.
  Result<Lease> Acquire(Bytes size, const std::string& purpose);

  [[nodiscard]] Bytes budget() const { return budget_; }
  [[nodiscard]] Bytes own_use() const { return own_use_; }
  [[nodiscard]] Bytes shared() const { return shared_; }
  // All leases together, with what they share counted once. Above largest_possible() after a lower budget only.
  [[nodiscard]] Bytes leased() const;
  // What may be in use: the leases and what is this process's own. Above the budget after a lower one only.
  [[nodiscard]] Bytes committed() const { return own_use_ + leased(); }
  // The largest lease that can be had now.
  [[nodiscard]] Bytes available() const {
    return leased() > largest_possible() ? Bytes() : largest_possible() - exclusive_;
  }
  // The most that a single lease could ever get.
  [[nodiscard]] Bytes largest_possible() const { return budget_ - own_use_; }
  [[nodiscard]] std::size_t lease_count() const { return lease_count_; }

 private:
  friend class Lease;
  Bytes budget_;
  Bytes own_use_;
  Bytes shared_;
  Bytes exclusive_;  // of all leases, beyond what they share
  Bytes ceiling_;    // the highest largest_possible() that a lease of now was granted under
  std::size_t lease_count_ = 0;
};

}  // namespace weir::memory
