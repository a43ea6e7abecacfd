// The root file system of a step, assembled in the mount namespace of its first process. The image is hostile: its
// directories may be links, so every mount point is opened without following one.
#include "agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MERGED "/run/airlock/merged"
#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)

// Mounts at a directory directly below the image's root. Replaces whatever else has this name.
static void mount_at(int root, const char *name, const char *source, const char *type, unsigned long flags,
                     const char *data) {
  struct stat stats;
  if (fstatat(root, name, &stats, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(stats.st_mode)) unlinkat(root, name, 0);
  mkdirat(root, name, 0755);
  int point = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", point);
  if (point < 0 || mount(source, path, type, flags, data) < 0) setup_failed(name);
  close(point);
}

static void make_devices(const struct step_spec *spec) {
  static const struct {
    const char *path;
    unsigned major, minor;
  } devices[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                 {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) < 0) setup_failed("devices");
  char options[64];
  snprintf(options, sizeof options, "mode=1777,size=%llu", (unsigned long long)(spec->shm_bytes ? spec->shm_bytes : 64 << 20));
  if (mkdir("dev/shm", 0755) < 0 || mount("tmpfs", "dev/shm", "tmpfs", QUIET, options) < 0) setup_failed("/dev/shm");
  if (mkdir("dev/pts", 0755) < 0 ||
      mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") < 0)
    setup_failed("/dev/pts");
  static const char *const links[][2] = {{"pts/ptmx", "dev/ptmx"},
                                         {"/proc/self/fd", "dev/fd"},
                                         {"/proc/self/fd/0", "dev/stdin"},
                                         {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]) < 0) setup_failed("devices");
}

static void mask_paths(void) {
  static const char *const files[] = {"proc/kcore", "proc/keys", "proc/timer_list", "proc/kallsyms", "proc/kmsg"};
  static const char *const directories[] = {"proc/acpi", "proc/scsi", "sys/firmware", "sys/kernel/debug"};
  static const char *const read_only[] = {"proc/sys", "proc/sysrq-trigger", "proc/irq", "proc/bus", "proc/fs"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (access(files[i], F_OK) == 0 && mount("dev/null", files[i], NULL, MS_BIND, NULL) < 0) setup_failed(files[i]);
  for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
    if (access(directories[i], F_OK) == 0 && mount("tmpfs", directories[i], "tmpfs", MS_RDONLY | QUIET, "size=0") < 0)
      setup_failed(directories[i]);
  for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
    const char *path = read_only[i];
    if (access(path, F_OK) < 0) continue;
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
        mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | QUIET, NULL) < 0)
      setup_failed(path);
  }
}

void make_root(const struct step_spec *spec) {
  char options[256];
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) setup_failed("propagation");
  const char *upper = spec->flags & STEP_UPPER_ON_DISK ? DISK_UPPER : "/run/airlock/upper";
  snprintf(options, sizeof options, "mode=0755,size=%llu", (unsigned long long)spec->upper_bytes);
  if (!(spec->flags & STEP_UPPER_ON_DISK) && mount("tmpfs", upper, "tmpfs", MS_NODEV, options) < 0)
    setup_failed("upper layer");
  if (chdir(upper) < 0 || mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0) setup_failed("upper layer");
  snprintf(options, sizeof options, "lowerdir=/run/airlock/images/%u,upperdir=%s/upper,workdir=%s/work", spec->image,
           upper, upper);
  if (mount("overlay", MERGED, "overlay", MS_NODEV, options) < 0) setup_failed("overlay");
  int root = open(MERGED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || fchdir(root) < 0) setup_failed("overlay");
  mount_at(root, "proc", "proc", "proc", QUIET, NULL);
  mount_at(root, "sys", "sysfs", "sysfs", QUIET | MS_RDONLY, NULL);
  mount_at(root, "dev", "tmpfs", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k");
  make_devices(spec);
  mount_at(root, "data", "/run/airlock/workspace/data", NULL, MS_BIND, NULL);
  // Both trees appear below /airlock. The overlay has no upper layer, so the step can't change them.
  mount_at(root, "airlock", "overlay", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV,
           "lowerdir=/run/airlock/files/step:/run/airlock/files/job");
  if (spec->flags & STEP_READ_ONLY_ROOT) {
    mount_at(root, "tmp", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_at(root, "run", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755");
    if (mount(NULL, MERGED, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV, NULL) < 0) setup_failed("read-only root");
  }
  if (spec->flags & STEP_MASKED_PATHS) mask_paths();
  // The old root is stacked on the new one and detached, so that no directory of the step needs to hold it.
  if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) setup_failed("pivot_root");
  close(root);
}
