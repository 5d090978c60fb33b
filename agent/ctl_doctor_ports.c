// SPDX-License-Identifier: Apache-2.0
// doctor: the addresses and ports that the daemon listens on: its own, free, or another program's?
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/doctor.h"

static uint16_t port_of(const struct net_address *a) {
  return ntohs(a->any.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port);
}

static int try_bind(const struct net_address *a, bool stream) {
  socklen_t size = a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
  int on = 1, fd = socket(a->any.sa_family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
  if (stream && fd >= 0) /* as a listener does: connections that are being closed are no holder */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  int error = fd < 0 || bind(fd, &a->any, size) != 0 || (stream && listen(fd, 1) != 0) ? errno : 0;
  if (fd >= 0)
    close(fd);
  return error;
}

// ---- who holds it ----

/* A line of /proc/net/udp and its like: is it this address, or all of them, at this port? */
static bool is_line_of(const char *local, const struct net_address *a) {
  unsigned port = 0, word[4] = {0};
  bool any = true, same = true;
  if (a->any.sa_family == AF_INET) {
    if (sscanf(local, "%8x:%4x", &word[0], &port) != 2)
      return false;
    same = word[0] == a->v4.sin_addr.s_addr; /* both as the memory has it */
  } else if (sscanf(local, "%8x%8x%8x%8x:%4x", &word[0], &word[1], &word[2], &word[3], &port) != 5) {
    return false;
  }
  for (int i = 0; i < 4; i++) {
    any &= word[i] == 0;
    uint32_t own = 0;
    memcpy(&own, a->any.sa_family == AF_INET6 ? &a->v6.sin6_addr.s6_addr[4 * i] : (const uint8_t *)&own, 4);
    same &= a->any.sa_family == AF_INET || word[i] == own;
  }
  return port == port_of(a) && (any || same);
}

static uint64_t inode_of(const char *table, const struct net_address *a, bool stream) {
  char path[64], line[512], local[64];
  unsigned state;
  uint64_t inode = 0, found = 0;
  snprintf(path, sizeof path, "/proc/self/net/%s%s", table, a->any.sa_family == AF_INET ? "" : "6");
  FILE *f = fopen(path, "re");
  while (f != NULL && found == 0 && fgets(line, sizeof line, f) != NULL)
    if (sscanf(line, " %*d: %63s %*s %x %*s %*s %*s %*d %*d %" SCNu64, local, &state, &inode) == 3 &&
        (!stream || state == 10 /* listens */) && is_line_of(local, a))
      found = inode;
  if (f != NULL)
    fclose(f);
  return found;
}

static bool has_socket(const char *pid, uint64_t inode) {
  char path[300], want[48], link[48];
  bool found = false;
  snprintf(path, sizeof path, "/proc/%s/fd", pid);
  snprintf(want, sizeof want, "socket:[%" PRIu64 "]", inode);
  DIR *all = opendir(path);
  for (const struct dirent *e; all != NULL && !found && (e = readdir(all)) != NULL;) {
    ssize_t n = readlinkat(dirfd(all), e->d_name, link, sizeof link - 1);
    link[n > 0 ? n : 0] = 0;
    found = strcmp(link, want) == 0;
  }
  if (all != NULL)
    closedir(all);
  return found;
}

static void name_of(pid_t pid, char *name, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
  FILE *f = fopen(path, "re");
  if (f == NULL || fgets(name, (int)size, f) == NULL)
    snprintf(name, size, "?");
  name[strcspn(name, "\n")] = 0;
  if (f != NULL)
    fclose(f);
}

/* The daemon itself before any other: it may have handed the socket on to a child. */
static pid_t holder_of(uint64_t inode, pid_t daemon) {
  pid_t found = 0;
  char text[16];
  snprintf(text, sizeof text, "%d", (int)daemon);
  if (inode == 0 || (daemon > 0 && has_socket(text, inode)))
    return inode == 0 ? 0 : daemon;
  DIR *all = opendir("/proc");
  for (const struct dirent *e; all != NULL && found == 0 && (e = readdir(all)) != NULL;)
    if (isdigit((unsigned char)e->d_name[0]) && has_socket(e->d_name, inode))
      found = (pid_t)atoi(e->d_name);
  if (all != NULL)
    closedir(all);
  return found;
}

// ---- judging ----

static void judge_taken(struct doctor *d, const struct doctor_port_seen *seen) {
  const char *port = strrchr(seen->address, ':') + 1;
  if (seen->holder > 0)
    doctor_say(d, DOCTOR_FINDING, "%s (%s, %s) is taken by another process: %s, pid %d", seen->address,
               seen->protocol, seen->key, seen->program, (int)seen->holder);
  else
    doctor_say(d, DOCTOR_FINDING, "%s (%s, %s) is taken by another process, which this user cannot see",
               seen->address, seen->protocol, seen->key);
  doctor_mend(d, "ss -%slpn 'sport = :%s'; stop that program, or name another port in %s on all three",
              strcmp(seen->protocol, "udp") == 0 ? "u" : "t", port, seen->key);
}

void doctor_judge_port(struct doctor *d, const struct doctor_port_seen *seen) {
  bool own = d->pid > 0 && seen->holder == d->pid;
  if (own)
    doctor_say(d, DOCTOR_OK, "%s (%s, %s) is the daemon's", seen->address, seen->protocol, seen->key);
  else if (seen->bind_error == EADDRINUSE && seen->holder == 0 && d->pid > 0 && geteuid() != 0)
    doctor_say(d, DOCTOR_UNKNOWN, "%s (%s, %s) is in use; that it is the daemon's, root alone can see",
               seen->address, seen->protocol, seen->key),
        doctor_mend(d, "sudo tanist doctor");
  else if (seen->bind_error == EADDRINUSE)
    judge_taken(d, seen);
  else if (seen->bind_error == EADDRNOTAVAIL)
    doctor_say(d, DOCTOR_FINDING, "%s (%s, %s) is no address of this machine", seen->address, seen->protocol,
               seen->key),
        doctor_mend(d, "ip -brief address; bring its interface up, or correct %s on all three", seen->key);
  else if (seen->bind_error != 0)
    doctor_say(d, DOCTOR_FINDING, "%s (%s, %s) cannot be listened on: %s", seen->address, seen->protocol,
               seen->key, strerror(seen->bind_error)),
        doctor_mend(d, "ip -brief address; correct %s", seen->key);
  else if (d->pid > 0)
    doctor_say(d, DOCTOR_FINDING, "%s (%s, %s) is free, though the daemon runs: it does not listen there",
               seen->address, seen->protocol, seen->key),
        doctor_mend(d, "restart it (is it in this network namespace?): tanist status");
  else
    doctor_say(d, DOCTOR_OK, "%s (%s, %s) is free for the daemon", seen->address, seen->protocol, seen->key);
}

static void look(struct doctor *d, const struct net_address *a, const char *key, bool stream) {
  char text[NET_ADDRESS_TEXT_SIZE];
  net_address_format(a, text);
  struct doctor_port_seen seen = {
      .address = text, .protocol = stream ? "tcp" : "udp", .key = key, .bind_error = try_bind(a, stream)};
  if (seen.bind_error == EADDRINUSE)
    seen.holder = holder_of(inode_of(seen.protocol, a, stream), d->pid);
  if (seen.bind_error == EADDRINUSE && seen.holder == 0) { /* one of IPv6 that takes IPv4 as well */
    struct net_address all = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port_of(a))}};
    seen.holder = holder_of(inode_of(seen.protocol, &all, stream), d->pid);
  }
  if (seen.holder > 0)
    name_of(seen.holder, seen.program, sizeof seen.program);
  doctor_judge_port(d, &seen);
}

void doctor_ports(struct doctor *d) {
  const struct cluster_voter *own = &d->conf.voter[d->self];
  struct net_address http;
  char error[256];
  for (size_t i = 0; i < own->address_count; i++)
    look(d, &own->address[i], d->self == VOTER_W ? "witness.addresses" : "nodes[].addresses", false);
  if (d->conf.http_listen[0] != 0 && net_listener_parse(d->conf.http_listen, &http, error, sizeof error) == 0)
    look(d, &http, "http.listen", true);
}
