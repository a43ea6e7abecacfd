// Paths of the kernel's file systems that a step may not read, or not write. The host names them.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)

// Opens a path below the step's root and names the descriptor's path. Returns -1 if this kernel does not have it.
static int open_kernel_path(int root, const char *path, char name[32]) {
  struct open_how how = {
      .flags = O_PATH | O_CLOEXEC,
      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
  };
  int file = (int)syscall(SYS_openat2, root, path + 1, &how, sizeof how);
  if (file < 0 && errno != ENOENT) setup_failed("path to hide");
  snprintf(name, 32, "/proc/self/fd/%d", file);
  return file;
}

static void mask(int root, const char *path) {
  char name[32];
  struct stat stats;
  int file = open_kernel_path(root, path, name);
  if (file < 0) return;
  if (fstat(file, &stats) < 0) setup_failed("path to hide");
  int result = S_ISDIR(stats.st_mode) ? mount("tmpfs", name, "tmpfs", MS_RDONLY | QUIET, "size=0")
                                      : mount("dev/null", name, NULL, MS_BIND, NULL);
  if (result < 0) setup_failed("path to hide");
  close(file);
}

static void protect(int root, const char *path) {
  char name[32];
  int file = open_kernel_path(root, path, name);
  if (file < 0) return;
  if (mount(name, name, NULL, MS_BIND | MS_REC, NULL) < 0) setup_failed("path to protect");
  close(file);
  // The first descriptor shows what the new mount covers.
  file = open_kernel_path(root, path, name);
  if (mount(NULL, name, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL) < 0) setup_failed("path to protect");
  close(file);
}

void hide_paths(const struct step_spec *spec, int root) {
  for (size_t i = 0; i < spec->masked_count; i++) mask(root, spec->masked[i]);
  for (size_t i = 0; i < spec->protected_count; i++) protect(root, spec->protected[i]);
}
