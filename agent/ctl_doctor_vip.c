// SPDX-License-Identifier: Apache-2.0
// doctor: who answers on the virtual IPs.
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "agent/doctor.h"
#include "agent/neighbour.h"

#define ASK_MS 450

static bool among(const struct doctor_macs *all, const uint8_t mac[6]) {
  for (size_t i = 0; i < all->count; i++)
    if (memcmp(all->at[i], mac, 6) == 0)
      return true;
  return false;
}

static const char *mac_text(const uint8_t m[6], char buf[18]) {
  snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
  return buf;
}

static const char *plain(const struct cluster_vip *vip, char buf[INET6_ADDRSTRLEN]) {
  return inet_ntop(vip->family, vip->bytes, buf, INET6_ADDRSTRLEN);
}

static void mend_interface(struct doctor *d, const struct cluster_vip *vip, int error) {
  if (error == -ENODEV)
    doctor_mend(d, "ip -brief link; correct virtual_ip[].interface on all three");
  else if (error == -ENETDOWN)
    doctor_mend(d, "ip link set %s up", vip->interface);
  else if (error == -EPERM)
    doctor_mend(d, "sudo tanist doctor");
}

static void judge_stranger(struct doctor *d, const struct cluster_vip *vip, const uint8_t *mac) {
  char text[18], address[INET6_ADDRSTRLEN];
  doctor_say(d, DOCTOR_FINDING, "%s is answered on %s by a stranger, %s", vip->text, vip->interface,
             mac_text(mac, text));
  doctor_mend(d, "take %s from the machine with %s (see %s), or choose another virtual IP",
              plain(vip, address), text,
              vip->family == AF_INET ? "arping -I, the switch's table of addresses"
                                     : "ndisc6, the switch's table of addresses");
}

/* Who it is where the other node's own address is not on that network: the leader, if it is one machine. */
static bool is_peer(const struct doctor_vip_seen *seen, const uint8_t *mac) {
  return among(&seen->peer, mac) || (seen->peer.count == 0 && seen->peer_leads && seen->answers.count == 1);
}

static void judge_left_behind(struct doctor *d, const struct cluster_vip *vip,
                              const struct doctor_vip_seen *seen) {
  if (!seen->here || seen->held)
    return;
  doctor_say(d, DOCTOR_FINDING, "%s is on an interface here, though %s", vip->text,
             d->status != NULL ? "the agent does not hold it" : "no agent answers that could hold it");
  doctor_mend(d, "ip address del %s dev %s", vip->text, vip->interface);
}

void doctor_judge_virtual_ip(struct doctor *d, const struct doctor_vip_seen *seen) {
  const struct cluster_vip *vip = &d->conf.vip[seen->index];
  const char *other = d->conf.voter[1 - d->self].name;
  size_t before = d->count;
  if (seen->error != 0) {
    bool unknown = seen->error == -EPERM || seen->error == -EMEDIUMTYPE;
    doctor_say(d, unknown ? DOCTOR_UNKNOWN : DOCTOR_FINDING, "%s: who answers cannot be asked on %s: %s",
               vip->text, vip->interface,
               seen->error == -EMEDIUMTYPE ? "it is no Ethernet" : strerror(-seen->error));
    mend_interface(d, vip, seen->error);
    return;
  }
  judge_left_behind(d, vip, seen);
  bool peer = false;
  for (size_t i = 0; i < seen->answers.count; i++)
    if (is_peer(seen, seen->answers.at[i]))
      peer = true;
    else
      judge_stranger(d, vip, seen->answers.at[i]);
  if (peer && seen->held) {
    doctor_say(d, DOCTOR_FINDING, "%s is held here, and %s answers for it too", vip->text, other);
    doctor_mend(d, "on %s: tanist status; without an agent there: ip address del %s dev %s", other, vip->text,
                vip->interface);
  }
  if (d->count == before)
    doctor_say(d, DOCTOR_OK, "%s on %s: %s", vip->text, vip->interface,
               seen->held ? "held here, and answered by nobody else"
               : peer     ? "answered by the other node alone"
                          : "answered by nobody");
}

// ---- looking ----

static bool is_here(const struct cluster_vip *vip) {
  struct ifaddrs *all;
  bool found = false;
  if (getifaddrs(&all) != 0)
    return false;
  for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
    if (i->ifa_addr == NULL || i->ifa_addr->sa_family != vip->family)
      continue;
    const void *bytes =
        vip->family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr
            : (const void *)&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
    found |= memcmp(bytes, vip->bytes, vip->family == AF_INET ? 4 : 16) == 0;
  }
  freeifaddrs(all);
  return found;
}

static void ask_peer(const struct doctor *d, const struct cluster_vip *vip, struct doctor_macs *out) {
  const struct cluster_voter *other = &d->conf.voter[1 - d->self];
  for (size_t i = 0; i < other->address_count && out->count < DOCTOR_MACS_MAX; i++) {
    const struct net_address *a = &other->address[i];
    const uint8_t *bytes =
        a->any.sa_family == AF_INET ? (const uint8_t *)&a->v4.sin_addr : a->v6.sin6_addr.s6_addr;
    int n = neighbour_ask(vip->interface, a->any.sa_family, bytes, ASK_MS, out->at + out->count,
                          DOCTOR_MACS_MAX - out->count);
    out->count += n > 0 ? (size_t)n : 0;
  }
}

static bool is_held(const struct doctor *d, const char *address) {
  const struct json *all = json_get(d->status, "virtual_ip");
  for (size_t i = 0; i < json_count(all); i++)
    if (strcmp(json_get_text(json_at(all, i), "address", ""), address) == 0)
      return json_get_bool(json_at(all, i), "held", false);
  return false;
}

static void look(struct doctor *d, size_t index) {
  const struct cluster_vip *vip = &d->conf.vip[index];
  struct doctor_vip_seen seen = {.index = index, .held = is_held(d, vip->text), .here = is_here(vip)};
  int n = neighbour_ask(vip->interface, vip->family, vip->bytes, ASK_MS, seen.answers.at, DOCTOR_MACS_MAX);
  seen.error = n < 0 ? n : 0;
  seen.answers.count = n > 0 ? (size_t)n : 0;
  seen.peer_leads = strcmp(json_get_text(d->status, "master", ""), d->conf.voter[1 - d->self].name) == 0;
  if (seen.answers.count > 0)
    ask_peer(d, vip, &seen.peer);
  doctor_judge_virtual_ip(d, &seen);
}

void doctor_virtual_ip(struct doctor *d) {
  if (d->self == VOTER_W)
    doctor_say(d, DOCTOR_OK, "a witness holds none");
  else if (d->conf.vip_count == 0)
    doctor_say(d, DOCTOR_OK, "none is configured");
  for (size_t i = 0; d->self != VOTER_W && i < d->conf.vip_count; i++)
    look(d, i);
}
