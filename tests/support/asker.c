// SPDX-License-Identifier: Apache-2.0
// Asks an address by ICMP echo every so many µs and notes when answers arrive, by the kernel's own time
// stamps. The asked machine's kernel answers by itself: what passes there is up to its fence alone.
//
// usage: asker ADDRESS EVERY_US     "mark NAME" on stdin ends a phase, and prints it as a line of JSON:
// {phase, asked, heard, first_us, last_us, question_us, gap_us}: µs of CLOCK_BOOTTIME, 0 without an answer;
// when the first and the last answer came, when the last question was asked that got one, and the longest
// time between two answers. An answer may be late for having been on its way, a question that was asked never
// is.
#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "tests/support/command.h"

struct asker {
  int fd;
  bool v6;
  struct sockaddr_storage to;
  socklen_t to_size;
  uint16_t sequence;
  uint64_t asked, heard;
  int64_t first_us, last_us, question_us, gap_us;
  char phase[PHASE_NAME_MAX];
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void open_socket(struct asker *a, const char *address) {
  struct sockaddr_in *v4 = (void *)&a->to;
  struct sockaddr_in6 *v6 = (void *)&a->to;
  const int on = 1, room = 4 << 20;
  a->v6 = strchr(address, ':') != NULL;
  a->to.ss_family = a->v6 ? AF_INET6 : AF_INET;
  a->to_size = a->v6 ? sizeof *v6 : sizeof *v4;
  if (inet_pton(a->to.ss_family, address, a->v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr) != 1)
    exit(2);
  a->fd = socket(a->to.ss_family, SOCK_RAW | SOCK_CLOEXEC, a->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
  if (a->fd < 0 || setsockopt(a->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0 ||
      setsockopt(a->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) != 0)
    fail("raw socket");
}

struct question {
  struct icmphdr head;
  int64_t asked_us;
};

static uint16_t checksum(const struct question *question) {
  uint16_t words[sizeof *question / 2];
  uint32_t sum = 0;
  memcpy(words, question, sizeof words);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    sum += words[i];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

// A question that does not go out is one that is not answered.
static void ask(struct asker *a) {
  struct question question = {.head.type = a->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO, .asked_us = now_us()};
  question.head.un.echo.sequence = htons(++a->sequence);
  if (!a->v6) // the kernel does it for IPv6
    question.head.checksum = checksum(&question);
  a->asked++;
  (void)!sendto(a->fd, &question, sizeof question, MSG_DONTWAIT, (const struct sockaddr *)&a->to, a->to_size);
}

static int64_t time_of(struct msghdr *message) {
  struct timespec real, boot, stamp;
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  if (c == NULL || c->cmsg_type != SO_TIMESTAMPNS)
    fail("no time stamp");
  memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  int64_t ago_ns = (real.tv_sec - stamp.tv_sec) * INT64_C(1000000000) + real.tv_nsec - stamp.tv_nsec;
  return (boot.tv_sec * INT64_C(1000000000) + boot.tv_nsec - ago_ns) / 1000;
}

static void note(struct asker *a, const void *answer, int64_t at) {
  struct question question;
  memcpy(&question, answer, sizeof question);
  if (question.asked_us > a->question_us)
    a->question_us = question.asked_us;
  a->heard++;
  a->first_us = a->first_us ? a->first_us : at;
  if (a->last_us && at - a->last_us > a->gap_us)
    a->gap_us = at - a->last_us;
  a->last_us = at;
}

static void hear(struct asker *a) {
  char bytes[256], ancillary[256];
  struct sockaddr_storage from;
  for (;;) {
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = ancillary,
                             .msg_controllen = sizeof ancillary};
    ssize_t size = recvmsg(a->fd, &message, MSG_DONTWAIT);
    if (size < 0)
      return;
    size_t header = a->v6 ? 0 : 20;
    if (size < (ssize_t)(header + sizeof(struct question)) ||
        bytes[header] != (a->v6 ? (char)ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
      continue;
    const struct sockaddr_in *v4 = (const void *)&from, *to4 = (const void *)&a->to;
    const struct sockaddr_in6 *v6 = (const void *)&from, *to6 = (const void *)&a->to;
    if (a->v6 ? memcmp(&v6->sin6_addr, &to6->sin6_addr, 16) == 0
              : v4->sin_addr.s_addr == to4->sin_addr.s_addr)
      note(a, bytes + header, time_of(&message));
  }
}

static void report(struct asker *a) {
  printf("{\"phase\": \"%s\", \"asked\": %llu, \"heard\": %llu, \"first_us\": %lld, \"last_us\": %lld, "
         "\"question_us\": %lld, \"gap_us\": %lld}\n",
         a->phase, (unsigned long long)a->asked, (unsigned long long)a->heard, (long long)a->first_us,
         (long long)a->last_us, (long long)a->question_us, (long long)a->gap_us);
  fflush(stdout);
}

static int start_timer(int64_t every_us) {
  struct timespec every = timespec_us(every_us);
  struct itimerspec timer = {.it_interval = every, .it_value = every};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || timerfd_settime(fd, 0, &timer, NULL) != 0)
    fail("timerfd");
  return fd;
}

static void serve(struct asker *a, int timer) {
  struct command command = {.length = 0};
  struct pollfd wait[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = a->fd, .events = POLLIN},
                           {.fd = timer, .events = POLLIN}};
  for (;;) {
    char name[PHASE_NAME_MAX];
    uint64_t times;
    if (poll(wait, 3, -1) < 0 && errno != EINTR)
      exit(1);
    hear(a);
    if (wait[0].revents && !command_read(&command))
      return;
    while (command_next(&command, name)) {
      report(a);
      if (*name) {
        a->asked = a->heard = 0;
        a->first_us = a->last_us = a->question_us = a->gap_us = 0;
        snprintf(a->phase, sizeof a->phase, "%s", name);
      }
    }
    if (read(timer, &times, sizeof times) == (ssize_t)sizeof times)
      ask(a);
  }
}

int main(int argc, char **argv) {
  static struct asker asker = {.phase = "begin"};
  if (argc != 3) {
    fputs("usage: asker ADDRESS EVERY_US\n", stderr);
    return 2;
  }
  open_socket(&asker, argv[1]);
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  serve(&asker, start_timer(atol(argv[2])));
  return 0;
}
