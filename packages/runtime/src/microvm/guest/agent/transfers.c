// Transfers of files and listings. One at a time: the host makes these calls one after the other.
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
  enum { IDLE, PUTTING, READING, LISTING } kind;
  uint32_t channel, credit;
  int file;
  DIR *listing;
  uint64_t left;
  int64_t modified_ms;
  // A record of the listing that did not fit into the last frame.
  uint8_t record[32 + 255];
  size_t record_bytes;
} transfer;

static void end(void) {
  if (transfer.listing) closedir(transfer.listing);
  if (transfer.file >= 0 && transfer.kind != IDLE) close(transfer.file);
  memset(&transfer, 0, sizeof transfer);
  transfer.file = -1;
}

static void begin(int kind, uint32_t channel) {
  memset(&transfer, 0, sizeof transfer);
  transfer.kind = kind;
  transfer.channel = channel;
  transfer.credit = INITIAL_CREDIT;
  transfer.file = -1;
}

static bool refuse_busy(uint32_t channel) {
  if (transfer.kind == IDLE) return false;
  send_error(channel, ERROR_BUSY, 0, "another transfer is under way");
  return true;
}

static void fail(int error, const char *text) {
  uint32_t channel = transfer.channel;
  end();
  send_errno(channel, error, text);
}

void put_file(uint32_t channel, struct cursor *cursor) {
  if (refuse_busy(channel)) return;
  char path[4096];
  uint8_t place = (uint8_t)take_number(cursor, 1);
  mode_t mode = (mode_t)take_number(cursor, 2);
  int64_t modified_ms = (int64_t)take_number(cursor, 8);
  if (!take_path(cursor, path, false) || !at_end(cursor) || place > PLACE_STEP_FILES || mode > 0777)
    return send_error(channel, ERROR_INVALID, 0, "malformed call");
  int root = open_place(place);
  if (root < 0) return send_errno(channel, errno, "the workspace is not mounted");
  const char *name;
  int parent = open_parent(root, path, true, place == PLACE_WORKSPACE ? 0777 : 0755, &name);
  close(root);
  if (parent < 0) return send_error(channel, ERROR_NOT_A_FILE, errno, "a directory can't be created");
  // O_NONBLOCK: a pipe in the file's place must fail instead of blocking the agent.
  int file = openat(parent, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
  int error = errno;
  close(parent);
  if (file < 0) return send_errno(channel, error == ELOOP ? EEXIST : error, "can't create the file");
  struct stat stats;
  begin(PUTTING, channel);
  transfer.file = file;
  transfer.modified_ms = modified_ms;
  if (fstat(file, &stats) < 0 || !S_ISREG(stats.st_mode)) return fail(EEXIST, "something else is in the file's place");
  if (ftruncate(file, 0) < 0 || fchmod(file, mode) < 0) return fail(errno, "can't prepare the file");
}

bool transfer_data(uint32_t channel, const uint8_t *bytes, size_t length) {
  if (transfer.kind == IDLE || channel != transfer.channel) return false;
  if (transfer.kind != PUTTING) die("the host sent data to a call that takes none");
  if (length + FRAME_COST > transfer.credit) die("the host sent more than its credit");
  for (size_t done = 0; done < length;) {
    ssize_t written = write(transfer.file, bytes + done, length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      fail(errno, "can't write the file");
      return true;
    }
    done += (size_t)written;
  }
  // Written data needs no memory, so the credit is renewed at once.
  send_credit(channel, 0, (uint32_t)length + FRAME_COST);
  return true;
}

bool transfer_end(uint32_t channel) {
  if (transfer.kind == IDLE || channel != transfer.channel) return false;
  if (transfer.kind != PUTTING) die("the host ended a stream that it does not send");
  if (transfer.modified_ms != INT64_MIN) {
    int64_t seconds = transfer.modified_ms / 1000, rest = transfer.modified_ms % 1000;
    if (rest < 0) seconds--, rest += 1000;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = rest * 1000000}};
    if (futimens(transfer.file, times) < 0) return fail(errno, "can't set the time of the file"), true;
  }
  int file = transfer.file;
  transfer.file = -1;
  if (close(file) < 0) return fail(errno, "can't write the file"), true;
  end();
  send_result(channel, NULL, 0);
  return true;
}

bool transfer_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  if (transfer.kind == IDLE || channel != transfer.channel) return false;
  if (stream != 0 || bytes > MAX_CREDIT - transfer.credit) die("the host granted too much credit");
  transfer.credit += bytes;
  return true;
}

void transfer_cancel(uint32_t channel) {
  if (transfer.kind == IDLE || channel != transfer.channel) return;
  end();
  send_error(channel, ERROR_CANCELED, 0, "canceled");
}

