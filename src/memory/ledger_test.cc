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

TEST(LedgerTest, WhatLeasesShareIsTakenOnce) {
  Ledger ledger(Bytes(1000), Bytes(100), Bytes(40));
  auto first = ledger.Acquire(Bytes(300), "first").value();
  EXPECT_EQ(ledger.leased(), Bytes(300));
  EXPECT_EQ(ledger.available(), Bytes(640)) << "a further one has its 40 already";
  auto second = ledger.Acquire(Bytes(200), "second").value();
  EXPECT_EQ(ledger.leased(), Bytes(460));
  EXPECT_EQ(ledger.committed(), Bytes(560));
  EXPECT_EQ(ledger.available(), Bytes(480));
  EXPECT_FALSE(ledger.Acquire(Bytes(481), "third"));
  auto third = ledger.Acquire(Bytes(480), "third").value();
  EXPECT_EQ(ledger.leased(), Bytes(900));
  EXPECT_EQ(ledger.available(), Bytes(40)) << "what all have in common, and nothing beyond it";
  first.ShrinkTo(Bytes(100));
  EXPECT_EQ(ledger.leased(), Bytes(700));
  first.ShrinkTo(Bytes(10));
  EXPECT_EQ(ledger.leased(), Bytes(640)) << "below what it shares nothing comes back";
  first = Lease();
  second = Lease();
  EXPECT_EQ(ledger.leased(), Bytes(480));
  third = Lease();
  EXPECT_EQ(ledger.leased(), Bytes());
  EXPECT_EQ(ledger.available(), Bytes(900));
}

TEST(LedgerTest, LeasesBelowWhatTheyShareAreNeverMoreThanCanBeHad) {
  Ledger ledger(Bytes(100), Bytes(80), Bytes(40));
  const auto first = ledger.Acquire(Bytes(15), "first");
  const auto second = ledger.Acquire(Bytes(15), "second");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(ledger.leased(), Bytes(20));
  EXPECT_EQ(ledger.committed(), ledger.budget());
}

TEST(LedgerTest, MoreBudgetIsThereAtOnce) {
  Ledger ledger(Bytes(1000), Bytes(100));
  const auto first = ledger.Acquire(Bytes(900), "first");
  ASSERT_FALSE(ledger.Acquire(Bytes(1), "second"));
  ledger.SetBudget(Bytes(1500));
  EXPECT_EQ(ledger.budget(), Bytes(1500));
  EXPECT_EQ(ledger.largest_possible(), Bytes(1400));
  EXPECT_TRUE(ledger.Acquire(Bytes(500), "second"));
}

TEST(LedgerTest, ALowerBudgetLeavesLeasesAndGrantsNothingUntilTheyFit) {
  Ledger ledger(Bytes(1000), Bytes(100), Bytes(40));
  auto first = ledger.Acquire(Bytes(500), "first").value();
  auto second = ledger.Acquire(Bytes(400), "second").value();
  ledger.SetBudget(Bytes(400));
  EXPECT_EQ(first.size(), Bytes(500));
  EXPECT_EQ(ledger.leased(), Bytes(860));
  EXPECT_EQ(ledger.committed(), Bytes(960));
  EXPECT_EQ(ledger.available(), Bytes());
  EXPECT_EQ(ledger.largest_possible(), Bytes(300));
  const auto refused = ledger.Acquire(Bytes(1), "third");
  ASSERT_FALSE(refused);
  EXPECT_EQ(Member(refused.error(), "available_bytes"), 0U);
  EXPECT_EQ(Member(refused.error(), "budget_bytes"), 400U);
  EXPECT_FALSE(ledger.Acquire(Bytes(), "nothing"));
  first = Lease();
  EXPECT_EQ(ledger.committed(), Bytes(500));
  EXPECT_FALSE(ledger.Acquire(Bytes(1), "third"));
  second.ShrinkTo(Bytes(310));
  EXPECT_FALSE(ledger.Acquire(Bytes(20), "third")) << "those that there are do not fit yet";
  second.ShrinkTo(Bytes(240));
  EXPECT_EQ(ledger.available(), Bytes(100));
  EXPECT_EQ(ledger.committed(), Bytes(340));
  EXPECT_TRUE(ledger.Acquire(Bytes(100), "third"));
  second = Lease();
  EXPECT_FALSE(ledger.Acquire(Bytes(301), "fourth"));
  EXPECT_TRUE(ledger.Acquire(Bytes(300), "fourth"));
}

TEST(LedgerTest, ABudgetBelowOwnUseGrantsNothing) {
  Ledger ledger(Bytes(1000), Bytes(100));
  const auto lease = ledger.Acquire(Bytes(10), "first");
  ledger.SetBudget(Bytes(50));
  EXPECT_EQ(ledger.available(), Bytes());
  EXPECT_EQ(ledger.largest_possible(), Bytes());
  EXPECT_EQ(ledger.leased(), Bytes(10));
  EXPECT_FALSE(ledger.Acquire(Bytes(1), "second"));
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

// Against a model that knows what is shared, while the budget moves.
TEST_P(LedgerPropertyTest, NothingIsGrantedAboveTheBudgetOfTheMoment) {
  std::mt19937_64 random(GetParam());
  const auto below = [&](std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
  };
  const Bytes shared(below(100));
  const Bytes own_use(below(500));
  Bytes budget(1000 + below(9000));
  Ledger ledger(budget, own_use, shared);
  std::vector<Lease> leases;
  for (int step = 0; step < 2000; ++step) {
    const std::uint64_t action = below(12);
    if (action < 6) {
      const Bytes size = shared + Bytes(below(3000));
      auto lease = ledger.Acquire(size, "model");
      if (lease) {
        leases.push_back(*std::move(lease));
        ASSERT_LE(ledger.committed(), budget);
      }
    } else if (action < 7) {
      budget = Bytes(700 + below(9000));
      ledger.SetBudget(budget);
    } else if (!leases.empty()) {
      const auto which = static_cast<std::ptrdiff_t>(below(leases.size()));
      if (action < 9) {
        leases[static_cast<std::size_t>(which)].ShrinkTo(shared + Bytes(below(3000)));
      } else {
        leases.erase(leases.begin() + which);
      }
    }
    Bytes sum;
    for (const Lease& lease : leases) {
      sum += lease.size() - shared;
    }
    const Bytes model = leases.empty() ? Bytes() : sum + shared;
    ASSERT_EQ(ledger.leased(), model);
    ASSERT_EQ(ledger.available(), own_use + model > budget && !leases.empty() ? Bytes() : budget - own_use - sum);
    ASSERT_TRUE(own_use + model <= budget || !ledger.Acquire(shared + Bytes(1), "model"));
  }
  leases.clear();
  EXPECT_EQ(ledger.leased(), Bytes());
  EXPECT_EQ(ledger.available(), ledger.largest_possible());
}

INSTANTIATE_TEST_SUITE_P(Seeds, LedgerPropertyTest, ::testing::Range(1U, 41U));

}  // namespace
}  // namespace weir::memory
