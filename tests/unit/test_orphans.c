// SPDX-License-Identifier: Apache-2.0
#include "agent/orphans.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64], elsewhere[64];

static int set_up(void **unused) {
  (void)unused;
  strcpy(directory, "/tmp/test_orphans.XXXXXX");
  strcpy(elsewhere, "/tmp/test_orphans.XXXXXX");
  return mkdtemp(directory) != NULL && mkdtemp(elsewhere) != NULL ? 0 : -1;
}

static int tear_down(void **unused) {
  (void)unused;
  char command[160];
  snprintf(command, sizeof command, "rm -r %s %s", directory, elsewhere);
  return system(command);
}

static const char *in(const char *where, const char *name, char path[PATH_MAX]) {
  snprintf(path, PATH_MAX, "%s/%s", where, name);
  return path;
}

static void make(const char *where, const char *name, int64_t wall_ms, unsigned entries) {
  char path[PATH_MAX];
  struct tanist_orphan *orphan;
  struct tanist_orphan_head head = {4, 100, 6, wall_ms};
  assert_int_equal(tanist_orphan_create(&orphan, in(where, name, path), &head), 0);
  for (unsigned i = 0; i < entries; i++)
    assert_int_equal(tanist_orphan_write(orphan, &(struct tanist_orphan_entry){4, 101 + i, 9, i + 1, "hello", 5}),
                     0);
  assert_int_equal(tanist_orphan_finish(orphan), 0);
}

static void oldest_first_and_nothing_else(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count;
  char path[PATH_MAX];
  make(directory, "late", 2000, 3);
  make(directory, "early", 1000, 0);
  FILE *note = fopen(in(directory, "note", path), "w");
  fputs("no orphan file", note);
  fclose(note);
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(count, 2);
  assert_string_equal(files[0].name, "early");
  assert_int_equal(files[1].entries, 3);
  assert_int_equal(files[1].bytes, 15);
  assert_int_equal(files[1].head.position, 100);
  assert_false(files[1].damaged);
  free(files);
}

static void what_a_drivers_program_kept_is_listed(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count;
  char path[PATH_MAX];
  make(directory, "9-3000", 3000, 1); /* one in our format may be named so, too */
  FILE *dump = fopen(in(directory, "7-1500.rdb", path), "w");
  fputs("REDIS0010", dump);
  fclose(dump);
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(count, 2);
  assert_true(files[0].foreign);
  assert_int_equal(files[0].bytes, 9);
  assert_int_equal(files[0].head.master_epoch, 7);
  assert_int_equal(files[0].head.wall_ms, 1500);
  assert_false(files[1].foreign);
  free(files);
}

static void turn_version(const char *path) {
  FILE *file = fopen(path, "r+");
  assert_non_null(file);
  assert_int_equal(fseek(file, 7, SEEK_SET), 0); /* the last byte of the magic */
  assert_int_equal(fputc('1', file), '1');
  assert_int_equal(fclose(file), 0);
}

/* An upgrade must not make it look as if nothing had ever been cut off. */
static void one_of_another_version_is_listed_and_goes_with_its_link(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count;
  char path[PATH_MAX];
  struct stat at;
  make(elsewhere, "6-100", 1000, 1);
  turn_version(in(elsewhere, "6-100", path));
  assert_int_equal(stat(path, &at), 0);
  assert_int_equal(orphans_adopt(directory, path), 0);
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(count, 1);
  assert_true(files[0].other_version);
  assert_false(files[0].foreign || files[0].damaged);
  assert_int_equal(files[0].bytes, at.st_size);
  assert_int_equal(files[0].head.wall_ms / 1000, at.st_mtim.tv_sec);
  free(files);
  assert_int_equal(orphans_discard(directory, "6-100"), 0);
  assert_int_equal(access(path, F_OK), -1);
}

static void no_directory_is_an_empty_one(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count = 7;
  char path[PATH_MAX];
  assert_int_equal(orphans_list(in(directory, "none", path), &files, &count), 0);
  assert_int_equal(count, 0);
}

