// The guest as a whole: random numbers, clock, disks, statistics, power.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

bool shared_kernel = false;
const char *disk_prefix = "/dev/vd";
static bool images[MAX_DISKS], workspace;

int write_text(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  ssize_t written = write(file, text, strlen(text));
  int error = written < 0 ? errno : 0;
  close(file);
  return error;
}

static void mount_or_die(const char *type, const char *target, unsigned long flags, const char *data) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, data) < 0 && errno != EBUSY) die("can't mount the agent's own file systems");
}

// pivot_root refuses to leave the kernel's first root, where an initramfs is unpacked. So cover it with a tmpfs.
static void leave_initial_root(void) {
  mkdir("/base", 0755);
  if (mount("tmpfs", "/base", "tmpfs", 0, "mode=0755,size=1m") < 0 || chdir("/base") < 0 ||
      mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
    die("can't leave the initial root");
  mkdir("/run", 0755);
}

void prepare_guest(void) {
  umask(0);
  if (!shared_kernel) {
    leave_initial_root();
    mount_or_die("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_die("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_or_die("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755");
    mount_or_die("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    // Root of a step has no capability in the guest's network namespace, but programs expect to bind low ports and to ping.
    write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    write_text("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    // A hostile step must not make the kernel start programs of its choice.
    write_text("/proc/sys/kernel/core_pattern", "");
  }
  mount_or_die("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755,size=64m");
  static const char *const directories[] = {"/run/airlock", "/run/airlock/images", "/run/airlock/workspace",
                                            "/run/airlock/files", "/run/airlock/upper", "/run/airlock/merged"};
  for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
    if (mkdir(directories[i], 0700) < 0) die("can't create the agent's directories");
  // A file system of its own, so that a full one does not stop the agent. noexec does not apply to scripts.
  mount_or_die("tmpfs", "/run/airlock/files", MS_NOSUID | MS_NODEV, "mode=0755,size=32m");
  mkdir("/run/airlock/files/job", 0755);
  mkdir("/run/airlock/files/step", 0755);
}

static bool refuse_call(uint32_t channel) {
  send_error(channel, ERROR_INVALID, 0, "malformed call");
  return false;
}

bool seed(uint32_t channel, struct cursor *cursor) {
  struct {
    struct rand_pool_info info;
    uint8_t bytes[32];
  } entropy = {.info = {.entropy_count = 256, .buf_size = 32}};
  const uint8_t *bytes = take_bytes(cursor, 32);
  if (!bytes || !at_end(cursor)) return refuse_call(channel);
  memcpy((uint8_t *)&entropy + sizeof entropy.info, bytes, 32);
  int random = shared_kernel ? -1 : open("/dev/urandom", O_WRONLY | O_CLOEXEC);
  // A guest that can't be seeded must not run: its random numbers may be those of another guest.
  if (!shared_kernel && (random < 0 || ioctl(random, RNDADDENTROPY, &entropy) < 0 || ioctl(random, RNDRESEEDCRNG, 0) < 0))
    die("can't seed the random number generator");
  if (random >= 0) close(random);
  explicit_bzero(&entropy, sizeof entropy);
  send_result(channel, NULL, 0);
  return true;
}

bool set_clock(uint32_t channel, struct cursor *cursor) {
  struct timespec now = {.tv_sec = (time_t)take_number(cursor, 8), .tv_nsec = (long)take_number(cursor, 4)};
  if (!at_end(cursor) || now.tv_sec < 0 || now.tv_nsec >= 1000000000) return refuse_call(channel);
  if (!shared_kernel && clock_settime(CLOCK_REALTIME, &now) < 0) die("can't set the clock");
  send_result(channel, NULL, 0);
  return true;
}

static int mount_disk(unsigned index, const char *target, const char *type, bool read_only) {
  char device[256];
  struct stat stats;
  snprintf(device, sizeof device, "%s%c", disk_prefix, 'a' + (int)index);
  if (stat(device, &stats) < 0) return errno;
  unsigned long flags = MS_NODEV | (read_only ? MS_RDONLY : MS_NOATIME);
  // Tests give directories in place of disks.
  if (!S_ISDIR(stats.st_mode)) return mount(device, target, type, flags, NULL) < 0 ? errno : 0;
  if (mount(device, target, NULL, MS_BIND, NULL) < 0) return errno;
  return mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0 ? errno : 0;
}

void mount_image(uint32_t channel, struct cursor *cursor) {
  unsigned index = (unsigned)take_number(cursor, 1);
  uint8_t type = (uint8_t)take_number(cursor, 1);
  static const char *const types[] = {"erofs", "squashfs", "ext4"};
  if (!at_end(cursor) || index >= MAX_DISKS || type > 2) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (images[index]) return send_error(channel, ERROR_INVALID, 0, "the image is mounted already");
  char target[64];
  snprintf(target, sizeof target, "/run/airlock/images/%u", index);
  mkdir(target, 0755);
  int error = mount_disk(index, target, types[type], true);
  if (error) return send_errno(channel, error, "can't mount the image disk");
  images[index] = true;
  send_result(channel, NULL, 0);
}

void mount_workspace(uint32_t channel, struct cursor *cursor) {
  uint8_t index = (uint8_t)take_number(cursor, 1);
  uint64_t bytes = take_number(cursor, 8);
  if (!at_end(cursor) || (index >= MAX_DISKS && index != 255))
    return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (workspace) return send_error(channel, ERROR_INVALID, 0, "the workspace is mounted already");
  int error = 0;
  char options[64];
  snprintf(options, sizeof options, "mode=0755,size=%llu", (unsigned long long)bytes);
  if (index != 255) error = mount_disk(index, "/run/airlock/workspace", "ext4", false);
  else if (mount("tmpfs", "/run/airlock/workspace", "tmpfs", MS_NODEV, options) < 0) error = errno;
  if (error) return send_errno(channel, error, "can't mount the workspace");
  struct statvfs space;
  uint64_t size = statvfs("/run/airlock/workspace", &space) < 0 ? 0 : (uint64_t)space.f_blocks * space.f_frsize;
  // ext4 keeps up to a tenth for itself. A much smaller disk is another disk than the one that the host meant.
  bool fits = size >= bytes - bytes / 10;
  if (!fits) umount2("/run/airlock/workspace", MNT_DETACH);
  if (!fits) return send_error(channel, ERROR_INVALID, 0, "the workspace disk is smaller than announced");
  if (mkdir("/run/airlock/workspace/data", 0777) < 0 && errno != EEXIST)
    return send_errno(channel, errno, "can't create the workspace");
  workspace = true;
  send_result(channel, NULL, 0);
}

bool image_is_mounted(unsigned index) { return index < MAX_DISKS && images[index]; }

bool workspace_is_mounted(void) { return workspace; }

bool other_call(uint8_t method, uint32_t channel, struct cursor *cursor) {
  (void)method, (void)channel, (void)cursor;
  return false;
}

void send_stats(uint32_t channel) {
  uint8_t payload[40] = {0};
  struct sysinfo info;
  struct statvfs disk;
  if (sysinfo(&info) == 0) {
    put_number(payload, (uint64_t)info.totalram * info.mem_unit, 8);
    put_number(payload + 8, (uint64_t)info.freeram * info.mem_unit, 8);
    put_number(payload + 16, info.procs, 8);
  }
  if (workspace && statvfs("/run/airlock/workspace", &disk) == 0) {
    put_number(payload + 24, (uint64_t)disk.f_blocks * disk.f_frsize, 8);
    put_number(payload + 32, (uint64_t)disk.f_bavail * disk.f_frsize, 8);
  }
  send_result(channel, payload, sizeof payload);
}

void power_off(void) {
  flush_out();
  // The end of process 1 of a PID namespace kills all others.
  if (shared_kernel) _exit(0);
  kill(-1, SIGKILL);
  umount2("/run/airlock/workspace", MNT_DETACH);
  sync();
  // Firecracker ends a guest that restarts; it has no power button.
  reboot(RB_AUTOBOOT);
  _exit(0);
}

void die(const char *why) {
  dprintf(STDERR_FILENO, "airlock-agent: %s\n", why);
  if (shared_kernel) _exit(2);
  kill(-1, SIGKILL);
  sync();
  reboot(RB_AUTOBOOT);
  _exit(2);
}
