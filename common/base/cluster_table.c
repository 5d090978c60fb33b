// SPDX-License-Identifier: Apache-2.0
// Every key of a cluster's configuration: what it is, what it may be, what it is when it is not given.
#include "common/base/cluster.h"

#include <arpa/inet.h>
#include <string.h>

#define HOUR_MS 3600000
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof *(a))

// ---- forms of texts ----

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// No dot: CLUSTER.NAME.key is then read in one way only.
bool cluster_is_name(const char *text) {
  size_t n = strlen(text);
  for (const char *c = text; *c; c++)
    if (!is_letter(*c) && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_')
      return false;
  return n > 0 && n <= CLUSTER_NAME_MAX && is_letter(*text);
}

static bool is_address(const char *text) {
  struct net_address address;
  char error[256];
  return net_address_parse(text, &address, error, sizeof error) == 0;
}

static bool is_listener(const char *text) {
  struct net_address address;
  char error[256];
  return net_listener_parse(text, &address, error, sizeof error) == 0;
}

static bool is_vip(const char *text) {
  struct cluster_vip vip;
  return cluster_vip_parse(text, &vip);
}

static bool is_key(const char *text) {
  uint8_t key[CLUSTER_KEY_SIZE];
  return cluster_key_parse(text, key);
}

static bool is_interface(const char *text) {
  return !strpbrk(text, "/ :") && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

// Of a cluster manager's: "ocf:PROVIDER:TYPE".
static bool is_resource_agent(const char *text) {
  static const char standard[] = "ocf:";
  const char *provider = text + sizeof standard - 1;
  if (strncmp(text, standard, sizeof standard - 1) != 0)
    return text[0] == 0;
  size_t length = strcspn(provider, ":/");
  const char *type = provider + length + 1;
  return length > 0 && provider[length] == ':' && type[0] != 0 && strcspn(type, ":/") == strlen(type) &&
         provider[0] != '.' && type[0] != '.';
}

static bool is_unit(const char *text) {
  return text[0] == 0 || cluster_is_service(text);
}

static bool is_path(const char *text) {
  return *text == '/';
}

static bool is_stream(const char *text) {
  size_t length = strlen(text);
  return length >= 1 && length <= 128 && strpbrk(text, " \t\r\n") == NULL;
}

// ---- the table ----

#define VERB_ROW(name, text, what)                                                                           \
  {.path = "broker.commands." text, COMMAND, AT(broker.commands[VERB_##name]), .help = what "."},

#define AT(member) .at = offsetof(struct cluster_conf, member)
#define IN(type, member) .at = offsetof(struct type, member)
#define NAME .min = 1, .max = CLUSTER_NAME_MAX, .fits = cluster_is_name, .allowed = NAME_FORM
#define NAME_FORM "a name of 1 to 32 letters, digits, \"-\" and \"_\", a letter first"
#define ADDRESS .fits = is_address, .allowed = ADDRESS_FORM
#define ADDRESS_FORM "an address in numbers and a port, as in \"10.0.0.1:7400\" or \"[fd00::1]:7400\""
#define PATH .fits = is_path, .allowed = "a path from the root, as in \"/etc/tanist\""
#define PATHS .min = 0, .max = CONF_ITEMS_MAX, PATH
#define DIRECTORY(longest)                                                                                   \
  .min = 1, .max = (longest), .fits = is_path,                                                               \
  .allowed = "a path from the root, of at most " #longest " characters, as in \"/etc/tanist\"",              \
  .local = true
#define DURATION(from, to) .type = CONF_U32, .min = (from), .max = (to)
#define COMMAND .type = CONF_TEXTS, .fallback = "", .min = 0, .max = CONF_ITEMS_MAX

#define NODES_EXAMPLE                                                                                        \
  "(\n"                                                                                                      \
  "  { name = \"a\"; addresses = [ \"10.0.0.1:7400\", \"10.1.0.1:7400\" ];\n"                                \
  "    public_key = \"3rSbUFHZFgNoULGj7P5sx4mA6kc1o8+F0fXK1Vb0yXQ=\"; },\n"                                  \
  "  { name = \"b\"; addresses = [ \"10.0.0.2:7400\", \"10.1.0.2:7400\" ];\n"                                \
  "    public_key = \"Zk0y4wQm1v9T8hJ2sN6cR3xL7bP5dF0gK4aVtE8uYhM=\"; }\n"                                   \
  ")"
#define WITNESS_EXAMPLE                                                                                      \
  "{ name = \"w\"; addresses = [ \"10.0.9.9:7400\" ];\n"                                                     \
  "  public_key = \"Q9fW2nXr7tBz5LpYc1VhKd8sMj3uGo6eHa0iRwTqNkE=\"; }"
#define VIP_EXAMPLE                                                                                          \
  "(\n"                                                                                                      \
  "  { address = \"10.0.0.100/24\"; interface = \"eth0\"; conflict = \"warn\"; },\n"                         \
  "  { address = \"fd00::100/64\"; interface = \"eth0\"; }\n"                                                \
  ")"
#define HEALTH_EXAMPLE                                                                                       \
  "(\n"                                                                                                      \
  "  { name = \"alive\"; check = \"broker\"; every_ms = 200; timeout_ms = 500; fall = 2; rise = 2; },\n"     \
  "  { name = \"port\"; check = \"tcp\"; address = \"127.0.0.1:6379\"; timeout_ms = 200; fall = 3; },\n"     \
  "  { name = \"orders\"; check = \"exec\"; command = [ \"/etc/tanist/check-orders\" ]; every_ms = 1000; "   \
  "}\n"                                                                                                      \
  ")"

#define GROUPS_EXAMPLE "( { name = \"service\"; checks = [ \"port\", \"orders\" ]; need = \"all\"; } )"

// A voter's three keys, for a node in its list and for the witness.
#define VOTER_KEYS(prefix, place_name, place_addresses, place_key)                                           \
  {.path = prefix ".name",                                                                                   \
   .type = CONF_TEXT,                                                                                        \
   NAME,                                                                                                     \
   place_name,                                                                                               \
   .help = "What people call it; of the key file, too (CLUSTER.NAME.key)."},                                 \
      {.path = prefix ".addresses",                                                                          \
       .type = CONF_TEXTS,                                                                                   \
       .min = 1,                                                                                             \
       .max = CLUSTER_PATHS_MAX,                                                                             \
       ADDRESS,                                                                                              \
       place_addresses,                                                                                      \
       .help = "Where it listens for beats (UDP). Several networks are used at the same time."},             \
  {                                                                                                          \
    .path = prefix ".public_key", .type = CONF_TEXT, .min = 1, .max = 64, .fits = is_key,                    \
    .allowed = "the 44 characters that `tanist keygen` or `tanist pubkey` print", place_key,                 \
    .help = "Its public key."                                                                                \
  }

// clang-format off
static const struct conf_key keys[] = {
    {.path = "cluster", .type = CONF_TEXT, NAME, AT(name), .example = "\"orders\"",
     .help = "The name of the cluster: of its files, its nftables table, and in every beat."},
    {.path = "nodes", .type = CONF_LIST, .min = NODES, .max = NODES, AT(voter),
     .count_at = offsetof(struct cluster_conf, node_count), .stride = sizeof(struct cluster_voter),
     .example = NODES_EXAMPLE,
     .help = "The two nodes, each beside a broker. The order counts: the first is a, the second b."},
    VOTER_KEYS("nodes[]", IN(cluster_voter, name), IN(cluster_voter, address_texts),
               IN(cluster_voter, key_text)),
    {.path = "witness", .type = CONF_GROUP, .example = WITNESS_EXAMPLE,
     .help = "The third voter, on a machine of its own. It votes and never leads. Must be given."},
    VOTER_KEYS("witness", AT(voter[VOTER_W].name), AT(voter[VOTER_W].address_texts),
               AT(voter[VOTER_W].key_text)),
    {.path = "timing", .type = CONF_GROUP, .fallback = "",
     .help = "How long a master may serve without a vote, and how often it asks. lease_ms x (1 - "
             "drift_percent / 100) must be at least 3 x beat_ms + 10, so that two lost beats end no lease; "
             "`tanist check` prints what the figures come to."},
    {.path = "timing.lease_ms", DURATION(LEASE_MS_MIN, LEASE_MS_MAX), .fallback = "1000", AT(lease_ms),
     .help = "The lease, ms: a lost master is replaced after about this time."},
    {.path = "timing.beat_ms", DURATION(BEAT_MS_MIN, BEAT_MS_MAX), .fallback = "100", AT(beat_ms),
     .help = "Time between two beats, ms."},
    {.path = "timing.drift_percent", .type = CONF_REAL, .min = 0.1, .max = DRIFT_PPM_MAX / 10000.0,
     .fallback = "1.0", AT(drift_percent),
     .help = "How far the rates of any two machines' clocks may differ, percent."},
    {.path = "timing.witness_grace_ms", .reload = true, DURATION(0, 168 * HOUR_MS), .fallback = "600000",
     AT(witness_grace_ms),
     .help = "So long may both nodes miss the witness before the master secures itself to go on without "
             "it, ms; 0: it never does."},
    {.path = "virtual_ip", .type = CONF_LIST, .fallback = "", .min = 0, .max = CLUSTER_VIPS_MAX, AT(vip),
     .count_at = offsetof(struct cluster_conf, vip_count), .stride = sizeof(struct cluster_vip),
     .example = VIP_EXAMPLE,
     .help = "Addresses that the master alone holds."},
    {.path = "virtual_ip[].address", .type = CONF_TEXT, .min = 1, .max = 64, .fits = is_vip,
     .allowed = "an address and its network's prefix length, as in \"10.0.0.100/24\" or \"fd00::100/64\"",
     IN(cluster_vip, text),
     .help = "The address."},
    {.path = "virtual_ip[].interface", .type = CONF_TEXT, .min = 1, .max = 15, .fits = is_interface,
     .allowed = "the name of a network interface, up to 15 characters", IN(cluster_vip, interface),
     .help = "The network interface that carries it on both nodes."},
    {.path = "virtual_ip[].conflict", .reload = true, .type = CONF_WORD, .words = "warn|refuse",
     .fallback = "warn", IN(cluster_vip, conflict),
     .help = "What to do when a stranger answers on the address: take it and warn, or refuse to lead."},
    {.path = "broker", .type = CONF_GROUP, .fallback = "",
     .help = "The broker that is kept as a pair."},
    {.path = "broker.driver", .type = CONF_WORD, .words = "none|redis|postgresql|exec|coprocess|ocf|systemd|library",
     .fallback = "none", AT(broker.driver),
     .help = "Which kind of broker; none: only virtual_ip moves."},
    {.path = "broker.address", .type = CONF_TEXT, .min = 0, .max = 64, ADDRESS, .fallback = "",
     AT(broker.address),
     .help = "Where each agent reaches its own broker; must be given with a driver, but for a service: exec, "
             "coprocess, ocf and systemd where replication is shared or none."},
    {.path = "broker.peers", .type = CONF_MAP, .max = NODES, ADDRESS, .fallback = "", AT(broker.peer_map),
     .help = "How each broker reaches the other, by the names of the nodes, as in " "{ a = "
             "\"10.0.0.1:6379\"; b = \"10.0.0.2:6379\"; }; must be given where broker.address must."},
    {.path = "broker.username", .type = CONF_TEXT, .min = 0, .max = 128, .fallback = "", AT(broker.username),
     .help = "As whom the agent, and the other broker, log in."},
    {.path = "broker.password_file", .type = CONF_TEXT, .min = 0, .max = 200, PATH, .fallback = "",
     AT(broker.password_file),
     .help = "The file whose first line is the password; empty: none."},
    {.path = "broker.tls", .type = CONF_GROUP, .fallback = "",
     .help = "With redis: TLS of the agent's connections to both nodes' Redis, in effect where ca_file is given. The files are "
             "read at each connection. Between the two Redis it is tls-replication in redis.conf."},
    {.path = "broker.tls.ca_file", .type = CONF_TEXT, .min = 0, .max = 200, PATH, .fallback = "",
     .example = "\"/etc/tanist/tls/ca.pem\"", AT(broker.tls.ca_file),
     .help = "The certificates of the authorities that the servers' must come from."},
    {.path = "broker.tls.certificate_file", .type = CONF_TEXT, .min = 0, .max = 200, PATH, .fallback = "",
     AT(broker.tls.certificate_file), .help = "The agent's own certificate, where Redis asks for one (tls-auth-clients)."},
    {.path = "broker.tls.key_file", .type = CONF_TEXT, .min = 0, .max = 200, PATH, .fallback = "",
     AT(broker.tls.key_file), .help = "Its private key; must be given with certificate_file."},
    {.path = "broker.tls.server_name", .type = CONF_TEXT, .min = 0, .max = 200, .fallback = "",
     AT(broker.tls.server_name),
     .help = "What both servers' certificates must be for; empty: any that the authorities have signed."},
    {.path = "broker.streams", .type = CONF_TEXTS, .min = 0, .max = CONF_ITEMS_MAX, .fits = is_stream,
     .allowed = "a name or pattern of 1 to 128 characters without blanks, as in \"orders\" or \"pay*\"", .fallback = "",
     .example = "[ \"orders\", \"pay*\" ]", AT(broker.streams),
     .help = "With redis: the streams, by name or pattern as in KEYS, of which what only this node holds is kept in an orphan "
             "file before it discards its data for the new master's (tanist orphans). Other data is not kept."},
    {.path = "broker.options", .type = CONF_MAP, .max = CONF_ITEMS_MAX, .fallback = "", AT(broker.options),
     .help = "What only the driver knows. postgresql: data_directory (must be given), bin_directory, config_file, unit, "
             "log_file, conninfo. ocf: the resource agent's parameters; NAME__NODE is for that node alone."},
    {.path = "broker.replication", .type = CONF_WORD, .words = "sync|async|shared|none",
     .fallback = "", .otherwise = "\"none\" with the drivers none, exec, ocf and systemd, else \"sync\"", .example = "\"sync\"",
     AT(broker.replication),
     .help = "How the brokers replicate: sync, nothing acknowledged is lost; async, up to max_lag_bytes; "
             "shared, one storage; none, no state."},
    {.path = "broker.max_lag_bytes", .type = CONF_U64, .min = 0, .max = 1e15, .fallback = "0",
     AT(broker.max_lag_bytes),
     .help = "With async: how far behind may still be promoted, and so the most that a failover loses; in bytes, or in whatever a broker on libtanist counts its positions."},
    {.path = "broker.degrade_ms", .reload = true, DURATION(1, HOUR_MS), .fallback = "500", AT(broker.degrade_ms),
     .help = "So long may the secondary stand still before the master asks to go on alone, ms."},
    {.path = "broker.join_hold_ms", .reload = true, DURATION(0, HOUR_MS), .fallback = "2000", AT(broker.join_hold_ms),
     .help = "So long must the secondary keep up before it counts again, ms."},
    {.path = "broker.strict", .type = CONF_BOOL, .fallback = "false", AT(broker.strict),
     .help = "true: the master never goes on alone; without the secondary nothing is acknowledged."},
    {.path = "broker.commands", .type = CONF_GROUP, .fallback = "",
     .help = "With exec: a program and its arguments for each verb, as in start = [ \"/etc/tanist/my-broker\", "
             "\"start\" ]; monitor, promote and demote must be given. What they are told and what they answer is "
             "in tanist-drivers(7)."},
    VERBS(VERB_ROW)
    {.path = "broker.command", COMMAND, AT(broker.command),
     .help = "With coprocess: the program's path and its arguments. It is started once, is asked verbs on its standard input, "
             "and answers on its standard output: tanist-drivers(7)."},
    {.path = "broker.agent", .type = CONF_TEXT, .min = 0, .max = 120, .fits = is_resource_agent,
     .allowed = "a resource agent as \"ocf:PROVIDER:TYPE\"", .fallback = "", AT(broker.agent),
     .example = "\"ocf:heartbeat:pgsql\"",
     .help = "With ocf, and only then: the resource agent. One that needs a cluster manager's database is of no use; "
             "tanist-drivers(7) says which do."},
    {.path = "broker.unit", .type = CONF_TEXT, .min = 0, .max = 255, .fits = is_unit,
     .allowed = "the name of a service of systemd's, as in \"activemq.service\"", .fallback = "", AT(broker.unit),
     .help = "With systemd, and only then: the service that runs on the master alone."},
    {.path = "broker.verb_timeout_ms", DURATION(100, HOUR_MS), .fallback = "10000", AT(broker.verb_timeout_ms),
     .help = "With exec and its like: what start, promote, demote, rejoin or stop have not done by then is ended, ms."},
    {.path = "health", .reload = true, .type = CONF_LIST, .fallback = "", .min = 0, .max = CLUSTER_CHECKS_MAX, AT(check),
     .otherwise = "the one check \"broker\"", .count_at = offsetof(struct cluster_conf, check_count),
     .stride = sizeof(struct cluster_check), .example = HEALTH_EXAMPLE,
     .help = "How the agent judges its own broker."},
    {.path = "health[].name", .type = CONF_TEXT, NAME, IN(cluster_check, name),
     .help = "What people call it."},
    {.path = "health[].check", .type = CONF_WORD, .words = "broker|tcp|exec", IN(cluster_check, kind),
     .help = "broker: the driver's own probe; tcp: address takes a connection; exec: command ends with 0."},
    {.path = "health[].address", .type = CONF_TEXT, .min = 0, .max = 64, ADDRESS, .fallback = "",
     IN(cluster_check, address),
     .help = "With tcp, and only then."},
    {.path = "health[].command", COMMAND, IN(cluster_check, command),
     .help = "With exec, and only then: a program's path and its arguments; no shell."},
    {.path = "health[].every_ms", DURATION(10, HOUR_MS), .fallback = "200", IN(cluster_check, every_ms),
     .help = "Time between two checks, ms."},
    {.path = "health[].timeout_ms", DURATION(10, HOUR_MS), .fallback = "500", IN(cluster_check, timeout_ms),
     .help = "A check that takes longer has failed, ms."},
    {.path = "health[].fall", DURATION(1, 100), .fallback = "2", IN(cluster_check, fall),
     .help = "So many failures in a row: down. (A reset connection and a refused new one count at once.)"},
    {.path = "health[].rise", DURATION(1, 100), .fallback = "2", IN(cluster_check, rise),
     .help = "So many successes in a row: up."},
    {.path = "dead_when", .reload = true, .type = CONF_WORD_OR_U32, .words = "any|all", .min = 1, .max = CLUSTER_CHECKS_MAX,
     .fallback = "any", AT(dead_when),
     .help = "How many must be down for the broker to be dead, of the groups and the checks in none; at most as "
             "many as there are."},
    {.path = "groups", .reload = true, .type = CONF_LIST, .fallback = "", .min = 0, .max = CLUSTER_GROUPS_MAX,
     AT(group), .count_at = offsetof(struct cluster_conf, group_count),
     .stride = sizeof(struct cluster_group),
     .example = GROUPS_EXAMPLE,
     .help = "Checks that count as one: a check in a group counts with that alone. A check is in one group at most."},
    {.path = "groups[].name", .type = CONF_TEXT, NAME, IN(cluster_group, name),
     .help = "What people call it."},
    {.path = "groups[].checks", .type = CONF_TEXTS, .min = 1, .max = CLUSTER_CHECKS_MAX,
     .fits = cluster_is_name, .allowed = "the name of a check", IN(cluster_group, checks),
     .help = "The checks in it."},
    {.path = "groups[].need", .type = CONF_WORD_OR_U32, .words = "any|all", .min = 1,
     .max = CLUSTER_CHECKS_MAX, .fallback = "any", IN(cluster_group, need),
     .help = "How many of them must be down for the group to be down."},
    {.path = "fence", .type = CONF_GROUP, .fallback = "",
     .help = "What ends a master that does not end itself."},
    {.path = "fence.kernel", .type = CONF_WORD, .words = "require|prefer|off", .fallback = "require",
     AT(fence.kernel),
     .help = "The kernel stops virtual_ip and ports when the lease runs out, whatever becomes of the "
             "agent. require: lead only with it; prefer: warn without; off: do without."},
    {.path = "fence.mechanism", .type = CONF_WORD, .words = "auto|bpf|nft|netlink", .fallback = "auto", AT(fence.mechanism),
     .help = "By what means. auto: the best that works here; bpf: programs at the network interfaces, exact, for "
             "the machine's own root; nft: nf_tables, in containers too; netlink: the same where no datagram gets "
             "to its rules, with a lease of 500 ms or more."},
    {.path = "fence.ports", .type = CONF_NUMBERS, .min = 1, .max = 65535, .fallback = "",
     .otherwise = "the port of broker.address", .example = "[ 6379 ]", AT(fence.ports),
     .help = "TCP ports fenced on every address of the node, except from itself and from the other node."},
    {.path = "fence.watchdog", .type = CONF_TEXT, .min = 0, .max = 200, PATH, .fallback = "",
     AT(fence.watchdog),
     .help = "The watchdog device, as in \"/dev/watchdog\": it resets a machine whose agent hangs. Kicked only "
             "while the node is not master, or master with a valid lease."},
    {.path = "fence.agent", .type = CONF_GROUP, .fallback = "",
     .help = "A device that turns the other node off."},
    {.path = "fence.agent.command", COMMAND, AT(fence.agent_command),
     .help = "The program that drives it, any of Debian's package fence-agents, as in "
             "[ \"/usr/sbin/fence_ipmilan\" ]. tanist force-master --fence turns the other node off by it."},
    {.path = "fence.agent.options", .type = CONF_MAP, .max = CONF_ITEMS_MAX, .fallback = "",
     AT(fence.agent_options),
     .help = "What it is told on its standard input, as in { username = \"root\"; password = \"...\"; ip__a = "
             "\"10.9.0.1\"; ip__b = \"10.9.0.2\"; }. A name that ends with __NODE is for turning that node off."},
    {.path = "fence.agent.required", .type = CONF_BOOL, .fallback = "false",
     AT(fence.agent_required),
     .help = "true: no failover before the device has confirmed that the other node is off, or that one is heard and "
             "nothing of a reign runs there. While the device fails, nobody leads."},
    {.path = "policy", .type = CONF_GROUP, .fallback = "",
     .help = "Who leads when both may, and how often."},
    {.path = "policy.preferred", .reload = true, .type = CONF_TEXT, .min = 0, .max = CLUSTER_NAME_MAX,
     .fits = cluster_is_name, .allowed = "the name of a node", .fallback = "", .otherwise = "the first node",
     .example = "\"a\"", AT(policy.preferred_name),
     .help = "Who stands first where both nodes could."},
    {.path = "policy.failback", .reload = true, .type = CONF_WORD, .words = "manual|auto",
     .fallback = "manual", AT(policy.failback),
     .help = "Does the preferred node get the lead back by itself? auto: by a hand-over; not while frozen."},
    {.path = "policy.failback_after_ms", .reload = true, DURATION(0, 24 * HOUR_MS), .fallback = "60000",
     AT(policy.failback_after_ms),
     .help = "With auto: after it was fit, and nothing in the way, for so long, ms."},
    {.path = "policy.hold_down_ms", .reload = true, DURATION(0, 24 * HOUR_MS), .fallback = "0",
     AT(policy.hold_down_ms),
     .help = "So long after a failover there is no other one by itself, nor a failback, ms; 0: off. Who leads may "
             "lead again, and an operator may order."},
    {.path = "policy.restart_max", .reload = true, DURATION(0, 1000), .fallback = "3", AT(policy.restart_max),
     .help = "So often in restart_window_ms does the agent start its own broker again in place, with the drivers exec, "
             "coprocess and ocf. A failover does not wait for that."},
    {.path = "policy.restart_window_ms", .reload = true, DURATION(1000, 24 * HOUR_MS), .fallback = "60000",
     AT(policy.restart_window_ms),
     .help = "The window of restart_max, ms."},
    {.path = "keys_directory", .type = CONF_TEXT, DIRECTORY(150), .fallback = "/etc/tanist/keys",
     AT(keys_directory),
     .help = "Where CLUSTER.NAME.key is, mode 0600."},
    {.path = "state_directory", .type = CONF_TEXT, DIRECTORY(150), .fallback = "/var/lib/tanist",
     AT(state_directory),
     .help = "Where ballots and history are kept: what must survive a crash."},
    {.path = "run_directory", .type = CONF_TEXT, DIRECTORY(80), .fallback = "/run/tanist", AT(run_directory),
     .help = "Where CLUSTER.NAME.sock (control) and CLUSTER.NAME.state (the state page) are."},
    {.path = "http", .type = CONF_GROUP, .fallback = "", .local = true,
     .help = "Status over HTTP."},
    {.path = "http.listen", .type = CONF_TEXT, .min = 0, .max = 64, .fits = is_listener, .fallback = "",
     .allowed = "an address in numbers and a port, as in \"127.0.0.1:7480\" or \"0.0.0.0:7480\"",
     AT(http_listen), .local = true,
     .help = "Where to listen, as in \"127.0.0.1:7480\"; empty: nowhere."},
    {.path = "hooks", .type = CONF_GROUP, .fallback = "", .local = true,
     .help = "Programs that are told of changes, by path, run without arguments."},
    {.path = "hooks.event", .type = CONF_TEXTS, PATHS, .fallback = "", AT(hooks.event),
     .local = true,
     .help = "At every event, with the event as JSON on standard input; killed after 10 s."},
    {.path = "hooks.before_promote", .type = CONF_TEXTS, PATHS, .fallback = "", AT(hooks.before_promote), .local = true,
     .help = "Before the broker here is made master; killed after a lease, and the broker is made master all the same."},
    {.path = "hooks.before_demote", .type = CONF_TEXTS, PATHS, .fallback = "", AT(hooks.before_demote), .local = true,
     .help = "Before the broker here is made something else than master; killed after a lease, likewise. By then the fence is closed and the virtual IP gone."},
};
// clang-format on

const struct conf_table cluster_table = {
    .at = keys,
    .count = ARRAY_LENGTH(keys),
    .size = sizeof(struct cluster_conf),
    .title = "A cluster of two broker nodes and a witness: every key with its default, its range and its "
             "meaning.\n"
             "The file is the same on all three machines: /etc/tanist/CLUSTER.conf. Only cluster, nodes and "
             "witness "
             "must be given (here: examples). Times are in ms. See tanist.conf(5).",
};

int cluster_print_defaults(FILE *f) {
  return conf_print_defaults(&cluster_table, f);
}