static void damage_is_told_and_what_is_before_it_counts(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count;
  struct stat st;
  char path[PATH_MAX];
  make(directory, "torn", 1000, 3);
  assert_int_equal(stat(in(directory, "torn", path), &st), 0);
  assert_int_equal(truncate(path, st.st_size - 3), 0); /* the last row, that says how many there are */
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(files[0].entries, 3);
  assert_true(files[0].damaged);
  free(files);
  assert_int_equal(truncate(path, st.st_size - 44 - 3), 0);
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(files[0].entries, 2);
  assert_true(files[0].damaged);
  free(files);
}

static void a_brokers_own_file_is_linked_and_discarded_with_its_link(void **unused) {
  (void)unused;
  char path[PATH_MAX], link[PATH_MAX];
  make(elsewhere, "6-100", 1000, 1);
  assert_int_equal(orphans_adopt(directory, in(elsewhere, "6-100", path)), 0);
  assert_int_equal(orphans_adopt(directory, path), 0); /* told twice */
  assert_int_equal(access(in(directory, "6-100", link), R_OK), 0);
  assert_int_equal(orphans_discard(directory, "6-100"), 0);
  assert_int_equal(access(path, F_OK), -1);
  assert_int_equal(orphans_discard(directory, "6-100"), -ENOENT);
}

/* The agent may remove what the broker may not, and the broker gives the name. */
static void nothing_but_an_orphan_file_is_removed(void **unused) {
  (void)unused;
  char path[PATH_MAX], link[PATH_MAX], beside[80];
  snprintf(beside, sizeof beside, "%s2", directory);
  assert_int_equal(mkdir(beside, 0700), 0);
  FILE *other = fopen(in(beside, "shadow", path), "w");
  assert_non_null(other);
  fputs("root:*:", other);
  fclose(other);
  assert_int_equal(orphans_adopt(directory, path), 0);
  assert_int_equal(readlink(in(directory, "shadow", link), link, sizeof link) > 0, true); /* a name that begins alike */
  assert_int_equal(orphans_discard(directory, "shadow"), 0);
  assert_int_equal(access(path, F_OK), 0);
  unlink(path);
  rmdir(beside);
}

static void a_name_leads_nowhere_else(void **unused) {
  (void)unused;
  char path[PATH_MAX];
  make(elsewhere, "mine", 1000, 1);
  snprintf(path, sizeof path, "../%s/mine", elsewhere + strlen("/tmp/"));
  assert_int_equal(orphans_discard(directory, path), -ENOENT);
  assert_int_equal(orphans_discard(directory, ".."), -ENOENT);
  assert_int_equal(orphans_adopt(directory, "mine"), -EINVAL);
  assert_int_equal(orphans_adopt(directory, "/tmp/.."), -EINVAL);
}

static void the_oldest_go(void **unused) {
  (void)unused;
  struct orphans_file *files;
  size_t count;
  char name[16], path[PATH_MAX], gone[NAME_MAX + 1];
  for (int i = 0; i < ORPHANS_KEPT + 1; i++) {
    snprintf(name, sizeof name, "f%02d", i);
    make(directory, name, i, 1);
    const struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
    assert_int_equal(utimensat(AT_FDCWD, in(directory, name, path), times, 0), 0);
  }
  assert_true(orphans_prune(directory, gone));
  assert_string_equal(gone, "f00");
  assert_false(orphans_prune(directory, gone));
  assert_int_equal(orphans_list(directory, &files, &count), 0);
  assert_int_equal(count, ORPHANS_KEPT);
  free(files);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(oldest_first_and_nothing_else),
      TEST(what_a_drivers_program_kept_is_listed),
      TEST(one_of_another_version_is_listed_and_goes_with_its_link),
      TEST(no_directory_is_an_empty_one),
      TEST(damage_is_told_and_what_is_before_it_counts),
      TEST(a_brokers_own_file_is_linked_and_discarded_with_its_link),
      TEST(nothing_but_an_orphan_file_is_removed),
      TEST(a_name_leads_nowhere_else),
      TEST(the_oldest_go),
  };
  return cmocka_run_group_tests_name("orphans", tests, NULL, NULL);
}
