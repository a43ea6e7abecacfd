// Declarations shared by the files of the pod agent. It speaks the protocol of docs/guest-protocol.md, and shares the code
// for frames and files with the guest agent.
#ifndef AIRLOCK_POD_H
#define AIRLOCK_POD_H

#include "../../microvm/guest/agent/agent.h"

// Mounted only in the agent's container.
#define CONTROL_SOCKET "/run/airlock/control/agent.sock"
// Mounted in all containers of the pod; read-only for steps, at /.airlock.
#define TOOLS_DIRECTORY "/run/airlock/tools"
#define STEPS_SOCKET TOOLS_DIRECTORY "/steps.sock"
#define STEPS_SOCKET_OF_STEP "/.airlock/steps.sock"

#define MAX_SLOTS 4
#define TOKEN_BYTES 16

// Methods beside those of the guest agent.
#define METHOD_OPEN_SLOT 64
#define METHOD_PUT_TREE 65

// A packet between the agent and the supervisor of a step.
struct packet {
  uint8_t kind;
  // Whether the step's cgroup had a kill for lack of memory.
  uint8_t out_of_memory;
  uint32_t channel;
  int32_t value;
  // Processes of the step that are left, or kills for lack of memory.
  uint32_t count;
  uint8_t token[TOKEN_BYTES];
  char stage[24];
  // Ports of the descriptors that PACKET_LISTENS passes.
  uint16_t ports[MAX_SERVICES];
};

#define MAX_PASSED MAX_SERVICES

enum packet_kind {
  // Agent to supervisor. The specification is in the descriptor that PACKET_RUN passes.
  PACKET_RUN = 'r',
  PACKET_SIGNAL = 's',
  // Supervisor to agent. PACKET_OUTPUT passes the ends of two pipes.
  PACKET_READY = 't',
  PACKET_OUTPUT = 'o',
  PACKET_LISTENS = 'l',
  PACKET_FAILED = 'f',
  PACKET_EXITED = 'x',
  PACKET_KILLED = 'k',
  PACKET_COUNT = 'n',
  PACKET_GONE = 'd',
};

bool send_packet(int socket_fd, const struct packet *packet, const int *descriptors, size_t count);
// Returns the bytes received. `count` is the number of descriptors that came with the packet.
ssize_t receive_packet(int socket_fd, struct packet *packet, int descriptors[MAX_PASSED], size_t *count);
int listen_at(const char *path, mode_t mode);
int connect_to(const char *path);

// pod-reach.c. Prints a line for the API server and for each pair of address and port: `open` if a TCP connection
// succeeds in this time, else `closed`.
_Noreturn void tell_reach(int milliseconds, char **words, int count);

// pod-names.c. Passes DNS queries over UDP on to the TCP port 53, which the executor answers while a step runs.
void start_names(void);

// pod-session.c
// Relays the stream between the agent and one client at a time, and survives the loss of a client's connection.
_Noreturn void relay_session(int agent_fd, pid_t agent, int abandon_seconds);
// Connects standard input and output to the session.
_Noreturn void attach_session(void);

// pod-slots.c
void open_slots(void);
size_t slot_descriptors(struct pollfd *polled);
void serve_slots(const struct pollfd *polled);
bool open_slot(uint32_t channel, struct cursor *cursor);
bool cancel_slot(uint32_t channel);
// The socket of a slot's supervisor, which the caller then owns. -1: there is none.
int take_slot(unsigned index);
#define SLOT_POLLS (1 + 2 * MAX_SLOTS)

// pod-tree.c
void put_tree(uint32_t channel, struct cursor *cursor);
bool tree_data(uint32_t channel, const uint8_t *bytes, size_t length);
bool tree_end(uint32_t channel);
bool tree_cancel(uint32_t channel);

// pod-owner.c
// Gives the workspace to the user of a step's container. Returns 0 or an errno.
int give_workspace(int supervisor);

// pod-supervisor.c
_Noreturn void supervise(const char *token);

#endif
