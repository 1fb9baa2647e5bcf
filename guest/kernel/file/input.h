// input.h: standard input that the host sends: records of kInput, read as from a pipe.
#ifndef USETL_GUEST_KERNEL_FILE_INPUT_H_
#define USETL_GUEST_KERNEL_FILE_INPUT_H_

#include <cstdint>

#include "guest/kernel/file/file.h"

namespace usetl::kernel {

struct Record;

// Null: out of memory.
File* CreateInput();
// A record of kInput; kept until it is read. Others are dropped.
void DeliverInput(Record* record);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_FILE_INPUT_H_
