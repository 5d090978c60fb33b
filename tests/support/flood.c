// SPDX-License-Identifier: Apache-2.0
// Hostile datagrams at a steady rate: damaged, replayed and made-up beats, half of them with a voter's
// address as their source.
//
// TEMPLATES holds beats from the wire, each behind its length (two bytes, big end first). Prints
// {"sent": N, "refused": N} when the time is over or its input ends; refused are those that the kernel here
// would not take.
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/support/command.h"

#define TEMPLATES_MAX 512
#define PAYLOAD_MAX 1400

struct template {
  size_t length;
  unsigned char bytes[PAYLOAD_MAX];
};

struct packet {
  struct iphdr ip;
  struct udphdr udp;
  unsigned char payload[PAYLOAD_MAX];
} __attribute__((packed));

struct flood {
  int fd;
  struct in_addr self, voter, target;
  uint16_t port;
  uint64_t random, sent, refused;
  struct template templates[TEMPLATES_MAX];
  size_t count;
};

static uint64_t draw(struct flood *flood) { // xorshift64
  flood->random ^= flood->random << 13;
  flood->random ^= flood->random >> 7;
  flood->random ^= flood->random << 17;
  return flood->random;
}

static void noise(struct flood *flood, unsigned char *bytes, size_t length) {
  for (size_t i = 0; i < length; i++)
    bytes[i] = (unsigned char)(draw(flood) >> 32);
}

// A template with one bit turned, cut off, followed by more, behind its header made of noise, or as it was;
// or noise alone.
static size_t make_payload(struct flood *flood, unsigned char *payload) {
  const struct template *template = &flood->templates[draw(flood) % flood->count];
  size_t length = template->length;
  memcpy(payload, template->bytes, length);
  switch (draw(flood) % 6) {
  case 0:
    payload[draw(flood) % length] ^= (unsigned char)(1U << draw(flood) % 8);
    return length;
  case 1:
    return draw(flood) % length;
  case 2:
    noise(flood, payload + length, 64);
    return length + 1 + draw(flood) % 64;
  case 3:
    noise(flood, payload + length / 4, length - length / 4);
    return length;
  case 4:
    return length;
  default:
    length = draw(flood) % PAYLOAD_MAX;
    noise(flood, payload, length);
    return length;
  }
}

static void send_one(struct flood *flood) {
  static struct packet packet;
  size_t length = make_payload(flood, packet.payload);
  size_t whole = sizeof packet.ip + sizeof packet.udp + length;
  packet.ip = (struct iphdr){.version = 4,
                             .ihl = 5,
                             .ttl = 64,
                             .protocol = IPPROTO_UDP,
                             .tot_len = htons((uint16_t)whole),
                             .saddr = draw(flood) % 2 != 0 ? flood->voter.s_addr : flood->self.s_addr,
                             .daddr = flood->target.s_addr}; // the kernel makes the checksum
  packet.udp = (struct udphdr){.source = htons(flood->port),
                               .dest = htons(flood->port),
                               .len = htons((uint16_t)(sizeof packet.udp + length))};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = flood->target};
  if (sendto(flood->fd, &packet, whole, 0, (const struct sockaddr *)&to, sizeof to) == (ssize_t)whole)
    flood->sent++;
  else
    flood->refused++;
}

// So many a second until the time is over: each ms what is due by then.
static void run(struct flood *flood, int64_t rate, int64_t seconds) {
  int64_t began = now_us();
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  while (poll(&input, 1, 1) == 0) {
    int64_t passed = now_us() - began;
    if (passed >= seconds * 1000000)
      break;
    while ((int64_t)(flood->sent + flood->refused) < passed * rate / 1000000)
      send_one(flood);
  }
}

static void read_templates(struct flood *flood, const char *path) {
  FILE *file = fopen(path, "re");
  unsigned char length[2];
  while (file && flood->count < TEMPLATES_MAX && fread(length, sizeof length, 1, file) == 1) {
    struct template *template = &flood->templates[flood->count];
    template->length = (size_t)length[0] << 8 | length[1];
    if (template->length == 0 || template->length > PAYLOAD_MAX - 64 ||
        fread(template->bytes, template->length, 1, file) != 1)
      break;
    flood->count++;
  }
  if (!file || !feof(file) || flood->count == 0) {
    fprintf(stderr, "%s: not a file of 1 to %d templates\n", path, TEMPLATES_MAX);
    exit(1);
  }
  fclose(file);
}

int main(int argc, char **argv) {
  static struct flood flood = {.random = 0x9e3779b97f4a7c15};
  if (argc != 8 || inet_pton(AF_INET, argv[3], &flood.self) != 1 ||
      inet_pton(AF_INET, argv[4], &flood.voter) != 1 || inet_pton(AF_INET, argv[5], &flood.target) != 1) {
    fputs("usage: flood RATE SECONDS OWN-ADDRESS VOTER-ADDRESS TARGET-ADDRESS PORT TEMPLATES\n", stderr);
    return 2;
  }
  flood.port = (uint16_t)atoi(argv[6]);
  read_templates(&flood, argv[7]);
  flood.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (flood.fd < 0) {
    perror("raw socket");
    return 1;
  }
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  run(&flood, atoll(argv[1]), atoll(argv[2]));
  printf("{\"sent\": %llu, \"refused\": %llu}\n", (unsigned long long)flood.sent,
         (unsigned long long)flood.refused);
  return 0;
}
