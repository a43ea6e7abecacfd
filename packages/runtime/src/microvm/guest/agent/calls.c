// The handshake and the dispatch of frames from the host.
#include "agent.h"

#include <string.h>

static bool greeted, seeded, clock_set;

static void call(uint32_t channel, struct cursor cursor) {
  if (channel == 0) die("a call has channel 0");
  uint8_t method = (uint8_t)take_number(&cursor, 1);
  // Nothing may run with random numbers or a clock that a restored snapshot shares with its clones.
  if (method != METHOD_SEED && method != METHOD_POWER_OFF && !(method == METHOD_CLOCK && seeded) &&
      !(seeded && clock_set))
    return send_error(channel, ERROR_NOT_READY, 0, "seed and clock must be set first");
  switch (method) {
    case METHOD_SEED:
      seeded |= seed(channel, &cursor);
      return;
    case METHOD_CLOCK:
      clock_set |= set_clock(channel, &cursor);
      return;
    case METHOD_MOUNT_IMAGE: return mount_image(channel, &cursor);
    case METHOD_MOUNT_WORKSPACE: return mount_workspace(channel, &cursor);
    case METHOD_PUT_FILE: return put_file(channel, &cursor);
    case METHOD_CLEAR_STEP_FILES: return clear_step_files(channel);
    case METHOD_RUN: return run_step(channel, &cursor);
    case METHOD_SIGNAL: return signal_step(channel, &cursor);
    case METHOD_COUNT_PROCESSES: return count_processes(channel);
    case METHOD_READ_FILE: return read_file(channel, &cursor);
    case METHOD_LIST: return list_directory(channel, &cursor);
    case METHOD_READ_LINK: return read_link(channel, &cursor);
    case METHOD_REMOVE_FILE: return remove_file(channel, &cursor);
    case METHOD_STATS: return send_stats(channel);
    case METHOD_NETWORK: return set_network(channel, &cursor);
    case METHOD_START_DOCKER: return start_docker(channel, &cursor);
    case METHOD_STOP: return stop_steps(channel);
    case METHOD_POWER_OFF:
      send_result(channel, NULL, 0);
      power_off();
    default:
      if (!other_call(method, channel, &cursor))
        send_error(channel, ERROR_INVALID, 0, "the agent does not know this method");
  }
}

bool host_has_greeted(void) { return greeted; }

static void hello(const uint8_t *payload, size_t bytes) {
  static const uint8_t expected[] = {'A', 'I', 'R', 'L', 'O', 'C', 'K', 0, 0, PROTOCOL_VERSION};
  if (bytes != sizeof expected || memcmp(payload, expected, sizeof expected)) die("the host speaks another version");
  greeted = true;
}

// Frames of channels that have ended are ignored: the host may send them before it reads the end.
void handle_frame(uint8_t type, uint32_t channel, const uint8_t *payload, size_t bytes) {
  struct cursor cursor = {payload, bytes, true};
  if (greeted == (type == FRAME_HELLO)) die("the handshake is out of order");
  if (channel & SERVICE_CHANNEL) return service_frame(type, channel, payload, bytes);
  switch (type) {
    case FRAME_HELLO: return hello(payload, bytes);
    case FRAME_CALL: return call(channel, cursor);
    case FRAME_DATA:
      if (bytes < 1 || payload[0] != 0) die("data names an unknown stream");
      if (!transfer_data(channel, payload + 1, bytes - 1)) step_data(channel, payload + 1, bytes - 1);
      return;
    case FRAME_END:
      if (bytes != 1 || payload[0] != 0) die("an end names an unknown stream");
      if (!transfer_end(channel)) step_end(channel);
      return;
    case FRAME_CREDIT: {
      uint8_t stream = (uint8_t)take_number(&cursor, 1);
      uint32_t granted = (uint32_t)take_number(&cursor, 4);
      if (!at_end(&cursor) || stream > 1 || granted > MAX_CREDIT) die("a grant of credit is malformed");
      if (transfer_credit(channel, stream, granted) || docker_credit(channel, stream, granted)) return;
      step_credit(channel, stream, granted);
      return;
    }
    case FRAME_CANCEL:
      if (bytes != 0) die("a cancel has a payload");
      transfer_cancel(channel);
      step_cancel(channel);
      docker_cancel(channel);
      return;
    default: die("the host sent an unknown frame");
  }
}
