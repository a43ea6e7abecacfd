// The step that runs, seen from the agent: its specification, output, signals and end. One at a time.
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t spec_bytes[SPEC_BYTES];
static struct step_spec spec;
static struct {
  enum { IDLE, RECEIVING, RUNNING, CLEARING } state;
  uint32_t channel, credit[2], in_credit;
  size_t spec_length;
  pid_t init;
  // stdout, stderr, messages. -1 after their end.
  int descriptors[3];
  bool started, reported, failed, reclaims, canceled;
  uint8_t code;
  int error;
  char stage[24];
  uint8_t struck[STRUCK_BYTES];
} step;
static bool stopped;
// Whether DISK_REMOVED may have something in it.
static bool removes;

static void forget(void) {
  explicit_bzero(spec_bytes, step.spec_length);
  memset(&spec, 0, sizeof spec);
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
  if (step.state == IDLE || channel != step.channel) return false;
  if (step.state != RECEIVING) die("the host sent data to a step that runs");
  if (length + FRAME_COST > step.in_credit) die("the host sent more than its credit");
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

// Takes back what the start of a step has made.
static void refuse_start(int error, const char *text) {
  remove_cgroup();
  if (spec.flags & STEP_UPPER_ON_DISK) rmdir(DISK_UPPER);
  refuse(ERROR_SYSTEM, error, text);
}

static void start(void) {
  int out[2] = {-1, -1}, err[2] = {-1, -1}, messages[2] = {-1, -1};
  struct hand_over owner = {.id_swap = -1};
  const char *problem = parse_step_spec(spec_bytes, step.spec_length, &spec);
  if (problem) return refuse(ERROR_INVALID, 0, problem);
  bool needs_workspace = !(spec.flags & STEP_WITHOUT_WORKSPACE) || spec.flags & STEP_UPPER_ON_DISK;
  if (needs_workspace && !workspace_is_mounted()) return refuse(ERROR_INVALID, 0, "the workspace is not mounted");
  if (!image_is_mounted(spec.image)) return refuse(ERROR_INVALID, 0, "the step's image is not mounted");
  if (spec.flags & STEP_DOCKER && !docker_runs()) return refuse(ERROR_INVALID, 0, "the step's Docker daemon does not run");
  int error = give_files(&spec);
  if (error) return refuse_start(error, "can't change the owner of the job's files");
  problem = make_cgroup(&spec);
  if (problem) return refuse_start(errno, problem);
  if (spec.flags & STEP_UPPER_ON_DISK && mkdir(DISK_UPPER, 0700) < 0)
    return refuse_start(errno, "can't create the upper layer");
  if ((spec.uid || spec.gid) && (owner.id_swap = make_id_swap(&spec)) < 0)
    return refuse_start(errno, "can't create a user namespace");
  step.reclaims = owner.reclaim = must_reclaim(&spec);
  pid_t pid = -1;
  if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, messages) == 0)
    pid = (pid_t)syscall(SYS_clone, (unsigned long)(SIGCHLD | CLONE_NEWPID | CLONE_NEWNS), NULL, NULL, NULL, NULL);
  error = errno;
  if (pid == 0) {
    if (dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0) _exit(1);
    step_init(&spec, messages[1], owner);
  }
  if (owner.id_swap >= 0) close(owner.id_swap);
  int writers[] = {out[1], err[1], messages[1]}, readers[] = {out[0], err[0], messages[0]};
  for (int i = 0; i < 3; i++) {
    if (writers[i] >= 0) close(writers[i]);
    if (readers[i] < 0) continue;
    if (pid < 0) close(readers[i]);
    else fcntl(readers[i], F_SETFL, O_NONBLOCK);
  }
  if (pid < 0) return refuse_start(error, "can't start a process");
  memcpy(step.descriptors, readers, sizeof readers);
  step.init = pid;
  step.state = RUNNING;
}

bool step_end(uint32_t channel) {
  if (step.state == IDLE || channel != step.channel) return false;
  if (step.state != RECEIVING) die("the host ended a stream that it does not send");
  start();
  return true;
}

bool step_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  if (step.state == IDLE || channel != step.channel) return false;
  if (bytes > MAX_CREDIT - step.credit[stream]) die("the host granted too much credit");
  step.credit[stream] += bytes;
  return true;
}

