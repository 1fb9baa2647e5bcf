#include "vmm/pool/interpreter.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

namespace usetl {
namespace {

constexpr std::string_view kUsualSearch = "/usr/local/bin:/usr/bin:/bin";
// Of an image's PATH; Linux itself takes no longer name of a file.
constexpr size_t kMostSearch = 4096;
constexpr int kMostDirectories = 64;
constexpr std::string_view kLoader = "/lib64/ld-linux-x86-64.so.2";

// Copies a structure out of a hostile file. False: it does not hold one there.
template <typename T>
bool Read(std::span<const uint8_t> file, uint64_t offset, T* value) {
  if (offset > file.size() || file.size() - offset < sizeof *value) return false;
  std::memcpy(value, file.data() + offset, sizeof *value);
  return true;
}

// Who loads the program's libraries; empty: nobody. Nothing: it is no x86-64 program.
std::optional<std::string> LoaderOf(std::span<const uint8_t> file) {
  Elf64_Ehdr header;
  if (!Read(file, 0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return std::nullopt;
  }
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (header.e_phoff > file.size() ||
        !Read(file, header.e_phoff + i * sizeof segment, &segment)) {
      return std::nullopt;
    }
    if (segment.p_type != PT_INTERP) continue;
    constexpr uint64_t kMost = 4096;
    if (segment.p_offset > file.size() || segment.p_filesz > file.size() - segment.p_offset ||
        segment.p_filesz > kMost) {
      return std::nullopt;
    }
    const auto* text = reinterpret_cast<const char*>(file.data() + segment.p_offset);
    return std::string(text, strnlen(text, segment.p_filesz));
  }
  return "";
}

Status Check(const pack::PackLayers& layers, const std::string& program,
             const pack::PackLayers::File& file) {
  const auto refused = [&](const std::string& why) {
    return Status(EINVAL, "its " + program + " cannot run here: " + why);
  };
  const std::optional<std::string> loader = LoaderOf(file.pack->Content(*file.entry));
  if (!loader) return refused("it is no x86-64 program");
  if (loader->find("ld-musl") != loader->npos) {
    return refused(
        "it is made for musl (Alpine), only glibc is supported; build on a Debian image");
  }
  if (*loader != kLoader) return refused("it is not linked with glibc's " + std::string(kLoader));
  const Result<pack::PackLayers::File> found = layers.Resolve(*loader);
  return found.ok() ? Status() : refused("the image has no " + *loader);
}

}  // namespace

Result<Interpreter> FindInterpreter(const pack::PackLayers& layers, std::string_view search) {
  if (search.empty()) search = kUsualSearch;
  if (search.size() > kMostSearch || std::ranges::count(search, ':') >= kMostDirectories) {
    return Status(EINVAL, "its PATH is too long: more than " + std::to_string(kMostSearch) +
                              " characters or " + std::to_string(kMostDirectories) +
                              " directories");
  }
  while (!search.empty()) {
    const size_t colon = std::min(search.find(':'), search.size());
    const std::string directory(search.substr(0, colon));
    search.remove_prefix(std::min(colon + 1, search.size()));
    if (!directory.starts_with('/')) continue;  // relative to whatever directory
    for (const char* name : {"python3", "python"}) {
      const std::string program = directory + "/" + name;
      const Result<pack::PackLayers::File> file = layers.Resolve(program);
      constexpr uint16_t kAnyExecute = 0111;
      if (!file.ok() || file->entry->type != abi::PackType::kRegular ||
          (file->entry->mode & kAnyExecute) == 0) {
        continue;
      }
      if (const Status fit = Check(layers, program, *file); !fit.ok()) return fit;
      return Interpreter{program, file->path};
    }
  }
  return Status(ENOENT, "the image has no python3 on its PATH");
}

}  // namespace usetl
