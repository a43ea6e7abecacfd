// A whole tree for the workspace, as one stream of entries: a kind, a mode of two bytes, the time of the last change in
// milliseconds in eight, and a path with its length in two. A file goes on with its size in eight bytes and its content,
// a link with its target and the target's length in two. Parents come first. It is sent before the first step.
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRY_FIXED (1 + 2 + 8 + 2)
#define MAX_NAME 4095

static struct {
  bool active;
  uint32_t channel, credit;
  uint8_t head[ENTRY_FIXED + MAX_NAME + 8 + MAX_NAME];
  size_t head_length;
  int file;
  uint64_t left;
  int64_t modified_ms;
} tree;

static void end(void) {
  if (tree.active && tree.file >= 0) close(tree.file);
  memset(&tree, 0, sizeof tree);
}

static void fail(int error, const char *text) {
  uint32_t channel = tree.channel;
  end();
  send_errno(channel, error, text);
}

void put_tree(uint32_t channel, struct cursor *cursor) {
  if (!at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (tree.active) return send_error(channel, ERROR_BUSY, 0, "another tree is under way");
  memset(&tree, 0, sizeof tree);
  tree.active = true;
  tree.channel = channel;
  tree.credit = INITIAL_CREDIT;
  tree.file = -1;
}

static void set_time(int directory, const char *name, int64_t modified_ms) {
  int64_t seconds = modified_ms / 1000, rest = modified_ms % 1000;
  if (rest < 0) seconds--, rest += 1000;
  struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = rest * 1000000}};
  if (name) utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
  else futimens(directory, times);
}

static bool close_file(void) {
  set_time(tree.file, NULL, tree.modified_ms);
  int error = close(tree.file) < 0 ? errno : 0;
  tree.file = -1;
  if (error) fail(error, "can't write a file of the checkout");
  return !error;
}

// The size of the entry's head, as far as its bytes tell.
static size_t head_size(void) {
  const uint8_t *head = tree.head;
  if (tree.head_length < ENTRY_FIXED) return ENTRY_FIXED;
  size_t path = ENTRY_FIXED + ((size_t)head[11] << 8 | head[12]);
  if (head[0] == 'd') return path;
  if (head[0] == 'f') return path + 8;
  if (tree.head_length < path + 2) return path + 2;
  return path + 2 + ((size_t)head[path] << 8 | head[path + 1]);
}

// Makes the entry whose head is whole. Returns whether the transfer goes on.
static bool make_entry(void) {
  struct cursor cursor = {tree.head, tree.head_length, true};
  uint8_t kind = (uint8_t)take_number(&cursor, 1);
  mode_t mode = (mode_t)take_number(&cursor, 2);
  tree.modified_ms = (int64_t)take_number(&cursor, 8);
  char path[4096], target[4096];
  const char *name;
  tree.head_length = 0;
  if (!take_path(&cursor, path, false) || mode > 0777) return fail(EINVAL, "a malformed entry of the checkout"), false;
  int root = open_place(PLACE_WORKSPACE);
  int parent = root < 0 ? -1 : open_parent(root, path, true, 0755, &name);
  int error = errno;
  if (root >= 0) close(root);
  if (parent < 0) return fail(error, "a directory of the checkout can't be created"), false;
  error = 0;
  if (kind == 'd') {
    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST) error = errno;
  } else if (kind == 'l') {
    size_t length = take_number(&cursor, 2);
    const uint8_t *bytes = take_bytes(&cursor, length);
    if (!bytes || length > MAX_NAME) error = EINVAL;
    if (!error) memcpy(target, bytes, length), target[length] = 0;
    if (!error && symlinkat(target, parent, name) < 0) error = errno;
    if (!error) set_time(parent, name, tree.modified_ms);
  } else {
    tree.left = take_number(&cursor, 8);
    tree.file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (tree.file < 0 || fchmod(tree.file, mode) < 0) error = errno;
  }
  close(parent);
  if (error) return fail(error, "an entry of the checkout can't be created"), false;
  return tree.file < 0 || tree.left > 0 || close_file();
}

static bool write_content(const uint8_t *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t written = write(tree.file, bytes + done, length - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno, "can't write a file of the checkout"), false;
    done += (size_t)written;
  }
  tree.left -= length;
  return tree.left > 0 || close_file();
}

bool tree_data(uint32_t channel, const uint8_t *bytes, size_t length) {
  if (!tree.active || channel != tree.channel) return false;
  if (length + FRAME_COST > tree.credit) die("the executor sent more than its credit");
  size_t granted = length + FRAME_COST;
  while (length > 0) {
    size_t wanted = tree.file >= 0 ? (tree.left < length ? (size_t)tree.left : length) : head_size() - tree.head_length;
    size_t size = wanted < length ? wanted : length;
    if (tree.file >= 0) {
      if (!write_content(bytes, size)) return true;
    } else {
      if (tree.head_length + size > sizeof tree.head) return fail(EINVAL, "a malformed entry of the checkout"), true;
      memcpy(tree.head + tree.head_length, bytes, size);
      tree.head_length += size;
      if (!memchr("dfl", tree.head[0], 3)) return fail(EINVAL, "a malformed entry of the checkout"), true;
      if (tree.head_length == head_size() && !make_entry()) return true;
    }
    bytes += size;
    length -= size;
  }
  send_credit(channel, 0, (uint32_t)granted);
  return true;
}

bool tree_end(uint32_t channel) {
  if (!tree.active || channel != tree.channel) return false;
  if (tree.file >= 0 || tree.head_length > 0) return fail(EINVAL, "the checkout is cut off"), true;
  end();
  send_result(channel, NULL, 0);
  return true;
}

bool tree_cancel(uint32_t channel) {
  if (!tree.active || channel != tree.channel) return false;
  end();
  send_error(channel, ERROR_CANCELED, 0, "canceled");
  return true;
}
