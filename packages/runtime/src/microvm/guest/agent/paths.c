// Calls on single paths of the workspace that are answered at once.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void read_link(uint32_t channel, struct cursor *cursor) {
  char path[4096], target[4096];
  if (!take_path(cursor, path, false) || !at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed path");
  int root = open_place(PLACE_WORKSPACE);
  if (root < 0) return send_errno(channel, errno, "the workspace is not mounted");
  const char *name;
  int parent = open_parent(root, path, false, 0, &name);
  ssize_t length = parent < 0 ? -1 : readlinkat(parent, name, target, sizeof target);
  int error = errno;
  if (parent >= 0) close(parent);
  close(root);
  if (length < 0) return error == EINVAL ? send_error(channel, ERROR_NOT_A_FILE, 0, "not a symbolic link")
                                         : send_errno(channel, error, "can't read the link");
  send_result(channel, target, (size_t)length);
}

void remove_file(uint32_t channel, struct cursor *cursor) {
  char path[4096];
  if (!take_path(cursor, path, false) || !at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed path");
  int root = open_place(PLACE_WORKSPACE);
  if (root < 0) return send_errno(channel, errno, "the workspace is not mounted");
  const char *name;
  int parent = open_parent(root, path, false, 0, &name);
  int result = parent < 0 ? -1 : unlinkat(parent, name, 0);
  int error = errno;
  if (parent >= 0) close(parent);
  close(root);
  // What does not exist, or lies behind a link, needs no removal.
  if (result == 0 || error == ENOENT || error == ENOTDIR || error == ELOOP) return send_result(channel, NULL, 0);
  send_errno(channel, error, "can't remove the file");
}

void clear_step_files(uint32_t channel) {
  int directory = open_place(PLACE_STEP_FILES);
  if (directory < 0 || clear_directory(directory) < 0) return send_errno(channel, errno, "can't remove the step's files");
  send_result(channel, NULL, 0);
}
