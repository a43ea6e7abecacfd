// Frames over the stream to the host. All memory is static, so a host or step can't make the agent grow.
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int stream_fd = -1;
static uint8_t in[FRAME_BYTES];
static size_t in_length;
static uint8_t out[OUT_BYTES];
static size_t out_start, out_length;

uint64_t take_number(struct cursor *cursor, size_t bytes) {
  const uint8_t *at = take_bytes(cursor, bytes);
  uint64_t value = 0;
  for (size_t i = 0; at && i < bytes; i++) value = value << 8 | at[i];
  return value;
}

const uint8_t *take_bytes(struct cursor *cursor, size_t bytes) {
  if (bytes > cursor->left) cursor->ok = false;
  if (!cursor->ok) return NULL;
  const uint8_t *at = cursor->at;
  cursor->at += bytes;
  cursor->left -= bytes;
  return at;
}

bool take_path(struct cursor *cursor, char path[4096], bool may_be_empty) {
  size_t length = take_number(cursor, 2);
  const uint8_t *bytes = take_bytes(cursor, length);
  if (!bytes || length > 4095 || memchr(bytes, 0, length)) return false;
  memcpy(path, bytes, length);
  path[length] = 0;
  return length == 0 ? may_be_empty : is_relative(path);
}

bool is_relative(const char *path) {
  for (const char *name = path;; name++) {
    const char *end = strchrnul(name, '/');
    size_t size = (size_t)(end - name);
    if (size == 0 || size > 255 || (size == 1 && name[0] == '.') || (size == 2 && !memcmp(name, "..", 2))) return false;
    if (!*end) return true;
    name = end;
  }
}

bool at_end(const struct cursor *cursor) { return cursor->ok && cursor->left == 0; }

void put_number(uint8_t *at, uint64_t value, size_t bytes) {
  for (size_t i = bytes; i-- > 0; value >>= 8) at[i] = (uint8_t)value;
}

size_t out_space(void) { return OUT_BYTES - out_length; }

bool out_pending(void) { return out_length > 0; }

void send_frame(uint8_t type, uint32_t channel, const void *payload, size_t bytes) {
  if (bytes > PAYLOAD_BYTES || HEADER_BYTES + bytes > out_space()) die("a frame does not fit into the output");
  if (out_start + out_length + HEADER_BYTES + bytes > OUT_BYTES) {
    memmove(out, out + out_start, out_length);
    out_start = 0;
  }
  uint8_t *at = out + out_start + out_length;
  put_number(at, bytes, 2);
  at[2] = type;
  at[3] = 0;
  put_number(at + 4, channel, 4);
  if (bytes) memcpy(at + HEADER_BYTES, payload, bytes);
  out_length += HEADER_BYTES + bytes;
}

void send_result(uint32_t channel, const void *payload, size_t bytes) {
  send_frame(FRAME_RESULT, channel, payload, bytes);
}

void send_error(uint32_t channel, uint8_t code, int error, const char *text) {
  uint8_t payload[5 + 256];
  size_t length = strlen(text);
  if (length > 256) length = 256;
  payload[0] = code;
  put_number(payload + 1, (uint32_t)error, 4);
  memcpy(payload + 5, text, length);
  send_frame(FRAME_ERROR, channel, payload, 5 + length);
}

void send_errno(uint32_t channel, int error, const char *text) {
  uint8_t code = ERROR_SYSTEM;
  if (error == ENOENT || error == ENOTDIR || error == ELOOP || error == EXDEV) code = ERROR_NOT_FOUND;
  if (error == EISDIR || error == EEXIST || error == ENXIO) code = ERROR_NOT_A_FILE;
  if (error == ENOSPC || error == EDQUOT) code = ERROR_NO_SPACE;
  if (error == EACCES || error == EPERM) code = ERROR_DENIED;
  send_error(channel, code, error, text);
}

void send_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  uint8_t payload[5] = {stream};
  put_number(payload + 1, bytes, 4);
  send_frame(FRAME_CREDIT, channel, payload, sizeof payload);
}

bool flush_out(void) {
  while (out_length > 0) {
    // One write never exceeds a frame: vhost-device-vsock 0.3.0 stalls a connection at 60 KiB.
    ssize_t written = write(stream_fd, out + out_start, out_length < FRAME_BYTES ? out_length : FRAME_BYTES);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return true;
    if (written < 0) return false;
    out_start += (size_t)written;
    out_length -= (size_t)written;
  }
  out_start = 0;
  return true;
}

void forget_frames(void) { in_length = out_start = out_length = 0; }

// The size of the first frame in the input, or 0 if it is not whole yet.
static size_t whole_frame(size_t start) {
  if (in_length - start < HEADER_BYTES) return 0;
  size_t bytes = (size_t)in[start] << 8 | in[start + 1];
  if (bytes > PAYLOAD_BYTES) die("a frame is too long");
  if (in[start + 3] != 0) die("a reserved byte is not zero");
  return in_length - start < HEADER_BYTES + bytes ? 0 : HEADER_BYTES + bytes;
}

bool frame_waiting(void) { return out_space() >= OUT_RESERVE && whole_frame(0) > 0; }

void process_frames(void) {
  size_t start = 0, size;
  while (out_space() >= OUT_RESERVE && (size = whole_frame(start)) > 0) {
    struct cursor cursor = {in + start + 4, 4, true};
    uint32_t channel = (uint32_t)take_number(&cursor, 4);
    handle_frame(in[start + 2], channel, in + start + HEADER_BYTES, size - HEADER_BYTES);
    start += size;
  }
  // Frames may carry secrets, so their bytes are overwritten.
  memmove(in, in + start, in_length - start);
  explicit_bzero(in + in_length - start, start);
  in_length -= start;
}

bool receive_bytes(void) {
  // The buffer holds the longest frame. So it is full only while a whole frame waits for space in the output.
  if (in_length == sizeof in) return true;
  ssize_t got = read(stream_fd, in + in_length, sizeof in - in_length);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got < 0) return false;
  in_length += (size_t)got;
  return got > 0;
}
