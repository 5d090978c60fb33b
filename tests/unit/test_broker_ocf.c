// SPDX-License-Identifier: Apache-2.0
// The driver ocf: agents of the package resource-agents, and scripted ones that hang, lie or fail.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node_option.h"
#include "agent/ocf_metadata.h"
#include "tests/support/driver_bed.h"

#define HEARTBEAT "/usr/lib/ocf/resource.d/heartbeat/"

static char directory[64], root[96], scripts[128], script[160], heard[96];
static struct conf_map options;

// ---- the bed ----

// The root of the agents: those of the package, and the test's own.
static int make_directory(void **unused) {
  (void)unused;
  char link[160];
  snprintf(directory, sizeof directory, "/tmp/tanist-ocf-XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(root, sizeof root, "%s/ocf", directory);
  snprintf(scripts, sizeof scripts, "%s/resource.d", root);
  if (mkdir(root, 0755) != 0 || mkdir(scripts, 0755) != 0)
    return -1;
  snprintf(link, sizeof link, "%s/heartbeat", scripts);
  if (symlink("/usr/lib/ocf/resource.d/heartbeat", link) != 0)
    return -1;
  snprintf(link, sizeof link, "%s/lib", root);
  if (symlink("/usr/lib/ocf/lib", link) != 0)
    return -1;
  snprintf(scripts, sizeof scripts, "%s/resource.d/test", root);
  snprintf(script, sizeof script, "%s/agent", scripts);
  snprintf(heard, sizeof heard, "%s/heard", directory);
  setenv("OCF_ROOT", root, 1);
  char *standins = realpath("packaging/ocf", NULL);
  setenv("HA_SBIN_DIR", standins != NULL ? standins : "", 1);
  free(standins);
  return mkdir(scripts, 0755);
}

static int remove_directory(void **unused) {
  (void)unused;
  char command[96];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  return system(command);
}

// A promotable agent whose state is a file; it notes what it is called for; `more` is done first.
static const char *const stateful =
    "case $1 in\n"
    "  start) [ -f $S ] || echo slave >$S ;;\n"
    "  stop) rm -f $S ;;\n"
    "  promote) echo master >$S ;;\n"
    "  demote) echo slave >$S ;;\n"
    "  notify) ;;\n"
    "  monitor) [ -f $S ] || exit 7; [ `cat $S` = slave ] && exit 0; exit 8 ;;\n"
    "esac\n";

static void write_agent(const char *actions, const char *more, const char *body) {
  FILE *f = fopen(script, "w");
  assert_non_null(f);
  fprintf(f, "#!/bin/sh\nS=%s/state\nif [ $1 = meta-data ]; then cat <<'END'\n", directory);
  fprintf(f, "<?xml version=\"1.0\"?>\n<resource-agent name=\"agent\"><version>1.1</version><parameters>"
             "<parameter name=\"port\"><content type=\"integer\" default=\"1\"/></parameter>"
             "<parameter name=\"data\" required=\"1\"><content type=\"string\"/></parameter></parameters>"
             "<actions><action name=\"start\" timeout=\"20s\"/><action name=\"stop\" timeout=\"20\"/>"
             "<action name=\"monitor\" depth=\"0\" timeout=\"1min\"/><action name=\"monitor\" depth=\"10\"/>%s"
             "</actions></resource-agent>\nEND\nexit 0\nfi\n",
          actions);
  fprintf(f, "env >%s/env.$1\necho \"$1 $OCF_RESKEY_CRM_meta_notify_type $OCF_RESKEY_CRM_meta_notify_operation\" >>%s\n"
             "%s\n%s",
          directory, heard, more, body);
  fclose(f);
  assert_int_equal(chmod(script, 0755), 0);
  unlink(heard);
}

#define PROMOTABLE "<action name=\"promote\"/><action name=\"demote\"/>"
#define NOTIFIED PROMOTABLE "<action name=\"notify\"/>"

static struct broker_settings settings_of(const char *agent) {
  return (struct broker_settings){.cluster = "orders",
                                  .self = VOTER_A,
                                  .driver = "ocf",
                                  .names = {"a", "b"},
                                  .address = "",
                                  .peers = {"", ""},
                                  .username = "",
                                  .password_file = "",
                                  .incarnation = "",
                                  .orphans = "",
                                  .replication = REPLICATION_NONE,
                                  .beat_ms = 50,
                                  .lease_ms = 300,
                                  .probe_every_ms = 50,
                                  .probe_timeout_ms = 4000,
                                  .verb_timeout_ms = 4000,
                                  .agent = agent,
                                  .options = &options,
                                  .run_directory = directory};
}

static void option(const char *key, const char *value) {
  options.at[options.count].key = key;
  options.at[options.count++].value = value;
}

static void forget_all(void) {
  char path[128];
  options.count = 0;
  snprintf(path, sizeof path, "%s/state", directory);
  unlink(path);
}

static void open_agent(const char *agent) {
  const struct broker_settings settings = settings_of(agent);
  const char *error;
  if (driver_open(&settings, &error) < 0)
    fail_msg("%s", error);
}

static void open_package(const char *agent, const char *path) {
  if (access(path, X_OK) != 0) {
    print_message("skipped: the package resource-agents is not installed\n");
    skip();
  }
  options.count = 0;
  open_agent(agent);
}

static void open_script(void) {
  forget_all();
  option("data", "/srv");
  open_agent("ocf:test:agent");
}

static void refused(const char *agent, const char *why) {
  const struct broker_settings settings = settings_of(agent);
  const char *error;
  assert_true(driver_open(&settings, &error) < 0);
  if (strstr(error, why) == NULL)
    fail_msg("'%s' does not say '%s'", error, why);
  driver_close();
}

static bool holds(const char *file, const char *text) {
  static char content[65536];
  char path[160];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  FILE *f = fopen(path, "r");
  if (f == NULL)
    return false;
  size_t size = fread(content, 1, sizeof content - 1, f);
  fclose(f);
  content[size] = 0;
  return strstr(content, text) != NULL;
}

// What it is asked shows in no view.
static void wait_for(const char *file, const char *text) {
  for (int i = 0; i < 1000 && !holds(file, text); i++) {
    loop_timer_in(driver.end, 20000);
    assert_int_equal(loop_run(driver.loop), 0);
  }
  assert_true(holds(file, text));
}

static bool stands_by(const struct broker_view *v) {
  return v->reachable && !v->dead && driver_in_state("standby");
}
static bool leads(const struct broker_view *v) {
  return v->reachable && v->writable && driver_in_state("master");
}
static bool is_dead(const struct broker_view *v) {
  return v->dead;
}
static bool is_held(const struct broker_view *v) {
  return v->reachable && !v->dead && driver_in_state("held");
}
static const char *told;
static bool is_unfit(const struct broker_view *v) {
  return v->unfit && driver_says(told);
}

// ---- agents of the package ----

static void a_service_of_the_package(void **unused) {
  (void)unused;
  open_package("ocf:heartbeat:Dummy", HEARTBEAT "Dummy");
  driver_reach(BROKER_HOLD, 0);
  driver_wait(stands_by);
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  driver_reach(BROKER_LEAD, 4);
  driver_wait(leads);
  char state[160];
  snprintf(state, sizeof state, "%s/orders.a.ocf/Dummy-orders.state", directory);
  assert_int_equal(unlink(state), 0); // it dies
  driver_wait(is_dead);
  driver_reach(BROKER_HOLD, 4);
  driver_wait(stands_by);
  driver_close();
}

static void a_promotable_one_of_the_package(void **unused) {
  (void)unused;
  open_package("ocf:heartbeat:Stateful", HEARTBEAT "Stateful"); // it tells its promotion score
  driver_reach(BROKER_HOLD, 0);
  for (uint64_t epoch = 2; epoch < 5; epoch++) {
    driver_reach(BROKER_LEAD, epoch);
    driver_wait(leads);
    assert_false(driver.was_dead);
    driver_reach(BROKER_FOLLOW, epoch + 1);
    driver_wait(is_held);
    assert_true(holds("orders.a.ocf/Stateful-orders.state", "slave"));
  }
  assert_string_equal(broker_view(driver.broker)->trouble, "");
  driver_close();
}

static void unknown_parameters_are_refused_with_those_there_are(void **unused) {
  (void)unused;
  if (access(HEARTBEAT "Dummy", X_OK) != 0)
    skip();
  options.count = 0;
  option("fake", "x");
  option("colour", "blue");
  refused("ocf:heartbeat:Dummy", "broker.options.colour: the resource agent has no such parameter; it has state, fake");
  options.count = 0;
}

// ---- what it is given ----

static void it_finds_what_a_cluster_manager_gives(void **unused) {
  (void)unused;
  write_agent(NOTIFIED, "", stateful);
  forget_all();
  option("data", "/srv/both");
  option("data__a", "/srv/a");
  option("port__b", "99");
  open_agent("ocf:test:agent");
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  assert_true(holds("env.promote", "OCF_RESKEY_data=/srv/a\n"));
  assert_false(holds("env.promote", "OCF_RESKEY_data=/srv/both\n"));
  assert_false(holds("env.promote", "OCF_RESKEY_port"));
  assert_true(holds("env.promote", "OCF_RESOURCE_INSTANCE=orders\n"));
  assert_true(holds("env.promote", "OCF_RESOURCE_PROVIDER=test\n"));
  assert_true(holds("env.promote", "OCF_RA_VERSION_MAJOR=1\n"));
  assert_true(holds("env.promote", "OCF_RESKEY_CRM_meta_timeout=4000\n"));
  assert_true(holds("env.promote", "OCF_RESKEY_CRM_meta_promoted_max=1\n"));
  assert_true(holds("env.promote", "OCF_RESKEY_CRM_meta_master_max=1\n"));
  assert_true(holds("env.promote", "TANIST_EPOCH=2\n"));
  wait_for("env.monitor", "OCF_RESKEY_CRM_meta_interval=50\n");
  driver_close();
}

static void on_shared_storage_it_runs_on_the_master_alone(void **unused) {
  (void)unused;
  struct broker_settings settings = settings_of("ocf:test:agent");
  const char *error;
  write_agent(PROMOTABLE, "", stateful);
  forget_all();
  option("data", "/srv");
  settings.replication = REPLICATION_SHARED;
  assert_int_equal(driver_open(&settings, &error), 0);
  driver_reach(BROKER_HOLD, 0);
  driver_wait(stands_by);
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  assert_false(holds("heard", "promote"));
  driver_reach(BROKER_HOLD, 2);
  assert_false(holds("heard", "demote"));
  assert_false(holds("state", "slave"));
  driver_close();
}

static void a_master_is_looked_at_as_deep_as_its_agent_can(void **unused) {
  (void)unused;
  write_agent(PROMOTABLE, "", stateful);
  open_script();
  driver_reach(BROKER_HOLD, 0);
  wait_for("env.monitor", "OCF_CHECK_LEVEL=0\n");
  driver_reach(BROKER_LEAD, 2);
  wait_for("env.monitor", "OCF_CHECK_LEVEL=10\n");
  driver_close();
}

static void it_is_notified_before_and_after(void **unused) {
  (void)unused;
  write_agent(NOTIFIED, "", stateful);
  open_script();
  driver_reach(BROKER_LEAD, 2);
  assert_true(holds("heard", "notify pre start\nstart  \nnotify post start\n"));
  assert_true(holds("heard", "notify pre promote\npromote  \nnotify post promote\n"));
  assert_true(holds("env.notify", "OCF_RESKEY_CRM_meta_notify_promote_uname=a \n"));
  assert_true(holds("env.notify", "OCF_RESKEY_CRM_meta_notify_demote_uname= \n"));
  driver_reach(BROKER_HOLD, 2);
  assert_true(holds("heard", "notify pre demote\ndemote  \nnotify post demote\n"));
  driver_close();
}

// ---- agents that are broken ----

static void one_that_hangs_is_not_waited_for(void **unused) {
  (void)unused;
  write_agent("", "[ $1 != start ] || sleep 1000", "case $1 in monitor) exit 7 ;; esac\n");
  open_script();
  driver_reach(BROKER_HOLD, 0);
  driver_order(BROKER_LEAD, 2);
  told = "promote (124)";
  driver_wait(is_unfit);
  driver_reach(BROKER_HOLD, 2);
  driver_close();
}

static void one_that_lies_does_not_lead_for_long(void **unused) {
  (void)unused;
  write_agent("", "", "case $1 in monitor) exit 7 ;; esac\n"); // started, it says, and is not there
  open_script();
  driver_reach(BROKER_HOLD, 0);
  driver_order(BROKER_LEAD, 2);
  driver_wait(is_dead);
  driver_reach(BROKER_HOLD, 2);
  driver_wait(stands_by);
  driver_close();
}

static void one_that_fails_gives_its_reason(void **unused) {
  (void)unused;
  write_agent("", "[ $1 != start ] || { echo noise >&2; echo ocf-exit-reason:no disk >&2; echo more >&2; exit 5; }",
              "case $1 in monitor) exit 7 ;; esac\n");
  open_script();
  driver_reach(BROKER_HOLD, 0);
  driver_order(BROKER_LEAD, 2);
  told = "no disk";
  driver_wait(is_unfit);
  assert_true(driver_says("promote (5)"));
  driver_reach(BROKER_HOLD, 2);
  driver_close();
}

static void a_failed_master_is_dead(void **unused) {
  (void)unused;
  char broken[160];
  snprintf(broken, sizeof broken, "[ ! -f %s/broken ] || [ $1 != monitor ] || exit 9", directory);
  write_agent(PROMOTABLE, broken, stateful);
  open_script();
  driver_reach(BROKER_LEAD, 2);
  driver_wait(leads);
  snprintf(broken, sizeof broken, "%s/broken", directory);
  fclose(fopen(broken, "w"));
  driver_wait(is_dead);
  unlink(broken);
  driver_close();
}

static bool is_degraded(const struct broker_view *v) {
  return leads(v) && driver_says("slow disk");
}

static void a_degraded_master_leads_on(void **unused) {
  (void)unused;
  write_agent(PROMOTABLE, "[ $1 != monitor ] || [ `cat $S 2>/dev/null`x != masterx ] || "
                          "{ echo ocf-exit-reason:slow disk >&2; exit 191; }",
              stateful);
  open_script();
  driver_reach(BROKER_LEAD, 2);
  driver_wait(is_degraded);
  driver_close();
}

static void who_needs_the_clusters_database_is_refused(void **unused) {
  (void)unused;
  write_agent(PROMOTABLE, "[ $1 != promote ] || $HA_SBIN_DIR/crm_attribute --type crm_config --name X -s Y -G 2>/dev/null",
              stateful);
  open_script();
  driver_reach(BROKER_HOLD, 0);
  driver_order(BROKER_LEAD, 2);
  told = "needs a cluster manager's database";
  driver_wait(is_unfit);
  driver_reach(BROKER_HOLD, 2); // it steps down all the same
  driver_close();
}

static void what_is_no_agent_is_refused(void **unused) {
  (void)unused;
  forget_all();
  refused("heartbeat:Dummy", "\"ocf:PROVIDER:TYPE\"");
  refused("ocf:heartbeat:../../../../bin/true", "ocf:PROVIDER:TYPE");
  refused("ocf:test:nobody", "there is no resource agent");
  write_agent("", "", "");
  refused("ocf:test:agent", "needs its parameter \"data\"");
  FILE *f = fopen(script, "w");
  fputs("#!/bin/sh\necho hello\n", f);
  fclose(f);
  refused("ocf:test:agent", "it is no XML");
  f = fopen(script, "w");
  fputs("#!/bin/sh\necho '<a/>'\n", f);
  fclose(f);
  refused("ocf:test:agent", "<resource-agent>");
  f = fopen(script, "w");
  fputs("#!/bin/sh\nexit 5\n", f);
  fclose(f);
  refused("ocf:test:agent", "it ended with 5");
}

// ---- meta-data ----

static void metadata_is_read_as_it_is_written(void **unused) {
  (void)unused;
  static const char xml[] =
      "<?xml version=\"1.0\"?><!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\"><resource-agent name=\"x\"><parameters>"
      "<parameter name=\"one\" required=\"1\"><content default=\"\"/></parameter><parameter name=\"two\"/></parameters>"
      "<actions><action name=\"start\" timeout=\"20s\"/><action name=\"stop\" timeout=\"1500ms\"/><action "
      "name=\"monitor\" timeout=\"10\"/><action name=\"monitor\" depth=\"10\" timeout=\"2min\"/></actions>"
      "</resource-agent>";
  struct ocf_metadata m;
  char why[OCF_WHY_SIZE];
  assert_true(ocf_metadata_read(&m, xml, sizeof xml - 1, why, sizeof why));
  assert_int_equal(m.parameters, 2);
  assert_false(m.parameter[0].needed);
  assert_int_equal(ocf_metadata_timeout_ms(&m, "start"), 20000);
  assert_int_equal(ocf_metadata_timeout_ms(&m, "stop"), 1500);
  assert_int_equal(ocf_metadata_timeout_ms(&m, "monitor"), 120000);
  assert_int_equal(ocf_metadata_timeout_ms(&m, "promote"), 0);
  assert_int_equal(ocf_metadata_level(&m, 20), 10);
  assert_int_equal(ocf_metadata_level(&m, 9), 0);
  assert_false(ocf_metadata_promotable(&m));
  for (size_t cut = 0; cut < sizeof xml - 1; cut++)
    assert_false(ocf_metadata_read(&m, xml, cut, why, sizeof why));
}

static void entities_fetch_and_grow_nothing(void **unused) {
  (void)unused;
  static const char xml[] =
      "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY f SYSTEM "
      "\"file:///etc/passwd\">]><resource-agent><parameters><parameter name=\"&b;\"/></parameters><actions>&f;"
      "<action name=\"start\"/><action name=\"stop\"/><action name=\"monitor\"/></actions></resource-agent>";
  struct ocf_metadata m;
  char why[OCF_WHY_SIZE];
  assert_true(ocf_metadata_read(&m, xml, sizeof xml - 1, why, sizeof why));
  assert_true(strlen(m.parameter[0].name) < OCF_NAME_SIZE);
  assert_int_equal(m.actions, 3);
}

static void options_of_one_node(void **unused) {
  (void)unused;
  size_t length;
  options.count = 0;
  option("ip", "1");
  option("ip__b", "2");
  assert_string_equal(node_option_find(&options, "ip", "a"), "1");
  assert_string_equal(node_option_find(&options, "ip", "b"), "2");
  assert_null(node_option_find(&options, "i", "a"));
  assert_true(node_option("ip__b", "b", &length));
  assert_int_equal(length, 2);
  assert_false(node_option("ip__b", "a", &length));
  assert_true(node_option("__b", "a", &length)); // a name of its own
  options.count = 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(metadata_is_read_as_it_is_written),
      cmocka_unit_test(entities_fetch_and_grow_nothing),
      cmocka_unit_test(options_of_one_node),
      cmocka_unit_test(a_service_of_the_package),
      cmocka_unit_test(a_promotable_one_of_the_package),
      cmocka_unit_test(unknown_parameters_are_refused_with_those_there_are),
      cmocka_unit_test(it_finds_what_a_cluster_manager_gives),
      cmocka_unit_test(on_shared_storage_it_runs_on_the_master_alone),
      cmocka_unit_test(a_master_is_looked_at_as_deep_as_its_agent_can),
      cmocka_unit_test(it_is_notified_before_and_after),
      cmocka_unit_test(one_that_hangs_is_not_waited_for),
      cmocka_unit_test(one_that_lies_does_not_lead_for_long),
      cmocka_unit_test(one_that_fails_gives_its_reason),
      cmocka_unit_test(a_failed_master_is_dead),
      cmocka_unit_test(a_degraded_master_leads_on),
      cmocka_unit_test(who_needs_the_clusters_database_is_refused),
      cmocka_unit_test(what_is_no_agent_is_refused),
  };
  return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
