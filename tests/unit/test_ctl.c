// SPDX-License-Identifier: Apache-2.0
// The operator's command, whole but for exit(): its exit codes, what it asks, what it says. The agent is a
// child that speaks through the real control socket.
#include "tests/unit/ctl_bed.h"

// ---- status ----

#define STATUS                                                                                               \
  "{\"cluster\":\"orders\",\"node\":\"a\",\"role\":\"master\",\"epoch\":12,\"reign\":12,\"master\":\"a\","   \
  "\"frozen\":false,\"lease\":{\"valid\":true,\"sole\":false,\"remaining_ms\":812},"                         \
  "\"record\":{\"epoch\":12,\"version\":3,\"mode\":\"pair\",\"owner\":null},"                                \
  "\"broker\":{\"driver\":\"redis\",\"state\":\"master\",\"healthy\":true,\"position\":123456,"              \
  "\"peer_position\":123456,\"in_sync\":true,\"note\":\"Redis acknowledges asynchronously: only writes "     \
  "confirmed by WAIT 1 are sure to survive a failover.\"},"                                                  \
  "\"virtual_ip\":[{\"address\":\"10.0.0.100/24\",\"held\":true},{\"address\":\"fd00::100/64\","             \
  "\"held\":false}],\"fence\":{\"kernel\":\"armed\",\"watchdog\":\"none\"},"                                 \
  "\"voters\":[{\"name\":\"b\",\"reachable\":true,\"role\":\"secondary\",\"epoch\":12,\"healthy\":true,"     \
  "\"blank\":false,\"paths\":[{\"address\":\"10.0.0.2:7400\",\"state\":\"up\",\"rtt_us\":180,"               \
  "\"loss_percent\":0.0},{\"address\":\"[fd00::2]:7400\",\"state\":\"down\",\"rtt_us\":null,"                \
  "\"loss_percent\":100.0}]},{\"name\":\"w\",\"reachable\":false,\"role\":\"witness\",\"epoch\":11,"         \
  "\"healthy\":false,\"blank\":false,\"paths\":[]}],\"warnings\":[\"the witness is not heard\"]}"

static void status_is_one_screen(void **state) {
  static const char screen[] =
      "cluster   orders, as a sees it\n"
      "master    a, this node, in epoch 12\n"
      "lease     valid, 812 ms left\n"
      "record    pair: both nodes hold all that was acknowledged (epoch 12, version 3)\n"
      "broker    redis: master, healthy, in sync; position 123456, the other 123456\n"
      "          Redis acknowledges asynchronously: only writes confirmed by WAIT 1 are\n"
      "          sure to survive a failover.\n"
      "address   10.0.0.100/24 held here\n"
      "          fd00::100/64 not here\n"
      "fence     kernel armed, watchdog none\n"
      "voters    b: secondary, epoch 12, healthy\n"
      "            10.0.0.2:7400                   up         0.18 ms    0.0 % lost\n"
      "            [fd00::2]:7400                  down          -     100.0 % lost\n"
      "          w: NOT HEARD, last known as witness in epoch 11\n"
      "WARNING   - the witness is not heard\n";
  char path[128];
  (void)state;
  in_directory(path, "s.sock");
  pid_t pid = start(path, "{\"ok\":true,\"status\":" STATUS "}");
  int code = run("-s %s status", path);
  assert_string_equal(err, "");
  assert_string_equal(out, screen);
  assert_int_equal(code, CTL_DONE);
  for (const char *l = out, *end; (end = strchr(l, '\n')); l = end + 1)
    assert_true(end - l <= 80);
  assert_int_equal(run("--json -s %s status", path), CTL_DONE);
  assert_string_equal(out, STATUS "\n"); // the object as the agent gave it
  assert_int_equal(run("-s %s status --json", path), CTL_DONE);
  assert_string_equal(out, STATUS "\n");
  stop(pid, path);
}

