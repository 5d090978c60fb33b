// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/redis_info.h"
#include "agent/redis_kept.h"
#include "agent/redis_trouble.h"
#include "agent/resp.h"

// A copy that ends exactly with its last byte, for the sanitizer to see every step beyond it.
static char *exact(const char *bytes, size_t length) {
  char *copy = malloc(length > 0 ? length : 1);
  memcpy(copy, bytes, length);
  return copy;
}

static ssize_t parse(const char *text, struct resp_value *value) {
  return resp_parse(text, strlen(text), value);
}

static void reads_each_type(void **state) {
  (void)state;
  struct resp_value v;
  assert_int_equal(parse("+OK\r\nrest", &v), 5);
  assert_int_equal(v.type, RESP_STATUS);
  assert_memory_equal(v.text, "OK", 2);
  assert_int_equal(parse("-ERR no\r\n", &v), 9);
  assert_int_equal(v.type, RESP_ERROR);
  assert_int_equal(v.length, 6);
  assert_int_equal(parse(":-42\r\n", &v), 6);
  assert_int_equal(v.type, RESP_INTEGER);
  assert_int_equal(v.integer, -42);
  assert_int_equal(parse("$5\r\na\r\nbc\r\n", &v), 11);
  assert_int_equal(v.type, RESP_BULK);
  assert_memory_equal(v.text, "a\r\nbc", 5);
  assert_int_equal(parse("$0\r\n\r\n", &v), 6);
  assert_int_equal(v.length, 0);
  assert_int_equal(parse("$-1\r\n", &v), 5);
  assert_int_equal(v.type, RESP_NULL);
  assert_int_equal(parse("*-1\r\n", &v), 5);
  assert_int_equal(v.type, RESP_NULL);
}

static void reads_nested_arrays(void **state) {
  (void)state;
  struct resp_value v, first;
  const char *text = "*2\r\n*1\r\n:7\r\n$1\r\nx\r\n";
  assert_int_equal(parse(text, &v), strlen(text));
  assert_int_equal(v.type, RESP_ARRAY);
  assert_int_equal(v.integer, 2);
  assert_int_equal(resp_parse(v.text, v.length, &first), 8);
  assert_int_equal(first.type, RESP_ARRAY);
  assert_int_equal(first.integer, 1);
}

// Cut anywhere it asks for more, and never reads beyond.
static void waits_for_the_whole_value(void **state) {
  (void)state;
  static const char *const values[] = {"+OK\r\n",       "-ERR x\r\n", ":123\r\n",
                                       "$3\r\nabc\r\n", "$-1\r\n",    "*3\r\n:1\r\n$2\r\nab\r\n*1\r\n+x\r\n"};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    struct resp_value v;
    size_t length = strlen(values[i]);
    for (size_t cut = 0; cut < length; cut++) {
      char *copy = exact(values[i], cut);
      assert_int_equal(resp_parse(copy, cut, &v), 0);
      free(copy);
    }
    assert_int_equal(resp_parse(values[i], length, &v), length);
  }
}

static void refuses_what_is_no_resp(void **state) {
  (void)state;
  static const char *const values[] = {"HTTP/1.1 200 OK\r\n",
                                       "\r\n",
                                       ":\r\n",
                                       ":1x\r\n",
                                       ":--1\r\n",
                                       ": 1\r\n",
                                       "$x\r\n",
                                       "$-2\r\n",
                                       "$2\r\nabc\r\n",
                                       "*-2\r\n",
                                       "+OK\n",
                                       "*1\r\n?\r\n",
                                       ":9999999999999999999\r\n"};
  for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
    struct resp_value v;
    assert_int_equal(parse(values[i], &v), -EBADMSG);
  }
  struct resp_value v;
  assert_int_equal(resp_parse("\0", 1, &v), -EBADMSG);
}

static void refuses_what_is_too_much(void **state) {
  (void)state;
  struct resp_value v;
  assert_int_equal(parse("$1048577\r\n", &v), -EMSGSIZE);
  assert_int_equal(parse("*65537\r\n", &v), -EMSGSIZE);
  assert_int_equal(parse("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", &v), -EMSGSIZE);
  char line[RESP_LINE_MAX + 1];
  memset(line, 'x', sizeof(line));
  line[0] = '+';
  assert_int_equal(resp_parse(line, sizeof(line), &v), -EMSGSIZE);
  assert_int_equal(resp_parse(line, RESP_LINE_MAX - 1, &v), 0);
}

