// SPDX-License-Identifier: Apache-2.0
#include "agent/redis_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/broker.h"
#include "agent/redis_trouble.h"
#include "common/base/clock.h"

#define ASKED_MAX 64  // questions under way: three of the longest command sequences and the polls between
#define OUT_MAX 16384 // ASKED_MAX commands, the password among them
#define IN_SIZE 65536 // INFO has a few KiB
#define TAG_GREETING UINT32_MAX // AUTH and CLIENT SETNAME, the link's own
#define TAG_AGAIN (UINT32_MAX - 1) // AUTH, over a connection that is in use
#define REFUSED_RETRY_MS 1000   // after a wrong password: somebody has to mend it first
#define TCP_LOST_MS 5000        // bytes that the other machine's kernel never acknowledged end the connection

static_assert(OUT_MAX > 2 * REDIS_SECRET_MAX + 1024, "a greeting and a masterauth fit together");

struct question {
  uint32_t tag;
  struct instant asked;
};

struct redis_link {
  struct redis_link_settings settings;
  struct redis_link_watch watch;
  struct loop *loop;
  struct sockaddr_storage address;
  socklen_t address_length;
  int fd; // -1: none
  struct loop_io *io;
  struct loop_timer *timer; // to connect when there is none, else of the oldest question
  struct tls *tls; // NULL: none, or none yet
  bool up, late;
  bool proven;                      // this connection has brought an answer
  unsigned in_vain;                 // connections in a row that were accepted and lost before that
  struct question asked[ASKED_MAX]; // a ring
  size_t first, count;
  char out[OUT_MAX], *in;
  size_t out_size, in_size, in_max;
  char trouble[REDIS_TROUBLE_MAX];
  char login_trouble[REDIS_TROUBLE_MAX]; // of redis_link_login_again
};

// ---- the password ----

int redis_secret_read(const char *file, char secret[static REDIS_SECRET_MAX + 1]) {
  int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return -errno;
  char bytes[REDIS_SECRET_MAX + 2];
  ssize_t size = read(fd, bytes, sizeof(bytes));
  int rc = size < 0 ? -errno : 0;
  close(fd);
  if (size > 0 && bytes[size - 1] == '\n')
    size--;
  if (rc == 0 && size > REDIS_SECRET_MAX)
    rc = -EMSGSIZE;
  if (rc == 0) {
    memcpy(secret, bytes, (size_t)size);
    secret[size] = '\0';
  }
  explicit_bzero(bytes, sizeof(bytes));
  return rc;
}

// ---- asking ----

bool redis_link_is_up(const struct redis_link *link) {
  return link->up;
}

bool redis_link_is_late(const struct redis_link *link) {
  return link->late;
}

const char *redis_link_trouble(const struct redis_link *link) {
  return link->trouble[0] != '\0' ? link->trouble : link->login_trouble;
}

static struct instant after_ms(struct instant from, uint32_t ms) {
  return (struct instant){from.us + (int64_t)ms * 1000};
}

// The timer shows the oldest question's next deadline.
static void watch_oldest(struct redis_link *link) {
  uint32_t ms = link->late ? link->settings.give_up_ms : link->settings.late_ms;
  if (link->count > 0 && ms > 0)
    loop_timer_at(link->timer, after_ms(link->asked[link->first].asked, ms));
  else
    loop_timer_at(link->timer, INSTANT_NEVER);
}

bool redis_link_ask(struct redis_link *link, uint32_t tag, size_t count, const char *const *words) {
  if (!link->up || link->count == ASKED_MAX)
    return false;
  size_t size = resp_encode(link->out + link->out_size, OUT_MAX - link->out_size, count, words);
  if (size == 0)
    return false;
  link->out_size += size;
  link->asked[(link->first + link->count++) % ASKED_MAX] = (struct question){tag, clock_now()};
  if (link->count == 1)
    watch_oldest(link);
  return true;
}

// An error is left to the reading side: the loop reports it at once, and no callback may run from in here.
void redis_link_flush(struct redis_link *link) {
  if (!link->up || link->out_size == 0)
    return;
  ssize_t sent = link->tls ? tls_send(link->tls, link->out, link->out_size)
                           : send(link->fd, link->out, link->out_size, MSG_NOSIGNAL);
  if (sent > 0) {
    link->out_size -= (size_t)sent;
    memmove(link->out, link->out + sent, link->out_size);
    explicit_bzero(link->out + link->out_size, (size_t)sent); // a password may have been among them
  }
  loop_io_want(link->io, true, link->out_size > 0);
}

// ---- up and down ----

static void close_socket(struct redis_link *link) {
  loop_io_free(link->io);
  tls_close(link->tls);
  link->tls = NULL;
  if (link->fd >= 0)
    close(link->fd);
  explicit_bzero(link->out, link->out_size);
  link->io = NULL;
  link->fd = -1;
  link->up = link->late = link->proven = false;
  link->first = link->count = link->out_size = link->in_size = 0;
}

