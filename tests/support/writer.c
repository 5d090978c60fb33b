// SPDX-License-Identifier: Apache-2.0
// Writes numbered entries to a Redis list through the virtual IP, impatiently: 2 ms to connect, 4 ms (or
// --patience) to answer, then a new connection at once. A write without an answer in time is never called
// acknowledged, and its number never used again. Each acknowledgement is a line "NUMBER µs" (CLOCK_BOOTTIME)
// in LOG.
//
// With --wait a write counts only when the secondary confirmed it too (WAIT 1), or when the master was alone
// by its own word at the very instant of the write: one transaction reads min-replicas-to-write and writes.
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "tests/support/command.h"

#define CONNECT_US 2000
#define ANSWER_US 4000
#define RETRY_US                                                                                             \
  200 // between attempts that are refused at once: not to take the processor from those we measure

enum state { CLOSED, CONNECTING, IDLE, WRITTEN, CONFIRMING };

struct phase {
  char name[PHASE_NAME_MAX];
  uint64_t acknowledged, unknown, refused, connects;
  int64_t gap_us, gap_from_us; // the longest time between two acknowledgements, and when it began
};

struct writer {
  struct sockaddr_in address;
  const char *key;
  FILE *log;
  bool wait;
  int64_t every_us, patience_us;

  int fd;
  enum state state;
  int64_t due_us; // when to go on (CLOSED, IDLE) or to give up (the others)
  int64_t dialled_us;
  int64_t next_us;  // when the next write is due
  uint64_t number;  // the newest that was sent
  int64_t last_us;  // the last acknowledgement, 0: none yet
  char answer[512]; // what came since the question
  size_t answer_length;
  bool alone; // the master said so in this write's transaction
  struct phase phase;
};

static void drop(struct writer *writer, int64_t now) {
  close(writer->fd); // SO_LINGER 0: a reset, so that Redis forgets a write that it has not looked at yet
  writer->fd = -1;
  writer->state = CLOSED;
  int64_t again = writer->dialled_us + RETRY_US;
  writer->due_us = again > now ? again : now;
}

static void fail(struct writer *writer, int64_t now) {
  if (writer->state == WRITTEN || writer->state == CONFIRMING)
    writer->phase.unknown++;
  drop(writer, now);
}

