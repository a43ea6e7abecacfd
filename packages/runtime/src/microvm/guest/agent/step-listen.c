// Opens the ports of the step's services in its network, and hands the sockets to the agent.
#include "agent.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on(uint16_t port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  // Connections of an earlier step may still be in TIME_WAIT.
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0)
    setup_failed("port of a service");
  return fd;
}

void open_services(const struct step_spec *spec) {
  int descriptors[MAX_SERVICES];
  size_t bytes = spec->port_count * sizeof *descriptors;
  if (spec->port_count == 0) return;
  for (size_t i = 0; i < spec->port_count; i++) descriptors[i] = listen_on(spec->ports[i]);
  struct step_message message = {.kind = STEP_LISTENS, .value = (int32_t)spec->port_count};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptors)] = {0};
  struct iovec content = {&message, sizeof message};
  struct msghdr packet = {
      .msg_iov = &content, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(bytes)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(bytes);
  memcpy(CMSG_DATA(header), descriptors, bytes);
  if (sendmsg(messages_fd, &packet, 0) != (ssize_t)sizeof message) setup_failed("services");
  for (size_t i = 0; i < spec->port_count; i++) close(descriptors[i]);
}

ssize_t receive_message(int socket_fd, struct step_message *message, int descriptors[MAX_SERVICES], size_t *count) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_SERVICES * sizeof(int))];
  struct iovec content = {message, sizeof *message};
  struct msghdr packet = {.msg_iov = &content, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(socket_fd, &packet, MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&packet);
  *count = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof *descriptors : 0;
  if (*count > 0) memcpy(descriptors, CMSG_DATA(header), *count * sizeof *descriptors);
  return got;
}