static void lose(struct redis_link *link, int error, uint32_t retry_ms) {
  bool was_up = link->up;
  close_socket(link);
  loop_timer_in(link->timer, (int64_t)retry_ms * 1000);
  link->watch.down(link->watch.arg, was_up, error);
}

// A connection that worked is tried again at once. One that was accepted and lost soon after met a Redis that
// is being killed, or that closes all its clients' connections: both are over within milliseconds, or take
// long.
static uint32_t retry_after_loss(struct redis_link *link) {
  link->in_vain = link->proven ? 0 : link->in_vain + 1;
  uint32_t ms = link->in_vain < 8 ? (1U << link->in_vain) - 1 : link->settings.retry_ms;
  return ms < link->settings.retry_ms ? ms : link->settings.retry_ms;
}

static void lose_connection(struct redis_link *link, int error) {
  if (link->up && error != EBADMSG) { // tried again at once: if that is refused, the Redis is dead
    snprintf(link->trouble, sizeof(link->trouble), "%s (%s): the connection was lost", link->settings.what,
             link->settings.address);
    lose(link, error, retry_after_loss(link));
  } else {
    redis_trouble_connect(link->trouble, link->settings.what, link->settings.address, error);
    lose(link, error, link->settings.retry_ms);
  }
}

static bool ask_auth(struct redis_link *link, uint32_t tag, char trouble[static REDIS_TROUBLE_MAX]) {
  char secret[REDIS_SECRET_MAX + 1];
  int rc = redis_secret_read(link->settings.password_file, secret);
  if (rc < 0) {
    snprintf(trouble, REDIS_TROUBLE_MAX, "broker.password_file %s: %s; the agent must be able to read it",
             link->settings.password_file, strerror(-rc));
    return false;
  }
  const char *user = link->settings.username;
  const char *named[] = {"AUTH", user, secret}, *unnamed[] = {"AUTH", secret};
  bool asked = user[0] != '\0' ? redis_link_ask(link, tag, 3, named) : redis_link_ask(link, tag, 2, unnamed);
  explicit_bzero(secret, sizeof(secret));
  return asked;
}

void redis_link_login_again(struct redis_link *link) {
  if (!link->up || link->settings.password_file[0] == '\0')
    return; // the next connection reads it
  link->login_trouble[0] = '\0';
  ask_auth(link, TAG_AGAIN, link->login_trouble);
  redis_link_flush(link);
}

static void become_up(struct redis_link *link) {
  link->up = true;
  link->login_trouble[0] = '\0';
  loop_io_want(link->io, true, false);
  if (link->settings.password_file[0] != '\0' && !ask_auth(link, TAG_GREETING, link->trouble)) {
    link->up = false;
    lose(link, EACCES, REFUSED_RETRY_MS);
    return;
  }
  const char *name[] = {"CLIENT", "SETNAME", link->settings.name};
  redis_link_ask(link, TAG_GREETING, 3, name);
  link->watch.up(link->watch.arg);
  redis_link_flush(link);
}

// ---- answers ----

// The link's own questions. False: the connection is of no use, and was given up.
static bool take_greeting(struct redis_link *link, const struct resp_value *value) {
  if (value->type != RESP_ERROR || !redis_trouble_ends_connection(value->text, value->length))
    return true; // a name refused by an ACL does no harm
  redis_trouble_answer(link->trouble, link->settings.what, "AUTH", link->settings.username, value->text,
                       value->length);
  lose(link, EACCES, REFUSED_RETRY_MS);
  return false;
}

static bool take_answer(struct redis_link *link, const struct resp_value *value) {
  if (link->count == 0) { // nobody asked: an error before the connection is closed, or no Redis
    lose_connection(link, EBADMSG);
    return false;
  }
  struct question question = link->asked[link->first];
  link->first = (link->first + 1) % ASKED_MAX;
  link->count--;
  link->late = false;
  watch_oldest(link);
  if (question.tag == TAG_GREETING)
    return take_greeting(link, value);
  if (question.tag == TAG_AGAIN) {
    if (value->type == RESP_ERROR)
      redis_trouble_answer(link->login_trouble, link->settings.what, "AUTH", link->settings.username, value->text,
                           value->length);
    return true;
  }
  if (value->type != RESP_ERROR) {
    link->proven = true;
    link->trouble[0] = '\0';
  }
  link->watch.answer(link->watch.arg, question.tag, question.asked, value);
  return true;
}

