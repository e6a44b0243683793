#include "memory/ledger.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace weir::memory {

Lease::Lease(Lease&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)), size_(std::exchange(other.size_, Bytes())) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    Return();
    ledger_ = std::exchange(other.ledger_, nullptr);
    size_ = std::exchange(other.size_, Bytes());
  }
  return *this;
}

Lease::~Lease() { Return(); }

void Lease::ShrinkTo(Bytes size) {
  if (ledger_ == nullptr || size >= size_) {
    return;
  }
  ledger_->exclusive_ -= (size_ - ledger_->shared_) - (size - ledger_->shared_);
  size_ = size;
}

void Lease::Return() {
  if (Ledger* const ledger = std::exchange(ledger_, nullptr); ledger != nullptr) {
    ledger->exclusive_ -= size_ - ledger->shared_;
    --ledger->lease_count_;
    size_ = Bytes();
  }
}

Ledger::Ledger(Bytes budget, Bytes own_use, Bytes shared) : budget_(budget), own_use_(own_use), shared_(shared) {}

Ledger::~Ledger() { assert(lease_count_ == 0 && "a lease outlives its ledger"); }

Bytes Ledger::leased() const {
  // Leases smaller than what they share do not make it more than can be had.
  return lease_count_ == 0 ? Bytes() : std::min(exclusive_ + shared_, ceiling_);
}

Result<Lease> Ledger::Acquire(Bytes size, const std::string& purpose) {
  if (size > available() || leased() > largest_possible()) {
    std::string detail = purpose + " needs " + ToString(size) + " of memory, but " + ToString(available()) +
                         " of the budget of " + ToString(budget_) +
                         (lease_count_ == 0 ? " can be leased" : " are not leased already");
    return Fail(Error{.code = ErrorCode::kOverBudget, .detail = std::move(detail)}
                    .With("required_bytes", size.count())
                    .With("available_bytes", available().count())
                    .With("budget_bytes", budget_.count()));
  }
  exclusive_ += size - shared_;
  ceiling_ = lease_count_ == 0 ? largest_possible() : std::max(ceiling_, largest_possible());
  ++lease_count_;
  return Lease(this, size);
}

}  // namespace weir::memory
