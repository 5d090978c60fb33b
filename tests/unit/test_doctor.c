// SPDX-License-Identifier: Apache-2.0
// What the doctor makes of what it sees: each judgement, its level, its words and what mends it.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "agent/doctor.h"
#include "agent/neighbour.h"

static struct doctor d;

static int setup(void **state) {
  (void)state;
  memset(&d, 0, sizeof d);
  d.file = "c.conf";
  d.now = "test";
  d.loaded = true;
  d.self = VOTER_A;
  d.conf.name = "c";
  d.conf.voter[VOTER_A].name = "a";
  d.conf.voter[VOTER_B].name = "b";
  d.conf.voter[VOTER_W].name = "w";
  d.conf.lease_ms = 1000;
  d.conf.beat_ms = 100;
  d.conf.drift_ppm = 10000;
  d.conf.drift_percent = 1;
  d.conf.keys_directory = "/k";
  d.conf.state_directory = "/s";
  d.conf.vip_count = 1;
  d.conf.vip[0] = (struct cluster_vip){.text = "10.0.0.100/24",
                                       .interface = "eth0",
                                       .family = AF_INET,
                                       .bytes = {10, 0, 0, 100},
                                       .prefix = 24};
  return 0;
}

// The newest line is of that level and has these words, and is forgotten.
static void said(enum doctor_level level, const char *text, const char *mend) {
  assert_true(d.count > 0);
  const struct doctor_line *line = &d.line[--d.count];
  if (line->level != level || strstr(line->text, text) == NULL ||
      (mend == NULL ? line->mend[0] != 0 : strstr(line->mend, mend) == NULL))
    fail_msg("%s: %s -> %s; not %s: %s -> %s", doctor_level_name(line->level), line->text, line->mend,
             doctor_level_name(level), text, mend == NULL ? "" : mend);
}

static void said_all(void) {
  assert_int_equal(d.count, 0);
}

static struct json *parsed(const char *text) {
  struct json *json = json_parse(text, strlen(text), NULL, 0);
  assert_non_null(json);
  return json;
}

// ---- paths, clocks ----

static void path(unsigned voter, const char *text) {
  struct json *json = parsed(text);
  doctor_judge_path(&d, voter, json);
  json_free(json);
}

static void paths_are_judged(void **state) {
  (void)state;
  path(VOTER_B, "{\"address\":\"10.0.0.2:7400\",\"state\":\"up\",\"rtt_us\":180,\"loss_percent\":0.0}");
  said(DOCTOR_OK, "b at 10.0.0.2:7400: both ways, round trip 0.18 ms, 0.0 %", NULL);
  path(VOTER_B, "{\"address\":\"10.0.0.2:7400\",\"state\":\"up\",\"rtt_us\":null,\"loss_percent\":1.5}");
  said(DOCTOR_NOTE, "both ways, 1.5 %", NULL);
  path(VOTER_B, "{\"address\":\"[fd00::2]:7400\",\"state\":\"up\",\"loss_percent\":5.0}");
  said(DOCTOR_FINDING, "5.0 % of its beats lost on the way here", "mtr -rwc 100 fd00::2;");
  path(VOTER_B, "{\"address\":\"10.0.0.2:7401\",\"state\":\"deaf\",\"loss_percent\":0}");
  said(DOCTOR_FINDING, "one way only: we are heard there, and hear nothing",
       "udp port 7401 and host 10.0.0.2");
  path(VOTER_B, "{\"address\":\"10.0.0.2:7400\",\"state\":\"mute\",\"loss_percent\":0}");
  said(DOCTOR_FINDING, "one way only: we hear, and are not heard there", "on b, let UDP port 7400 in");
  path(VOTER_W, "{\"address\":\"10.0.0.9:7400\",\"state\":\"down\",\"loss_percent\":0}");
  said(DOCTOR_FINDING, "nothing is heard from there", "on w: systemctl status tanist-witness");
  said_all();
}

static void clock_of(const char *text) {
  struct json *json = parsed(text);
  doctor_judge_clock(&d, VOTER_B, json);
  json_free(json);
}