static void status_tells_what_is_wrong(void **state) {
  static const char screen[] =
      "cluster   c, as left sees it\n"
      "master    UNKNOWN: no master is heard here (epoch 7)\n"
      "this node left, suspect\n"
      "FROZEN    no automatic failover until an operator thaws it\n"
      "lease     none here\n"
      "record    sole: only right is known to hold all that was acknowledged (epoch 6,\n"
      "          version 2)\n"
      "broker    redis: down, NOT HEALTHY, not in sync; position 5, the other's unknown\n"
      "voters    right: secondary, epoch 7, NOT HEALTHY, BLANK\n"
      "WARNING   - one?[31m two\n";
  char path[128];
  (void)state;
  in_directory(path, "s.sock");
  pid_t pid = start(
      path,
      "{\"ok\":true,\"status\":{\"cluster\":\"c\",\"node\":\"left\",\"role\":\"suspect\",\"epoch\":7,"
      "\"master\":null,\"frozen\":true,\"lease\":{\"valid\":false,\"sole\":false,\"remaining_ms\":null},"
      "\"record\":{\"epoch\":6,\"version\":2,\"mode\":\"sole\",\"owner\":\"right\"},"
      "\"broker\":{\"driver\":\"redis\",\"state\":\"down\",\"healthy\":false,\"position\":5,"
      "\"peer_position\":null,\"in_sync\":false},\"voters\":[{\"name\":\"right\",\"reachable\":true,"
      "\"role\":\"secondary\",\"epoch\":7,\"healthy\":false,\"blank\":true}],"
      "\"warnings\":[\"one\\u001b[31m two\"]}}");
  assert_int_equal(run("-s %s status", path), CTL_DONE); // whatever it says
  assert_string_equal(out, screen);
  stop(pid, path);
}

static void status_of_a_witness(void **state) {
  static const char screen[] =
      "cluster   c, as its witness sees it\n"
      "master    left, promised in epoch 4\n"
      "record    pair: both nodes hold all that was acknowledged (epoch 4, version 2)\n"
      "voters    left: master, epoch 4, healthy\n"
      "\n"
      "cluster   d, as its witness sees it\n"
      "master    none promised (epoch 0)\n"
      "BLANK     this witness has no memory of the cluster: its votes do not count yet\n"
      "record    pair: both nodes hold all that was acknowledged (epoch 0, version 0)\n";
  char path[128];
  (void)state;
  in_directory(path, "witness.sock");
  pid_t pid = start(
      path, "{\"ok\":true,\"status\":{\"clusters\":[{\"cluster\":\"c\",\"epoch\":4,\"leader\":\"left\","
            "\"record\":{\"epoch\":4,\"version\":2,\"mode\":\"pair\",\"owner\":null},\"voters\":["
            "{\"name\":\"left\",\"reachable\":true,\"role\":\"master\",\"epoch\":4,\"healthy\":true}]},"
            "{\"cluster\":\"d\",\"epoch\":0,\"leader\":null,\"blank\":true,"
            "\"record\":{\"epoch\":0,\"version\":0,\"mode\":\"pair\",\"owner\":null},\"voters\":[]}]}}");
  assert_int_equal(run("-s %s status", path), CTL_DONE);
  assert_string_equal(out, screen);
  assert_int_equal(run("-c %s status", conf_file), CTL_DONE); // no agent, but the witness runs here
  assert_string_equal(out, screen);
  stop(pid, path);
}

// ---- orders ----

static void orders_ask_what_was_said(void **state) {
  char path[128];
  (void)state;
  in_directory(path, "c.right.sock");
  pid_t pid = start(path, NULL);
  assert_int_equal(run("-c %s switchover", conf_file), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"switchover\",\"timeout_ms\":30000,\"dry_run\":false}\n");
  assert_int_equal(run("-c %s switchover --to left --timeout=2.5 --dry-run", conf_file), CTL_DONE);
  assert_string_equal(out,
                      "{\"command\":\"switchover\",\"to\":\"left\",\"timeout_ms\":2500,\"dry_run\":true}\n");
  assert_int_equal(run("-c %s form --data left", conf_file), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"form\",\"data\":\"left\",\"above\":0}\n");
  assert_int_equal(run("-c %s form --data left --above 4294967296", conf_file), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"form\",\"data\":\"left\",\"above\":4294967296}\n");
  assert_int_equal(run("-s %s freeze", path), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"freeze\"}\n");
  assert_int_equal(run("-s %s thaw --cluster orders", path), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"thaw\",\"cluster\":\"orders\"}\n");
  assert_int_equal(run("-c %s freeze", conf_file), CTL_DONE);
  assert_string_equal(out, "{\"command\":\"freeze\",\"cluster\":\"c\"}\n");
  stop(pid, path);
}

