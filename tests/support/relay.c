// SPDX-License-Identifier: Apache-2.0
// A slow wire: takes the frames that come out of one port of the switch for one machine, keeps each for a
// while, and puts it on that machine's port. With --late a share of the frames is kept longer than the rest,
// so that later ones pass them; with --lose a share is lost, with --without all TCP of a port. What the
// machines send and receive is untouched: they are not aware of it.
//
// The switch must not carry the same frames itself (Wire.drop). Each WAY is IN,OUT,MAC: from the port IN to
// the port OUT, whose machine has that MAC address. Prints "ready" once it carries; ends at the end of stdin.
#include <arpa/inet.h>
#include <getopt.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/support/command.h"

#define WAYS_MAX 8
#define FRAME_MAX (sizeof(struct virtio_net_hdr) + 65536 + 64) // a segment that nobody has cut up yet
#define KEPT_MAX 4096                                          // what comes beyond is lost, as on any wire

struct way {
  int fd; // bound to the port IN
  int out;
  unsigned char mac[ETH_ALEN];
};

struct frame {
  struct frame *next;
  int64_t due_us;
  int out;
  size_t length;
  unsigned char bytes[]; // with the header that says which checksums are still to be made
};

struct relay {
  struct way way[WAYS_MAX];
  size_t ways, kept;
  struct frame *first; // by due time
  int64_t delay_us, late_us;
  uint64_t late_percent, lose_percent, random;
  int without; // a TCP port; 0: none
};

static _Noreturn void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t draw(struct relay *relay) { // xorshift64
  relay->random ^= relay->random << 13;
  relay->random ^= relay->random >> 7;
  relay->random ^= relay->random << 17;
  return relay->random;
}

// Behind all that are due no later: frames of the same delay keep their order.
static void keep(struct relay *relay, struct frame *frame) {
  struct frame **at = &relay->first;
  while (*at && (*at)->due_us <= frame->due_us)
    at = &(*at)->next;
  frame->next = *at;
  *at = frame;
  relay->kept++;
}

static bool is_for(const struct way *way, const unsigned char *ethernet) {
  return (ethernet[0] & 1) != 0 || memcmp(ethernet, way->mac, ETH_ALEN) == 0; // to all, or to this machine
}

// TCP over IPv4 from or to the port that nobody is to reach.
static bool is_refused(const struct relay *relay, const unsigned char *ethernet, size_t length) {
  const unsigned char *ip = ethernet + sizeof(struct ether_header);
  size_t ip_length = length > sizeof(struct ether_header) ? (size_t)(ip[0] & 0xf) * 4 : 0;
  if (relay->without == 0 || length < sizeof(struct ether_header) + ip_length + 4 || ethernet[12] != 0x08 ||
      ethernet[13] != 0x00 || ip[9] != IPPROTO_TCP)
    return false;
  const unsigned char *tcp = ip + ip_length;
  return (tcp[0] << 8 | tcp[1]) == relay->without || (tcp[2] << 8 | tcp[3]) == relay->without;
}

static void take(struct relay *relay, const struct way *way) {
  static unsigned char buffer[FRAME_MAX];
  const size_t header = sizeof(struct virtio_net_hdr);
  for (;;) {
    ssize_t got = recv(way->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < (ssize_t)(header + sizeof(struct ether_header)))
      return;
    if (relay->kept == KEPT_MAX || !is_for(way, buffer + header) ||
        is_refused(relay, buffer + header, (size_t)got - header) || draw(relay) % 100 < relay->lose_percent)
      continue;
    struct frame *frame = malloc(sizeof *frame + (size_t)got);
    if (!frame)
      fail("malloc");
    bool late = draw(relay) % 100 < relay->late_percent;
    frame->due_us = now_us() + relay->delay_us + (late ? relay->late_us : 0);
    frame->out = way->out;
    frame->length = (size_t)got;
    memcpy(frame->bytes, buffer, frame->length);
    keep(relay, frame);
  }
}

