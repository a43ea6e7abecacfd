// Unix sockets between the containers of the pod.
#include "pod.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address_of(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  return address;
}

int listen_at(const char *path, mode_t mode) {
  struct sockaddr_un address = address_of(path);
  int type = strcmp(path, CONTROL_SOCKET) ? SOCK_SEQPACKET : SOCK_STREAM;
  int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, mode) < 0 || listen(fd, 16) < 0)
    die("can't listen on a socket");
  return fd;
}

int connect_to(const char *path) {
  struct sockaddr_un address = address_of(path);
  int type = strcmp(path, CONTROL_SOCKET) ? SOCK_SEQPACKET : SOCK_STREAM;
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

bool send_packet(int socket_fd, const struct packet *packet, const int *descriptors, size_t count) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_PASSED * sizeof(int))] = {0};
  struct iovec content = {(void *)packet, sizeof *packet};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
  }
  return sendmsg(socket_fd, &message, MSG_NOSIGNAL) == (ssize_t)sizeof *packet;
}

ssize_t receive_packet(int socket_fd, struct packet *packet, int descriptors[MAX_PASSED], size_t *count) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_PASSED * sizeof(int))];
  struct iovec content = {packet, sizeof *packet};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
  bool passes = header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS;
  *count = passes ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
  if (*count > 0) memcpy(descriptors, CMSG_DATA(header), *count * sizeof(int));
  return got;
}
