// Ports of the step's own 127.0.0.1 that the host answers. Each connection is a channel with the highest bit set, which
// the agent opens. All buffers are static; further connections wait in the kernel until one ends.
#include "agent.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  // -1: the slot is free.
  int fd;
  // What the agent may send, and what the host may.
  uint32_t channel, credit, in_credit;
  // Data of the host that the step has not taken yet.
  uint8_t buffer[SERVICE_CREDIT];
  size_t length;
  // Bytes and frames that were taken, but not granted again.
  uint32_t taken, frames;
  bool sent_end, got_end;
};

static struct {
  int fd;
  uint16_t port;
} listeners[MAX_SERVICES];
static size_t listener_count;
static struct connection connections[MAX_CONNECTIONS];
static bool prepared;
static uint32_t last_channel = SERVICE_CHANNEL;

static void prepare(void) {
  if (prepared) return;
  for (size_t i = 0; i < MAX_CONNECTIONS; i++) connections[i].fd = -1;
  prepared = true;
}

void take_listeners(const int *descriptors, const uint16_t *ports, size_t count) {
  prepare();
  for (listener_count = 0; listener_count < count; listener_count++) {
    listeners[listener_count].fd = descriptors[listener_count];
    listeners[listener_count].port = ports[listener_count];
  }
}

static struct connection *find(uint32_t channel) {
  for (size_t i = 0; prepared && i < MAX_CONNECTIONS; i++)
    if (connections[i].fd >= 0 && (channel == 0 || connections[i].channel == channel)) return &connections[i];
  return NULL;
}

static struct connection *free_slot(void) {
  for (size_t i = 0; prepared && i < MAX_CONNECTIONS; i++)
    if (connections[i].fd < 0) return &connections[i];
  return NULL;
}

static void forget(struct connection *connection) {
  close(connection->fd);
  explicit_bzero(connection, sizeof *connection);
  connection->fd = -1;
}

// Ends a connection at once, on both sides.
static void reset(struct connection *connection) {
  struct linger now = {.l_onoff = 1};
  setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  if (!connection->sent_end || !connection->got_end) send_frame(FRAME_RESET, connection->channel, NULL, 0);
  forget(connection);
}

void end_services(void) {
  for (struct connection *connection; (connection = find(0));) reset(connection);
  while (listener_count > 0) close(listeners[--listener_count].fd);
}

static bool can_send(void) { return out_space() >= OUT_RESERVE + FRAME_BYTES; }

size_t service_descriptors(struct pollfd polled[SERVICE_POLLS]) {
  bool has_space = can_send(), has_slot = free_slot() != NULL;
  for (size_t i = 0; i < MAX_SERVICES; i++)
    polled[i] = (struct pollfd){i < listener_count && has_space && has_slot ? listeners[i].fd : -1, POLLIN, 0};
  for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
    struct connection *one = &connections[i];
    bool reads = prepared && one->fd >= 0 && has_space && !one->sent_end && one->credit > FRAME_COST;
    bool writes = prepared && one->fd >= 0 && has_space && one->length > 0;
    short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    // Without events, an ended connection would wake the agent again and again.
    polled[MAX_SERVICES + i] = (struct pollfd){events ? one->fd : -1, events, 0};
  }
  return SERVICE_POLLS;
}