static void pass_on(struct relay *relay) {
  int64_t now = now_us();
  while (relay->first && relay->first->due_us <= now) {
    struct frame *frame = relay->first;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = frame->out, .sll_halen = ETH_ALEN};
    // A frame that does not go out, since its machine is off, is lost there as it would be anywhere.
    (void)!sendto(relay->way[0].fd, frame->bytes, frame->length, MSG_DONTWAIT, (const struct sockaddr *)&to,
                  sizeof to);
    relay->first = frame->next;
    relay->kept--;
    free(frame);
  }
}

static void serve(struct relay *relay) {
  struct pollfd wait[WAYS_MAX + 1] = {{.fd = STDIN_FILENO, .events = POLLIN}};
  for (size_t i = 0; i < relay->ways; i++)
    wait[i + 1] = (struct pollfd){.fd = relay->way[i].fd, .events = POLLIN};
  while (!wait[0].revents) {
    struct timespec timeout = timespec_us(relay->first ? relay->first->due_us - now_us() : 0);
    if (ppoll(wait, relay->ways + 1, relay->first ? &timeout : NULL, NULL) < 0 && errno != EINTR)
      fail("ppoll");
    for (size_t i = 0; i < relay->ways; i++)
      if (wait[i + 1].revents)
        take(relay, &relay->way[i]);
    pass_on(relay);
  }
}

static int open_port(const char *name) {
  const int on = 1, room = 8 << 20;
  struct sockaddr_ll bound = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); // nothing arrives before it is bound
  if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) != 0 || bound.sll_ifindex == 0 ||
      bind(fd, (const struct sockaddr *)&bound, sizeof bound) != 0)
    fail(name);
  return fd;
}

static void add_way(struct relay *relay, const char *text) {
  char in[IFNAMSIZ], out[IFNAMSIZ];
  unsigned part[ETH_ALEN];
  struct way *way = &relay->way[relay->ways++];
  if (sscanf(text, "%15[^,],%15[^,],%2x:%2x:%2x:%2x:%2x:%2x", in, out, &part[0], &part[1], &part[2], &part[3],
             &part[4], &part[5]) != 2 + ETH_ALEN) {
    fprintf(stderr, "not a way IN,OUT,MAC: %s\n", text);
    exit(2);
  }
  for (size_t i = 0; i < ETH_ALEN; i++)
    way->mac[i] = (unsigned char)part[i];
  way->fd = open_port(in);
  way->out = (int)if_nametoindex(out);
  if (way->out == 0)
    fail(out);
}

static _Noreturn void usage(void) {
  fputs("usage: relay [--delay US] [--late PERCENT --late-by US] [--lose PERCENT] [--without PORT] "
        "[--seed N] WAY...\n",
        stderr);
  exit(2);
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"delay", required_argument, NULL, 'd'},
                                          {"late", required_argument, NULL, 'p'},
                                          {"late-by", required_argument, NULL, 'l'},
                                          {"lose", required_argument, NULL, 'o'},
                                          {"without", required_argument, NULL, 'w'},
                                          {"seed", required_argument, NULL, 's'},
                                          {0}};
  static struct relay relay = {.random = 0x9e3779b97f4a7c15};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'd')
      relay.delay_us = atoll(optarg);
    else if (option == 'p')
      relay.late_percent = strtoull(optarg, NULL, 10);
    else if (option == 'l')
      relay.late_us = atoll(optarg);
    else if (option == 'o')
      relay.lose_percent = strtoull(optarg, NULL, 10);
    else if (option == 'w')
      relay.without = atoi(optarg);
    else if (option == 's')
      relay.random ^= strtoull(optarg, NULL, 10) << 1;
    else
      usage();
  }
  if (optind == argc || argc - optind > WAYS_MAX)
    usage();
  for (int i = optind; i < argc; i++)
    add_way(&relay, argv[i]);
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  puts("ready");
  fflush(stdout);
  serve(&relay);
  return 0;
}
