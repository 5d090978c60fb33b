// SPDX-License-Identifier: Apache-2.0
// Two observers of a virtual IP, each nailed to the MAC address of one node: every millisecond (or
// --every) each node is asked for it by ICMP echo and by ARP, in frames addressed to that node alone, so that
// who answered when is known exactly.
//
// A reply proves that its node held the address at some moment between question and reply. From first
// replies' arrival to last answered questions' sending it held it throughout (questions less than HOLD_US
// apart): a span. Two nodes' spans that overlap prove two holders at once, whatever delays the machine had:
// there are no false alarms.
#include <arpa/inet.h>
#include <getopt.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "tests/support/command.h"

#define NODES_SEEN 2
#define HOLD_US 20000 // a node that was silent for longer may have let go in between
#define ARP_SLOTS 16  // ARP questions that are told apart by the sender's address they carry: .224 to .239
#define ARP_SLOT_0 224
#define RECENT 8 // spans kept for comparison with the other node's

struct span {
  int64_t from_us, to_us;
};

struct seen {
  unsigned char mac[ETH_ALEN];
  uint64_t icmp, arp;        // replies in this phase
  int64_t first_us, last_us; // arrival of the first and the last reply of this phase, 0: none
  struct span span[RECENT];  // a ring, the newest at `newest`
  unsigned newest;
  int64_t arp_asked_us[ARP_SLOTS];
};

struct observer {
  int fd, index;
  unsigned char mac[ETH_ALEN];
  struct in_addr self, wanted;
  uint16_t sequence;
  struct seen node[NODES_SEEN];
  char phase[PHASE_NAME_MAX];
  int64_t both_us, both_at_us; // in this phase: how long two held it at once, and since when
};

struct ping {
  struct ether_header ether;
  struct iphdr ip;
  struct icmphdr icmp;
  int64_t asked_us;
} __attribute__((packed));

struct who_has {
  struct ether_header ether;
  struct ether_arp arp;
} __attribute__((packed));

static uint16_t checksum(const void *data, size_t length) {
  const unsigned char *bytes = data;
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < length; i += 2)
    sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return htons((uint16_t)~sum);
}

static void send_frame(const struct observer *observer, const void *frame, size_t length) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = observer->index, .sll_halen = ETH_ALEN};
  // A frame that does not go out is a question that is not answered: spans become shorter, never wrong.
  (void)!sendto(observer->fd, frame, length, MSG_DONTWAIT, (const struct sockaddr *)&to, sizeof to);
}

static void ask_icmp(struct observer *observer, unsigned node) {
  struct ping ping = {.asked_us = now_us()};
  memcpy(ping.ether.ether_dhost, observer->node[node].mac, ETH_ALEN);
  memcpy(ping.ether.ether_shost, observer->mac, ETH_ALEN);
  ping.ether.ether_type = htons(ETHERTYPE_IP);
  ping.ip = (struct iphdr){.version = 4,
                           .ihl = 5,
                           .ttl = 1,
                           .protocol = IPPROTO_ICMP,
                           .saddr = observer->self.s_addr,
                           .daddr = observer->wanted.s_addr,
                           .tot_len = htons(sizeof ping - sizeof ping.ether)};
  ping.ip.check = checksum(&ping.ip, sizeof ping.ip);
  ping.icmp.type = ICMP_ECHO;
  ping.icmp.un.echo.id = htons((uint16_t)(0x7a00 + node));
  ping.icmp.un.echo.sequence = htons(observer->sequence);
  ping.icmp.checksum = checksum(&ping.icmp, sizeof ping.icmp + sizeof ping.asked_us);
  send_frame(observer, &ping, sizeof ping);
}

static void ask_arp(struct observer *observer, unsigned node) {
  unsigned slot = observer->sequence % ARP_SLOTS;
  struct who_has question = {0};
  memcpy(question.ether.ether_dhost, observer->node[node].mac, ETH_ALEN);
  memcpy(question.ether.ether_shost, observer->mac, ETH_ALEN);
  question.ether.ether_type = htons(ETHERTYPE_ARP);
  question.arp.ea_hdr = (struct arphdr){.ar_hrd = htons(ARPHRD_ETHER),
                                        .ar_pro = htons(ETHERTYPE_IP),
                                        .ar_hln = ETH_ALEN,
                                        .ar_pln = 4,
                                        .ar_op = htons(ARPOP_REQUEST)};
  memcpy(question.arp.arp_sha, observer->mac, ETH_ALEN);
  memcpy(question.arp.arp_spa, &observer->self, 3);
  question.arp.arp_spa[3] = (uint8_t)(ARP_SLOT_0 + slot);
  memcpy(question.arp.arp_tpa, &observer->wanted, 4);
  observer->node[node].arp_asked_us[slot] = now_us();
  send_frame(observer, &question, sizeof question);
}

