// SPDX-License-Identifier: Apache-2.0
// What a rejoin of PostgreSQL cuts off, as an orphan file that tar reads; and what the driver remembers.
#include "agent/pg_keep.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/pg_memory.h"
#include "common/client/tanist.h"

#define SEGMENT (1 << 20)

static char directory[64], wal[80];

static int set_up(void **unused) {
  (void)unused;
  strcpy(directory, "/tmp/test_pg_keep.XXXXXX");
  if (mkdtemp(directory) == NULL)
    return -1;
  snprintf(wal, sizeof wal, "%s/pg_wal", directory);
  return mkdir(wal, 0700);
}

static int tear_down(void **unused) {
  (void)unused;
  char command[160];
  snprintf(command, sizeof command, "rm -r %s", directory);
  return system(command);
}

// A segment whose first page says that it begins at `address`.
static void segment(const char *name, uint64_t address) {
  char path[160];
  static uint8_t bytes[SEGMENT];
  memset(bytes, 7, sizeof bytes);
  memcpy(bytes + 8, &address, sizeof address);
  snprintf(path, sizeof path, "%s/%s", wal, name);
  FILE *f = fopen(path, "we");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, sizeof bytes, 1, f), 1);
  fclose(f);
}

static int keep(const char *at, char *file, size_t size) {
  char *words[] = {wal, (char[]){"1"}, strdup(at), file, (char[]){"4"}, (char[]){"7"}};
  snprintf(file, size, "%s/kept", directory);
  int rc = pg_keep_main(6, words);
  free(words[2]);
  return rc;
}

// All of its entries one behind the other, as a program that replays them writes them.
static size_t unpack(const char *file, const char *archive, struct tanist_orphan_head *head) {
  struct tanist_orphan *orphan;
  struct tanist_orphan_entry entry;
  size_t entries = 0;
  int rc;
  assert_int_equal(tanist_orphan_open(&orphan, file, head), 0);
  FILE *f = fopen(archive, "we");
  while ((rc = tanist_orphan_next(orphan, &entry)) == 1) {
    assert_int_equal(fwrite(entry.data, entry.size, 1, f), 1);
    entries++;
  }
  assert_int_equal(rc, 0);
  fclose(f);
  tanist_orphan_close(orphan);
  return entries;
}

static void tar_reads_what_lies_behind_the_fork(void **unused) {
  (void)unused;
  char file[160], archive[160], command[512], listed[512] = "";
  struct tanist_orphan_head head;
  segment("000000010000000000000002", 2 * SEGMENT); // ends before the fork
  segment("000000010000000000000003", 3 * SEGMENT);
  segment("000000010000000000000004", 4 * SEGMENT);
  segment("000000010000000000000005", 1 * SEGMENT); // waits for its use, with what it was before
  segment("000000020000000000000004", 4 * SEGMENT);
  snprintf(command, sizeof command, "echo '1 0/400000 x' >%s/00000002.history; touch %s/archive_status", wal, wal);
  assert_int_equal(system(command), 0);
  assert_int_equal(keep("0/380000", file, sizeof file), 0);
  snprintf(archive, sizeof archive, "%s/tail.tar", directory);
  assert_int_equal(unpack(file, archive, &head), 4);
  assert_int_equal(head.epoch, 4);
  assert_int_equal(head.position, 0x380000);
  assert_int_equal(head.master_epoch, 7);
  snprintf(command, sizeof command, "export LC_ALL=C; cd %s && mkdir out && tar -xf tail.tar -C out && cd out && for f in *; do cmp $f %s/$f && echo $f; done",
           directory, wal);
  FILE *pipe = popen(command, "re");
  assert_true(fread(listed, 1, sizeof listed - 1, pipe) > 0);
  assert_int_equal(pclose(pipe), 0);
  assert_string_equal(listed, "000000010000000000000003\n000000010000000000000004\n00000002.history\n"
                              "000000020000000000000004\n");
}

static void keeps_nothing_by_halves(void **unused) {
  (void)unused;
  char file[160];
  assert_int_equal(keep("0/380000", file, sizeof file), 1); // no segment at all
  assert_int_not_equal(access(file, F_OK), 0);
  segment("000000010000000000000003", 3 * SEGMENT);
  assert_int_equal(keep("0/380000", file, sizeof file), 0);
  assert_int_equal(keep("0/380000", file, sizeof file), 1); // never over another one
  char *words[] = {wal};
  assert_int_equal(pg_keep_main(1, words), 2);
}

static void remembers_beside_the_orphans(void **unused) {
  (void)unused;
  const char *error = "";
  char orphans[160];
  struct pg_memory m;
  snprintf(orphans, sizeof orphans, "%s/orders.a.orphans", directory);
  assert_int_equal(pg_memory_open(&m, orphans, &error), 0);
  assert_int_equal(m.timeline, 0);
  m.timeline = 3;
  m.epoch = UINT64_C(1) << 40;
  m.created = true;
  strcpy(m.withholding, "1795266618123456");
  strcpy(m.rewinding, "1f.5e0be100.9");
  assert_int_equal(pg_memory_save(&m), 0);
  pg_memory_close(&m);
  assert_int_equal(pg_memory_open(&m, orphans, &error), 0);
  assert_int_equal(m.timeline, 3);
  assert_true(m.epoch == UINT64_C(1) << 40);
  assert_true(m.created);
  assert_string_equal(m.withholding, "1795266618123456");
  assert_string_equal(m.rewinding, "1f.5e0be100.9");
  pg_memory_close(&m);
  assert_int_equal(pg_memory_open(&m, "", &error), 0); // nothing is kept
  assert_int_equal(pg_memory_save(&m), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(tar_reads_what_lies_behind_the_fork, set_up, tear_down),
      cmocka_unit_test_setup_teardown(keeps_nothing_by_halves, set_up, tear_down),
      cmocka_unit_test_setup_teardown(remembers_beside_the_orphans, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
