// SPDX-License-Identifier: Apache-2.0
// A cluster's configuration: what a good one means, and each mistake with its exact words.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cluster.h"

#define KEY_A "3rSbUFHZFgNoULGj7P5sx4mA6kc1o8+F0fXK1Vb0yXQ="
#define KEY_B "Zk0y4wQm1v9T8hJ2sN6cR3xL7bP5dF0gK4aVtE8uYhM="
#define KEY_W "Q9fW2nXr7tBz5LpYc1VhKd8sMj3uGo6eHa0iRwTqNkE="
#define NODE(name, address, key)                                                                             \
  "{ name = \"" name "\"; addresses = [ " address " ]; public_key = \"" key "\"; }"
#define NODE_A NODE("left", "\"10.0.0.1:7400\"", KEY_A)
#define NODE_B NODE("right", "\"10.0.0.2:7400\"", KEY_B)
#define NODE_W NODE("judge", "\"10.0.0.9:7400\"", KEY_W)
// Three lines; what a test adds begins at line 4.
#define FRAME(a, b, w) "cluster = \"c\";\nnodes = ( " a ", " b " );\nwitness = " w ";\n"
#define BASE FRAME(NODE_A, NODE_B, NODE_W)
#define REDIS                                                                                                \
  "broker = { driver = \"redis\"; address = \"127.0.0.1:6379\";\n"                                           \
  "peers = { right = \"10.0.0.2:6379\"; left = \"10.0.0.1:6379\"; };\n"

static char directory[] = "/tmp/test_cluster.XXXXXX";
static int root; // where the test was started: the source tree
static struct cluster_conf conf;
static struct conf_errors errors;

static int setup(void **state) {
  (void)state;
  root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return root >= 0 && mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  unlink("t.conf");
  int result = fchdir(root) == 0 ? rmdir(directory) : -1;
  close(root);
  return result;
}