static int64_t overlap_us(const struct span *one, const struct span *other) {
  int64_t from = one->from_us > other->from_us ? one->from_us : other->from_us;
  int64_t to = one->to_us < other->to_us ? one->to_us : other->to_us;
  return to - from;
}

// How much of this span, grown from `before`, two have held at once; each moment is counted once, as it is
// proven.
static void note_overlap(struct observer *observer, unsigned node, const struct span *before) {
  const struct seen *seen = &observer->node[node], *other = &observer->node[1 - node];
  for (unsigned i = 0; i < RECENT; i++) {
    int64_t now = overlap_us(&seen->span[seen->newest], &other->span[i]);
    int64_t past = overlap_us(before, &other->span[i]);
    now = now > 0 ? now : 0;
    past = past > 0 ? past : 0;
    if (now > past && observer->both_us == 0)
      observer->both_at_us = seen->span[seen->newest].to_us;
    observer->both_us += now - past;
  }
}

static void replied(struct observer *observer, unsigned node, int64_t asked_us, int64_t now) {
  struct seen *seen = &observer->node[node];
  struct span *span = &seen->span[seen->newest];
  seen->first_us = seen->first_us ? seen->first_us : now;
  seen->last_us = now;
  if (asked_us - span->to_us > HOLD_US) { // a new span, empty until a later question is answered
    seen->newest = (seen->newest + 1) % RECENT;
    seen->span[seen->newest] = (struct span){.from_us = now, .to_us = now};
    return;
  }
  struct span before = *span;
  if (asked_us > span->to_us)
    span->to_us = asked_us;
  note_overlap(observer, node, &before);
}

static int node_of(const struct observer *observer, const unsigned char *mac) {
  for (int i = 0; i < NODES_SEEN; i++)
    if (memcmp(observer->node[i].mac, mac, ETH_ALEN) == 0)
      return i;
  return -1;
}

static void read_icmp(struct observer *observer, unsigned node, const void *frame, size_t length,
                      int64_t now) {
  struct ping ping;
  if (length < sizeof ping)
    return;
  memcpy(&ping, frame, sizeof ping);
  if (ping.ip.protocol != IPPROTO_ICMP || ping.icmp.type != ICMP_ECHOREPLY ||
      ping.ip.saddr != observer->wanted.s_addr || ntohs(ping.icmp.un.echo.id) != 0x7a00 + node)
    return;
  observer->node[node].icmp++;
  replied(observer, node, ping.asked_us, now);
}

static void read_arp(struct observer *observer, unsigned node, const void *frame, size_t length,
                     int64_t now) {
  struct who_has reply;
  if (length < sizeof reply)
    return;
  memcpy(&reply, frame, sizeof reply);
  unsigned slot = reply.arp.arp_tpa[3] - (unsigned)ARP_SLOT_0;
  if (ntohs(reply.arp.ea_hdr.ar_op) != ARPOP_REPLY || memcmp(reply.arp.arp_spa, &observer->wanted, 4) != 0 ||
      slot >= ARP_SLOTS)
    return; // an announcement is not an answer
  observer->node[node].arp++;
  replied(observer, node, observer->node[node].arp_asked_us[slot], now);
}

static void receive(struct observer *observer) {
  unsigned char frame[256];
  for (;;) {
    ssize_t got = recv(observer->fd, frame, sizeof frame, MSG_DONTWAIT);
    if (got < (ssize_t)sizeof(struct ether_header))
      return;
    int64_t now = now_us();
    struct ether_header ether;
    memcpy(&ether, frame, sizeof ether);
    int node = node_of(observer, ether.ether_shost);
    if (node >= 0 && ether.ether_type == htons(ETHERTYPE_IP))
      read_icmp(observer, (unsigned)node, frame, (size_t)got, now);
    else if (node >= 0 && ether.ether_type == htons(ETHERTYPE_ARP))
      read_arp(observer, (unsigned)node, frame, (size_t)got, now);
  }
}