static void clear_later(void);

void step_cancel(uint32_t channel) {
  if (step.state == IDLE || channel != step.channel) return;
  if (step.state == CLEARING) return clear_later();
  if (step.state == RECEIVING) return refuse(ERROR_CANCELED, 0, "canceled");
  step.canceled = true;
  if (step.init > 0) kill(step.init, SIGKILL);
}

// The daemon and its containers live until the end of the job.
static bool is_of_docker(pid_t pid) {
  static const char docker[] = "0::/docker/";
  char path[64], text[sizeof docker];
  if (!docker_runs()) return false;
  snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof docker - 1);
  if (file >= 0) close(file);
  return length == sizeof docker - 1 && !memcmp(text, docker, sizeof docker - 1);
}

// Counts the processes in PID namespaces below the agent's, which are the step's, and signals them unless it is 0.
static unsigned each_process(int signal_number) {
  struct stat own, its;
  unsigned count = 0;
  DIR *listing = opendir("/proc");
  if (!listing || stat("/proc/self/ns/pid", &own) < 0) die("/proc can't be read");
  for (struct dirent *entry; (entry = readdir(listing));) {
    pid_t pid = (pid_t)atoi(entry->d_name);
    char path[64];
    if (pid <= 1 || pid == step.init) continue;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    // A zombie has no namespaces any more.
    if (stat(path, &its) < 0 || its.st_ino == own.st_ino || is_of_docker(pid)) continue;
    count++;
    if (signal_number) kill(pid, signal_number);
  }
  closedir(listing);
  return count;
}

void signal_step(uint32_t channel, struct cursor *cursor) {
  uint32_t run = (uint32_t)take_number(cursor, 4);
  uint8_t number = (uint8_t)take_number(cursor, 1);
  if (!at_end(cursor) || (number != SIGTERM && number != SIGKILL && number != SIGINT))
    return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (step.state != RUNNING || run != step.channel) return send_error(channel, ERROR_NOT_FOUND, 0, "no such step runs");
  // The kernel kills all processes of the namespace together with its first one.
  unsigned count = step.init > 0 ? each_process(number == SIGKILL ? 0 : number) : 0;
  if (number == SIGKILL && step.init > 0) kill(step.init, SIGKILL);
  uint8_t payload[4];
  put_number(payload, count, 4);
  send_result(channel, payload, sizeof payload);
}

void count_processes(uint32_t channel) {
  uint8_t payload[4];
  put_number(payload, step.init > 0 ? each_process(0) : 0, 4);
  send_result(channel, payload, sizeof payload);
}

// Whether memory ran out before the script started.
static bool lacks_memory(void) { return !step.started && cgroup_lacked_memory(); }

static void report_end(bool killed, uint32_t value) {
  uint8_t payload[10] = {killed};
  put_number(payload + 1, value, 4);
  payload[5] = cgroup_had_oom();
  put_number(payload + 6, step.init > 0 ? each_process(0) : 0, 4);
  step.reported = true;
  send_frame(FRAME_EXITED, step.channel, payload, sizeof payload);
}

static void finish(void) {
  uint32_t channel = step.channel;
  if (step.failed) {
    char text[64];
    snprintf(text, sizeof text, "the step can't start: %.23s", step.stage);
    return refuse(step.code, step.error, text);
  }
  uint8_t struck[STRUCK_BYTES];
  memcpy(struck, step.struck, sizeof struck);
  forget();
  send_result(channel, struck, sizeof struck);
}

static void fail(uint8_t code, int error, const char *stage) {
  step.failed = true;
  step.code = code;
  step.error = error;
  snprintf(step.stage, sizeof step.stage, "%s", stage);
}

// Tells the host whose fault it is that the kernel did not execute the program.
static uint8_t code_of_execution(int error) {
  switch (error) {
    case ENOENT: case ENOTDIR: case ELOOP: case ENAMETOOLONG: case EACCES: case EPERM: case EISDIR: case ENOEXEC:
    case EINVAL: case ELIBBAD:
      return ERROR_NOT_EXECUTABLE;
    case E2BIG: return ERROR_TOO_LARGE;
    default: return ERROR_SYSTEM;
  }
}

