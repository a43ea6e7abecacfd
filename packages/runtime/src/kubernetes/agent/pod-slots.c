// Containers of steps that wait for their order. A supervisor proves by its token that it is the one that the executor has
// created: a step that runs can connect to the same socket.
#include "pod.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener = -1;
// Connections that have not sent their token.
static int unknown[MAX_SLOTS];
static struct {
  bool expected;
  uint32_t channel;
  uint8_t token[TOKEN_BYTES];
  int fd;
} slots[MAX_SLOTS];

void open_slots(void) {
  for (int i = 0; i < MAX_SLOTS; i++) unknown[i] = slots[i].fd = -1;
  listener = listen_at(STEPS_SOCKET, 0666);
}

bool open_slot(uint32_t channel, struct cursor *cursor) {
  unsigned index = (unsigned)take_number(cursor, 1);
  const uint8_t *token = take_bytes(cursor, TOKEN_BYTES);
  if (!at_end(cursor) || index >= MAX_SLOTS) return false;
  if (slots[index].expected) {
    send_error(channel, ERROR_BUSY, 0, "the slot is waiting already");
    return true;
  }
  if (slots[index].fd >= 0) close(slots[index].fd);
  slots[index].fd = -1;
  slots[index].expected = true;
  slots[index].channel = channel;
  memcpy(slots[index].token, token, TOKEN_BYTES);
  return true;
}

bool cancel_slot(uint32_t channel) {
  for (int i = 0; i < MAX_SLOTS; i++) {
    if (!slots[i].expected || slots[i].channel != channel) continue;
    slots[i].expected = false;
    send_error(channel, ERROR_CANCELED, 0, "canceled");
    return true;
  }
  return false;
}

int take_slot(unsigned index) {
  if (index >= MAX_SLOTS) return -1;
  int fd = slots[index].fd;
  slots[index].fd = -1;
  return fd;
}

size_t slot_descriptors(struct pollfd *polled) {
  bool has_place = false;
  for (int i = 0; i < MAX_SLOTS; i++) has_place |= unknown[i] < 0;
  polled[0] = (struct pollfd){.fd = has_place ? listener : -1, .events = POLLIN};
  for (int i = 0; i < MAX_SLOTS; i++) {
    polled[1 + i] = (struct pollfd){.fd = unknown[i], .events = POLLIN};
    polled[1 + MAX_SLOTS + i] = (struct pollfd){.fd = slots[i].fd, .events = POLLIN};
  }
  return SLOT_POLLS;
}

static void accept_supervisor(void) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  for (int i = 0; fd >= 0 && i < MAX_SLOTS; i++) {
    if (unknown[i] >= 0) continue;
    unknown[i] = fd;
    return;
  }
  if (fd >= 0) close(fd);
}

static void greet_supervisor(int place) {
  struct packet packet;
  int descriptors[MAX_PASSED], fd = unknown[place];
  size_t count;
  ssize_t got = receive_packet(fd, &packet, descriptors, &count);
  while (count > 0) close(descriptors[--count]);
  if (got < 0 && errno == EAGAIN) return;
  unknown[place] = -1;
  for (int i = 0; got == (ssize_t)sizeof packet && packet.kind == PACKET_READY && i < MAX_SLOTS; i++) {
    uint8_t difference = 0;
    for (int j = 0; j < TOKEN_BYTES; j++) difference |= packet.token[j] ^ slots[i].token[j];
    if (!slots[i].expected || difference) continue;
    slots[i].expected = false;
    slots[i].fd = fd;
    if (packet.value) send_error(slots[i].channel, ERROR_SYSTEM, packet.value, "the image has no working /bin/sh");
    else send_result(slots[i].channel, NULL, 0);
    return;
  }
  close(fd);
}

void serve_slots(const struct pollfd *polled) {
  if (polled[0].revents) accept_supervisor();
  for (int i = 0; i < MAX_SLOTS; i++) {
    if (polled[1 + i].revents && polled[1 + i].fd == unknown[i] && out_space() >= OUT_RESERVE) greet_supervisor(i);
    // A supervisor that waits says nothing more, so this is its end.
    if (polled[1 + MAX_SLOTS + i].revents && slots[i].fd >= 0 && polled[1 + MAX_SLOTS + i].fd == slots[i].fd)
      close(take_slot((unsigned)i));
  }
}
