// The first process of the agent's container. It relays the stream between the agent and the executor, whose connection
// by the API server may break at any time. What a client has not acknowledged is sent to the next one again.
//
// A segment has a type, a length of four bytes, and a payload: `H` a key of 16 bytes and the bytes received so far, `D`
// data, `A` the bytes received so far. A client begins with `H`, and gets an `H` with the same key.
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_BYTES 262144
#define SEGMENT_HEADER 5
#define SEGMENT_BYTES 65536
#define KEY_BYTES 16
#define HELLO_BYTES (KEY_BYTES + 8)

static int listener = -1, client = -1;
static bool has_key;
static uint8_t key[KEY_BYTES];
// Bytes of the agent that the executor has not acknowledged: a ring that begins at `acknowledged`.
static uint8_t window[WINDOW_BYTES];
static uint64_t acknowledged, sent, produced;
// Bytes of the executor that the agent has taken.
static uint64_t received;
// The segment of the client that is being read.
static uint8_t head[SEGMENT_HEADER + HELLO_BYTES];
static size_t head_length;
static uint32_t data_left;
// The agent's socket takes nothing now.
static bool agent_full;
// Bytes for the client that its socket did not take yet.
static uint8_t out[SEGMENT_HEADER + SEGMENT_BYTES + 64];
static size_t out_length, out_start;
static bool greeted, ack_due;

static void drop_client(void) {
  if (client >= 0) close(client);
  client = -1;
  head_length = out_length = out_start = 0;
  data_left = 0;
  greeted = ack_due = agent_full = false;
}

static void put_segment(uint8_t type, const void *payload, size_t length) {
  out[out_length] = type;
  put_number(out + out_length + 1, length, 4);
  memcpy(out + out_length + SEGMENT_HEADER, payload, length);
  out_length += SEGMENT_HEADER + length;
}

static void fill_out(void) {
  if (!greeted || out_length > 0) return;
  if (ack_due) {
    uint8_t count[8];
    put_number(count, received, 8);
    put_segment('A', count, sizeof count);
    ack_due = false;
  }
  size_t bytes = (size_t)(produced - sent), at = (size_t)(sent % WINDOW_BYTES);
  if (bytes > SEGMENT_BYTES) bytes = SEGMENT_BYTES;
  if (bytes > WINDOW_BYTES - at) bytes = WINDOW_BYTES - at;
  if (bytes == 0) return;
  put_segment('D', window + at, bytes);
  sent += bytes;
}

static void write_client(void) {
  for (fill_out(); client >= 0 && out_length > 0; fill_out()) {
    ssize_t written = write(client, out + out_start, out_length - out_start);
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0) return drop_client();
    out_start += (size_t)written;
    if (out_start == out_length) out_start = out_length = 0;
  }
}

// Handles a whole control segment. Returns false if the client breaks the protocol.
static bool take_control(void) {
  struct cursor cursor = {head + 1, head_length - 1, true};
  uint32_t length = (uint32_t)take_number(&cursor, 4);
  if (head[0] == 'H' && length == HELLO_BYTES && !greeted) {
    const uint8_t *its_key = take_bytes(&cursor, KEY_BYTES);
    uint64_t its_received = take_number(&cursor, 8);
    if (has_key && memcmp(key, its_key, KEY_BYTES)) return false;
    if (its_received < acknowledged || its_received > produced) return false;
    memcpy(key, its_key, KEY_BYTES);
    has_key = greeted = true;
    acknowledged = sent = its_received;
    uint8_t hello[HELLO_BYTES];
    memcpy(hello, key, KEY_BYTES);
    put_number(hello + KEY_BYTES, received, 8);
    put_segment('H', hello, sizeof hello);
    return true;
  }
  if (head[0] != 'A' || length != 8 || !greeted) return false;
  uint64_t total = take_number(&cursor, 8);
  if (total < acknowledged || total > sent) return false;
  acknowledged = total;
  // The client asks in this way whether the connection is alive.
  ack_due = true;
  return true;
}

