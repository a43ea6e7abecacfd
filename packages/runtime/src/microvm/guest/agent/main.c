// Process 1 of the guest: one thread that waits for the host, the step and its children.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// The kernel creates the port's device a moment after its driver was loaded.
static int open_port(const char *path) {
  for (int waited = 0;; waited++) {
    int port = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (port >= 0 || errno != ENOENT || waited == 10000) return port;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
}

// How the host is reached: `--fd N`, `--serial PATH`, `--vsock PORT`, or `--unix PATH` in tests.
static const char *stream_kind, *stream_value;

static bool can_connect_again(void) { return !strcmp(stream_kind, "--vsock") || !strcmp(stream_kind, "--unix"); }

static int connect_to(int family, const void *address, socklen_t bytes) {
  int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0 || connect(descriptor, address, bytes) == 0) return descriptor;
  close(descriptor);
  return -1;
}

static int open_descriptor(void) {
  if (!strcmp(stream_kind, "--fd")) return atoi(stream_value);
  if (!strcmp(stream_kind, "--serial")) return open_port(stream_value);
  if (!strcmp(stream_kind, "--vsock")) {
    struct sockaddr_vm host = {.svm_family = AF_VSOCK,
                               .svm_cid = VMADDR_CID_HOST,
                               .svm_port = (unsigned)strtoul(stream_value, NULL, 10)};
    return connect_to(AF_VSOCK, &host, sizeof host);
  }
  struct sockaddr_un host = {.sun_family = AF_UNIX};
  if (strlen(stream_value) >= sizeof host.sun_path) return -1;
  strcpy(host.sun_path, stream_value);
  return connect_to(AF_UNIX, &host, sizeof host);
}

static void open_stream(void) {
  stream_fd = open_descriptor();
  if (stream_fd < 0) die("can't open the stream to the host");
  fcntl(stream_fd, F_SETFD, FD_CLOEXEC);
  fcntl(stream_fd, F_SETFL, fcntl(stream_fd, F_GETFL) | O_NONBLOCK);
}

static int watch_children(void) {
  sigset_t signals;
  sigfillset(&signals);
  sigprocmask(SIG_SETMASK, &signals, NULL);
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  int descriptor = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
  if (descriptor < 0) die("can't create a signalfd");
  return descriptor;
}

static void greet(void) {
  static const uint8_t hello[] = {'A', 'I', 'R', 'L', 'O', 'C', 'K', 0, 0, PROTOCOL_VERSION};
  send_frame(FRAME_HELLO, 0, hello, sizeof hello);
}

// A copy of this guest that Firecracker restores has lost its connection. So the agent connects again, unless the host
// has greeted already: then a step could be running, and a second host would be an impostor.
static void stream_lost(void) {
  if (host_has_greeted() || !can_connect_again()) die("the host has closed the stream");
  close(stream_fd);
  forget_frames();
  // The host of a copy may listen a moment later than the guest runs.
  for (int waited = 0; (stream_fd = open_descriptor()) < 0; waited++) {
    if (waited == 10000) die("can't connect to the host again");
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  fcntl(stream_fd, F_SETFL, fcntl(stream_fd, F_GETFL) | O_NONBLOCK);
  greet();
}

static void wait_and_serve(int children) {
  int steps[3], docker[2];
  step_descriptors(steps);
  docker_descriptors(docker);
  bool accepts = out_space() >= OUT_RESERVE;
  short stream_events = (short)((accepts ? POLLIN : 0) | (out_pending() ? POLLOUT : 0));
  // Without events the stream still reports its end, which the next read finds.
  struct pollfd polled[7 + SERVICE_POLLS] = {{.fd = stream_fd, .events = stream_events},
                            {.fd = children, .events = POLLIN},
                            {.fd = steps[0], .events = POLLIN},
                            {.fd = steps[1], .events = POLLIN},
                            {.fd = steps[2], .events = POLLIN},
                            {.fd = docker[0], .events = POLLIN},
                            {.fd = docker[1], .events = POLLIN}};
  size_t count = 7 + service_descriptors(polled + 7);
  int ready = poll(polled, count, frame_waiting() || transfer_can_send() || step_is_clearing() ? 0 : memory_look_ms());
  if (ready < 0 && errno != EINTR) die("poll failed");
  if (ready <= 0) return;
  if (polled[1].revents) {
    struct signalfd_siginfo info;
    while (read(children, &info, sizeof info) > 0) continue;
    reap_children();
  }
  // In turns, so that neither output nor connections take all the space for the host.
  static bool connections_first;
  connections_first = !connections_first;
  if (connections_first) serve_connections(polled + 7);
  for (int i = 0; i < 3; i++)
    if (polled[2 + i].revents) step_readable(i);
  for (int i = 0; i < 2; i++)
    if (polled[5 + i].revents) docker_readable(i);
  if (!connections_first) serve_connections(polled + 7);
  if (polled[0].revents & (POLLIN | POLLHUP | POLLERR) && !receive_bytes()) stream_lost();
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--shared-kernel")) shared_kernel = true;
    else if (i + 1 == argc) break;
    else if (!strcmp(argv[i], "--disks")) disk_prefix = argv[++i];
    else stream_kind = argv[i], stream_value = argv[++i];
  }
  // Started by mistake on a host, it would mount over directories and restart the machine.
  if (getpid() != 1) {
    dprintf(STDERR_FILENO, "airlock-agent: runs only as process 1 of a guest\n");
    return 2;
  }
  if (!stream_kind) die("no stream to the host was named");
  load_modules();
  prepare_guest();
  open_stream();
  int children = watch_children();
  greet();
  for (;;) {
    process_frames();
    if (transfer_can_send()) transfer_send();
    if (step_is_clearing()) step_clear();
    end_starved_step();
    if (!flush_out()) stream_lost();
    wait_and_serve(children);
  }
}
