// SPDX-License-Identifier: Apache-2.0
// The fence in a network namespace of its own. What passes it is tested in tests/netns/fence_test.py.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define fence_nft twin_of_fence_nft // beside the one that is linked: its insides stand open here
#define fence_netlink twin_of_fence_netlink
#include "agent/fence_nft.c"
#undef fence_nft
#undef fence_netlink

static struct fence *fence;
static const char *error;
static bool apart; // in a network namespace of our own

static struct fence_settings small(void) {
  return (struct fence_settings){.cluster = "orders",
                                 .kernel = "require",
                                 .mechanism = "auto",
                                 .address = {{AF_INET, {10, 0, 0, 100}}},
                                 .address_count = 1,
                                 .port = {6379},
                                 .port_count = 1,
                                 .lease_ms = 1000};
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (write(fd, text, strlen(text)) < 0)
    print_message("%s: %s\n", path, strerror(errno));
  close(fd);
}

static int enter_namespace(void **state) {
  (void)state;
  char map[32];
  snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
    return 0;
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", map);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  apart = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
  if (fd >= 0)
    close(fd);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  fence_free(fence, true);
  fence = NULL;
  return 0;
}

static void need_namespace(void) {
  if (!apart)
    skip(); // this kernel does not let us make one
}

static void test_off_does_nothing(void **state) {
  (void)state;
  struct fence_settings settings = small();
  settings.kernel = "off";
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_string_equal(fence_mechanism(fence), "none");
  assert_false(fence_enforced(fence));
  assert_int_equal(fence_arm(fence, INSTANT_NEVER), 0);
  assert_string_equal(fence_state(fence), "none");
  assert_int_equal(fence_check(fence), 0);
  assert_int_equal(fence_close(fence), 0);
}

static void test_prefer_goes_without_require_does_not(void **state) {
  (void)state;
  struct fence_settings settings = small();
  settings.mechanism = "moat";
  assert_int_equal(fence_open(&fence, &settings, &error), -EINVAL);
  assert_non_null(strstr(error, "allowed"));
  settings.kernel = "prefer";
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_string_equal(fence_mechanism(fence), "none");
}

static void test_settings_out_of_range(void **state) {
  (void)state;
  struct fence_settings settings = small();
  settings.lease_ms = LEASE_MS_MIN - 1;
  assert_int_equal(fence_open(&fence, &settings, &error), -EINVAL);
  settings = small();
  settings.address_count = FENCE_ADDRESSES_MAX + 1;
  assert_int_equal(fence_open(&fence, &settings, &error), -EINVAL);
  settings = small();
  settings.cluster = "";
  assert_int_equal(fence_open(&fence, &settings, &error), -EINVAL);
}

static void test_states(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_string_equal(fence_mechanism(fence), "nft");
  assert_true(fence_enforced(fence));
  assert_string_equal(fence_state(fence), "closed");
  assert_int_equal(fence_arm(fence, instant_in_ms(900)), 0);
  assert_string_equal(fence_state(fence), "armed");
  assert_int_equal(fence_arm(fence, INSTANT_NEVER), 0);
  assert_string_equal(fence_state(fence), "open");
  assert_int_equal(fence_check(fence), 0);
  assert_int_equal(fence_arm(fence, instant_in_ms(900)), 0);
  assert_string_equal(fence_state(fence), "armed");
  assert_int_equal(fence_arm(fence, INSTANT_PAST), 0);
  assert_string_equal(fence_state(fence), "closed");
  assert_int_equal(fence_arm(fence, INSTANT_NEVER), 0);
  assert_int_equal(fence_close(fence), 0);
  assert_string_equal(fence_state(fence), "closed");
}