static size_t head_needed(void) {
  if (head_length < SEGMENT_HEADER) return SEGMENT_HEADER;
  struct cursor cursor = {head + 1, 4, true};
  uint32_t length = (uint32_t)take_number(&cursor, 4);
  return head[0] == 'D' || length > HELLO_BYTES ? SEGMENT_HEADER : SEGMENT_HEADER + length;
}

static void read_data(int agent_fd) {
  uint8_t bytes[16384];
  size_t wanted = data_left < sizeof bytes ? data_left : sizeof bytes;
  ssize_t got = recv(client, bytes, wanted, MSG_PEEK);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop_client();
  ssize_t written = write(agent_fd, bytes, (size_t)got);
  agent_full = written < 0;
  if (agent_full) return;
  // Only what the agent has taken leaves the client's socket.
  if (recv(client, bytes, (size_t)written, 0) != written) return drop_client();
  data_left -= (uint32_t)written;
  received += (uint64_t)written;
  ack_due = true;
}

static void read_client(int agent_fd) {
  if (data_left > 0) return read_data(agent_fd);
  ssize_t got = read(client, head + head_length, head_needed() - head_length);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop_client();
  head_length += (size_t)got;
  if (head_length < head_needed()) return;
  if (head[0] == 'D') {
    struct cursor cursor = {head + 1, 4, true};
    data_left = (uint32_t)take_number(&cursor, 4);
    if (!greeted) return drop_client();
  } else if (!take_control()) {
    return drop_client();
  }
  head_length = 0;
}

static void read_agent(int agent_fd) {
  size_t space = WINDOW_BYTES - (size_t)(produced - acknowledged), at = (size_t)(produced % WINDOW_BYTES);
  if (space > WINDOW_BYTES - at) space = WINDOW_BYTES - at;
  ssize_t got = read(agent_fd, window + at, space);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // Without the agent the pod is of no use.
  if (got <= 0) _exit(3);
  produced += (uint64_t)got;
}

static void accept_client(void) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  // The executor comes back before the API server notices that the earlier connection is dead.
  drop_client();
  client = fd;
}

static time_t seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

void relay_session(int agent_fd, pid_t agent, int abandon_seconds) {
  fcntl(agent_fd, F_SETFL, O_NONBLOCK);
  listener = listen_at(CONTROL_SOCKET, 0600);
  time_t seen = seconds();
  for (;;) {
    if (client >= 0) write_client();
    bool has_space = produced - acknowledged < WINDOW_BYTES;
    bool can_write = client >= 0 && out_length > 0;
    struct pollfd polled[] = {
        {.fd = listener, .events = POLLIN},
        {.fd = client, .events = (short)((agent_full ? 0 : POLLIN) | (can_write ? POLLOUT : 0))},
        {.fd = agent_fd, .events = (short)((has_space ? POLLIN : 0) | (agent_full ? POLLOUT : 0))}};
    poll(polled, 3, 1000);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    if (kill(agent, 0) < 0) _exit(3);
    if (polled[2].revents & (POLLIN | POLLHUP)) read_agent(agent_fd);
    if (client >= 0 && (polled[1].revents & (POLLIN | POLLHUP | POLLERR) || polled[2].revents & POLLOUT)) read_client(agent_fd);
    if (polled[0].revents) accept_client();
    if (client >= 0) seen = seconds();
    // An executor that is gone for good must not leave the job running.
    if (seconds() - seen > abandon_seconds) _exit(4);
  }
}

static bool pump(int from, int to) {
  static uint8_t bytes[SEGMENT_BYTES + SEGMENT_HEADER];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got <= 0) return false;
  for (ssize_t done = 0; done < got;) {
    ssize_t written = write(to, bytes + done, (size_t)(got - done));
    if (written < 0) return false;
    done += written;
  }
  return true;
}

void attach_session(void) {
  int session = connect_to(CONTROL_SOCKET);
  if (session < 0) {
    dprintf(STDERR_FILENO, "airlock-pod-agent: no agent is running\n");
    _exit(1);
  }
  for (;;) {
    struct pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = session, .events = POLLIN}};
    if (poll(polled, 2, -1) < 0) _exit(1);
    if (polled[0].revents && !pump(STDIN_FILENO, session)) _exit(0);
    if (polled[1].revents && !pump(session, STDOUT_FILENO)) _exit(0);
  }
}
