// The parts of the agent that concern the pod as a whole.
#include "pod.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define WORKSPACE "/run/airlock/workspace/data"

static void accept_call(uint32_t channel) { send_result(channel, NULL, 0); }

// A pod has the node's random numbers and clock.
bool seed(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  accept_call(channel);
  return true;
}

bool set_clock(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  accept_call(channel);
  return true;
}

void mount_image(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  send_error(channel, ERROR_INVALID, 0, "a pod has no disks");
}

void set_network(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  send_error(channel, ERROR_INVALID, 0, "the kubelet sets up a pod's network");
}

void start_docker(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  send_error(channel, ERROR_INVALID, 0, "a pod has no Docker daemon");
}

bool docker_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  (void)channel, (void)stream, (void)bytes;
  return false;
}

void docker_cancel(uint32_t channel) { (void)channel; }

// The kubelet mounts the workspace before the agent starts.
void mount_workspace(uint32_t channel, struct cursor *cursor) {
  (void)cursor;
  accept_call(channel);
}

bool workspace_is_mounted(void) { return true; }

bool other_call(uint8_t method, uint32_t channel, struct cursor *cursor) {
  if (method == METHOD_PUT_TREE) {
    put_tree(channel, cursor);
    return true;
  }
  return method == METHOD_OPEN_SLOT && open_slot(channel, cursor);
}

void send_stats(uint32_t channel) {
  uint8_t payload[40] = {0};
  struct sysinfo info;
  struct statvfs disk;
  if (sysinfo(&info) == 0) {
    put_number(payload, (uint64_t)info.totalram * info.mem_unit, 8);
    put_number(payload + 8, (uint64_t)info.freeram * info.mem_unit, 8);
    put_number(payload + 16, info.procs, 8);
  }
  if (statvfs(WORKSPACE, &disk) == 0) {
    put_number(payload + 24, (uint64_t)disk.f_blocks * disk.f_frsize, 8);
    put_number(payload + 32, (uint64_t)disk.f_bavail * disk.f_frsize, 8);
  }
  send_result(channel, payload, sizeof payload);
}

void power_off(void) {
  flush_out();
  _exit(0);
}

void die(const char *why) {
  dprintf(STDERR_FILENO, "airlock-pod-agent: %s\n", why);
  _exit(2);
}