static void clocks_are_judged(void **state) {
  (void)state;
  clock_of("{\"offset_ms\":null,\"rate_ppm\":null}");
  said(DOCTOR_UNKNOWN, "not heard", NULL);
  clock_of("{\"offset_ms\":-1000,\"rate_ppm\":-10500}");
  said(DOCTOR_OK, "-1.050 %", NULL);
  said(DOCTOR_OK, "1000 ms behind", NULL);
  clock_of("{\"offset_ms\":1001,\"rate_ppm\":null}");
  said(DOCTOR_UNKNOWN, "rate takes", NULL);
  said(DOCTOR_FINDING, "1001 ms ahead", "chronyc makestep");
  clock_of("{\"offset_ms\":0,\"rate_ppm\":-10501}");
  said(DOCTOR_FINDING, "the lease is not safe", "drift_percent on all three");
  said(DOCTOR_OK, "0 ms ahead", NULL);
  said_all();
}

// ---- fence ----

static void the_fence_is_judged(void **state) {
  (void)state;
  struct doctor_fence_trial good = {.mechanism = "nft", .passed = 100, .late_us = -20000};
  doctor_judge_fence(&d, &good);
  said(DOCTOR_OK, "closed 20.0 ms before its deadline", NULL);
  struct doctor_fence_trial trial = good;
  trial.late_us = 1;
  doctor_judge_fence(&d, &trial);
  said(DOCTOR_FINDING, "lets through what is sent after its deadline", "nft list ruleset");
  trial = good;
  trial.leaked = true;
  doctor_judge_fence(&d, &trial);
  said(DOCTOR_FINDING, "lets through while it is closed", "tc filter show");
  trial = good;
  trial.passed = 0;
  doctor_judge_fence(&d, &trial);
  said(DOCTOR_FINDING, "lets nothing through while it is armed", "nft list ruleset");
  trial = (struct doctor_fence_trial){.error = -EOPNOTSUPP, .why = "no nf_tables"};
  doctor_judge_fence(&d, &trial);
  said(DOCTOR_FINDING, "no nf_tables", "modprobe nf_tables");
  said_all();
}

static void what_the_fence_does_not_cover_is_said(void **state) {
  (void)state;
  struct doctor_fence_trial trial = {.mechanism = "nft", .gaps = 1, .gap = {"not covered: the time that it slept"}};
  doctor_judge_gaps(&d, NULL, &trial);
  said(DOCTOR_NOTE, "nft: not covered: the time that it slept", NULL);
  struct json *fence = json_new_object(), *notes = json_new_array();
  json_put_text(fence, "mechanism", "bpf");
  json_put_text(fence, "kernel", "armed");
  json_add_text(notes, "not covered: ports of a bridge");
  json_put(fence, "notes", notes);
  doctor_judge_gaps(&d, fence, &trial);
  said(DOCTOR_NOTE, "bpf: not covered: ports of a bridge", NULL);
  said(DOCTOR_OK, "by bpf, armed", NULL);
  json_free(fence);
  said_all();
}

// ---- rights ----

static void capabilities_are_judged(void **state) {
  uint64_t all = 1ull << CAP_NET_ADMIN | 1ull << CAP_NET_RAW | 1ull << CAP_BPF;
  (void)state;
  doctor_judge_capabilities(&d, all, "it");
  said(DOCTOR_OK, "it has", NULL);
  doctor_judge_capabilities(&d, all & ~(1ull << CAP_BPF), "it");
  said(DOCTOR_NOTE, "lacks CAP_BPF", "systemctl edit tanist-agent@c: [Service] AmbientCapabilities=CAP_BPF");
  d.conf.fence.mechanism = MECHANISM_BPF;
  doctor_judge_capabilities(&d, all & ~(1ull << CAP_BPF), "it");
  said(DOCTOR_FINDING, "lacks CAP_BPF", "CAP_BPF");
  doctor_judge_capabilities(&d, 1ull << CAP_BPF, "it");
  said(DOCTOR_FINDING, "lacks CAP_NET_RAW", "CAP_NET_RAW");
  said(DOCTOR_FINDING, "lacks CAP_NET_ADMIN", "CAP_NET_ADMIN");
  d.conf.vip_count = 0;
  doctor_judge_capabilities(&d, all & ~(1ull << CAP_NET_RAW), "it");
  said(DOCTOR_NOTE, "lacks CAP_NET_RAW", "CAP_NET_RAW");
  said_all();
}

