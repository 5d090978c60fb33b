// SPDX-License-Identifier: Apache-2.0
// What a configuration file may not say, and in which words it is told.
#include "tests/unit/cluster_bed.h"

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
  cluster_free(&conf);
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
  cluster_free(&conf);
  accepts(BASE "broker = { driver = \"systemd\"; unit = \"a@b.service\"; replication = \"shared\"; };");
  cluster_free(&conf);
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

#define POSTGRESQL "broker = { driver = \"postgresql\"; address = \"127.0.0.1:5432\"; "                                            \
                   "peers = { left = \"10.0.0.1:5432\"; right = \"10.0.0.2:5432\"; }; replication = \"sync\"; "                         \
                   "options = { data_directory = \"/var/lib/pg\"; conninfo = "

static void no_password_among_postgresqls_parameters(void **state) {
  (void)state;
  accepts(BASE POSTGRESQL "\"sslmode=verify-full passfile=/x\"; }; };");
  cluster_free(&conf);
  refuses(BASE POSTGRESQL "\"sslmode=require password = swordfish\"; }; };",
          "t.conf:4: \"broker.options.conninfo\" holds a password, which other programs would see; allowed: everything "
          "else, with the password in the file that \"broker.password_file\" names, and a key file without one");
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

int main(void) {
  const struct CMUnitTest tests[] = {
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
      cmocka_unit_test(no_password_among_postgresqls_parameters),
      cmocka_unit_test(names_of_services),
      cmocka_unit_test(groups_count_as_one),
      cmocka_unit_test(refuses_wrong_groups),
      cmocka_unit_test(async_goes_with_a_bound),
      cmocka_unit_test(accepts_inert_values),
      cmocka_unit_test(parses_vips),
      cmocka_unit_test(parses_keys),
  };
  return cmocka_run_group_tests_name("cluster", tests, setup, teardown);
}
