// SPDX-License-Identifier: Apache-2.0
#include "common/base/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

// Splits "HOST:PORT" or "[HOST]:PORT"; the brackets tell IPv6.
static bool split_address(const char *text, char *host, size_t size, unsigned *port, int *family) {
  const char *colon = strrchr(text, ':');
  *family = *text == '[' ? AF_INET6 : AF_INET;
  const char *from = text + (*family == AF_INET6);
  const char *to = colon ? colon - (*family == AF_INET6) : NULL;
  if (!colon || to < from || (size_t)(to - from) >= size || (*family == AF_INET6 && *to != ']'))
    return false;
  memcpy(host, from, (size_t)(to - from));
  host[to - from] = '\0';
  return parse_number(colon + 1, UINT16_MAX, port) && *port > 0;
}

bool cluster_address_parse(const char *text, struct cluster_address *out) {
  char host[INET6_ADDRSTRLEN];
  unsigned port;
  int family;
  struct cluster_address a = {.text = text};
  if (!split_address(text, host, sizeof host, &port, &family))
    return false;
  if (family == AF_INET) {
    a.size = sizeof a.in4;
    a.in4.sin_family = AF_INET;
    a.in4.sin_port = htons((uint16_t)port);
  } else {
    a.size = sizeof a.in6;
    a.in6.sin6_family = AF_INET6;
    a.in6.sin6_port = htons((uint16_t)port);
  }
  if (inet_pton(family, host, family == AF_INET ? (void *)&a.in4.sin_addr : (void *)&a.in6.sin6_addr) != 1)
    return false;
  *out = a;
  return true;
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

static int base64_digit(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

bool cluster_key_parse(const char *text, uint8_t key[CLUSTER_KEY_SIZE]) {
  unsigned bits = 0;
  size_t used = 0;
  if (strlen(text) != 44 || text[43] != '=')
    return false;
  for (int i = 0; i < 43; i++) {
    int digit = base64_digit(text[i]);
    if (digit < 0)
      return false;
    bits = (bits << 6 | (unsigned)digit) & 0xffff;
    // 6 bits a character: after character i there are 6 × (i + 1) of them, a byte is whole at each eighth
    if (6 * (unsigned)(i + 1) / 8 > used)
      key[used++] = (uint8_t)(bits >> (6 * (unsigned)(i + 1) % 8));
  }
  return (bits & 3) == 0; // the last two say nothing and must be 0, or a key had four spellings
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

size_t cluster_canonical(const struct cluster_conf *cluster, char *buf, size_t size) {
  return conf_canonical(&cluster_table, cluster, buf, size);
}

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
  static const char *const names[] = {"none", "redis", "postgresql", "exec", "coprocess", "ocf", "systemd"};
  return names[cluster->broker.driver];
}

const char *cluster_kernel_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"require", "prefer", "off"};
  return names[cluster->fence.kernel];
}

const char *cluster_mechanism_name(const struct cluster_conf *cluster) {
  static const char *const names[] = {"auto", "bpf", "nft", "netlink"};
  return names[cluster->fence.mechanism];
}

const char *cluster_socket_path(const struct cluster_conf *cluster, unsigned voter, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s.%s.sock", cluster->run_directory, cluster->name, cluster->voter[voter].name);
  return buf;
}

const char *cluster_key_path(const struct cluster_conf *cluster, unsigned voter, char *buf, size_t size) {
  snprintf(buf, size, "%s/%s.%s.key", cluster->keys_directory, cluster->name, cluster->voter[voter].name);
  return buf;
}