static void test_as_much_as_allowed(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  settings.address_count = settings.peer_count = FENCE_ADDRESSES_MAX;
  settings.port_count = FENCE_PORTS_MAX;
  settings.lease_ms = LEASE_MS_MIN;
  for (unsigned char i = 0; i < FENCE_ADDRESSES_MAX; i++) {
    settings.address[i].family = settings.peer[i].family = AF_INET6;
    settings.address[i].bytes[15] = i;
    settings.peer[i].bytes[15] = (unsigned char)(i + 100);
    settings.port[i] = (uint16_t)(6379 + i);
  }
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_int_equal(fence_arm(fence, instant_in_ms(LEASE_MS_MIN)), 0);
  assert_string_equal(fence_state(fence), "armed");
}

static void test_rungs_fall_and_fit(void **state) {
  (void)state;
  struct nft nft = {.settings = small()};
  for (uint32_t lease = LEASE_MS_MIN; lease <= LEASE_MS_MAX; lease += 50) {
    nft.settings.lease_ms = lease;
    lay_out(&nft);
    assert_true(nft.layout.rung_ms[0] + nft.layout.fresh_ms < lease);
    for (unsigned i = 1; i < NFT_RUNGS; i++)
      assert_true(nft.layout.rung_ms[i] < nft.layout.rung_ms[i - 1]);
    for (int64_t room = 0; room < lease * 1000; room += 777) {
      unsigned rung = longest_rung(&nft, room);
      assert_true(rung == NFT_RUNGS || nft.layout.rung_ms[rung] * INT64_C(1000) <= room);
    }
  }
}

static void test_names_do_not_meet(void **state) {
  (void)state;
  struct nft_layout one, other;
  assert_int_equal(name_table(&one, "a b"), 0);
  assert_int_equal(name_table(&other, "a_b"), 0);
  assert_string_equal(other.table, "tanist_a_b");
  assert_string_equal(one.table, "tanist_a/20b");
  assert_int_equal(name_table(&one, "0123456789012345678901234567890123456789012345678901234567890"),
                   -ENAMETOOLONG);
}

// As before Linux 6.9, where anybody may remove what is ours.
static void test_removed_by_another(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  void *mine;
  assert_int_equal(nft_open(&mine, &settings, &error), 0);
  struct nft *nft = mine;
  struct nft stranger = {.layout = nft->layout};
  assert_int_equal(nft_netlink_open(&stranger), 0);
  nft->layout.owned = false;
  assert_int_equal(nft_install(nft), 0);

  int (*const verbs[])(void *) = {nft_check, nft_close};
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(nft_arm(nft, INSTANT_NEVER), 0);
    nft_remove(&stranger);
    assert_int_equal(verbs[i](nft), -ENOENT);
    assert_string_equal(nft_text(nft), "closed");
    assert_int_equal(verbs[i](nft), 0);
  }
  nft_remove(&stranger);
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), -ENOENT);
  assert_string_equal(nft_text(nft), "closed");
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), 0);
  assert_string_equal(nft_text(nft), "armed");
  mnl_socket_close(stranger.netlink);
  nft_free(nft, true);
}

static struct nft *by_netlink(void) {
  struct fence_settings settings = small();
  void *mine;
  assert_int_equal(netlink_open(&mine, &settings, &error), 0);
  return mine;
}

static void sleep_ms(long ms) {
  const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

// A transaction that says "only if fresh" does nothing once that has lapsed, and says so.
static void test_netlink_comes_too_late(void **state) {
  (void)state;
  need_namespace();
  struct nft *nft = by_netlink();
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), 0);
  struct instant before = nft->passes;
  sleep_ms(300);                                               // a fourth of the lease, and more
  nft->fresh_until = instant_in_ms(100);                       // as if the clock had been read before
  assert_int_equal(nft_lease_arm(nft, instant_in_ms(900)), 0); // is told, and tries again
  assert_true(nft->passes.us > before.us);
  assert_int_equal(nft_query(nft), 0);
  nft_free(nft, true);
}

