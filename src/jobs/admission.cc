#include "jobs/admission.h"

#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

namespace weir::jobs {

Status ImmediateAdmission::Ask(Need need, std::function<void(Result<Grant>)> granted) {
  for (std::size_t way = 0; way < need.ways.size(); ++way) {
    const bool last = way + 1 == need.ways.size();
    if ((need.ways[way].in_company || need.ways[way].memory > ledger_.available()) && !last) {
      continue;
    }
    WEIR_ASSIGN(auto lease, ledger_.Acquire(need.ways[way].memory, need.job));
    boost::asio::post(loop_, [granted = std::move(granted),
                              grant = std::make_shared<Grant>(Grant{.way = way, .lease = std::move(lease)})] {
      granted(std::move(*grant));
    });
    return {};
  }
  return Fail(ErrorCode::kInternal, "a step asked for memory without saying how much");
}

// What was granted is on its way; who does not want it any more lets it fall.
void ImmediateAdmission::Withdraw(const std::string& /*job*/) {}

void ImmediateAdmission::GoOn(const std::string& /*job*/, Bytes /*lease*/) {}

}  // namespace weir::jobs
