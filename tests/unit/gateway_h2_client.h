// gateway_h2_client.h: libnghttp2's client on a connection of a GatewayWorld.
#ifndef USETL_TESTS_UNIT_GATEWAY_H2_CLIENT_H_
#define USETL_TESTS_UNIT_GATEWAY_H2_CLIENT_H_

#include <nghttp2/nghttp2.h>

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/unit/gateway_world.h"

namespace usetl::test {

class H2Client {
 public:
  struct Answer {
    std::string status, body;
    gateway::Headers headers;
    bool ended = false;
    uint32_t error = 0;
  };

  explicit H2Client(GatewayWorld* world, bool upgraded = false)
      : world_(world), socket_(world->Connect()) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, [](nghttp2_session*,
                                                                   const nghttp2_frame* frame,
                                                                   const uint8_t* name,
                                                                   size_t name_size,
                                                                   const uint8_t* value,
                                                                   size_t value_size, uint8_t,
                                                                   void* self) {
      const std::string key(name, name + name_size), text(value, value + value_size);
      Answer& answer = static_cast<H2Client*>(self)->answers[frame->hd.stream_id];
      key == ":status" ? void(answer.status += text) : void(answer.headers.push_back({key, text}));
      return 0;
    });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                      void* self) {
          static_cast<H2Client*>(self)->answers[stream].body.append(data, data + size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, int32_t stream, uint32_t error, void* self) {
          Answer& answer = static_cast<H2Client*>(self)->answers[stream];
          answer.ended = true;
          answer.error = error;
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
          if (frame->hd.type == NGHTTP2_GOAWAY) {
            static_cast<H2Client*>(self)->goaway = frame->goaway.error_code;
          }
          return 0;
        });
    nghttp2_session_client_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    if (!upgraded) nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~H2Client() { nghttp2_session_del(session); }

  int32_t Request(const std::string& method, const std::string& path, const std::string& body = "",
                  gateway::Headers more = {}) {
    gateway::Headers fields = {
        {":method", method}, {":scheme", "http"}, {":path", path}, {":authority", "h"}};
    fields.insert(fields.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> nv;
    for (auto& [name, value] : fields) {
      nv.push_back({reinterpret_cast<uint8_t*>(name.data()),
                    reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), 0});
    }
    bodies_.push_back(std::make_unique<std::string>(body));
    nghttp2_data_provider provider{
        {.ptr = bodies_.back().get()},
        [](nghttp2_session*, int32_t, uint8_t* to, size_t size, uint32_t* flags,
           nghttp2_data_source* source, void*) -> ssize_t {
          auto* left = static_cast<std::string*>(source->ptr);
          if (left->empty()) return NGHTTP2_ERR_DEFERRED;
          const size_t taken = std::min(size, left->size());
          std::memcpy(to, left->data(), taken);
          left->erase(0, taken);
          if (left->empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
          return static_cast<ssize_t>(taken);
        }};
    return nghttp2_submit_request(session, nullptr, nv.data(), nv.size(),
                                  body.empty() ? nullptr : &provider, nullptr);
  }

  // The body of the latest request never comes.
  void Hold() { bodies_.back()->clear(); }

  // Until neither side has anything to say.
  void Run() {
    for (bool moved = true; moved;) {
      moved = false;
      const uint8_t* bytes = nullptr;
      for (ssize_t size; (size = nghttp2_session_mem_send(session, &bytes)) > 0;) {
        pending_.append(bytes, bytes + size);
      }
      const size_t sent = socket_.Send(pending_);
      pending_.erase(0, sent);
      world_->Turn();
      const std::string got = socket_.Receive();
      if (!got.empty()) {
        nghttp2_session_mem_recv(session, reinterpret_cast<const uint8_t*>(got.data()), got.size());
      }
      moved = sent != 0 || !got.empty();
    }
  }
  void SendRaw(std::string_view bytes) { pending_.append(bytes); }
  GatewayClient& socket() { return socket_; }

  nghttp2_session* session = nullptr;
  std::map<int32_t, Answer> answers;
  int64_t goaway = -1;

 private:
  GatewayWorld* world_;
  GatewayClient socket_;
  std::vector<std::unique_ptr<std::string>> bodies_;
  std::string pending_;
};

}  // namespace usetl::test

#endif  // USETL_TESTS_UNIT_GATEWAY_H2_CLIENT_H_
