// SPDX-License-Identifier: Apache-2.0
#include "agent/broker.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cluster.h"
#include "common/core/limits.h"

static const struct broker_driver *const broker_table[] = {&broker_none, &broker_redis, &broker_library,
                                                           &broker_exec, &broker_coprocess, &broker_postgresql,
                                                           &broker_ocf, &broker_systemd};

struct broker {
  const struct broker_driver *driver;
  void *state;
};

const struct broker_driver *broker_find(const char *name) {
  for (size_t i = 0; i < sizeof(broker_table) / sizeof(broker_table[0]); i++)
    if (strcmp(broker_table[i]->name, name) == 0)
      return broker_table[i];
  return NULL;
}

void broker_settings_of(struct broker_settings *s, const struct cluster_conf *c, unsigned self) {
  const struct cluster_check *probe = cluster_broker_check(c);
  *s = (struct broker_settings){.cluster = c->name,
                                .self = (uint8_t)self,
                                .driver = cluster_driver_name(c),
                                .address = c->broker.address,
                                .username = c->broker.username,
                                .password_file = c->broker.password_file,
                                .replication = (uint8_t)c->broker.replication,
                                .beat_ms = c->beat_ms,
                                .lease_ms = c->lease_ms,
                                .incarnation = "",
                                .orphans = "",
                                .tls = {c->broker.tls.ca_file, c->broker.tls.certificate_file, c->broker.tls.key_file,
                                        c->broker.tls.server_name},
                                .streams = c->broker.streams,
                                .options = &c->broker.options,
                                .verb_timeout_ms = c->broker.verb_timeout_ms,
                                .restart_max = &c->policy.restart_max,
                                .restart_window_ms = &c->policy.restart_window_ms,
                                .commands = c->broker.commands,
                                .command = &c->broker.command,
                                .agent = c->broker.agent,
                                .run_directory = c->run_directory,
                                .unit = c->broker.unit,
                                .probe_every_ms = probe != NULL ? probe->every_ms : 200,
                                .probe_timeout_ms = probe != NULL ? probe->timeout_ms : 500};
  for (unsigned i = 0; i < NODES; i++) {
    s->peers[i] = c->broker.peers[i];
    s->names[i] = c->voter[i].name;
  }
}

int broker_open(struct broker **out, struct loop *loop, const struct broker_settings *settings,
                const struct broker_watch *watch, const char **error) {
  const struct broker_driver *driver = broker_find(settings->driver);
  *error = "broker.driver: no such driver; tanist.conf(5) has their names";
  if (!driver)
    return -EINVAL;
  *error = "broker.replication = \"sync\" needs a driver whose broker replicates; use \"none\" or "
           "\"shared\"";
  if (settings->replication == REPLICATION_SYNC && !driver->replicates)
    return -EINVAL;
  *error = "out of memory";
  struct broker *broker = calloc(1, sizeof(*broker));
  if (!broker)
    return -ENOMEM;
  broker->driver = driver;
  int rc = driver->open(&broker->state, loop, settings, watch, error);
  if (rc < 0) {
    free(broker);
    return rc;
  }
  *out = broker;
  return 0;
}

void broker_apply(struct broker *broker, const struct broker_duty *duty) {
  broker->driver->apply(broker->state, duty);
}

void broker_reload(struct broker *broker) {
  if (broker->driver->reload)
    broker->driver->reload(broker->state);
}

void broker_kill_clients(struct broker *broker) {
  broker->driver->kill_clients(broker->state);
}

const struct broker_view *broker_view(const struct broker *broker) {
  return broker->driver->view(broker->state);
}

void broker_bound(struct broker_view *view) {
  if (view->peer.epoch >= EPOCH_MAX)
    view->peer = (struct position){0, 0};
  if (view->position.epoch < EPOCH_MAX)
    return;
  snprintf(view->trouble, sizeof view->trouble,
           "the broker reports the epoch %" PRIu64 ", and none reaches 2^63: not fit to lead; see what it takes its epoch from",
           view->position.epoch);
  view->position = (struct position){0, view->position.offset > 0 ? view->position.offset : 1};
  view->reachable = view->writable = false;
}

void broker_close(struct broker *broker) {
  if (!broker)
    return;
  broker->driver->close(broker->state);
  free(broker);
}

// Splits "host:port" or "[host]:port" into `host` and returns the port's text; NULL when it is neither.
static const char *split_address(const char *text, char *host, size_t size) {
  const char *colon = strrchr(text, ':');
  if (!colon || colon == text || colon[1] == '\0')
    return NULL;
  const char *begin = text, *end = colon;
  if (text[0] == '[') {
    begin++;
    end--;
    if (end <= begin || *end != ']')
      return NULL;
  }
  size_t length = (size_t)(end - begin);
  if (length == 0 || length >= size)
    return NULL;
  memcpy(host, begin, length);
  host[length] = '\0';
  return colon + 1;
}

int broker_address(const char *text, struct sockaddr_storage *address, socklen_t *length) {
  char host[256];
  const char *port = split_address(text, host, sizeof(host));
  if (!port || port[strspn(port, "0123456789")] != '\0' || atol(port) < 1 || atol(port) > 65535)
    return -EINVAL;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
  if (getaddrinfo(host, port, &hints, &found) != 0)
    return -ENOENT;
  memcpy(address, found->ai_addr, found->ai_addrlen);
  *length = found->ai_addrlen;
  freeaddrinfo(found);
  return 0;
}