static void dial(struct writer *writer, int64_t now) {
  const int on = 1;
  const struct linger reset = {.l_onoff = 1, .l_linger = 0};
  writer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (writer->fd < 0 || setsockopt(writer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      setsockopt(writer->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0) {
    perror("socket");
    exit(1);
  }
  writer->phase.connects++;
  writer->state = CONNECTING;
  writer->dialled_us = now;
  writer->due_us = now + CONNECT_US;
  int result = connect(writer->fd, (const struct sockaddr *)&writer->address, sizeof writer->address);
  if (result != 0 && errno != EINPROGRESS)
    drop(writer, now);
}

static void connected(struct writer *writer, int64_t now) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(writer->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
    drop(writer, now);
    return;
  }
  writer->state = IDLE;
  writer->due_us = writer->next_us > now ? writer->next_us : now;
}

static bool send_all(struct writer *writer, const char *text, size_t length) {
  return send(writer->fd, text, length, MSG_NOSIGNAL) ==
         (ssize_t)length; // small: it goes whole or the link is dead
}

static int put_push(struct writer *writer, char *text, size_t size) {
  char number[24];
  int digits = snprintf(number, sizeof number, "%llu", (unsigned long long)writer->number);
  return snprintf(text, size, "*3\r\n$5\r\nRPUSH\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(writer->key),
                  writer->key, digits, number);
}

static void ask(struct writer *writer, int64_t now) {
  static const char before[] =
      "*1\r\n$5\r\nMULTI\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$21\r\nmin-replicas-to-write\r\n";
  static const char after[] = "*1\r\n$4\r\nEXEC\r\n";
  char push[256], text[512];
  writer->number++;
  put_push(writer, push, sizeof push);
  int length =
      snprintf(text, sizeof text, "%s%s%s", writer->wait ? before : "", push, writer->wait ? after : "");
  writer->state = WRITTEN;
  writer->answer_length = 0;
  writer->alone = false;
  writer->next_us = now + writer->every_us;
  writer->due_us = now + writer->patience_us;
  if (!send_all(writer, text, (size_t)length))
    fail(writer, now);
}

static void acknowledge(struct writer *writer, int64_t now) {
  fprintf(writer->log, "%llu %lld\n", (unsigned long long)writer->number, (long long)now);
  writer->phase.acknowledged++;
  if (writer->last_us && now - writer->last_us > writer->phase.gap_us) {
    writer->phase.gap_us = now - writer->last_us;
    writer->phase.gap_from_us = writer->last_us;
  }
  writer->last_us = now;
  writer->state = IDLE;
  writer->due_us = writer->next_us;
}

static void confirm(struct writer *writer, int64_t now) {
  char question[64]; // an inline command
  int length = snprintf(question, sizeof question, "WAIT 1 %lld\r\n", (long long)writer->patience_us / 1000);
  writer->state = CONFIRMING; // within the same time
  writer->answer_length = 0;
  if (!send_all(writer, question, (size_t)length))
    fail(writer, now);
}

// The lines of Redis' answer to ask(): after ":" comes the list's length, "" is the value of
// min-replicas-to-write.
static const char *const plain_lines[] = {":"};
static const char *const transaction_lines[] = {
    "+OK", "+QUEUED", "+QUEUED", "*2", "*2", "$21", "min-replicas-to-write", "$1", "", ":"};

// 1: the whole answer is here and as it should be; 0: not whole yet; -1: it is another one, an error most
// likely.
static int match(struct writer *writer, const char *const *lines, size_t count) {
  char *at = writer->answer, *const end = at + writer->answer_length;
  for (size_t i = 0; i < count; i++) {
    char *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
    if (!stop)
      return 0;
    size_t length = (size_t)(stop - at), wanted = strlen(lines[i]);
    bool open = wanted == 0 || strcmp(lines[i], ":") == 0; // a value follows
    if (length < wanted || (!open && length != wanted) || memcmp(at, lines[i], wanted) != 0)
      return -1;
    if (wanted == 0)
      writer->alone = length == 1 && *at == '0';
    at = stop + 2;
  }
  return at == end ? 1 : -1;
}

static void written(struct writer *writer, int64_t now) {
  if (!writer->wait || writer->alone)
    acknowledge(writer, now);
  else
    confirm(writer, now);
}

static void confirmed(struct writer *writer, int64_t now) {
  if (writer->answer[1] != '0')
    acknowledge(writer, now);
  else
    fail(writer, now); // WAIT gave up: the fate of this write is unknown
}

static void answered(struct writer *writer, int64_t now) {
  bool transaction = writer->wait && writer->state == WRITTEN;
  int result = transaction
                   ? match(writer, transaction_lines, sizeof transaction_lines / sizeof *transaction_lines)
                   : match(writer, plain_lines, 1);
  if (result < 0) {
    writer->phase.refused++;
    drop(writer, now);
  } else if (result > 0 && writer->state == WRITTEN)
    written(writer, now);
  else if (result > 0)
    confirmed(writer, now);
}

static void receive(struct writer *writer, int64_t now) {
  size_t room = sizeof writer->answer - writer->answer_length;
  ssize_t got = recv(writer->fd, writer->answer + writer->answer_length, room, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (got <= 0 || writer->state == IDLE) { // ended, or speaks unasked
    fail(writer, now);
    return;
  }
  writer->answer_length += (size_t)got;
  answered(writer, now);
}

static void due(struct writer *writer, int64_t now) {
  switch (writer->state) {
  case CLOSED:
    dial(writer, now);
    break;
  case IDLE:
    ask(writer, now);
    break;
  case CONNECTING:
  case WRITTEN:
  case CONFIRMING:
    fail(writer, now);
    break;
  }
}

// A gap that is not over yet counts in the phase that ends and in the one that begins.
static void report(struct writer *writer, int64_t now) {
  struct phase *phase = &writer->phase;
  if (writer->last_us && now - writer->last_us > phase->gap_us) {
    phase->gap_us = now - writer->last_us;
    phase->gap_from_us = writer->last_us;
  }
  fflush(writer->log);
  printf(
      "{\"phase\": \"%s\", \"acknowledged\": %llu, \"unknown\": %llu, \"refused\": %llu, \"connects\": %llu, "
      "\"gap_us\": %lld, \"gap_from_us\": %lld, \"last\": %llu, \"now_us\": %lld}\n",
      phase->name, (unsigned long long)phase->acknowledged, (unsigned long long)phase->unknown,
      (unsigned long long)phase->refused, (unsigned long long)phase->connects, (long long)phase->gap_us,
      (long long)phase->gap_from_us, (unsigned long long)writer->number, (long long)now);
  fflush(stdout);
}

static void commands(struct writer *writer, struct command *command) {
  char name[PHASE_NAME_MAX];
  while (command_next(command, name)) {
    report(writer, now_us());
    if (*name) {
      writer->phase = (struct phase){0};
      snprintf(writer->phase.name, sizeof writer->phase.name, "%s", name);
    }
  }
}

static void serve(struct writer *writer) {
  struct command command = {.length = 0};
  for (;;) {
    struct pollfd wait[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = writer->fd, .events = POLLIN}};
    if (writer->state == CONNECTING)
      wait[1].events = POLLOUT;
    struct timespec timeout = timespec_us(writer->due_us - now_us());
    if (ppoll(wait, 2, &timeout, NULL) < 0 && errno != EINTR)
      exit(1);
    if (wait[0].revents && !command_read(&command))
      return;
    commands(writer, &command);
    int64_t now = now_us();
    if (writer->fd >= 0 && wait[1].revents && writer->state == CONNECTING)
      connected(writer, now);
    else if (writer->fd >= 0 && wait[1].revents)
      receive(writer, now);
    if (now >= writer->due_us) // what came is looked at first: it may have come in time while we slept
      due(writer, now);
  }
}

static _Noreturn void usage(void) {
  fputs("usage: writer [--wait] [--every US] [--patience US] ADDRESS PORT KEY LOG\n", stderr);
  exit(2);
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"wait", no_argument, NULL, 'w'},
                                          {"every", required_argument, NULL, 'e'},
                                          {"patience", required_argument, NULL, 'p'},
                                          {0}};
  struct writer writer = {.fd = -1, .every_us = 1000, .patience_us = ANSWER_US, .phase.name = "begin"};
  for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (option == 'w')
      writer.wait = true;
    else if (option == 'e')
      writer.every_us = atoll(optarg);
    else if (option == 'p')
      writer.patience_us = atoll(optarg);
    else
      usage();
  }
  if (argc - optind != 4 || strlen(argv[optind + 2]) > 64)
    usage();
  writer.address.sin_family = AF_INET;
  writer.address.sin_port = htons((uint16_t)atoi(argv[optind + 1]));
  if (inet_pton(AF_INET, argv[optind], &writer.address.sin_addr) != 1)
    usage();
  writer.key = argv[optind + 2];
  writer.log = fopen(argv[optind + 3], "we");
  if (!writer.log) {
    perror(argv[optind + 3]);
    return 1;
  }
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
  setvbuf(writer.log, NULL, _IOFBF, 1U << 16);
  serve(&writer);
  return fclose(writer.log) == 0 ? 0 : 1;
}