void read_file(uint32_t channel, struct cursor *cursor) {
  if (refuse_busy(channel)) return;
  char path[4096];
  uint64_t maximum = take_number(cursor, 8), inode = take_number(cursor, 8);
  uint64_t offset = take_number(cursor, 8), length = take_number(cursor, 8);
  if (!take_path(cursor, path, false) || !at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  int root = open_place(PLACE_WORKSPACE);
  if (root < 0) return send_errno(channel, errno, "the workspace is not mounted");
  int file = open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  int error = errno;
  close(root);
  if (file < 0) return send_errno(channel, error, "can't open the file");
  begin(READING, channel);
  transfer.file = file;
  struct stat stats;
  if (fstat(file, &stats) < 0) return fail(errno, "can't open the file");
  // Another inode: the file was replaced after the host saw it in a listing.
  if (!S_ISREG(stats.st_mode) || (inode != 0 && inode != stats.st_ino)) return fail(EISDIR, "not the regular file");
  if ((uint64_t)stats.st_size > maximum) {
    end();
    return send_error(channel, ERROR_TOO_LARGE, 0, "the file is larger than the host accepts");
  }
  uint64_t size = (uint64_t)stats.st_size, rest = offset < size ? size - offset : 0;
  transfer.left = length < rest ? length : rest;
  if (rest > 0 && lseek(file, (off_t)offset, SEEK_SET) < 0) fail(errno, "can't read the file");
}

void list_directory(uint32_t channel, struct cursor *cursor) {
  if (refuse_busy(channel)) return;
  char path[4096];
  if (!take_path(cursor, path, true) || !at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  int root = open_place(PLACE_WORKSPACE);
  if (root < 0) return send_errno(channel, errno, "the workspace is not mounted");
  int directory = open_beneath(root, path, O_RDONLY | O_DIRECTORY);
  int error = errno;
  close(root);
  if (directory < 0) return send_errno(channel, error, "can't open the directory");
  begin(LISTING, channel);
  transfer.listing = fdopendir(directory);
  if (transfer.listing) return;
  transfer.file = directory;
  fail(errno, "can't list the directory");
}

bool transfer_can_send(void) {
  return (transfer.kind == READING || transfer.kind == LISTING) && transfer.credit > sizeof transfer.record + FRAME_COST &&
         out_space() >= OUT_RESERVE + FRAME_BYTES;
}

static size_t most_bytes(void) {
  uint32_t bytes = transfer.credit - FRAME_COST;
  return bytes < PAYLOAD_BYTES - 1 ? bytes : PAYLOAD_BYTES - 1;
}

static void send_data(uint8_t *payload, size_t bytes) {
  payload[0] = 0;
  transfer.credit -= (uint32_t)bytes + FRAME_COST;
  send_frame(FRAME_DATA, transfer.channel, payload, bytes + 1);
}

static void finish(void) {
  uint32_t channel = transfer.channel;
  end();
  send_result(channel, NULL, 0);
}

static void send_content(uint8_t *payload) {
  size_t wanted = transfer.left < most_bytes() ? (size_t)transfer.left : most_bytes();
  ssize_t got = wanted == 0 ? 0 : read(transfer.file, payload + 1, wanted);
  if (got < 0) return fail(errno, "can't read the file");
  if (got == 0) return finish();
  transfer.left -= (uint64_t)got;
  send_data(payload, (size_t)got);
}

static void make_record(const struct dirent *entry) {
  struct stat stats;
  // An entry that has gone meanwhile is left out.
  if (fstatat(dirfd(transfer.listing), entry->d_name, &stats, AT_SYMLINK_NOFOLLOW) < 0) return;
  uint8_t *at = transfer.record;
  size_t length = strlen(entry->d_name);
  at[0] = S_ISREG(stats.st_mode) ? 0 : S_ISDIR(stats.st_mode) ? 1 : S_ISLNK(stats.st_mode) ? 2 : 3;
  put_number(at + 1, stats.st_mode & 07777, 2);
  put_number(at + 3, (uint64_t)stats.st_size, 8);
  put_number(at + 11, (uint64_t)(stats.st_mtim.tv_sec * 1000 + stats.st_mtim.tv_nsec / 1000000), 8);
  put_number(at + 19, stats.st_ino, 8);
  put_number(at + 27, length, 1);
  memcpy(at + 28, entry->d_name, length);
  transfer.record_bytes = 28 + length;
}

static void send_entries(uint8_t *payload) {
  size_t bytes = 0;
  for (;;) {
    if (transfer.record_bytes > 0) {
      if (bytes + transfer.record_bytes > most_bytes()) break;
      memcpy(payload + 1 + bytes, transfer.record, transfer.record_bytes);
      bytes += transfer.record_bytes;
      transfer.record_bytes = 0;
    }
    errno = 0;
    struct dirent *entry = readdir(transfer.listing);
    if (!entry) {
      if (errno) return fail(errno, "can't list the directory");
      if (bytes > 0) send_data(payload, bytes);
      return finish();
    }
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) make_record(entry);
  }
  send_data(payload, bytes);
}

void transfer_send(void) {
  uint8_t payload[PAYLOAD_BYTES];
  if (transfer.kind == READING) send_content(payload);
  else send_entries(payload);
}
