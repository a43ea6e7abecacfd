// Makes the step's user the owner of the workspace, if images name different users. The agent is root then.
#include "pod.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKSPACE "/run/airlock/workspace/data"

// The user of the last step. The kubelet and the agent write as root.
static struct {
  uint32_t uid, gid;
} last;

int give_workspace(int supervisor) {
  struct ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(supervisor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return errno;
  // Only root can give files to others. With one user for all containers there is nothing to give.
  if (geteuid() != 0 || (last.uid == peer.uid && last.gid == peer.gid)) return 0;
  int error = give_tree(WORKSPACE, peer.uid, peer.gid);
  last.uid = peer.uid;
  last.gid = peer.gid;
  return error;
}
