// Tells whether a pod's network is open. The kubelet gives the API server's address to every container.
#include "pod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t api_server(struct sockaddr_storage *address) {
  const char *host = getenv("KUBERNETES_SERVICE_HOST");
  const char *port_text = getenv("KUBERNETES_SERVICE_PORT");
  int port = port_text ? atoi(port_text) : 0;
  struct sockaddr_in *v4 = (struct sockaddr_in *)address;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
  memset(address, 0, sizeof *address);
  if (!host || port <= 0 || port > 65535) return 0;
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return sizeof *v4;
  }
  if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return sizeof *v6;
  }
  return 0;
}

static bool connects(int fd, const struct sockaddr_storage *address, socklen_t length, int milliseconds) {
  if (connect(fd, (const struct sockaddr *)address, length) == 0) return true;
  if (errno != EINPROGRESS) return false;
  struct pollfd polled = {.fd = fd, .events = POLLOUT};
  if (poll(&polled, 1, milliseconds) != 1) return false;
  int error = -1;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

_Noreturn void tell_reach(int milliseconds) {
  struct sockaddr_storage address;
  socklen_t length = api_server(&address);
  if (length == 0) die("the container does not know the API server's address");
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) die("can't create a socket");
  bool is_open = connects(fd, &address, length, milliseconds);
  dprintf(STDOUT_FILENO, is_open ? "open\n" : "closed\n");
  exit(0);
}
