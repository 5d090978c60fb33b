// SPDX-License-Identifier: Apache-2.0
// The configuration of one cluster, the same file on all three machines; what agent, witness and operator
// know of it.
//
// Node names are the operator's words and decide what people see; to the protocol the nodes are 0 and 1 by
// their order in `nodes` (VOTER_A, VOTER_B), the witness is VOTER_W.
#ifndef TANIST_BASE_CLUSTER_H
#define TANIST_BASE_CLUSTER_H

#include "common/base/conf.h"
#include "common/base/net.h"
#include "common/base/verb.h"
#include "common/core/budget.h"
#include "common/core/types.h"

#define CLUSTER_PATHS_MAX 8 // addresses of a voter: a beat's paths_heard has a bit for each
#define CLUSTER_NAME_MAX 32 // characters of a cluster's or voter's name
#define CLUSTER_KEY_SIZE 32 // bytes of a public key
#define CLUSTER_VIPS_MAX 16
#define CLUSTER_CHECKS_MAX 16
#define CLUSTER_GROUPS_MAX 8
#define CLUSTER_RESTART_MAX 3 // policy.restart_max, where it is not given

struct cluster_voter {
  const char *name;
  const char *key_text; // base64, 44 characters
  uint8_t key[CLUSTER_KEY_SIZE];
  struct conf_texts address_texts;               // the same as text
  struct net_address address[CLUSTER_PATHS_MAX]; // numbers only: a failover must not wait for a name server
  size_t address_count;
};

struct cluster_vip {
  const char *text; // "10.0.0.100/24"
  const char *interface;
  int conflict; // enum cluster_conflict
  int family;   // AF_INET, AF_INET6
  unsigned char bytes[16];
  unsigned prefix;
};

struct cluster_check {
  const char *name;
  int kind;                  // enum cluster_check_kind
  const char *address;       // CHECK_TCP; else ""
  struct conf_texts command; // CHECK_EXEC: argv
  uint32_t every_ms, timeout_ms, fall, rise;
};

struct cluster_group {
  const char *name;
  struct conf_texts checks;
  uint32_t members; // the same as bits, by their number in `check`; each in one group at most
  int64_t need;     // so many of them must be down, 1 to their count: "any" is 1, "all" is all
};

// The words of the file, in the order of the table's `words`.
enum cluster_conflict { CONFLICT_WARN, CONFLICT_REFUSE };
enum cluster_driver {
  DRIVER_NONE,
  DRIVER_REDIS,
  DRIVER_POSTGRESQL,
  DRIVER_EXEC,
  DRIVER_COPROCESS,
  DRIVER_OCF,
  DRIVER_SYSTEMD,
  DRIVER_LIBRARY // a broker that speaks for itself through libtanist
};
enum cluster_check_kind { CHECK_BROKER, CHECK_TCP, CHECK_EXEC };
enum cluster_kernel { KERNEL_REQUIRE, KERNEL_PREFER, KERNEL_OFF };
#define FENCE_NETLINK_LEASE_MS_MIN 500u // a fourth of the lease is what a renewal may wait for others' rules
enum cluster_mechanism { MECHANISM_AUTO, MECHANISM_BPF, MECHANISM_NFT, MECHANISM_NETLINK };
enum cluster_failback { FAILBACK_MANUAL, FAILBACK_AUTO };

struct cluster_conf {
  const char *name;
  struct cluster_voter voter[VOTERS]; // the two nodes in their order, then the witness
  size_t node_count;                  // NODES

  uint32_t lease_ms, beat_ms, witness_grace_ms; // witness_grace_ms 0: never
  double drift_percent;
  uint32_t drift_ppm; // the same, for the core

  struct cluster_vip vip[CLUSTER_VIPS_MAX];
  size_t vip_count;

  struct {
    int driver;          // enum cluster_driver
    const char *address; // "" only with DRIVER_NONE
    struct conf_map peer_map;
    const char *peers[NODES]; // the same by the node's number; "" where not given
    const char *username, *password_file;
    struct {
      const char *ca_file, *certificate_file, *key_file, *server_name; // "" not given
    } tls; // redis: of the connections to both
    struct conf_texts streams; // redis: whose tails a rejoin keeps
    struct conf_map options; // what only its driver knows
    int replication; // enum replication
    uint64_t max_lag_bytes;
    uint32_t degrade_ms, join_hold_ms;
    bool strict;
    struct conf_texts commands[VERB_COUNT]; // exec: by enum verb
    struct conf_texts command;              // coprocess
    const char *agent;       // ocf: "ocf:PROVIDER:TYPE"; "" with others
    const char *unit;        // systemd; "" with others
    uint32_t verb_timeout_ms;
  } broker;

