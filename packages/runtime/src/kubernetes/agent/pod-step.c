// The step that runs, seen from the agent: its specification, output, signals and end. One at a time. Its processes are in
// another container, whose supervisor does what has to be done there.
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

// More questions than the executor has at once.
#define MAX_ASKED 16

static uint8_t spec_bytes[SPEC_BYTES];
static struct {
  enum { IDLE, RECEIVING, RUNNING } state;
  uint32_t channel, credit[2], in_credit;
  size_t spec_length;
  // stdout, stderr, supervisor. -1 after their end.
  int descriptors[3];
  bool reported, gone, failed, stopping;
  uint32_t stop_channel, oom_kills;
  // Calls whose answer the supervisor owes.
  uint32_t asked[MAX_ASKED];
  size_t asked_count;
  int error;
  char stage[24];
} step;
static bool stopped;

static void forget(void) {
  explicit_bzero(spec_bytes, step.spec_length);
  memset(&step, 0, sizeof step);
  for (int i = 0; i < 3; i++) step.descriptors[i] = -1;
}

void run_step(uint32_t channel, struct cursor *cursor) {
  if (!at_end(cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (stopped) return send_error(channel, ERROR_INVALID, 0, "the agent was told to stop");
  if (step.state != IDLE) return send_error(channel, ERROR_BUSY, 0, "another step runs");
  forget();
  step.state = RECEIVING;
  step.channel = channel;
  step.credit[0] = step.credit[1] = step.in_credit = INITIAL_CREDIT;
}

bool step_data(uint32_t channel, const uint8_t *bytes, size_t length) {
  if (tree_data(channel, bytes, length)) return true;
  if (step.state == IDLE || channel != step.channel) return false;
  if (step.state != RECEIVING) die("the executor sent data to a step that runs");
  if (length + FRAME_COST > step.in_credit) die("the executor sent more than its credit");
  if (length > SPEC_BYTES - step.spec_length) die("the specification of a step is too long");
  memcpy(spec_bytes + step.spec_length, bytes, length);
  step.spec_length += length;
  send_credit(channel, 0, (uint32_t)length + FRAME_COST);
  return true;
}

static void refuse(uint8_t code, int error, const char *text) {
  uint32_t channel = step.channel;
  forget();
  send_error(channel, code, error, text);
}

// The index of the slot in the specification's first field.
static unsigned slot_of_spec(void) {
  struct cursor cursor = {spec_bytes, step.spec_length, true};
  uint8_t tag = (uint8_t)take_number(&cursor, 1);
  uint32_t length = (uint32_t)take_number(&cursor, 4);
  uint8_t index = (uint8_t)take_number(&cursor, 1);
  return cursor.ok && tag == 1 && length == 1 ? index : MAX_SLOTS;
}

static void start(void) {
  int supervisor = take_slot(slot_of_spec());
  if (supervisor < 0) return refuse(ERROR_NOT_FOUND, 0, "the step's container has ended");
  int error = give_workspace(supervisor);
  if (error) {
    close(supervisor);
    return refuse(ERROR_SYSTEM, error, "can't give the workspace to the step's user");
  }
  // Environment variables may be secrets, so they travel in memory and not in a file.
  int memory = memfd_create("step", MFD_CLOEXEC);
  bool ok = memory >= 0 && write(memory, spec_bytes, step.spec_length) == (ssize_t)step.spec_length;
  struct packet packet = {.kind = PACKET_RUN, .count = (uint32_t)step.spec_length};
  ok = ok && send_packet(supervisor, &packet, &memory, 1);
  error = errno;
  if (memory >= 0) close(memory);
  if (!ok) {
    close(supervisor);
    return refuse(ERROR_SYSTEM, error, "can't reach the step's container");
  }
  step.descriptors[2] = supervisor;
  step.state = RUNNING;
}

bool step_end(uint32_t channel) {
  if (tree_end(channel)) return true;
  if (step.state == IDLE || channel != step.channel) return false;
  if (step.state != RECEIVING) die("the executor ended a stream that it does not send");
  start();
  return true;
}

bool step_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  if (step.state == IDLE || channel != step.channel) return false;
  if (bytes > MAX_CREDIT - step.credit[stream]) die("the executor granted too much credit");
  step.credit[stream] += bytes;
  return true;
}

static void kill_step(void) {
  struct packet packet = {.kind = PACKET_SIGNAL, .value = SIGKILL};
  if (step.state == RUNNING && step.descriptors[2] >= 0) send_packet(step.descriptors[2], &packet, NULL, 0);
}

void step_cancel(uint32_t channel) {
  if (cancel_slot(channel) || tree_cancel(channel) || step.state == IDLE || channel != step.channel) return;
  if (step.state == RECEIVING) return refuse(ERROR_CANCELED, 0, "canceled");
  kill_step();
}

// Asks the supervisor, whose answer becomes the call's result.
static void ask(uint32_t channel, int signal_number) {
  struct packet packet = {.kind = PACKET_SIGNAL, .channel = channel, .value = signal_number};
  bool asks = step.descriptors[2] >= 0 && step.asked_count < MAX_ASKED;
  if (asks && send_packet(step.descriptors[2], &packet, NULL, 0)) {
    step.asked[step.asked_count++] = channel;
    return;
  }
  static const uint8_t none[4];
  send_result(channel, none, sizeof none);
}

void signal_step(uint32_t channel, struct cursor *cursor) {
  uint32_t run = (uint32_t)take_number(cursor, 4);
  uint8_t number = (uint8_t)take_number(cursor, 1);
  if (!at_end(cursor) || (number != SIGTERM && number != SIGKILL && number != SIGINT))
    return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (step.state != RUNNING || run != step.channel) return send_error(channel, ERROR_NOT_FOUND, 0, "no such step runs");
  ask(channel, number);
}

void count_processes(uint32_t channel) {
  static const uint8_t none[4];
  if (step.state == RUNNING) ask(channel, 0);
  else send_result(channel, none, sizeof none);
}

static void answer(uint32_t channel, uint32_t count) {
  uint8_t number[4];
  put_number(number, count, 4);
  for (size_t i = 0; i < step.asked_count; i++) {
    if (step.asked[i] != channel) continue;
    step.asked[i] = step.asked[--step.asked_count];
    return send_result(channel, number, sizeof number);
  }
}

static void report_end(bool killed, uint32_t value, bool out_of_memory, uint32_t left) {
  uint8_t payload[10] = {killed};
  put_number(payload + 1, value, 4);
  payload[5] = out_of_memory;
  put_number(payload + 6, left, 4);
  step.reported = true;
  send_frame(FRAME_EXITED, step.channel, payload, sizeof payload);
}

static void finish_if_over(void) {
  if (step.state != RUNNING || step.descriptors[2] >= 0) return;
  bool has_output = step.descriptors[0] >= 0 || step.descriptors[1] >= 0;
  // The pipes end with the step's last process. If the supervisor died, that is all that shows its end.
  if (has_output) return;
  end_services();
  // A supervisor that ended left its last questions unanswered: no process was left.
  while (step.asked_count > 0) answer(step.asked[0], 0);
  bool stopping = step.stopping;
  uint32_t channel = step.channel, stop_channel = step.stop_channel;
  if (step.failed) {
    char text[64];
    snprintf(text, sizeof text, "the step can't start: %.23s", step.stage);
    refuse(ERROR_SYSTEM, step.error, text);
  } else if (!step.gone) {
    refuse(ERROR_SYSTEM, 0, "the step's container has ended");
  } else {
    uint8_t struck[STRUCK_BYTES] = {0};
    put_number(struck, step.oom_kills, 4);
    forget();
    send_result(channel, struck, sizeof struck);
  }
  if (stopping) send_result(stop_channel, NULL, 0);
}

void stop_steps(uint32_t channel) {
  stopped = true;
  for (unsigned i = 0; i < MAX_SLOTS; i++) {
    int waiting = take_slot(i);
    if (waiting >= 0) close(waiting);
  }
  if (step.state == RECEIVING) refuse(ERROR_CANCELED, 0, "canceled");
  if (step.state == IDLE) return send_result(channel, NULL, 0);
  step.stopping = true;
  step.stop_channel = channel;
  kill_step();
}

void step_descriptors(int descriptors[3]) {
  for (int i = 0; i < 3; i++) {
    bool can_send = out_space() >= OUT_RESERVE + FRAME_BYTES && (i == 2 || step.credit[i] > FRAME_COST);
    descriptors[i] = step.state == RUNNING && can_send ? step.descriptors[i] : -1;
  }
}

static void close_descriptor(int which) {
  close(step.descriptors[which]);
  step.descriptors[which] = -1;
  finish_if_over();
}

static void read_packet(void) {
  struct packet packet;
  int passed[MAX_PASSED];
  size_t count;
  ssize_t got = receive_packet(step.descriptors[2], &packet, passed, &count);
  bool is_output = got == (ssize_t)sizeof packet && packet.kind == PACKET_OUTPUT && count == 2 && step.descriptors[0] < 0 &&
                   step.descriptors[1] < 0;
  bool is_services = got == (ssize_t)sizeof packet && packet.kind == PACKET_LISTENS;
  if (is_services) take_listeners(passed, packet.ports, count);
  for (size_t i = 0; i < count && !is_services; i++) {
    if (!is_output) close(passed[i]);
    else fcntl(step.descriptors[i] = passed[i], F_SETFL, O_NONBLOCK);
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != (ssize_t)sizeof packet) return close_descriptor(2);
  switch (packet.kind) {
    case PACKET_COUNT:
      return answer(packet.channel, packet.count);
    case PACKET_FAILED:
      if (step.reported) return;
      step.failed = true;
      step.error = packet.value;
      memcpy(step.stage, packet.stage, sizeof step.stage);
      step.stage[sizeof step.stage - 1] = 0;
      return;
    case PACKET_EXITED:
    case PACKET_KILLED:
      if (!step.failed && !step.reported)
        report_end(packet.kind == PACKET_KILLED, (uint32_t)packet.value, packet.out_of_memory == 1, packet.count);
      return;
    case PACKET_GONE:
      step.gone = true;
      step.oom_kills = packet.count;
      return;
    default: return;
  }
}

void step_readable(int which) {
  if (step.state != RUNNING || step.descriptors[which] < 0) return;
  if (which == 2) return read_packet();
  if (step.credit[which] <= FRAME_COST || out_space() < OUT_RESERVE + FRAME_BYTES) return;
  uint8_t payload[PAYLOAD_BYTES];
  size_t wanted = step.credit[which] - FRAME_COST;
  if (wanted > PAYLOAD_BYTES - 1) wanted = PAYLOAD_BYTES - 1;
  ssize_t got = read(step.descriptors[which], payload + 1, wanted);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_descriptor(which);
  payload[0] = (uint8_t)which;
  step.credit[which] -= (uint32_t)got + FRAME_COST;
  send_frame(FRAME_DATA, step.channel, payload, (size_t)got + 1);
}
