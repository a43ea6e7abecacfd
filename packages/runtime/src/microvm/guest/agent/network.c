// The guest's network: addresses, gateways and MTU of its first Ethernet device.
#include "agent.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ETHERNET_BYTES 6
#define MIN_MTU 1280

struct family {
  bool present;
  uint8_t number, bytes, prefix;
  const uint8_t *address, *gateway;
};

struct settings {
  uint16_t mtu;
  const uint8_t *gateway_ethernet;
  struct family families[2];
};

// A request to the kernel: header, body and attributes.
struct message {
  _Alignas(struct nlmsghdr) uint8_t bytes[256];
};

static int netlink = -1;

static struct nlmsghdr *header_of(struct message *message) { return (struct nlmsghdr *)message->bytes; }

static void begin(struct message *message, uint16_t type, uint16_t flags, const void *body, size_t bytes) {
  memset(message, 0, sizeof *message);
  struct nlmsghdr *header = header_of(message);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  header->nlmsg_len = (uint32_t)NLMSG_LENGTH(bytes);
  memcpy(NLMSG_DATA(header), body, bytes);
}

static void add(struct message *message, uint16_t type, const void *value, size_t bytes) {
  struct nlmsghdr *header = header_of(message);
  struct rtattr *attribute = (struct rtattr *)(message->bytes + NLMSG_ALIGN(header->nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = (uint16_t)RTA_LENGTH(bytes);
  memcpy(RTA_DATA(attribute), value, bytes);
  header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + attribute->rta_len;
}

// Sends a request and reads the kernel's answer. Returns 0 or an errno.
static int perform(struct message *message) {
  struct message answer;
  uint32_t length = header_of(message)->nlmsg_len;
  if (send(netlink, message->bytes, length, 0) != (ssize_t)length) return errno;
  ssize_t got = recv(netlink, answer.bytes, sizeof answer.bytes, MSG_TRUNC);
  if (got < 0) return errno;
  if (header_of(&answer)->nlmsg_type != NLMSG_ERROR || got < (ssize_t)NLMSG_LENGTH(sizeof(int32_t))) return EPROTO;
  int32_t error;
  memcpy(&error, NLMSG_DATA(header_of(&answer)), sizeof error);
  return -error;
}

static int turn_on(unsigned index, const uint32_t *mtu) {
  struct message message;
  struct ifinfomsg link = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
  if (mtu) add(&message, IFLA_MTU, mtu, sizeof *mtu);
  return perform(&message);
}

static int add_address(uint32_t index, const struct family *family) {
  struct message message;
  struct ifaddrmsg address = {
      .ifa_family = family->number, .ifa_prefixlen = family->prefix, .ifa_flags = IFA_F_NODAD, .ifa_index = index};
  begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &address, sizeof address);
  add(&message, IFA_LOCAL, family->address, family->bytes);
  add(&message, IFA_ADDRESS, family->address, family->bytes);
  return perform(&message);
}

// Nobody answers ARP or neighbour discovery on the guest's link.
static int add_neighbour(uint32_t index, const struct family *family, const uint8_t *ethernet) {
  struct message message;
  struct ndmsg neighbour = {.ndm_family = family->number, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
  begin(&message, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour, sizeof neighbour);
  add(&message, NDA_DST, family->gateway, family->bytes);
  add(&message, NDA_LLADDR, ethernet, ETHERNET_BYTES);
  return perform(&message);
}

// The gateway need not be in the address's prefix.
static int add_default_route(uint32_t index, const struct family *family) {
  struct message message;
  struct rtmsg route = {.rtm_family = family->number,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = RT_SCOPE_UNIVERSE,
                        .rtm_type = RTN_UNICAST,
                        .rtm_flags = RTNH_F_ONLINK};
  begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route, sizeof route);
  add(&message, RTA_GATEWAY, family->gateway, family->bytes);
  add(&message, RTA_OIF, &index, sizeof index);
  return perform(&message);
}

// Its index; 0: there is none.
static unsigned first_ethernet(char name[IFNAMSIZ]) {
  struct if_nameindex *all = if_nameindex();
  unsigned found = 0;
  int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (struct if_nameindex *one = all; one && one->if_index && !found; one++) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, IFNAMSIZ, "%s", one->if_name);
    if (ioctl(socket_fd, SIOCGIFHWADDR, &request) < 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER) continue;
    found = one->if_index;
    memcpy(name, request.ifr_name, IFNAMSIZ);
  }
  if (socket_fd >= 0) close(socket_fd);
  if (all) if_freenameindex(all);
  return found;
}

// The device has only the addresses that the host gives it. A kernel without IPv6 does not have these settings.
static void expect_no_router(const char *name) {
  static const char *const settings[][2] = {{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"router_solicitations", "0"}};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/%s", name, settings[i][0]);
    write_text(path, settings[i][1]);
  }
}

// Returns NULL, or what failed, with errno.
static const char *configure(const struct settings *settings) {
  char name[IFNAMSIZ] = "";
  unsigned index = first_ethernet(name);
  uint32_t mtu = settings->mtu;
  if (index == 0) return errno = ENODEV, "the guest has no Ethernet device";
  expect_no_router(name);
  if ((errno = turn_on(if_nametoindex("lo"), NULL))) return "can't turn on the loopback device";
  if ((errno = turn_on(index, &mtu))) return "can't turn on the network device";
  for (int i = 0; i < 2; i++) {
    const struct family *family = &settings->families[i];
    if (!family->present) continue;
    if ((errno = add_address(index, family))) return "can't add the address";
    if ((errno = add_neighbour(index, family, settings->gateway_ethernet))) return "can't add the gateway's entry";
    if ((errno = add_default_route(index, family))) return "can't add the default route";
  }
  return NULL;
}

static bool parse(struct cursor *cursor, struct settings *settings) {
  settings->mtu = (uint16_t)take_number(cursor, 2);
  settings->gateway_ethernet = take_bytes(cursor, ETHERNET_BYTES);
  while (cursor->ok && cursor->left > 0) {
    uint8_t version = (uint8_t)take_number(cursor, 1);
    if (version != 4 && version != 6) return false;
    struct family *family = &settings->families[version == 6];
    if (family->present) return false;
    *family = (struct family){true, version == 6 ? AF_INET6 : AF_INET, version == 6 ? 16 : 4, 0, NULL, NULL};
    family->address = take_bytes(cursor, family->bytes);
    family->prefix = (uint8_t)take_number(cursor, 1);
    family->gateway = take_bytes(cursor, family->bytes);
    if (family->prefix > 8 * family->bytes) return false;
  }
  bool any = settings->families[0].present || settings->families[1].present;
  return at_end(cursor) && any && settings->mtu >= MIN_MTU;
}

void set_network(uint32_t channel, struct cursor *cursor) {
  static bool configured;
  struct settings settings = {0};
  if (!parse(cursor, &settings)) return send_error(channel, ERROR_INVALID, 0, "malformed call");
  if (configured) return send_error(channel, ERROR_INVALID, 0, "the network is set already");
  netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  const char *problem = netlink < 0 ? "can't open a netlink socket" : configure(&settings);
  int error = errno;
  if (netlink >= 0) close(netlink);
  if (problem) return send_error(channel, ERROR_SYSTEM, error, problem);
  configured = true;
  send_result(channel, NULL, 0);
}
