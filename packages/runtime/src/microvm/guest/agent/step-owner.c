// Makes the step's user the owner of the workspace and of the job's files, as the host does for containers. On the
// workspace disk everything belongs to root. A step sees its own ids in place of root's, and root's in place of its own.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
// <sys/mount.h> of some C libraries defines the same names.
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKSPACE "/run/airlock/workspace/data"

static struct {
  // Whether the disk may have ids other than root's.
  bool mixed;
  // The user of the last step, if its script has ended by itself.
  bool known;
  uint32_t uid, gid;
} workspace;

bool must_reclaim(const struct step_spec *spec) {
  bool same_user = workspace.known && workspace.uid == spec->uid && workspace.gid == spec->gid;
  return workspace.mixed && !same_user;
}

void workspace_used(const struct step_spec *spec, bool reclaimed, bool ran) {
  // Root may give files to others, everyone to groups, and setuid programs of the image act as root.
  bool can_give = spec->uid == 0 || spec->group_count > 0 || !(spec->flags & STEP_NO_NEW_PRIVILEGES);
  workspace.mixed = (workspace.mixed && !(reclaimed && ran)) || can_give;
  workspace.known = ran;
  workspace.uid = spec->uid;
  workspace.gid = spec->gid;
}

int reclaim_workspace(void) { return give_tree(WORKSPACE, 0, 0); }

int give_files(const struct step_spec *spec) {
  int error = give_tree("/run/airlock/files/job", spec->uid, spec->gid);
  return error ? error : give_tree("/run/airlock/files/step", spec->uid, spec->gid);
}

// Writes a map that exchanges an id with 0 and keeps all others.
static int write_swap(pid_t pid, const char *name, uint32_t id) {
  char path[64], text[160];
  const uint32_t all = UINT32_MAX;
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  int length = id == 0 ? snprintf(text, sizeof text, "0 0 %u\n", all) : snprintf(text, sizeof text, "0 %u 1\n%u 0 1\n", id, id);
  if (id > 1) length += snprintf(text + length, sizeof text - (size_t)length, "1 1 %u\n", id - 1);
  if (id > 0 && id + 1 < all)
    snprintf(text + length, sizeof text - (size_t)length, "%u %u %u\n", id + 1, id + 1, all - id - 1);
  return write_text(path, text);
}

int make_id_swap(const struct step_spec *spec) {
  // The kernel makes a user namespace only together with a process.
  pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(SIGCHLD | CLONE_NEWUSER), NULL, NULL, NULL, NULL);
  if (pid < 0) return -1;
  if (pid == 0)
    for (;;) pause();
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
  int error = write_swap(pid, "uid_map", spec->uid), swap = -1;
  if (!error) error = write_swap(pid, "gid_map", spec->gid);
  int namespace = error ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  // A high number, which the descriptors of the step's first process don't replace.
  if (namespace >= 0) swap = fcntl(namespace, F_DUPFD_CLOEXEC, 64);
  if (!error) error = errno;
  if (namespace >= 0) close(namespace);
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  errno = error;
  return swap;
}

void mount_data(int point, int id_swap) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
  if (id_swap >= 0) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = (uint64_t)id_swap;
  }
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, WORKSPACE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0 ||
      syscall(SYS_move_mount, tree, "", point, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
    setup_failed("data");
  close(tree);
  if (id_swap >= 0) close(id_swap);
}
