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

// Opens a directory directly below the image's root. Replaces whatever else has this name.
static int open_point(int root, const char *name) {
  struct stat stats;
  if (fstatat(root, name, &stats, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(stats.st_mode)) unlinkat(root, name, 0);
  mkdirat(root, name, 0755);
  int point = openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (point < 0) setup_failed(name);
  return point;
}

static void mount_at(int root, const char *name, const char *source, const char *type, unsigned long flags,
                     const char *data) {
  int point = open_point(root, name);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", point);
  if (mount(source, path, type, flags, data) < 0) setup_failed(name);
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
  snprintf(options, sizeof options, "mode=1777,nr_inodes=8192,size=%llu", (unsigned long long)(spec->shm_bytes ? spec->shm_bytes : 64 << 20));
  if (mkdir("dev/shm", 0755) < 0 || mount("tmpfs", "dev/shm", "tmpfs", QUIET, options) < 0) setup_failed("/dev/shm");
  if (mkdir("dev/pts", 0755) < 0 ||
      mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5") < 0)
    setup_failed("/dev/pts");
  if (mkdir("dev/mqueue", 0755) < 0 || mount("mqueue", "dev/mqueue", "mqueue", QUIET, NULL) < 0)
    setup_failed("/dev/mqueue");
  static const char *const links[][2] = {{"pts/ptmx", "dev/ptmx"},
                                         {"/proc/self/fd", "dev/fd"},
                                         {"/proc/self/fd/0", "dev/stdin"},
                                         {"/proc/self/fd/1", "dev/stdout"},
                                         {"/proc/self/fd/2", "dev/stderr"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlink(links[i][0], links[i][1]) < 0) setup_failed("devices");
}

// Directories that programs expect to be writable, for a read-only root. Their pages count as the step's memory.
static void mount_writable(const struct step_spec *spec, int root) {
  char size[32] = "", options[96];
  if (spec->memory_bytes) snprintf(size, sizeof size, ",size=%llu", (unsigned long long)spec->memory_bytes);
  snprintf(options, sizeof options, "mode=1777,nr_inodes=1m%s", size);
  mount_at(root, "tmp", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, options);
  snprintf(options, sizeof options, "mode=0755,nr_inodes=1m%s", size);
  mount_at(root, "run", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, options);
}

// Mounts the image with the upper layer above it. Returns its directory, which is the working directory then.
static int mount_overlay(const struct step_spec *spec, unsigned long flags) {
  char options[256];
  const char *upper = spec->flags & STEP_UPPER_ON_DISK ? DISK_UPPER : "/run/airlock/upper";
  snprintf(options, sizeof options, "mode=0755,size=%llu", (unsigned long long)spec->upper_bytes);
  if (!(spec->flags & STEP_UPPER_ON_DISK) && mount("tmpfs", upper, "tmpfs", MS_NODEV, options) < 0)
    setup_failed("upper layer");
  if (chdir(upper) < 0 || mkdir("upper", 0755) < 0 || mkdir("work", 0755) < 0) setup_failed("upper layer");
  int layer = open("upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (layer < 0) setup_failed("upper layer");
  fill_upper(spec, layer);
  close(layer);
  snprintf(options, sizeof options, "lowerdir=/run/airlock/images/%u,upperdir=%s/upper,workdir=%s/work", spec->image,
           upper, upper);
  if (mount("overlay", MERGED, "overlay", flags, options) < 0) setup_failed("overlay");
  int root = open(MERGED, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || fchdir(root) < 0) setup_failed("overlay");
  return root;
}

void make_root(const struct step_spec *spec, int id_swap) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) setup_failed("propagation");
  unsigned long flags = MS_NODEV | (spec->flags & STEP_NO_NEW_PRIVILEGES ? MS_NOSUID : 0);
  int root = mount_overlay(spec, flags);
  mount_at(root, "proc", "proc", "proc", QUIET, NULL);
  mount_at(root, "sys", "sysfs", "sysfs", QUIET | (spec->flags & STEP_READ_ONLY_SYS ? MS_RDONLY : 0), NULL);
  mount_at(root, "dev", "tmpfs", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=65536k,nr_inodes=8192");
  make_devices(spec);
  if (!(spec->flags & STEP_WITHOUT_WORKSPACE)) {
    int data = open_point(root, "data");
    mount_data(data, id_swap);
    close(data);
  }
  // Both trees appear below /airlock. The overlay has no upper layer, so the step can't change them.
  mount_at(root, "airlock", "overlay", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV,
           "lowerdir=/run/airlock/files/step:/run/airlock/files/job");
  if (spec->flags & STEP_READ_ONLY_ROOT) mount_writable(spec, root);
  if (spec->flags & STEP_DOCKER) show_docker(root);
  if (spec->flags & STEP_READ_ONLY_ROOT && mount(NULL, MERGED, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, NULL) < 0)
    setup_failed("read-only root");
  hide_paths(spec, root);
  // The old root is stacked on the new one and detached, so that no directory of the step needs to hold it.
  if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) setup_failed("pivot_root");
  close(root);
}
