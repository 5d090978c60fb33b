// SPDX-License-Identifier: Apache-2.0
// A cluster's configuration: what a good one means, and each mistake with its exact words.
#include "tests/unit/cluster_bed.h"

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
      cmocka_unit_test(words_are_those_of_the_enums),
      cmocka_unit_test(printed_defaults_are_current_and_valid),
      cmocka_unit_test(printed_examples_are_valid),
      cmocka_unit_test(manual_is_current),
      cmocka_unit_test(shipped_configurations_are_valid),
  };
  return cmocka_run_group_tests_name("cluster", tests, setup, teardown);
}