static void ask(struct observer *observer) {
  observer->sequence++;
  for (unsigned node = 0; node < NODES_SEEN; node++) {
    ask_icmp(observer, node);
    ask_arp(observer, node);
  }
}

static void put_node(const struct seen *seen, const char *name) {
  printf("\"%s\": {\"icmp\": %llu, \"arp\": %llu, \"first_us\": %lld, \"last_us\": %lld}, ", name,
         (unsigned long long)seen->icmp, (unsigned long long)seen->arp, (long long)seen->first_us,
         (long long)seen->last_us);
}

static void report(const struct observer *observer) {
  printf("{\"phase\": \"%s\", ", observer->phase);
  put_node(&observer->node[0], "a");
  put_node(&observer->node[1], "b");
  printf("\"both_us\": %lld, \"both_at_us\": %lld, \"now_us\": %lld}\n", (long long)observer->both_us,
         (long long)observer->both_at_us, (long long)now_us());
  fflush(stdout);
}

static void begin(struct observer *observer, const char *name) {
  for (unsigned i = 0; i < NODES_SEEN; i++) {
    struct seen *seen = &observer->node[i];
    seen->icmp = seen->arp = 0;
    seen->first_us = seen->last_us = 0;
  }
  observer->both_us = observer->both_at_us = 0;
  snprintf(observer->phase, sizeof observer->phase, "%s", name);
}

static int start_timer(int64_t every_us) {
  struct timespec every = timespec_us(every_us);
  struct itimerspec timer = {.it_interval = every, .it_value = every};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || timerfd_settime(fd, 0, &timer, NULL) != 0) {
    perror("timerfd");
    exit(1);
  }
  return fd;
}

static void serve(struct observer *observer, int timer) {
  struct command command = {.length = 0};
  struct pollfd wait[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = observer->fd, .events = POLLIN},
                           {.fd = timer, .events = POLLIN}};
  for (;;) {
    char name[PHASE_NAME_MAX];
    uint64_t times;
    if (poll(wait, 3, -1) < 0 && errno != EINTR)
      exit(1);
    if (wait[1].revents) // before a new question takes the slot of an old one
      receive(observer);
    if (wait[0].revents && !command_read(&command))
      return;
    while (command_next(&command, name)) {
      report(observer);
      if (*name)
        begin(observer, name);
    }
    if (read(timer, &times, sizeof times) == (ssize_t)sizeof times)
      ask(observer);
  }
}

static void open_interface(struct observer *observer, const char *interface) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
  observer->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (observer->fd < 0 || ioctl(observer->fd, SIOCGIFHWADDR, &request) != 0) {
    perror(interface);
    exit(1);
  }
  memcpy(observer->mac, request.ifr_hwaddr.sa_data, ETH_ALEN);
  observer->index = (int)if_nametoindex(interface);
  struct sockaddr_ll bound = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = observer->index};
  const int room = 4 << 20;
  if (bind(observer->fd, (const struct sockaddr *)&bound, sizeof bound) != 0 ||
      setsockopt(observer->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) != 0) {
    perror(interface);
    exit(1);
  }
}

static void parse_mac(const char *text, unsigned char mac[ETH_ALEN]) {
  unsigned part[ETH_ALEN];
  if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &part[0], &part[1], &part[2], &part[3], &part[4], &part[5]) !=
      ETH_ALEN) {
    fprintf(stderr, "not a MAC address: %s\n", text);
    exit(2);
  }
  for (size_t i = 0; i < ETH_ALEN; i++)
    mac[i] = (unsigned char)part[i];
}

static _Noreturn void usage(void) {
  fputs("usage: observer [--every US] INTERFACE OWN-ADDRESS VIRTUAL-IP MAC-OF-A MAC-OF-B\n", stderr);
  exit(2);
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"every", required_argument, NULL, 'e'}, {0}};
  static struct observer observer = {.phase = "begin"};
  int64_t every_us = 1000;
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option != 'e')
      usage();
    every_us = atoll(optarg); // less than HOLD_US
  }
  argv += optind - 1;
  if (argc - optind != 5 || every_us <= 0 || every_us >= HOLD_US ||
      inet_pton(AF_INET, argv[2], &observer.self) != 1 || inet_pton(AF_INET, argv[3], &observer.wanted) != 1)
    usage();
  parse_mac(argv[4], observer.node[0].mac);
  parse_mac(argv[5], observer.node[1].mac);
  open_interface(&observer, argv[1]);
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  serve(&observer, start_timer(every_us));
  return 0;
}