  struct cluster_check check[CLUSTER_CHECKS_MAX];
  size_t check_count;
  int64_t dead_when; // so many groups, and checks in none, must be down: "any" is 1, "all" is all
  struct cluster_group group[CLUSTER_GROUPS_MAX];
  size_t group_count;

  struct {
    int kernel;    // enum cluster_kernel
    int mechanism; // enum cluster_mechanism
    struct conf_numbers ports;
    const char *watchdog;
    struct conf_texts agent_command;
    struct conf_map agent_options;
    bool agent_required;
  } fence;

  struct {
    const char *preferred_name;
    uint8_t preferred; // VOTER_A or VOTER_B
    int failback;      // enum cluster_failback
    uint32_t failback_after_ms, hold_down_ms, restart_max, restart_window_ms;
  } policy;

  const char *keys_directory, *state_directory, *run_directory;
  const char *http_listen;
  struct {
    struct conf_texts event, before_promote, before_demote;
  } hooks;

  char *texts; // the memory of all texts above that are not constants
};

// Reads and checks a file: all keys, their ranges, what they mean to each other. Needs no key, state, network
// or kernel. 0; -EINVAL (wrong) or another negative errno (unreadable), errors->count > 0; -ENOMEM with no
// error in it. cluster_free after success only. The texts live as long as the struct: after a reload, swap
// all users first.
int cluster_load(struct cluster_conf *, const char *file, struct conf_errors *);
void cluster_free(struct cluster_conf *); // a cleared struct is allowed

// What holds between the keys, and what derives from others; called by cluster_load. Errors go to conf.
void cluster_complete(struct cluster_conf *, struct conf *);
void cluster_complete_health(struct cluster_conf *, struct conf *); // of it: health, groups, dead_when

// Is it the name of a service of systemd's: what a unit's name may hold, and ".service" at its end?
bool cluster_is_service(const char *name);

// Of drivers that are driven by verbs: what they need is there, and nothing of another driver's.
void cluster_complete_driver(struct cluster_conf *, struct conf *);

// The same of what driver "postgresql" wants.
void cluster_complete_postgresql(const struct cluster_conf *, struct conf *);

// Prints the errors, one a line, and how many more there are.
void cluster_print_errors(FILE *, const struct conf_errors *);

// The keys in which two configurations differ that cannot change while a daemon runs: "a.b, c". Their number.
size_t cluster_restart_keys(const struct cluster_conf *, const struct cluster_conf *, char *buf, size_t size);

// The text over which the three compare their configurations: all but *_directory, http and hooks. Returns
// its length, as snprintf; CLUSTER_CANONICAL_MAX bytes are always enough.
#define CLUSTER_CANONICAL_MAX (CONF_FILE_MAX + 16 * 1024)
size_t cluster_canonical(const struct cluster_conf *, char *buf, size_t size);

// Which node is this machine? By the name given; else the host name, whole or up to its first dot; else the
// one node with an address of this machine. VOTER_A or VOTER_B; -EINVAL with an error that lists the names.
int cluster_self(const struct cluster_conf *, const char *name_or_null, char *error, size_t size);
int cluster_voter_find(const struct cluster_conf *,
                       const char *name); // enum voter_id, NOBODY if there is none

struct budget cluster_budget(const struct cluster_conf *);

// The health check "broker", whose timing is that of the driver's probe; NULL if the file has none.
const struct cluster_check *cluster_broker_check(const struct cluster_conf *);

const char *cluster_driver_name(const struct cluster_conf *);      // "redis"
const char *cluster_replication_name(const struct cluster_conf *); // "sync"
const char *cluster_kernel_name(const struct cluster_conf *);      // "require"
const char *cluster_mechanism_name(const struct cluster_conf *);   // "auto"

// "10.0.0.100/24", "fd00::100/64": into family, bytes and prefix.
bool cluster_vip_parse(const char *text, struct cluster_vip *);
// 44 characters of standard base64 for the 32 bytes of a public key that protects something (key.h).
bool cluster_key_parse(const char *text, uint8_t key[CLUSTER_KEY_SIZE]);

// A name of a cluster or voter: also good as a part of file names, nftables names and configuration keys.
bool cluster_is_name(const char *text);

// RUN/CLUSTER.NAME.SUFFIX: an agent's files of this run. Returns buf.
const char *cluster_run_path(const struct cluster_conf *, unsigned voter, const char *suffix, char *buf,
                             size_t size);
// RUN/CLUSTER.NAME.sock, the agent's control socket. Returns buf.
const char *cluster_socket_path(const struct cluster_conf *, unsigned voter, char *buf, size_t size);
// KEYS/CLUSTER.NAME.key, a voter's private key.
const char *cluster_key_path(const struct cluster_conf *, unsigned voter, char *buf, size_t size);

extern const struct conf_table cluster_table;
int cluster_print_defaults(FILE *); // what tanist-agent --print-default-config prints; -EIO

#endif
