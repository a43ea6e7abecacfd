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

// How the host is reached: `--fd N`, `--serial PATH` or `--vsock PORT`.
static void open_stream(const char *kind, const char *value) {
  if (!strcmp(kind, "--fd")) stream_fd = atoi(value);
  if (!strcmp(kind, "--serial")) stream_fd = open_port(value);
  if (!strcmp(kind, "--vsock")) {
    struct sockaddr_vm host = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = (unsigned)strtoul(value, NULL, 10)};
    stream_fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream_fd >= 0 && connect(stream_fd, (struct sockaddr *)&host, sizeof host) < 0) die("can't connect to the host");
  }
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
  int ready = poll(polled, count, frame_waiting() || transfer_can_send() || step_is_clearing() ? 0 : -1);
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
  if (polled[0].revents & (POLLIN | POLLHUP | POLLERR) && !receive_bytes()) die("the host has closed the stream");
}

int main(int argc, char **argv) {
  const char *kind = NULL, *value = NULL;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--shared-kernel")) shared_kernel = true;
    else if (i + 1 == argc) break;
    else if (!strcmp(argv[i], "--disks")) disk_prefix = argv[++i];
    else kind = argv[i], value = argv[++i];
  }
  // Started by mistake on a host, it would mount over directories and restart the machine.
  if (getpid() != 1) {
    dprintf(STDERR_FILENO, "airlock-agent: runs only as process 1 of a guest\n");
    return 2;
  }
  if (!kind) die("no stream to the host was named");
  load_modules();
  prepare_guest();
  open_stream(kind, value);
  int children = watch_children();
  greet();
  for (;;) {
    process_frames();
    if (transfer_can_send()) transfer_send();
    if (step_is_clearing()) step_clear();
    flush_out();
    wait_and_serve(children);
  }
}
