// The pod's name server over UDP. It passes each query on as a TCP connection to the port 53 that the executor answers
// while a step runs. So the executor's resolver decides about every name, and this process knows nothing about DNS.
#include "pod.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DNS_PORT 53
// Fewer than the agent has connections, so that other services of a step are never without one.
#define MAX_QUERIES 16
// The executor's resolver reads no longer query, and sends no longer answer over UDP.
#define QUERY_BYTES 512
#define ANSWER_BYTES 1232
#define PATIENCE_SECONDS 10
// Tells the resolver that the answer has to fit into a datagram. No query is so long that its length has this bit.
#define OVER_UDP 0x80

struct query {
  // -1: the slot is free.
  int fd;
  struct sockaddr_in peer;
  time_t ends;
  bool sent;
  uint8_t bytes[2 + ANSWER_BYTES];
  size_t length;
};

static struct query queries[MAX_QUERIES];

static time_t seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

static struct sockaddr_in name_server(void) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(DNS_PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void forget(struct query *query) {
  close(query->fd);
  query->fd = -1;
}

static void accept_query(int udp) {
  struct query *query = NULL;
  for (size_t i = 0; i < MAX_QUERIES && !query; i++)
    if (queries[i].fd < 0) query = &queries[i];
  struct sockaddr_in peer, server = name_server();
  socklen_t size = sizeof peer;
  uint8_t bytes[QUERY_BYTES + 1];
  ssize_t got = recvfrom(udp, bytes, sizeof bytes, 0, (struct sockaddr *)&peer, &size);
  // A program asks again when its query is dropped.
  if (!query || got <= 0 || got > QUERY_BYTES) return;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  *query = (struct query){.fd = fd, .peer = peer, .ends = seconds() + PATIENCE_SECONDS, .length = 2 + (size_t)got};
  put_number(query->bytes, (uint64_t)got, 2);
  query->bytes[0] |= OVER_UDP;
  memcpy(query->bytes + 2, bytes, (size_t)got);
  if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) forget(query);
}

static void pass_on(struct query *query) {
  // The socket's empty buffer takes all of it.
  if (send(query->fd, query->bytes, query->length, MSG_NOSIGNAL) != (ssize_t)query->length) return forget(query);
  query->sent = true;
  query->length = 0;
}

static void read_answer(struct query *query, int udp) {
  ssize_t got = recv(query->fd, query->bytes + query->length, sizeof query->bytes - query->length, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return forget(query);
  query->length += (size_t)got;
  size_t wanted = query->length < 2 ? sizeof query->bytes : 2 + (size_t)(query->bytes[0] << 8 | query->bytes[1]);
  if (query->length < wanted && query->length < sizeof query->bytes) return;
  if (query->length == wanted)
    sendto(udp, query->bytes + 2, wanted - 2, MSG_NOSIGNAL, (struct sockaddr *)&query->peer, sizeof query->peer);
  forget(query);
}

static _Noreturn void serve_names(int udp) {
  for (size_t i = 0; i < MAX_QUERIES; i++) queries[i].fd = -1;
  for (;;) {
    struct pollfd polled[1 + MAX_QUERIES] = {{.fd = udp, .events = POLLIN}};
    time_t now = seconds();
    for (size_t i = 0; i < MAX_QUERIES; i++) {
      if (queries[i].fd >= 0 && now > queries[i].ends) forget(&queries[i]);
      polled[1 + i] = (struct pollfd){.fd = queries[i].fd, .events = queries[i].sent ? POLLIN : POLLOUT};
    }
    if (poll(polled, 1 + MAX_QUERIES, 1000) <= 0) continue;
    for (size_t i = 0; i < MAX_QUERIES; i++) {
      if (queries[i].fd < 0 || !polled[1 + i].revents) continue;
      if (queries[i].sent) read_answer(&queries[i], udp);
      else pass_on(&queries[i]);
    }
    if (polled[0].revents) accept_query(udp);
  }
}

void start_names(void) {
  struct sockaddr_in address = name_server();
  // Bound before any step runs, so that no step answers the queries of later ones.
  int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (udp < 0 || bind(udp, (struct sockaddr *)&address, sizeof address) < 0) die("can't open the port of the name server");
  pid_t child = fork();
  if (child < 0) die("can't start a process");
  if (child == 0) serve_names(udp);
  close(udp);
}
