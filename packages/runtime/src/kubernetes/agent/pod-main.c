// The agent of a job's pod. `serve` is the pod's only ordinary container, `step` the first process of each step's
// container, and the API server starts `attach` for each connection of the executor. `reach` tells which addresses the pod
// reaches. With `names`, the pod has a name server.
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void greet(void) {
  static const uint8_t hello[] = {'A', 'I', 'R', 'L', 'O', 'C', 'K', 0, 0, PROTOCOL_VERSION};
  send_frame(FRAME_HELLO, 0, hello, sizeof hello);
}

// Steps' images don't have this program, so their containers run a copy of it.
static void copy_program(void) {
  int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int to = open(TOOLS_DIRECTORY "/agent", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  char bytes[65536];
  ssize_t got = -1;
  while (from >= 0 && to >= 0 && (got = read(from, bytes, sizeof bytes)) > 0)
    if (write(to, bytes, (size_t)got) != got) break;
  if (got != 0 || fchmod(to, 0755) < 0) die("can't copy the agent");
  close(from);
  close(to);
}

static _Noreturn void serve_calls(int fd) {
  stream_fd = fd;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  open_slots();
  greet();
  for (;;) {
    process_frames();
    if (transfer_can_send()) transfer_send();
    flush_out();
    int steps[3];
    step_descriptors(steps);
    bool accepts = out_space() >= OUT_RESERVE;
    struct pollfd polled[4 + SLOT_POLLS + SERVICE_POLLS] = {
        {.fd = fd, .events = (short)((accepts ? POLLIN : 0) | (out_pending() ? POLLOUT : 0))}};
    for (int i = 0; i < 3; i++) polled[1 + i] = (struct pollfd){.fd = steps[i], .events = POLLIN};
    size_t slots = slot_descriptors(polled + 4);
    size_t services = service_descriptors(polled + 4 + slots);
    int ready = poll(polled, 4 + slots + services, frame_waiting() || transfer_can_send() ? 0 : -1);
    if (ready < 0 && errno != EINTR) die("poll failed");
    if (ready <= 0) continue;
    serve_slots(polled + 4);
    for (int i = 0; i < 3; i++)
      if (polled[1 + i].revents) step_readable(i);
    serve_connections(polled + 4 + slots);
    if (polled[0].revents & (POLLIN | POLLHUP | POLLERR) && !receive_bytes()) die("the session has ended");
  }
}

static _Noreturn void serve(int abandon_seconds, bool has_names) {
  int ends[2];
  umask(0);
  signal(SIGPIPE, SIG_IGN);
  copy_program();
  if (has_names) start_names();
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) die("can't create a socket");
  pid_t agent = fork();
  if (agent < 0) die("can't start a process");
  if (agent == 0) {
    close(ends[1]);
    serve_calls(ends[0]);
  }
  close(ends[0]);
  relay_session(ends[1], agent, abandon_seconds);
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]), false);
  if (argc == 4 && !strcmp(argv[1], "serve") && !strcmp(argv[3], "names")) serve(atoi(argv[2]), true);
  if (argc == 2 && !strcmp(argv[1], "attach")) attach_session();
  if (argc >= 3 && !strcmp(argv[1], "reach")) tell_reach(atoi(argv[2]), argv + 3, argc - 3);
  if (argc == 3 && !strcmp(argv[1], "step")) supervise(argv[2]);
  dprintf(STDERR_FILENO, "usage: airlock-pod-agent serve SECONDS [names] | attach | reach MILLISECONDS [ADDRESS PORT]... | step TOKEN\n");
  return 2;
}