static void finish_if_over(void) {
  if (step.state != RUNNING || step.init > 0) return;
  for (int i = 0; i < 3; i++)
    if (step.descriptors[i] >= 0) return;
  if (!(spec.flags & STEP_WITHOUT_WORKSPACE)) workspace_used(&spec, step.reclaims, step.reported);
  if (!step.failed && !step.reported) {
    if (lacks_memory()) fail(ERROR_OUT_OF_MEMORY, 0, "out of memory");
    else report_end(true, SIGKILL);
  }
  end_services();
  put_struck_limits(step.struck);
  remove_cgroup();
  if (!(spec.flags & STEP_UPPER_ON_DISK)) return finish();
  step.state = CLEARING;
  if (step.canceled) clear_later();
}

// The host waits only some seconds for the end of a canceled call, and the removal can take minutes.
static void clear_later(void) {
  static unsigned count;
  char path[sizeof DISK_REMOVED + 12];
  snprintf(path, sizeof path, DISK_REMOVED "/%u", count++);
  if (mkdir(DISK_REMOVED, 0700) < 0 && errno != EEXIST) return;
  if (rename(DISK_UPPER, path) < 0) return;
  removes = true;
  finish();
}

bool step_is_clearing(void) { return step.state == CLEARING || removes; }

static void remove_some(void) {
  int directory = open(DISK_REMOVED, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  removes = directory >= 0 && clear_some(directory, 1000) == 0;
  if (directory >= 0) close(directory);
}

void end_starved_step(void) {
  if (step.state == RUNNING && step.init > 0 && step_starves()) kill(step.init, SIGKILL);
}

void step_clear(void) {
  if (step.state != CLEARING) return remove_some();
  int directory = open(DISK_UPPER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int result = directory < 0 ? -1 : clear_some(directory, 1000);
  int error = errno;
  if (directory >= 0) close(directory);
  if (result == 0) return;
  if (result < 0 || rmdir(DISK_UPPER) < 0) return refuse(ERROR_SYSTEM, result < 0 ? error : errno, "can't remove the upper layer");
  finish();
}

void stop_steps(uint32_t channel) {
  stopped = true;
  // The disk goes away with the machine.
  removes = false;
  if (step.state == RECEIVING) refuse(ERROR_CANCELED, 0, "canceled");
  if (step.state == RUNNING && step.init > 0) {
    kill(step.init, SIGKILL);
    // The kernel reaps a namespace's processes before its first one, so this wait also covers them.
    while (waitpid(step.init, NULL, 0) < 0 && errno == EINTR) continue;
    step.init = 0;
  }
  stop_docker();
  sync();
  send_result(channel, NULL, 0);
  finish_if_over();
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

static void read_message(void) {
  struct step_message message;
  int listeners[MAX_SERVICES];
  size_t count;
  ssize_t got = receive_message(step.descriptors[2], &message, listeners, &count);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got != (ssize_t)sizeof message) return close_descriptor(2);
  if (message.kind == STEP_LISTENS) {
    take_listeners(listeners, spec.ports, count);
  } else if (message.kind == STEP_STARTS) {
    step.started = true;
  } else if ((message.kind == STEP_FAILED || message.kind == STEP_NOT_EXECUTED) && !step.reported) {
    uint8_t code = message.kind == STEP_FAILED ? ERROR_SYSTEM : code_of_execution(message.value);
    if (message.value == ENOMEM && cgroup_lacked_memory()) code = ERROR_OUT_OF_MEMORY;
    message.stage[sizeof message.stage - 1] = 0;
    fail(code, message.value, message.stage);
  } else if (message.kind == STEP_KILLED && !step.failed && !step.reported && lacks_memory()) {
    fail(ERROR_OUT_OF_MEMORY, 0, "out of memory");
  } else if (!step.failed && !step.reported) {
    report_end(message.kind == STEP_KILLED, (uint32_t)message.value);
  }
}

void step_readable(int which) {
  if (step.state != RUNNING || step.descriptors[which] < 0) return;
  if (which == 2) return read_message();
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

void reap_children(void) {
  for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
    if (pid == step.init) step.init = 0;
    docker_reaped(pid);
  }
  finish_if_over();
}