static void force_says_what_may_be_lost_first(void **state) {
  char path[128];
  (void)state;
  in_directory(path, "s.sock");
  pid_t pid = start(path, "{\"ok\":true,\"text\":\"all may be lost\",\"node\":\"right\"}");
  assert_int_equal(run("-s %s force-master --reason fire --confirm-down right", path), CTL_DONE);
  contains(err, "all may be lost");
  assert_int_equal(run("-s %s force-master --reason fire --confirm-down right --yes-i-understand left", path),
                   CTL_FAILED);
  contains(err, "nothing done");
  assert_string_equal(out, "");
  assert_int_equal(run("-s %s force-master --confirm-down right", path), CTL_USAGE);
  contains(err, "--reason");
  assert_int_equal(run("-s %s force-master --reason fire", path), CTL_USAGE);
  contains(err, "--confirm-down NODE");
  assert_int_equal(run("-s %s force-master --reason fire --fence --confirm-down right", path), CTL_USAGE);
  stop(pid, path);
}

static void refusals_keep_their_code(void **state) {
  char path[128];
  (void)state;
  in_directory(path, "s.sock");
  pid_t pid = start(path, "{\"ok\":false,\"code\":4,\"error\":\"this node is not master: ask at a\"}");
  assert_int_equal(run("-s %s switchover", path), CTL_REFUSED);
  assert_string_equal(err, "tanist: this node is not master: ask at a\n");
  assert_string_equal(out, "");
  assert_int_equal(run("-s %s --json switchover", path), CTL_REFUSED);
  assert_string_equal(out, "{\"ok\":false,\"code\":4,\"error\":\"this node is not master: ask at a\"}\n");
  stop(pid, path);
  pid = start(path, "{\"ok\":false,\"code\":77,\"error\":\"x\"}");
  assert_int_equal(run("-s %s switchover", path), CTL_FAILED);
  stop(pid, path);
}

static void no_agent_is_3(void **state) {
  char path[128];
  (void)state;
  in_directory(path, "none.sock");
  assert_int_equal(run("-s %s status", path), CTL_NO_AGENT);
  contains(err, "no agent answers at ");
  assert_int_equal(run("-c %s status", conf_file), CTL_NO_AGENT);
  contains(err, "no agent of cluster \"c\" runs here");
  // The file of a dead one: the child leaves it behind.
  pid_t pid = start(in_directory(path, "c.left.sock"), NULL);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  assert_int_equal(run("-c %s status", conf_file), CTL_NO_AGENT);
  contains(err, "c.left.sock: start it");
  unlink(path);
}

// A stopped agent: the kernel takes the connection, nobody answers.
static void stopped_agent_is_3(void **state) {
  char path[128];
  (void)state;
  in_directory(path, "s.sock");
  pid_t pid = start(path, NULL);
  assert_int_equal(kill(pid, SIGSTOP), 0);
  int stopped;
  assert_int_equal(waitpid(pid, &stopped, WUNTRACED), pid);
  assert_int_equal(run("-s %s status", path), CTL_NO_AGENT);
  contains(err, "did not answer in time: is it stopped?");
  stop(pid, path);
}