static void accept_connection(size_t listener) {
  struct connection *connection = free_slot();
  int fd = connection ? accept4(listeners[listener].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
  if (fd < 0) return;
  // Numbers are never used twice, so the host knows the frames of an ended connection.
  if (last_channel == UINT32_MAX) die("all numbers of connections are used");
  connection->fd = fd;
  connection->channel = ++last_channel;
  connection->credit = connection->in_credit = SERVICE_CREDIT;
  uint8_t port[2];
  put_number(port, listeners[listener].port, 2);
  send_frame(FRAME_OPEN, connection->channel, port, sizeof port);
}

static void forward(struct connection *connection) {
  uint8_t payload[PAYLOAD_BYTES];
  size_t wanted = connection->credit - FRAME_COST;
  if (wanted > PAYLOAD_BYTES - 1) wanted = PAYLOAD_BYTES - 1;
  ssize_t got = recv(connection->fd, payload + 1, wanted, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return reset(connection);
  payload[0] = 0;
  if (got > 0) {
    connection->credit -= (uint32_t)got + FRAME_COST;
    return send_frame(FRAME_DATA, connection->channel, payload, (size_t)got + 1);
  }
  send_frame(FRAME_END, connection->channel, payload, 1);
  connection->sent_end = true;
  if (connection->got_end && connection->length == 0) forget(connection);
}

// Passes the end of the host's data on, once the step has taken the data.
static void end_if_taken(struct connection *connection) {
  if (!connection->got_end || connection->length > 0) return;
  if (connection->sent_end) return forget(connection);
  shutdown(connection->fd, SHUT_WR);
}

static void deliver(struct connection *connection) {
  ssize_t sent = send(connection->fd, connection->buffer, connection->length, MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (sent < 0) return reset(connection);
  connection->length -= (size_t)sent;
  memmove(connection->buffer, connection->buffer + sent, connection->length);
  connection->taken += (uint32_t)sent;
  if (connection->got_end) return end_if_taken(connection);
  uint32_t granted = connection->taken;
  if (connection->length == 0) granted += connection->frames * FRAME_COST, connection->frames = 0;
  else if (granted < SERVICE_CREDIT / 4) return;
  connection->taken = 0;
  connection->in_credit += granted;
  send_credit(connection->channel, 0, granted);
}

void serve_connections(const struct pollfd polled[SERVICE_POLLS]) {
  static size_t turn;
  // Every connection is first at times, so that none takes all the space in the output.
  turn++;
  for (size_t i = 0; i < SERVICE_POLLS; i++) {
    size_t at = (i + turn) % SERVICE_POLLS;
    if (!polled[at].revents || !can_send()) continue;
    if (at < MAX_SERVICES) accept_connection(at);
    else {
      struct connection *connection = &connections[at - MAX_SERVICES];
      if (connection->fd != polled[at].fd) continue;
      if (polled[at].events & POLLOUT) deliver(connection);
      if (connection->fd == polled[at].fd && polled[at].events & POLLIN) forward(connection);
    }
  }
}

static void take_data(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (connection->got_end) die("the host sent data after its end");
  if (length + FRAME_COST > connection->in_credit) die("the host sent more than its credit");
  connection->in_credit -= (uint32_t)length + FRAME_COST;
  connection->frames++;
  memcpy(connection->buffer + connection->length, bytes, length);
  connection->length += length;
}

void service_frame(uint8_t type, uint32_t channel, const uint8_t *payload, size_t bytes) {
  struct connection *connection = find(channel);
  struct cursor cursor = {payload, bytes, true};
  bool on_stream = bytes > 0 && payload[0] == 0;
  switch (type) {
    case FRAME_DATA:
      if (!on_stream || bytes < 2) die("data of a connection is malformed");
      if (connection) take_data(connection, payload + 1, bytes - 1);
      return;
    case FRAME_END:
      if (!on_stream || bytes != 1) die("an end of a connection is malformed");
      if (!connection) return;
      connection->got_end = true;
      return end_if_taken(connection);
    case FRAME_CREDIT: {
      uint8_t stream = (uint8_t)take_number(&cursor, 1);
      uint32_t granted = (uint32_t)take_number(&cursor, 4);
      if (!at_end(&cursor) || stream != 0 || granted > SERVICE_CREDIT) die("a grant of credit is malformed");
      if (!connection) return;
      if (granted > SERVICE_CREDIT - connection->credit) die("the host granted too much credit");
      connection->credit += granted;
      return;
    }
    case FRAME_RESET:
      if (bytes != 0) die("a reset has a payload");
      if (connection) reset(connection);
      return;
    default: die("a frame does not belong to a connection");
  }
}