static void take_answers(struct redis_link *link) {
  size_t at = 0;
  while (at < link->in_size) {
    struct resp_value value;
    ssize_t size = resp_parse(link->in + at, link->in_size - at, &value);
    if (size < 0 || (size == 0 && at == 0 && link->in_size == link->in_max)) {
      lose_connection(link, EBADMSG);
      return;
    }
    if (size == 0)
      break;
    at += (size_t)size;
    if (!take_answer(link, &value))
      return;
  }
  link->in_size -= at;
  memmove(link->in, link->in + at, link->in_size);
  redis_link_flush(link);
}

static void receive_once(struct redis_link *link) {
  char *to = link->in + link->in_size;
  size_t room = link->in_max - link->in_size;
  ssize_t size = link->tls ? tls_receive(link->tls, to, room) : recv(link->fd, to, room, 0);
  if (size > 0) {
    link->in_size += (size_t)size;
    take_answers(link);
  } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
    lose_connection(link, size == 0 ? 0 : errno);
  }
}

// What TLS has opened already makes no socket readable.
static void receive(struct redis_link *link) {
  do
    receive_once(link);
  while (link->up && link->tls && tls_has_more(link->tls));
}

// ---- connecting ----

static void lose_unproven(struct redis_link *link, const char *why) {
  snprintf(link->trouble, sizeof(link->trouble), "%.14s (%.30s): %.108s", link->settings.what, link->settings.address, why);
  lose(link, EPROTO, REFUSED_RETRY_MS);
}

static void shake_hands(struct redis_link *link) {
  char why[TLS_TROUBLE_MAX];
  bool wants_write = false;
  int rc = tls_handshake(link->tls, &wants_write, why);
  if (rc < 0)
    lose_unproven(link, why);
  else if (rc == 0)
    loop_io_want(link->io, !wants_write, wants_write);
  else
    become_up(link);
}

static void begin_tls(struct redis_link *link) {
  char why[TLS_TROUBLE_MAX];
  link->tls = tls_open(&link->settings.tls, link->fd, why);
  if (link->tls)
    shake_hands(link);
  else
    lose_unproven(link, why);
}

static void connected(struct redis_link *link) {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error)
    lose_connection(link, error);
  else if (tls_is_on(&link->settings.tls))
    begin_tls(link);
  else
    become_up(link);
}

static void on_socket(void *arg, bool readable, bool writable) {
  struct redis_link *link = arg;
  if (!link->up) {
    if (link->tls)
      shake_hands(link);
    else
      connected(link);
    return;
  }
  if (writable)
    redis_link_flush(link);
  if (readable)
    receive(link);
}

static int open_socket(const struct redis_link *link) {
  int fd = socket(link->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int on = 1, lost_ms = TCP_LOST_MS;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &lost_ms, sizeof(lost_ms));
  if (connect(fd, (const struct sockaddr *)&link->address, link->address_length) == 0 || errno == EINPROGRESS)
    return fd;
  int error = errno;
  close(fd);
  return -error;
}

static void start_connecting(struct redis_link *link) {
  link->fd = open_socket(link);
  link->io = link->fd >= 0 ? loop_io_new(link->loop, link->fd, on_socket, link) : NULL;
  if (!link->io) {
    lose_connection(link, link->fd < 0 ? -link->fd : ENOMEM);
    return;
  }
  loop_io_want(link->io, false, true);
  loop_timer_in(link->timer, (int64_t)link->settings.late_ms * 1000); // a lost machine answers no SYN
}

static void on_timer(void *arg) {
  struct redis_link *link = arg;
  if (link->fd < 0) {
    start_connecting(link);
  } else if (!link->up || link->late) {
    lose_connection(link, ETIMEDOUT);
  } else {
    link->late = true;
    watch_oldest(link);
    redis_trouble_connect(link->trouble, link->settings.what, link->settings.address, ETIMEDOUT);
    link->watch.late(link->watch.arg);
  }
}

int redis_link_new(struct redis_link **out, struct loop *loop, const struct redis_link_settings *settings,
                   const struct redis_link_watch *watch) {
  struct redis_link *link = calloc(1, sizeof(*link));
  if (!link)
    return -ENOMEM;
  link->settings = *settings;
  link->watch = *watch;
  link->loop = loop;
  link->fd = -1;
  int rc = broker_address(settings->address, &link->address, &link->address_length);
  link->in_max = settings->answer_max > 0 ? settings->answer_max : IN_SIZE;
  link->in = malloc(link->in_max);
  link->timer = rc == 0 ? loop_timer_new(loop, on_timer, link) : NULL;
  if (!link->timer || !link->in) {
    loop_timer_free(link->timer);
    free(link->in);
    free(link);
    return rc < 0 ? rc : -ENOMEM;
  }
  loop_timer_in(link->timer, 0);
  *out = link;
  return 0;
}

void redis_link_free(struct redis_link *link) {
  if (!link)
    return;
  close_socket(link);
  loop_timer_free(link->timer);
  free(link->in);
  free(link);
}