static void several_agents_must_be_told_apart(void **state) {
  char left[128], right[128], path[128], error[256];
  (void)state;
  in_directory(left, "c.left.sock");
  in_directory(right, "c.right.sock");
  pid_t a = start(left, NULL), b = start(right, NULL);
  assert_int_equal(run("-c %s status", conf_file), CTL_USAGE);
  contains(err, "both agents of cluster \"c\" run here");
  assert_int_equal(ctl_only_file(directory, ".sock", path, sizeof path, error, sizeof error), CTL_FAILED);
  contains(error, "c.left.sock");
  contains(error, "c.right.sock");
  stop(a, left);
  assert_int_equal(ctl_only_file(directory, ".sock", path, sizeof path, error, sizeof error), CTL_DONE);
  assert_string_equal(path, right);
  stop(b, right);
  assert_int_equal(ctl_only_file(directory, ".sock", path, sizeof path, error, sizeof error), CTL_FAILED);
  assert_string_equal(path, "");
}

// ---- check ----

static void check_prints_the_budget(void **state) {
  char bad[128];
  (void)state;
  assert_int_equal(run("check %s --disk-sync 2", conf_file), CTL_DONE);
  contains(out, "cluster c: nodes left, right; witness judge; broker none\n");
  contains(out, "self-fence deadline       297.0 ms");
  contains(out, "worst-case failover       342.0 ms"); // 303 + 30 + 3 × 1 + 3 × 2
  contains(out, "silence after start       300.0 ms");
  assert_int_equal(run("--json check %s", conf_file), CTL_DONE);
  contains(out, "\"self_fence_us\":297000,");
  FILE *f = fopen(in_directory(bad, "bad.conf"), "w");
  fputs("cluster = \"c\";\nnods = 1;\n", f);
  fclose(f);
  assert_int_equal(run("check %s", bad), CTL_FAILED);
  contains(err, "bad.conf:2: unknown key \"nods\"; allowed here: cluster, nodes, witness, timing, ");
  assert_int_equal(run("--json check %s", bad), CTL_FAILED);
  contains(out, "{\"ok\":false,\"code\":1,\"error\":\"");
  contains(out, "\"findings\":[{\"line\":1,\"text\":\"");
  assert_int_equal(run("-c %s status", bad), CTL_USAGE);
  contains(err, "bad.conf:2: unknown key");
}

static void doctor_says_what_is_wrong_with_the_file(void **state) {
  char bad[128];
  (void)state;
  FILE *f = fopen(in_directory(bad, "bad.conf"), "w");
  fputs("cluster = \"c\";\nnods = 1;\n", f);
  fclose(f);
  assert_int_equal(run("-c %s doctor", bad), CTL_FAILED);
  contains(out, "FINDING  configuration");
  contains(out, "bad.conf:2: unknown key \"nods\"");
  contains(out, "-> correct it, then: tanist check ");
  assert_int_equal(run("-c %s --json doctor --only keys", bad), CTL_FAILED);
  contains(out, "{\"ok\":false,\"code\":1,\"error\":\"");
  contains(out, "\"running\":false,\"findings\":[{\"examination\":\"configuration\",\"result\":\"finding\",");
  contains(out, "{\"examination\":\"keys\",\"result\":\"unknown\",\"text\":\"takes a good "
                "configuration\",\"mend\":null}");
  assert_int_equal(run("-c %s doctor --only nonsense", conf_file), CTL_USAGE);
  contains(err, "--only is \"nonsense\"; allowed: agent, paths, clocks, ");
  assert_int_equal(run("-c %s doctor --only agent", conf_file), CTL_DONE);
  contains(out, "which of the three this machine is");
  contains(out, "unknown  agent");
}

// ---- keys ----

