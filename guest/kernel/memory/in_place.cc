#include "guest/kernel/memory/in_place.h"

#include "guest/kernel/memory/allocator.h"

namespace usetl::kernel {
namespace {

struct Mapping {
  Mapping* next;
  uint64_t begin, end;
  File* file;  // a reference, pinned
};

Mapping* g_mappings = nullptr;

void Drop(Mapping** link) {
  Mapping* mapping = *link;
  *link = mapping->next;
  mapping->file->Unpin();
  mapping->file->Unref();
  Delete(mapping);
}

// Takes a part out of it. REQUIRES: something is left.
int64_t Cut(Mapping* mapping, uint64_t begin, uint64_t end) {
  if (mapping->begin < begin && end < mapping->end) {
    if (!AddInPlace(end, mapping->end, mapping->file)) return -ENOMEM;
    mapping->end = begin;
  } else if (mapping->begin < begin) {
    mapping->end = begin;
  } else {
    mapping->begin = end;
  }
  return 0;
}

}  // namespace

bool AddInPlace(uint64_t begin, uint64_t end, File* file) {
  Mapping* mapping = New<Mapping>(Mapping{g_mappings, begin, end, file});
  if (mapping == nullptr) return false;
  file->Ref();
  file->Pin();
  g_mappings = mapping;
  return true;
}

int64_t RemoveInPlace(uint64_t begin, uint64_t end) {
  // The same place may be mapped more than once: whole mappings go one at a time.
  for (Mapping** link = &g_mappings; *link != nullptr; link = &(*link)->next) {
    if ((*link)->begin != begin || (*link)->end != end) continue;
    Drop(link);
    return 0;
  }
  // And a part is one of them's.
  for (Mapping* mapping = g_mappings; mapping != nullptr; mapping = mapping->next) {
    if (mapping->begin <= begin && end <= mapping->end) return Cut(mapping, begin, end);
  }
  for (Mapping** link = &g_mappings; *link != nullptr;) {
    Mapping* mapping = *link;
    if (begin <= mapping->begin && mapping->end <= end) {
      Drop(link);
      continue;
    }
    link = &mapping->next;
    if (mapping->end <= begin || end <= mapping->begin) continue;
    if (const int64_t error = Cut(mapping, begin, end); error != 0) return error;
  }
  return 0;
}

void ResetInPlace(bool release) {
  while (release && g_mappings != nullptr) Drop(&g_mappings);
  g_mappings = nullptr;
}

}  // namespace usetl::kernel