static void test_netlink_removed_by_another(void **state) {
  (void)state;
  need_namespace();
  struct nft *nft = by_netlink();
  struct nft stranger = {.layout = nft->layout};
  assert_int_equal(nft_netlink_open(&stranger), 0);
  nft->layout.owned = false;
  assert_int_equal(nft_install(nft), 0);
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), 0);
  nft_remove(&stranger);
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), -ENOENT);
  assert_string_equal(nft_text(nft), "closed");
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), 0);
  assert_string_equal(nft_text(nft), "armed");
  nft_remove(&stranger);
  assert_int_equal(nft_check(nft), -ENOENT);
  assert_int_equal(nft_arm(nft, INSTANT_NEVER), 0);
  nft_remove(&stranger);
  assert_int_equal(nft_close(nft), -ENOENT);
  assert_int_equal(nft_close(nft), 0);
  mnl_socket_close(stranger.netlink);
  nft_free(nft, true);
}

static void test_netlink_wants_a_long_lease(void **state) {
  (void)state;
  struct fence_settings settings = small();
  void *mine;
  settings.lease_ms = 499;
  assert_int_equal(netlink_open(&mine, &settings, &error), -ERANGE);
  assert_non_null(strstr(error, "500 ms"));
}

static void tell_count(void *arg, const char *word, const char *sentence) {
  assert_true(strlen(word) < 20 && strlen(sentence) > 10);
  ++*(unsigned *)arg;
}

static void test_says_what_is_not_covered(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  unsigned count = 0;
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  fence_gaps(fence, tell_count, &count);
  assert_true(count > 1);
}

struct survey {
  unsigned count;
  bool nft;
};

static void tell_survey(void *arg, const char *mechanism, const char *why_not) {
  struct survey *survey = arg;
  survey->count++;
  if (strcmp(mechanism, "nft") == 0)
    survey->nft = why_not[0] == 0;
}

static void test_survey_leaves_nothing(void **state) {
  (void)state;
  need_namespace();
  struct survey survey = {0};
  fence_survey(tell_survey, &survey);
  assert_int_equal(survey.count, 3);
  assert_true(survey.nft);
  struct fence_settings settings = small();
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
}

// The machine slept: the kernel's timeouts stood still meanwhile.
static void test_sleep_closes_first(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  void *mine;
  assert_int_equal(nft_open(&mine, &settings, &error), 0);
  struct nft *nft = mine;
  assert_int_equal(nft_arm(nft, instant_in_ms(900)), 0);
  nft->slept_us -= 6000000;
  assert_int_equal(nft_check(nft), 0);
  assert_string_equal(nft_text(nft), "closed");
  nft_free(nft, true);
}

static void test_one_owner(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  struct fence *second = NULL;
  int rc = fence_open(&second, &settings, &error);
  if (rc == 0) { // before Linux 6.9 tables have no owner
    fence_free(second, false);
    skip();
  }
  assert_int_equal(rc, -EPERM);
  assert_non_null(strstr(error, "another agent"));
  assert_int_equal(fence_check(fence), 0);
}

static void test_nothing_to_keep_apart(void **state) {
  (void)state;
  need_namespace();
  struct fence_settings settings = small();
  settings.kernel = "off";
  struct fence *second = NULL;
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_int_equal(fence_open(&second, &settings, &error), settings.address_count > 0 ? -EPERM : 0);
  fence_free(second, false);
  second = NULL;
  fence_free(fence, true);
  settings.address_count = 0;
  assert_int_equal(fence_open(&fence, &settings, &error), 0);
  assert_int_equal(fence_open(&second, &settings, &error), 0);
  fence_free(second, false);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(test_##name, teardown)
  const struct CMUnitTest tests[] = {
      TEST(off_does_nothing),           TEST(prefer_goes_without_require_does_not),
      TEST(settings_out_of_range),      TEST(states),
      TEST(as_much_as_allowed),         TEST(rungs_fall_and_fit),
      TEST(names_do_not_meet),          TEST(removed_by_another),
      TEST(sleep_closes_first),         TEST(one_owner),
      TEST(nothing_to_keep_apart),
      TEST(netlink_comes_too_late),     TEST(netlink_removed_by_another),
      TEST(netlink_wants_a_long_lease), TEST(says_what_is_not_covered),
      TEST(survey_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
