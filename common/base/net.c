// SPDX-License-Identifier: Apache-2.0
#include "common/base/net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/core/wire.h"

#define BATCH 64 // datagrams a wakeup: a flood on one socket leaves the timers and the others their turn
#define DATAGRAM_MAX 1280 // longer ones are cut; no beat is that long, so they do not open either
#define CLASS_SELECTOR_6                                                                                     \
  0xc0 // network control, as routing protocols have it: beats pass where bulk traffic queues

struct net_port {
  struct net_socket *socket;
  uint64_t cluster;
  net_datagram_fn *fn;
  void *arg;
  unsigned own;
};

struct net_socket {
  struct net *net;
  struct net_socket *next;
  struct net_address address;
  int fd;
  struct loop_io *io;
  struct net_port **ports; // sorted by cluster
  size_t count;
};

struct net {
  struct loop *loop;
  struct net_socket *sockets;
  uint64_t unclaimed;
};

// ---- addresses ----

static int invalid(const char *text, const char *what, char *error, size_t size) {
  snprintf(error, size, "\"%.80s\" %s; write it as 10.0.0.1:7400 or [fd00::1]:7400", text, what);
  return -EINVAL;
}

static bool parse_port(const char *text, in_port_t *port) {
  unsigned value = 0;
  if (*text == '\0' || *text == '0')
    return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9')
      return false;
    value = value * 10 + (unsigned)(*text - '0');
    if (value > 65535)
      return false;
  }
  *port = htons((uint16_t)value);
  return true;
}

/* 0 and 255 begin what is no machine; 224 to 239 groups; above are reserved ones. */
static bool unicast_v4(const struct in_addr *address) {
  uint32_t first = ntohl(address->s_addr) >> 24;
  return first != 0 && first < 224;
}

static bool unicast_v6(const struct in6_addr *address) {
  return !IN6_IS_ADDR_UNSPECIFIED(address) && !IN6_IS_ADDR_MULTICAST(address) &&
         !IN6_IS_ADDR_V4MAPPED(address) && !IN6_IS_ADDR_LINKLOCAL(address);
}

int net_listener_parse(const char *text, struct net_address *out, char *error, size_t size) {
  char host[INET6_ADDRSTRLEN];
  bool v6 = text[0] == '[';
  const char *begin = v6 ? text + 1 : text;
  const char *end = v6 ? strchr(begin, ']') : strrchr(begin, ':');
  const char *port = end != NULL && v6 ? (end[1] == ':' ? end + 2 : NULL) : end != NULL ? end + 1 : NULL;
  if (!v6 && end != NULL && strchr(begin, ':') != end)
    return invalid(text, "is an IPv6 address without brackets", error, size);
  if (port == NULL)
    return invalid(text, "has no port", error, size);
  if ((size_t)(end - begin) >= sizeof host)
    return invalid(text, "is no address", error, size);
  memcpy(host, begin, (size_t)(end - begin));
  host[end - begin] = '\0';

  memset(out, 0, sizeof *out);
  out->any.sa_family = v6 ? AF_INET6 : AF_INET;
  if (inet_pton(out->any.sa_family, host, v6 ? (void *)&out->v6.sin6_addr : (void *)&out->v4.sin_addr) != 1)
    return invalid(text,
                   "has no numeric address (names are not looked up: that could take longer than a lease)",
                   error, size);
  if (!parse_port(port, v6 ? &out->v6.sin6_port : &out->v4.sin_port))
    return invalid(text, "has no port from 1 to 65535", error, size);
  return 0;
}

int net_address_parse(const char *text, struct net_address *out, char *error, size_t size) {
  int rc = net_listener_parse(text, out, error, size);
  if (rc != 0)
    return rc;
  bool v6 = out->any.sa_family == AF_INET6;
  if (v6 ? unicast_v6(&out->v6.sin6_addr) : unicast_v4(&out->v4.sin_addr))
    return 0;
  return invalid(text, "is a wildcard, a group or a link-local address, not one machine's own", error, size);
}

void net_address_format(const struct net_address *address, char text[NET_ADDRESS_TEXT_SIZE]) {
  char host[INET6_ADDRSTRLEN] = "?";
  bool v6 = address->any.sa_family == AF_INET6;
  const void *bytes = v6 ? (const void *)&address->v6.sin6_addr : (const void *)&address->v4.sin_addr;
  inet_ntop(address->any.sa_family, bytes, host, sizeof host);
  snprintf(text, NET_ADDRESS_TEXT_SIZE, v6 ? "[%s]:%u" : "%s:%u", host,
           ntohs(v6 ? address->v6.sin6_port : address->v4.sin_port));
}

bool net_same_family(const struct net_address *a, const struct net_address *b) {
  return a->any.sa_family == b->any.sa_family;
}

bool net_address_equal(const struct net_address *a, const struct net_address *b) {
  if (!net_same_family(a, b))
    return false;
  if (a->any.sa_family == AF_INET)
    return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr && a->v4.sin_port == b->v4.sin_port;
  return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) && a->v6.sin6_port == b->v6.sin6_port;
}

