// A hostile guest as a worker's session sees it: records, output, its region, broken rings.
#include <cstring>

#include "tests/unit/session_world.h"

namespace {

using namespace usetl;        // NOLINT
using namespace usetl::test;  // NOLINT

// Cuts the input into pieces; empty at its end.
struct Input {
  const uint8_t* data;
  size_t size;
  uint8_t Byte() {
    if (size == 0) return 0;
    --size;
    return *data++;
  }
  std::string_view Piece() {
    size_t length = Byte();
    length |= size_t{Byte()} << 8;
    if (length > size) length = size;
    const std::string_view piece(reinterpret_cast<const char*>(data), length);
    data += length;
    size -= length;
    return piece;
  }
};

void Play(Input* input, SessionWorld* world) {
  while (input->size != 0) {
    const uint8_t what = input->Byte();
    switch (what % 8) {
      case 0:
        world->Put(abi::RecordType::kLoaded, 1, R"({"ok":true})");
        break;
      case 1:
        world->Put(abi::RecordType::kResult, 2, R"({"ok":true,"path":"/value"})");
        break;
      case 2:
        world->PutFile(input->Piece());
        break;
      case 3: {  // the table of the region as it likes
        const std::string_view piece = input->Piece();
        std::memcpy(world->guest_region() + input->Byte() * 8, piece.data(), piece.size());
        break;
      }
      case 4:
        world->Print(input->Byte() % 4, input->Piece());
        break;
      case 5: {
        const std::string_view bytes = input->Piece();
        world->output.PutBytes(bytes.data(), static_cast<uint32_t>(bytes.size()));
        break;
      }
      case 6: {  // an index of a ring
        abi::GuestPage& page = world->guest_page();
        abi::RingLine* lines[] = {&page.to_guest, &page.to_host, &page.output};
        const uint8_t which = input->Byte();
        lines[which % 3]->index += static_cast<int8_t>(input->Byte()) * (which > 128 ? 4096 : 1);
        lines[which % 3]->waiting = which / 3 % 2;
        break;
      }
      default:
        world->Put(static_cast<abi::RecordType>(16 + input->Byte() % 10), input->Byte() % 4,
                   input->Piece());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  SessionWorld world;
  Input input{data, size};
  Play(&input, &world);
  world.Run(R"({"timeout_ms": 2})");
  return 0;
}
