// Access to trees that steps have written. No link is ever followed.
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int open_place(enum place place) {
  static const char *const roots[] = {"/run/airlock/workspace/data", "/run/airlock/files/job",
                                      "/run/airlock/files/step"};
  return open(roots[place], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int open_beneath(int root, const char *path, int flags) {
  struct open_how how = {
      .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  };
  return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

int open_parent(int root, const char *path, bool create, mode_t mode, const char **name) {
  int directory = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (const char *at = path; directory >= 0;) {
    const char *slash = strchr(at, '/');
    *name = at;
    if (!slash) return directory;
    char component[256];
    size_t length = (size_t)(slash - at);
    memcpy(component, at, length);
    component[length] = 0;
    // Set the mode only of directories that this call creates, whatever the umask is.
    bool made = create && mkdirat(directory, component, mode) == 0;
    int next = openat(directory, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next >= 0 && made) fchmod(next, mode);
    int error = errno;
    close(directory);
    errno = error;
    directory = next;
    at = slash + 1;
  }
  return -1;
}

// Removes everything below a directory that only the agent has written. Deeper than 64 levels is an error.
static int clear_level(int directory, int depth) {
  DIR *listing = depth > 64 ? NULL : fdopendir(directory);
  if (!listing) {
    close(directory);
    return -1;
  }
  int result = 0;
  for (struct dirent *entry; (entry = readdir(listing));) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (unlinkat(directory, entry->d_name, 0) == 0) continue;
    int child = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0 || clear_level(child, depth + 1) < 0 || unlinkat(directory, entry->d_name, AT_REMOVEDIR) < 0)
      result = -1;
  }
  closedir(listing);
  return result;
}

int clear_directory(int directory) { return clear_level(directory, 0); }
