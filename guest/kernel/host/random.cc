#include "guest/kernel/host/random.h"

#include "guest/kernel/host/control.h"
#include "guest/kernel/memory/bytes.h"

namespace usetl::kernel {
namespace {

uint64_t g_generation = 0;
uint32_t g_state[16];  // RFC 8439, 2.3: constants, key, counter, nonce
constexpr uint32_t kConstants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

uint32_t Rotate(uint32_t v, int n) { return v << n | v >> (32 - n); }

void Quarter(uint32_t* x, int a, int b, int c, int d) {
  x[a] += x[b], x[d] = Rotate(x[d] ^ x[a], 16);
  x[c] += x[d], x[b] = Rotate(x[b] ^ x[c], 12);
  x[a] += x[b], x[d] = Rotate(x[d] ^ x[a], 8);
  x[c] += x[d], x[b] = Rotate(x[b] ^ x[c], 7);
}

void Block(uint32_t out[16]) {
  memcpy(out, g_state, sizeof g_state);
  for (int round = 0; round < 10; ++round) {
    Quarter(out, 0, 4, 8, 12), Quarter(out, 1, 5, 9, 13);
    Quarter(out, 2, 6, 10, 14), Quarter(out, 3, 7, 11, 15);
    Quarter(out, 0, 5, 10, 15), Quarter(out, 1, 6, 11, 12);
    Quarter(out, 2, 7, 8, 13), Quarter(out, 3, 4, 9, 14);
  }
  for (int i = 0; i < 16; ++i) out[i] += g_state[i];
  if (++g_state[12] == 0) ++g_state[13];
}

void Rekey() {
  uint8_t entropy[64];
  for (int i = 0; i < 64; ++i) entropy[i] = host_page().entropy[i];
  memcpy(g_state, kConstants, sizeof kConstants);
  memcpy(g_state + 4, entropy, 32);
  g_state[12] = g_state[13] = 0;
  memcpy(g_state + 14, entropy + 32, 8);
  g_generation = host_page().generation;
}

}  // namespace

void ForgetEntropy() { g_generation = 0; }  // no generation has that number

void FillRandom(void* bytes, uint64_t size) {
  if (g_generation != host_page().generation) Rekey();
  auto* to = static_cast<uint8_t*>(bytes);
  uint32_t block[16];
  while (size > 0) {
    Block(block);
    const uint64_t chunk = size < sizeof block ? size : sizeof block;
    memcpy(to, block, chunk);
    to += chunk;
    size -= chunk;
  }
  // Fast key erasure: what was handed out cannot be computed back from the state.
  Block(block);
  memcpy(g_state + 4, block, 32);
}

}  // namespace usetl::kernel
