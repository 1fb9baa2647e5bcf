// http.h: HTTP transactions with the host's proxy: /dev/usetl/http.
//
// Each open is one transaction. The first write is abi::HttpRequest with method, URL, header block
// and perhaps an inline body; later writes are pieces of a streamed body and an empty one ends it.
// Each read gives one record, header included. Closing cancels what still runs.
#ifndef USETL_GUEST_KERNEL_HOST_HTTP_H_
#define USETL_GUEST_KERNEL_HOST_HTTP_H_

#include "guest/kernel/file/file.h"
#include "guest/kernel/host/mailbox.h"

namespace usetl::kernel {

File* CreateTransaction();  // null: out of memory

// Takes over a record of the ring that belongs to a transaction.
// Of another process.
void ForgetTransactions();
void DeliverHttpRecord(Record* record);

}  // namespace usetl::kernel

#endif  // USETL_GUEST_KERNEL_HOST_HTTP_H_
