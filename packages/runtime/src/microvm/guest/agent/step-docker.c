// What a step finds of the guest's Docker daemon: its socket and its client below /airlock, and a link at the place where
// many programs expect the socket.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Mounts over an entry of /airlock. The host and the agent have written that tree, so it has no links.
static void mount_over(int root, const char *path, const char *source, unsigned long flags) {
  char target[32];
  int point = openat(root, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (point < 0) setup_failed(path);
  snprintf(target, sizeof target, "/proc/self/fd/%d", point);
  if (mount(source, target, NULL, MS_BIND, NULL) < 0) setup_failed(path);
  close(point);
  if (!flags) return;
  // The first descriptor shows what the new mount covers.
  point = openat(root, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  snprintf(target, sizeof target, "/proc/self/fd/%d", point);
  if (point < 0 || mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0) setup_failed(path);
  close(point);
}

// The image may have a link in place of /var/run. It is followed inside the step's root only. An image that has something
// else there gets no link; DOCKER_HOST names the socket anyway.
static void link_socket(int root) {
  struct open_how how = {
      .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  };
  int directory = (int)syscall(SYS_openat2, root, "var/run", &how, sizeof how);
  if (directory < 0 && errno == ENOENT) {
    int var = mkdirat(root, "var", 0755) == 0 || errno == EEXIST ? (int)syscall(SYS_openat2, root, "var", &how, sizeof how) : -1;
    if (var >= 0) {
      mkdirat(var, "run", 0755);
      close(var);
    }
    directory = (int)syscall(SYS_openat2, root, "var/run", &how, sizeof how);
  }
  if (directory < 0) return;
  unlinkat(directory, "docker.sock", 0);
  symlinkat("/airlock/docker.sock", directory, "docker.sock");
  close(directory);
}

void show_docker(int root) {
  mount_over(root, "airlock/docker.sock", DOCKER_RUN "/docker.sock", 0);
  mount_over(root, "airlock/docker", docker_root(), MS_RDONLY | MS_NOSUID | MS_NODEV);
  link_socket(root);
}
