// The kernel's modules: drivers of the disks, of the stream to the host and of the file systems.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULES "/modules/"
#define LIST_BYTES 4096

static void load_module(const char *name) {
  char path[256], why[320];
  snprintf(path, sizeof path, MODULES "%s", name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  bool loaded = file >= 0 && (syscall(SYS_finit_module, file, "", 0) == 0 || errno == EEXIST);
  snprintf(why, sizeof why, "can't load the module %s: %s", path, strerror(errno));
  if (!loaded) die(why);
  close(file);
  // Steps never load modules, so their memory can be given back.
  unlink(path);
}

// The list has one file name per line, dependencies first.
void load_modules(void) {
  static char list[LIST_BYTES];
  if (shared_kernel) return;
  int file = open(MODULES "list", O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return;
  ssize_t bytes = file < 0 ? -1 : read(file, list, sizeof list - 1);
  if (bytes < 0 || bytes == sizeof list - 1) die("can't read the list of modules");
  close(file);
  for (char *name = strtok(list, "\n"); name; name = strtok(NULL, "\n")) load_module(name);
}
