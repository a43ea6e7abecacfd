// The Docker daemon of a job that asks for one, seen from the agent. It lives from the job's setup to its end.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
  enum { OFF, STARTING, ANSWERS, ENDED } state;
  uint32_t channel, credit;
  pid_t init;
  // The log, and the message that the daemon answers. -1 after their end.
  int descriptors[2];
  bool canceled;
} docker = {.descriptors = {-1, -1}};
static char root[32];

bool docker_runs(void) { return docker.init > 0; }

const char *docker_root(void) { return root; }

static bool is_program(const char *path) { return path && path[0] == '/'; }

// Points the arguments of containerd and dockerd, and dockerd's variables, at copies of the call's bytes. An empty one is
// between the lists.
static bool take_arguments(struct docker_spec *spec, struct cursor *cursor) {
  static char text[PAYLOAD_BYTES + MAX_DOCKER_ARGUMENTS];
  size_t used = 0, count = 0;
  spec->containerd = spec->arguments;
  spec->dockerd = spec->variables = NULL;
  while (cursor->ok && cursor->left > 0) {
    size_t length = take_number(cursor, 2);
    const uint8_t *bytes = take_bytes(cursor, length);
    if (!bytes || count == MAX_DOCKER_ARGUMENTS || memchr(bytes, 0, length)) return false;
    if (length == 0) {
      if (spec->variables) return false;
      spec->arguments[count++] = NULL;
      char ***next = spec->dockerd ? &spec->variables : &spec->dockerd;
      *next = spec->arguments + count;
      continue;
    }
    memcpy(text + used, bytes, length);
    text[used + length] = 0;
    spec->arguments[count++] = text + used;
    used += length + 1;
  }
  spec->arguments[count] = NULL;
  return at_end(cursor) && spec->variables && is_program(spec->containerd[0]) && is_program(spec->dockerd[0]);
}

static int make_file(const char *path, const uint8_t *bytes, size_t length) {
  int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return -1;
  bool written = write(file, bytes, length) == (ssize_t)length;
  close(file);
  return written ? 0 : -1;
}

