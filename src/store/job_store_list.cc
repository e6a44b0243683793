#include "store/job_store_list.h"

#include <span>
#include <utility>

namespace weir::store {
namespace {

// A column of jobs that must have a value. The index begins with it and the number, and has the columns of the terms
// behind this one.
struct Term {
  std::string_view column;
  std::string_view index;
  std::string_view value;
};

std::vector<Term> TermsOf(const JobFilter& filter) {
  std::vector<Term> terms;
  if (!filter.owner.empty()) {
    terms.push_back({.column = "owner", .index = "jobs_by_owner", .value = filter.owner});
  }
  if (filter.state) {
    terms.push_back({.column = "state", .index = "jobs_by_state", .value = NameOf(*filter.state)});
  }
  if (!filter.recipe.empty()) {
    terms.push_back({.column = "recipe", .index = "jobs_by_recipe", .value = filter.recipe});
  }
  return terms;
}

struct Condition {
  std::string sql = "1";
  std::vector<std::string_view> values;

  void AddTerms(std::string_view table, std::span<const Term> terms) {
    for (const Term& term : terms) {
      sql.append(" AND ").append(table).append(".").append(term.column).append(" = ?");
      values.push_back(term.value);
    }
  }
  void AddLabel(std::string_view table, const JobFilter& filter) {
    sql.append(" AND ").append(table).append(".key = ?");
    values.emplace_back(filter.label_key);
    if (!filter.label_value.empty()) {
      sql.append(" AND ").append(table).append(".value = ?");
      values.emplace_back(filter.label_value);
    }
  }
};

}  // namespace

// The first given of batch, label, owner, state and recipe decides on the index that is walked: each is in the order
// of numbers. The others are seen in the same entry, or looked up in an index of theirs; never in the rows, of which
// few share a page.
ListWalk WalkOf(const JobFilter& filter) {
  const std::vector<Term> terms = TermsOf(filter);
  const bool by_label = !filter.label_key.empty();
  std::string source = "jobs AS e";
  Condition walk;
  Condition match;
  if (!filter.batch.empty()) {
    source += " INDEXED BY jobs_by_batch";
    walk.sql += " AND e.batch = (SELECT number FROM batches WHERE id = ?)";
    walk.values.emplace_back(filter.batch);
    match.AddTerms("e", terms);
    if (by_label) {
      match.sql += " AND EXISTS (SELECT 1 FROM labels AS l WHERE l.number = e.number";
      match.AddLabel("l", filter);
      match.sql += ")";
    }
  } else if (by_label) {
    source = "labels AS e";
    walk.AddLabel("e", filter);
    if (!terms.empty()) {
      match.sql.append(" AND EXISTS (SELECT 1 FROM jobs AS j INDEXED BY ").append(terms.front().index);
      match.sql += " WHERE j.number = e.number";
      match.AddTerms("j", terms);
      match.sql += ")";
    }
  } else if (!terms.empty()) {
    source.append(" INDEXED BY ").append(terms.front().index);
    walk.AddTerms("e", std::span(terms).first(1));
    match.AddTerms("e", std::span(terms).subspan(1));
  }
  ListWalk list;
  list.sql = "SELECT e.number, " + match.sql + " FROM " + source + " WHERE " + walk.sql;
  list.sql += " AND e.number < ? ORDER BY e.number DESC";
  list.values = std::move(match.values);
  list.values.insert(list.values.end(), walk.values.begin(), walk.values.end());
  return list;
}

}  // namespace weir::store
