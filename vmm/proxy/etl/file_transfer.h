// file_transfer.h: a transaction with an object of the host's file system.
#ifndef USETL_VMM_PROXY_ETL_FILE_TRANSFER_H_
#define USETL_VMM_PROXY_ETL_FILE_TRANSFER_H_

#include <optional>
#include <string>

#include "vmm/proxy/etl/file_origin.h"
#include "vmm/proxy/etl/transaction.h"

namespace usetl::etl {

// Reads and writes in steps of a few MB, between which other transactions get their turn.
class FileTransfer final : public Transaction {
 public:
  FileTransfer(Context* context, uint64_t id, Request request)
      : Transaction(context, id, std::move(request)) {}
  ~FileTransfer() override { FileTransfer::Stop(); }

  void Start() override;
  void Resume() override { stalled_ = false; }
  bool Step() override;

 private:
  void Stop() override;
  std::string Target() const override;

  void StartReading();
  void StartWriting();
  bool StepReading();
  bool StepWriting();
  // An answer without a body.
  void Answer(int status, std::string headers = {});
  // An error of the file system, as an answer where HTTP has one.
  void AnswerError(const Status& status);

  std::optional<ObjectReader> reader_;
  std::optional<ObjectWriter> object_;
  uint64_t offset_ = 0;
  bool stalled_ = false;  // until the guest consumes or sends something
};

}  // namespace usetl::etl

#endif  // USETL_VMM_PROXY_ETL_FILE_TRANSFER_H_