static void real_time_is_judged(void **state) {
  struct doctor_realtime_seen seen = {.policy = SCHED_RR, .whose = "it"};
  (void)state;
  doctor_judge_realtime(&d, &seen);
  said(DOCTOR_OK, "is scheduled in real time", NULL);
  seen.policy = SCHED_OTHER;
  doctor_judge_realtime(&d, &seen);
  said(DOCTOR_NOTE, "has no right to real-time scheduling", "LimitRTPRIO=50");
  seen.allowed = true;
  doctor_judge_realtime(&d, &seen);
  said(DOCTOR_OK, "may be scheduled in real time", NULL);
  d.conf.lease_ms = 299;
  d.pid = 77;
  doctor_judge_realtime(&d, &seen);
  said(DOCTOR_FINDING, "a lease of 299 ms", "chrt -r -p 10 77");
  said_all();
}

// ---- keys ----

static void keys_are_judged(void **state) {
  struct doctor_key_seen seen = {
      .path = "/k/c.a.key", .error = "words", .matches = true, .owner = 9, .daemon = 9};
  (void)state;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_OK, "/k/c.a.key is the key of a", NULL);
  seen.daemon = 8;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_FINDING, "belongs to uid 9; the daemon runs as uid 8", "chown 8 /k/c.a.key");
  seen.daemon = (uid_t)-1;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_OK, "is the key of a", NULL);
  seen.matches = false;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_FINDING, "is not the key of a", "tanist pubkey --cluster c --name a --directory /k");
  seen.result = -EPERM;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_FINDING, "words", "chmod 0600 /k/c.a.key");
  seen.result = -ENOENT;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_FINDING, "words", "tanist keygen --cluster c --name a --directory /k");
  seen.result = -EBADMSG;
  doctor_judge_key(&d, &seen);
  said(DOCTOR_FINDING, "words", "mv /k/c.a.key /k/c.a.key.bad");
  said_all();
}

// ---- ports ----

static void ports_are_judged(void **state) {
  struct doctor_port_seen seen = {.address = "10.0.0.1:7400", .protocol = "udp", .key = "nodes[].addresses"};
  (void)state;
  doctor_judge_port(&d, &seen);
  said(DOCTOR_OK, "is free for the daemon", NULL);
  seen.bind_error = EADDRNOTAVAIL;
  doctor_judge_port(&d, &seen);
  said(DOCTOR_FINDING, "is no address of this machine", "ip -brief address");
  seen.bind_error = EADDRINUSE;
  seen.holder = 55;
  snprintf(seen.program, sizeof seen.program, "thief");
  doctor_judge_port(&d, &seen);
  said(DOCTOR_FINDING, "taken by another process: thief, pid 55", "ss -ulpn 'sport = :7400'");
  d.pid = 54;
  doctor_judge_port(&d, &seen);
  said(DOCTOR_FINDING, "thief", "ss -ulpn");
  d.pid = 55;
  doctor_judge_port(&d, &seen);
  said(DOCTOR_OK, "is the daemon's", NULL);
  seen.bind_error = 0;
  seen.holder = 0;
  doctor_judge_port(&d, &seen);
  said(DOCTOR_FINDING, "is free, though the daemon runs", "restart");
  said_all();
}

// ---- virtual IPs ----