static int load(const char *text) {
  FILE *f = fopen("t.conf", "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
  return cluster_load(&conf, "t.conf", &errors);
}

static void accepts(const char *text) {
  if (load(text) != 0)
    fail_msg("%s", errors.at[0].text);
}

// One mistake gives one error, with these words.
static void refuses(const char *text, const char *error) {
  assert_int_equal(load(text), -EINVAL);
  assert_string_equal(errors.at[0].text, error);
  assert_int_equal(errors.count, 1);
}

// Reads a file of the source tree to memory.
static char *source_file(const char *path, size_t *size) {
  int fd = openat(root, path, O_RDONLY | O_CLOEXEC);
  char *text = calloc(1, CONF_FILE_MAX);
  assert_true(fd >= 0);
  assert_non_null(text);
  ssize_t n = read(fd, text, CONF_FILE_MAX - 1);
  assert_true(n > 0);
  close(fd);
  *size = (size_t)n;
  return text;
}

// ---- good ones ----

static void knows_the_defaults(void **state) {
  (void)state;
  accepts(BASE);
  assert_string_equal(conf.name, "c");
  assert_string_equal(conf.voter[VOTER_B].name, "right");
  assert_string_equal(conf.voter[VOTER_W].name, "judge");
  assert_int_equal(conf.lease_ms, 1000);
  assert_int_equal(conf.beat_ms, 100);
  assert_int_equal(conf.drift_ppm, 10000);
  assert_int_equal(conf.witness_grace_ms, 600000);
  assert_int_equal(conf.vip_count, 0);
  assert_int_equal(conf.broker.driver, DRIVER_NONE);
  assert_int_equal(conf.broker.replication, REPLICATION_NONE);
  assert_int_equal(conf.broker.degrade_ms, 500);
  assert_int_equal(conf.broker.join_hold_ms, 2000);
  assert_false(conf.broker.strict);
  assert_int_equal(conf.check_count, 1);
  assert_string_equal(cluster_broker_check(&conf)->name, "broker");
  assert_int_equal(conf.dead_when, 1);
  assert_string_equal(cluster_kernel_name(&conf), "require");
  assert_string_equal(cluster_mechanism_name(&conf), "auto");
  assert_int_equal(conf.fence.ports.count, 0);
  assert_int_equal(conf.policy.preferred, VOTER_A);
  assert_string_equal(conf.keys_directory, "/etc/tanist/keys");
  assert_string_equal(conf.state_directory, "/var/lib/tanist");
  assert_string_equal(conf.run_directory, "/run/tanist");
  cluster_free(&conf);
}

static void reads_a_redis_pair(void **state) {
  char path[128];
  (void)state;
  accepts(BASE REDIS
          "};\npolicy = { preferred = \"right\"; };\n"
          "timing = { lease_ms = 300; beat_ms = 30; drift_percent = 2; };\n"
          "virtual_ip = ( { address = \"10.0.0.100/24\"; interface = \"eth0\"; },\n"
          "{ address = \"fd00::100/64\"; interface = \"eth0\"; conflict = \"warn\"; } );\n"
          "health = ( { name = \"p\"; check = \"tcp\"; address = \"127.0.0.1:1\"; },\n"
          "{ name = \"e\"; check = \"exec\"; command = ( \"/bin/true\", \"x\" ); } ); dead_when = \"all\";");
  assert_string_equal(cluster_driver_name(&conf), "redis");
  assert_int_equal(conf.broker.replication, REPLICATION_SYNC);
  assert_string_equal(conf.broker.peers[VOTER_A], "10.0.0.1:6379");
  assert_string_equal(conf.broker.peers[VOTER_B], "10.0.0.2:6379");
  assert_int_equal(conf.fence.ports.count, 1);
  assert_int_equal(conf.fence.ports.at[0], 6379);
  assert_int_equal(conf.policy.preferred, VOTER_B);
  assert_int_equal(conf.drift_ppm, 20000);
  assert_int_equal(conf.vip[0].family, AF_INET);
  assert_int_equal(conf.vip[0].prefix, 24);
  assert_memory_equal(conf.vip[0].bytes, "\x0a\x00\x00\x64", 4);
  assert_int_equal(conf.vip[1].family, AF_INET6);
  assert_int_equal(conf.vip[1].prefix, 64);
  assert_int_equal(conf.dead_when, 2);
  assert_null(cluster_broker_check(&conf));
  assert_string_equal(conf.check[1].command.at[1], "x");
  assert_string_equal(cluster_socket_path(&conf, VOTER_A, path, sizeof path), "/run/tanist/c.left.sock");
  assert_string_equal(cluster_key_path(&conf, VOTER_W, path, sizeof path), "/etc/tanist/keys/c.judge.key");
  cluster_free(&conf);
}

static void finds_itself(void **state) {
  char error[256] = "";
  (void)state;
  accepts(BASE);
  assert_int_equal(cluster_self(&conf, "left", error, sizeof error), VOTER_A);
  assert_int_equal(cluster_self(&conf, "right", error, sizeof error), VOTER_B);
  assert_int_equal(cluster_self(&conf, "x", error, sizeof error), -EINVAL);
  assert_string_equal(error, "cluster \"c\" has no node \"x\"; the nodes are: left, right");
  assert_int_equal(cluster_self(&conf, "judge", error, sizeof error), -EINVAL);
  assert_string_equal(error,
                      "\"judge\" is the witness, which runs tanist-witness; the nodes are: left, right");
  assert_int_equal(cluster_voter_find(&conf, "judge"), VOTER_W);
  assert_int_equal(cluster_voter_find(&conf, "x"), NOBODY);
  cluster_free(&conf);
}

// 127.0.0.1 is an address of any machine, 203.0.113.0/24 of none. Both nodes here: that decides nothing.
static void finds_itself_by_address(void **state) {
  char error[256] = "";
  (void)state;
  accepts(FRAME(NODE("n1-nohost", "\"203.0.113.1:7400\", \"[2001:db8::1]:7400\"", KEY_A),
                NODE("n2-nohost", "\"203.0.113.2:7400\", \"127.0.0.1:7400\"", KEY_B), NODE_W));
  assert_int_equal(cluster_self(&conf, NULL, error, sizeof error), VOTER_B);
  cluster_free(&conf);
  accepts(FRAME(NODE("n1-nohost", "\"127.0.0.1:7401\"", KEY_A),
                NODE("n2-nohost", "\"127.0.0.1:7402\"", KEY_B), NODE_W));
  assert_int_equal(cluster_self(&conf, NULL, error, sizeof error), -EINVAL);
  assert_string_equal(
      error, "neither the host name nor the addresses of this machine tell which node of cluster \"c\" it "
             "is; say -n NAME, the nodes are: n1-nohost, n2-nohost");
  cluster_free(&conf);
}

static void canonical(const char *text, char *buf) {
  accepts(text);
  size_t n = cluster_canonical(&conf, buf, CLUSTER_CANONICAL_MAX);
  assert_int_equal(n, strlen(buf));
  cluster_free(&conf);
}

static void compares_what_must_be_equal(void **state) {
  char *one = malloc(CLUSTER_CANONICAL_MAX), *two = malloc(CLUSTER_CANONICAL_MAX);
  (void)state;
  assert_true(one && two);
  canonical(BASE, one);
  canonical(
      BASE
      "timing = { lease_ms = 1000; drift_percent = 1; }; policy = { preferred = \"left\"; };"
      "health = ( { name = \"broker\"; check = \"broker\"; } ); dead_when = \"all\";"
      "keys_directory = \"/k\"; state_directory = \"/s\"; run_directory = \"/r\"; http = { listen = \"\"; };",
      two);
  assert_string_equal(one, two);
  canonical(BASE "timing = { lease_ms = 1001; };", two);
  assert_string_not_equal(one, two);
  canonical(BASE "virtual_ip = ( { address = \"10.0.0.3/24\"; interface = \"e\"; } );", two);
  assert_string_not_equal(one, two);
  canonical(BASE REDIS "};", one);
  canonical(
      BASE
      "broker = { driver = \"redis\"; address = \"127.0.0.1:6379\"; replication = \"sync\";"
      "peers = { left = \"10.0.0.1:6379\"; right = \"10.0.0.2:6379\"; }; }; fence = { ports = ( 6379 ); };",
      two);
  assert_string_equal(one, two);
  free(one);
  free(two);
}

// ---- mistakes ----

static void refuses_missing_sections(void **state) {
  (void)state;
  assert_int_equal(load("# nothing\n"), -EINVAL);
  assert_int_equal(errors.count, 3);
  assert_string_equal(errors.at[0].text,
                      "t.conf:1: \"cluster\" is missing; allowed: a name of 1 to 32 letters, digits, "
                      "\"-\" and \"_\", a letter first");
  assert_string_equal(errors.at[1].text,
                      "t.conf:1: \"nodes\" is missing; allowed: ( { … }, … ) of exactly 2 groups");
  assert_string_equal(errors.at[2].text, "t.conf:1: \"witness\" is missing; allowed: a group { … }");
}

static void refuses_wrong_names(void **state) {
  (void)state;
  refuses(FRAME(NODE_A, NODE("left", "\"10.0.0.2:7400\"", KEY_B), NODE_W),
          "t.conf:2: \"nodes[1].name\" is \"left\" like another voter's; allowed: three different names");
  refuses(FRAME(NODE_A, NODE("a.b", "\"10.0.0.2:7400\"", KEY_B), NODE_W),
          "t.conf:2: \"nodes[1].name\" is \"a.b\"; allowed: a name of 1 to 32 letters, digits, \"-\" and "
          "\"_\", a letter "
          "first");
  refuses(FRAME(NODE_A, NODE_B "," NODE_B, NODE_W),
          "t.conf:2: \"nodes\" is a list of 3; allowed: ( { … }, … ) of exactly 2 groups");
}

static void refuses_wrong_addresses(void **state) {
  (void)state;
  refuses(FRAME(NODE_A, NODE("b", "\"10.0.0.2\"", KEY_B), NODE_W),
          "t.conf:2: \"nodes[1].addresses[0]\" is \"10.0.0.2\"; allowed: [ … ] of 1 to 8 texts, each an "
          "address in numbers "
          "and a port, as in \"10.0.0.1:7400\" or \"[fd00::1]:7400\"");
  refuses(FRAME(NODE_A, NODE("b", "\"10.0.0.2:7400\",\n\"10.0.0.1:7400\"", KEY_B), NODE_W),
          "t.conf:3: \"nodes[1].addresses[1]\" is 10.0.0.1:7400, which is listed before; allowed: each "
          "address once");
  refuses(FRAME(NODE_A, NODE_B, NODE("w", "\"10.0.0.9:7400\", \"0.0.0.0:7400\"", KEY_W)),
          "t.conf:3: \"witness.addresses[1]\" is \"0.0.0.0:7400\"; allowed: [ … ] of 1 to 8 texts, each an "
          "address in "
          "numbers and a port, as in \"10.0.0.1:7400\" or \"[fd00::1]:7400\"");
  assert_int_equal(load(FRAME(NODE_A, NODE_B, NODE("w", "\"[fd00::9]:7400\"", KEY_W))), -EINVAL);
  assert_int_equal(errors.count, 2);
  assert_string_equal(
      errors.at[0].text,
      "t.conf:3: \"witness.addresses\" has no path to \"left\": the first address of one is joined with the "
      "first of the other, and so on; allowed: at least one such pair both IPv4 or both IPv6");
}

static void refuses_wrong_keys(void **state) {
  (void)state;
  refuses(FRAME(NODE_A, NODE("b", "\"10.0.0.2:7400\"", KEY_A), NODE_W),
          "t.conf:2: \"nodes[1].public_key\" is the key of \"left\" too; allowed: a key pair of its own, "
          "from `tanist "
          "keygen`");
  refuses(FRAME(NODE_A, NODE("b", "\"10.0.0.2:7400\"", "abc"), NODE_W),
          "t.conf:2: \"nodes[1].public_key\" is \"abc\"; allowed: the 44 characters that `tanist keygen` or "
          "`tanist pubkey` "
          "print");
}

static void refuses_wrong_timing(void **state) {
  (void)state;
  refuses(BASE "timing = { lease_ms = 400; };\nfence = { mechanism = \"netlink\"; };",
          "t.conf:5: \"fence.mechanism\" is \"netlink\", whose renewals may have to wait for other programs, with "
          "a lease of 400 ms; allowed: a lease of 500 ms or more, or another mechanism");
  refuses(BASE "timing = { lease_ms = 10; };",
          "t.conf:4: \"timing.lease_ms\" is 10; allowed: a whole number from 50 to 60000");
  refuses(BASE "timing = { lease_ms = 1000;\nbeat_ms = 327; };",
          "t.conf:5: \"timing.beat_ms\" is 327, too long for a lease of 1000 ms: two lost beats would end "
          "it; allowed: up to "
          "326 with this lease and drift, or a longer lease");
  refuses(BASE "timing = { drift_percent = 10.5; };",
          "t.conf:4: \"timing.drift_percent\" is 10.5; allowed: a number from 0.1 to 10");
  refuses(BASE "timing = { leese_ms = 5; };",
          "t.conf:4: unknown key \"timing.leese_ms\"; allowed here: lease_ms, beat_ms, "
          "drift_percent, witness_grace_ms");
}

static void refuses_wrong_vips(void **state) {
  (void)state;
  refuses(BASE "virtual_ip = ( { address = \"10.0.0.100\"; interface = \"eth0\"; } );",
          "t.conf:4: \"virtual_ip[0].address\" is \"10.0.0.100\"; allowed: an address and its network's "
          "prefix length, as in "
          "\"10.0.0.100/24\" or \"fd00::100/64\"");
  refuses(BASE "virtual_ip = ( { address = \"10.0.0.1/24\"; interface = \"eth0\"; } );",
          "t.conf:4: \"virtual_ip[0].address\" is 10.0.0.1/24, where a voter listens; allowed: an address "
          "that no machine "
          "has for itself");
  refuses(BASE "virtual_ip = ( { address = \"fd00::1/64\"; interface = \"eth0\"; },\n"
               "{ address = \"fd00:0::1/48\"; interface = \"eth1\"; } );",
          "t.conf:5: \"virtual_ip[1].address\" is fd00:0::1/48, which is listed before; allowed: each "
          "address once");
  refuses(BASE "virtual_ip = ( { address = \"10.0.0.3/24\"; interface = \"a/b\"; } );",
          "t.conf:4: \"virtual_ip[0].interface\" is \"a/b\"; allowed: the name of a network interface, up to "
          "15 characters");
}

static void refuses_wrong_brokers(void **state) {
  (void)state;
  refuses(BASE "broker = { replication = \"sync\"; };",
          "t.conf:4: \"broker.replication\" is \"sync\", which driver \"none\" cannot; allowed with it: "
          "\"shared\", \"none\"");
  refuses(BASE REDIS "replication = \"shared\"; };", "t.conf:6: \"broker.replication\" is \"shared\", which "
                                                     "driver \"redis\" cannot; allowed with it: \"sync\", "
                                                     "\"none\"");
  refuses(BASE "broker = { strict = true; };", "t.conf:4: \"broker.strict\" is true, but broker.replication "
                                               "is not \"sync\"; allowed: false, or \"sync\"");
  refuses(BASE "broker = {\npeers = { a = \"10.0.0.1:1\"; }; };",
          "t.conf:5: \"broker.peers.a\" names no node; allowed: left, right");
  assert_int_equal(load(BASE "\nbroker = { driver = \"redis\"; };"), -EINVAL);
  assert_int_equal(errors.count, 3);
  assert_string_equal(
      errors.at[0].text,
      "t.conf:5: \"broker.address\" is missing, driver \"redis\" needs it; allowed: where an agent reaches "
      "its own broker, as in \"127.0.0.1:6379\"");
  assert_string_equal(errors.at[2].text,
                      "t.conf:5: \"broker.peers.right\" is missing, driver \"redis\" needs it; allowed: "
                      "where the other broker reaches that of right");
  refuses(BASE "broker = { driver = \"redis\"; address = \"127.0.0.1:1\"; "
               "peers = { left = \"10.0.0.1:1\"; right = \"10.0.0.1:1\"; }; };",
          "t.conf:4: \"broker.peers\" gives 10.0.0.1:1 twice; allowed: two different addresses");
}

static void refuses_wrong_health(void **state) {
  (void)state;
  refuses(
      BASE "health = ( { name = \"p\"; check = \"tcp\"; } );",
      "t.conf:4: \"health[0].address\" is missing, a check \"tcp\" needs it; allowed: an address and port");
  refuses(
      BASE "health = ( { name = \"p\"; check = \"broker\";\naddress = \"127.0.0.1:1\"; } );",
      "t.conf:5: \"health[0].address\" is given, but only a check \"tcp\" has one; allowed: nothing here");
  refuses(BASE "health = ( { name = \"e\"; check = \"exec\"; } );",
          "t.conf:4: \"health[0].command\" is missing, a check \"exec\" needs it; allowed: [ \"/PROGRAM\", "
          "\"ARGUMENT\", … ]");
  refuses(BASE "health = ( { name = \"e\"; check = \"exec\"; command = [ \"true\" ]; } );",
          "t.conf:4: \"health[0].command\" begins with \"true\"; allowed: the program's path from the root");
  refuses(BASE "health = ( { name = \"e\"; check = \"broker\"; },\n{ name = \"f\"; check = \"broker\"; } );",
          "t.conf:5: \"health[1].check\" is \"broker\" again; allowed: one such check, it is the driver's "
          "only probe");
  refuses(
      BASE "health = ( { name = \"e\"; check = \"broker\"; command = [ \"/x\" ]; } );",
      "t.conf:4: \"health[0].command\" is given, but only a check \"exec\" has one; allowed: nothing here");
  refuses(BASE "\ndead_when = 2;",
          "t.conf:5: \"dead_when\" is 2, but there are 1 checks; allowed: \"any\", \"all\", 1 to 1");
}

static void refuses_wrong_rest(void **state) {
  (void)state;
  refuses(BASE "policy = { preferred = \"judge\"; };",
          "t.conf:4: \"policy.preferred\" is \"judge\"; allowed: \"left\", \"right\"");
  refuses(BASE "fence = { ports = [ 1, 1 ]; };",
          "t.conf:4: \"fence.ports\" has 1 twice; allowed: each port once");
  refuses(BASE "fence = { agent = { command = [ \"fence_ipmilan\" ]; }; };",
          "t.conf:4: \"fence.agent.command\" begins with \"fence_ipmilan\"; allowed: the program's path from the "
          "root");
  refuses(BASE "fence = { agent = { options = { ip = \"10.0.0.1\"; }; }; };",
          "t.conf:4: \"fence.agent.options\" is given without \"fence.agent.command\"; allowed: both, or neither");
  refuses(BASE "fence = { agent = { required = true; }; };",
          "t.conf:4: \"fence.agent.required\" is true, but \"fence.agent.command\" names no device: nobody could ever "
          "be promoted; allowed: false, or a device");
  refuses(BASE "fence = { agent = { command = [ \"/x\" ]; options = { ip__c = \"10.0.0.1\"; }; }; };",
          "t.conf:4: \"fence.agent.options.ip__c\" ends with the name of no node; allowed behind \"__\": left, "
          "right");
  refuses(BASE "fence = { agent = { command = [ \"/x\" ]; options = { action = \"on\"; }; }; };",
          "t.conf:4: \"fence.agent.options.action\" is the agent's to tell the device; allowed: any other option");
  refuses(BASE "http = { listen = \"localhost:7480\"; };",
          "t.conf:4: \"http.listen\" is \"localhost:7480\"; allowed: an address in numbers and a port, as in "
          "\"127.0.0.1:7480\" or \"0.0.0.0:7480\"");
  refuses(BASE "run_directory = \"run\";",
          "t.conf:4: \"run_directory\" is \"run\"; allowed: a path from the root, of at most 80 characters, as in \"/etc/tanist\"");
  refuses("cluster = \"c23456789012345678901234567890\";\n"
          "nodes = ( " NODE_A ", " NODE_B " );\nwitness = " NODE_W
          ";\nrun_directory = \"/r234567890123456789012345678901234"
          "567890123456789012345678901234567890123\";",
          "t.conf:4: \"run_directory\" makes "
          "/r234567890123456789012345678901234567890123456789012345678901234567890123/"
          "c23456789012345678901234567890.left.sock, which is too long for a socket; allowed: 107 "
          "characters in all");
}

static void counts_starts_where_there_are_any(void **state) {
  (void)state;
  refuses(BASE "policy = { restart_max = 4; };",
          "t.conf:4: \"policy.restart_max\" is 4, but driver \"none\" is not told when to start a broker; allowed with it: 3");
  accepts(BASE "policy = { restart_max = 3; restart_window_ms = 1000; };");
  cluster_free(&conf);
}

#define EXEC(more) BASE "broker = { driver = \"exec\"; " more " };"
#define COMMANDS "commands = { monitor = [ \"/m\" ]; promote = [ \"/p\" ]; demote = [ \"/d\" ]; };"

static void exec_needs_its_commands(void **state) {
  (void)state;
  accepts(EXEC(COMMANDS)); /* a service: reached by nobody */
  refuses(EXEC("commands = { monitor = [ \"/m\" ]; };"),
          "t.conf:4: \"broker.commands\" lacks promote, demote, which driver \"exec\" needs with replication "
          "\"none\"; allowed: a command for each, as in [ \"/PROGRAM\", \"ARGUMENT\" ], or another replication");
  refuses(EXEC("address = \"127.0.0.1:1\"; peers = { left = \"10.0.0.1:1\"; right = \"10.0.0.2:1\"; }; replication = "
               "\"sync\"; " COMMANDS),
          "t.conf:4: \"broker.commands\" lacks pos, pause, resume, rejoin, sync, which driver \"exec\" needs with "
          "replication \"sync\"; allowed: a command for each, as in [ \"/PROGRAM\", \"ARGUMENT\" ], or another "
          "replication");
  refuses(EXEC("commands = { monitor = [ \"m\" ]; promote = [ \"/p\" ]; demote = [ \"/d\" ]; };"),
          "t.conf:4: \"broker.commands.monitor\" begins with \"m\"; allowed: the program's path from the root");
  refuses(BASE "broker = { driver = \"coprocess\"; replication = \"none\"; };",
          "t.conf:4: \"broker.command\" is missing, driver \"coprocess\" needs it; allowed: [ \"/PROGRAM\", "
          "\"ARGUMENT\", … ]");
  refuses(BASE "broker = { commands = { monitor = [ \"/m\" ]; }; };",
          "t.conf:4: \"broker.commands.monitor\" is given, but only driver \"exec\" has it; allowed: nothing here");
}

static void ocf_and_systemd_need_what_they_drive(void **state) {
  (void)state;
  accepts(BASE "broker = { driver = \"ocf\"; agent = \"ocf:heartbeat:Dummy\"; options = { fake = \"x\"; }; };");
  accepts(BASE "broker = { driver = \"systemd\"; unit = \"a@b.service\"; replication = \"shared\"; };");
  refuses(BASE "broker = { driver = \"ocf\"; };",
          "t.conf:4: \"broker.agent\" is missing, which driver \"ocf\" needs; allowed: a resource agent, as in "
          "\"ocf:heartbeat:pgsql\"");
  refuses(BASE "broker = { driver = \"systemd\"; };",
          "t.conf:4: \"broker.unit\" is missing, which driver \"systemd\" needs; allowed: a service, as in "
          "\"activemq.service\"");
  refuses(BASE "broker = { unit = \"a.service\"; };",
          "t.conf:4: \"broker.unit\" is given, but only driver \"systemd\" has it; allowed: nothing here");
  refuses(BASE "broker = { options = { fake = \"x\"; }; };",
          "t.conf:4: \"broker.options\" is given, but driver \"none\" has none; allowed: nothing here");
  refuses(BASE "broker = { driver = \"ocf\"; agent = \"heartbeat:Dummy\"; };",
          "t.conf:4: \"broker.agent\" is \"heartbeat:Dummy\"; allowed: a resource agent as \"ocf:PROVIDER:TYPE\"");
  refuses(BASE "broker = { driver = \"systemd\"; unit = \"data.mount\"; };",
          "t.conf:4: \"broker.unit\" is \"data.mount\"; allowed: the name of a service of systemd's, as in "
          "\"activemq.service\"");
}

static void names_of_services(void **state) {
  (void)state;
  assert_true(cluster_is_service("activemq.service"));
  assert_true(cluster_is_service("a@b-c\\x2d.service"));
  static const char *const others[] = {".service", "activemq", "data.mount", "a b.service", "/etc/systemd/system/a.service"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    assert_false(cluster_is_service(others[i]));
}

#define CHECKS                                                                                               \
  "health = ( { name = \"x\"; check = \"broker\"; }, { name = \"y\"; check = \"tcp\"; address = "            \
  "\"127.0.0.1:1\"; },"                                                                                      \
  " { name = \"z\"; check = \"tcp\"; address = \"127.0.0.1:2\"; } );\n"

static void groups_count_as_one(void **state) {
  (void)state;
  accepts(BASE CHECKS
          "groups = ( { name = \"g\"; checks = [ \"z\", \"y\" ]; need = \"all\"; } ); dead_when = \"all\";");
  assert_int_equal(conf.group_count, 1);
  assert_int_equal(conf.group[0].members, 6);
  assert_int_equal(conf.group[0].need, 2);
  assert_int_equal(conf.dead_when, 2);
  cluster_free(&conf);
  accepts(
      BASE CHECKS
      "groups = ( { name = \"g\"; checks = [ \"y\" ]; }, { name = \"h\"; checks = [ \"x\", \"z\" ]; } );");
  assert_int_equal(conf.group[1].need, 1);
  cluster_free(&conf);
}

static void refuses_wrong_groups(void **state) {
  (void)state;
  refuses(BASE CHECKS "groups = ( { name = \"g\"; checks = [ \"u\" ]; } );",
          "t.conf:5: \"groups[0].checks[0]\" is \"u\", and no check has that name; allowed: the name of a "
          "check in health");
  refuses(
      BASE CHECKS
      "groups = ( { name = \"g\"; checks = [ \"x\" ]; },\n{ name = \"h\"; checks = [ \"y\", \"x\" ]; } );",
      "t.conf:6: \"groups[1].checks[1]\" is \"x\", which is in a group already; allowed: each check in one "
      "group at most");
  refuses(
      BASE CHECKS "groups = ( { name = \"y\"; checks = [ \"x\" ]; } );",
      "t.conf:5: \"groups[0].name\" is \"y\" like another group's or a check's; allowed: different names");
  refuses(BASE CHECKS "groups = ( { name = \"g\"; checks = [ \"x\" ]; need = 2; } );",
          "t.conf:5: \"groups[0].need\" is 2, but the group has 1 checks; allowed: \"any\", \"all\", 1 to 1");
  refuses(BASE CHECKS "groups = ( { name = \"g\"; checks = [ \"x\", \"y\" ]; } ); dead_when = 3;",
          "t.conf:5: \"dead_when\" is 3, but there are 2 groups and checks in none; allowed: \"any\", "
          "\"all\", 1 to 2");
}

static void async_goes_with_a_bound(void **state) {
  (void)state;
  refuses(BASE "broker = { driver = \"library\"; address = \"127.0.0.1:7\"; replication = \"async\";"
               " peers = { left = \"10.0.0.1:7\"; right = \"10.0.0.2:7\"; }; };",
          "t.conf:4: \"broker.max_lag_bytes\" is 0, but broker.replication is \"async\"; allowed: how much a failover "
          "may lose, 1 or more");
  refuses(BASE "broker = { max_lag_bytes = 1; };",
          "t.conf:4: \"broker.max_lag_bytes\" is given, but broker.replication is not \"async\"; allowed: 0, or "
          "\"async\"");
  accepts(BASE "broker = { driver = \"library\"; address = \"127.0.0.1:7\"; replication = \"async\"; max_lag_bytes = 9;"
               " peers = { left = \"10.0.0.1:7\"; right = \"10.0.0.2:7\"; }; };");
  assert_int_equal(conf.broker.max_lag_bytes, 9);
  cluster_free(&conf);
}

static void accepts_inert_values(void **state) {
  (void)state;
  accepts(BASE
          "fence = { mechanism = \"nft\"; watchdog = \"\"; agent = { command = [ ]; options = { }; required "
          "= false; }; };"
          "groups = ( ); http = { listen = \"[::]:7480\"; }; hooks = { event = [ ]; before_promote = ( ); };"
          "policy = { failback = \"auto\"; failback_after_ms = 5; hold_down_ms = 0; restart_max = 3; };"
          "broker = { max_lag_bytes = 0; replication = \"shared\"; };");
  cluster_free(&conf);
}

static void parses_vips(void **state) {
  static const char *const bad[] = {"",        "/",        "1.2.3.4/0", "1.2.3.4/33",
                                    "::1/129", "1.2.3.4/", "1.2.3.4/a", "x/8"};
  struct cluster_vip vip;
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (cluster_vip_parse(bad[i], &vip))
      fail_msg("%s", bad[i]);
  assert_true(cluster_vip_parse("::1/128", &vip));
  assert_int_equal(vip.prefix, 128);
}

static void parses_keys(void **state) {
  uint8_t key[CLUSTER_KEY_SIZE];
  (void)state;
  assert_true(cluster_key_parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", key));
  for (int i = 0; i < CLUSTER_KEY_SIZE; i++)
    assert_int_equal(key[i], i);
  assert_false(
      cluster_key_parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", key)); // the spare bits are not 0
  assert_false(cluster_key_parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", key));
  assert_false(cluster_key_parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A", key));
  assert_false(cluster_key_parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka-xwdHh8=", key));
}

// ---- what the table says of itself ----

static void words_are_those_of_the_enums(void **state) {
  char word[32];
  (void)state;
  for (size_t i = 0; i < cluster_table.count; i++) {
    const struct conf_key *key = &cluster_table.at[i];
    for (int w = 0; key->type == CONF_WORD && *conf_word_at(key->words, w, word, sizeof word); w++) {
      struct cluster_conf c = {.broker.driver = w, .fence.kernel = w, .fence.mechanism = w};
      if (strcmp(key->path, "broker.driver") == 0)
        assert_string_equal(word, cluster_driver_name(&c));
      c.broker.replication = w < REPLICATION_COUNT ? w : 0;
      if (strcmp(key->path, "broker.replication") == 0)
        assert_string_equal(word, cluster_replication_name(&c));
      if (strcmp(key->path, "fence.kernel") == 0)
        assert_string_equal(word, cluster_kernel_name(&c));
      if (strcmp(key->path, "fence.mechanism") == 0)
        assert_string_equal(word, cluster_mechanism_name(&c));
    }
  }
#define SAME(name, text)                                                                                     \
  assert_int_equal(conf_word_index("sync|async|shared|none", text), REPLICATION_##name);
  REPLICATIONS(SAME)
#undef SAME
}

// With TANIST_REWRITE set the printed forms are written anew instead: then look at the difference.
static void compare_or_rewrite(const char *path, const char *printed, size_t size) {
  if (getenv("TANIST_REWRITE")) {
    int fd = openat(root, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, printed, size), size);
    close(fd);
  }
  size_t n;
  char *text = source_file(path, &n);
  assert_string_equal(text, printed);
  free(text);
}

static void printed_defaults_are_current_and_valid(void **state) {
  char *printed;
  size_t size;
  (void)state;
  FILE *f = open_memstream(&printed, &size);
  assert_int_equal(cluster_print_defaults(f), 0);
  fclose(f);
  compare_or_rewrite("etc/tanist.conf.example", printed, size);
  accepts(printed);
  cluster_free(&conf);
  free(printed);
}

// A line `# NAME = …` or behind it is an example; taken out of its comment the file must be good, too.
static void printed_examples_are_valid(void **state) {
  size_t n;
  char *text = source_file("etc/tanist.conf.example", &n), *live = calloc(1, 2 * n), *to = live;
  bool on = false;
  (void)state;
  assert_non_null(live);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    const char *body = line + strspn(line, " ");
    bool list = strncmp(line, "# virtual_ip = ", 15) == 0 || strncmp(line, "# health = ", 11) == 0;
    on = on || list || strncmp(body, "# preferred = ", 14) == 0 || strncmp(body, "# ports = ", 10) == 0;
    if (strncmp(line, "virtual_ip = ( );", 17) != 0)
      to += sprintf(to, "%.*s\n", (int)(end - (on ? body + 2 : line)), on ? body + 2 : line);
    on = on && end[-1] != ';';
    on = on && strncmp(line, "# );", 4) != 0;
  }
  accepts(live);
  assert_int_equal(conf.vip_count, 2);
  assert_int_equal(conf.check_count, 3);
  assert_int_equal(conf.fence.ports.count, 1);
  cluster_free(&conf);
  free(text);
  free(live);
}

static void shipped_configurations_are_valid(void **state) {
  DIR *etc = fdopendir(openat(root, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  unsigned seen = 0;
  (void)state;
  assert_non_null(etc);
  for (struct dirent *entry; (entry = readdir(etc)) != NULL;) {
    char path[300];
    size_t n, length = strlen(entry->d_name);
    if (length < 5 || strcmp(entry->d_name + length - 5, ".conf") != 0)
      continue;
    snprintf(path, sizeof path, "etc/%s", entry->d_name);
    char *text = source_file(path, &n);
    accepts(text);
    cluster_free(&conf);
    free(text);
    seen++;
  }
  closedir(etc);
  assert_true(seen >= 3);
}

// Between two comments the manual holds what the table prints.
static void manual_is_current(void **state) {
  static const char path[] = "packaging/man/tanist.conf.5", end[] = ".\\\" end of keys\n";
  char *keys, *page;
  size_t n, size;
  (void)state;
  FILE *f = open_memstream(&keys, &n);
  assert_int_equal(conf_print_manual(&cluster_table, f), 0);
  fclose(f);
  char *old = source_file(path, &n), *from = strstr(old, ".\\\" The keys below"), *to = strstr(old, end);
  assert_true(from && to && strchr(from, '\n') < to);
  f = open_memstream(&page, &size);
  fprintf(f, "%.*s%s%s", (int)(strchr(from, '\n') + 1 - old), old, keys, to);
  fclose(f);
  compare_or_rewrite(path, page, size);
  free(old);
  free(keys);
  free(page);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(knows_the_defaults),
      cmocka_unit_test(reads_a_redis_pair),
      cmocka_unit_test(finds_itself),
      cmocka_unit_test(finds_itself_by_address),
      cmocka_unit_test(compares_what_must_be_equal),
      cmocka_unit_test(refuses_missing_sections),
      cmocka_unit_test(refuses_wrong_names),
      cmocka_unit_test(refuses_wrong_addresses),
      cmocka_unit_test(refuses_wrong_keys),
      cmocka_unit_test(refuses_wrong_timing),
      cmocka_unit_test(refuses_wrong_vips),
      cmocka_unit_test(refuses_wrong_brokers),
      cmocka_unit_test(refuses_wrong_health),
      cmocka_unit_test(refuses_wrong_rest),
      cmocka_unit_test(counts_starts_where_there_are_any),
      cmocka_unit_test(exec_needs_its_commands),
      cmocka_unit_test(ocf_and_systemd_need_what_they_drive),
      cmocka_unit_test(names_of_services),
      cmocka_unit_test(groups_count_as_one),
      cmocka_unit_test(refuses_wrong_groups),
      cmocka_unit_test(async_goes_with_a_bound),
      cmocka_unit_test(accepts_inert_values),
      cmocka_unit_test(parses_vips),
      cmocka_unit_test(parses_keys),
      cmocka_unit_test(words_are_those_of_the_enums),
      cmocka_unit_test(printed_defaults_are_current_and_valid),
      cmocka_unit_test(printed_examples_are_valid),
      cmocka_unit_test(manual_is_current),
      cmocka_unit_test(shipped_configurations_are_valid),
  };
  return cmocka_run_group_tests_name("cluster", tests, setup, teardown);
}
