// What the upper layer of a step's root has before the step starts. The layer is empty and not mounted yet, so links of
// the image can't lead out of it: files and directories of the layer take their place.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(int directory, const char *name, const struct text *text) {
  int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) setup_failed(name);
  for (size_t at = 0; at < text->length;) {
    ssize_t written = write(file, text->bytes + at, text->length - at);
    if (written < 0) setup_failed(name);
    at += (size_t)written;
  }
  close(file);
}

static void write_etc(const struct step_spec *spec, int upper) {
  static const char *const names[] = {"etc/hosts", "etc/hostname", "etc/resolv.conf"};
  for (size_t i = 0; i < 3; i++) {
    if (!spec->etc[i].bytes) continue;
    if (mkdirat(upper, "etc", 0755) < 0 && errno != EEXIST) setup_failed("/etc");
    write_file(upper, names[i], &spec->etc[i]);
  }
}

static void make_directory(int upper, const struct directory *directory) {
  const char *path = directory->path;
  if (mkdirat(upper, path, 0700) < 0) {
    if (errno == EEXIST) return;
    setup_failed("directory");
  }
  // A change of the owner would clear bits of the mode.
  if (fchownat(upper, path, directory->uid, directory->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
      fchmodat(upper, path, directory->mode, 0) < 0)
    setup_failed("directory");
}

void fill_upper(const struct step_spec *spec, int upper) {
  write_etc(spec, upper);
  for (size_t i = 0; i < spec->directory_count; i++) make_directory(upper, &spec->directories[i]);
}