static void virtual_ips_are_judged(void **state) {
  const struct doctor_macs stranger = {1, {{2, 0, 0, 0, 0, 0x77}}}, other = {1, {{2, 0, 0, 0, 0, 2}}};
  struct doctor_vip_seen seen = {0};
  (void)state;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_OK, "answered by nobody", NULL);
  seen.here = true;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "no agent answers that could hold it", "ip address del 10.0.0.100/24 dev eth0");
  seen.held = true;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_OK, "held here, and answered by nobody else", NULL);
  seen.answers = stranger;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "by a stranger, 02:00:00:00:00:77",
       "take 10.0.0.100 from the machine with 02:00:00:00:00:77");
  seen.answers = seen.peer = other;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "held here, and b answers for it too", "on b: tanist status");
  seen.held = seen.here = false;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_OK, "by the other node alone", NULL);
  seen.answers = stranger;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "stranger", "take 10.0.0.100");
  seen.peer.count = 0; /* its own address is elsewhere: who leads may answer, once */
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "stranger", "take");
  seen.peer_leads = true;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_OK, "by the other node alone", NULL);
  seen = (struct doctor_vip_seen){.error = -ENODEV};
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_FINDING, "cannot be asked on eth0", "virtual_ip[].interface");
  seen.error = -EPERM;
  doctor_judge_virtual_ip(&d, &seen);
  said(DOCTOR_UNKNOWN, "cannot be asked", "sudo tanist doctor");
  said_all();
}

static void answers_of_neighbours_are_told_from_others(void **state) {
  static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, v4[4] = {10, 0, 0, 100}, v6[16] = {0xfd, [15] = 0x64};
  uint8_t frame[NEIGHBOUR_FRAME_MAX], from[6];
  (void)state;
  assert_int_equal(neighbour_question(frame, mac, AF_INET, v4), 42);
  assert_false(neighbour_answer(frame, 42, AF_INET, v4, from)); /* our own question */
  frame[21] = 2;                                                /* a reply, from its sender */
  memcpy(frame + 28, v4, 4);
  assert_true(neighbour_answer(frame, 42, AF_INET, v4, from));
  assert_memory_equal(from, mac, 6);
  assert_false(neighbour_answer(frame, 41, AF_INET, v4, from));
  frame[31]++;
  assert_false(neighbour_answer(frame, 42, AF_INET, v4, from));
  assert_int_equal(neighbour_question(frame, mac, AF_INET6, v6), 78);
  assert_false(neighbour_answer(frame, 78, AF_INET6, v6, from));
  frame[54] = 136; /* an advertisement */
  assert_true(neighbour_answer(frame, 78, AF_INET6, v6, from));
  assert_memory_equal(from, mac, 6);
  assert_false(neighbour_answer(frame, 77, AF_INET6, v6, from));
  frame[21] = 254; /* it has passed a router */
  assert_false(neighbour_answer(frame, 78, AF_INET6, v6, from));
}

// ---- budget ----

static void the_budget_is_judged(void **state) {
  (void)state;
  doctor_judge_budget(&d, 200, 3000);
  said(DOCTOR_OK, "round trip 0.20 ms, disk sync 3.00 ms", NULL);
  said_all();
  doctor_judge_budget(&d, -1, -1);
  said(DOCTOR_OK, "not measured", NULL);
  doctor_judge_budget(&d, 690000, 0); /* 990 ms of lease, 300 of beats */
  said(DOCTOR_OK, "690.00 ms", NULL);
  said_all();
  doctor_judge_budget(&d, 690001, 500001);
  said(DOCTOR_OK, "690.00 ms", NULL);
  said(DOCTOR_FINDING, "a disk sync in /s takes 500.00 ms", "ioping -D /s");
  said(DOCTOR_FINDING, "two lost beats end a lease of 1000 ms", "timing.lease_ms = 1510 on all three");
  said_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(paths_are_judged, setup),
      cmocka_unit_test_setup(clocks_are_judged, setup),
      cmocka_unit_test_setup(the_fence_is_judged, setup),
      cmocka_unit_test_setup(what_the_fence_does_not_cover_is_said, setup),
      cmocka_unit_test_setup(capabilities_are_judged, setup),
      cmocka_unit_test_setup(real_time_is_judged, setup),
      cmocka_unit_test_setup(keys_are_judged, setup),
      cmocka_unit_test_setup(ports_are_judged, setup),
      cmocka_unit_test_setup(virtual_ips_are_judged, setup),
      cmocka_unit_test(answers_of_neighbours_are_told_from_others),
      cmocka_unit_test_setup(the_budget_is_judged, setup),
  };
  return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