static socklen_t address_size(const struct net_address *address) {
  return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

// ---- receiving ----

/* The first port at or behind that cluster. */
static size_t find(const struct net_socket *socket, uint64_t cluster) {
  size_t low = 0, high = socket->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (socket->ports[middle]->cluster < cluster)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static struct net_port *claimant(const struct net_socket *socket, const unsigned char *bytes, size_t size) {
  if (socket->count == 1)
    return socket->ports[0];
  uint64_t cluster;
  if (!wire_cluster(bytes, size, &cluster))
    return NULL;
  size_t at = find(socket, cluster);
  return at < socket->count && socket->ports[at]->cluster == cluster ? socket->ports[at] : NULL;
}

static void on_readable(void *arg, bool readable, bool writable) {
  struct net_socket *socket = arg;
  (void)readable, (void)writable;
  for (unsigned i = 0; i < BATCH; i++) {
    unsigned char bytes[DATAGRAM_MAX];
    struct net_address from;
    socklen_t size = sizeof from;
    ssize_t got = recvfrom(socket->fd, bytes, sizeof bytes, MSG_DONTWAIT, &from.any, &size);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return;
    if (got < 0)
      continue; /* a report of an earlier sending: that is counted by its own return */
    struct net_port *port = claimant(socket, bytes, (size_t)got);
    if (port != NULL)
      port->fn(port->arg, port->own, &from, bytes, (size_t)got);
    else
      socket->net->unclaimed++;
  }
}

// ---- sockets ----

/* An address may be bound before its interface has it. Marking and buffers are a wish, the rest is needed. */
static int set_options(int fd, int family) {
  int on = 1, class = CLASS_SELECTOR_6;
  if (family == AF_INET) {
    setsockopt(fd, IPPROTO_IP, IP_TOS, &class, sizeof class);
    return setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on) == 0 ? 0 : -errno;
  }
  setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof class);
  bool ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) == 0;
  return ok ? 0 : -errno;
}

static int open_fd(const struct net_address *address) {
  int family = address->any.sa_family;
  int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -errno;
  int rc = set_options(fd, family);
  if (rc == 0 && bind(fd, &address->any, address_size(address)) != 0)
    rc = -errno;
  if (rc == 0)
    return fd;
  close(fd);
  return rc;
}

static void socket_close(struct net_socket *socket) {
  struct net_socket **link = &socket->net->sockets;
  while (*link != socket)
    link = &(*link)->next;
  *link = socket->next;
  loop_io_free(socket->io);
  close(socket->fd);
  free(socket->ports);
  free(socket);
}

static int socket_open(struct net *net, const struct net_address *address, struct net_socket **out) {
  int fd = open_fd(address);
  if (fd < 0)
    return fd;
  struct net_socket *socket = calloc(1, sizeof *socket);
  struct loop_io *io = socket != NULL ? loop_io_new(net->loop, fd, on_readable, socket) : NULL;
  if (io == NULL) {
    free(socket);
    close(fd);
    return -ENOMEM;
  }
  *socket = (struct net_socket){.net = net, .next = net->sockets, .address = *address, .fd = fd, .io = io};
  net->sockets = socket;
  loop_io_want(io, true, false);
  *out = socket;
  return 0;
}

static int find_socket(struct net *net, const struct net_address *address, struct net_socket **out) {
  for (struct net_socket *socket = net->sockets; socket != NULL; socket = socket->next)
    if (net_address_equal(&socket->address, address)) {
      *out = socket;
      return 0;
    }
  return socket_open(net, address, out);
}

static int add_port(struct net_socket *socket, const struct net_port *values, struct net_port **out) {
  size_t at = find(socket, values->cluster);
  if (at < socket->count && socket->ports[at]->cluster == values->cluster)
    return -EEXIST;
  struct net_port **ports = realloc(socket->ports, (socket->count + 1) * sizeof(*ports));
  if (ports == NULL)
    return -ENOMEM;
  socket->ports = ports;
  struct net_port *port = malloc(sizeof *port);
  if (port == NULL)
    return -ENOMEM;
  *port = *values;
  memmove(ports + at + 1, ports + at, (socket->count - at) * sizeof(*ports));
  ports[at] = port;
  socket->count++;
  *out = port;
  return 0;
}

int net_join(struct net *net, struct net_port **out, const struct net_address *own_address, uint64_t cluster,
             net_datagram_fn *fn, void *arg, unsigned own) {
  struct net_socket *socket = NULL;
  int rc = find_socket(net, own_address, &socket);
  if (rc != 0)
    return rc;
  struct net_port port = {.socket = socket, .cluster = cluster, .fn = fn, .arg = arg, .own = own};
  rc = add_port(socket, &port, out);
  if (rc != 0 && socket->count == 0)
    socket_close(socket);
  return rc;
}

void net_leave(struct net_port *port) {
  if (port == NULL)
    return;
  struct net_socket *socket = port->socket;
  size_t at = find(socket, port->cluster);
  assert(at < socket->count && socket->ports[at] == port);
  socket->count--;
  memmove(socket->ports + at, socket->ports + at + 1, (socket->count - at) * sizeof(*socket->ports));
  free(port);
  if (socket->count == 0)
    socket_close(socket);
}

struct net *net_new(struct loop *loop) {
  struct net *net = calloc(1, sizeof *net);
  if (net != NULL)
    net->loop = loop;
  return net;
}

void net_free(struct net *net) {
  while (net != NULL && net->sockets != NULL)
    net_leave(net->sockets->ports[0]);
  free(net);
}

int net_send(struct net_port *port, const struct net_address *to, const void *bytes, size_t size) {
  ssize_t done =
      sendto(port->socket->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL, &to->any, address_size(to));
  return done >= 0 ? 0 : -errno;
}

uint64_t net_unclaimed(const struct net *net) {
  return net->unclaimed;
}