static void keygen_never_overwrites(void **state) {
  char first[64];
  struct stat st;
  char path[128];
  (void)state;
  assert_int_equal(run("-c %s keygen --name left", conf_file), CTL_DONE);
  assert_int_equal(strlen(out), 45); // 44 characters and a line end
  snprintf(first, sizeof first, "%s", out);
  assert_int_equal(stat(in_directory(path, "keys/c.left.key"), &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(run("-c %s keygen --name left", conf_file), CTL_REFUSED);
  assert_int_equal(run("-c %s pubkey --name left", conf_file), CTL_DONE);
  assert_string_equal(out, first);
  assert_int_equal(run("keygen --cluster x --name y --directory %s/keys", directory), CTL_DONE);
  assert_string_not_equal(out, first);
  assert_int_equal(run("-c %s pubkey --name right", conf_file), CTL_FAILED);
  assert_int_equal(run("-c %s pubkey --name nobody", conf_file), CTL_USAGE);
  assert_int_equal(run("keygen --cluster ../x --name y"), CTL_USAGE);
}

// ---- reset-voter ----

static void reset_voter_asks_for_the_name(void **state) {
  struct ballot_store *store;
  struct ballot ballot;
  const char *error;
  bool fresh;
  char line[256], kept[512];
  (void)state;
  assert_int_equal(ballot_open(&store, directory, "c", "right", &ballot, &fresh, &error), 0);
  snprintf(line, sizeof line, "-c %s reset-voter", conf_file);
  assert_int_equal(run_typing("right\n", line), CTL_REFUSED); // a daemon holds it
  contains(err, "in use: stop its daemon first");
  ballot_close(store);
  assert_int_equal(run_typing("left\n", line), CTL_FAILED);
  contains(err, "nothing done: \"right\" was not typed");
  assert_int_equal(run_typing("", line), CTL_FAILED);
  assert_int_equal(run("%s --yes-i-understand left", line), CTL_FAILED);
  assert_int_equal(run_typing("right\n", line), CTL_DONE);
  contains(out, "voter \"right\" starts blank; the old ballot is kept as ");
  assert_int_equal(sscanf(strstr(out, "kept as "), "kept as %511s", kept), 1);
  assert_int_equal(unlink(kept), 0);
  assert_int_equal(run("%s --name right --yes-i-understand right", line), CTL_FAILED);
  contains(err, "has no ballot in ");
}

// ---- the command line ----

static void wrong_words_are_2(void **state) {
  static const char *const lines[] = {"",
                                      "nonsense",
                                      "-x status",
                                      "-c",
                                      "status x",
                                      "switchover --to",
                                      "switchover --timeout 0",
                                      "switchover --timeout 1x",
                                      "form",
                                      "form --data",
                                      "form --data a --above -1",
                                      "form --data a --above 4611686018427387904",
                                      "check",
                                      "check a b",
                                      "switchover --dry-run=1",
                                      "switchover --to ../x",
                                      "watch --every often",
                                      "report --suspect a",
                                      "events --since yesterday",
                                      "events --last 0",
                                      "history x",
                                      "check --disk-sync x f"};
  (void)state;
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    int code = run("%s", lines[i]);
    if (code != CTL_USAGE || !*err)
      fail_msg("%s: %d, %s", lines[i], code, err);
  }
  assert_int_equal(run("--version"), CTL_DONE);
  assert_string_equal(out, "tanist " TANIST_VERSION "\n");
  assert_int_equal(run("--help"), CTL_DONE);
  contains(out, "  switchover [--to NODE] [--timeout S] [--dry-run]\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(status_is_one_screen),
      cmocka_unit_test(status_tells_what_is_wrong),
      cmocka_unit_test(status_of_a_witness),
      cmocka_unit_test(orders_ask_what_was_said),
      cmocka_unit_test(force_says_what_may_be_lost_first),
      cmocka_unit_test(refusals_keep_their_code),
      cmocka_unit_test(no_agent_is_3),
      cmocka_unit_test(stopped_agent_is_3),
      cmocka_unit_test(several_agents_must_be_told_apart),
      cmocka_unit_test(check_prints_the_budget),
      cmocka_unit_test(doctor_says_what_is_wrong_with_the_file),
      cmocka_unit_test(keygen_never_overwrites),
      cmocka_unit_test(reset_voter_asks_for_the_name),
      cmocka_unit_test(wrong_words_are_2),
  };
  int result = cmocka_run_group_tests_name("ctl", tests, setup, teardown);
  free(out);
  free(err);
  return result;
}