// What the daemon and steps find before the daemon starts. Returns NULL, or what failed, with errno.
static const char *prepare(const struct cgroup_limits *limits, const uint8_t *resolv_conf, size_t length) {
  static const char *const directories[] = {DOCKER_FILES,           DOCKER_FILES "/data",
                                            DOCKER_FILES "/upper",  DOCKER_FILES "/work",
                                            DOCKER_RUN,             "/run/airlock/files/job/docker"};
  for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
    if (mkdir(directories[i], i < 4 ? 0711 : 0755) < 0) return "can't create the directories of Docker";
  if (mount("tmpfs", DOCKER_RUN, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m") < 0 ||
      make_file(DOCKER_RUN "/resolv.conf", resolv_conf, length) < 0 ||
      make_file("/run/airlock/files/job/docker.sock", NULL, 0) < 0)
    return "can't create the files of Docker";
  errno = make_limited_cgroup(DOCKER_CGROUP, limits);
  return errno ? "can't create the cgroup of Docker" : NULL;
}

// Returns NULL, or what failed, with errno.
static const char *start(struct docker_spec *spec) {
  int log[2] = {-1, -1}, answers[2] = {-1, -1};
  pid_t pid = -1;
  if (pipe2(log, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0)
    pid = (pid_t)syscall(SYS_clone, (unsigned long)(SIGCHLD | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC), NULL, NULL,
                         NULL, NULL);
  int error = errno;
  if (pid == 0) {
    spec->answers = answers[1];
    if (dup2(log[1], 1) < 0 || dup2(log[1], 2) < 0) _exit(1);
    docker_init(spec);
  }
  int writers[] = {log[1], answers[1]}, readers[] = {log[0], answers[0]};
  for (int i = 0; i < 2; i++) {
    if (writers[i] >= 0) close(writers[i]);
    if (readers[i] < 0) continue;
    if (pid < 0) close(readers[i]);
    else fcntl(readers[i], F_SETFL, O_NONBLOCK);
  }
  errno = error;
  if (pid < 0) return "can't start a process";
  memcpy(docker.descriptors, readers, sizeof readers);
  docker.init = pid;
  return NULL;
}

void start_docker(uint32_t channel, struct cursor *cursor) {
  unsigned disk = (unsigned)take_number(cursor, 1);
  struct cgroup_limits limits;
  limits.memory_bytes = take_number(cursor, 8);
  limits.pids = take_number(cursor, 8);
  limits.cpu_micros = take_number(cursor, 8);
  size_t length = take_number(cursor, 2);
  const uint8_t *resolv_conf = take_bytes(cursor, length);
  struct docker_spec spec;
  if (!resolv_conf || !take_arguments(&spec, cursor)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (shared_kernel) return send_error(channel, ERROR_INVALID, 0, "Docker needs a kernel of the guest's own");
  if (docker.state != OFF) return send_error(channel, ERROR_INVALID, 0, "Docker was started or stopped already");
  if (!image_is_mounted(disk)) return send_error(channel, ERROR_INVALID, 0, "the disk of Docker is not mounted");
  if (!workspace_is_mounted()) return send_error(channel, ERROR_INVALID, 0, "the workspace is not mounted");
  docker.state = ENDED;
  snprintf(root, sizeof root, "/run/airlock/images/%u", disk);
  const char *problem = prepare(&limits, resolv_conf, length);
  if (!problem) problem = start(&spec);
  if (problem) return send_errno(channel, errno, problem);
  docker.state = STARTING;
  docker.channel = channel;
  docker.credit = INITIAL_CREDIT;
}

bool docker_credit(uint32_t channel, uint8_t stream, uint32_t bytes) {
  if (docker.state != STARTING || channel != docker.channel) return false;
  if (stream != 0 || bytes > MAX_CREDIT - docker.credit) die("the host granted too much credit");
  docker.credit += bytes;
  return true;
}

static void kill_all(void) {
  if (docker.init > 0) kill(docker.init, SIGKILL);
}

void docker_cancel(uint32_t channel) {
  if (docker.state != STARTING || channel != docker.channel) return;
  docker.canceled = true;
  kill_all();
}

// Answers the call when the daemon has ended and its whole log was sent.
static void fail_if_over(void) {
  if (docker.state != STARTING || docker.init > 0 || docker.descriptors[0] >= 0) return;
  docker.state = ENDED;
  if (docker.canceled) return send_error(docker.channel, ERROR_CANCELED, 0, "canceled");
  bool lacked_memory = cgroup_oom_killed(DOCKER_CGROUP "/memory.events");
  send_error(docker.channel, lacked_memory ? ERROR_OUT_OF_MEMORY : ERROR_SYSTEM, 0,
             "the Docker daemon ended before it answered");
}

void stop_docker(void) {
  if (docker.state == OFF) docker.state = ENDED;
  if (docker.init <= 0) return;
  kill_all();
  // The kernel reaps a namespace's processes before its first one, so this wait also covers the containers.
  while (waitpid(docker.init, NULL, 0) < 0 && errno == EINTR) continue;
  docker_reaped(docker.init);
}

void docker_reaped(pid_t pid) {
  if (pid != docker.init) return;
  docker.init = 0;
  fail_if_over();
}

void docker_descriptors(int descriptors[2]) {
  bool can_send = out_space() >= OUT_RESERVE + FRAME_BYTES && docker.credit > FRAME_COST;
  descriptors[0] = docker.state == STARTING && !can_send ? -1 : docker.descriptors[0];
  descriptors[1] = docker.descriptors[1];
}

static void close_descriptor(int which) {
  close(docker.descriptors[which]);
  docker.descriptors[which] = -1;
  fail_if_over();
}

static void read_answer(void) {
  char byte;
  ssize_t got = read(docker.descriptors[1], &byte, 1);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got == 1 && docker.state == STARTING) {
    docker.state = ANSWERS;
    send_result(docker.channel, NULL, 0);
  }
  // The process that waits for the answer has failed.
  if (docker.state == STARTING) kill_all();
  close_descriptor(1);
}

void docker_readable(int which) {
  if (docker.descriptors[which] < 0) return;
  if (which == 1) return read_answer();
  if (docker.state == STARTING && (docker.credit <= FRAME_COST || out_space() < OUT_RESERVE + FRAME_BYTES)) return;
  uint8_t payload[PAYLOAD_BYTES] = {0};
  size_t wanted = PAYLOAD_BYTES - 1;
  if (docker.state == STARTING && wanted > docker.credit - FRAME_COST) wanted = docker.credit - FRAME_COST;
  ssize_t got = read(docker.descriptors[0], payload + 1, wanted);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_descriptor(0);
  // Nobody asks for the log of a daemon that has started.
  if (docker.state != STARTING) return;
  docker.credit -= (uint32_t)got + FRAME_COST;
  send_frame(FRAME_DATA, docker.channel, payload, (size_t)got + 1);
}
