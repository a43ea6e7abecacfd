// Tells which addresses a pod reaches. The kubelet gives the API server's address to every container.
#include "pod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_TARGETS 64

static socklen_t parse(struct sockaddr_storage *address, const char *host, const char *port_text) {
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

enum reach { WAITING, OPEN, CLOSED };

static enum reach begin(struct pollfd *polled, const struct sockaddr_storage *address, socklen_t length) {
  polled->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  polled->events = POLLOUT;
  // A pod without IPv6 reaches no such address.
  if (polled->fd < 0 && errno == EAFNOSUPPORT) return CLOSED;
  if (polled->fd < 0) die("can't create a socket");
  if (connect(polled->fd, (const struct sockaddr *)address, length) == 0) return OPEN;
  return errno == EINPROGRESS ? WAITING : CLOSED;
}

static enum reach result(int fd) {
  int error = -1;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0 ? OPEN : CLOSED;
}

static long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

void tell_reach(int milliseconds, char **words, int count) {
  struct pollfd polled[MAX_TARGETS];
  enum reach reached[MAX_TARGETS];
  struct sockaddr_storage address;
  int targets = 1 + count / 2;
  if (count % 2 || targets > MAX_TARGETS) die("the list of addresses is malformed");
  for (int i = 0; i < targets; i++) {
    const char *host = i == 0 ? getenv("KUBERNETES_SERVICE_HOST") : words[2 * (i - 1)];
    const char *port = i == 0 ? getenv("KUBERNETES_SERVICE_PORT") : words[2 * (i - 1) + 1];
    socklen_t length = parse(&address, host, port);
    if (length == 0)
      die(i == 0 ? "the container does not know the API server's address" : "an address is malformed");
    reached[i] = begin(&polled[i], &address, length);
  }
  long long until = now() + milliseconds;
  for (;;) {
    int waiting = 0;
    for (int i = 0; i < targets; i++) {
      waiting += reached[i] == WAITING;
      if (reached[i] != WAITING) polled[i].fd = -1;
    }
    long long left = until - now();
    if (waiting == 0 || left <= 0 || poll(polled, (nfds_t)targets, (int)left) <= 0) break;
    for (int i = 0; i < targets; i++)
      if (polled[i].fd >= 0 && polled[i].revents) reached[i] = result(polled[i].fd);
  }
  for (int i = 0; i < targets; i++) dprintf(STDOUT_FILENO, reached[i] == OPEN ? "open\n" : "closed\n");
  exit(0);
}
