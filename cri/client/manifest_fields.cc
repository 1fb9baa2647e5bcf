#include "cri/client/manifest_fields.h"

#include <algorithm>

namespace usetl::cri {

void Fail(const std::string& where, const std::string& what) { throw Wrong{where + ": " + what}; }

std::string At(const std::string& list, size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

void RequireText(const YAML::Node& value, const std::string& where) {
  if (!value.IsScalar()) Fail(where, "is no text");
  if (value.Tag() != "?") return;  // in quotes, or a block of lines
  bool flag = false;
  double number = 0;
  int64_t integer = 0;  // 0x1F
  const bool is_number = YAML::convert<double>::decode(value, number) ||
                         YAML::convert<int64_t>::decode(value, integer);
  if (!is_number && !YAML::convert<bool>::decode(value, flag)) return;
  Fail(where, std::string(is_number ? "is a number" : "is a truth value") +
                  ", no text; put it into quotes: \"" + value.Scalar() + "\"");
}

Fields::Fields(const YAML::Node& node, std::string where, Leftovers* leftovers,
               std::span<const std::string_view> idle)
    : node_(node.IsDefined() ? node : YAML::Node()),
      where_(std::move(where)),
      leftovers_(leftovers),
      idle_(idle) {
  if (!node_.IsNull() && !node_.IsMap()) Fail(where_, "is no mapping");
}

Fields::~Fields() {
  for (const std::string& name : Names()) {
    if (known_.contains(name)) continue;
    const bool idle = std::ranges::find(idle_, name) != idle_.end();
    (idle ? leftovers_->idle : leftovers_->unknown).push_back(Path(name));
  }
}

std::vector<std::string> Fields::Names() const {
  std::vector<std::string> names;
  if (!node_.IsMap()) return names;
  for (const auto& field : node_) {
    if (field.first.IsScalar()) names.push_back(field.first.Scalar());
  }
  return names;
}

YAML::Node Fields::Get(const std::string& name) {
  known_.insert(name);
  return node_.IsMap() ? node_[name] : YAML::Node(YAML::NodeType::Undefined);
}

std::string Fields::Path(const std::string& name) const {
  return where_.empty() ? name : where_ + "." + name;
}

bool Fields::Has(const std::string& name) {
  const YAML::Node field = Get(name);
  return field.IsDefined() && !field.IsNull();
}

std::string Fields::Text(const std::string& name, const std::string& otherwise) {
  if (!Has(name)) return otherwise;
  if (!Get(name).IsScalar()) Fail(Path(name), "is no text");
  return Get(name).Scalar();
}

bool Fields::Flag(const std::string& name, bool otherwise) {
  const std::string text = Text(name, otherwise ? "true" : "false");
  if (text != "true" && text != "false") Fail(Path(name), "is neither true nor false");
  return text == "true";
}

int64_t Fields::Number(const std::string& name, int64_t otherwise, int64_t most) {
  if (!Has(name)) return otherwise;
  int64_t value = 0;
  if (!YAML::convert<int64_t>::decode(Get(name), value) || value < 0 || value > most) {
    Fail(Path(name), "is no number from 0 to " + std::to_string(most));
  }
  return value;
}

std::vector<YAML::Node> Fields::List(const std::string& name) {
  if (!Has(name)) return {};
  const YAML::Node list = Get(name);
  if (!list.IsSequence()) Fail(Path(name), "is no list");
  return {list.begin(), list.end()};
}

std::vector<std::string> Fields::Texts(const std::string& name) {
  std::vector<std::string> texts;
  for (const YAML::Node& item : List(name)) {
    RequireText(item, At(Path(name), texts.size()));
    texts.push_back(item.Scalar());
  }
  return texts;
}

int Fields::Choice(const std::string& name, std::span<const std::string_view> texts) {
  const std::string text = Text(name, std::string(texts[0]));
  const auto found = std::ranges::find(texts, text);
  if (found != texts.end()) return static_cast<int>(found - texts.begin());
  std::string all;
  for (const std::string_view known : texts) {
    if (!known.empty()) all.append(all.empty() ? "" : ", ").append(known);
  }
  Fail(Path(name), "is none of " + all);
}

void Fields::Miss(const std::string& name, const std::string& what) {
  leftovers_->missing.push_back(Path(name) + ": " + what);
}

void Fields::Refuse(const std::string& name, const std::string& why) {
  if (Has(name)) Fail(Path(name), why);
}

void Fields::Ignore(const std::string& name) {
  known_.insert(name);
  leftovers_->idle.push_back(Path(name));
}

}  // namespace usetl::cri
