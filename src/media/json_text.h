// JSON documents as text, with numbers as people write them: 720 and 0.0533333, where Boost.JSON's own writer says
// 7.2E2 and 5.333329999999999E-2. Everything else is as Boost.JSON writes it. Pure.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>

namespace weir::media {

// Doubles are rounded to nine digits, or to the sixth decimal where that is finer (times are exact to the
// microsecond), but never beyond the fifteen digits that a double holds. What is no number, such as 0.0/0.0, is null.
std::string JsonText(const boost::json::value& document);
std::string JsonText(const boost::json::object& document);

}  // namespace weir::media
