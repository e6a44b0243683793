#include "memory/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace weir::memory {
namespace {

std::uint64_t Member(const Error& error, const std::string& key) {
  const auto found = std::ranges::find(error.members, key, &ErrorMember::key);
  return found == error.members.end() || !found->is_number ? ~std::uint64_t{0} : found->number;
}

TEST(LedgerTest, LeasesComeOutOfTheBudgetAndGoBack) {
  Ledger ledger(Bytes::Mib(256), Bytes::Mib(16));
  EXPECT_EQ(ledger.largest_possible(), Bytes::Mib(240));
  {
    auto lease = ledger.Acquire(Bytes::Mib(100), "encoding");
    ASSERT_TRUE(lease);
    EXPECT_TRUE(lease->valid());
    EXPECT_EQ(lease->size(), Bytes::Mib(100));
    EXPECT_EQ(ledger.leased(), Bytes::Mib(100));
    EXPECT_EQ(ledger.available(), Bytes::Mib(140));
    EXPECT_EQ(ledger.lease_count(), 1U);
  }
  EXPECT_EQ(ledger.leased(), Bytes());
  EXPECT_EQ(ledger.available(), Bytes::Mib(240));
  EXPECT_EQ(ledger.lease_count(), 0U);
}

TEST(LedgerTest, ExactlyTheRestFitsAndOneByteMoreIsRefusedWithTheNumbers) {
  Ledger ledger(Bytes(1000), Bytes(100));
  auto lease = ledger.Acquire(Bytes(400), "first");
  ASSERT_TRUE(lease);
  const auto refused = ledger.Acquire(Bytes(501), "second");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOverBudget);
  EXPECT_EQ(Member(refused.error(), "required_bytes"), 501U);
  EXPECT_EQ(Member(refused.error(), "available_bytes"), 500U);
  EXPECT_EQ(Member(refused.error(), "budget_bytes"), 1000U);
  EXPECT_THAT(refused.error().detail, ::testing::HasSubstr("second"));
  EXPECT_EQ(ledger.leased(), Bytes(400));
  EXPECT_TRUE(ledger.Acquire(Bytes(500), "third"));
}

TEST(LedgerTest, OwnUseAboveTheBudgetLeavesNothing) {
  Ledger ledger(Bytes::Mib(8), Bytes::Mib(16));
  EXPECT_EQ(ledger.available(), Bytes());
  EXPECT_FALSE(ledger.Acquire(Bytes(1), "anything"));
}

TEST(LedgerTest, HugeRequestDoesNotWrapAround) {
  Ledger ledger(Bytes(1000), Bytes());
  auto lease = ledger.Acquire(Bytes(10), "small");
  ASSERT_TRUE(lease);
  EXPECT_FALSE(ledger.Acquire(Bytes(~std::uint64_t{0}), "huge"));
  EXPECT_FALSE(ledger.Acquire(Bytes(~std::uint64_t{0} - 5), "huge"));
}

TEST(LedgerTest, ShrinkGivesBackAndNeverGrows) {
  Ledger ledger(Bytes(1000), Bytes());
  auto lease = ledger.Acquire(Bytes(600), "work");
  ASSERT_TRUE(lease);
  lease->ShrinkTo(Bytes(200));
  EXPECT_EQ(lease->size(), Bytes(200));
  EXPECT_EQ(ledger.leased(), Bytes(200));
  lease->ShrinkTo(Bytes(900));
  EXPECT_EQ(lease->size(), Bytes(200));
  EXPECT_EQ(ledger.leased(), Bytes(200));
}

TEST(LedgerTest, AMovedFromLeaseReturnsNothing) {
  Ledger ledger(Bytes(1000), Bytes());
  Lease first = ledger.Acquire(Bytes(300), "first").value();
  Lease second = ledger.Acquire(Bytes(200), "second").value();
  Lease moved = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT: use after move is what is tested
  EXPECT_EQ(ledger.leased(), Bytes(500));
  moved = std::move(second);
  EXPECT_EQ(ledger.leased(), Bytes(200));
  EXPECT_EQ(ledger.lease_count(), 1U);
  moved = Lease();
  EXPECT_EQ(ledger.leased(), Bytes());
  EXPECT_EQ(ledger.lease_count(), 0U);
}

class LedgerPropertyTest : public ::testing::TestWithParam<unsigned> {};

// Against a model that only adds up sizes.
TEST_P(LedgerPropertyTest, NeverAboveTheBudgetAndAllComesBack) {
  std::mt19937_64 random(GetParam());
  const auto below = [&](std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
  };
  const Bytes budget(1 + below(10000));
  const Bytes own_use(below(12000));
  Ledger ledger(budget, own_use);
  std::vector<Lease> leases;
  for (int step = 0; step < 2000; ++step) {
    const std::uint64_t action = below(10);
    if (action < 5) {
      const Bytes size(below(budget.count() + 2));
      const Bytes available = ledger.available();
      auto lease = ledger.Acquire(size, "model");
      ASSERT_EQ(lease.has_value(), size <= available);
      if (lease) {
        leases.push_back(*std::move(lease));
      }
    } else if (!leases.empty()) {
      const auto which = static_cast<std::ptrdiff_t>(below(leases.size()));
      if (action < 7) {
        leases[static_cast<std::size_t>(which)].ShrinkTo(Bytes(below(budget.count() + 1)));
      } else if (action < 8) {
        leases.front() = std::move(leases[static_cast<std::size_t>(which)]);
        if (which != 0) {
          leases.erase(leases.begin() + which);
        }
      } else {
        leases.erase(leases.begin() + which);
      }
    }
    Bytes sum;
    for (const Lease& lease : leases) {
      sum += lease.size();
    }
    ASSERT_EQ(ledger.leased(), sum);
    ASSERT_EQ(ledger.lease_count(), leases.size());
    ASSERT_LE(ledger.leased() + std::min(own_use, budget), budget);
  }
  leases.clear();
  EXPECT_EQ(ledger.leased(), Bytes());
  EXPECT_EQ(ledger.lease_count(), 0U);
  EXPECT_EQ(ledger.available(), ledger.largest_possible());
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerPropertyTest, ::testing::Range(1U, 41U));

}  // namespace
}  // namespace weir::memory
