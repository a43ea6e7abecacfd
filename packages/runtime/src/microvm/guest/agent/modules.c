// The kernel's modules: drivers of the disks, of the stream to the host and of the file systems.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST_BYTES 4096

// Returns 0 or an errno.
static int load_module(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  int error = syscall(SYS_finit_module, file, "", 0) == 0 || errno == EEXIST ? 0 : errno;
  close(file);
  return error;
}

bool load_listed_modules(const char *directory, bool remove, char *why, size_t bytes) {
  static char list[LIST_BYTES];
  char path[256];
  snprintf(path, sizeof path, "%s/list", directory);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return true;
  ssize_t length = file < 0 ? -1 : read(file, list, sizeof list - 1);
  if (file >= 0) close(file);
  if (length < 0 || length == sizeof list - 1) return snprintf(why, bytes, "can't read the list of modules %s", path), false;
  list[length] = 0;
  for (char *name = strtok(list, "\n"); name; name = strtok(NULL, "\n")) {
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int error = load_module(path);
    if (error) return snprintf(why, bytes, "can't load the module %s: %s", path, strerror(error)), false;
    if (remove) unlink(path);
  }
  return true;
}

// A guest whose kernel needs no modules has no list.
void load_modules(void) {
  char why[320];
  if (shared_kernel) return;
  // Steps never load modules, so their memory can be given back.
  if (!load_listed_modules("/modules", true, why, sizeof why)) die(why);
}
