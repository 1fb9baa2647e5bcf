// manifest_fields.h: reading the mappings of a manifest, with errors that name the field.
#ifndef USETL_CRI_CLIENT_MANIFEST_FIELDS_H_
#define USETL_CRI_CLIENT_MANIFEST_FIELDS_H_

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace usetl::cri {

// "FIELD: what is wrong". Thrown and caught within the parser only.
struct Wrong {
  std::string message;
};

[[noreturn]] void Fail(const std::string& where, const std::string& what);

// Fields of the manifest that nobody has asked for, as "spec.NAME".
struct Leftovers {
  std::vector<std::string> idle;     // Kubernetes has them, they mean nothing without a cluster
  std::vector<std::string> unknown;  // most likely mistyped
  std::vector<std::string> missing;  // what must be there, and what is wrong: said after those
};

// What YAML takes for a number or a truth value is no text: Kubernetes refuses it.
void RequireText(const YAML::Node& value, const std::string& where);

// A mapping of the manifest. Whoever has asked for a field knows it; in the end the others are
// leftovers.
class Fields {
 public:
  // `idle`: names that mean something to a cluster only. They outlive this.
  Fields(const YAML::Node& node, std::string where, Leftovers* leftovers,
         std::span<const std::string_view> idle = {});
  ~Fields();
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  YAML::Node Get(const std::string& name);
  std::string Path(const std::string& name) const;
  bool Has(const std::string& name);
  std::string Text(const std::string& name, const std::string& otherwise = "");
  bool Flag(const std::string& name, bool otherwise = false);
  int64_t Number(const std::string& name, int64_t otherwise, int64_t most);
  std::vector<YAML::Node> List(const std::string& name);
  std::vector<std::string> Texts(const std::string& name);
  template <typename Map>
  void Into(const std::string& name, Map* map) {
    if (!Has(name)) return;
    if (!Get(name).IsMap()) Fail(Path(name), "is no mapping");
    for (const auto& item : Get(name)) {
      if (!item.first.IsScalar()) Fail(Path(name), "has a name that is no text");
      RequireText(item.second, Path(name) + "." + item.first.Scalar());
      (*map)[item.first.Scalar()] = item.second.Scalar();
    }
  }
  // One of these texts, as its place in the list; the first when the field is not there.
  int Choice(const std::string& name, std::span<const std::string_view> texts);
  // Of a field that is not there, or of no use: perhaps another one was to be it.
  void Miss(const std::string& name, const std::string& what);
  void Refuse(const std::string& name, const std::string& why);
  // For mappings whose names are anybody's.
  std::vector<std::string> Names() const;
  void Ignore(const std::string& name);
  Leftovers* leftovers() const { return leftovers_; }

 private:
  YAML::Node node_;
  std::string where_;
  Leftovers* leftovers_;
  std::span<const std::string_view> idle_;
  std::set<std::string> known_;
};

// "LIST[INDEX]".
std::string At(const std::string& list, size_t index);

}  // namespace usetl::cri

#endif  // USETL_CRI_CLIENT_MANIFEST_FIELDS_H_
