#include "store/media_roots.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace weir::store {
namespace {

// The kernel's own limits, a path's with its final NUL.
constexpr std::size_t kLongestPath = 4095;
constexpr std::size_t kLongestName = 255;

// One sentence for every reason, so that nothing outside can be told from it.
Error Forbidden(const std::string& path) {
  return {
      .code = ErrorCode::kForbidden,
      .detail = "the path " + Quoted(path) + " is not below a media folder of this server; name a file below one"};
}

template <typename T>
Result<T> InOneSentence(Result<T> result, const std::string& path) {
  if (!result && result.error().code == ErrorCode::kForbidden) return Fail(Forbidden(path));
  return result;
}

std::vector<std::string_view> Components(std::string_view path) {
  std::vector<std::string_view> components;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view component = path.substr(0, slash);
    if (!component.empty() && component != ".") components.push_back(component);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return components;
}

bool CanBeBelow(std::string_view path) {
  if (path.empty() || path.size() > kLongestPath || path.find('\0') != std::string_view::npos) return false;
  return std::ranges::all_of(Components(path), [](std::string_view component) {
    return component != ".." && component.size() <= kLongestName;
  });
}

// "/srv//media/./x" -> "/srv/media/x/", so that a prefix is a folder above.
std::string Plain(std::string_view path) {
  std::string plain = "/";
  for (const std::string_view component : Components(path)) plain += std::string(component) + "/";
  return plain;
}

}  // namespace

Result<MediaRoots> MediaRoots::Open(const std::vector<std::string>& folders) {
  MediaRoots roots;
  for (const std::string& path : folders) {
    Root root;
    WEIR_ASSIGN(root.folder, os::OpenFolder(path, os::Access::kRead));
    if (const Status status = os::CheckBeneath(root.folder.get()); !status) {
      return Fail(Error{.code = status.error().code, .detail = "cannot use the media folder " + Quoted(path)}.From(
          status.error()));
    }
    // What ".." means depends on links, so such a name is known by its place on disk only.
    if (path.front() == '/' && CanBeBelow(path)) root.names.push_back(Plain(path));
    if (const std::string real = os::PathOf(root.folder.get()); !real.empty()) {
      if (std::string plain = Plain(real); std::ranges::find(root.names, plain) == root.names.end()) {
        root.names.push_back(std::move(plain));
      }
    }
    roots.roots_.push_back(std::move(root));
  }
  return roots;
}

Result<std::vector<os::Place>> MediaRoots::PlacesOf(const std::string& path) const {
  std::vector<os::Place> places;
  if (!CanBeBelow(path)) return Fail(Forbidden(path));
  // A slash at the end says that a folder is meant, and the kernel holds the path to it.
  const bool as_folder = path.ends_with('/') || path.ends_with("/.");
  const std::string plain = Plain(path);
  for (const Root& root : roots_) {
    const auto add = [&](std::string_view below) {
      std::string name(below);
      if (!as_folder && !name.empty()) name.pop_back();
      places.push_back({.path = name.empty() ? "." : name, .shown = path, .root = root.folder.get()});
    };
    if (path.front() != '/') {
      add(std::string_view(plain).substr(1));
      continue;
    }
    const auto above = std::ranges::find_if(root.names, [&](const auto& name) { return plain.starts_with(name); });
    if (above != root.names.end()) add(std::string_view(plain).substr(above->size()));
  }
  if (places.empty()) return Fail(Forbidden(path));
  return places;
}

Result<Source> MediaRoots::OpenInput(const std::string& path) const {
  WEIR_ASSIGN(const auto places, PlacesOf(path));
  for (std::size_t i = 0; i + 1 < places.size(); ++i) {
    auto source = OpenSource(places[i]);
    if (source || source.error().code != ErrorCode::kInputMissing) return InOneSentence(std::move(source), path);
  }
  return InOneSentence(OpenSource(places.back()), path);
}

Result<Target> MediaRoots::OpenOutput(const std::string& path, bool overwrite, const Source& source) const {
  WEIR_ASSIGN(const auto places, PlacesOf(path));
  // When no root has the folder, the first one says so.
  const auto* chosen = &places.front();
  for (const os::Place& place : places) {
    const auto folder = os::LookUp({.path = os::SplitPath(place.path).first, .shown = path, .root = place.root});
    if (folder && !(*folder && (*folder)->is_folder)) continue;
    chosen = &place;
    break;
  }
  return InOneSentence(OpenTarget(*chosen, overwrite, source), path);
}

std::string MediaRoots::Describe() const {
  std::string text;
  for (const Root& root : roots_) {
    text += (text.empty() ? "" : ", ") + Printable(os::PathOf(root.folder.get()));
  }
  return text.empty() ? "none" : text;
}

}  // namespace weir::store
