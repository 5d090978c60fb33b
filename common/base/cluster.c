// SPDX-License-Identifier: Apache-2.0
#include "common/base/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/key.h"

// ---- texts with a form ----

// Decimal digits alone, without a sign or blanks that strtoul would take.
static bool parse_number(const char *text, unsigned long max, unsigned *value) {
  unsigned long n = 0;
  size_t length = strlen(text);
  if (length == 0 || length > 5)
    return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9')
      return false;
    n = n * 10 + (unsigned long)(*text - '0');
  }
  *value = (unsigned)n;
  return n <= max;
}

bool cluster_vip_parse(const char *text, struct cluster_vip *out) {
  char host[INET6_ADDRSTRLEN];
  const char *slash = strchr(text, '/');
  size_t n = slash ? (size_t)(slash - text) : sizeof host;
  if (n >= sizeof host)
    return false;
  memcpy(host, text, n);
  host[n] = '\0';
  int family = strchr(host, ':') ? AF_INET6 : AF_INET;
  unsigned char bytes[16] = {0};
  unsigned prefix;
  if (inet_pton(family, host, bytes) != 1 ||
      !parse_number(slash + 1, family == AF_INET ? 32 : 128, &prefix) || prefix == 0)
    return false;
  out->family = family;
  memcpy(out->bytes, bytes, sizeof bytes);
  out->prefix = prefix;
  return true;
}

bool cluster_key_parse(const char *text, uint8_t key[CLUSTER_KEY_SIZE]) {
  char error[256];
  return key_public_parse(text, key, error, sizeof error) == 0;
}

// ---- the file ----

int cluster_load(struct cluster_conf *cluster, const char *file, struct conf_errors *errors) {
  struct conf *conf;
  int result = conf_read(&conf, &cluster_table, file, cluster, errors);
  if (result == 0) {
    cluster_complete(cluster, conf);
    result = errors->count ? -EINVAL : 0;
  }
  if (result == 0)
    cluster->texts = conf_keep_texts(conf);
  conf_close(conf);
  return result;
}

void cluster_free(struct cluster_conf *cluster) {
  free(cluster->texts);
  *cluster = (struct cluster_conf){0};
}

void cluster_print_errors(FILE *f, const struct conf_errors *errors) {
  for (size_t i = 0; i < errors->count; i++)
    fprintf(f, "%s\n", errors->at[i].text);
  if (errors->more)
    fprintf(f, "and %zu more\n", errors->more);
}

size_t cluster_restart_keys(const struct cluster_conf *one, const struct cluster_conf *other, char *buf,
                            size_t size) {
  return conf_restart_keys(&cluster_table, one, other, buf, size);
}

size_t cluster_canonical(const struct cluster_conf *cluster, char *buf, size_t size) {
  return conf_canonical(&cluster_table, cluster, buf, size);
}

static_assert(CLUSTER_KEY_SIZE == KEY_SIZE, "one kind of key");

// ---- questions ----

int cluster_voter_find(const struct cluster_conf *cluster, const char *name) {
  for (int v = 0; v < VOTERS; v++)
    if (strcmp(cluster->voter[v].name, name) == 0)
      return v;
  return NOBODY;
}

struct budget cluster_budget(const struct cluster_conf *cluster) {
  return (struct budget){cluster->lease_ms, cluster->beat_ms, cluster->drift_ppm};
}

const struct cluster_check *cluster_broker_check(const struct cluster_conf *cluster) {
  for (size_t i = 0; i < cluster->check_count; i++)
    if (cluster->check[i].kind == CHECK_BROKER)
      return &cluster->check[i];
  return NULL;
}

const char *cluster_driver_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"none", "redis", "postgresql", "exec", "coprocess", "ocf", "systemd", "library"};
  return names[cluster->broker.driver];
}

const char *cluster_replication_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"sync", "async", "shared", "none"};
  return names[cluster->broker.replication];
}

const char *cluster_kernel_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"require", "prefer", "off"};
  return names[cluster->fence.kernel];
}

const char *cluster_mechanism_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"auto", "bpf", "nft", "netlink"};
  return names[cluster->fence.mechanism];
}

const char *cluster_run_path(const struct cluster_conf *cluster, unsigned voter, const char *suffix,
                             char *buf, size_t size) {
  snprintf(buf, size, "%s/%s.%s.%s", cluster->run_directory, cluster->name, cluster->voter[voter].name,
           suffix);
  return buf;
}

const char *cluster_socket_path(const struct cluster_conf *cluster, unsigned voter, char *buf, size_t size) {
  return cluster_run_path(cluster, voter, "sock", buf, size);
}

const char *cluster_key_path(const struct cluster_conf *cluster, unsigned voter, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s.%s.key", cluster->keys_directory, cluster->name, cluster->voter[voter].name);
  return buf;
}