// Whatever the bytes are, the answer stays within them.
static void survives_noise(void **state) {
  (void)state;
  static const char letters[] = "+-:$*0123456789\r\n\r\n\r\nab";
  uint32_t random = 1;
  for (int round = 0; round < 200000; round++) {
    char bytes[48];
    random = random * 1664525 + 1013904223;
    size_t length = (random >> 16) % sizeof(bytes);
    for (size_t i = 0; i < length; i++) {
      random = random * 1664525 + 1013904223;
      bytes[i] = letters[(random >> 16) % (sizeof(letters) - 1)];
    }
    char *copy = exact(bytes, length);
    struct resp_value v;
    ssize_t size = resp_parse(copy, length, &v);
    assert_true(size <= (ssize_t)length);
    if (size > 0 && v.type != RESP_NULL)
      assert_true(v.text >= copy && v.text + v.length <= copy + size);
    free(copy);
  }
}

static void writes_commands(void **state) {
  (void)state;
  static const char *const words[] = {"SET", "key", ""};
  static const char expected[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$0\r\n\r\n";
  char out[64];
  size_t size = resp_encode(out, sizeof(out), 3, words);
  assert_int_equal(size, sizeof(expected) - 1);
  assert_memory_equal(out, expected, size);
  for (size_t room = 0; room < size; room++) {
    char *tight = exact(out, room);
    assert_int_equal(resp_encode(tight, room, 3, words), 0);
    free(tight);
  }
  assert_int_equal(resp_encode(out, size, 3, words), size);
}

static const char master_text[] =
    "# Replication\r\nrole:master\r\nconnected_slaves:2\r\nmin_slaves_good_slaves:1\r\n"
    "slave0:ip=10.0.0.9,port=6379,state=wait_bgsave,offset=0,lag=0\r\n"
    "slave1:ip=10.0.0.2,port=6379,state=online,offset=1200,lag=1\r\n"
    "master_replid:0123456789012345678901234567890123456789\r\nmaster_repl_offset:1234\r\n";

static const char secondary_text[] =
    "# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n"
    "master_sync_in_progress:0\r\nslave_repl_offset:77\r\nmaster_replid:abc\r\nmaster_repl_offset:78\r\n";

static void reads_info_of_a_master(void **state) {
  (void)state;
  struct redis_info info;
  assert_true(redis_info_replication(master_text, strlen(master_text), &info));
  assert_true(info.master && info.online && info.sync);
  assert_int_equal(info.good, 1);
  assert_int_equal(info.lag, 1);
  assert_int_equal(info.offset, 1234);
  assert_string_equal(info.id, "0123456789012345678901234567890123456789");
}

static void reads_info_of_a_secondary(void **state) {
  (void)state;
  struct redis_info info;
  assert_true(redis_info_replication(secondary_text, strlen(secondary_text), &info));
  assert_true(!info.master && info.link_up && !info.syncing && !info.online && !info.sync);
  assert_int_equal(info.lag, UINT32_MAX);
  assert_int_equal(info.offset, 77);
  assert_string_equal(info.host, "10.0.0.1");
  assert_int_equal(info.port, 6379);
}

#define DISK(in_progress, due, write, rewrite)                                                               \
  "# Persistence\r\nloading:0\r\nrdb_last_bgsave_status:ok\r\naof_enabled:1\r\naof_rewrite_in_progress:" in_progress  \
  "\r\naof_rewrite_scheduled:" due "\r\naof_last_bgrewrite_status:" rewrite                                \
  "\r\naof_last_write_status:" write "\r\n"

static void told(struct redis_kept *kept, const char *link, const char *disk) {
  redis_kept_link(kept, link, strlen(link));
  redis_kept_disk(kept, disk, strlen(disk));
}

static void a_copy_counts_once_it_is_in_the_file(void **state) {
  (void)state;
  struct redis_kept kept;
  redis_kept_forget(&kept);
  assert_true(redis_kept_written(&kept));
  told(&kept, "id=7 addr=127.0.0.1:7001", DISK("1", "0", "ok", "ok"));
  assert_false(redis_kept_filed(&kept));
  assert_false(redis_kept_stuck(&kept));
  told(&kept, "id=7 addr=127.0.0.1:7001", DISK("0", "1", "ok", "err"));
  assert_false(redis_kept_filed(&kept));
  assert_true(redis_kept_stuck(&kept));
  told(&kept, "id=7 addr=127.0.0.1:7001", DISK("0", "0", "ok", "ok"));
  assert_true(redis_kept_filed(&kept));
  assert_string_equal(redis_kept_trouble(&kept, true), "");
  told(&kept, "id=7 addr=127.0.0.1:7001", DISK("1", "0", "ok", "ok")); // an ordinary one
  assert_true(redis_kept_filed(&kept));
  told(&kept, "id=9 addr=127.0.0.1:7001", DISK("1", "0", "ok", "ok")); // another copy
  assert_false(redis_kept_filed(&kept));
  told(&kept, "", DISK("0", "0", "ok", "ok"));
  assert_false(redis_kept_filed(&kept)); // not attached yet
  told(&kept, "id=9 addr=127.0.0.1:7001", DISK("0", "0", "err", "ok"));
  assert_false(redis_kept_written(&kept));
  assert_false(redis_kept_filed(&kept));
}

static void refusals_say_what_to_do(void **state) {
  (void)state;
  static const struct {
    const char *error;
    enum redis_refusal kind;
    const char *advice;
  } cases[] = {
      {"MISCONF Errors writing to the AOF file: No space left on device", REFUSAL_FAILS, "goes on by itself then"},
      {"MISCONF Redis is configured to save RDB snapshots, but ...", REFUSAL_FAILS, "its log says more"},
      {"READONLY You can't write against a read only replica.", REFUSAL_FAILS, "beside the agent"},
      {"OOM command not allowed when used memory > 'maxmemory'.", REFUSAL_SHARED, "maxmemory-policy evict"},
      {"NOREPLICAS Not enough good replicas to write.", REFUSAL_ALONE, "sets it to 1 or 0"},
      {"BUSY Redis is busy running a script.", REFUSAL_SHARED, "FUNCTION KILL ends it"},
      {"NOPERM this user has no permissions", REFUSAL_OF_PROBE, "+set ~tanist:probe"},
      {"ERR unknown command 'SET'", REFUSAL_OF_PROBE, "unknown command"},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char text[REDIS_TROUBLE_MAX];
    assert_int_equal(redis_trouble_write(text, "", "tanist:probe", cases[i].error, strlen(cases[i].error)),
                     cases[i].kind);
    assert_non_null(strstr(text, cases[i].advice));
    assert_true(strlen(text) < REDIS_TROUBLE_MAX - 1); // nothing is cut off
  }
}

static void info_may_be_cut_or_absurd(void **state) {
  (void)state;
  struct redis_info info;
  for (size_t cut = 0; cut < strlen(master_text); cut++) {
    char *copy = exact(master_text, cut);
    redis_info_replication(copy, cut, &info);
    free(copy);
  }
  assert_false(redis_info_replication("role:sentinel\r\n", 15, &info));
  assert_false(redis_info_replication("", 0, &info));
  static const char absurd[] =
      "role:slave\r\nslave_repl_offset:-1\r\nmaster_port:x\r\nmaster_link_status:upside\r\n";
  assert_true(redis_info_replication(absurd, strlen(absurd), &info));
  assert_int_equal(info.offset, 0);
  assert_int_equal(info.port, 0);
  assert_false(info.link_up);
}

static void keyspace_tells_whether_there_are_keys(void **state) {
  (void)state;
  assert_false(redis_info_has_keys("# Keyspace\r\n", 12));
  assert_false(redis_info_has_keys("", 0));
  static const char text[] = "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n";
  assert_true(redis_info_has_keys(text, strlen(text)));
}

static void troubles_say_what_to_do(void **state) {
  (void)state;
  char text[REDIS_TROUBLE_MAX];
  const char *error = "WRONGPASS invalid username-password pair";
  redis_trouble_answer(text, "broker.address", "AUTH", "", error, strlen(error));
  assert_non_null(strstr(text, "user \"default\""));
  assert_non_null(strstr(text, "broker.password_file is wrong"));
  assert_true(redis_trouble_ends_connection(error, strlen(error)));
  error = "NOPERM this user has no permissions";
  redis_trouble_answer(text, "broker.address", "REPLICAOF", "tanist", error, strlen(error));
  assert_non_null(strstr(text, "ACL SETUSER tanist +info +replicaof"));
  assert_false(redis_trouble_ends_connection(error, strlen(error)));
  error = "ERR \x1b[2Jodd\n";
  redis_trouble_answer(text, "broker.address", "INFO", "", error, strlen(error));
  assert_null(strchr(text, 0x1b));
  assert_null(strchr(text, '\n'));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_each_type),
      cmocka_unit_test(reads_nested_arrays),
      cmocka_unit_test(waits_for_the_whole_value),
      cmocka_unit_test(refuses_what_is_no_resp),
      cmocka_unit_test(refuses_what_is_too_much),
      cmocka_unit_test(survives_noise),
      cmocka_unit_test(writes_commands),
      cmocka_unit_test(reads_info_of_a_master),
      cmocka_unit_test(reads_info_of_a_secondary),
      cmocka_unit_test(a_copy_counts_once_it_is_in_the_file),
      cmocka_unit_test(refusals_say_what_to_do),
      cmocka_unit_test(info_may_be_cut_or_absurd),
      cmocka_unit_test(keyspace_tells_whether_there_are_keys),
      cmocka_unit_test(troubles_say_what_to_do),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
